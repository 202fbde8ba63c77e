/* SPDX-License-Identifier: MIT */
/*
 * test_error_lines - what a program writes to its standard error, as lines of the log.
 */
#include "config.h"

#include "program/error_lines.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/defs.h"
#include "../net/netfixture.h"
#include "engine/loop.h"

static struct loop loop;
static struct error_lines lines;
static unsigned count;
static char first[ERROR_LINE_MAX + 1];
static char last[ERROR_LINE_MAX + 1];

static void
on_line(struct error_lines *from, const char *text)
{
	ck_assert_ptr_eq(from, &lines);
	if (count++ == 0)
		snprintf(first, sizeof(first), "%s", text);
	snprintf(last, sizeof(last), "%s", text);
}

static bool
no_work(struct loop *self, void *arg)
{
	(void)self;
	(void)arg;
	return false;
}

static void
set_up(void)
{
	count = 0;
	ck_assert_int_eq(loop_init(&loop, no_work, NULL), 0);
	ck_assert_int_eq(error_lines_open(&lines, &loop, on_line), 0);
}

static void
tear_down(void)
{
	error_lines_close(&lines);
	loop_fini(&loop);
}

static void
turn(void)
{
	fixture_turn(&loop);
}

/* For what comes piece by piece. */
static void
turn_some(void)
{
	for (int i = 0; i < 10; i++)
		turn();
}

static void
pass_ms(uint64_t ms)
{
	fixture_advance_ms(ms);
	turn_some();
}

static void
write_text(const char *text)
{
	ck_assert_int_eq(write(lines.write_fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void
write_numbers(unsigned from, unsigned to)
{
	for (unsigned i = from; i <= to; i++) {
		char text[16];

		snprintf(text, sizeof(text), "%u\n", i);
		write_text(text);
	}
}

/* By then the pipe is watched. */
static void
pass_first_moment(void)
{
	pass_ms(100);
}

START_TEST(what_comes_at_once_is_told_a_moment_later)
{
	write_text("one\n");
	turn_some();
	ck_assert_uint_eq(count, 0);
	pass_first_moment();
	ck_assert_uint_eq(count, 1);
	ck_assert_str_eq(last, "one");
}
END_TEST

START_TEST(each_line_is_told_when_it_is_whole)
{
	pass_first_moment();
	write_text("one\nt");
	turn();
	ck_assert_uint_eq(count, 1);
	ck_assert_str_eq(last, "one");
	write_text("wo\n\n");
	turn();
	ck_assert_uint_eq(count, 2);
	ck_assert_str_eq(last, "two");
}
END_TEST

START_TEST(a_line_without_its_end_is_told_at_the_end)
{
	pass_first_moment();
	write_text("rest");
	turn();
	ck_assert_uint_eq(count, 0);
	error_lines_close(&lines);
	ck_assert_uint_eq(count, 1);
	ck_assert_str_eq(last, "rest");
}
END_TEST

START_TEST(what_was_not_read_yet_is_told_at_the_end)
{
	write_numbers(1, 50);
	error_lines_close(&lines);
	ck_assert_uint_eq(count, 50);
	ck_assert_str_eq(last, "50");
}
END_TEST

START_TEST(a_long_line_comes_in_pieces)
{
	char text[ERROR_LINE_MAX + 4];

	pass_first_moment();
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 2] = '\n';
	text[sizeof(text) - 1] = '\0';
	write_text(text);
	turn();
	ck_assert_uint_eq(count, 2);
	ck_assert_uint_eq(strlen(first), ERROR_LINE_MAX);
	ck_assert_str_eq(last, "aa");
}
END_TEST

START_TEST(control_characters_do_not_reach_the_log)
{
	pass_first_moment();
	write_text("a\033[2J\tb\177\r\n");
	turn();
	ck_assert_str_eq(last, "a?[2J\tb??");
}
END_TEST

START_TEST(a_flood_is_counted)
{
	pass_first_moment();
	write_numbers(1, 300);
	turn_some();
	ck_assert_uint_eq(count, 100);
	ck_assert_str_eq(last, "100");
	error_lines_close(&lines);
	ck_assert_uint_eq(count, 101);
	ck_assert_str_eq(last, "200 more lines, not logged");
}
END_TEST

START_TEST(lines_may_be_told_again_after_a_while)
{
	pass_first_moment();
	write_numbers(1, 150);
	turn_some();
	ck_assert_uint_eq(count, 100);
	pass_ms(1000);
	write_numbers(1, 50);
	turn();
	ck_assert_uint_eq(count, 120);
	ck_assert_str_eq(last, "20");
}
END_TEST

START_TEST(without_descriptors_it_is_not_open)
{
	struct error_lines none;

	fixture_exhaust_descriptors();
	ck_assert_int_eq(error_lines_open(&none, &loop, on_line), -EMFILE);
	fixture_allow_descriptors();
	ck_assert_int_eq(none.write_fd, -1);
	error_lines_close(&none);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("program/error_lines");
	TCase *tc = fixture_case(suite, "lines");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, what_comes_at_once_is_told_a_moment_later);
	tcase_add_test(tc, each_line_is_told_when_it_is_whole);
	tcase_add_test(tc, a_line_without_its_end_is_told_at_the_end);
	tcase_add_test(tc, what_was_not_read_yet_is_told_at_the_end);
	tcase_add_test(tc, a_long_line_comes_in_pieces);
	tcase_add_test(tc, control_characters_do_not_reach_the_log);
	tcase_add_test(tc, a_flood_is_counted);
	tcase_add_test(tc, lines_may_be_told_again_after_a_while);
	tcase_add_test(tc, without_descriptors_it_is_not_open);
	return fixture_run(suite);
}
