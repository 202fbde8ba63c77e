/* SPDX-License-Identifier: MIT */
/*
 * test_blocking - helper threads: jobs run on them and are reported on the loop's thread; how many, in what order, and
 * what becomes of those that are taken back.
 */
#include "config.h"

#include <check.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "base/fdutil.h"
#include "service/blocking.h"

#define JOBS_MAX (BLOCKING_THREADS_MAX + BLOCKING_QUEUE_MAX + 1)
/* A turn waits for an event; a test that fails waits so often. */
#define TURN_MS 100
#define TURNS_MAX 200

static struct loop loop;
static struct blocking_job jobs[JOBS_MAX];
static sem_t begun;
static sem_t gate;
static atomic_uint now_running;
static atomic_uint most_running;
static atomic_uint run;
static unsigned done;
static unsigned order[JOBS_MAX];
static atomic_bool fails_to_start;

/* Stands before libc's: the first thing that a thread needs. */
int
pthread_attr_init(pthread_attr_t *attr)
{
	int (*libc_s)(pthread_attr_t *) = NULL;

	if (atomic_load(&fails_to_start))
		return ENOMEM;
	*(void **)&libc_s = dlsym(RTLD_NEXT, "pthread_attr_init");
	return libc_s(attr);
}

static void
on_done(struct loop *of, struct task *task)
{
	struct blocking_job *job = CP_CONTAINER_OF(task, struct blocking_job, done);

	ck_assert_ptr_eq(of, &loop);
	blocking_settle();
	order[done++] = (unsigned)(job - jobs);
}

static void
set_up(void)
{
	memset(jobs, 0, sizeof(jobs));
	memset(&loop, 0, sizeof(loop));
	ck_assert_int_eq(loop_init(&loop, NULL, NULL), 0);
	ck_assert_int_eq(sem_init(&begun, 0, 0), 0);
	ck_assert_int_eq(sem_init(&gate, 0, 0), 0);
	atomic_store(&now_running, 0);
	atomic_store(&most_running, 0);
	atomic_store(&run, 0);
	atomic_store(&fails_to_start, false);
	done = 0;
}

static void
tear_down(void)
{
	blocking_stop();
	sem_destroy(&begun);
	sem_destroy(&gate);
	loop_fini(&loop);
}

static int
submit(unsigned i, void (*fn)(void *arg))
{
	jobs[i] = (struct blocking_job){.fn = fn, .arg = &jobs[i], .loop = &loop, .done.fn = on_done};
	return blocking_submit(&jobs[i]);
}

static void
turn_until_done(unsigned count)
{
	for (int i = 0; i < TURNS_MAX && done < count; i++)
		ck_assert_int_eq(loop_turn(&loop, TURN_MS), 0);
	ck_assert_uint_eq(done, count);
}

static void
count_it(void *arg)
{
	(void)arg;
	atomic_fetch_add(&run, 1);
}

/* Until the test opens the gate for one. */
static void
wait_at_gate(void *arg)
{
	unsigned now = atomic_fetch_add(&now_running, 1) + 1;
	unsigned most = atomic_load(&most_running);

	while (now > most && !atomic_compare_exchange_weak(&most_running, &most, now))
		;
	sem_post(&begun);
	while (sem_wait(&gate) < 0)
		;
	atomic_fetch_sub(&now_running, 1);
	count_it(arg);
}

static void
begin_at_gate(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		ck_assert_int_eq(submit(i, wait_at_gate), 0);
	for (unsigned i = 0; i < count; i++) {
		while (sem_wait(&begun) < 0)
			;
	}
}

static void
open_gate(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		sem_post(&gate);
}

/* ---- now_running ---------------------------------------------------------------------------- */

static pthread_t seen_thread;
static char seen_name[16];
static sigset_t seen_mask;
static size_t seen_stack_bytes;

static void
look_around(void *arg)
{
	pthread_attr_t attr;

	(void)arg;
	seen_thread = pthread_self();
	pthread_getname_np(pthread_self(), seen_name, sizeof(seen_name));
	pthread_sigmask(SIG_SETMASK, NULL, &seen_mask);
	if (pthread_getattr_np(pthread_self(), &attr) == 0) {
		pthread_attr_getstacksize(&attr, &seen_stack_bytes);
		pthread_attr_destroy(&attr);
	}
}

START_TEST(a_job_runs_on_a_thread_of_its_own_and_is_done_on_the_loop_s)
{
	ck_assert_int_eq(submit(0, look_around), 0);
	turn_until_done(1);
	ck_assert(!pthread_equal(seen_thread, pthread_self()));
	ck_assert_str_eq(seen_name, "cp-b0");
}
END_TEST

START_TEST(a_helper_takes_no_signals_but_its_own_faults)
{
	sigset_t own;

	ck_assert_int_eq(submit(0, look_around), 0);
	turn_until_done(1);
	ck_assert_int_eq(sigismember(&seen_mask, SIGTERM), 1);
	ck_assert_int_eq(sigismember(&seen_mask, SIGPIPE), 1);
	ck_assert_int_eq(sigismember(&seen_mask, SIGSEGV), 0);
	/* And whoever started it takes those that it took before. */
	pthread_sigmask(SIG_SETMASK, NULL, &own);
	ck_assert_int_eq(sigismember(&own, SIGTERM), 0);
}
END_TEST

START_TEST(a_helper_has_the_stack_that_libraries_expect)
{
	ck_assert_int_eq(submit(0, look_around), 0);
	turn_until_done(1);
	ck_assert_uint_ge(seen_stack_bytes, 1024u * 1024);
}
END_TEST

START_TEST(one_after_the_other_takes_one_thread)
{
	pthread_t first;

	ck_assert_int_eq(submit(0, look_around), 0);
	turn_until_done(1);
	first = seen_thread;
	for (unsigned i = 1; i < 20; i++) {
		ck_assert_int_eq(submit(i, look_around), 0);
		turn_until_done(i + 1);
		ck_assert(pthread_equal(seen_thread, first));
	}
}
END_TEST

/* ---- bounds --------------------------------------------------------------------------------- */

START_TEST(no_more_run_at_once_than_there_may_be_threads)
{
	begin_at_gate(BLOCKING_THREADS_MAX);
	for (unsigned i = 0; i < 2 * BLOCKING_THREADS_MAX; i++)
		ck_assert_int_eq(submit(BLOCKING_THREADS_MAX + i, wait_at_gate), 0);
	open_gate(3 * BLOCKING_THREADS_MAX);
	turn_until_done(3 * BLOCKING_THREADS_MAX);
	ck_assert_uint_eq(atomic_load(&most_running), BLOCKING_THREADS_MAX);
	ck_assert_uint_eq(atomic_load(&run), 3 * BLOCKING_THREADS_MAX);
}
END_TEST

START_TEST(one_more_than_may_wait_is_refused)
{
	begin_at_gate(BLOCKING_THREADS_MAX);
	for (unsigned i = 0; i < BLOCKING_QUEUE_MAX; i++)
		ck_assert_int_eq(submit(BLOCKING_THREADS_MAX + i, count_it), 0);
	ck_assert_int_eq(submit(JOBS_MAX - 1, count_it), -EAGAIN);
	open_gate(BLOCKING_THREADS_MAX);
	turn_until_done(JOBS_MAX - 1);
	ck_assert_int_eq(submit(JOBS_MAX - 1, count_it), 0);
	turn_until_done(JOBS_MAX);
}
END_TEST

/* With all threads but one held, what waits goes through that one. */
START_TEST(those_that_wait_are_taken_in_their_order)
{
	const unsigned first = BLOCKING_THREADS_MAX;

	begin_at_gate(BLOCKING_THREADS_MAX);
	for (unsigned i = 0; i < 50; i++)
		ck_assert_int_eq(submit(first + i, count_it), 0);
	open_gate(1);
	turn_until_done(1 + 50);
	for (unsigned i = 0; i < 50; i++)
		ck_assert_uint_eq(order[1 + i], first + i);
	open_gate(BLOCKING_THREADS_MAX - 1);
	turn_until_done(BLOCKING_THREADS_MAX + 50);
}
END_TEST

START_TEST(without_any_thread_a_job_is_refused)
{
	atomic_store(&fails_to_start, true);
	ck_assert_int_eq(submit(0, count_it), -EAGAIN);
	atomic_store(&fails_to_start, false);
	ck_assert_int_eq(submit(1, count_it), 0);
	turn_until_done(1);
	ck_assert_uint_eq(order[0], 1);
}
END_TEST

START_TEST(without_another_thread_a_job_waits_for_those_there_are)
{
	begin_at_gate(1);
	atomic_store(&fails_to_start, true);
	ck_assert_int_eq(submit(1, count_it), 0);
	open_gate(1);
	turn_until_done(2);
	ck_assert_uint_eq(atomic_load(&most_running), 1);
}
END_TEST

/* ---- taken back ------------------------------------------------------------------------------- */

START_TEST(a_job_that_waits_can_be_withdrawn)
{
	begin_at_gate(BLOCKING_THREADS_MAX);
	ck_assert_int_eq(submit(BLOCKING_THREADS_MAX, count_it), 0);
	ck_assert_int_eq(submit(BLOCKING_THREADS_MAX + 1, count_it), 0);
	ck_assert(blocking_withdraw(&jobs[BLOCKING_THREADS_MAX]));
	ck_assert(!blocking_withdraw(&jobs[BLOCKING_THREADS_MAX]));
	open_gate(BLOCKING_THREADS_MAX);
	turn_until_done(BLOCKING_THREADS_MAX + 1);
	ck_assert_uint_eq(atomic_load(&run), BLOCKING_THREADS_MAX + 1);
}
END_TEST

START_TEST(what_was_withdrawn_does_not_wait_any_more)
{
	begin_at_gate(BLOCKING_THREADS_MAX);
	for (unsigned i = 0; i <= BLOCKING_QUEUE_MAX; i++) {
		ck_assert_int_eq(submit(BLOCKING_THREADS_MAX, count_it), 0);
		ck_assert(blocking_withdraw(&jobs[BLOCKING_THREADS_MAX]));
	}
	open_gate(BLOCKING_THREADS_MAX);
	turn_until_done(BLOCKING_THREADS_MAX);
}
END_TEST

START_TEST(a_job_that_runs_can_not)
{
	begin_at_gate(1);
	ck_assert(!blocking_withdraw(&jobs[0]));
	open_gate(1);
	turn_until_done(1);
	ck_assert(!blocking_withdraw(&jobs[0]));
}
END_TEST

/* ---- the end ------------------------------------------------------------------------------------- */

START_TEST(a_stop_before_anything_began_is_nothing)
{
	blocking_stop();
	blocking_stop();
}
END_TEST

START_TEST(a_stop_leaves_nothing_and_others_begin_anew)
{
	int descriptors = fd_count_open();

	for (unsigned round = 0; round < 3; round++) {
		begin_at_gate(4);
		open_gate(4);
		turn_until_done(4);
		done = 0;
		blocking_stop();
	}
	ck_assert_int_eq(fd_count_open(), descriptors);
	ck_assert_uint_eq(atomic_load(&run), 12);
}
END_TEST

static TCase *
add_case(Suite *suite, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(suite, tc);
	return tc;
}

int
main(void)
{
	Suite *suite = suite_create("service/blocking");
	SRunner *runner = srunner_create(suite);
	TCase *tc = add_case(suite, "running");
	int failed;

	tcase_add_test(tc, a_job_runs_on_a_thread_of_its_own_and_is_done_on_the_loop_s);
	tcase_add_test(tc, a_helper_takes_no_signals_but_its_own_faults);
	tcase_add_test(tc, a_helper_has_the_stack_that_libraries_expect);
	tcase_add_test(tc, one_after_the_other_takes_one_thread);
	tc = add_case(suite, "bounds");
	tcase_add_test(tc, no_more_run_at_once_than_there_may_be_threads);
	tcase_add_test(tc, one_more_than_may_wait_is_refused);
	tcase_add_test(tc, those_that_wait_are_taken_in_their_order);
	tcase_add_test(tc, without_any_thread_a_job_is_refused);
	tcase_add_test(tc, without_another_thread_a_job_waits_for_those_there_are);
	tc = add_case(suite, "taken back");
	tcase_add_test(tc, a_job_that_waits_can_be_withdrawn);
	tcase_add_test(tc, what_was_withdrawn_does_not_wait_any_more);
	tcase_add_test(tc, a_job_that_runs_can_not);
	tc = add_case(suite, "the end");
	tcase_add_test(tc, a_stop_before_anything_began_is_nothing);
	tcase_add_test(tc, a_stop_leaves_nothing_and_others_begin_anew);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
