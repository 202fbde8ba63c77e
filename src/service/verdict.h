/* SPDX-License-Identifier: MIT */
/*
 * verdict - what a command says of something, for all who ask: one run at a time, kept for max_age, shared.
 *
 * There is one for each listener with a check. A reload that leaves its section as it is leaves the verdict too, with
 * what it knows. The command is started, timed and read on the main thread; fibers ask from their workers, and those
 * that come while a run is under way wait for that one.
 *
 * WAKEUP: who asks joins the list of those who wait, and posts to the main thread unless a run is under way. The end of
 * a run empties the list and says that none is under way in one critical section, and posts too. All of it under the
 * verdict's lock. ready() is called under that lock: after verdict_withdraw(), which takes it, no call comes any more.
 */
#ifndef CP_SERVICE_VERDICT_H
#define CP_SERVICE_VERDICT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/list.h"
#include "program/program.h"

struct conf;
struct conf_listener;
struct loop;
struct option;

enum check_format { CHECK_PLAIN, CHECK_HTTP, CHECK_AGENT };

/* What stands in a check's section. */
struct check_options {
	struct program_options program; /* first: program.h */
	int format;                     /* enum check_format */
	uint64_t max_age_ms;
	uint64_t timeout_ms;
	uint64_t interval_ms; /* 0: on demand alone */
	uint64_t max_output_bytes;
};

extern const struct option check_option_rows[];

/* Never changed; whoever holds a reference may read it on any thread. */
struct verdict_result {
	atomic_uint refs;   /* private: verdict.c */
	bool is_good;       /* the command ended by itself, with status 0 */
	bool has_output;    /* text is what the command wrote; else a line that says what became of it */
	uint64_t ended_ns;  /* CLOCK_MONOTONIC: how old it is */
	size_t length;      /* of text */
	const char *reason; /* "exit status 3", "timed out after 30s"; without an end of line */
	char text[];        /* any bytes, and a NUL */
};

/* Returns owned, with a copy of both texts; NULL when out of memory. text NULL: the reason and an end of line. */
CP_MUST_CHECK struct verdict_result *verdict_result_new(
	bool is_good, const char *reason, const char *text, size_t length);
/* Nulls the holder; accepts NULL. Any thread. */
void verdict_result_unref(struct verdict_result **result);

/* ---- the table: main thread ------------------------------------------------------------ */

struct verdicts;

/* Returns owned, NULL when out of memory. loop: of the main thread, borrowed. */
CP_MUST_CHECK struct verdicts *verdicts_new(struct loop *loop);
/*
 * At the end, when every share has left: kills what still runs. True: nothing does; false: to be called again, after
 * turns of the loop.
 */
CP_MUST_CHECK bool verdicts_end(struct verdicts *verdicts);
/* After that. Accepts NULL; nulls the holder. */
void verdicts_free(struct verdicts **verdicts);

/* A route's hold on its listener's verdict. */
struct verdict_share;

/*
 * The verdict for the rule's listener: the one there is, if it is by the same section, or a new one. The spawner has
 * prepared conf. Returns owned, for verdict_leave(). NULL when out of memory.
 */
CP_MUST_CHECK struct verdict_share *verdict_join(
	struct verdicts *verdicts, struct conf *conf, const struct conf_listener *rule);
/* The last one that leaves ends the verdict, and the run that may be under way. Nulls the holder. Any thread. */
void verdict_leave(struct verdict_share **share);
/* Borrowed. Any thread. */
const struct check_options *verdict_options(const struct verdict_share *share);

/* ---- asking: any thread ---------------------------------------------------------------- */

/* Somebody who asks. Zeroed with ready set is an initialised one. */
struct verdict_wish {
	struct list link;                         /* private: verdict.c */
	void (*ready)(struct verdict_wish *wish); /* main thread, under a lock: to be brief */
	struct verdict_result *result;            /* the asker's; NULL after ready(): there was no memory for one */
};

/* True: there is one that is young enough, wish->result. False: ready() will be called, unless it is withdrawn. */
CP_MUST_CHECK bool verdict_ask(struct verdict_share *share, struct verdict_wish *wish);
/* It waits no longer, if it did; a result that came meanwhile is the asker's. */
void verdict_withdraw(struct verdict_share *share, struct verdict_wish *wish);

#endif
