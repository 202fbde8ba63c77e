/* SPDX-License-Identifier: MIT */
/*
 * The histogram is held against the sorted values themselves: no quantile may be below the true one or more than
 * 1/64 above it.
 */
#include "config.h"

#include "base/histogram.h"

#include <check.h>
#include <stdlib.h>

static struct histogram subject;
static struct histogram other;

static void
setup(void)
{
	histogram_init(&subject);
	histogram_init(&other);
}

static uint64_t
next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static int
compare_values(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

START_TEST(an_empty_one_answers_zero)
{
	ck_assert_uint_eq(histogram_count(&subject), 0);
	ck_assert_uint_eq(histogram_min(&subject), 0);
	ck_assert_uint_eq(histogram_max(&subject), 0);
	ck_assert_uint_eq(histogram_quantile(&subject, 500000), 0);
	ck_assert(histogram_mean(&subject) == 0.0);
}
END_TEST

START_TEST(one_value_is_every_quantile)
{
	histogram_record(&subject, 1234567);
	ck_assert_uint_eq(histogram_quantile(&subject, 0), 1234567);
	ck_assert_uint_eq(histogram_quantile(&subject, 1), 1234567);
	ck_assert_uint_eq(histogram_quantile(&subject, 1000000), 1234567);
	ck_assert_uint_eq(histogram_min(&subject), 1234567);
	ck_assert_uint_eq(histogram_max(&subject), 1234567);
}
END_TEST

START_TEST(the_ends_of_the_range_have_buckets)
{
	histogram_record(&subject, 0);
	histogram_record(&subject, UINT64_MAX);
	ck_assert_uint_eq(histogram_min(&subject), 0);
	ck_assert_uint_eq(histogram_quantile(&subject, 500000), 0);
	ck_assert_uint_eq(histogram_quantile(&subject, 500001), UINT64_MAX);
	ck_assert_uint_eq(histogram_max(&subject), UINT64_MAX);
}
END_TEST

START_TEST(values_below_128_are_exact)
{
	for (uint64_t value = 0; value < 128; value++) {
		histogram_init(&subject);
		histogram_record(&subject, value);
		histogram_record(&subject, 1000000);
		ck_assert_uint_eq(histogram_quantile(&subject, 500000), value);
	}
}
END_TEST

START_TEST(every_power_of_two_is_within_a_64th)
{
	for (unsigned bit = 0; bit < 63; bit++) {
		for (int near = -1; near <= 1; near++) {
			uint64_t value = (1ull << bit) + (uint64_t)(int64_t)near, got;

			histogram_init(&subject);
			histogram_record(&subject, value);
			histogram_record(&subject, UINT64_MAX);
			got = histogram_quantile(&subject, 500000);
			ck_assert_uint_ge(got, value);
			ck_assert_uint_le(got - value, value / 64);
		}
	}
}
END_TEST

START_TEST(quantiles_are_within_a_64th_of_the_sorted_values)
{
	enum { N = 10007 };
	static uint64_t values[N];
	static const uint32_t ppms[] = { 1, 1000, 250000, 500000, 900000, 990000, 999000, 999999, 1000000 };
	uint64_t state = 88172645463325252ull;

	for (size_t i = 0; i < N; i++) {
		values[i] = next_random(&state) >> (i % 50);
		histogram_record(&subject, values[i]);
	}
	qsort(values, N, sizeof(values[0]), compare_values);
	for (size_t i = 0; i < CP_COUNT(ppms); i++) {
		uint64_t rank = ((uint64_t)N * ppms[i] + 999999) / 1000000;
		uint64_t truth = values[rank - 1], got = histogram_quantile(&subject, ppms[i]);

		ck_assert_uint_ge(got, truth);
		ck_assert_uint_le(got - truth, truth / 64);
	}
	ck_assert_uint_eq(histogram_min(&subject), values[0]);
	ck_assert_uint_eq(histogram_quantile(&subject, 1000000), values[N - 1]);
}
END_TEST

START_TEST(a_quantile_counts_whole_values)
{
	for (uint64_t value = 1; value <= 1000; value++)
		histogram_record(&subject, value <= 999 ? 10 : 100);
	ck_assert_uint_eq(histogram_quantile(&subject, 999000), 10);
	ck_assert_uint_eq(histogram_quantile(&subject, 999001), 100);
}
END_TEST

START_TEST(the_mean_is_exact_beyond_64_bits)
{
	histogram_record(&subject, UINT64_MAX);
	histogram_record(&subject, UINT64_MAX);
	ck_assert(histogram_mean(&subject) == (double)UINT64_MAX);
	histogram_init(&subject);
	histogram_record(&subject, 1);
	histogram_record(&subject, 2);
	ck_assert(histogram_mean(&subject) == 1.5);
}
END_TEST

START_TEST(merging_equals_recording_everything_in_one)
{
	struct histogram whole;
	uint64_t state = 2463534242ull;

	histogram_init(&whole);
	for (unsigned i = 0; i < 5000; i++) {
		uint64_t value = next_random(&state) >> (i % 40);

		histogram_record(&whole, value);
		histogram_record(i % 3 == 0 ? &subject : &other, value);
	}
	histogram_merge(&subject, &other);
	ck_assert_uint_eq(histogram_count(&subject), 5000);
	ck_assert_mem_eq(subject.buckets, whole.buckets, sizeof(whole.buckets));
	ck_assert_uint_eq(histogram_min(&subject), histogram_min(&whole));
	ck_assert_uint_eq(histogram_max(&subject), histogram_max(&whole));
	ck_assert(histogram_mean(&subject) == histogram_mean(&whole));
}
END_TEST

START_TEST(merging_an_empty_one_changes_nothing)
{
	histogram_record(&subject, 7);
	histogram_merge(&subject, &other);
	ck_assert_uint_eq(histogram_min(&subject), 7);
	ck_assert_uint_eq(histogram_max(&subject), 7);
	histogram_merge(&other, &subject);
	ck_assert_uint_eq(histogram_min(&other), 7);
	ck_assert_uint_eq(histogram_count(&other), 1);
}
END_TEST

static Suite *
histogram_suite(void)
{
	Suite *suite = suite_create("base/histogram");
	TCase *ends = tcase_create("ends"), *error = tcase_create("error"), *merge = tcase_create("merge");

	tcase_add_checked_fixture(ends, setup, NULL);
	tcase_add_test(ends, an_empty_one_answers_zero);
	tcase_add_test(ends, one_value_is_every_quantile);
	tcase_add_test(ends, the_ends_of_the_range_have_buckets);
	tcase_add_test(ends, the_mean_is_exact_beyond_64_bits);
	suite_add_tcase(suite, ends);
	tcase_add_checked_fixture(error, setup, NULL);
	tcase_add_test(error, values_below_128_are_exact);
	tcase_add_test(error, every_power_of_two_is_within_a_64th);
	tcase_add_test(error, quantiles_are_within_a_64th_of_the_sorted_values);
	tcase_add_test(error, a_quantile_counts_whole_values);
	suite_add_tcase(suite, error);
	tcase_add_checked_fixture(merge, setup, NULL);
	tcase_add_test(merge, merging_equals_recording_everything_in_one);
	tcase_add_test(merge, merging_an_empty_one_changes_nothing);
	suite_add_tcase(suite, merge);
	return suite;
}

int
main(void)
{
	SRunner *runner = srunner_create(histogram_suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
