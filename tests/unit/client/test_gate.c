/* SPDX-License-Identifier: MIT */
/*
 * The gate opens for all at one moment, or for none.
 */
#include "config.h"

#include "client/gate.h"

#include <check.h>

#define THREADS 4

struct walker {
	pthread_t thread;
	struct gate *gate;
	bool passed;
	uint64_t opened_ns;
};

static struct gate gate;
static struct walker walkers[THREADS];

static void *
walk(void *arg)
{
	struct walker *walker = arg;

	walker->passed = gate_pass(walker->gate, &walker->opened_ns);
	return NULL;
}

static void
start(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		walkers[i] = (struct walker){ .gate = &gate };
		ck_assert_int_eq(pthread_create(&walkers[i].thread, NULL, walk, &walkers[i]), 0);
	}
}

static void
join(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		ck_assert_int_eq(pthread_join(walkers[i].thread, NULL), 0);
}

START_TEST(all_pass_at_the_same_moment)
{
	gate_init(&gate, THREADS);
	start(THREADS);
	join(THREADS);
	for (unsigned i = 0; i < THREADS; i++) {
		ck_assert(walkers[i].passed);
		ck_assert_uint_ne(walkers[i].opened_ns, 0);
		ck_assert_uint_eq(walkers[i].opened_ns, walkers[0].opened_ns);
	}
	gate_fini(&gate);
}
END_TEST

START_TEST(breaking_it_sends_away_all_who_wait_or_come)
{
	gate_init(&gate, THREADS);
	start(THREADS - 1);
	gate_break(&gate);
	join(THREADS - 1);
	for (unsigned i = 0; i < THREADS - 1; i++)
		ck_assert(!walkers[i].passed);
	start(1);
	join(1);
	ck_assert(!walkers[0].passed);
	gate_fini(&gate);
}
END_TEST

START_TEST(breaking_it_once_open_changes_nothing)
{
	uint64_t opened_ns = 0;

	gate_init(&gate, 1);
	ck_assert(gate_pass(&gate, &opened_ns));
	gate_break(&gate);
	ck_assert(gate_pass(&gate, &opened_ns));
	gate_fini(&gate);
}
END_TEST

static Suite *
gate_suite(void)
{
	Suite *suite = suite_create("client/gate");
	TCase *tc = tcase_create("passing");

	tcase_add_test(tc, all_pass_at_the_same_moment);
	suite_add_tcase(suite, tc);
	tc = tcase_create("breaking");
	tcase_add_test(tc, breaking_it_sends_away_all_who_wait_or_come);
	tcase_add_test(tc, breaking_it_once_open_changes_nothing);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	SRunner *runner = srunner_create(gate_suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
