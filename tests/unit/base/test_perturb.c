/* SPDX-License-Identifier: MIT */
/*
 * Tests of base/perturb: a seed says what happens, most points do nothing, and no delay is long.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>

#include <check.h>

#include "base/perturb.h"

#define DECISIONS 65536u
#define PLACES 4096u

START_TEST(the_same_seed_decides_the_same)
{
	uint64_t one = 42;
	uint64_t other = 42;

	for (unsigned i = 0; i < DECISIONS; i++)
		ck_assert_uint_eq(perturb_decide(&one, i % 2 == 0), perturb_decide(&other, i % 2 == 0));
}
END_TEST

START_TEST(another_seed_decides_otherwise)
{
	uint64_t one = 1;
	uint64_t other = 2;
	unsigned differ = 0;

	for (unsigned i = 0; i < DECISIONS; i++)
		differ += perturb_decide(&one, true) != perturb_decide(&other, true);
	ck_assert_uint_gt(differ, DECISIONS / 16);
}
END_TEST

/* At most so many of DECISIONS do something, and some of each kind are among them. */
static void
check_shares(bool is_slow, unsigned most)
{
	uint64_t state = 7;
	unsigned yields = 0, sleeps = 0;

	for (unsigned i = 0; i < DECISIONS; i++) {
		uint32_t decision = perturb_decide(&state, is_slow);

		ck_assert_uint_le(decision, 5000000);
		yields += decision == PERTURB_YIELD;
		sleeps += decision > PERTURB_YIELD;
		ck_assert(decision <= PERTURB_YIELD || decision >= 8000);
	}
	ck_assert_uint_gt(yields, 0);
	ck_assert_uint_gt(sleeps, 0);
	ck_assert_uint_le(yields + sleeps, most);
}

START_TEST(most_points_do_nothing)
{
	check_shares(false, DECISIONS / 32);
}
END_TEST

START_TEST(a_slow_place_does_something_now_and_then)
{
	check_shares(true, DECISIONS / 3);
}
END_TEST

/* How many of PLACES, for a thread that has passed so many points. */
static unsigned
count_slow(uint64_t seed, uint32_t points)
{
	unsigned slow = 0;

	for (unsigned place = 0; place < PLACES; place++)
		slow += perturb_is_slow(seed, place, points);
	return slow;
}

START_TEST(few_places_are_slow_and_they_change)
{
	unsigned both = 0;

	ck_assert_uint_gt(count_slow(3, 0), PLACES / 20);
	ck_assert_uint_lt(count_slow(3, 0), PLACES / 5);
	for (unsigned place = 0; place < PLACES; place++) {
		ck_assert(perturb_is_slow(3, place, 0) == perturb_is_slow(3, place, 1));
		both += perturb_is_slow(3, place, 0) && perturb_is_slow(3, place, 1000000);
	}
	ck_assert_uint_lt(both, PLACES / 20);
}
END_TEST

START_TEST(a_point_keeps_errno)
{
	for (unsigned i = 0; i < 2000; i++) {
		errno = ENOTTY;
		perturb_point();
		ck_assert_int_eq(errno, ENOTTY);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("base/perturb");
	TCase *tcase = tcase_create("perturb");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tcase);
	tcase_add_test(tcase, the_same_seed_decides_the_same);
	tcase_add_test(tcase, another_seed_decides_otherwise);
	tcase_add_test(tcase, most_points_do_nothing);
	tcase_add_test(tcase, a_slow_place_does_something_now_and_then);
	tcase_add_test(tcase, few_places_are_slow_and_they_change);
	tcase_add_test(tcase, a_point_keeps_errno);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
