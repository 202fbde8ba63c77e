/* SPDX-License-Identifier: MIT */
/*
 * test_fiber - fibers: run, suspend, resume, reuse, and what a stack overflow says before it ends the process.
 *
 * What must die does so in a child whose standard error is a pipe.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/defs.h"
#include "base/fault.h"
#include "base/mem.h"
#include "engine/fiber.h"
#include "engine/stack.h"

#define STACK_BYTES 65536
#define KEEP 2
#define MANY 100

static struct fiber_pool *pool;

static void
set_up(void)
{
	pool = fiber_pool_new(STACK_BYTES, KEEP, "main");
	ck_assert_ptr_nonnull(pool);
}

static void
tear_down(void)
{
	mem_fail_after(0);
	fiber_pool_free(&pool);
	ck_assert_ptr_null(pool);
	stack_test_reset_guards();
}

/* ---- switching --------------------------------------------------------------- */

static void
add_one(void *arg)
{
	int *count = arg;

	(*count)++;
}

struct stepper {
	struct fiber *fiber;
	unsigned steps;
	unsigned sum;
};

/* Its locals must survive what others do in between. */
static void
step(void *arg)
{
	struct stepper *stepper = arg;
	volatile unsigned numbers[16];

	for (unsigned i = 0; i < CP_COUNT(numbers); i++)
		numbers[i] = i + stepper->steps;
	for (unsigned i = 0; i < stepper->steps; i++) {
		fiber_suspend();
		stepper->sum += numbers[i % CP_COUNT(numbers)];
	}
}

START_TEST(a_function_that_returns_is_done_at_once)
{
	struct fiber *fiber = NULL;
	int count = 0;

	ck_assert_int_eq(fiber_run(pool, add_one, &count, &fiber), 0);
	ck_assert_int_eq(count, 1);
	ck_assert_ptr_null(fiber);
	ck_assert_uint_eq(fiber_pool_busy(pool), 0);
	ck_assert_uint_eq(fiber_pool_idle(pool), 1);
}
END_TEST

START_TEST(a_suspended_function_goes_on_where_it_was)
{
	struct stepper stepper = { .steps = 2 };

	ck_assert_int_eq(fiber_run(pool, step, &stepper, &stepper.fiber), 1);
	ck_assert_uint_eq(fiber_pool_busy(pool), 1);
	ck_assert_int_eq(fiber_resume(stepper.fiber), 1);
	ck_assert_uint_eq(stepper.sum, 2);
	ck_assert_int_eq(fiber_resume(stepper.fiber), 0);
	ck_assert_uint_eq(stepper.sum, 5);
	ck_assert_uint_eq(fiber_pool_busy(pool), 0);
}
END_TEST

START_TEST(many_are_suspended_and_resumed_in_any_order)
{
	static struct stepper steppers[MANY];

	for (unsigned i = 0; i < MANY; i++) {
		steppers[i] = (struct stepper){ .steps = 3 };
		ck_assert_int_eq(fiber_run(pool, step, &steppers[i], &steppers[i].fiber), 1);
	}
	ck_assert_uint_eq(fiber_pool_busy(pool), MANY);
	for (unsigned round = 0; round < 3; round++) {
		/* 37 and 100 have no common factor: each comes once. */
		for (unsigned i = 0; i < MANY; i++)
			ck_assert_int_eq(fiber_resume(steppers[(i * 37 + round) % MANY].fiber), round < 2);
	}
	for (unsigned i = 0; i < MANY; i++)
		ck_assert_uint_eq(steppers[i].sum, 3 + 4 + 5);
	ck_assert_uint_eq(fiber_pool_busy(pool), 0);
}
END_TEST

static void
note_current(void *arg)
{
	struct fiber **seen = arg;

	seen[0] = fiber_current();
	fiber_suspend();
	seen[1] = fiber_current();
}

START_TEST(current_is_the_running_one)
{
	struct fiber *seen[2] = { NULL, NULL };
	struct fiber *fiber;

	ck_assert_ptr_null(fiber_current());
	ck_assert_int_eq(fiber_run(pool, note_current, seen, &fiber), 1);
	ck_assert_ptr_null(fiber_current());
	ck_assert_int_eq(fiber_resume(fiber), 0);
	ck_assert_ptr_null(fiber_current());
	ck_assert_ptr_eq(seen[0], fiber);
	ck_assert_ptr_eq(seen[1], fiber);
}
END_TEST

static void *
use_a_pool_of_ones_own(void *succeeded)
{
	struct fiber_pool *own = fiber_pool_new(STACK_BYTES, KEEP, "own");
	struct stepper steppers[8];

	if (own == NULL || fault_thread_init() != 0)
		return NULL;
	for (unsigned i = 0; i < CP_COUNT(steppers); i++) {
		steppers[i] = (struct stepper){ .steps = 50 };
		if (fiber_run(own, step, &steppers[i], &steppers[i].fiber) != 1)
			return NULL;
	}
	for (unsigned left = 50; left > 0; left--) {
		for (unsigned i = 0; i < CP_COUNT(steppers); i++) {
			if (fiber_resume(steppers[i].fiber) != (left > 1))
				return NULL;
		}
	}
	fault_thread_fini();
	fiber_pool_free(&own);
	*(bool *)succeeded = true;
	return NULL;
}

START_TEST(threads_run_their_own_fibers_at_the_same_time)
{
	pthread_t threads[3];
	bool succeeded[CP_COUNT(threads)] = { false };

	for (unsigned i = 0; i < CP_COUNT(threads); i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, use_a_pool_of_ones_own, &succeeded[i]), 0);
	for (unsigned i = 0; i < CP_COUNT(threads); i++) {
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
		ck_assert(succeeded[i]);
	}
}
END_TEST

/* ---- pool -------------------------------------------------------------------- */

/* How far below the top of its stack a fiber touches. */
#define DEEP_BYTES 40000

/* Not for ASan, which may keep the array elsewhere. */
static __attribute__((no_sanitize_address)) void
touch_deeply(void *arg)
{
	char **ret_deep = arg;
	volatile char bytes[DEEP_BYTES];

	bytes[0] = 1;
	*ret_deep = (char *)(uintptr_t)&bytes[0];
	fiber_suspend();
	ck_assert_int_eq(bytes[0], 1);
}

/* The page where a suspended fiber was told to touch. */
static char *
run_deeply(struct fiber **ret_fiber)
{
	char *deep;

	ck_assert_int_eq(fiber_run(pool, touch_deeply, &deep, ret_fiber), 1);
	return deep - (uintptr_t)deep % (size_t)sysconf(_SC_PAGESIZE);
}

static void
note_itself(void *arg)
{
	struct fiber **fiber = arg;

	*fiber = fiber_current();
}

START_TEST(the_last_used_is_used_again)
{
	struct fiber *first;
	struct fiber *second;
	struct fiber *ignored;

	ck_assert_int_eq(fiber_run(pool, note_itself, &first, &ignored), 0);
	ck_assert_int_eq(fiber_run(pool, note_itself, &second, &ignored), 0);
	ck_assert_ptr_eq(first, second);
	ck_assert_uint_eq(fiber_pool_idle(pool), 1);
}
END_TEST

START_TEST(no_more_are_kept_than_asked_for)
{
	struct stepper steppers[KEEP + 2];

	for (unsigned i = 0; i < CP_COUNT(steppers); i++) {
		steppers[i] = (struct stepper){ .steps = 1 };
		ck_assert_int_eq(fiber_run(pool, step, &steppers[i], &steppers[i].fiber), 1);
	}
	ck_assert_uint_eq(fiber_pool_idle(pool), 0);
	for (unsigned i = 0; i < CP_COUNT(steppers); i++)
		ck_assert_int_eq(fiber_resume(steppers[i].fiber), 0);
	ck_assert_uint_eq(fiber_pool_idle(pool), KEEP);
	fiber_pool_trim(pool, 1);
	ck_assert_uint_eq(fiber_pool_idle(pool), 1);
	fiber_pool_trim(pool, 0);
	ck_assert_uint_eq(fiber_pool_idle(pool), 0);
}
END_TEST

START_TEST(trimming_gives_back_what_idle_stacks_hold)
{
	unsigned char resident = 0;
	struct fiber *fiber;
	int count = 0;
	char *page = run_deeply(&fiber);

	ck_assert_int_eq(mincore(page, 1, &resident), 0);
	ck_assert_int_eq(resident & 1, 1);
	fiber_pool_trim(pool, KEEP);
	ck_assert_int_eq(mincore(page, 1, &resident), 0);
	ck_assert_int_eq(resident & 1, 1);
	ck_assert_int_eq(fiber_resume(fiber), 0);
	fiber_pool_trim(pool, KEEP);
	ck_assert_int_eq(mincore(page, 1, &resident), 0);
	ck_assert_int_eq(resident & 1, 0);
	ck_assert_uint_eq(fiber_pool_idle(pool), 1);
	ck_assert_int_eq(fiber_run(pool, add_one, &count, &fiber), 0);
	ck_assert_int_eq(count, 1);
}
END_TEST

START_TEST(no_memory_for_a_stack_runs_nothing)
{
	struct fiber *fiber = NULL;
	int count = 0;

	mem_fail_after(1);
	ck_assert_int_eq(fiber_run(pool, add_one, &count, &fiber), -ENOMEM);
	ck_assert_int_eq(count, 0);
	ck_assert_uint_eq(fiber_pool_busy(pool), 0);
	ck_assert_int_eq(fiber_run(pool, add_one, &count, &fiber), 0);
	ck_assert_int_eq(count, 1);
}
END_TEST

START_TEST(no_memory_for_a_pool_is_null)
{
	for (unsigned n = 1; n <= 2; n++) {
		mem_fail_after(n);
		ck_assert_ptr_null(fiber_pool_new(STACK_BYTES, KEEP, "none"));
	}
	mem_fail_after(1);
	ck_assert_int_eq(fault_thread_init(), -ENOMEM);
	fault_thread_fini();
}
END_TEST

/* ---- faults ------------------------------------------------------------------- */

static const char overflow_text[] =
	"connpoold: stack overflow in a fiber of pool 'main': raise its stack_size (now 65536 bytes)\n";

struct end {
	int status;
	char text[65536];
};

/* Runs fn on a fiber of a child that has the handler; how it ended and what it wrote. */
static void
run_in_child(fiber_fn *fn, struct end *ret_end)
{
	const struct rlimit no_core = { 0, 0 };
	struct fiber *fiber;
	size_t length = 0;
	ssize_t n;
	int ends[2];
	pid_t child;

	ck_assert_int_eq(pipe(ends), 0);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		(void)setrlimit(RLIMIT_CORE, &no_core);
		(void)dup2(ends[1], STDERR_FILENO);
		fiber_explain_faults();
		if (fault_install("connpoold") == 0 && fault_thread_init() == 0)
			(void)!fiber_run(pool, fn, NULL, &fiber);
		_exit(0);
	}
	close(ends[1]);
	/* What does not fit is read over the end of it: the first lines are looked at. */
	while ((n = read(ends[0], ret_end->text + length, sizeof(ret_end->text) - 1 - length)) > 0)
		length += (size_t)n < sizeof(ret_end->text) - 2 - length ? (size_t)n : 0;
	ret_end->text[length] = '\0';
	close(ends[0]);
	ck_assert_int_eq(waitpid(child, &ret_end->status, 0), child);
}

static bool
ended_badly(const struct end *end)
{
	return WIFSIGNALED(end->status) || WEXITSTATUS(end->status) != 0;
}

/* Until the stack has grown down to an address. */
static unsigned
recurse(unsigned depth, uintptr_t until)
{
	volatile unsigned frame[128];

	/* All of it, or the canary could lie in a gap. */
	for (unsigned i = 0; i < CP_COUNT(frame); i++)
		frame[i] = depth + 1;
	if ((uintptr_t)__builtin_frame_address(0) <= until)
		return 1;
	return recurse(depth + 1, until) + frame[0];
}

static void
overflow(void *arg)
{
	(void)arg;
	recurse(0, 0);
}

static void
overflow_a_little(void *arg)
{
	(void)arg;
	recurse(0, (uintptr_t)__builtin_frame_address(0) - STACK_BYTES - 2048);
}

/* By a number, so that no compiler sees what it is. */
static volatile uintptr_t no_address = 64;

static void
touch_no_address(void *arg)
{
	(void)arg;
	*(volatile char *)no_address = 1;
}

static void
send_itself_a_fault(void *arg)
{
	(void)arg;
	(void)raise(SIGBUS);
}

START_TEST(an_overflow_names_the_pool_and_ends_the_process)
{
	static struct end end;

	run_in_child(overflow, &end);
	ck_assert(ended_badly(&end));
	ck_assert_msg(strncmp(end.text, overflow_text, strlen(overflow_text)) == 0, "%s", end.text);
}
END_TEST

START_TEST(an_overflow_is_caught_by_mprotect_too)
{
	static struct end end;

	stack_test_limit_guards(16);
	run_in_child(overflow, &end);
	ck_assert(ended_badly(&end));
	ck_assert_msg(strncmp(end.text, overflow_text, strlen(overflow_text)) == 0, "%s", end.text);
}
END_TEST

START_TEST(a_broken_canary_is_noticed_at_the_switch)
{
	static struct end end;

	stack_test_limit_guards(0);
	run_in_child(overflow_a_little, &end);
	ck_assert(WIFSIGNALED(end.status) && WTERMSIG(end.status) == SIGABRT);
	ck_assert_msg(strstr(end.text, overflow_text) != NULL, "%s", end.text);
}
END_TEST

START_TEST(another_fault_takes_its_course)
{
	static struct end end;

	run_in_child(touch_no_address, &end);
	ck_assert(ended_badly(&end));
	ck_assert_ptr_null(strstr(end.text, "stack_size"));
}
END_TEST

START_TEST(a_sent_signal_takes_its_course)
{
	static struct end end;

	run_in_child(send_itself_a_fault, &end);
	ck_assert(ended_badly(&end));
	ck_assert_ptr_null(strstr(end.text, "stack_size"));
}
END_TEST

START_TEST(a_thread_gets_its_earlier_signal_stack_back)
{
	stack_t before;
	stack_t between;
	stack_t after;

	ck_assert_int_eq(sigaltstack(NULL, &before), 0);
	ck_assert_int_eq(fault_thread_init(), 0);
	ck_assert_int_eq(sigaltstack(NULL, &between), 0);
	ck_assert_ptr_ne(between.ss_sp, before.ss_sp);
	fault_thread_fini();
	ck_assert_int_eq(sigaltstack(NULL, &after), 0);
	ck_assert_int_eq(after.ss_flags, before.ss_flags);
	if ((before.ss_flags & SS_DISABLE) == 0)
		ck_assert_ptr_eq(after.ss_sp, before.ss_sp);
}
END_TEST

static void
add_switching(Suite *suite)
{
	TCase *tcase = tcase_create("switching");

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, a_function_that_returns_is_done_at_once);
	tcase_add_test(tcase, a_suspended_function_goes_on_where_it_was);
	tcase_add_test(tcase, many_are_suspended_and_resumed_in_any_order);
	tcase_add_test(tcase, current_is_the_running_one);
	tcase_add_test(tcase, threads_run_their_own_fibers_at_the_same_time);
	suite_add_tcase(suite, tcase);
}

static void
add_pool(Suite *suite)
{
	TCase *tcase = tcase_create("pool");

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, the_last_used_is_used_again);
	tcase_add_test(tcase, no_more_are_kept_than_asked_for);
	tcase_add_test(tcase, trimming_gives_back_what_idle_stacks_hold);
	tcase_add_test(tcase, no_memory_for_a_stack_runs_nothing);
	tcase_add_test(tcase, no_memory_for_a_pool_is_null);
	suite_add_tcase(suite, tcase);
}

static void
add_faults(Suite *suite)
{
	TCase *tcase = tcase_create("faults");

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, an_overflow_names_the_pool_and_ends_the_process);
	tcase_add_test(tcase, an_overflow_is_caught_by_mprotect_too);
	tcase_add_test(tcase, a_broken_canary_is_noticed_at_the_switch);
	tcase_add_test(tcase, another_fault_takes_its_course);
	tcase_add_test(tcase, a_sent_signal_takes_its_course);
	tcase_add_test(tcase, a_thread_gets_its_earlier_signal_stack_back);
	suite_add_tcase(suite, tcase);
}

int
main(void)
{
	Suite *suite = suite_create("engine/fiber");
	SRunner *runner = srunner_create(suite);
	int failed;

	add_switching(suite);
	add_pool(suite);
	add_faults(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
