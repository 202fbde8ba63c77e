/* SPDX-License-Identifier: MIT */
/*
 * Errors find their kind, and sums stay sums.
 */
#include "config.h"

#include "client/result.h"

#include <check.h>
#include <errno.h>

static struct result first, second;

static void
setup(void)
{
	result_init(&first);
	result_init(&second);
}

START_TEST(each_errno_has_its_kind)
{
	ck_assert_int_eq(result_error_of(ECONNREFUSED), RESULT_REFUSED);
	ck_assert_int_eq(result_error_of(ECONNRESET), RESULT_RESET);
	ck_assert_int_eq(result_error_of(EPIPE), RESULT_RESET);
	ck_assert_int_eq(result_error_of(ETIMEDOUT), RESULT_TIMED_OUT);
	ck_assert_int_eq(result_error_of(RESULT_ERRNO_CLOSED_EARLY), RESULT_CLOSED_EARLY);
	ck_assert_int_eq(result_error_of(RESULT_ERRNO_CORRUPTED), RESULT_CORRUPTED);
	ck_assert_int_eq(result_error_of(ENETUNREACH), RESULT_OTHER);
}
END_TEST

START_TEST(each_kind_has_a_name)
{
	for (unsigned kind = 0; kind < RESULT_ERRORS; kind++)
		ck_assert_ptr_nonnull(result_error_name((enum result_error)kind));
}
END_TEST

START_TEST(the_last_other_error_is_kept)
{
	result_add_error(&first, ECONNRESET);
	ck_assert_int_eq(first.other_errno, 0);
	result_add_error(&first, ENETUNREACH);
	result_add_error(&first, EADDRNOTAVAIL);
	ck_assert_int_eq(first.other_errno, EADDRNOTAVAIL);
	ck_assert_uint_eq(first.errors[RESULT_OTHER], 2);
	ck_assert_uint_eq(result_error_sum(&first), 3);
}
END_TEST

START_TEST(merging_adds_counts_and_keeps_the_longer_window)
{
	first = (struct result){ .requests = 5, .ok = 4, .not_sent = 1, .connects = 2, .ok_in_window = 3 };
	first.window_ns = 70;
	histogram_init(&first.latency);
	second = first;
	second.window_ns = 90;
	result_add_error(&second, EADDRNOTAVAIL);
	histogram_record(&second.latency, 1000);
	result_merge(&first, &second);
	ck_assert_uint_eq(first.requests, 10);
	ck_assert_uint_eq(first.ok, 8);
	ck_assert_uint_eq(first.not_sent, 2);
	ck_assert_uint_eq(first.connects, 4);
	ck_assert_uint_eq(first.ok_in_window, 6);
	ck_assert_uint_eq(first.window_ns, 90);
	ck_assert_uint_eq(first.errors[RESULT_OTHER], 1);
	ck_assert_int_eq(first.other_errno, EADDRNOTAVAIL);
	ck_assert_uint_eq(histogram_count(&first.latency), 1);
}
END_TEST

START_TEST(the_rate_counts_what_ended_in_the_window)
{
	ck_assert(result_rate(&first) == 0.0);
	first.ok = 1000;
	first.ok_in_window = 500;
	first.window_ns = 2000000000;
	ck_assert(result_rate(&first) == 250.0);
}
END_TEST

static Suite *
result_suite(void)
{
	Suite *suite = suite_create("client/result");
	TCase *tc = tcase_create("errors");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, each_errno_has_its_kind);
	tcase_add_test(tc, each_kind_has_a_name);
	tcase_add_test(tc, the_last_other_error_is_kept);
	suite_add_tcase(suite, tc);
	tc = tcase_create("sums");
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, merging_adds_counts_and_keeps_the_longer_window);
	tcase_add_test(tc, the_rate_counts_what_ended_in_the_window);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	SRunner *runner = srunner_create(result_suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
