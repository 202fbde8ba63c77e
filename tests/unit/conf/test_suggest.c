/* SPDX-License-Identifier: MIT */
/*
 * Tests of conf/suggest: a slip finds the word that was meant, another word finds nothing.
 */
#include "config.h"

#include <stdlib.h>

#include <check.h>

#include "conf/suggest.h"
#include "conffiles.h"

static const char *
suggest(const char *word)
{
	static const char *const known[] = {"backlog", "reuse_address", "reuse_port", "allow", "deny", "pool", NULL};
	struct suggestion suggestion;

	suggestion_init(&suggestion, word);
	for (const char *const *candidate = known; *candidate != NULL; candidate++)
		suggestion_offer(&suggestion, *candidate);
	return suggestion_get(&suggestion);
}

START_TEST(distance_counts_each_kind_of_slip_once)
{
	ck_assert_uint_eq(suggest_distance("backlog", "backlog"), 0);
	ck_assert_uint_eq(suggest_distance("baclog", "backlog"), 1);
	ck_assert_uint_eq(suggest_distance("backllog", "backlog"), 1);
	ck_assert_uint_eq(suggest_distance("bakclog", "backlog"), 1);
	ck_assert_uint_eq(suggest_distance("bacKlog", "backlog"), 0);
	ck_assert_uint_eq(suggest_distance("reuse-port", "reuse_port"), 0);
	ck_assert_uint_eq(suggest_distance("", "pool"), 4);
	ck_assert_uint_eq(suggest_distance("pool", ""), 4);
	ck_assert_uint_eq(suggest_distance("kitten", "sitting"), 3);
}
END_TEST

START_TEST(distance_is_the_same_both_ways)
{
	ck_assert_uint_eq(
		suggest_distance("reuse_adress", "reuse_address"), suggest_distance("reuse_address", "reuse_adress"));
	ck_assert_uint_eq(suggest_distance("abcd", "badc"), suggest_distance("badc", "abcd"));
}
END_TEST

START_TEST(long_words_are_looked_at_in_part)
{
	char word[300];

	memset(word, 'x', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	ck_assert_uint_eq(suggest_distance(word, "x"), 63);
}
END_TEST

START_TEST(a_slip_finds_what_was_meant)
{
	ck_assert_str_eq(suggest("back_log"), "backlog");
	ck_assert_str_eq(suggest("reuse_adress"), "reuse_address");
	ck_assert_str_eq(suggest("REUSE-PORT"), "reuse_port");
	ck_assert_str_eq(suggest("alow"), "allow");
}
END_TEST

START_TEST(another_word_finds_nothing)
{
	ck_assert_ptr_null(suggest("greeting"));
	ck_assert_ptr_null(suggest("xy"));
	ck_assert_ptr_null(suggest(""));
}
END_TEST

START_TEST(the_first_of_equals_is_taken)
{
	struct suggestion suggestion;

	suggestion_init(&suggestion, "fooo");
	suggestion_offer(&suggestion, "foox");
	suggestion_offer(&suggestion, "fooy");
	ck_assert_str_eq(suggestion_get(&suggestion), "foox");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("conf/suggest");
	TCase *tc = tcase_create("distance");

	tcase_add_test(tc, distance_counts_each_kind_of_slip_once);
	tcase_add_test(tc, distance_is_the_same_both_ways);
	tcase_add_test(tc, long_words_are_looked_at_in_part);
	suite_add_tcase(suite, tc);
	tc = tcase_create("suggestion");
	tcase_add_test(tc, a_slip_finds_what_was_meant);
	tcase_add_test(tc, another_word_finds_nothing);
	tcase_add_test(tc, the_first_of_equals_is_taken);
	suite_add_tcase(suite, tc);
	return conffiles_run(suite);
}
