/* SPDX-License-Identifier: MIT */
/*
 * Tests of conf/report: errors have their place, their order and their limit, and need no memory to be seen.
 */
#include "config.h"

#include <check.h>

#include "base/mem.h"
#include "conf/option.h"
#include "conf/report.h"
#include "conffiles.h"

static char main_file[] = "main.conf";
static char other_file[] = "other.conf";
static char *files[] = {main_file, other_file};
static struct conf conf;
static struct conf_errors errors;
static struct conf_loading loading;

static void
setup(void)
{
	conf.files = files;
	conf.file_count = 2;
	memset(&errors, 0, sizeof(errors));
	loading = (struct conf_loading){.conf = &conf, .errors = &errors, .file = main_file};
}

static void
teardown(void)
{
	loading_fini(&loading);
	conf_errors_fini(&errors);
}

START_TEST(error_says_as_much_of_its_place_as_is_known)
{
	report(&loading, main_file, 3, "log.level", "is %s", "bad");
	report(&loading, main_file, 0, "listeners", "none");
	report(&loading, main_file, 4, NULL, "syntax error");
	report(&loading, NULL, 0, NULL, "odd");
	ck_assert_uint_eq(errors.count, 4);
	ck_assert_str_eq(errors.items[0].text, "main.conf:3: log.level: is bad");
	ck_assert_str_eq(errors.items[1].text, "main.conf: listeners: none");
	ck_assert_str_eq(errors.items[2].text, "main.conf:4: syntax error");
	ck_assert_str_eq(errors.items[3].text, "odd");
}
END_TEST

START_TEST(errors_are_sorted_by_file_and_line)
{
	static const char *const wanted[] = {
		"main.conf:2: c", "main.conf:9: d", "main.conf:9: e", "other.conf:1: a", "other.conf:5: b"};

	report(&loading, other_file, 1, "a", "%s", "");
	report(&loading, other_file, 5, "b", "%s", "");
	report(&loading, main_file, 9, "d", "%s", "");
	report(&loading, main_file, 2, "c", "%s", "");
	report(&loading, main_file, 9, "e", "%s", "");
	report_sort(&errors);
	ck_assert_uint_eq(errors.count, CP_COUNT(wanted));
	for (unsigned i = 0; i < errors.count; i++)
		ck_assert_int_eq(strncmp(errors.items[i].text, wanted[i], strlen(wanted[i])), 0);
}
END_TEST

START_TEST(errors_beyond_the_limit_are_counted)
{
	for (unsigned i = 0; i < CONF_ERRORS_MAX + 7; i++)
		report(&loading, main_file, i, "k", "x");
	ck_assert_uint_eq(errors.count, CONF_ERRORS_MAX);
	ck_assert_uint_eq(errors.more, 7);
	report_no_memory(&loading);
	ck_assert_uint_eq(errors.count, CONF_ERRORS_MAX);
	ck_assert_uint_eq(errors.more, 8);
	ck_assert_str_eq(errors.items[CONF_ERRORS_MAX - 1].text, "out of memory");
}
END_TEST

START_TEST(no_memory_is_reported_once)
{
	mem_fail_after(1);
	report(&loading, main_file, 1, "k", "x");
	mem_fail_after(1);
	report(&loading, main_file, 2, "k", "x");
	mem_fail_after(0);
	ck_assert_uint_eq(errors.count, 1);
	ck_assert_str_eq(errors.items[0].text, "out of memory");
	ck_assert(loading.has_no_memory);
}
END_TEST

START_TEST(places_are_found_by_owner_option_and_element)
{
	const struct option *row = &greet_options[2];
	int owners[100];

	for (unsigned i = 0; i < 100; i++) {
		loading_add_place(&loading, &owners[i], row, 0, i + 1);
		loading_add_place(&loading, &owners[i], row, 1, i + 1000);
	}
	ck_assert_uint_eq(loading_find_place(&loading, &owners[70], "words", 0)->line, 71);
	ck_assert_uint_eq(loading_find_place(&loading, &owners[70], "words", 1)->line, 1070);
	ck_assert_str_eq(loading_find_place(&loading, &owners[0], "words", 0)->file, "main.conf");
	ck_assert_ptr_null(loading_find_place(&loading, &owners[70], "words", 2));
	ck_assert_ptr_null(loading_find_place(&loading, &owners[70], "word", 0));
	ck_assert_ptr_null(loading_find_place(&loading, &loading, "words", 0));
}
END_TEST

START_TEST(place_without_memory_is_an_error)
{
	mem_fail_after(1);
	loading_add_place(&loading, &loading, &greet_options[0], 0, 1);
	mem_fail_after(0);
	ck_assert(loading.has_no_memory);
	ck_assert_uint_eq(loading.place_count, 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("conf/report");
	TCase *tc = tcase_create("errors");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, error_says_as_much_of_its_place_as_is_known);
	tcase_add_test(tc, errors_are_sorted_by_file_and_line);
	tcase_add_test(tc, errors_beyond_the_limit_are_counted);
	tcase_add_test(tc, no_memory_is_reported_once);
	suite_add_tcase(suite, tc);
	tc = tcase_create("places");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, places_are_found_by_owner_option_and_element);
	tcase_add_test(tc, place_without_memory_is_an_error);
	suite_add_tcase(suite, tc);
	return conffiles_run(suite);
}
