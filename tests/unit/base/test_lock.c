/* SPDX-License-Identifier: MIT */
/*
 * Tests of base/lock: it excludes, it knows its owner, and in debug builds it knows its rank.
 */
#include "config.h"

#include <stdlib.h>

#include <check.h>

#include "base/lock.h"
#include "tests/unit/base/aborts.h"

#define THREADS 4
#define ROUNDS 20000

static struct cp_lock pool, queue, sources;
static unsigned counter; /* under queue */

static void
set_up(void)
{
	lock_init(&pool, LOCK_POOL);
	lock_init(&queue, LOCK_QUEUE);
	lock_init(&sources, LOCK_SOURCES);
	counter = 0;
}

static void
tear_down(void)
{
	lock_fini(&sources);
	lock_fini(&queue);
	lock_fini(&pool);
}

static void *
count_under_lock(void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		lock_acquire(&queue);
		lock_assert_held(&queue);
		counter++;
		lock_release(&queue);
	}
	return NULL;
}

static void
release(void *arg)
{
	lock_release(arg);
}

static void
assert_held(void *arg)
{
	lock_assert_held(arg);
}

static void
finish(void *arg)
{
	lock_fini(arg);
}

static void
acquire_in_ascending_ranks(void)
{
	lock_acquire(&pool);
	lock_acquire(&queue);
	lock_acquire(&sources);
}

static void
acquire_twice(void *arg)
{
	lock_acquire(arg);
	lock_acquire(arg);
}

static void
acquire_after_queue(void *arg)
{
	lock_acquire(&queue);
	lock_acquire(arg);
}

static void *
release_in_thread(void *arg)
{
	lock_release(arg);
	return NULL;
}

static void *
assert_held_in_thread(void *arg)
{
	lock_assert_held(arg);
	return NULL;
}

static void
release_what_another_thread_holds(void *arg)
{
	pthread_t thread;

	lock_acquire(arg);
	if (pthread_create(&thread, NULL, release_in_thread, arg) == 0)
		pthread_join(thread, NULL);
}

static void
assert_held_what_another_thread_holds(void *arg)
{
	pthread_t thread;

	lock_acquire(arg);
	if (pthread_create(&thread, NULL, assert_held_in_thread, arg) == 0)
		pthread_join(thread, NULL);
}

static void
finish_while_held(void *arg)
{
	lock_acquire(arg);
	finish(arg);
}

START_TEST(threads_exclude_each_other)
{
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, count_under_lock, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(counter, THREADS * ROUNDS);
}
END_TEST

START_TEST(may_be_taken_again_after_release)
{
	for (int i = 0; i < 3; i++) {
		lock_acquire(&queue);
		lock_release(&queue);
	}
}
END_TEST

START_TEST(taking_it_twice_aborts)
{
	ck_assert(aborts_saying(acquire_twice, &queue, "!is_mine(lock)"));
}
END_TEST

START_TEST(releasing_what_nobody_holds_aborts)
{
	ck_assert(aborts_saying(release, &queue, "is_mine(lock)"));
	lock_acquire(&queue);
	lock_release(&queue);
	ck_assert(aborts_saying(release, &queue, "is_mine(lock)"));
}
END_TEST

START_TEST(releasing_what_another_thread_holds_aborts)
{
	ck_assert(aborts_saying(release_what_another_thread_holds, &queue, "in lock_release()"));
}
END_TEST

START_TEST(assert_held_passes_for_the_owner_alone)
{
	ck_assert(aborts_saying(assert_held, &queue, "in lock_assert_held()"));
	ck_assert(aborts_saying(assert_held_what_another_thread_holds, &queue, "in lock_assert_held()"));
	lock_acquire(&queue);
	lock_assert_held(&queue);
	lock_release(&queue);
	ck_assert(aborts_saying(assert_held, &queue, "in lock_assert_held()"));
}
END_TEST

START_TEST(finishing_a_held_lock_aborts)
{
	ck_assert(aborts_saying(finish_while_held, &queue, "in lock_fini()"));
}
END_TEST

START_TEST(ascending_ranks_are_free_to_be_released_in_any_order)
{
	acquire_in_ascending_ranks();
	lock_release(&queue);
	lock_assert_held(&pool);
	lock_assert_held(&sources);
	lock_release(&sources);
	lock_acquire(&queue);
	lock_release(&pool);
	lock_acquire(&sources);
	lock_release(&queue);
	lock_release(&sources);
	acquire_in_ascending_ranks();
	lock_release(&sources);
	lock_release(&queue);
	lock_release(&pool);
}
END_TEST

START_TEST(ranks_are_checked_in_debug_builds_alone)
{
	struct cp_lock second_queue;

	lock_init(&second_queue, LOCK_QUEUE);
#ifdef CP_DEBUG
	ck_assert(aborts_saying(acquire_after_queue, &pool, "in check_rank()"));
	ck_assert(aborts_saying(acquire_after_queue, &second_queue, "in check_rank()"));
#else
	acquire_after_queue(&pool);
	lock_release(&pool);
	lock_release(&queue);
#endif
	acquire_after_queue(&sources);
	lock_release(&sources);
	lock_release(&queue);
	lock_fini(&second_queue);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("base/lock");
	TCase *tc = tcase_create("owner");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, threads_exclude_each_other);
	tcase_add_test(tc, may_be_taken_again_after_release);
	tcase_add_test(tc, taking_it_twice_aborts);
	tcase_add_test(tc, releasing_what_nobody_holds_aborts);
	tcase_add_test(tc, releasing_what_another_thread_holds_aborts);
	tcase_add_test(tc, assert_held_passes_for_the_owner_alone);
	tcase_add_test(tc, finishing_a_held_lock_aborts);
	suite_add_tcase(suite, tc);
	tc = tcase_create("rank");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, ascending_ranks_are_free_to_be_released_in_any_order);
	tcase_add_test(tc, ranks_are_checked_in_debug_builds_alone);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
