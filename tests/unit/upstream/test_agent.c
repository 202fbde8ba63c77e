/* SPDX-License-Identifier: MIT */
/*
 * test_agent - the words of an agent, one by one and together, and what other machines send instead of them.
 */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/defs.h"
#include "upstream/agent.h"

static struct agent_answer answer;

static void
parse(const char *line)
{
	/* As large as the line, so that a sanitizer sees a look beyond it. */
	size_t size = strlen(line);
	char *exact = malloc(size > 0 ? size : 1);

	ck_assert_ptr_nonnull(exact);
	memcpy(exact, line, size);
	agent_parse(exact, size, &answer);
	free(exact);
}

/* ---- words ------------------------------------------------------------------------- */

START_TEST(up_is_health_alone)
{
	parse("up\n");
	ck_assert(answer.advice.has_health && answer.advice.is_up);
	ck_assert(!answer.advice.has_mode && !answer.advice.has_weight && !answer.advice.has_max_connections);
	ck_assert_str_eq(answer.reason, "agent: up");
}
END_TEST

START_TEST(every_word_for_down_is_down)
{
	static const char *const words[] = {"down", "fail", "failed", "stopped", "DOWN", "Stopped"};

	for (size_t i = 0; i < CP_COUNT(words); i++) {
		parse(words[i]);
		ck_assert_msg(answer.advice.has_health && !answer.advice.is_up, "%s", words[i]);
		ck_assert(!answer.advice.has_mode);
		ck_assert_str_eq(answer.unknown, "");
	}
}
END_TEST

START_TEST(modes_are_modes_alone)
{
	static const struct {
		const char *word;
		enum server_mode mode;
	} examples[] = {
		{"ready", SERVER_MODE_READY},
		{"drain", SERVER_MODE_DRAIN},
		{"maint", SERVER_MODE_MAINTENANCE},
		{"MAINT", SERVER_MODE_MAINTENANCE},
	};

	for (size_t i = 0; i < CP_COUNT(examples); i++) {
		parse(examples[i].word);
		ck_assert(answer.advice.has_mode && !answer.advice.has_health);
		ck_assert_int_eq(answer.advice.mode, examples[i].mode);
	}
}
END_TEST

START_TEST(weight_is_a_percentage)
{
	parse("75%");
	ck_assert(answer.advice.has_weight);
	ck_assert_uint_eq(answer.advice.weight_percent, 75);
	parse("0%");
	ck_assert(answer.advice.has_weight);
	ck_assert_uint_eq(answer.advice.weight_percent, 0);
	parse("10000%");
	ck_assert_uint_eq(answer.advice.weight_percent, AGENT_PERCENT_MAX);
}
END_TEST

START_TEST(maxconn_is_a_number)
{
	parse("MaxConn:30");
	ck_assert(answer.advice.has_max_connections);
	ck_assert_uint_eq(answer.advice.max_connections, 30);
	parse("maxconn:4294967295");
	ck_assert_uint_eq(answer.advice.max_connections, UINT32_MAX);
}
END_TEST

START_TEST(what_is_no_number_is_unknown)
{
	static const char *const words[] = {"%", "10001%", "99999999999999999999999%", "-5%", "+5%", "5.5%", "50",
		"maxconn:", "maxconn:4294967296", "maxconn:-1", "maxconn:3x", "maxconn", "uptime", "u", "readyy"};

	for (size_t i = 0; i < CP_COUNT(words); i++) {
		parse(words[i]);
		ck_assert_msg(!agent_has_advice(&answer), "%s was taken", words[i]);
		ck_assert_str_eq(answer.unknown, words[i]);
		ck_assert_str_eq(answer.reason, "agent:");
	}
}
END_TEST

/* ---- lines ----------------------------------------------------------------------------- */

START_TEST(words_stand_between_blanks_tabs_and_commas)
{
	parse(" ,up\t50%,,maxconn:7 ready , \r\n");
	ck_assert(answer.advice.has_health && answer.advice.is_up);
	ck_assert(answer.advice.has_mode && answer.advice.mode == SERVER_MODE_READY);
	ck_assert_uint_eq(answer.advice.weight_percent, 50);
	ck_assert_uint_eq(answer.advice.max_connections, 7);
	ck_assert_str_eq(answer.reason, "agent: up 50% maxconn:7 ready");
	ck_assert_str_eq(answer.unknown, "");
}
END_TEST

START_TEST(the_last_word_about_a_thing_counts)
{
	parse("up down drain ready 10% 20%");
	ck_assert(!answer.advice.is_up);
	ck_assert_int_eq(answer.advice.mode, SERVER_MODE_READY);
	ck_assert_uint_eq(answer.advice.weight_percent, 20);
}
END_TEST

START_TEST(a_description_is_kept_for_the_log)
{
	parse("down#  disk \x1b[1m full, up \n");
	ck_assert(answer.advice.has_health && !answer.advice.is_up);
	ck_assert_str_eq(answer.reason, "agent: down (disk ?[1m full, up)");
	parse("up #\n");
	ck_assert_str_eq(answer.reason, "agent: up");
}
END_TEST

START_TEST(the_line_ends_at_cr_lf_or_nul)
{
	static const char text[] = "up\0down";

	parse("up\ndown");
	ck_assert(answer.advice.is_up);
	parse("up\rdown");
	ck_assert(answer.advice.is_up);
	agent_parse(text, sizeof(text) - 1, &answer);
	ck_assert(answer.advice.is_up);
	ck_assert(agent_is_whole("up\r", 3));
	ck_assert(agent_is_whole("up\nx", 4));
	ck_assert(!agent_is_whole("up", 2));
	ck_assert(!agent_is_whole("", 0));
}
END_TEST

START_TEST(the_first_unknown_word_is_told_in_print)
{
	parse("up caf\xc3\xa9 whatever");
	ck_assert(answer.advice.is_up);
	ck_assert_str_eq(answer.unknown, "caf??");
	parse("a-very-long-word-that-does-not-fit-into-its-room");
	ck_assert_uint_eq(strlen(answer.unknown), AGENT_WORD_MAX - 1);
}
END_TEST

START_TEST(an_empty_line_says_nothing)
{
	static const char *const lines[] = {"", "\n", " \t,\r\n", "# only a description\n"};

	for (size_t i = 0; i < CP_COUNT(lines); i++) {
		parse(lines[i]);
		ck_assert(!agent_has_advice(&answer));
		ck_assert_str_eq(answer.unknown, "");
	}
}
END_TEST

START_TEST(a_word_that_was_cut_is_left_out)
{
	char line[AGENT_LINE_MAX + 8];

	memset(line, ' ', sizeof(line));
	memcpy(line, "drain", 5);
	memcpy(line + AGENT_LINE_MAX - strlen("maxconn:10"), "maxconn:1000", strlen("maxconn:1000"));
	agent_parse(line, AGENT_LINE_MAX, &answer);
	ck_assert(answer.advice.has_mode && !answer.advice.has_max_connections);
	agent_parse(line, sizeof(line), &answer);
	ck_assert(answer.advice.has_mode && !answer.advice.has_max_connections);
	/* One less, and the word is whole: the end of the input is its end. */
	agent_parse(line + 1, AGENT_LINE_MAX - 1, &answer);
	ck_assert_uint_eq(answer.advice.max_connections, 10);
}
END_TEST

START_TEST(a_long_description_is_cut)
{
	char line[AGENT_LINE_MAX];

	memset(line, 'x', sizeof(line));
	memcpy(line, "down #", 6);
	agent_parse(line, sizeof(line), &answer);
	ck_assert(answer.advice.has_health && !answer.advice.is_up);
	ck_assert_uint_eq(strlen(answer.reason), AGENT_REASON_MAX - 1);
	ck_assert_int_eq(answer.reason[AGENT_REASON_MAX - 2], ')');
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("upstream/agent");
	TCase *tc;
	SRunner *runner;
	int failed;

	tc = tcase_create("words");
	tcase_add_test(tc, up_is_health_alone);
	tcase_add_test(tc, every_word_for_down_is_down);
	tcase_add_test(tc, modes_are_modes_alone);
	tcase_add_test(tc, weight_is_a_percentage);
	tcase_add_test(tc, maxconn_is_a_number);
	tcase_add_test(tc, what_is_no_number_is_unknown);
	suite_add_tcase(suite, tc);
	tc = tcase_create("lines");
	tcase_add_test(tc, words_stand_between_blanks_tabs_and_commas);
	tcase_add_test(tc, the_last_word_about_a_thing_counts);
	tcase_add_test(tc, a_description_is_kept_for_the_log);
	tcase_add_test(tc, the_line_ends_at_cr_lf_or_nul);
	tcase_add_test(tc, the_first_unknown_word_is_told_in_print);
	tcase_add_test(tc, an_empty_line_says_nothing);
	tcase_add_test(tc, a_word_that_was_cut_is_left_out);
	tcase_add_test(tc, a_long_description_is_cut);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
