/* SPDX-License-Identifier: MIT */
/*
 * lock - a mutex that knows its owner and its rank.
 *
 * A thread may take a lock only while every lock that it holds has a lower rank: then no two threads can
 * wait for each other. In debug builds taking one out of rank aborts. Locks are held for a few
 * instructions; never across a system call that can block or across a fiber switch.
 *
 * THE LOCK TABLE
 *   rank             lock                     protects
 *   LOCK_POOL        struct pool .lock        the list of workers, growing and shrinking
 *   LOCK_QUEUE       struct queue .lock       the ring of accepted connections
 *   LOCK_SOURCES     struct sources .lock     connections counted by source address
 *   LOCK_UPSTREAM    struct upstream .lock    its servers, their places, the clients that wait for one
 *   LOCK_ACCEPT      struct accept_thread .lock  whether its owner has left it; it posts to the loop while holding it
 *   LOCK_VERDICT     struct verdict .lock     what a check's command said, the clients that wait for it
 *   LOCK_BLOCKING    the queue in blocking.c  calls that wait for a helper thread, and the threads
 *   LOCK_HANDLES     a table in handles.c     which connections can be woken by other threads
 *   LOCK_LOOP        struct loop .lock        tasks posted by other threads
 *   LOCK_SPAWNER     in spawner.c             the socket to the keeper, and which tables of programs are in use
 *   LOCK_MODULES     the list in module.c     which modules are loaded
 *   LOCK_LOG         the log's ring list      which threads have a ring
 */
#ifndef CP_BASE_LOCK_H
#define CP_BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>

enum lock_rank {
	LOCK_POOL = 10,
	LOCK_QUEUE = 20,
	LOCK_SOURCES = 30,
	LOCK_ACCEPT = 32,
	LOCK_VERDICT = 33,
	LOCK_UPSTREAM = 34,
	LOCK_BLOCKING = 35,
	LOCK_HANDLES = 36,
	LOCK_LOOP = 37,
	LOCK_SPAWNER = 38,
	LOCK_MODULES = 39,
	LOCK_LOG = 40,
};

struct cp_lock {
	pthread_mutex_t mutex; /* private: lock.c */
	enum lock_rank rank;   /* private: lock.c */
	const void *owner;     /* private: lock.c; the thread that holds it, NULL: none; written by the owner only */
};

/* For one that lives as long as the program. */
#define LOCK_INITIALIZER(of_rank) \
	{ \
		.mutex = PTHREAD_MUTEX_INITIALIZER, .rank = (of_rank) \
	}

void lock_init(struct cp_lock *lock, enum lock_rank rank);
/* Must not be held. */
void lock_fini(struct cp_lock *lock);
/* Aborts when this thread holds it already (and, in debug builds, when out of rank). */
void lock_acquire(struct cp_lock *lock);
/* Aborts when this thread does not hold it. */
void lock_release(struct cp_lock *lock);
/* Aborts unless this thread holds it: opens every function whose name ends in _locked. */
void lock_assert_held(const struct cp_lock *lock);

#endif
