/* SPDX-License-Identifier: MIT */
/*
 * ending - a program that must end is told so by SIGTERM, and some time later by SIGKILL: its whole process group.
 *
 * The spawner may be too busy to hear of a signal, so SIGKILL is said again until the program has ended. On the thread
 * of its loop.
 */
#ifndef CP_PROGRAM_ENDING_H
#define CP_PROGRAM_ENDING_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/timer.h"

struct loop;
struct program;

/* Embedded in the program's owner. */
struct ending {
	bool has_begun;          /* it was told to end */
	struct program *program; /* private: ending.c, down to the end. Borrowed */
	struct loop *loop;
	struct timer timer;
	uint64_t kill_ms; /* what it is set to, once it has begun */
};

/* For one run of program, before it is started on loop. */
void ending_init(struct ending *ending, struct program *program, struct loop *loop);
/*
 * SIGTERM now, SIGKILL after patience_ms. When it was told already: no other SIGTERM, and SIGKILL at the earlier of
 * both times. It must run.
 */
void ending_begin(struct ending *ending, uint64_t patience_ms);
/* SIGKILL now. It must run. */
void ending_kill(struct ending *ending);
/* It has ended, or was never started. */
void ending_over(struct ending *ending);

#endif
