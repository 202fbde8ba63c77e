/* SPDX-License-Identifier: MIT */
/*
 * Command lines, right and wrong. Each line is split at blanks; a word "" can't be written and is not needed.
 */
#include "config.h"

#include "client/options.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/errmsg.h"
#include "base/mem.h"

#define WORDS_MAX 16

static struct errmsg err;
static struct options options;

static int
parse(const char *line)
{
	static char copy[512];
	char *words[WORDS_MAX + 1] = { NULL }, *rest = NULL;
	int count = 0;

	snprintf(copy, sizeof(copy), "connpool-client %s", line);
	for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
		ck_assert_int_lt(count, WORDS_MAX);
		words[count++] = word;
	}
	err.text[0] = '\0';
	return options_parse(&options, count, words, &err);
}

static void
check_refused(const char *line, const char *said)
{
	ck_assert_msg(parse(line) == -EINVAL, "'%s' was taken", line);
	ck_assert_msg(strstr(err.text, said) != NULL, "'%s': '%s' has no '%s'", line, err.text, said);
}

START_TEST(bench_has_defaults)
{
	ck_assert_int_eq(parse("bench localhost:7"), 0);
	ck_assert_int_eq(options.command, OPTIONS_BENCH);
	ck_assert_str_eq(options.address.text, "tcp:localhost:7");
	ck_assert_uint_eq(options.connections, 1);
	ck_assert_uint_eq(options.threads, 1);
	ck_assert_uint_eq(options.rate, 0);
	ck_assert_uint_eq(options.size_bytes, 64);
	ck_assert_uint_eq(options.duration_ms, 10000);
	ck_assert_uint_eq(options.requests, 0);
	ck_assert_uint_eq(options.timeout_ms, 10000);
	ck_assert(!options.json && !options.reconnect);
	ck_assert_int_eq(options_family(&options), AF_UNSPEC);
	options_fini(&options);
}
END_TEST

START_TEST(options_may_stand_anywhere_and_have_units)
{
	ck_assert_int_eq(parse("bench -c 8 localhost:7 --threads=2 -s 64KiB --duration 1min -r 100 -jR4 -w 250ms"), 0);
	ck_assert_uint_eq(options.connections, 8);
	ck_assert_uint_eq(options.threads, 2);
	ck_assert_uint_eq(options.size_bytes, 65536);
	ck_assert_uint_eq(options.duration_ms, 60000);
	ck_assert_uint_eq(options.rate, 100);
	ck_assert_uint_eq(options.timeout_ms, 250);
	ck_assert(options.json && options.reconnect);
	ck_assert_int_eq(options_family(&options), AF_INET);
	options_fini(&options);
}
END_TEST

START_TEST(a_number_of_requests_lifts_the_time_limit)
{
	ck_assert_int_eq(parse("bench localhost:7 -N 5"), 0);
	ck_assert_uint_eq(options.requests, 5);
	ck_assert_uint_eq(options.duration_ms, 0);
	options_fini(&options);
	ck_assert_int_eq(parse("bench localhost:7 -N 5 -d 2"), 0);
	ck_assert_uint_eq(options.duration_ms, 2000);
	options_fini(&options);
}
END_TEST

START_TEST(send_joins_its_words_and_ends_the_line)
{
	ck_assert_int_eq(parse("send @x one two three"), 0);
	ck_assert_str_eq(options.text, "one two three\n");
	ck_assert_uint_eq(options.text_len, 14);
	options_fini(&options);
	ck_assert_ptr_null(options.text);
	ck_assert_int_eq(parse("send -n @x -- -word"), 0);
	ck_assert_str_eq(options.text, "-word");
	ck_assert_uint_eq(options.text_len, 5);
	options_fini(&options);
}
END_TEST

START_TEST(help_and_version_need_nothing_else)
{
	static const char *const helps[] = { "--help", "-h", "bench --help", "send -h", "connect nonsense --help" };

	for (size_t i = 0; i < CP_COUNT(helps); i++) {
		ck_assert_int_eq(parse(helps[i]), 0);
		ck_assert_int_eq(options.command, OPTIONS_HELP);
		options_fini(&options);
	}
	ck_assert_int_eq(parse("--version"), 0);
	ck_assert_int_eq(options.command, OPTIONS_VERSION);
	options_fini(&options);
}
END_TEST

START_TEST(wrong_words_are_refused)
{
	check_refused("", "a command is missing");
	check_refused("fly localhost:7", "'fly' is no command");
	check_refused("-4 connect localhost:7", "the command comes first");
	check_refused("connect", "an address is missing");
	check_refused("connect localhost:7 more", "'more': one word too many");
	check_refused("send localhost:7", "the text to send is missing");
	check_refused("connect localhost", "localhost");
}
END_TEST

START_TEST(wrong_options_are_refused)
{
	check_refused("bench localhost:7 --fly", "--fly: no such option");
	check_refused("bench localhost:7 -c", "-c: a value is missing");
	check_refused("bench localhost:7 --json=yes", "--json=yes");
	check_refused("connect localhost:7 -c 4", "--connections is no option of this command");
	check_refused("bench localhost:7 -n", "--no-newline is no option of this command");
	check_refused("connect localhost:7 -4 -6", "exclude each other");
	check_refused("connect @x -4", "neither IPv4 nor IPv6");
	check_refused("bench localhost:7 -t 2", "more --threads than --connections");
}
END_TEST

START_TEST(wrong_values_are_refused_with_their_range)
{
	check_refused("bench localhost:7 -c 0", "--connections: '0' is not a number from 1 to 1000000");
	check_refused("bench localhost:7 -c 1000001", "'1000001'");
	check_refused("bench localhost:7 -c -1", "'-1'");
	check_refused("bench localhost:7 -c 4x", "'4x'");
	check_refused("bench localhost:7 -N 99999999999999999999999", "--requests");
	check_refused("bench localhost:7 -s 0", "is not a size from 1B to ");
	check_refused("bench localhost:7 -d soon", "--duration: 'soon' is not a time from 1ms to 7d");
	check_refused("bench localhost:7 -d 0", "--duration");
}
END_TEST

START_TEST(no_memory_is_no_usage_error)
{
	mem_fail_after(1);
	ck_assert_int_eq(parse("send localhost:7 text"), -ENOMEM);
	mem_fail_after(2);
	ck_assert_int_eq(parse("send localhost:7 text"), -ENOMEM);
}
END_TEST

static Suite *
options_suite(void)
{
	Suite *suite = suite_create("client/options");
	TCase *tc = tcase_create("right");

	tcase_add_test(tc, bench_has_defaults);
	tcase_add_test(tc, options_may_stand_anywhere_and_have_units);
	tcase_add_test(tc, a_number_of_requests_lifts_the_time_limit);
	tcase_add_test(tc, send_joins_its_words_and_ends_the_line);
	tcase_add_test(tc, help_and_version_need_nothing_else);
	suite_add_tcase(suite, tc);
	tc = tcase_create("wrong");
	tcase_add_test(tc, wrong_words_are_refused);
	tcase_add_test(tc, wrong_options_are_refused);
	tcase_add_test(tc, wrong_values_are_refused_with_their_range);
	tcase_add_test(tc, no_memory_is_no_usage_error);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	SRunner *runner = srunner_create(options_suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
