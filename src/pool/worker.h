/* SPDX-License-Identifier: MIT */
/*
 * worker - a thread that takes connections from its pool's queue while it has room, and runs their tasks.
 *
 *   WORKER_RUNNING --pool_close----> WORKER_CLOSING   takes until the queue is empty, ends with its last connection
 *         |        --shrink, stack-> WORKER_RETIRING  takes no more, ends with its last connection
 *         +-- both, when none is left: the thread ends (`ended` is set), the main thread joins it
 *
 * Started, told to end, and joined by the main thread (pool.c). Its connections are touched by its own thread only.
 */
#ifndef CP_POOL_WORKER_H
#define CP_POOL_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/slab.h"
#include "engine/sched.h"

struct pool;

#define WORKER_MAGIC 0x776f726b

enum worker_state { WORKER_RUNNING, WORKER_CLOSING, WORKER_RETIRING };

struct worker {
	uint32_t magic;
	unsigned number;   /* in its pool, from 0; fixed */
	struct pool *pool; /* borrowed; fixed */
	pthread_t thread;
	atomic_int state;          /* enum worker_state; written by the main thread */
	atomic_bool cancelled;     /* the drain is over: every connection ends now */
	atomic_bool ended;         /* the thread is past its last use of anything of ours */
	_Atomic uint64_t asked;    /* the main thread's question whether it still turns … */
	_Atomic uint64_t answered; /* … and this thread's answer: the same number */
	_Atomic unsigned active;   /* connections it has; written by this thread */

	/* This thread only. */
	bool has_drained;   /* has told its connections that the daemon stops */
	struct sched sched; /* but for what sched.h and loop.h give to others */
	struct slab conns;  /* of pool->tasks->task_size each */
	struct timer trim;  /* set: it has had no connection for a while, if that stays so */
	bool declined;      /* it left connections in the queue to workers that have fewer */

	uint64_t stall_logged_ns; /* main thread only: the stall that was logged */
};

/* Starts the thread. stack_bytes: of its fibers. 0 or -errno; on failure *ret_worker is untouched. Caller owns. */
CP_MUST_CHECK int worker_start(struct pool *pool, unsigned number, uint64_t stack_bytes, struct worker **ret_worker);
/* Main thread: the next step in its life; never back. */
void worker_set_state(struct worker *worker, enum worker_state state);
/* Main thread: the daemon begins to stop, and its connections are told so. */
void worker_drain(struct worker *worker);
/* Main thread: every connection that it has ends now, as drained. */
void worker_cancel(struct worker *worker);
/* Waits for the thread, which must have been told to end, and frees. Nulls the holder. */
void worker_join(struct worker **worker);

/*
 * Main thread: has it gone round its loop since it was last asked? If so, it is asked anew, and woken to answer; if
 * not, it still owes its answer. True for one never asked.
 */
bool worker_is_turning(struct worker *worker);

/* Any thread: may it be given more? Hints. */
bool worker_has_room(const struct worker *worker);

#endif
