/* SPDX-License-Identifier: MIT */
/*
 * test_session_blocking - cp_blocking(): that only its connection waits, what that one may count on when it must end
 * meanwhile, and when it is refused.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <stdbool.h>

#include "service/blocking.h"
#include "callnotes.h"
#include "sessionrig.h"

#define IDLE_MS 5000
#define IDLE "idle_timeout = \"5s\";"

static struct served served;

static sem_t begun;
static sem_t gate;
static unsigned runs;

static void
set_up_blocking(void)
{
	ck_assert_int_eq(sem_init(&begun, 0, 0), 0);
	ck_assert_int_eq(sem_init(&gate, 0, 0), 0);
	runs = 0;
}

static void
tear_down_blocking(void)
{
	blocking_stop();
	sem_destroy(&begun);
	sem_destroy(&gate);
}

static void
wait_for(sem_t *sem)
{
	while (sem_wait(sem) < 0)
		;
}

/* Uses the caller's stack, as every fn does. */
static void
double_it(void *arg)
{
	sem_post(&begun);
	wait_for(&gate);
	*(int *)arg *= 2;
}

static int
block_twice(struct cp_conn *conn)
{
	int number = 21;

	note(cp_blocking(conn, double_it, &number));
	runs = (unsigned)number;
	note(cp_blocking(conn, double_it, &number));
	runs = (unsigned)number;
	return CP_DONE;
}

static const struct cp_handler blocks = {.abi = CP_HANDLER_ABI, .name = "blocks", .serve = block_twice};

static bool
has_noted(void *arg)
{
	return note_count >= *(unsigned *)arg;
}

static void
turn_until_noted(unsigned notes)
{
	fixture_turn_until(&rig_sched.loop, has_noted, &notes);
}

START_TEST(a_blocking_call_runs_while_the_loop_turns)
{
	served_open(&served, &blocks, IDLE);
	wait_for(&begun);
	/* No deadline but the lifetime counts meanwhile. */
	rig_pass_ms(2 * IDLE_MS);
	ck_assert_uint_eq(note_count, 0);
	sem_post(&gate);
	turn_until_noted(1);
	expect_note(0, 0, 0);
	ck_assert_uint_eq(runs, 42);
	sem_post(&gate);
	turn_until_noted(2);
	ck_assert_uint_eq(runs, 84);
	served_close_and_finish(&served);
}
END_TEST

static int
block_and_read(struct cp_conn *conn)
{
	int number = 21;
	char byte;

	note(cp_blocking(conn, double_it, &number));
	note(cp_recv(conn, &byte, 1));
	return CP_DONE;
}

static const struct cp_handler blocks_and_reads = {.abi = CP_HANDLER_ABI, .name = "blocks", .serve = block_and_read};

START_TEST(the_idle_time_begins_anew_after_a_blocking_call)
{
	served_open(&served, &blocks_and_reads, IDLE);
	wait_for(&begun);
	rig_pass_ms(2 * IDLE_MS);
	sem_post(&gate);
	turn_until_noted(1);
	rig_pass_ms(IDLE_MS - 1);
	ck_assert_uint_eq(note_count, 1);
	rig_pass_ms(1);
	expect_note(1, -1, ETIMEDOUT);
	served_close_and_finish(&served);
}
END_TEST

static void
count_runs(void *arg)
{
	(void)arg;
	runs++;
	sem_post(&begun);
}

static int
block_unwatched(struct cp_conn *conn)
{
	note(cp_blocking(conn, count_runs, NULL));
	return CP_DONE;
}

static const struct cp_handler blocks_unwatched = {.abi = CP_HANDLER_ABI, .name = "blocks", .serve = block_unwatched};

/* Not after it has been given to a helper, which would go on with a stack that is no longer there. */
START_TEST(what_can_not_be_watched_is_found_before_anything_runs)
{
	int fd = memfd_create("unwatchable", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	fixture_open("", "", &blocks_unwatched);
	served_begin_on(&served, fd, -1);
	expect_note(0, -1, EPERM);
	blocking_stop();
	ck_assert_uint_eq(runs, 0);
	served_expect_end(&served, CONN_END_SERVICE);
}
END_TEST

START_TEST(what_has_begun_is_waited_for_even_by_one_that_must_end)
{
	served_open(&served, &blocks, "lifetime = \"1s\";");
	wait_for(&begun);
	if (_i == 0)
		rig_pass_ms(3000);
	else
		served_cancel(&served);
	ck_assert_int_eq(served_state(&served), SESSION_WAITING);
	ck_assert_uint_eq(note_count, 0);
	sem_post(&gate);
	turn_until_noted(2);
	expect_note(0, 0, 0);
	expect_note(1, -1, ECANCELED);
	ck_assert_uint_eq(runs, 42);
	served_close_and_finish(&served);
	served_expect_end(&served, _i == 0 ? CONN_END_LIFETIME : CONN_END_DRAIN);
}
END_TEST

static struct blocking_job jobs[BLOCKING_THREADS_MAX + BLOCKING_QUEUE_MAX];
static unsigned done;

static void
hold_thread(void *arg)
{
	(void)arg;
	sem_post(&begun);
	wait_for(&gate);
}

static void
on_done(struct loop *loop, struct task *task)
{
	(void)loop;
	(void)task;
	blocking_settle();
	done++;
}

static bool
are_done(void *arg)
{
	return done == *(unsigned *)arg;
}

static void
hold_threads(unsigned first, unsigned number)
{
	for (unsigned i = first; i < first + number; i++) {
		jobs[i] = (struct blocking_job){.fn = hold_thread, .loop = &rig_sched.loop, .done.fn = on_done};
		ck_assert_int_eq(blocking_submit(&jobs[i]), 0);
	}
}

/* All threads are held, and so many wait: only once each thread has its own is there room for all of these. */
static void
hold_all_threads(unsigned waiting)
{
	done = 0;
	hold_threads(0, BLOCKING_THREADS_MAX);
	for (unsigned i = 0; i < BLOCKING_THREADS_MAX; i++)
		wait_for(&begun);
	hold_threads(BLOCKING_THREADS_MAX, waiting);
}

static void
release_threads(unsigned waiting)
{
	unsigned all = BLOCKING_THREADS_MAX + waiting;

	for (unsigned i = 0; i < all; i++)
		sem_post(&gate);
	fixture_turn_until(&rig_sched.loop, are_done, &all);
}

START_TEST(what_has_not_begun_is_taken_back_from_one_that_must_end)
{
	hold_all_threads(0);
	served_open(&served, &blocks, "");
	rig_turn_some();
	ck_assert_uint_eq(note_count, 0);
	served_cancel(&served);
	expect_note(0, -1, ECANCELED);
	expect_note(1, -1, ECANCELED);
	ck_assert_uint_eq(runs, 21);
	release_threads(0);
	served_close_and_finish(&served);
	served_expect_end(&served, CONN_END_DRAIN);
}
END_TEST

START_TEST(one_call_more_than_can_wait_is_eagain)
{
	hold_all_threads(BLOCKING_QUEUE_MAX);
	served_open(&served, &blocks, "");
	expect_note(0, -1, EAGAIN);
	ck_assert_uint_eq(runs, 21);
	release_threads(BLOCKING_QUEUE_MAX);
	served_close_and_finish(&served);
}
END_TEST

static int
block_at_once(struct cp_conn *conn)
{
	int number = 1;

	sem_post(&gate);
	note(cp_blocking(conn, double_it, &number));
	runs += (unsigned)number;
	return CP_DONE;
}

static const struct cp_handler blocks_at_once = {.abi = CP_HANDLER_ABI, .name = "many", .serve = block_at_once};

START_TEST(many_connections_have_each_its_own_result)
{
	static struct served all[40];

	fixture_open("", "", &blocks_at_once);
	for (unsigned i = 0; i < 40; i++)
		served_begin(&all[i]);
	turn_until_noted(40);
	ck_assert_uint_eq(runs, 80);
	for (unsigned i = 0; i < 40; i++)
		served_close(&all[i]);
	rig_pass_ms(LINGER_GLANCE_MS);
	for (unsigned i = 0; i < 40; i++)
		served_finish(&all[i]);
}
END_TEST

static TCase *
calls_case(Suite *suite, const char *name)
{
	TCase *tc = rig_case(suite, name);

	tcase_add_checked_fixture(tc, notes_reset, NULL);
	return tc;
}

int
main(void)
{
	Suite *suite = suite_create("service/session_blocking");
	TCase *tc = calls_case(suite, "cp_blocking");

	tcase_add_checked_fixture(tc, set_up_blocking, tear_down_blocking);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, a_blocking_call_runs_while_the_loop_turns);
	tcase_add_test(tc, the_idle_time_begins_anew_after_a_blocking_call);
	tcase_add_test(tc, what_can_not_be_watched_is_found_before_anything_runs);
	tcase_add_loop_test(tc, what_has_begun_is_waited_for_even_by_one_that_must_end, 0, 2);
	tcase_add_test(tc, what_has_not_begun_is_taken_back_from_one_that_must_end);
	tcase_add_test(tc, one_call_more_than_can_wait_is_eagain);
	tcase_add_test(tc, many_connections_have_each_its_own_result);
	return fixture_run(suite);
}
