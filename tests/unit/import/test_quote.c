/* SPDX-License-Identifier: MIT */
/*
 * Text that libconfig reads back, and names that are valid and unlike each other.
 */
#include "config.h"

#include "import/quote.h"

#include <check.h>
#include <string.h>

#include "base/defs.h"
#include "import/arena.h"
#include "rig.h"

static struct arena arena;

START_TEST(strings_are_escaped)
{
	ck_assert_str_eq(quote_string(&arena, ""), "\"\"");
	ck_assert_str_eq(quote_string(&arena, "a b"), "\"a b\"");
	ck_assert_str_eq(quote_string(&arena, "say \"no\" to c:\\x"), "\"say \\\"no\\\" to c:\\\\x\"");
	ck_assert_str_eq(quote_string(&arena, "\n\r\t\f\x01\x7f"), "\"\\n\\r\\t\\f\\x01\\x7F\"");
	ck_assert_str_eq(quote_string(&arena, "gr\xc3\xbc\xc3\x9f"
					      "e #"),
		"\"gr\xc3\xbc\xc3\x9f"
		"e #\"");
	arena_fini(&arena);
}
END_TEST

START_TEST(lists_are_of_strings)
{
	struct words words = {0};

	words_split(&arena, &words, "a \"b\"");
	ck_assert_str_eq(quote_list(&arena, &words), "[ \"a\", \"\\\"b\\\"\" ]");
	arena_fini(&arena);
}
END_TEST

START_TEST(names_are_made_valid)
{
	struct words taken = {0};
	char longer[200];

	ck_assert_str_eq(quote_name(&arena, &taken, "check_mk.agent-2"), "check_mk.agent-2");
	ck_assert_str_eq(quote_name(&arena, &taken, "/run/x y"), "-run-x-y");
	ck_assert_str_eq(quote_name(&arena, &taken, "\xc3\xbc"), "--");
	ck_assert_str_eq(quote_name(&arena, &taken, ""), "service");
	memset(longer, 'n', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	ck_assert_uint_le(strlen(quote_name(&arena, &taken, longer)), 64);
	ck_assert_uint_le(strlen(quote_name(&arena, &taken, longer)), 64);
	arena_fini(&arena);
}
END_TEST

START_TEST(names_are_unlike_each_other)
{
	struct words taken = {0};

	ck_assert_str_eq(quote_name(&arena, &taken, "a b"), "a-b");
	ck_assert_str_eq(quote_name(&arena, &taken, "a-b"), "a-b-2");
	ck_assert_str_eq(quote_name(&arena, &taken, "a/b"), "a-b-3");
	arena_fini(&arena);
}
END_TEST

START_TEST(names_of_groups_begin_with_a_letter)
{
	struct words taken = {0};
	char digits[65] = "";

	ck_assert_str_eq(quote_group_name(&arena, &taken, "web.1"), "web-1");
	ck_assert_str_eq(quote_group_name(&arena, &taken, "443"), "service-443");
	ck_assert_str_eq(quote_group_name(&arena, &taken, ""), "service-");
	/* As long as any other: there is room for a number behind it. */
	memset(digits, '4', sizeof(digits) - 1);
	ck_assert_uint_eq(strlen(quote_group_name(&arena, &taken, digits)), 56);
	arena_fini(&arena);
}
END_TEST

static Suite *
quote_suite(void)
{
	Suite *suite = suite_create("import/quote");
	TCase *tc;

	tc = tcase_create("strings");
	tcase_add_test(tc, strings_are_escaped);
	tcase_add_test(tc, lists_are_of_strings);
	suite_add_tcase(suite, tc);
	tc = tcase_create("names");
	tcase_add_test(tc, names_are_made_valid);
	tcase_add_test(tc, names_are_unlike_each_other);
	tcase_add_test(tc, names_of_groups_begin_with_a_letter);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	return rig_run(quote_suite());
}
