/* SPDX-License-Identifier: MIT */
/*
 * Tests of base/running: what a thread runs is described as far as it is known, and misuse ends with a line that names
 * it.
 */
#include "config.h"

#include "base/running.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "tests/unit/base/aborts.h"

static const struct running whole = {
	.connection = UINT64_MAX,
	.listener = "web",
	.service = "kv",
	.function = "serve",
	.call = "cp_recv",
	.place = RUNNING_FIBER,
};

static void
misuse(void *arg)
{
	if (arg != NULL)
		running = *(const struct running *)arg;
	running_misuse("cp_send", "not here");
}

START_TEST(all_that_is_known_is_described)
{
	char text[RUNNING_TEXT_MAX];
	size_t length = running_describe(&whole, text);

	ck_assert_str_eq(text,
		"listener 'web', service 'kv', connection 18446744073709551615, in serve(), last call cp_recv()");
	ck_assert_uint_eq(length, strlen(text));
}
END_TEST

START_TEST(what_is_not_known_is_left_out)
{
	const struct running partly = {.service = "kv", .function = "configure"};
	const struct running nothing = {0};
	char text[RUNNING_TEXT_MAX];

	running_describe(&partly, text);
	ck_assert_str_eq(text, "service 'kv', in configure()");
	ck_assert_uint_eq(running_describe(&nothing, text), 0);
	ck_assert_str_eq(text, "");
}
END_TEST

START_TEST(a_long_name_is_cut)
{
	char name[2 * RUNNING_TEXT_MAX];
	char text[RUNNING_TEXT_MAX];
	struct running long_one = whole;

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	long_one.listener = name;
	ck_assert_uint_eq(running_describe(&long_one, text), RUNNING_TEXT_MAX - 1);
	ck_assert_uint_eq(strlen(text), RUNNING_TEXT_MAX - 1);
}
END_TEST

START_TEST(misuse_names_the_call_and_the_connection)
{
	struct running where = whole;

	where.connection = 7;
	ck_assert(aborts_saying(misuse, &where,
		"connpoold: listener 'web', service 'kv', connection 7, in serve(): cp_send(): not here\n"));
}
END_TEST

START_TEST(misuse_outside_of_a_handler_says_so)
{
	ck_assert(aborts_saying(misuse, NULL, "connpoold: outside of any handler: cp_send(): not here\n"));
}
END_TEST

START_TEST(a_function_without_a_connection_is_noted_while_it_runs)
{
	struct running before;

	running = whole;
	before = running_begin("web", "kv", "release");
	ck_assert_str_eq(running.function, "release");
	ck_assert_int_eq(running.place, RUNNING_ELSEWHERE);
	ck_assert_uint_eq(running.connection, 0);
	running_end(&before);
	ck_assert_str_eq(running.function, "serve");
	ck_assert_int_eq(running.place, RUNNING_FIBER);
	running = (struct running){0};
}
END_TEST

static void *
look(void *arg)
{
	*(enum running_place *)arg = running.place;
	return NULL;
}

START_TEST(each_thread_has_its_own)
{
	enum running_place place = RUNNING_FIBER;
	pthread_t thread;

	running = whole;
	ck_assert_int_eq(pthread_create(&thread, NULL, look, &place), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(place, RUNNING_NOTHING);
	running = (struct running){0};
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("base/running");
	TCase *tc = tcase_create("running");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_test(tc, all_that_is_known_is_described);
	tcase_add_test(tc, what_is_not_known_is_left_out);
	tcase_add_test(tc, a_long_name_is_cut);
	tcase_add_test(tc, misuse_names_the_call_and_the_connection);
	tcase_add_test(tc, misuse_outside_of_a_handler_says_so);
	tcase_add_test(tc, a_function_without_a_connection_is_noted_while_it_runs);
	tcase_add_test(tc, each_thread_has_its_own);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
