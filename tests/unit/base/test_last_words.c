/* SPDX-License-Identifier: MIT */
/*
 * Tests of base/last_words: text and numbers become one line, which is cut but never without its end.
 */
#include "config.h"

#include "base/last_words.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <check.h>

/* What writing them puts on standard error; returns its length. */
static size_t
written(struct last_words *words, char *text, size_t size)
{
	int kept = dup(STDERR_FILENO);
	int ends[2];
	ssize_t n;

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_ge(dup2(ends[1], STDERR_FILENO), 0);
	last_words_write(words);
	ck_assert_int_ge(dup2(kept, STDERR_FILENO), 0);
	close(kept);
	close(ends[1]);
	n = read(ends[0], text, size - 1);
	close(ends[0]);
	ck_assert_int_ge(n, 0);
	text[n] = '\0';
	return (size_t)n;
}

START_TEST(text_and_numbers_become_a_line)
{
	struct last_words words = {.used = 0};
	char text[2048];

	last_words_add(&words, "a ");
	last_words_add_number(&words, UINT64_MAX);
	last_words_add(&words, " ");
	last_words_add_hex(&words, 0xdeadbeef);
	last_words_add(&words, " ");
	last_words_add_number(&words, 0);
	(void)written(&words, text, sizeof(text));
	ck_assert_str_eq(text, "a 18446744073709551615 0xdeadbeef 0\n");
	ck_assert_uint_eq(words.used, 0);
}
END_TEST

START_TEST(a_long_line_is_cut_and_ends)
{
	struct last_words words = {.used = 0};
	char text[2048];
	size_t length;

	for (int i = 0; i < 300; i++)
		last_words_add(&words, "12345678");
	length = written(&words, text, sizeof(text));
	ck_assert_uint_eq(length, sizeof(words.text));
	ck_assert_int_eq(text[length - 1], '\n');
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("base/last_words");
	TCase *tc = tcase_create("line");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_test(tc, text_and_numbers_become_a_line);
	tcase_add_test(tc, a_long_line_is_cut_and_ends);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
