/* SPDX-License-Identifier: MIT */
/*
 * test_listener - the life of a listener and what its counters add up to.
 */
#include "config.h"

#include <check.h>

#include "../base/aborts.h"
#include "base/mem.h"
#include "net/listener.h"
#include "netfixture.h"

static struct listener_totals totals;

/* ---- life ----------------------------------------------------------------------- */

START_TEST(a_new_one_has_counted_nothing)
{
	struct listener *listener = listener_new("web", 7, &totals);

	ck_assert_ptr_nonnull(listener);
	ck_assert_str_eq(listener->name, "web");
	ck_assert_uint_eq(listener->number, 7);
	ck_assert_ptr_eq(listener->totals, &totals);
	ck_assert_ptr_null(listener->route);
	ck_assert(list_is_empty(&listener->sockets));
	ck_assert_uint_eq(atomic_load(&listener->counters.accepted), 0);
	ck_assert_uint_eq(listener_rejected(listener), 0);
	listener_unref(&listener);
}
END_TEST

START_TEST(the_name_is_a_copy)
{
	char name[] = "web";
	struct listener *listener = listener_new(name, 1, &totals);

	name[0] = 'x';
	ck_assert_str_eq(listener->name, "web");
	listener_unref(&listener);
}
END_TEST

START_TEST(the_last_reference_frees_it)
{
	struct listener *listener = listener_new("web", 1, &totals);
	struct listener *other = listener_ref(listener);

	ck_assert_ptr_eq(other, listener);
	listener_unref(&listener);
	ck_assert_ptr_null(listener);
	ck_assert_uint_eq(other->magic, LISTENER_MAGIC);
	ck_assert_str_eq(other->name, "web");
	listener_unref(&other);
	ck_assert_ptr_null(other);
}
END_TEST

START_TEST(no_reference_is_none_to_give_back)
{
	struct listener *listener = NULL;

	listener_unref(&listener);
	ck_assert_ptr_null(listener);
}
END_TEST

START_TEST(no_memory_is_told_at_every_allocation)
{
	unsigned n = 1;
	struct listener *listener = NULL;

	for (; listener == NULL; n++) {
		ck_assert_uint_lt(n, 10);
		mem_fail_after(n);
		listener = listener_new("web", 1, &totals);
	}
	mem_fail_after(0);
	ck_assert_uint_gt(n, 4); /* itself, its name, the sources and their table */
	listener_unref(&listener);
}
END_TEST

/* ---- counters ---------------------------------------------------------------------- */

START_TEST(rejected_is_the_sum_over_all_reasons)
{
	struct listener *listener = listener_new("web", 1, &totals);
	uint64_t expected = 0;

	for (int end = CONN_END_FIRST_REJECTED; end < CONN_END_COUNT; end++) {
		atomic_store(&listener->counters.rejected[end], (uint64_t)end);
		expected += (uint64_t)end;
	}
	ck_assert_uint_eq(listener_rejected(listener), expected);
	atomic_store(&listener->counters.accepted, expected);
	listener_unref(&listener);
}
END_TEST

static void
lose_a_connection(void *arg)
{
	struct listener *listener = listener_new("web", 1, &totals);

	(void)arg;
	atomic_store(&listener->counters.accepted, 2);
	atomic_store(&listener->counters.closed, 1);
	listener_unref(&listener);
}

START_TEST(a_connection_that_was_not_accounted_is_a_bug)
{
	ck_assert(aborts_saying(lose_a_connection, NULL, "listener_rejected"));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("net/listener");
	TCase *tc = fixture_case(suite, "life");

	tcase_add_test(tc, a_new_one_has_counted_nothing);
	tcase_add_test(tc, the_name_is_a_copy);
	tcase_add_test(tc, the_last_reference_frees_it);
	tcase_add_test(tc, no_reference_is_none_to_give_back);
	tcase_add_test(tc, no_memory_is_told_at_every_allocation);
	tc = fixture_case(suite, "counters");
	tcase_add_test(tc, rejected_is_the_sum_over_all_reasons);
	tcase_add_test(tc, a_connection_that_was_not_accounted_is_a_bug);
	return fixture_run(suite);
}
