/* SPDX-License-Identifier: MIT */
/*
 * Tests of base/errmsg: a sentence is set, prefixed and cut, and every errno has a text.
 */
#include "config.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "base/errmsg.h"

/* count letters, NUL-terminated. */
static char *
make_text(char *buf, char letter, size_t count)
{
	memset(buf, letter, count);
	buf[count] = '\0';
	return buf;
}

START_TEST(set_formats)
{
	struct errmsg err;

	errmsg_set(&err, "%s: %d", "port", 7);
	ck_assert_str_eq(err.text, "port: 7");
}
END_TEST

START_TEST(set_replaces)
{
	struct errmsg err;

	errmsg_set(&err, "a long first sentence");
	errmsg_set(&err, "short");
	ck_assert_str_eq(err.text, "short");
}
END_TEST

START_TEST(set_takes_the_old_text_as_argument)
{
	struct errmsg err;

	errmsg_set(&err, "inner");
	errmsg_set(&err, "<%s> <%s>", err.text, err.text);
	ck_assert_str_eq(err.text, "<inner> <inner>");
}
END_TEST

START_TEST(set_cuts_what_does_not_fit)
{
	char text[3001];
	struct errmsg err;

	make_text(text, 'a', 1023);
	errmsg_set(&err, "%s", text);
	ck_assert_uint_eq(strlen(err.text), 1023);
	make_text(text, 'b', 3000);
	errmsg_set(&err, "%s", text);
	ck_assert_uint_eq(strlen(err.text), 1023);
	ck_assert_int_eq(err.text[1022], 'b');
}
END_TEST

START_TEST(prefix_goes_before_the_text)
{
	struct errmsg err;

	errmsg_set(&err, "no such file");
	errmsg_prefix(&err, "line %d", 12);
	errmsg_prefix(&err, "a.conf");
	ck_assert_str_eq(err.text, "a.conf: line 12: no such file");
}
END_TEST

START_TEST(prefix_takes_the_old_text_as_argument)
{
	struct errmsg err;

	errmsg_set(&err, "x");
	errmsg_prefix(&err, "[%s]", err.text);
	ck_assert_str_eq(err.text, "[x]: x");
}
END_TEST

START_TEST(prefix_cuts_the_end)
{
	char text[3001];
	struct errmsg err;

	errmsg_set(&err, "%s", make_text(text, 'a', 1023));
	errmsg_prefix(&err, "p");
	ck_assert_uint_eq(strlen(err.text), 1023);
	ck_assert_int_eq(strncmp(err.text, "p: aaa", 6), 0);
	for (size_t count = 1018; count < 1030; count++) {
		errmsg_set(&err, "tail");
		errmsg_prefix(&err, "%s", make_text(text, 'p', count));
		ck_assert_uint_eq(strlen(err.text), count + 6 < 1023 ? count + 6 : 1023);
		ck_assert_int_eq(err.text[1017], 'p');
	}
}
END_TEST

START_TEST(null_is_ignored)
{
	errmsg_set(NULL, "%d", 1);
	errmsg_prefix(NULL, "%d", 1);
}
END_TEST

START_TEST(errno_of_either_sign_has_its_text)
{
	ck_assert_str_eq(errmsg_errno(ECONNREFUSED), "Connection refused");
	ck_assert_str_eq(errmsg_errno(-ECONNREFUSED), "Connection refused");
}
END_TEST

START_TEST(every_errno_has_some_text)
{
	for (int error = -200; error < 200; error++)
		ck_assert_uint_gt(strlen(errmsg_errno(error)), 0);
	ck_assert_str_eq(errmsg_errno(123456), "Unknown error");
	ck_assert_str_eq(errmsg_errno(INT_MAX), "Unknown error");
	ck_assert_str_eq(errmsg_errno(INT_MIN), "Unknown error");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("base/errmsg");
	TCase *tc = tcase_create("set");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, set_formats);
	tcase_add_test(tc, set_replaces);
	tcase_add_test(tc, set_takes_the_old_text_as_argument);
	tcase_add_test(tc, set_cuts_what_does_not_fit);
	suite_add_tcase(suite, tc);
	tc = tcase_create("prefix");
	tcase_add_test(tc, prefix_goes_before_the_text);
	tcase_add_test(tc, prefix_takes_the_old_text_as_argument);
	tcase_add_test(tc, prefix_cuts_the_end);
	tcase_add_test(tc, null_is_ignored);
	suite_add_tcase(suite, tc);
	tc = tcase_create("errno");
	tcase_add_test(tc, errno_of_either_sign_has_its_text);
	tcase_add_test(tc, every_errno_has_some_text);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
