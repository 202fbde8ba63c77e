/* SPDX-License-Identifier: MIT */
/*
 * Memory comes zeroed, grows with what it held, and is returned at once.
 */
#include "config.h"

#include "import/arena.h"

#include <check.h>
#include <string.h>

#include "base/mem.h"
#include "rig.h"

START_TEST(memory_is_zeroed)
{
	struct arena arena = {.first = NULL};
	const char *bytes = arena_alloc(&arena, 4000);

	for (size_t i = 0; i < 4000; i++)
		ck_assert_int_eq(bytes[i], 0);
	arena_fini(&arena);
	ck_assert_ptr_null(arena.first);
}
END_TEST

START_TEST(growing_keeps_what_was_there)
{
	struct arena arena = {.first = NULL};
	size_t room = 0;
	int *numbers = arena_grow(&arena, NULL, &room, sizeof(int));

	ck_assert_uint_eq(room, 8);
	for (int i = 0; i < 8; i++)
		numbers[i] = i;
	numbers = arena_grow(&arena, numbers, &room, sizeof(int));
	ck_assert_uint_eq(room, 16);
	for (int i = 0; i < 16; i++)
		ck_assert_int_eq(numbers[i], i < 8 ? i : 0);
	arena_fini(&arena);
}
END_TEST

START_TEST(strings_are_copies)
{
	struct arena arena = {.first = NULL};
	char text[] = "word and more";
	const char *whole = arena_strdup(&arena, text);
	const char *part = arena_strndup(&arena, text, 4);

	memset(text, 'x', 4);
	ck_assert_str_eq(whole, "word and more");
	ck_assert_str_eq(part, "word");
	ck_assert_str_eq(arena_strndup(&arena, "ab", 100), "ab");
	ck_assert_str_eq(arena_printf(&arena, "%s-%d", "a", 7), "a-7");
	arena_fini(&arena);
}
END_TEST

START_TEST(no_memory_ends_the_program)
{
	struct arena arena = {.first = NULL};

	mem_fail_after(1);
	(void)arena_alloc(&arena, 1);
}
END_TEST

static Suite *
arena_suite(void)
{
	Suite *suite = suite_create("import/arena");
	TCase *tc;

	tc = tcase_create("memory");
	tcase_add_test(tc, memory_is_zeroed);
	tcase_add_test(tc, growing_keeps_what_was_there);
	tcase_add_test(tc, strings_are_copies);
	tcase_add_exit_test(tc, no_memory_ends_the_program, 1);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	return rig_run(arena_suite());
}
