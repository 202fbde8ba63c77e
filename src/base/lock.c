/* SPDX-License-Identifier: MIT */
/*
 * lock - a mutex that knows its owner and its rank.
 *
 * Any thread. The owner is the address of a thread-local of its thread: one store to note, one load to check, no call.
 * Only the owner ever writes its own address, so a relaxed load that finds it is proof, and one that finds
 * anything else is proof of the contrary. The ranks held are recorded in debug builds alone.
 */
#include "config.h"

#include "base/lock.h"

#include <stddef.h>

#include "base/assert.h"

static _Thread_local char self;

static bool
is_mine(const struct cp_lock *lock)
{
	return __atomic_load_n(&lock->owner, __ATOMIC_RELAXED) == &self;
}

#ifdef CP_DEBUG

#define HELD_MAX 8

/* Ascending, because nothing else is let in; a release takes out of the middle and keeps the order. */
static _Thread_local struct {
	enum lock_rank ranks[HELD_MAX];
	unsigned count;
} held;

static void
check_rank(enum lock_rank rank)
{
	CP_ASSERT(held.count < HELD_MAX);
	CP_ASSERT(held.count == 0 || held.ranks[held.count - 1] < rank);
}

static void
note_acquired(enum lock_rank rank)
{
	held.ranks[held.count++] = rank;
}

static void
note_released(enum lock_rank rank)
{
	unsigned i = 0;

	while (i < held.count && held.ranks[i] != rank)
		i++;
	CP_ASSERT(i < held.count);
	held.count--;
	for (; i < held.count; i++)
		held.ranks[i] = held.ranks[i + 1];
}

#else

static void
check_rank(enum lock_rank rank)
{
	(void)rank;
}

static void
note_acquired(enum lock_rank rank)
{
	(void)rank;
}

static void
note_released(enum lock_rank rank)
{
	(void)rank;
}

#endif

void
lock_init(struct cp_lock *lock, enum lock_rank rank)
{
	CP_PTHREAD(pthread_mutex_init(&lock->mutex, NULL));
	lock->rank = rank;
	lock->owner = NULL;
}

void
lock_fini(struct cp_lock *lock)
{
	CP_ASSERT(__atomic_load_n(&lock->owner, __ATOMIC_RELAXED) == NULL);
	CP_PTHREAD(pthread_mutex_destroy(&lock->mutex));
}

void
lock_acquire(struct cp_lock *lock)
{
	/* Before the mutex: afterwards there would be a deadlock and no message. */
	CP_ASSERT(!is_mine(lock));
	check_rank(lock->rank);
	CP_PTHREAD(pthread_mutex_lock(&lock->mutex));
	__atomic_store_n(&lock->owner, &self, __ATOMIC_RELAXED);
	note_acquired(lock->rank);
}

void
lock_release(struct cp_lock *lock)
{
	CP_ASSERT(is_mine(lock));
	note_released(lock->rank);
	__atomic_store_n(&lock->owner, NULL, __ATOMIC_RELAXED);
	CP_PTHREAD(pthread_mutex_unlock(&lock->mutex));
}

void
lock_assert_held(const struct cp_lock *lock)
{
	CP_ASSERT(is_mine(lock));
}
