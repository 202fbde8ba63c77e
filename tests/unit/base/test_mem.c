/* SPDX-License-Identifier: MIT */
/*
 * Tests of base/mem: memory comes zeroed, overflow is no memory, and a chosen allocation can be made to fail.
 */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "base/mem.h"

#define THREADS 4
#define ROUNDS 500

/* Hidden from the compiler, which warns of sizes that it can see to be too large. */
static volatile size_t huge = SIZE_MAX / 2;

static void
set_up(void)
{
	mem_fail_after(0);
}

static void
tear_down(void)
{
	mem_fail_after(0);
}

START_TEST(memory_is_zeroed)
{
	unsigned char *bytes = mem_zalloc(1000);
	uint64_t *array = mem_zalloc_array(100, sizeof(*array));

	ck_assert_ptr_nonnull(bytes);
	ck_assert_ptr_nonnull(array);
	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(bytes[i], 0);
	for (int i = 0; i < 100; i++)
		ck_assert_uint_eq(array[i], 0);
	mem_free(bytes);
	mem_free(array);
}
END_TEST

START_TEST(size_zero_is_memory_too)
{
	void *holders[] = { mem_zalloc(0), mem_zalloc_array(0, 8), mem_zalloc_array(8, 0),
		mem_realloc_array(NULL, 0, 8) };

	for (size_t i = 0; i < CP_COUNT(holders); i++) {
		ck_assert_ptr_nonnull(holders[i]);
		mem_free(holders[i]);
	}
}
END_TEST

START_TEST(array_size_that_overflows_is_refused)
{
	char *kept = mem_strdup("kept");

	ck_assert_ptr_null(mem_zalloc_array(huge, 4));
	ck_assert_ptr_null(mem_realloc_array(kept, huge, 4));
	ck_assert_str_eq(kept, "kept");
	mem_free(kept);
}
END_TEST

START_TEST(realloc_keeps_content)
{
	char *text = mem_strdup("abc");

	text = mem_realloc_array(text, 5000, 2);
	ck_assert_str_eq(text, "abc");
	text = mem_realloc_array(text, 0, 2);
	ck_assert_ptr_nonnull(text);
	mem_free(text);
}
END_TEST

START_TEST(strings_are_copied_and_formatted)
{
	char source[] = "abc";
	char *copy = mem_strdup(source);
	char *text = mem_printf("%s-%05d", copy, 42);

	source[0] = 'x';
	ck_assert_str_eq(copy, "abc");
	ck_assert_str_eq(text, "abc-00042");
	ck_assert_ptr_null(mem_strdup(NULL));
	mem_freep(&copy);
	mem_freep(&text);
	ck_assert_ptr_null(copy);
	ck_assert_ptr_null(text);
	mem_freep(&text);
	mem_free(NULL);
}
END_TEST

START_TEST(every_function_fails_when_told_to)
{
	char *kept = mem_strdup("kept");

	for (int i = 0; i < 6; i++) {
		mem_fail_after(1);
		errno = 0;
		switch (i) {
		case 0: ck_assert_ptr_null(mem_zalloc(1)); break;
		case 1: ck_assert_ptr_null(mem_zalloc_array(1, 1)); break;
		case 2: ck_assert_ptr_null(mem_realloc_array(kept, 1, 1)); break;
		case 3: ck_assert_ptr_null(mem_strdup("x")); break;
		case 4: ck_assert_ptr_null(mem_printf("x")); break;
		case 5: ck_assert(mem_should_fail()); break;
		}
		ck_assert_int_eq(errno, ENOMEM);
	}
	ck_assert_str_eq(kept, "kept");
	mem_free(kept);
}
END_TEST

START_TEST(the_nth_allocation_fails_and_no_other)
{
	mem_fail_after(3);
	for (int i = 1; i <= 6; i++) {
		void *ptr = mem_zalloc(8);

		ck_assert_int_eq(ptr == NULL, i == 3);
		mem_free(ptr);
	}
}
END_TEST

START_TEST(zero_calls_it_off)
{
	mem_fail_after(2);
	ck_assert(!mem_should_fail());
	mem_fail_after(0);
	for (int i = 0; i < 4; i++)
		ck_assert(!mem_should_fail());
}
END_TEST

START_TEST(strdup_of_null_is_no_allocation)
{
	mem_fail_after(1);
	ck_assert_ptr_null(mem_strdup(NULL));
	ck_assert(mem_should_fail());
}
END_TEST

static void *
count_failures(void *arg)
{
	uintptr_t failures = 0;

	(void)arg;
	for (int i = 0; i < ROUNDS; i++)
		failures += mem_should_fail();
	return (void *)failures;
}

START_TEST(exactly_one_of_all_threads_fails)
{
	pthread_t threads[THREADS];
	uintptr_t failures = 0;
	void *result;

	mem_fail_after(THREADS * ROUNDS / 2);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, count_failures, NULL), 0);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &result);
		failures += (uintptr_t)result;
	}
	ck_assert_uint_eq(failures, 1);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("base/mem");
	TCase *tc;
	SRunner *runner;
	int failed;

	tc = tcase_create("memory");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, memory_is_zeroed);
	tcase_add_test(tc, size_zero_is_memory_too);
	tcase_add_test(tc, array_size_that_overflows_is_refused);
	tcase_add_test(tc, realloc_keeps_content);
	tcase_add_test(tc, strings_are_copied_and_formatted);
	suite_add_tcase(suite, tc);
	tc = tcase_create("failing");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, every_function_fails_when_told_to);
	tcase_add_test(tc, the_nth_allocation_fails_and_no_other);
	tcase_add_test(tc, zero_calls_it_off);
	tcase_add_test(tc, strdup_of_null_is_no_allocation);
	tcase_add_test(tc, exactly_one_of_all_threads_fails);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
