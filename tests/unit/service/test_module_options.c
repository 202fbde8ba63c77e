/* SPDX-License-Identifier: MIT */
/*
 * test_module_options - tables of modules as the reader gets them, and the faults for which it does not.
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include <check.h>

#include "base/errmsg.h"
#include "base/mem.h"
#include "conf/option.h"
#include "connpoold/handler.h"
#include "service/module_options.h"
#include "../net/netfixture.h"

struct settings {
	bool loud;
	uint64_t times;
	char *greeting;
	struct cp_strings names;
	int mood;
};

struct section {
	char *path;
};

static const struct option base[] = {
	OPT_STRING_REQUIRED(struct section, path, "path", OPTION_LIVE, "Where it is."),
	OPT_END,
};

static const struct cp_word moods[] = {{"glad", 1}, {"sad", 2}, {NULL, 0}};
static const struct cp_word no_words[] = {{NULL, 0}};

static const struct cp_option good[] = {
	CP_OPT_BOOL(struct settings, loud, "loud", "true", "Shouts."),
	CP_OPT_NUMBER(struct settings, times, "times", 1, 9, "3", "How often."),
	CP_OPT_STRING_REQUIRED(struct settings, greeting, "greeting", "What is said."),
	CP_OPT_STRINGS_REQUIRED(struct settings, names, "names", "To whom."),
	CP_OPT_WORD(struct settings, mood, "mood", moods, "sad", "How."),
	CP_OPT_END,
};

static int
make(const struct cp_option *options, struct option_group *ret_group, struct errmsg *err)
{
	const struct cp_handler handler = {.options = options, .settings_size = sizeof(struct settings)};

	*ret_group = (struct option_group){0};
	return module_options_make(base, &handler, 16, ret_group, err);
}

static void
expect_fault(struct cp_option option, const char *text)
{
	const struct cp_option options[] = {option, CP_OPT_END};
	struct option_group group;
	struct errmsg err = {""};

	ck_assert_int_eq(make(options, &group, &err), -EINVAL);
	ck_assert_msg(strstr(err.text, text) != NULL, "%s", err.text);
	ck_assert_ptr_null(group.options);
}

START_TEST(rows_come_after_the_base)
{
	struct option_group group;
	const struct option *row;

	ck_assert_int_eq(make(good, &group, NULL), 0);
	ck_assert_uint_eq(group.size, 16 + sizeof(struct settings));
	ck_assert_str_eq(group.options[0].name, "path");
	ck_assert_uint_eq(group.options[0].offset, 0);
	row = option_find(&group, "times");
	ck_assert_int_eq(row->type, OPTION_UINT);
	ck_assert_uint_eq(row->offset, 16 + offsetof(struct settings, times));
	ck_assert_uint_eq(row->max, 9);
	ck_assert(option_find(&group, "greeting")->required);
	ck_assert(option_find(&group, "names")->required);
	ck_assert_ptr_null(group.options[6].name);
	module_options_free(&group);
	ck_assert_ptr_null(group.options);
}
END_TEST

START_TEST(defaults_fill_the_settings)
{
	struct option_group group;
	char bytes[16 + sizeof(struct settings)] __attribute__((aligned(16))) = {0};
	const struct settings *settings = (const void *)(bytes + 16);

	ck_assert_int_eq(make(good, &group, NULL), 0);
	ck_assert_int_eq(option_group_init(&group, bytes), 0);
	ck_assert(settings->loud);
	ck_assert_uint_eq(settings->times, 3);
	ck_assert_int_eq(settings->mood, 2);
	option_group_fini(&group, bytes);
	module_options_free(&group);
}
END_TEST

START_TEST(a_handler_without_options_has_the_base)
{
	struct option_group group;

	ck_assert_int_eq(make(NULL, &group, NULL), 0);
	ck_assert_str_eq(group.options[0].name, "path");
	ck_assert_ptr_null(group.options[1].name);
	module_options_free(&group);
}
END_TEST

START_TEST(faults_are_named)
{
	struct cp_option option = good[1];

	option.name = "Times";
	expect_fault(option, "its option \"Times\": its name is not made of");
	/* A letter more than may be. */
	option.name = "abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuvwxyz_abcdefghijk";
	expect_fault(option, "its name is not made of");
	option.name = "";
	expect_fault(option, "its name is not made of");
	option.name = "path";
	expect_fault(option, "its option \"path\": there is one of that name already");
	option.name = "type";
	expect_fault(option, "there is one of that name already");
	option = good[1];
	option.type = (enum cp_option_type)99;
	expect_fault(option, "it is of a type that there is not");
	option = good[1];
	option.offset = sizeof(struct settings) - 4;
	expect_fault(option, "its field lies outside settings_size");
	option = good[1];
	option.min = 10;
	expect_fault(option, "its min is above its max");
	option = good[1];
	option.help = NULL;
	expect_fault(option, "it has no help");
	option = good[4];
	option.words = no_words;
	expect_fault(option, "it has no words");
}
END_TEST

START_TEST(defaults_that_can_not_be_are_found)
{
	struct cp_option option = good[1];

	option.default_text = "10";
	expect_fault(option, "its option \"times\": its default: 10 is out of range, expected a number from 1 to 9");
	option.default_text = "many";
	expect_fault(option, "its default: \"many\" is not understood");
}
END_TEST

START_TEST(fields_that_overlap_are_refused)
{
	struct cp_option options[] = {good[1], good[2], CP_OPT_END};
	struct option_group group;
	struct errmsg err = {""};

	options[1].offset = options[0].offset + sizeof(uint64_t) - 1;
	ck_assert_int_eq(make(options, &group, &err), -EINVAL);
	ck_assert_str_eq(err.text, "its option \"greeting\": its field overlaps that of an option before it");
}
END_TEST

START_TEST(a_settings_size_beyond_reason_is_refused)
{
	const struct cp_handler handler = {.options = NULL, .settings_size = (size_t)-8};
	struct option_group group = {0};
	struct errmsg err = {""};

	ck_assert_int_eq(module_options_make(base, &handler, 16, &group, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "its settings_size is "));
}
END_TEST

START_TEST(a_table_without_an_end_is_refused)
{
	static struct cp_option options[300];
	struct option_group group;
	struct errmsg err = {""};

	for (size_t i = 0; i < CP_COUNT(options); i++)
		options[i] = good[0];
	ck_assert_int_eq(make(options, &group, &err), -EINVAL);
	ck_assert_str_eq(err.text, "its table of options does not end with CP_OPT_END");
}
END_TEST

START_TEST(no_memory_is_said)
{
	struct option_group group;
	int rc = -ENOMEM;
	unsigned n;

	for (n = 1; rc == -ENOMEM; n++) {
		mem_fail_after(n);
		rc = make(good, &group, NULL);
		mem_fail_after(0);
	}
	ck_assert_int_eq(rc, 0);
	ck_assert_uint_gt(n, 2);
	module_options_free(&group);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("service/module_options");
	TCase *tc = fixture_case(suite, "rows");

	tcase_add_test(tc, rows_come_after_the_base);
	tcase_add_test(tc, defaults_fill_the_settings);
	tcase_add_test(tc, a_handler_without_options_has_the_base);
	tcase_add_test(tc, no_memory_is_said);
	tc = fixture_case(suite, "faults");
	tcase_add_test(tc, faults_are_named);
	tcase_add_test(tc, defaults_that_can_not_be_are_found);
	tcase_add_test(tc, fields_that_overlap_are_refused);
	tcase_add_test(tc, a_settings_size_beyond_reason_is_refused);
	tcase_add_test(tc, a_table_without_an_end_is_refused);
	return fixture_run(suite);
}
