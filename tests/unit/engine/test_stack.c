/* SPDX-License-Identifier: MIT */
/*
 * test_stack - stacks with each kind of guard, the order in which the kinds are used, and what happens without memory.
 * A guard is tested by a child that touches it and must die of it.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/defs.h"
#include "base/mem.h"
#include "engine/stack.h"

#define BYTES 65536

/* They have memory and addresses of their own for what is mapped. */
#if defined(CP_ASAN) || defined(CP_TSAN)
#define IS_SANITIZED true
#else
#define IS_SANITIZED (getenv("CP_VALGRIND") != NULL)
#endif

static void
tear_down(void)
{
	stack_test_reset_guards();
	mem_fail_after(0);
}

/* How a child ends that writes to the address: a signal, or 0. The fault's usual action, not a sanitizer's. */
static int
signal_of_write(char *address)
{
	const struct rlimit no_core = { 0, 0 };
	int status;
	pid_t child = fork();

	ck_assert_int_ge(child, 0);
	if (child == 0) {
		(void)setrlimit(RLIMIT_CORE, &no_core);
		(void)signal(SIGSEGV, SIG_DFL);
		(void)signal(SIGBUS, SIG_DFL);
		*(volatile char *)address = 1;
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

START_TEST(is_usable_from_end_to_end)
{
	struct stack stack;

	ck_assert_int_eq(stack_open(&stack, BYTES), 0);
	ck_assert_uint_eq(stack.bytes, BYTES);
	memset(stack.base, 0xaa, stack.bytes);
	ck_assert(stack_is_intact(&stack));
	stack_close(&stack);
	ck_assert_ptr_null(stack.mapping);
	stack_close(&stack);
}
END_TEST

START_TEST(size_is_rounded_up_to_pages)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct stack stack;

	ck_assert_int_eq(stack_open(&stack, page + 1), 0);
	ck_assert_uint_eq(stack.bytes, 2 * page);
	ck_assert_uint_eq((uintptr_t)stack.base % page, 0);
	stack_close(&stack);
}
END_TEST

START_TEST(released_pages_read_as_zero_and_the_rest_is_kept)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct stack stack;

	ck_assert_int_eq(stack_open(&stack, BYTES), 0);
	memset(stack.base, 0xaa, stack.bytes);
	stack_release_below(&stack, stack.base + 2 * page + 5);
	ck_assert_int_eq(stack.base[0], 0);
	ck_assert_int_eq(stack.base[2 * page - 1], 0);
	ck_assert_int_eq((unsigned char)stack.base[2 * page], 0xaa);
	stack_close(&stack);
}
END_TEST

START_TEST(a_write_into_the_guard_faults)
{
	struct stack stack;

	ck_assert_int_eq(stack_open(&stack, BYTES), 0);
	if (stack.guard != STACK_GUARD_CANARY) {
		ck_assert_int_ne(signal_of_write(stack.base - 1), 0);
		ck_assert_int_ne(signal_of_write(stack.mapping), 0);
	}
	ck_assert_int_eq(signal_of_write(stack.base), 0);
	stack_close(&stack);
}
END_TEST

/* The one that has the others below it. */
static const struct stack *
highest_of(const struct stack *stacks, size_t count)
{
	const struct stack *highest = stacks;

	for (size_t i = 1; i < count; i++) {
		if (stacks[i].base > highest->base)
			highest = &stacks[i];
	}
	return highest;
}

START_TEST(a_frame_does_not_reach_across_the_guard)
{
	static const size_t frames[] = {60000, 98304, 500000, (1 << 20) - 1};

	for (unsigned kind = STACK_GUARD_MADVISE; kind <= STACK_GUARD_MPROTECT; kind++) {
		struct stack stacks[24];

		if (kind == STACK_GUARD_MPROTECT)
			stack_test_limit_guards(CP_COUNT(stacks));
		for (size_t i = 0; i < CP_COUNT(stacks); i++)
			ck_assert_int_eq(stack_open(&stacks[i], BYTES), 0);
		for (size_t i = 0; i < CP_COUNT(frames) && sizeof(void *) >= 8; i++)
			ck_assert_int_ne(signal_of_write(highest_of(stacks, CP_COUNT(stacks))->base - frames[i]), 0);
		for (size_t i = 0; i < CP_COUNT(stacks); i++)
			stack_close(&stacks[i]);
	}
}
END_TEST

/* What nobody notices at least harms nobody. */
START_TEST(a_canary_stack_has_as_much_room_below_it)
{
	struct stack stacks[2];

	stack_test_limit_guards(0);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(stack_open(&stacks[i], BYTES), 0);
		memset(stacks[i].base, 0xaa, stacks[i].bytes);
	}
	for (int i = 0; i < 2; i++) {
		ck_assert_uint_eq((size_t)(stacks[i].base - stacks[i].mapping), STACK_GUARD_BYTES);
		memset(stacks[i].mapping, 0x55, STACK_GUARD_BYTES);
	}
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq((unsigned char)stacks[i].base[0], 0xaa);
		ck_assert_int_eq((unsigned char)stacks[i].base[stacks[i].bytes - 1], 0xaa);
		stack_close(&stacks[i]);
	}
}
END_TEST

/* Address space of this process, in bytes. */
static size_t
mapped_bytes(void)
{
	unsigned long pages = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fscanf(file, "%lu", &pages), 1);
	(void)fclose(file);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

START_TEST(short_of_addresses_the_guard_is_smaller)
{
	struct stack stack;
	struct rlimit limit;

	if (IS_SANITIZED)
		return;
	ck_assert_int_eq(getrlimit(RLIMIT_AS, &limit), 0);
	limit.rlim_cur = mapped_bytes() + BYTES + STACK_GUARD_BYTES / 2;
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
	ck_assert_int_eq(stack_open(&stack, BYTES), 0);
	ck_assert_uint_lt((size_t)(stack.base - stack.mapping), STACK_GUARD_BYTES);
	ck_assert_uint_ge((size_t)(stack.base - stack.mapping), STACK_GUARD_BYTES_LEAST);
	ck_assert_int_ne(signal_of_write(stack.base - 1), 0);
	stack_close(&stack);
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
}
END_TEST

START_TEST(stack_pointers_below_the_end_are_told_from_others)
{
	struct stack stack;
	uintptr_t base;

	ck_assert_int_eq(stack_open(&stack, BYTES), 0);
	base = (uintptr_t)stack.base;
	ck_assert(stack_is_overrun_by(&stack, base - 1));
	ck_assert(stack_is_overrun_by(&stack, base - STACK_GUARD_BYTES - 100000));
	ck_assert(!stack_is_overrun_by(&stack, base));
	ck_assert(!stack_is_overrun_by(&stack, base + BYTES));
	ck_assert(!stack_is_overrun_by(&stack, base - ((uintptr_t)64 << 20)));
	ck_assert(!stack_is_overrun_by(&stack, 0));
	stack_close(&stack);
}
END_TEST

START_TEST(without_kernel_guards_mprotect_guards)
{
	struct stack stack;

	stack_test_limit_guards(1);
	ck_assert_int_eq(stack_guard_kind(), STACK_GUARD_MPROTECT);
	ck_assert_int_eq(stack_open(&stack, BYTES), 0);
	ck_assert_int_eq(stack.guard, STACK_GUARD_MPROTECT);
	ck_assert_int_ne(signal_of_write(stack.base - 1), 0);
	stack_close(&stack);
}
END_TEST

START_TEST(beyond_the_mprotect_limit_a_canary_guards)
{
	struct stack stacks[3];

	stack_test_limit_guards(2);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(stack_open(&stacks[i], BYTES), 0);
	ck_assert_int_eq(stacks[1].guard, STACK_GUARD_MPROTECT);
	ck_assert_int_eq(stacks[2].guard, STACK_GUARD_CANARY);
	ck_assert_int_eq(stack_guard_kind(), STACK_GUARD_CANARY);
	stack_close(&stacks[0]);
	ck_assert_int_eq(stack_guard_kind(), STACK_GUARD_MPROTECT);
	stack_close(&stacks[1]);
	stack_close(&stacks[2]);
}
END_TEST

START_TEST(a_canary_that_was_run_over_is_noticed)
{
	struct stack stack;

	stack_test_limit_guards(0);
	ck_assert_int_eq(stack_open(&stack, BYTES), 0);
	memset(stack.base, 0xaa, stack.bytes);
	ck_assert(stack_is_intact(&stack));
	stack.base[-1] = 1;
	ck_assert(!stack_is_intact(&stack));
	stack_close(&stack);
}
END_TEST

START_TEST(the_kernel_is_believed_again_after_a_reset)
{
	struct stack stack;

	stack_test_limit_guards(0);
	stack_test_reset_guards();
	ck_assert_int_eq(stack_open(&stack, BYTES), 0);
	ck_assert_int_ne(stack.guard, STACK_GUARD_CANARY);
	ck_assert_int_eq(stack.guard, stack_guard_kind());
	stack_close(&stack);
}
END_TEST

START_TEST(guard_addresses_are_told_from_others)
{
	struct stack stack;

	ck_assert_int_eq(stack_open(&stack, BYTES), 0);
	ck_assert(stack_guard_contains(&stack, stack.base - 1));
	ck_assert(stack_guard_contains(&stack, stack.mapping));
	ck_assert(stack_guard_contains(&stack, stack.mapping - 4096));
	ck_assert(!stack_guard_contains(&stack, stack.mapping - 4097));
	ck_assert(!stack_guard_contains(&stack, stack.base));
	ck_assert(!stack_guard_contains(&stack, NULL));
	stack_close(&stack);
}
END_TEST

START_TEST(no_memory_is_an_error_and_leaves_nothing)
{
	struct stack stack;

	mem_fail_after(1);
	ck_assert_int_eq(stack_open(&stack, BYTES), -ENOMEM);
	ck_assert_int_eq(stack_open(&stack, SIZE_MAX), -ENOMEM);
	ck_assert_int_eq(stack_open(&stack, SIZE_MAX / 2), -ENOMEM);
}
END_TEST

START_TEST(a_stack_costs_no_memory_until_it_is_touched)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	unsigned char resident[BYTES / 4096 + 1];
	struct stack stack;

	stack_test_limit_guards(0);
	ck_assert_int_eq(stack_open(&stack, BYTES), 0);
	stack.base[stack.bytes - 1] = 1;
	ck_assert_int_eq(mincore(stack.base, stack.bytes, resident), 0);
	for (size_t i = 0; i < stack.bytes / page; i++)
		ck_assert_int_eq(resident[i] & 1, i == stack.bytes / page - 1);
	stack_close(&stack);
}
END_TEST

/* In the folder of the process: resident pages and page tables. */
static unsigned long
held_kib(void)
{
	unsigned long total = 0;
	char line[256];
	FILE *file = fopen("/proc/self/status", "re");

	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file) != NULL) {
		unsigned long kib;

		if (sscanf(line, "VmPTE: %lu", &kib) == 1 || sscanf(line, "RssAnon: %lu", &kib) == 1)
			total += kib;
	}
	(void)fclose(file);
	return total;
}

/* Page tables count: a page of them reaches over 2 MiB of addresses, so that a stack may take half of one. */
START_TEST(a_guard_costs_half_a_page_of_page_tables)
{
	enum { MANY = 200 };
	struct stack stacks[MANY];
	unsigned long before;

	if (IS_SANITIZED)
		return;
	ck_assert_int_eq(stack_open(&stacks[0], BYTES), 0);
	before = held_kib();
	for (int i = 1; i < MANY; i++) {
		ck_assert_int_eq(stack_open(&stacks[i], BYTES), 0);
		stacks[i].base[stacks[i].bytes - 1] = 1;
	}
	ck_assert_uint_lt(held_kib() - before, MANY * (4 + 3));
	for (int i = 0; i < MANY; i++)
		stack_close(&stacks[i]);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("engine/stack");
	SRunner *runner = srunner_create(suite);
	TCase *memory = tcase_create("memory");
	TCase *guard = tcase_create("guard");
	int failed;

	tcase_add_checked_fixture(memory, NULL, tear_down);
	tcase_add_test(memory, is_usable_from_end_to_end);
	tcase_add_test(memory, size_is_rounded_up_to_pages);
	tcase_add_test(memory, released_pages_read_as_zero_and_the_rest_is_kept);
	tcase_add_test(memory, no_memory_is_an_error_and_leaves_nothing);
	tcase_add_test(memory, a_stack_costs_no_memory_until_it_is_touched);
	tcase_add_test(memory, a_guard_costs_half_a_page_of_page_tables);
	suite_add_tcase(suite, memory);
	tcase_add_checked_fixture(guard, NULL, tear_down);
	tcase_add_test(guard, a_write_into_the_guard_faults);
	tcase_add_test(guard, a_frame_does_not_reach_across_the_guard);
	tcase_add_test(guard, a_canary_stack_has_as_much_room_below_it);
	tcase_add_test(guard, short_of_addresses_the_guard_is_smaller);
	tcase_add_test(guard, stack_pointers_below_the_end_are_told_from_others);
	tcase_add_test(guard, without_kernel_guards_mprotect_guards);
	tcase_add_test(guard, beyond_the_mprotect_limit_a_canary_guards);
	tcase_add_test(guard, a_canary_that_was_run_over_is_noticed);
	tcase_add_test(guard, the_kernel_is_believed_again_after_a_reset);
	tcase_add_test(guard, guard_addresses_are_told_from_others);
	suite_add_tcase(suite, guard);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
