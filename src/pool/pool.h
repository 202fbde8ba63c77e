/* SPDX-License-Identifier: MIT */
/*
 * pool - a queue and the workers that share it.
 *
 * The main thread makes it, submits to it, and changes it in place on a reload; a removed pool lives until its last
 * connection has ended.
 *
 * SPREAD: connections that live long end up evenly over the workers, also when they come one by one. The acceptor wakes
 * the sleeping worker that has the fewest. A worker that is awake takes its fair share (all connections, queued ones
 * included, over the number of workers, rounded up) and leaves the rest: it wakes a sleeper for them, and it takes them
 * after all once they have waited for POOL_FAIR_WAIT_MS, because the others may be held up.
 */
#ifndef CP_POOL_POOL_H
#define CP_POOL_POOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/list.h"
#include "base/lock.h"
#include "engine/timer.h"
#include "net/conn.h"
#include "pool/queue.h"

struct conf_pool;
struct loop;
struct sched;
struct worker;

#define POOL_MAGIC 0x706f6f6c
#define POOL_FAIR_WAIT_MS 2

/* What the workers run; joined to the sessions by the daemon. Called on the worker's thread, not on a fiber. */
struct pool_tasks {
	size_t task_size; /* of a task: its first member is a struct conn, the rest comes zeroed */
	/* The conn is open. The task ends by sched->done(). */
	void (*start)(struct sched *sched, struct conn *conn);
	/* The daemon begins to stop. It may be over when this returns. */
	void (*drain)(struct sched *sched, struct conn *conn);
	/* End it now, for the reason given, whatever it does. It may be over when this returns. */
	void (*cancel)(struct sched *sched, struct conn *conn, enum conn_end why);
};

/* What the pool tells the main thread. Called from any thread. */
struct pool_owner {
	void (*has_room)(void *arg);      /* a queue has room, for which somebody waits: queue.h, ROOM */
	void (*worker_sleeps)(void *arg); /* a shared worker has nothing to do; it has announced so already */
	void (*worker_ended)(void *arg);
	void *arg;
};

struct pool {
	uint32_t magic;
	char *name; /* fixed, as are tasks, owner and loop */
	const struct pool_tasks *tasks;
	const struct pool_owner *owner;
	struct loop *loop; /* of the main thread */
	struct queue queue;
	_Atomic uint64_t connections_per_worker; /* settings: written by the main thread */
	_Atomic uint64_t queue_timeout_ms;
	_Atomic unsigned worker_count; /* those that run */
	_Atomic uint64_t active;       /* connections on all workers */

	struct cp_lock lock;     /* LOCK_POOL; guards the two below: the main thread writes, workers read */
	struct worker **workers; /* owned; those that retire included, in order of their numbers */
	unsigned slots;          /* how many they are */

	/* Main thread only. */
	uint64_t queue_limit;
	uint64_t stack_bytes;
	uint64_t stall_warning_ms;
	unsigned next_number;
	struct timer expiry; /* of the oldest in the queue */
	struct list link;    /* in the daemon's list */
};

/* Makes it and starts its workers. 0 or -errno. Caller owns. */
CP_MUST_CHECK int pool_new(const struct conf_pool *conf, const struct pool_tasks *tasks, const struct pool_owner *owner,
	struct loop *loop, struct pool **ret_pool);
/* Every worker must have ended and been reaped. Accepts NULL, nulls the holder. */
void pool_free(struct pool **pool);

/*
 * A reload in two steps. prepare does what can fail: it starts the workers that will be too few. 0 or -errno; on
 * failure, or if the reload is given up, pool_revert() retires them again. commit takes everything over.
 */
CP_MUST_CHECK int pool_prepare(struct pool *pool, const struct conf_pool *conf);
void pool_revert(struct pool *pool);
void pool_commit(struct pool *pool, const struct conf_pool *conf);

/* ---- on the way of a connection (main thread) ------------------------------------ */

/* How many more may be submitted now; UINT_MAX for a pool that rejects. */
unsigned pool_room(const struct pool *pool);
/* True: owner->has_room() will be called. False: there is room for a batch. See queue.h, ROOM. */
CP_MUST_CHECK bool pool_await_room(struct pool *pool);
/* Takes *accepted: to the queue, or, when that is full or closed, to its rejection. */
void pool_submit(struct pool *pool, struct accepted *accepted);
/*
 * After a batch: wakes as many sleeping workers as there are connections in the queue. True: it woke one. Any thread.
 */
bool pool_wake(struct pool *pool);
/* A worker of it sleeps: a connection would be served at once. */
bool pool_has_sleeper(struct pool *pool);
/* Its workers have many connections each, and come back to their queue every turn. */
bool pool_is_shared(const struct pool *pool);

/* ---- the end ----------------------------------------------------------------------- */

/*
 * Nothing more comes in; workers end with their last connection. draining: the daemon stops, and handlers are told so.
 */
void pool_close(struct pool *pool, bool draining);
/* The drain is over: rejects what is queued, ends what is served. */
void pool_cancel(struct pool *pool);
/* Joins the workers that have ended. True: none is left. */
bool pool_reap(struct pool *pool);

/* ---- watching (main thread) ---------------------------------------------------------- */

struct pool_stall {
	unsigned worker;
	uint64_t connection;
	uint64_t listener; /* its number */
	uint64_t held_ms;
};
/* Calls report for each worker that one connection has held for stall_warning, once a stall. */
void pool_report_stalls(struct pool *pool, uint64_t now_ns,
	void (*report)(struct pool *, const struct pool_stall *, void *), void *arg);
/* Has every shared worker (connections_per_worker > 1) gone round its loop since the last call? Asks them to again. */
bool pool_is_turning(struct pool *pool);

#endif
