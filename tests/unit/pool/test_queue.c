/* SPDX-License-Identifier: MIT */
/*
 * queue: order, limits that hold and change, the fair share, and that no entry is lost or doubled between threads.
 *
 * Entries are bare: their id and time are all that the queue is to keep; no descriptor is open.
 */
#include "config.h"

#include "pool/queue.h"

#include <check.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define SOME_FD 1000 /* never used */
#define TIMEOUT_S 60

static struct queue queue;
static uint64_t pushed; /* the last id */
static uint64_t popped;

static struct accepted
make(uint64_t id, uint64_t accepted_ns)
{
	return (struct accepted){.fd = SOME_FD + (int)id, .id = id, .accepted_ns = accepted_ns, .backlog_ms = 3};
}

/* The next id; its time is the id. */
static int
push(void)
{
	struct accepted accepted = make(pushed + 1, pushed + 1);
	int rc = queue_push(&queue, &accepted);

	/* Moved on, or untouched. */
	ck_assert_int_eq(accepted.fd, rc == 0 ? -1 : SOME_FD + (int)pushed + 1);
	if (rc == 0)
		pushed++;
	return rc;
}

static void
push_many(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		ck_assert_int_eq(push(), 0);
}

/* Up to max, whatever their age; each must be the next in order. */
static unsigned
pop(unsigned max)
{
	struct accepted items[64];
	unsigned count = queue_pop(&queue, items, max, UINT32_MAX, 0);

	for (unsigned i = 0; i < count; i++) {
		ck_assert_uint_eq(items[i].id, ++popped);
		ck_assert_int_eq(items[i].fd, SOME_FD + (int)popped);
		ck_assert_uint_eq(items[i].backlog_ms, 3);
	}
	return count;
}

static void
pop_all(void)
{
	while (pop(64) > 0)
		continue;
	ck_assert_uint_eq(popped, pushed);
}

static void
set_up(void)
{
	pushed = 0;
	popped = 0;
	ck_assert_int_eq(queue_init(&queue, 5), 0);
}

static void
tear_down(void)
{
	pop_all();
	ck_assert_uint_eq(queue_length(&queue), 0);
	queue_fini(&queue);
}

/* ---- order and limit --------------------------------------------------------- */

START_TEST(entries_come_out_in_order_of_arrival)
{
	for (unsigned round = 0; round < 20; round++) {
		push_many(3);
		ck_assert_uint_eq(pop(2), 2);
		ck_assert_uint_eq(queue_length(&queue), 1);
		push_many(4);
		ck_assert_uint_eq(queue_length(&queue), 5);
		ck_assert_uint_eq(pop(64), 5);
	}
}
END_TEST

START_TEST(pop_takes_no_more_than_asked)
{
	push_many(5);
	ck_assert_uint_eq(pop(0), 0);
	ck_assert_uint_eq(pop(1), 1);
	ck_assert_uint_eq(pop(3), 3);
	ck_assert_uint_eq(pop(3), 1);
	ck_assert_uint_eq(pop(3), 0);
}
END_TEST

START_TEST(push_fails_when_full)
{
	push_many(5);
	ck_assert_int_eq(push(), -EAGAIN);
	ck_assert_uint_eq(queue_length(&queue), 5);
	ck_assert_uint_eq(pop(1), 1);
	ck_assert_int_eq(push(), 0);
	ck_assert_int_eq(push(), -EAGAIN);
}
END_TEST

START_TEST(push_fails_when_closed)
{
	push_many(2);
	queue_close(&queue);
	ck_assert_int_eq(push(), -ESHUTDOWN);
	/* What is in it still comes out, and being empty does not open it again. */
	ck_assert_uint_eq(pop(64), 2);
	ck_assert_int_eq(push(), -ESHUTDOWN);
}
END_TEST

START_TEST(a_full_queue_that_closes_says_closed)
{
	push_many(5);
	queue_close(&queue);
	ck_assert_int_eq(push(), -ESHUTDOWN);
}
END_TEST

START_TEST(oldest_is_that_of_the_next_to_come_out)
{
	ck_assert_uint_eq(queue_oldest_ns(&queue), UINT64_MAX);
	push_many(3);
	ck_assert_uint_eq(queue_oldest_ns(&queue), 1);
	pop(2);
	ck_assert_uint_eq(queue_oldest_ns(&queue), 3);
	pop(1);
	ck_assert_uint_eq(queue_oldest_ns(&queue), UINT64_MAX);
}
END_TEST

/* ---- the fair share ------------------------------------------------------------- */

/* Their times are 1 to 5. */
static unsigned
pop_fair(unsigned max, unsigned fair, uint64_t old_ns)
{
	struct accepted items[8];
	unsigned count;

	push_many(5);
	count = queue_pop(&queue, items, max, fair, old_ns);
	for (unsigned i = 0; i < count; i++)
		ck_assert_uint_eq(items[i].id, ++popped);
	return count;
}

START_TEST(beyond_the_fair_share_only_the_old_come_out)
{
	ck_assert_uint_eq(pop_fair(8, 0, 4), 3);
	ck_assert_uint_eq(queue_length(&queue), 2);
}
END_TEST

START_TEST(the_fair_share_comes_out_however_young)
{
	ck_assert_uint_eq(pop_fair(8, 2, 0), 2);
}
END_TEST

START_TEST(nothing_fair_and_nothing_old_is_nothing)
{
	ck_assert_uint_eq(pop_fair(8, 0, 1), 0);
}
END_TEST

START_TEST(max_bounds_the_old_too)
{
	ck_assert_uint_eq(pop_fair(4, 1, UINT64_MAX), 4);
}
END_TEST

START_TEST(the_old_count_towards_the_fair_share)
{
	/* 1 and 2 are old, and the share is 3: not 2 + 3. */
	ck_assert_uint_eq(pop_fair(8, 3, 3), 3);
}
END_TEST

/* ---- changing the limit ------------------------------------------------------------ */

/* The ring of 5 begins in its middle and goes round its end. */
static void
wrap_around(void)
{
	push_many(4);
	pop(3);
	push_many(4);
	ck_assert_uint_eq(queue_length(&queue), 5);
}

START_TEST(raising_keeps_what_is_inside_in_order)
{
	wrap_around();
	ck_assert_int_eq(queue_set_limit(&queue, 9), 0);
	ck_assert_uint_eq(queue_limit(&queue), 9);
	push_many(4);
	ck_assert_int_eq(push(), -EAGAIN);
	ck_assert_uint_eq(pop(64), 9);
}
END_TEST

START_TEST(lowering_lets_what_is_inside_out_first)
{
	wrap_around();
	ck_assert_int_eq(queue_set_limit(&queue, 2), 0);
	ck_assert_uint_eq(queue_length(&queue), 5);
	ck_assert_int_eq(push(), -EAGAIN);
	ck_assert_uint_eq(pop(3), 3);
	ck_assert_int_eq(push(), -EAGAIN);
	ck_assert_uint_eq(pop(1), 1);
	ck_assert_int_eq(push(), 0);
	ck_assert_int_eq(push(), -EAGAIN);
}
END_TEST

START_TEST(lowered_and_raised_again_needs_no_memory)
{
	wrap_around();
	ck_assert_int_eq(queue_set_limit(&queue, 1), 0);
	mem_fail_after(1);
	ck_assert_int_eq(queue_set_limit(&queue, 5), 0);
	mem_fail_after(0);
	ck_assert_uint_eq(pop(2), 2);
	push_many(2);
	ck_assert_int_eq(push(), -EAGAIN);
}
END_TEST

START_TEST(no_memory_on_raising_changes_nothing)
{
	wrap_around();
	mem_fail_after(1);
	ck_assert_int_eq(queue_set_limit(&queue, 6), -ENOMEM);
	mem_fail_after(0);
	ck_assert_uint_eq(queue_limit(&queue), 5);
	ck_assert_int_eq(push(), -EAGAIN);
	ck_assert_uint_eq(pop(64), 5);
	push_many(5);
}
END_TEST

START_TEST(no_memory_makes_no_queue)
{
	struct queue other;

	mem_fail_after(1);
	ck_assert_int_eq(queue_init(&other, 5), -ENOMEM);
	mem_fail_after(0);
	queue_fini(&other);
}
END_TEST

/* ---- room ------------------------------------------------------------------------- */

static unsigned announced;

static void
on_room(void *arg)
{
	ck_assert_ptr_eq(arg, &announced);
	announced++;
}

/* A queue of so many, full, whose room is waited for. */
static void
fill_and_wait(unsigned limit)
{
	announced = 0;
	queue_on_room(&queue, on_room, &announced);
	ck_assert_int_eq(queue_set_limit(&queue, limit), 0);
	push_many(limit);
	ck_assert_uint_eq(queue_room(&queue), 0);
	ck_assert(queue_await_room(&queue));
}

START_TEST(a_quarter_of_room_is_announced_once)
{
	fill_and_wait(8);
	ck_assert_uint_eq(pop(1), 1);
	ck_assert_uint_eq(announced, 0);
	ck_assert_uint_eq(pop(1), 1);
	ck_assert_uint_eq(announced, 1);
	ck_assert_uint_eq(pop(6), 6);
	ck_assert_uint_eq(announced, 1);
}
END_TEST

START_TEST(room_for_one_is_announced_by_the_smallest_queues)
{
	for (unsigned limit = 1; limit <= 4; limit++) {
		fill_and_wait(limit);
		ck_assert_uint_eq(pop(1), 1);
		ck_assert_uint_eq(announced, 1);
		pop_all();
	}
}
END_TEST

/* As the second of two sockets does, when there is room but not yet a quarter. */
START_TEST(who_looks_for_room_takes_back_nobody_s_request)
{
	fill_and_wait(8);
	ck_assert_uint_eq(pop(1), 1);
	ck_assert_uint_eq(queue_room(&queue), 1);
	ck_assert(queue_await_room(&queue));
	push_many(1);
	ck_assert_uint_eq(pop(2), 2);
	ck_assert_uint_eq(announced, 1);
}
END_TEST

START_TEST(room_that_is_there_is_told_at_once_and_the_request_stays)
{
	fill_and_wait(4);
	ck_assert_uint_eq(pop(2), 2);
	ck_assert_uint_eq(announced, 1);
	ck_assert(!queue_await_room(&queue));
	ck_assert_uint_eq(pop(1), 1);
	ck_assert_uint_eq(announced, 2);
}
END_TEST

START_TEST(every_change_that_makes_room_is_announced)
{
	fill_and_wait(4);
	ck_assert_int_eq(queue_set_limit(&queue, 3), 0);
	ck_assert_uint_eq(announced, 0);
	ck_assert_int_eq(queue_set_limit(&queue, 6), 0);
	ck_assert_uint_eq(announced, 1);
	push_many(2);
	ck_assert(queue_await_room(&queue));
	queue_set_rejects(&queue, true);
	ck_assert_uint_eq(announced, 2);
	ck_assert_uint_eq(queue_room(&queue), UINT_MAX);
	queue_set_rejects(&queue, false);
	ck_assert_uint_eq(queue_room(&queue), 0);
	ck_assert(queue_await_room(&queue));
	queue_close(&queue);
	ck_assert_uint_eq(announced, 3);
	ck_assert_uint_eq(queue_room(&queue), UINT_MAX);
}
END_TEST

/* ---- between threads ------------------------------------------------------------------ */

#define PRODUCERS 3
#define CONSUMERS 3
#define EACH 20000

static atomic_uint seen[PRODUCERS * EACH];
static atomic_uint taken;

static void *
produce(void *arg)
{
	uint64_t first = (uint64_t)(uintptr_t)arg * EACH;

	for (uint64_t i = 0; i < EACH; i++) {
		struct accepted accepted = make(first + i, 1);

		while (queue_push(&queue, &accepted) == -EAGAIN)
			sched_yield();
		ck_assert_int_eq(accepted.fd, -1);
	}
	return NULL;
}

/* Of one producer a consumer sees a part, but that in order. */
static void *
consume(void *arg)
{
	uint64_t last[PRODUCERS] = {0};
	struct accepted items[7];

	(void)arg;
	while (atomic_load(&taken) < PRODUCERS * EACH) {
		unsigned count = queue_pop(&queue, items, CP_COUNT(items), 2, 2);

		for (unsigned i = 0; i < count; i++) {
			uint64_t producer = items[i].id / EACH;

			ck_assert_int_eq(items[i].fd, SOME_FD + (int)items[i].id);
			ck_assert_uint_ge(items[i].id + 1, last[producer] + 1);
			last[producer] = items[i].id + 1;
			atomic_fetch_add(&seen[items[i].id], 1);
		}
		atomic_fetch_add(&taken, count);
		if (count == 0)
			sched_yield();
	}
	return NULL;
}

START_TEST(threads_lose_and_double_nothing)
{
	pthread_t threads[PRODUCERS + CONSUMERS];

	for (uintptr_t i = 0; i < PRODUCERS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, produce, (void *)i), 0);
	for (unsigned i = PRODUCERS; i < CP_COUNT(threads); i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, consume, NULL), 0);
	/* Meanwhile the limit goes up and down, beyond the ring and back. */
	for (unsigned limit = 1; atomic_load(&taken) < PRODUCERS * EACH; limit = limit % 90 + 1) {
		ck_assert_int_eq(queue_set_limit(&queue, limit), 0);
		(void)queue_oldest_ns(&queue);
		ck_assert_uint_le(queue_length(&queue), 90);
		sched_yield();
	}
	for (unsigned i = 0; i < CP_COUNT(threads); i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	for (unsigned i = 0; i < CP_COUNT(seen); i++)
		ck_assert_uint_eq(atomic_load(&seen[i]), 1);
}
END_TEST

/* ------------------------------------------------------------------------------------------ */

static void
add_case(Suite *suite, const char *name, const TTest *const *tests, size_t count)
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, TIMEOUT_S);
	for (size_t i = 0; i < count; i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
}

int
main(void)
{
	const TTest *const order[] = {entries_come_out_in_order_of_arrival, pop_takes_no_more_than_asked,
		push_fails_when_full, push_fails_when_closed, a_full_queue_that_closes_says_closed,
		oldest_is_that_of_the_next_to_come_out};
	const TTest *const fair[] = {beyond_the_fair_share_only_the_old_come_out,
		the_fair_share_comes_out_however_young, nothing_fair_and_nothing_old_is_nothing, max_bounds_the_old_too,
		the_old_count_towards_the_fair_share};
	const TTest *const limit[] = {raising_keeps_what_is_inside_in_order, lowering_lets_what_is_inside_out_first,
		lowered_and_raised_again_needs_no_memory, no_memory_on_raising_changes_nothing,
		no_memory_makes_no_queue};
	const TTest *const room[] = {a_quarter_of_room_is_announced_once,
		room_for_one_is_announced_by_the_smallest_queues, who_looks_for_room_takes_back_nobody_s_request,
		room_that_is_there_is_told_at_once_and_the_request_stays, every_change_that_makes_room_is_announced};
	const TTest *const threads[] = {threads_lose_and_double_nothing};
	Suite *suite = suite_create("pool/queue");
	SRunner *runner = srunner_create(suite);
	int failed;

	add_case(suite, "order", order, CP_COUNT(order));
	add_case(suite, "fair share", fair, CP_COUNT(fair));
	add_case(suite, "limit", limit, CP_COUNT(limit));
	add_case(suite, "room", room, CP_COUNT(room));
	add_case(suite, "threads", threads, CP_COUNT(threads));
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
