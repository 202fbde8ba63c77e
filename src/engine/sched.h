/* SPDX-License-Identifier: MIT */
/*
 * sched - one thread's scheduler as a whole: its loop, its fibers, and what the rest of the daemon may see of it.
 *
 * The worker owns it; the tasks that run on it (sessions) are given it. Tasks report their end by sched->done().
 */
#ifndef CP_ENGINE_SCHED_H
#define CP_ENGINE_SCHED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/fiber.h"
#include "engine/loop.h"
#include "engine/relay.h"

struct sched;

/* The task is over, its watches and timers are gone: whoever gave it its memory takes it back. */
typedef void sched_done_fn(struct sched *sched, void *task);

struct sched {
	struct loop loop;
	struct fiber_pool *fibers;
	struct relay_pool relays;
	sched_done_fn *done;

	/*
	 * Written by this thread, read by those that look for a worker with room and by the one that watches for
	 * stalls. Relaxed: a hint about the present, nothing is published by it.
	 */
	_Atomic unsigned lingering;        /* tasks that only wait for their client to close; they hold no room */
	_Atomic uint64_t busy_since_ns;    /* start of the turn in which a task runs right now; 0: none does */
	_Atomic uint64_t busy_connection;  /* its number */
	_Atomic uint64_t busy_listener;    /* the number of its listener */
	atomic_bool draining;              /* the daemon stops */
};

/* Around every run of a task. */
static inline void
sched_enter(struct sched *sched, uint64_t connection, uint64_t listener)
{
	atomic_store_explicit(&sched->busy_connection, connection, memory_order_relaxed);
	atomic_store_explicit(&sched->busy_listener, listener, memory_order_relaxed);
	atomic_store_explicit(&sched->busy_since_ns, sched->loop.now_ns, memory_order_relaxed);
}

static inline void
sched_leave(struct sched *sched)
{
	atomic_store_explicit(&sched->busy_since_ns, 0, memory_order_relaxed);
}

/* A task begins, or ends, to do nothing but wait for its client to close. */
static inline void
sched_begin_linger(struct sched *sched)
{
	unsigned lingering = atomic_load_explicit(&sched->lingering, memory_order_relaxed);

	atomic_store_explicit(&sched->lingering, lingering + 1, memory_order_relaxed);
}

static inline void
sched_end_linger(struct sched *sched)
{
	unsigned lingering = atomic_load_explicit(&sched->lingering, memory_order_relaxed);

	atomic_store_explicit(&sched->lingering, lingering - 1, memory_order_relaxed);
}

#endif
