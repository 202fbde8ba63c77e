/* SPDX-License-Identifier: MIT */
/*
 * Lines fall apart at blanks, and lists grow, shrink and are joined.
 */
#include "config.h"

#include "import/words.h"

#include <check.h>
#include <errno.h>
#include <string.h>

#include "base/defs.h"
#include "import/arena.h"
#include "rig.h"

static struct arena arena;

START_TEST(a_line_splits_at_blanks)
{
	struct words words = {0};

	words_split(&arena, &words, " a\t\"b c\"  d\r");
	ck_assert_uint_eq(words.count, 4);
	ck_assert_str_eq(words_join(&arena, &words, "|"), "a|\"b|c\"|d");
	arena_fini(&arena);
}
END_TEST

START_TEST(quotes_keep_blanks_where_they_count)
{
	struct words words = {0};

	ck_assert_int_eq(words_split_quoted(&arena, &words, "sh -c 'a  \"b' \"it's\" x\"y z\" ''"), 0);
	ck_assert_str_eq(words_join(&arena, &words, "|"), "sh|-c|a  \"b|it's|xy z|");
	arena_fini(&arena);
}
END_TEST

START_TEST(a_quote_without_its_end_is_an_error)
{
	struct words words = {0};

	ck_assert_int_eq(words_split_quoted(&arena, &words, "a 'b c"), -EINVAL);
	arena_fini(&arena);
}
END_TEST

START_TEST(a_line_of_nothing_has_no_words)
{
	struct words words = {0};

	words_split(&arena, &words, " \t ");
	ck_assert_int_eq(words_split_quoted(&arena, &words, ""), 0);
	ck_assert_uint_eq(words.count, 0);
	ck_assert_str_eq(words_join(&arena, &words, ","), "");
	arena_fini(&arena);
}
END_TEST

START_TEST(words_are_found_and_removed)
{
	struct words words = {0};

	for (int i = 0; i < 50; i++)
		words_add(&arena, &words, i % 2 == 0 ? "even" : arena_printf(&arena, "%d", i));
	ck_assert(words_has(&words, "even") && words_has(&words, "49") && !words_has(&words, "50"));
	words_remove(&words, "even");
	ck_assert(!words_has(&words, "even"));
	ck_assert_uint_eq(words.count, 25);
	ck_assert_str_eq(words.items[0], "1");
	arena_fini(&arena);
}
END_TEST

static Suite *
words_suite(void)
{
	Suite *suite = suite_create("import/words");
	TCase *tc;

	tc = tcase_create("splitting");
	tcase_add_test(tc, a_line_splits_at_blanks);
	tcase_add_test(tc, quotes_keep_blanks_where_they_count);
	tcase_add_test(tc, a_quote_without_its_end_is_an_error);
	tcase_add_test(tc, a_line_of_nothing_has_no_words);
	suite_add_tcase(suite, tc);
	tc = tcase_create("lists");
	tcase_add_test(tc, words_are_found_and_removed);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	return rig_run(words_suite());
}
