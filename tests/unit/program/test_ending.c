/* SPDX-License-Identifier: MIT */
/*
 * program/ending - which signals a program gets that must end, and when.
 */
#include "config.h"

#include "program/ending.h"

#include <check.h>

#include "../net/netfixture.h"
#include "../service/fakespawner.h"
#include "engine/loop.h"

static struct loop loop;
static struct program program;
static struct ending ending;

static bool
no_work(struct loop *self, void *arg)
{
	(void)self;
	(void)arg;
	return false;
}

static void
on_ended(struct program *ended)
{
	ck_assert_ptr_eq(ended, &program);
	ending_over(&ending);
}

static void
set_up(void)
{
	static const struct program_name name = {.table = 1};
	static const struct program_streams streams;

	fake_reset();
	ck_assert_int_eq(loop_init(&loop, no_work, NULL), 0);
	program = (struct program){.ended = on_ended};
	ending_init(&ending, &program, &loop);
	ck_assert_int_eq(program_start(&program, &loop, &name, &streams), 0);
}

static void
tear_down(void)
{
	if (fake.running != NULL)
		fake_end(PROGRAM_EXITED, 0);
	fake_expect_clean();
	loop_fini(&loop);
}

static void
expect_after_ms(uint64_t ms, const char *signals)
{
	fixture_advance_ms(ms);
	for (int i = 0; i < 3; i++)
		fixture_turn(&loop);
	ck_assert_str_eq(fake.signals, signals);
}

START_TEST(it_is_told_and_after_its_time_killed_until_it_has_ended)
{
	ck_assert(!ending.has_begun);
	ending_begin(&ending, 5000);
	ck_assert(ending.has_begun);
	expect_after_ms(4999, "TERM ");
	expect_after_ms(1, "TERM KILL ");
	expect_after_ms(999, "TERM KILL ");
	expect_after_ms(1, "TERM KILL KILL ");
	fake_end(PROGRAM_SIGNALLED, 9);
	expect_after_ms(5000, "TERM KILL KILL ");
}
END_TEST

START_TEST(it_is_told_once)
{
	ending_begin(&ending, 5000);
	expect_after_ms(3000, "TERM ");
	ending_begin(&ending, 5000);
	expect_after_ms(2000, "TERM KILL ");
}
END_TEST

START_TEST(one_told_already_gets_less_time_when_told_again)
{
	ending_begin(&ending, 3600000);
	expect_after_ms(3000, "TERM ");
	ending_begin(&ending, 3000);
	expect_after_ms(2999, "TERM ");
	expect_after_ms(1, "TERM KILL ");
	ending_begin(&ending, 3600000);
	expect_after_ms(1000, "TERM KILL KILL ");
}
END_TEST

START_TEST(it_may_be_killed_at_once)
{
	ending_kill(&ending);
	ck_assert(ending.has_begun);
	expect_after_ms(0, "KILL ");
	ending_begin(&ending, 10);
	expect_after_ms(1000, "KILL KILL ");
}
END_TEST

START_TEST(one_that_ends_of_its_own_accord_gets_no_signal)
{
	fake_end(PROGRAM_EXITED, 0);
	expect_after_ms(10000, "");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("program/ending");
	TCase *tc = fixture_case(suite, "ending");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, it_is_told_and_after_its_time_killed_until_it_has_ended);
	tcase_add_test(tc, it_is_told_once);
	tcase_add_test(tc, one_told_already_gets_less_time_when_told_again);
	tcase_add_test(tc, it_may_be_killed_at_once);
	tcase_add_test(tc, one_that_ends_of_its_own_accord_gets_no_signal);
	return fixture_run(suite);
}
