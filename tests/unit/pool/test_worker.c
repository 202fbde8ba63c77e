/* SPDX-License-Identifier: MIT */
/*
 * worker: its life, what it takes and what it turns away, and that a start that fails leaves nothing behind.
 *
 * Workers are those of a pool (poolrig.h). The linker lends us pthread_create(3), so that it can fail.
 */
#include "config.h"

#include "pool/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/fdutil.h"
#include "base/mem.h"
#include "poolrig.h"
#include "threads.h"

typedef void *thread_fn(void *arg);

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, thread_fn *fn, void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, thread_fn *fn, void *arg);

static unsigned fail_thread_after; /* 1: the next; 0: none */

int
__wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, thread_fn *fn, void *arg)
{
	if (fail_thread_after > 0 && --fail_thread_after == 0)
		return EAGAIN;
	return __real_pthread_create(thread, attr, fn, arg);
}

static struct worker *
only_worker(void)
{
	ck_assert_uint_eq(rig.pool->slots, 1);
	return rig.pool->workers[0];
}

/* ---- starting ----------------------------------------------------------------- */

static void
expect_nothing_started(void)
{
	ck_assert_ptr_null(rig.pool);
	threads_await(rig.threads_before);
	/* The loop of the main thread has two. */
	ck_assert_int_eq(fd_count_open(), rig.descriptors_before + 2);
}

START_TEST(no_memory_starts_nothing)
{
	bool is_reached = true;
	unsigned n;

	rig.settings.workers = 3;
	for (n = 0; is_reached; rig_end_pool()) {
		int rc;

		mem_fail_after(++n);
		rc = pool_new(&rig.settings, &rig_tasks, &rig.owner, &rig.loop, &rig.pool);
		is_reached = __atomic_load_n(&mem_fail_countdown, __ATOMIC_RELAXED) == 0;
		mem_fail_after(0);
		/* A worker that is starting can do without its own. */
		if (rc == 0)
			continue;
		ck_assert(rc == -ENOMEM && is_reached);
		expect_nothing_started();
	}
	ck_assert_uint_gt(n, 10);
}
END_TEST

START_TEST(no_thread_starts_nothing)
{
	rig.settings.workers = 3;
	for (unsigned n = 1; n <= 3; n++) {
		fail_thread_after = n;
		ck_assert_int_eq(pool_new(&rig.settings, &rig_tasks, &rig.owner, &rig.loop, &rig.pool), -EAGAIN);
		expect_nothing_started();
	}
	fail_thread_after = 0;
}
END_TEST

/* The limit below which so many descriptors are free: the next ones to be had. */
static rlim_t
limit_for(unsigned count)
{
	int fd = 0;

	for (unsigned found = 0; found < count; fd++)
		found += fcntl(fd, F_GETFD) < 0;
	return (rlim_t)fd;
}

START_TEST(no_descriptor_starts_nothing)
{
	struct rlimit before;
	struct rlimit limit;

	rig.settings.workers = 3;
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	/* Each worker wants two. */
	for (unsigned more = 0; more < 6; more++) {
		int rc;

		limit = (struct rlimit){.rlim_cur = limit_for(more), .rlim_max = before.rlim_max};
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
		rc = pool_new(&rig.settings, &rig_tasks, &rig.owner, &rig.loop, &rig.pool);
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
		ck_assert_int_eq(rc, -EMFILE);
		expect_nothing_started();
	}
}
END_TEST

/* ---- room ------------------------------------------------------------------------- */

START_TEST(worker_has_room_up_to_its_connections)
{
	unsigned last;

	rig.settings.connections_per_worker = 2;
	rig_new_pool();
	ck_assert(worker_has_room(only_worker()));
	rig_serve(RIG_HOLD);
	ck_assert(worker_has_room(only_worker()));
	last = rig_serve(RIG_HOLD);
	ck_assert(!worker_has_room(only_worker()));
	ck_assert_uint_eq(atomic_load(&only_worker()->active), 2);
	rig_close_client(last);
	rig_await(&rig.done, 1);
	ck_assert(worker_has_room(only_worker()));
}
END_TEST

START_TEST(retiring_worker_has_no_room)
{
	rig_new_pool();
	rig_serve(RIG_HOLD);
	worker_set_state(only_worker(), WORKER_RETIRING);
	ck_assert(!worker_has_room(only_worker()));
}
END_TEST

START_TEST(lingering_connection_takes_no_room)
{
	rig.settings.connections_per_worker = 1;
	rig_new_pool();
	rig_serve(RIG_LINGER);
	rig_await_sleep();
	ck_assert(worker_has_room(only_worker()));
	/* Asleep, it is woken for the next one. */
	rig_serve(RIG_HOLD);
	ck_assert(!worker_has_room(only_worker()));
	ck_assert_uint_eq(atomic_load(&only_worker()->active), 2);
}
END_TEST

/* ---- what is turned away ---------------------------------------------------------------- */

START_TEST(connection_without_memory_is_refused)
{
	rig_new_pool();
	rig_await_sleep();
	rig_submit(RIG_HOLD, RIG_OLD);
	mem_fail_after(1);
	ck_assert(pool_wake(rig.pool));
	while (rig_rejected(CONN_END_REFUSED_MEMORY) == 0)
		sched_yield();
	mem_fail_after(0);
	ck_assert_uint_eq(rig_read(&rig.started), 0);
	rig_serve(RIG_HOLD);
}
END_TEST

/* Serves one that keeps the only place, then has another wait behind it. */
static unsigned
queue_behind(unsigned *ret_first, uint64_t accepted_ns)
{
	unsigned id;

	rig.settings.connections_per_worker = 1;
	rig_new_pool();
	*ret_first = rig_serve(RIG_HOLD);
	id = rig_submit(RIG_HOLD, accepted_ns);
	ck_assert(!pool_wake(rig.pool));
	return id;
}

START_TEST(client_that_reset_while_queued_is_dropped)
{
	unsigned first;
	unsigned second = queue_behind(&first, RIG_OLD);
	unsigned third = rig_submit(RIG_HOLD, RIG_OLD);

	rig_close_client(second);
	rig_close_client(first);
	rig_await(&rig.started, 2);
	ck_assert_uint_eq(rig_rejected(CONN_END_QUEUE_RESET), 1);
	ck_assert_uint_eq(rig.last_id, third);
}
END_TEST

START_TEST(client_that_only_ended_its_output_is_served)
{
	unsigned first;
	unsigned second = queue_behind(&first, RIG_OLD);

	ck_assert_int_eq(shutdown(rig.clients[second], SHUT_WR), 0);
	rig_close_client(first);
	rig_await(&rig.done, 2);
	ck_assert_uint_eq(listener_rejected(rig.listener), 0);
}
END_TEST

START_TEST(connection_that_waited_too_long_is_not_served_late)
{
	unsigned first;
	unsigned young;

	rig.settings.queue_timeout_ms = 1;
	queue_behind(&first, RIG_OLD);
	young = rig_submit(RIG_HOLD, RIG_FRESH);
	rig_close_client(first);
	rig_await(&rig.started, 2);
	ck_assert_uint_eq(rig_rejected(CONN_END_QUEUE_TIMEOUT), 1);
	rig_close_client(young);
	rig_await(&rig.done, 2);
}
END_TEST

/* ---- the end ---------------------------------------------------------------------------------- */

START_TEST(worker_without_connections_ends_when_told)
{
	rig_new_pool();
	rig_await_sleep();
	worker_set_state(only_worker(), WORKER_RETIRING);
	rig_reap_until(0);
}
END_TEST

START_TEST(state_never_goes_back)
{
	struct worker *worker;

	rig_new_pool();
	rig_serve(RIG_HOLD);
	worker = only_worker();
	worker_set_state(worker, WORKER_CLOSING);
	ck_assert_int_eq(atomic_load(&worker->state), WORKER_CLOSING);
	worker_set_state(worker, WORKER_RETIRING);
	worker_set_state(worker, WORKER_CLOSING);
	ck_assert_int_eq(atomic_load(&worker->state), WORKER_RETIRING);
}
END_TEST

START_TEST(retiring_worker_finishes_what_it_has)
{
	unsigned held;

	rig_new_pool();
	held = rig_serve(RIG_HOLD);
	worker_set_state(only_worker(), WORKER_RETIRING);
	rig_submit(RIG_HOLD, RIG_OLD);
	ck_assert(!pool_wake(rig.pool));
	rig_close_client(held);
	rig_await(&rig.ended, 1);
	ck_assert_uint_eq(rig_read(&rig.started), 1);
	ck_assert_uint_eq(queue_length(&rig.pool->queue), 1);
	pool_cancel(rig.pool);
}
END_TEST

/* Also one that retires, which sleeps until its last connection has ended. */
START_TEST(draining_worker_tells_every_connection_once)
{
	rig_new_pool();
	for (unsigned i = 0; i < 20; i++)
		rig_serve(i % 2 == 0 ? RIG_HOLD : RIG_FIBER);
	if (_i == 1)
		worker_set_state(only_worker(), WORKER_RETIRING);
	worker_drain(only_worker());
	rig_await(&rig.drained, 20);
	worker_drain(only_worker());
	worker_cancel(only_worker());
	rig_await(&rig.done, 20);
	ck_assert_uint_eq(rig_read(&rig.drained), 20);
}
END_TEST

START_TEST(cancelled_worker_ends_every_connection)
{
	rig_new_pool();
	for (unsigned i = 0; i < 20; i++)
		rig_serve(i % 2 == 0 ? RIG_HOLD : RIG_FIBER);
	worker_cancel(only_worker());
	rig_await(&rig.done, 20);
	ck_assert_uint_eq(rig_read(&rig.cancelled), 20);
	/* It lives on. */
	rig_serve(RIG_HOLD);
}
END_TEST

START_TEST(fibers_are_freed_with_their_worker)
{
	rig_new_pool();
	for (unsigned i = 0; i < 100; i++)
		rig_serve(RIG_FIBER);
	for (unsigned id = 1; id <= 100; id++)
		rig_close_client(id);
	rig_await(&rig.done, 100);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("pool/worker");
	TCase *tcase = rig_case(suite, "start");

	tcase_add_test(tcase, no_memory_starts_nothing);
	tcase_add_test(tcase, no_thread_starts_nothing);
	tcase_add_test(tcase, no_descriptor_starts_nothing);
	tcase = rig_case(suite, "room");
	tcase_add_test(tcase, worker_has_room_up_to_its_connections);
	tcase_add_test(tcase, retiring_worker_has_no_room);
	tcase_add_test(tcase, lingering_connection_takes_no_room);
	tcase = rig_case(suite, "turned away");
	tcase_add_test(tcase, connection_without_memory_is_refused);
	tcase_add_test(tcase, client_that_reset_while_queued_is_dropped);
	tcase_add_test(tcase, client_that_only_ended_its_output_is_served);
	tcase_add_test(tcase, connection_that_waited_too_long_is_not_served_late);
	tcase = rig_case(suite, "end");
	tcase_add_test(tcase, worker_without_connections_ends_when_told);
	tcase_add_test(tcase, state_never_goes_back);
	tcase_add_test(tcase, retiring_worker_finishes_what_it_has);
	tcase_add_loop_test(tcase, draining_worker_tells_every_connection_once, 0, 2);
	tcase_add_test(tcase, cancelled_worker_ends_every_connection);
	tcase_add_test(tcase, fibers_are_freed_with_their_worker);
	return rig_run(suite);
}
