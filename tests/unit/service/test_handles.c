/* SPDX-License-Identifier: MIT */
/*
 * test_handles - names of connections: who has an old one wakes nobody, whatever ends at that moment on another thread.
 */
#include "config.h"

#include "service/handles.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include <check.h>

#include "base/defs.h"
#include "base/mem.h"
#include "engine/loop.h"

#define MANY 5000u
#define ROUNDS 3000u

static struct loop loop;

struct target {
	struct task task;
	unsigned runs;
};

static void
on_run(struct loop *self, struct task *task)
{
	ck_assert_ptr_eq(self, &loop);
	CP_CONTAINER_OF(task, struct target, task)->runs++;
}

static void
set_up(void)
{
	ck_assert_int_eq(loop_init(&loop, NULL, NULL), 0);
}

static void
tear_down(void)
{
	mem_fail_after(0);
	loop_fini(&loop);
}

static uint64_t
open_target(struct target *target, uint64_t connection)
{
	int64_t slot;

	*target = (struct target){.task.fn = on_run};
	slot = handles_open(connection, &loop, &target->task);
	ck_assert_int_gt(slot, 0);
	return (uint64_t)slot;
}

START_TEST(a_handle_posts_its_task)
{
	struct target target;
	uint64_t slot = open_target(&target, 7);

	ck_assert(handles_post(7, slot));
	ck_assert_int_eq(loop_turn(&loop, 0), 0);
	ck_assert_uint_eq(target.runs, 1);
	handles_close(7, slot);
}
END_TEST

START_TEST(a_closed_one_posts_nothing_even_when_its_slot_is_used_again)
{
	struct target first;
	struct target second;
	uint64_t slot = open_target(&first, 16);

	handles_close(16, slot);
	ck_assert(!handles_post(16, slot));
	/* Of the same table. */
	ck_assert_uint_eq(open_target(&second, 32), slot);
	ck_assert(!handles_post(16, slot));
	ck_assert_int_eq(loop_turn(&loop, 0), 0);
	ck_assert_uint_eq(second.runs, 0);
	ck_assert(handles_post(32, slot));
	loop_unpost(&loop, &second.task);
	handles_close(32, slot);
}
END_TEST

START_TEST(what_is_no_handle_posts_nothing)
{
	ck_assert(!handles_post(0, 0));
	ck_assert(!handles_post(1, 1u << 30));
	ck_assert(!handles_post(UINT64_MAX, UINT64_MAX));
}
END_TEST

START_TEST(there_may_be_many)
{
	static struct target targets[MANY];
	static uint64_t slots[MANY];

	for (unsigned i = 0; i < MANY; i++)
		slots[i] = open_target(&targets[i], i + 1);
	for (unsigned i = 0; i < MANY; i++)
		ck_assert(handles_post(i + 1, slots[i]));
	for (unsigned i = 0; i < MANY; i++) {
		handles_close(i + 1, slots[i]);
		loop_unpost(&loop, &targets[i].task);
	}
}
END_TEST

START_TEST(without_memory_there_is_none)
{
	static struct target targets[MANY];
	static uint64_t slots[MANY];
	unsigned count = 0;
	int64_t slot;

	mem_fail_after(1);
	for (;;) {
		targets[count] = (struct target){.task.fn = on_run};
		slot = handles_open(16u * (count + 1), &loop, &targets[count].task);
		if (slot < 0)
			break;
		slots[count++] = (uint64_t)slot;
		ck_assert_uint_lt(count, MANY);
	}
	ck_assert_int_eq(slot, -ENOMEM);
	mem_fail_after(0);
	for (unsigned i = 0; i < count; i++)
		handles_close(16u * (i + 1), slots[i]);
}
END_TEST

/* ---- two threads ----------------------------------------------------------------------- */

static _Atomic uint64_t known_connection;
static _Atomic uint64_t known_slot;
static atomic_bool is_over;

/* Wakes whoever it knows of, who may have ended long ago. */
static void *
post_on(void *unused)
{
	(void)unused;
	while (!atomic_load(&is_over))
		(void)!handles_post(atomic_load(&known_connection), atomic_load(&known_slot));
	return NULL;
}

START_TEST(one_that_ends_while_it_is_woken_is_left_alone)
{
	pthread_t thread;

	atomic_store(&is_over, false);
	ck_assert_int_eq(pthread_create(&thread, NULL, post_on, NULL), 0);
	for (unsigned i = 1; i <= ROUNDS; i++) {
		/* On the stack, and overwritten in the next round. */
		struct target target;
		uint64_t slot = open_target(&target, i);

		atomic_store(&known_connection, i);
		atomic_store(&known_slot, slot);
		ck_assert_int_eq(loop_turn(&loop, 0), 0);
		handles_close(i, slot);
		loop_unpost(&loop, &target.task);
	}
	atomic_store(&is_over, true);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert(list_is_empty(&loop.posted));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("service/handles");
	TCase *tc = tcase_create("handles");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(suite, tc);
	tcase_add_test(tc, a_handle_posts_its_task);
	tcase_add_test(tc, a_closed_one_posts_nothing_even_when_its_slot_is_used_again);
	tcase_add_test(tc, what_is_no_handle_posts_nothing);
	tcase_add_test(tc, there_may_be_many);
	tcase_add_test(tc, without_memory_there_is_none);
	tcase_add_test(tc, one_that_ends_while_it_is_woken_is_left_alone);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
