/* SPDX-License-Identifier: MIT */
/*
 * Tests of base/fault, base/fault_exit and base/backtrace: how a child ends that crashes, and what it says before.
 */
#include "config.h"

#include "base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <check.h>

#include "base/backtrace.h"
#include "base/fault_exit.h"
#include "base/mem.h"
#include "base/running.h"

#if defined(CP_ASAN) || defined(CP_TSAN)
#define IS_SANITIZED true
#else
#define IS_SANITIZED (getenv("CP_VALGRIND") != NULL)
#endif

struct end {
	int status;
	char text[65536];
};

/* Runs fn in a child that has the handler and the watch; how it ended and what it wrote. */
static void
run_in_child(void (*fn)(void), struct end *ret_end)
{
	const struct rlimit no_core = {0, 0};
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
		close(ends[0]);
		close(ends[1]);
		/* Twice, which must not make the handler its own successor. */
		if (fault_install("test") == 0 && fault_install("test") == 0 && fault_thread_init() == 0) {
			fault_watch_exit("test");
			fn();
		}
		fault_expect_exit();
		_exit(0);
	}
	close(ends[1]);
	while ((n = read(ends[0], ret_end->text + length, sizeof(ret_end->text) - 1 - length)) > 0)
		length += (size_t)n;
	ret_end->text[length] = '\0';
	close(ends[0]);
	ck_assert_int_eq(waitpid(child, &ret_end->status, 0), child);
}

static void
expect_signal(const struct end *end, int signo)
{
	if (IS_SANITIZED)
		ck_assert(WIFSIGNALED(end->status) || WEXITSTATUS(end->status) != 0);
	else
		ck_assert(WIFSIGNALED(end->status) && WTERMSIG(end->status) == signo);
}

/* By a number, so that no compiler sees what it is. */
static volatile uintptr_t no_address = 64;

static __attribute__((noinline)) void
touch_no_address(void)
{
	*(volatile char *)no_address = 1;
}

static void
crash_for_a_connection(void)
{
	running = (struct running){
		.listener = "web", .service = "kv", .module = "/x/kv.so", .connection = 7, .function = "serve"};
	touch_no_address();
	/* No tail call, which would leave no frame. */
	running.connection = 0;
}

START_TEST(a_fault_says_whose_code_it_was_and_where)
{
	struct end end;

	run_in_child(crash_for_a_connection, &end);
	expect_signal(&end, SIGSEGV);
	ck_assert_ptr_nonnull(strstr(end.text,
		"test: ended by SIGSEGV at address 0x40: listener 'web', service 'kv', module '/x/kv.so', "
		"connection 7, in serve(), thread "));
	ck_assert_ptr_nonnull(strstr(end.text, "(touch_no_address+0x"));
	ck_assert_ptr_nonnull(strstr(end.text, "(crash_for_a_connection+0x"));
}
END_TEST

START_TEST(a_fault_outside_of_a_handler_says_so)
{
	struct end end;

	run_in_child(touch_no_address, &end);
	expect_signal(&end, SIGSEGV);
	ck_assert_ptr_nonnull(strstr(end.text, "test: ended by SIGSEGV at address 0x40: outside of any handler, "));
}
END_TEST

START_TEST(abort_ends_by_its_signal)
{
	struct end end;

	run_in_child(abort, &end);
	expect_signal(&end, SIGABRT);
	ck_assert_ptr_nonnull(strstr(end.text, "test: ended by SIGABRT: outside of any handler"));
}
END_TEST

static void
get_a_signal_from_a_child(void)
{
	pid_t self = getpid();
	pid_t child = fork();

	if (child == 0) {
		kill(self, SIGBUS);
		_exit(0);
	}
	for (;;)
		pause();
}

START_TEST(a_signal_of_another_process_is_told_from_a_fault)
{
	struct end end;

	run_in_child(get_a_signal_from_a_child, &end);
	expect_signal(&end, SIGBUS);
	ck_assert_ptr_nonnull(strstr(end.text, "test: ended by SIGBUS, sent by process "));
	ck_assert_ptr_nonnull(strstr(end.text, ": no fault of this process; "));
	ck_assert_ptr_null(strstr(end.text, "connpoold:   #0"));
}
END_TEST

static int queued_signal;
static int queued_code;

/* As the kernel sends it for what does not happen again. */
static void
get_a_signal_that_does_not_repeat(void)
{
	siginfo_t info = {.si_signo = queued_signal, .si_code = queued_code};

	(void)syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), queued_signal, &info);
}

START_TEST(a_signal_that_does_not_repeat_ends_it_too)
{
	static const int cases[][2] = {{SIGTRAP, TRAP_BRKPT}, {SIGSYS, 1}, {SIGBUS, BUS_MCEERR_AO}};
	struct end end;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		queued_signal = cases[i][0];
		queued_code = cases[i][1];
		run_in_child(get_a_signal_that_does_not_repeat, &end);
		expect_signal(&end, queued_signal);
		ck_assert_ptr_nonnull(strstr(end.text, "test: ended by SIG"));
	}
}
END_TEST

static void
crash_in_a_child(void)
{
	int status;
	pid_t child = fork();

	if (child == 0)
		touch_no_address();
	(void)waitpid(child, &status, 0);
}

START_TEST(a_crash_of_a_child_is_told_from_one_of_the_process)
{
	struct end end;

	run_in_child(crash_in_a_child, &end);
	ck_assert(WIFEXITED(end.status) && WEXITSTATUS(end.status) == 0);
	ck_assert_ptr_nonnull(strstr(end.text, "a child of test (process "));
	ck_assert_ptr_nonnull(strstr(end.text, "): ended by SIGSEGV "));
}
END_TEST

static void
crash_while_explaining(uintptr_t address, uintptr_t stack_pointer)
{
	(void)address;
	(void)stack_pointer;
	(void)raise(SIGBUS);
	touch_no_address();
}

static void
crash_twice(void)
{
	fault_set_explainer(crash_while_explaining);
	touch_no_address();
}

START_TEST(a_fault_of_the_report_ends_it)
{
	struct end end;

	run_in_child(crash_twice, &end);
	ck_assert(WIFSIGNALED(end.status) || WEXITSTATUS(end.status) != 0);
}
END_TEST

static void
note_stack(uintptr_t address, uintptr_t stack_pointer)
{
	static const char text[] = "a stack pointer near locals\n";
	char here;

	/* The handler runs on another stack than the fault. */
	if (address == 64 && stack_pointer != 0 && (uintptr_t)&here - stack_pointer > 65536)
		(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
}

static void
crash_with_a_note(void)
{
	fault_set_explainer(note_stack);
	touch_no_address();
}

START_TEST(the_explainer_gets_address_and_stack_pointer)
{
	struct end end;

	run_in_child(crash_with_a_note, &end);
	ck_assert_ptr_nonnull(strstr(end.text, "a stack pointer near locals\n"));
}
END_TEST

static void
call_exit_in_configure(void)
{
	(void)running_begin("web", "kv", "configure");
	running.occasion = "a reload";
	exit(78);
}

static void
wait_for_ever(void)
{
	for (;;)
		pause();
}

static void
call_exit_with_a_destructor_that_waits(void)
{
	(void)atexit(wait_for_ever);
	exit(0);
}

static void
call_quick_exit_with_a_destructor_that_waits(void)
{
	(void)at_quick_exit(wait_for_ever);
	quick_exit(0);
}

START_TEST(exit_waits_for_nobody)
{
	struct end end;

	run_in_child(call_exit_with_a_destructor_that_waits, &end);
	ck_assert(WIFEXITED(end.status) && WEXITSTATUS(end.status) == 1);
	ck_assert_ptr_nonnull(strstr(end.text, "test: ended by exit(0), with status 1: "));
	run_in_child(call_quick_exit_with_a_destructor_that_waits, &end);
	ck_assert(WIFEXITED(end.status) && WEXITSTATUS(end.status) == 1);
	ck_assert_ptr_nonnull(strstr(end.text, "test: ended by quick_exit(0), with status 1: "));
}
END_TEST

static void
call__exit_in_serve(void)
{
	(void)running_begin("web", "kv", "serve");
	_exit(0);
}

static void
exit_in_a_child(void)
{
	int status;
	pid_t child = fork();

	(void)running_begin("web", "kv", "serve");
	if (child == 0)
		exit(0);
	(void)waitpid(child, &status, 0);
	running = (struct running){0};
}

START_TEST(exit_is_a_failure_and_names_the_caller)
{
	struct end end;

	run_in_child(call_exit_in_configure, &end);
	ck_assert(WIFEXITED(end.status) && WEXITSTATUS(end.status) == 1);
	ck_assert_ptr_nonnull(strstr(end.text,
		"test: ended by exit(78), with status 1: listener 'web', service 'kv', in configure(), "
		"during a reload"));
	if (IS_SANITIZED)
		return;
	run_in_child(call__exit_in_serve, &end);
	ck_assert(WIFEXITED(end.status) && WEXITSTATUS(end.status) == 1);
	ck_assert_ptr_nonnull(strstr(end.text, "test: ended by _exit(0), with status 1: listener 'web'"));
}
END_TEST

START_TEST(a_child_of_a_handler_may_exit)
{
	struct end end;

	run_in_child(exit_in_a_child, &end);
	ck_assert(WIFEXITED(end.status) && WEXITSTATUS(end.status) == 0);
	ck_assert_ptr_null(strstr(end.text, "ended by"));
}
END_TEST

/* Runs fn as run_in_child() does, with a standard error that is full and that nobody reads; returns how it ended. */
static int
status_with_stuck_stderr(void (*fn)(void))
{
	const struct rlimit no_core = {0, 0};
	char filler[4096] = {0};
	int status;
	int ends[2];
	pid_t child;

	ck_assert_int_eq(pipe2(ends, O_NONBLOCK), 0);
	while (write(ends[1], filler, sizeof(filler)) > 0)
		;
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_int_eq(fcntl(ends[1], F_SETFL, 0), 0);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		(void)setrlimit(RLIMIT_CORE, &no_core);
		(void)dup2(ends[1], STDERR_FILENO);
		if (fault_install("test") == 0 && fault_thread_init() == 0) {
			fault_watch_exit("test");
			fn();
		}
		fault_expect_exit();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	close(ends[0]);
	close(ends[1]);
	return status;
}

static void
misuse_a_call(void)
{
	running_misuse("cp_recv", "made where it may not be");
}

START_TEST(a_stuck_stderr_does_not_keep_it_from_its_end)
{
	int status;

	/* A sanitizer writes a report of its own. */
	if (IS_SANITIZED)
		return;
	status = status_with_stuck_stderr(touch_no_address);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	status = status_with_stuck_stderr(misuse_a_call);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	status = status_with_stuck_stderr(call_exit_in_configure);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}
END_TEST

START_TEST(faults_are_taken_out_of_a_set)
{
	sigset_t set;

	sigfillset(&set);
	fault_unblock(&set);
	ck_assert_int_eq(sigismember(&set, SIGSEGV), 0);
	ck_assert_int_eq(sigismember(&set, SIGABRT), 0);
	ck_assert_int_eq(sigismember(&set, SIGTERM), 1);
}
END_TEST

static void *
have_a_signal_stack(void *arg)
{
	stack_t during;
	stack_t after;

	if (fault_thread_init() != 0 || sigaltstack(NULL, &during) != 0)
		return NULL;
	fault_thread_fini();
	if (sigaltstack(NULL, &after) == 0)
		*(bool *)arg = (during.ss_flags & SS_DISABLE) == 0 && during.ss_sp != after.ss_sp;
	return NULL;
}

START_TEST(a_thread_has_a_signal_stack_and_gives_it_back)
{
	pthread_t thread;
	bool is_well = false;

	ck_assert_int_eq(pthread_create(&thread, NULL, have_a_signal_stack, &is_well), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert(is_well);
	mem_fail_after(1);
	ck_assert_int_lt(fault_thread_init(), 0);
	mem_fail_after(0);
	fault_thread_fini();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("base/fault");
	TCase *tc = tcase_create("fault");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, a_fault_says_whose_code_it_was_and_where);
	tcase_add_test(tc, a_fault_outside_of_a_handler_says_so);
	tcase_add_test(tc, abort_ends_by_its_signal);
	tcase_add_test(tc, a_signal_of_another_process_is_told_from_a_fault);
	tcase_add_test(tc, a_signal_that_does_not_repeat_ends_it_too);
	tcase_add_test(tc, a_crash_of_a_child_is_told_from_one_of_the_process);
	tcase_add_test(tc, exit_waits_for_nobody);
	tcase_add_test(tc, a_fault_of_the_report_ends_it);
	tcase_add_test(tc, the_explainer_gets_address_and_stack_pointer);
	tcase_add_test(tc, exit_is_a_failure_and_names_the_caller);
	tcase_add_test(tc, a_child_of_a_handler_may_exit);
	tcase_add_test(tc, a_stuck_stderr_does_not_keep_it_from_its_end);
	tcase_add_test(tc, faults_are_taken_out_of_a_set);
	tcase_add_test(tc, a_thread_has_a_signal_stack_and_gives_it_back);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
