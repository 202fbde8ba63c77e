/* SPDX-License-Identifier: MIT */
/*
 * test_loop - the event loop: descriptors, tasks, timers, and the wake-up from other threads.
 *
 * Readiness is made with eventfds of our own. A turn that may wait for ever is used only where something must end it: a
 * wake-up that gets lost shows as a test that times out.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/defs.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "engine/loop.h"
#include "loop_shared.h"

#define PRODUCERS 4
#define ROUNDS 500

static struct loop loop;
static unsigned hook_calls;
static bool hook_result;

static bool
look_for_work(struct loop *self, void *arg)
{
	ck_assert_ptr_eq(self, &loop);
	ck_assert_ptr_eq(arg, &hook_calls);
	ck_assert(loop_is_sleeping(self));
	hook_calls++;
	return hook_result;
}

static void
set_up(void)
{
	hook_calls = 0;
	hook_result = false;
	ck_assert_int_eq(loop_init(&loop, look_for_work, &hook_calls), 0);
}

static void
tear_down(void)
{
	mem_fail_after(0);
	loop_fini(&loop);
}

static void
turn(int max_wait_ms)
{
	ck_assert_int_eq(loop_turn(&loop, max_wait_ms), 0);
}

/* ---- descriptors ------------------------------------------------------------- */

struct source {
	struct watch watch;
	int fd;
	unsigned calls;
	uint32_t events;
	struct source *drops; /* what its callback removes or forgets */
	bool forgets;
};

static void
on_ready(struct loop *self, struct watch *watch, uint32_t events)
{
	struct source *source = CP_CONTAINER_OF(watch, struct source, watch);

	source->calls++;
	source->events = events;
	if (source->drops == NULL)
		return;
	if (source->forgets) {
		loop_forget(self, &source->drops->watch);
		fd_close(&source->drops->fd);
	} else {
		loop_remove(self, &source->drops->watch, source->drops->fd);
	}
	source->drops = NULL;
}

static void
open_source(struct source *source, uint32_t events)
{
	*source = (struct source){ .watch.fn = on_ready, .fd = fd_new_event() };
	ck_assert_int_ge(source->fd, 0);
	ck_assert_int_eq(loop_add(&loop, &source->watch, source->fd, events), 0);
}

START_TEST(a_ready_descriptor_is_reported)
{
	struct source source;

	open_source(&source, EPOLLIN);
	turn(0);
	ck_assert_uint_eq(source.calls, 0);
	fd_signal_event(source.fd);
	turn(-1);
	ck_assert_uint_eq(source.calls, 1);
	ck_assert_uint_eq(source.events, EPOLLIN);
	loop_remove(&loop, &source.watch, source.fd);
	turn(0);
	ck_assert_uint_eq(source.calls, 1);
	fd_close(&source.fd);
}
END_TEST

START_TEST(an_edge_is_reported_once)
{
	struct source source;

	open_source(&source, EPOLLIN | EPOLLET);
	fd_signal_event(source.fd);
	turn(-1);
	turn(0);
	ck_assert_uint_eq(source.calls, 1);
	fd_signal_event(source.fd);
	turn(-1);
	ck_assert_uint_eq(source.calls, 2);
	fd_close(&source.fd);
}
END_TEST

START_TEST(modified_interest_holds)
{
	struct source source;

	open_source(&source, EPOLLIN);
	ck_assert_int_eq(loop_modify(&loop, &source.watch, source.fd, EPOLLOUT), 0);
	turn(-1);
	ck_assert_uint_eq(source.events, EPOLLOUT);
	fd_close(&source.fd);
}
END_TEST

/* Two are ready in one batch; whichever is called first drops the other. */
static void
drop_each_other(bool forget)
{
	struct source sources[2];

	for (unsigned i = 0; i < 2; i++) {
		open_source(&sources[i], EPOLLIN | (forget ? EPOLLET : 0u));
		sources[i].drops = &sources[1 - i];
		sources[i].forgets = forget;
		fd_signal_event(sources[i].fd);
	}
	turn(-1);
	ck_assert_uint_eq(sources[0].calls + sources[1].calls, 1);
	/* For the edge of the one that is left. */
	for (unsigned i = 0; i < 2; i++) {
		if (sources[i].fd >= 0)
			fd_signal_event(sources[i].fd);
	}
	turn(0);
	ck_assert_uint_eq(sources[0].calls + sources[1].calls, 2);
	fd_close(&sources[0].fd);
	fd_close(&sources[1].fd);
}

START_TEST(what_was_removed_in_a_batch_is_not_called)
{
	drop_each_other(false);
}
END_TEST

START_TEST(what_was_forgotten_in_a_batch_is_not_called)
{
	drop_each_other(true);
}
END_TEST

static void
free_watch(struct loop *self, struct watch *watch, uint32_t events)
{
	struct source *source = CP_CONTAINER_OF(watch, struct source, watch);

	(void)events;
	loop_forget(self, watch);
	fd_close(&source->fd);
	free(source);
	hook_result = true;
}

START_TEST(a_callback_may_free_its_own_watch)
{
	struct source *source = calloc(1, sizeof(*source));

	ck_assert_ptr_nonnull(source);
	open_source(source, EPOLLIN | EPOLLET);
	source->watch.fn = free_watch;
	fd_signal_event(source->fd);
	turn(-1);
	ck_assert(hook_result);
	turn(0);
}
END_TEST

START_TEST(more_are_ready_than_fit_into_a_batch)
{
	static struct source sources[LOOP_EVENTS_MAX + 10];

	for (unsigned i = 0; i < CP_COUNT(sources); i++) {
		open_source(&sources[i], EPOLLIN | EPOLLET);
		fd_signal_event(sources[i].fd);
	}
	turn(-1);
	turn(-1);
	for (unsigned i = 0; i < CP_COUNT(sources); i++) {
		ck_assert_uint_eq(sources[i].calls, 1);
		fd_close(&sources[i].fd);
	}
}
END_TEST

START_TEST(adding_what_epoll_does_not_take_is_an_error)
{
	struct source source = { .watch.fn = on_ready };

	ck_assert_int_eq(loop_add(&loop, &source.watch, -1, EPOLLIN), -EBADF);
	loop_remove(&loop, &source.watch, -1);
	open_source(&source, EPOLLIN);
	ck_assert_int_eq(loop_modify(&loop, &source.watch, loop.epoll_fd, EPOLLIN), -EINVAL);
	fd_close(&source.fd);
}
END_TEST

/* ---- tasks ------------------------------------------------------------------- */

struct job {
	struct task task;
	unsigned calls;
	bool repeats;
	struct job *cancels;
};

static void
run_job(struct loop *self, struct task *task)
{
	struct job *job = CP_CONTAINER_OF(task, struct job, task);

	job->calls++;
	if (job->repeats)
		loop_schedule(self, task);
	if (job->cancels != NULL)
		loop_cancel(self, &job->cancels->task);
}

START_TEST(a_task_scheduled_twice_runs_once)
{
	struct job job = { .task.fn = run_job };

	loop_schedule(&loop, &job.task);
	loop_schedule(&loop, &job.task);
	ck_assert_uint_eq(job.calls, 0);
	turn(-1);
	turn(0);
	ck_assert_uint_eq(job.calls, 1);
}
END_TEST

START_TEST(a_task_scheduled_by_a_task_waits_for_the_next_turn)
{
	struct job job = { .task.fn = run_job, .repeats = true };

	loop_schedule(&loop, &job.task);
	turn(-1);
	ck_assert_uint_eq(job.calls, 1);
	turn(-1);
	ck_assert_uint_eq(job.calls, 2);
	ck_assert_uint_eq(hook_calls, 0);
	loop_cancel(&loop, &job.task);
	turn(0);
	ck_assert_uint_eq(job.calls, 2);
}
END_TEST

START_TEST(a_task_may_cancel_another_of_the_same_turn)
{
	struct job second = { .task.fn = run_job };
	struct job first = { .task.fn = run_job, .cancels = &second };

	loop_schedule(&loop, &first.task);
	loop_schedule(&loop, &second.task);
	turn(-1);
	turn(0);
	ck_assert_uint_eq(first.calls, 1);
	ck_assert_uint_eq(second.calls, 0);
}
END_TEST

/* ---- timers ------------------------------------------------------------------ */

static unsigned timer_calls;

static void
on_timer(struct timer *timer)
{
	(void)timer;
	timer_calls++;
	ck_assert_uint_le(timer->expires_ms, loop_now_ms(&loop));
}

START_TEST(a_turn_sleeps_until_the_next_timer_and_not_less)
{
	struct timer timer = { .fn = on_timer };
	const uint64_t start_ns = loop.now_ns;

	timer_calls = 0;
	timer_set(&loop.wheel, &timer, loop_now_ms(&loop) + 5);
	while (timer_calls == 0)
		turn(-1);
	ck_assert_uint_ge(loop.now_ns, start_ns + 4 * CLOCK_NS_PER_MS);
	/* It slept: one turn to come down the levels of the wheel, one to fire; some more for a slow start. */
	ck_assert_uint_le(loop.turns, TIMER_WHEEL_LEVELS);
}
END_TEST

START_TEST(a_turn_waits_no_longer_than_it_may)
{
	struct timer timer = { .fn = on_timer };

	turn(0);
	turn(1);
	ck_assert_uint_eq(hook_calls, 1);
	timer_calls = 0;
	timer_set(&loop.wheel, &timer, loop_now_ms(&loop) + 3600000);
	turn(1);
	ck_assert_uint_eq(timer_calls, 0);
	timer_clear(&loop.wheel, &timer);
}
END_TEST

START_TEST(a_timer_that_is_due_keeps_a_turn_from_waiting)
{
	struct timer timer = { .fn = on_timer };

	timer_calls = 0;
	timer_set(&loop.wheel, &timer, 0);
	turn(-1);
	ck_assert_uint_eq(timer_calls, 1);
	ck_assert_uint_eq(hook_calls, 0);
}
END_TEST

START_TEST(the_clock_can_be_read_again)
{
	const uint64_t before_ns = loop.now_ns;

	do
		loop_update_now(&loop);
	while (loop.now_ns == before_ns);
	ck_assert_uint_gt(loop.now_ns, before_ns);
}
END_TEST

/* ---- wake-up ------------------------------------------------------------------ */

START_TEST(the_hook_calls_off_the_sleep)
{
	hook_result = true;
	turn(-1);
	ck_assert_uint_eq(hook_calls, 1);
	ck_assert(!loop_is_sleeping(&loop));
}
END_TEST

START_TEST(nobody_is_woken_who_does_not_sleep)
{
	ck_assert(!loop_is_sleeping(&loop));
	ck_assert(!loop_wake(&loop));
}
END_TEST

static bool
wake_in_the_last_moment(struct loop *self, void *arg)
{
	(void)arg;
	hook_calls++;
	ck_assert(loop_wake(self));
	/* The announcement is taken: no second write. */
	ck_assert(!loop_wake(self));
	return false;
}

START_TEST(a_wake_up_between_announcement_and_sleep_is_not_lost)
{
	loop.before_sleep = wake_in_the_last_moment;
	turn(-1);
	turn(-1);
	ck_assert_uint_eq(hook_calls, 2);
}
END_TEST

START_TEST(a_wake_up_ends_one_sleep_only)
{
	struct timer timer = { .fn = on_timer };

	loop.before_sleep = wake_in_the_last_moment;
	turn(-1);
	loop.before_sleep = NULL;
	loop.turns = 0;
	timer_calls = 0;
	timer_set(&loop.wheel, &timer, loop_now_ms(&loop) + 5);
	while (timer_calls == 0)
		turn(-1);
	ck_assert_uint_le(loop.turns, TIMER_WHEEL_LEVELS);
}
END_TEST

static atomic_uint published;
static unsigned consumed;

struct producer {
	pthread_t thread;
	sem_t consumed;
};

static bool
has_published(struct loop *self, void *arg)
{
	(void)self;
	(void)arg;
	return atomic_load_explicit(&published, memory_order_relaxed) != consumed;
}

/* Publishes, wakes and, so that the loop often sleeps, waits every other time until something was consumed. */
static void *
produce(void *arg)
{
	struct producer *producer = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		while (sem_trywait(&producer->consumed) == 0)
			continue;
		atomic_fetch_add_explicit(&published, 1, memory_order_relaxed);
		(void)loop_wake(&loop);
		if (i % 2 == 0) {
			while (sem_wait(&producer->consumed) != 0)
				continue;
		}
	}
	return NULL;
}

START_TEST(of_many_wake_ups_by_many_threads_none_is_lost)
{
	static struct producer producers[PRODUCERS];

	loop.before_sleep = has_published;
	for (unsigned i = 0; i < PRODUCERS; i++) {
		ck_assert_int_eq(sem_init(&producers[i].consumed, 0, 0), 0);
		ck_assert_int_eq(pthread_create(&producers[i].thread, NULL, produce, &producers[i]), 0);
	}
	while (consumed < PRODUCERS * ROUNDS) {
		unsigned before = consumed;

		turn(-1);
		consumed = atomic_load_explicit(&published, memory_order_relaxed);
		for (unsigned i = 0; i < PRODUCERS && consumed != before; i++)
			ck_assert_int_eq(sem_post(&producers[i].consumed), 0);
	}
	for (unsigned i = 0; i < PRODUCERS; i++) {
		ck_assert_int_eq(pthread_join(producers[i].thread, NULL), 0);
		ck_assert_int_eq(sem_destroy(&producers[i].consumed), 0);
	}
	ck_assert_uint_eq(consumed, PRODUCERS * ROUNDS);
}
END_TEST

/* ---- start and end ------------------------------------------------------------ */

START_TEST(no_memory_is_an_error)
{
	struct loop failing;

	mem_fail_after(1);
	ck_assert_int_eq(loop_init(&failing, NULL, NULL), -ENOMEM);
	loop_fini(&failing);
}
END_TEST

START_TEST(no_descriptor_is_an_error_and_leaks_none)
{
	struct rlimit limit;
	struct rlimit lower;
	struct loop failing;
	int first_free = dup(STDERR_FILENO);

	ck_assert_int_ge(first_free, 0);
	ck_assert_int_eq(close(first_free), 0);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	lower = limit;
	for (int room = 0; room < 2; room++) {
		lower.rlim_cur = (rlim_t)(first_free + room);
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &lower), 0);
		ck_assert_int_eq(loop_init(&failing, NULL, NULL), -EMFILE);
		loop_fini(&failing);
	}
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_int_eq(dup(STDERR_FILENO), first_free);
	ck_assert_int_eq(close(first_free), 0);
}
END_TEST

START_TEST(a_loop_without_a_hook_sleeps_and_is_woken)
{
	loop.before_sleep = NULL;
	turn(1);
	ck_assert_uint_eq(loop.turns, 1);
	ck_assert(!loop_is_sleeping(&loop));
}
END_TEST

/* ---- tasks from other threads ---------------------------------------------------- */

struct posting {
	struct task task;
	unsigned runs;
	struct posting *unposts;
	sem_t ran;
	pthread_t thread;
};

static void
on_posted(struct loop *self, struct task *task)
{
	struct posting *posting = CP_CONTAINER_OF(task, struct posting, task);

	posting->runs++;
	if (posting->unposts != NULL)
		loop_unpost(self, &posting->unposts->task);
	ck_assert_int_eq(sem_post(&posting->ran), 0);
}

static void
open_posting(struct posting *posting)
{
	*posting = (struct posting){ .task.fn = on_posted };
	ck_assert_int_eq(sem_init(&posting->ran, 0, 0), 0);
}

START_TEST(a_task_posted_twice_runs_once_and_again_when_posted_again)
{
	struct posting posting;

	open_posting(&posting);
	turn(0);
	ck_assert_uint_eq(posting.runs, 0);
	for (unsigned round = 1; round <= 2; round++) {
		loop_post(&loop, &posting.task);
		loop_post(&loop, &posting.task);
		/* It may wait for ever: what was posted must keep it from that. */
		turn(-1);
		turn(0);
		ck_assert_uint_eq(posting.runs, round);
	}
}
END_TEST

START_TEST(a_task_that_was_unposted_does_not_run)
{
	struct posting first, second;

	open_posting(&first);
	open_posting(&second);
	loop_unpost(&loop, &first.task);
	loop_post(&loop, &first.task);
	loop_unpost(&loop, &first.task);
	turn(0);
	ck_assert_uint_eq(first.runs, 0);
	/* One may unpost another of the same turn. */
	first.unposts = &second;
	loop_post(&loop, &first.task);
	loop_post(&loop, &second.task);
	turn(0);
	turn(0);
	ck_assert_uint_eq(first.runs, 1);
	ck_assert_uint_eq(second.runs, 0);
}
END_TEST

START_TEST(a_posted_task_calls_off_a_nap)
{
	struct posting posting;

	open_posting(&posting);
	loop_post(&loop, &posting.task);
	/* The test would time out. */
	loop_nap(&loop, 10 * 60 * 1000);
	turn(0);
	ck_assert_uint_eq(posting.runs, 1);
}
END_TEST

/* Each waits until its task has run before it posts it again: one that is lost ends everything. */
static void *
post_rounds(void *arg)
{
	struct posting *posting = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		loop_post(&loop, &posting->task);
		while (sem_wait(&posting->ran) < 0)
			continue;
	}
	return NULL;
}

START_TEST(of_many_tasks_posted_by_many_threads_none_is_lost)
{
	static struct posting postings[PRODUCERS];
	unsigned runs = 0;

	loop.before_sleep = NULL;
	for (unsigned i = 0; i < PRODUCERS; i++) {
		open_posting(&postings[i]);
		ck_assert_int_eq(pthread_create(&postings[i].thread, NULL, post_rounds, &postings[i]), 0);
	}
	while (runs < PRODUCERS * ROUNDS) {
		turn(-1);
		runs = 0;
		for (unsigned i = 0; i < PRODUCERS; i++)
			runs += postings[i].runs;
	}
	for (unsigned i = 0; i < PRODUCERS; i++) {
		ck_assert_int_eq(pthread_join(postings[i].thread, NULL), 0);
		ck_assert_int_eq(sem_destroy(&postings[i].ran), 0);
		ck_assert_uint_eq(postings[i].runs, ROUNDS);
	}
}
END_TEST

static TCase *
add_case(Suite *suite, const char *name)
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	return tcase;
}

static Suite *
make_suite(void)
{
	Suite *suite = suite_create("engine/loop");
	TCase *tcase = add_case(suite, "descriptors");

	tcase_add_test(tcase, a_ready_descriptor_is_reported);
	tcase_add_test(tcase, an_edge_is_reported_once);
	tcase_add_test(tcase, modified_interest_holds);
	tcase_add_test(tcase, what_was_removed_in_a_batch_is_not_called);
	tcase_add_test(tcase, what_was_forgotten_in_a_batch_is_not_called);
	tcase_add_test(tcase, a_callback_may_free_its_own_watch);
	tcase_add_test(tcase, more_are_ready_than_fit_into_a_batch);
	tcase_add_test(tcase, adding_what_epoll_does_not_take_is_an_error);
	suite_add_tcase(suite, loop_shared_case());
	tcase = add_case(suite, "tasks");
	tcase_add_test(tcase, a_task_scheduled_twice_runs_once);
	tcase_add_test(tcase, a_task_scheduled_by_a_task_waits_for_the_next_turn);
	tcase_add_test(tcase, a_task_may_cancel_another_of_the_same_turn);
	tcase = add_case(suite, "timers");
	tcase_add_test(tcase, a_turn_sleeps_until_the_next_timer_and_not_less);
	tcase_add_test(tcase, a_turn_waits_no_longer_than_it_may);
	tcase_add_test(tcase, a_timer_that_is_due_keeps_a_turn_from_waiting);
	tcase_add_test(tcase, the_clock_can_be_read_again);
	tcase = add_case(suite, "wake_up");
	tcase_add_test(tcase, the_hook_calls_off_the_sleep);
	tcase_add_test(tcase, nobody_is_woken_who_does_not_sleep);
	tcase_add_test(tcase, a_wake_up_between_announcement_and_sleep_is_not_lost);
	tcase_add_test(tcase, a_wake_up_ends_one_sleep_only);
	tcase_add_test(tcase, of_many_wake_ups_by_many_threads_none_is_lost);
	tcase = add_case(suite, "posting");
	tcase_add_test(tcase, a_task_posted_twice_runs_once_and_again_when_posted_again);
	tcase_add_test(tcase, a_task_that_was_unposted_does_not_run);
	tcase_add_test(tcase, a_posted_task_calls_off_a_nap);
	tcase_add_test(tcase, of_many_tasks_posted_by_many_threads_none_is_lost);
	tcase = add_case(suite, "life");
	tcase_add_test(tcase, no_memory_is_an_error);
	tcase_add_test(tcase, no_descriptor_is_an_error_and_leaks_none);
	tcase_add_test(tcase, a_loop_without_a_hook_sleeps_and_is_woken);
	return suite;
}

int
main(void)
{
	SRunner *runner = srunner_create(make_suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
