/* SPDX-License-Identifier: MIT */
/*
 * blocking - helper threads of the process, for what would block a worker (cp_blocking()).
 *
 * They are started as they are wanted, up to BLOCKING_THREADS_MAX, and stay until blocking_stop(). What they do not get
 * to at once waits in arrival order. Both bounds are fixed: a service that wants more threads than these is better
 * off on a pool with connections_per_worker = 1.
 *
 * WAKEUP: a semaphore counts what was queued; a job that was withdrawn leaves its count behind, and whoever takes it
 * finds nothing to do.
 */
#ifndef CP_SERVICE_BLOCKING_H
#define CP_SERVICE_BLOCKING_H

#include <stdbool.h>

#include "base/defs.h"
#include "base/running.h"
#include "engine/loop.h"

#define BLOCKING_THREADS_MAX 32u
/* A name look-up or a client library may want a few hundred KiB; only what is touched costs memory. */
#define BLOCKING_STACK_BYTES (1024u * 1024)
/* Beside those that run. */
#define BLOCKING_QUEUE_MAX 1024u

/* Its owner's, who keeps it where it is until it is done or withdrawn. Zeroed, then the fields that are not private. */
struct blocking_job {
	struct list link; /* private: blocking.c */
	void (*fn)(void *arg);
	void *arg;
	struct loop *loop;
	struct running caller; /* for whom; its function becomes fn */
	struct task done; /* runs on the loop's thread once fn has returned; it begins with blocking_settle() */
};

/* Has it run. 0; -EAGAIN: too many wait, or there is no thread and none can be started. Any thread. */
CP_MUST_CHECK int blocking_submit(struct blocking_job *job);
/* Takes it back unless it has begun. True: it will not run, and done will not. Any thread. */
CP_MUST_CHECK bool blocking_withdraw(struct blocking_job *job);
/* After it the helper that posted done touches neither the job nor the loop: both may go. */
void blocking_settle(void);

/* Ends and joins the threads. No job may be left. Later ones start new threads. Main thread. */
void blocking_stop(void);

#endif
