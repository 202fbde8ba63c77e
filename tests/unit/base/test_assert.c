/* SPDX-License-Identifier: MIT */
/*
 * Tests of base/assert: what holds costs nothing and says nothing; what does not says where and ends the process.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>

#include <check.h>

#include "base/assert.h"
#include "tests/unit/base/aborts.h"

#define THING_MAGIC 0x7416a61cu

struct thing {
	uint32_t magic;
	int value;
};

static void
assert_number_is_odd(void *arg)
{
	CP_ASSERT(*(int *)arg % 2 == 1);
}

static void
check_pthread_result(void *arg)
{
	CP_PTHREAD(*(int *)arg);
}

static void
cast_to_thing(void *arg)
{
	CP_CAST(arg, struct thing, THING_MAGIC)->value = 1;
}

static void
check_magic_of_thing(void *arg)
{
	struct thing *thing = arg;

	CP_CHECK_MAGIC(thing, THING_MAGIC);
}

static void
fail_with_long_expression(void *arg)
{
	assert_failed(arg, "file.c", 7, "long_one");
}

static void
debug_assert_nothing(void *arg)
{
	CP_DEBUG_ASSERT(*(int *)arg == 0);
}

START_TEST(true_expressions_pass)
{
	int one = 1;

	assert_number_is_odd(&one);
	ck_assert_int_eq(one, 1);
}
END_TEST

START_TEST(false_expressions_abort_with_the_expression)
{
	int two = 2;

	ck_assert(aborts_saying(assert_number_is_odd, &two, "not true: *(int *)arg % 2 == 1\n"));
}
END_TEST

START_TEST(message_names_file_and_function)
{
	int two = 2;

	ck_assert(aborts_saying(assert_number_is_odd, &two, "test_assert.c:"));
	ck_assert(aborts_saying(assert_number_is_odd, &two, " in assert_number_is_odd()"));
	ck_assert(aborts_saying(fail_with_long_expression, (char[]){ "x" }, "at file.c:7 in long_one(): not true"));
}
END_TEST

START_TEST(message_too_long_is_cut_and_keeps_its_line_end)
{
	char text[3000];
	char expected[402];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	memset(expected, 'x', 400);
	strcpy(expected + 400, "\n");
	ck_assert(aborts_saying(fail_with_long_expression, text, expected));
}
END_TEST

START_TEST(debug_expressions_are_checked_in_debug_builds_alone)
{
	int one = 1;

#ifdef CP_DEBUG
	ck_assert(aborts_saying(debug_assert_nothing, &one, "not true"));
#else
	debug_assert_nothing(&one);
#endif
}
END_TEST

START_TEST(pthread_success_passes)
{
	int error = 0;

	check_pthread_result(&error);
	ck_assert_int_eq(error, 0);
}
END_TEST

START_TEST(pthread_failure_aborts_with_call_and_error)
{
	int error = EDEADLK;

	ck_assert(aborts_saying(check_pthread_result, &error, "*(int *)arg failed: "));
	ck_assert(aborts_saying(check_pthread_result, &error, "(35)\n"));
	error = 99999;
	ck_assert(aborts_saying(check_pthread_result, &error, "unknown error (99999)\n"));
}
END_TEST

START_TEST(cast_returns_the_same_pointer)
{
	struct thing thing = { .magic = THING_MAGIC };
	void *arg = &thing;

	ck_assert_ptr_eq(CP_CAST(arg, struct thing, THING_MAGIC), &thing);
}
END_TEST

START_TEST(cast_refuses_what_is_something_else)
{
	struct thing thing = { .magic = 1 };

	ck_assert(aborts_saying(cast_to_thing, &thing, "expected struct thing, got something else\n"));
}
END_TEST

START_TEST(cast_refuses_what_is_finished)
{
	struct thing thing = { .magic = 0 };

	ck_assert(aborts_saying(cast_to_thing, &thing, "expected struct thing, got something cleared"));
}
END_TEST

START_TEST(cast_refuses_null)
{
	ck_assert(aborts_saying(cast_to_thing, NULL, "expected struct thing, got NULL\n"));
}
END_TEST

START_TEST(magic_is_checked)
{
	struct thing thing = { .magic = THING_MAGIC };

	check_magic_of_thing(&thing);
	thing.magic++;
	ck_assert(aborts_saying(check_magic_of_thing, &thing, "magic"));
	ck_assert(aborts_saying(check_magic_of_thing, NULL, "magic"));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("base/assert");
	TCase *tc = tcase_create("expression");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, true_expressions_pass);
	tcase_add_test(tc, false_expressions_abort_with_the_expression);
	tcase_add_test(tc, message_names_file_and_function);
	tcase_add_test(tc, message_too_long_is_cut_and_keeps_its_line_end);
	tcase_add_test(tc, debug_expressions_are_checked_in_debug_builds_alone);
	suite_add_tcase(suite, tc);
	tc = tcase_create("pthread");
	tcase_add_test(tc, pthread_success_passes);
	tcase_add_test(tc, pthread_failure_aborts_with_call_and_error);
	suite_add_tcase(suite, tc);
	tc = tcase_create("magic");
	tcase_add_test(tc, cast_returns_the_same_pointer);
	tcase_add_test(tc, cast_refuses_what_is_something_else);
	tcase_add_test(tc, cast_refuses_what_is_finished);
	tcase_add_test(tc, cast_refuses_null);
	tcase_add_test(tc, magic_is_checked);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
