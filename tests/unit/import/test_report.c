/* SPDX-License-Identifier: MIT */
/*
 * One line a message, with its place, and a count of each kind.
 */
#include "config.h"

#include "import/report.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "rig.h"

START_TEST(each_message_is_a_line_with_its_place)
{
	struct report report = {.out = NULL};
	char *text = NULL;
	size_t size;

	report.out = open_memstream(&text, &size);
	report_error(&report, (struct place){"a.conf", 7}, "no %s", "brace");
	report_warning(&report, (struct place){"a.conf", 0}, "odd");
	report_warning(&report, (struct place){NULL, 0}, "so it is");
	ck_assert_int_eq(fclose(report.out), 0);
	ck_assert_str_eq(
		text, "a.conf:7: error: no brace\na.conf: warning: odd\nconnpoold-import: warning: so it is\n");
	ck_assert_uint_eq(report.errors, 1);
	ck_assert_uint_eq(report.warnings, 2);
	free(text);
}
END_TEST

START_TEST(without_a_stream_it_only_counts)
{
	struct report report = {.out = NULL};

	report_error(&report, (struct place){"a", 1}, "x");
	ck_assert_uint_eq(report.errors, 1);
}
END_TEST

static Suite *
report_suite(void)
{
	Suite *suite = suite_create("import/report");
	TCase *tc;

	tc = tcase_create("lines");
	tcase_add_test(tc, each_message_is_a_line_with_its_place);
	tcase_add_test(tc, without_a_stream_it_only_counts);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	return rig_run(report_suite());
}
