/* SPDX-License-Identifier: MIT */
/*
 * What the pattern must tell apart: shifted, doubled and foreign bytes.
 */
#include "config.h"

#include "client/pattern.h"

#include <check.h>
#include <string.h>

#include "base/mem.h"

static struct pattern *pattern;

static void
setup(void)
{
	pattern = pattern_new();
	ck_assert_ptr_nonnull(pattern);
}

static void
teardown(void)
{
	pattern_free(&pattern);
	ck_assert_ptr_null(pattern);
}

START_TEST(what_is_at_a_position_matches_there)
{
	for (uint64_t position = 0; position < 3 * PATTERN_PERIOD; position += 997)
		ck_assert(pattern_matches(pattern, position, pattern_at(pattern, position), PATTERN_SPAN));
}
END_TEST

START_TEST(a_long_run_matches_across_the_period)
{
	static char run[3 * PATTERN_SPAN];

	for (size_t i = 0; i < sizeof(run); i++)
		run[i] = *(const char *)pattern_at(pattern, 5000 + i);
	ck_assert(pattern_matches(pattern, 5000, run, sizeof(run)));
	run[sizeof(run) - 1] ^= 1;
	ck_assert(!pattern_matches(pattern, 5000, run, sizeof(run)));
}
END_TEST

START_TEST(shifted_bytes_do_not_match)
{
	static const uint64_t shifts[] = { 1, 2, 64, 1448, 4096, 16384, 65536, 1 << 20 };

	for (size_t i = 0; i < CP_COUNT(shifts); i++)
		ck_assert(!pattern_matches(pattern, shifts[i], pattern_at(pattern, 0), 64));
}
END_TEST

START_TEST(connections_enter_at_places_of_their_own)
{
	static unsigned char taken[PATTERN_PERIOD];

	for (uint64_t id = 0; id < PATTERN_PERIOD; id++) {
		ck_assert_uint_lt(pattern_entry(id), PATTERN_PERIOD);
		ck_assert_uint_eq(taken[pattern_entry(id)], 0);
		taken[pattern_entry(id)] = 1;
	}
	ck_assert(!pattern_matches(pattern, pattern_entry(1), pattern_at(pattern, pattern_entry(2)), 64));
}
END_TEST

START_TEST(no_memory_is_null)
{
	mem_fail_after(1);
	ck_assert_ptr_null(pattern_new());
}
END_TEST

static Suite *
pattern_suite(void)
{
	Suite *suite = suite_create("client/pattern");
	TCase *tc = tcase_create("matching");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, what_is_at_a_position_matches_there);
	tcase_add_test(tc, a_long_run_matches_across_the_period);
	tcase_add_test(tc, shifted_bytes_do_not_match);
	tcase_add_test(tc, connections_enter_at_places_of_their_own);
	suite_add_tcase(suite, tc);
	tc = tcase_create("memory");
	tcase_add_test(tc, no_memory_is_null);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	SRunner *runner = srunner_create(pattern_suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
