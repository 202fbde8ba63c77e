/* SPDX-License-Identifier: MIT */
/*
 * verdict_run - one run of a check's command: its streams, its time, and what it has to say.
 *
 *   RUN_NONE      -> UNDER_WAY  verdict_run_start()
 *   UNDER_WAY     -> ENDING     its time is over, or nobody wants it any more: TERM to its process group, later KILL
 *   UNDER_WAY, ENDING -> NONE   it has ended: over() is called
 *
 * Used by verdict.c alone. Main thread.
 */
#ifndef CP_SERVICE_VERDICT_RUN_H
#define CP_SERVICE_VERDICT_RUN_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/loop.h"
#include "program/ending.h"
#include "program/spawner.h"

struct check_options;
struct verdict_result;

/* What one of its streams wrote. */
struct verdict_capture {
	struct watch watch;
	int fds[2]; /* the program's end is [1]; -1: closed */
	char *text;
	size_t length;
	size_t room;
	size_t limit;
	bool is_cut; /* there was more */
};

enum verdict_run_state { RUN_NONE, RUN_UNDER_WAY, RUN_ENDING };

/* Embedded in its owner. Zeroed, then the first part filled, is an initialised one. */
struct verdict_run {
	struct loop *loop;
	/* Its time is over; it will be told to end after this, and over() comes as ever. */
	void (*late)(struct verdict_run *run);
	/* It has ended. What it wrote can be looked at until verdict_run_clear(), and it can be started again after. */
	void (*over)(struct verdict_run *run);

	struct program program;              /* private: verdict_run.c, down to the end unless said otherwise */
	const struct check_options *options; /* public to read; borrowed. NULL: cleared */
	struct timer timer;                  /* of the time it may take */
	struct ending ending;
	struct verdict_capture output;
	struct verdict_capture errors;
	enum verdict_run_state state; /* public to read */
	bool is_late;                 /* public to read */
	bool is_unwanted;             /* public to read: verdict_run_stop() */
};

/*
 * Starts the command of the options, by its name; borrows both until verdict_run_clear(). 0; -errno: it has not been
 * started, and over() is not called: verdict_run_result() says why.
 */
CP_MUST_CHECK int verdict_run_start(
	struct verdict_run *run, const struct check_options *options, const struct program_name *name);
/* Tells it to end; over() comes as ever. */
void verdict_run_stop(struct verdict_run *run);
/* The same at once; it may get lost: to be repeated until over() has come. */
void verdict_run_kill(struct verdict_run *run);
/* Of one that has ended or could not be started: gives everything back. */
void verdict_run_clear(struct verdict_run *run);

/* What it comes to, also while it is late. Returns owned, NULL when out of memory. */
CP_MUST_CHECK struct verdict_result *verdict_run_result(const struct verdict_run *run);

#endif
