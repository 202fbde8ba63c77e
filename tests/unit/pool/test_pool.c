/* SPDX-License-Identifier: MIT */
/*
 * pool: who gets a connection, how the number of workers changes under it, and how it ends.
 *
 * Times are chosen so that they decide nothing by chance: a connection accepted in the far future is never old enough
 * for more than a fair share, and the clock of the main thread's loop is moved by hand.
 */
#include "config.h"

#include "pool/pool.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>

#include "base/clock.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "poolrig.h"
#include "threads.h"

static unsigned
started_on(unsigned worker)
{
	return rig_read(&rig.started_on[worker]);
}

static unsigned
queued(void)
{
	return queue_length(&rig.pool->queue);
}

static void
new_pool(unsigned workers, unsigned connections_per_worker)
{
	rig.settings.workers = workers;
	rig.settings.connections_per_worker = connections_per_worker;
	rig_new_pool();
}

/* ---- spread ------------------------------------------------------------------- */

START_TEST(connections_that_come_one_by_one_are_spread_evenly)
{
	new_pool(4, 100);
	for (unsigned i = 0; i < 20; i++) {
		rig_await_sleep();
		rig_serve(RIG_HOLD);
	}
	for (unsigned worker = 0; worker < 4; worker++)
		ck_assert_uint_eq(started_on(worker), 5);
}
END_TEST

START_TEST(worker_that_lost_connections_gets_the_next)
{
	new_pool(3, 100);
	for (unsigned i = 0; i < 9; i++) {
		rig_await_sleep();
		rig_serve(RIG_HOLD);
	}
	for (unsigned id = 1; id <= 9; id++) {
		if (rig.worker_of[id] == 1)
			rig_close_client(id);
	}
	rig_await(&rig.done, 3);
	for (unsigned i = 0; i < 3; i++) {
		rig_await_sleep();
		rig_serve(RIG_HOLD);
	}
	ck_assert_uint_eq(started_on(1), 6);
}
END_TEST

START_TEST(only_the_worker_with_the_fewest_is_woken)
{
	new_pool(3, 100);
	rig_await(&rig.sleeps, 3);
	/* Another one would decline, and so sleep once more. */
	for (unsigned i = 1; i <= 12; i++) {
		rig_await_sleep();
		rig_serve(RIG_HOLD);
		rig_await(&rig.sleeps, 3 + i);
	}
	ck_assert_uint_eq(rig_read(&rig.sleeps), 3 + 12);
}
END_TEST

START_TEST(a_busy_worker_is_not_woken)
{
	new_pool(1, 100);
	rig_serve(RIG_BLOCK);
	ck_assert(!pool_has_sleeper(rig.pool));
	rig_submit(RIG_HOLD, RIG_FRESH);
	ck_assert(!pool_wake(rig.pool));
}
END_TEST

START_TEST(nobody_is_woken_for_an_empty_queue)
{
	new_pool(2, 100);
	rig_await_sleep();
	ck_assert(pool_has_sleeper(rig.pool));
	ck_assert(!pool_wake(rig.pool));
	ck_assert(pool_has_sleeper(rig.pool));
}
END_TEST

/* One of two workers is held up by a connection; four more wait. The other's share of the five is three. */
static unsigned
hold_up_one(uint64_t accepted_ns)
{
	unsigned blocked;

	new_pool(2, 100);
	rig_await_sleep();
	blocked = rig_serve(RIG_BLOCK);
	for (unsigned i = 0; i < 4; i++)
		rig_submit(RIG_HOLD, accepted_ns);
	(void)pool_wake(rig.pool);
	return blocked;
}

START_TEST(worker_declines_more_than_its_share_of_the_young)
{
	unsigned blocked = hold_up_one(RIG_FRESH);
	unsigned busy = rig_read(&rig.worker_of[blocked]);

	rig_await(&rig.started, 1 + 3);
	/* It comes back to look, and declines each time. */
	rig_await(&rig.sleeps, rig_read(&rig.sleeps) + 5);
	ck_assert_uint_eq(queued(), 1);
	ck_assert_uint_eq(started_on(1 - busy), 3);
	rig_release(blocked);
	rig_await(&rig.started, 5);
	ck_assert_uint_eq(started_on(busy), 2);
	ck_assert_uint_eq(started_on(1 - busy), 3);
}
END_TEST

START_TEST(share_of_a_blocked_worker_is_taken_by_others_in_time)
{
	unsigned blocked = hold_up_one(0);
	unsigned busy = rig_read(&rig.worker_of[blocked]);

	/* Nobody else wakes it, and the other one stays where it is. */
	rig_await(&rig.started, 5);
	ck_assert_uint_eq(started_on(busy), 1);
	ck_assert_uint_eq(started_on(1 - busy), 4);
}
END_TEST

START_TEST(who_declines_wakes_a_sleeper)
{
	unsigned blocked;
	unsigned busy;

	new_pool(2, 100);
	rig_await_sleep();
	blocked = rig_serve(RIG_BLOCK);
	busy = rig_read(&rig.worker_of[blocked]);
	for (unsigned i = 0; i < 3; i++)
		rig_submit(RIG_HOLD, RIG_FRESH);
	/* The main thread wakes nobody. */
	rig_release(blocked);
	rig_await(&rig.started, 4);
	ck_assert_uint_eq(started_on(busy), 2);
	ck_assert_uint_eq(started_on(1 - busy), 2);
}
END_TEST

START_TEST(classic_pool_serves_one_at_a_time)
{
	new_pool(1, 1);
	ck_assert(!pool_is_shared(rig.pool));
	rig_serve(RIG_HOLD);
	for (unsigned i = 0; i < 9; i++)
		rig_submit(RIG_HOLD, 0);
	for (unsigned id = 1; id <= 9; id++) {
		ck_assert_uint_eq(queued(), 10 - id);
		rig_close_client(id);
		rig_await(&rig.started, id + 1);
	}
	ck_assert_uint_eq(rig_read(&rig.most_running), 1);
}
END_TEST

START_TEST(classic_workers_block_side_by_side)
{
	new_pool(3, 1);
	rig_await_sleep();
	for (unsigned i = 0; i < 3; i++)
		rig_submit(RIG_BLOCK, 0);
	ck_assert(pool_wake(rig.pool));
	rig_await(&rig.started, 3);
	for (unsigned worker = 0; worker < 3; worker++)
		ck_assert_uint_eq(started_on(worker), 1);
}
END_TEST

START_TEST(a_burst_is_served_whole)
{
	rig.settings.queue_size = 200;
	new_pool(2, 1000);
	for (unsigned i = 0; i < 200; i++)
		rig_submit(i % 3 == 0 ? RIG_QUICK : RIG_HOLD, 0);
	(void)pool_wake(rig.pool);
	rig_await(&rig.started, 200);
	ck_assert_uint_eq(queued(), 0);
}
END_TEST

/* ---- a full queue ----------------------------------------------------------------- */

START_TEST(full_queue_that_waits_has_no_room_until_taken_from)
{
	unsigned blocked;

	rig.settings.queue_size = 4;
	new_pool(1, 100);
	blocked = rig_serve(RIG_BLOCK);
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_uint_eq(pool_room(rig.pool), 4 - i);
		rig_submit(RIG_HOLD, 0);
	}
	ck_assert_uint_eq(pool_room(rig.pool), 0);
	ck_assert(pool_await_room(rig.pool));
	ck_assert_uint_eq(rig_read(&rig.rooms), 0);
	rig_release(blocked);
	rig_await(&rig.rooms, 1);
	ck_assert_uint_gt(pool_room(rig.pool), 0);
	rig_await(&rig.started, 5);
	ck_assert_uint_eq(rig_read(&rig.rooms), 1);
}
END_TEST

START_TEST(nobody_is_told_of_room_who_did_not_ask)
{
	unsigned blocked;

	rig.settings.queue_size = 4;
	new_pool(1, 100);
	blocked = rig_serve(RIG_BLOCK);
	for (unsigned i = 0; i < 4; i++)
		rig_submit(RIG_HOLD, 0);
	rig_release(blocked);
	rig_await(&rig.started, 5);
	ck_assert_uint_eq(rig_read(&rig.rooms), 0);
}
END_TEST

START_TEST(full_queue_that_rejects_rejects)
{
	rig.settings.queue_size = 2;
	rig.settings.queue_full = CONF_QUEUE_REJECT;
	new_pool(1, 1);
	rig_serve(RIG_HOLD);
	for (unsigned i = 0; i < 5; i++) {
		ck_assert_uint_eq(pool_room(rig.pool), UINT_MAX);
		rig_submit(RIG_HOLD, 0);
	}
	ck_assert_uint_eq(rig_rejected(CONN_END_QUEUE_FULL), 3);
	ck_assert_uint_eq(atomic_load(&rig.listener->counters.queued), 2);
	ck_assert_uint_eq(queued(), 2);
}
END_TEST

/* ---- queue_timeout --------------------------------------------------------------------- */

/* As the loop would in a turn at that time. */
static void
advance(uint64_t to_ns)
{
	rig.loop.now_ns = to_ns;
	timer_wheel_advance(&rig.loop.wheel, loop_now_ms(&rig.loop));
}

/* One is served, two wait: the second came 5 s after the first. */
static uint64_t
queue_two(uint64_t timeout_ms)
{
	uint64_t now_ns = rig.loop.now_ns;

	rig.settings.queue_timeout_ms = timeout_ms;
	new_pool(1, 1);
	rig_serve(RIG_BLOCK);
	rig_submit(RIG_HOLD, now_ns);
	rig_submit(RIG_HOLD, now_ns + 5 * CLOCK_NS_PER_S);
	return now_ns;
}

START_TEST(those_too_old_are_rejected_though_no_worker_comes)
{
	uint64_t now_ns = queue_two(60000);

	advance(now_ns + 60 * CLOCK_NS_PER_S);
	ck_assert_uint_eq(rig_rejected(CONN_END_QUEUE_TIMEOUT), 0);
	advance(now_ns + 60 * CLOCK_NS_PER_S + 2 * CLOCK_NS_PER_MS);
	ck_assert_uint_eq(rig_rejected(CONN_END_QUEUE_TIMEOUT), 1);
	ck_assert_uint_eq(queued(), 1);
	advance(now_ns + 65 * CLOCK_NS_PER_S);
	ck_assert_uint_eq(rig_rejected(CONN_END_QUEUE_TIMEOUT), 1);
	advance(now_ns + 65 * CLOCK_NS_PER_S + 2 * CLOCK_NS_PER_MS);
	ck_assert_uint_eq(rig_rejected(CONN_END_QUEUE_TIMEOUT), 2);
	ck_assert_uint_eq(queued(), 0);
	ck_assert(!timer_is_set(&rig.pool->expiry));
}
END_TEST

START_TEST(many_are_rejected_at_once)
{
	uint64_t now_ns = rig.loop.now_ns;

	rig.settings.queue_timeout_ms = 60000;
	rig.settings.queue_size = 100;
	new_pool(1, 1);
	rig_serve(RIG_BLOCK);
	for (unsigned i = 0; i < 100; i++)
		rig_submit(RIG_HOLD, now_ns);
	advance(now_ns + 61 * CLOCK_NS_PER_S);
	ck_assert_uint_eq(rig_rejected(CONN_END_QUEUE_TIMEOUT), 100);
}
END_TEST

START_TEST(no_timeout_sets_no_timer)
{
	queue_two(0);
	ck_assert(!timer_is_set(&rig.pool->expiry));
}
END_TEST

START_TEST(shorter_timeout_holds_for_those_that_wait)
{
	uint64_t now_ns = queue_two(3600 * 1000);

	rig.settings.queue_timeout_ms = 1000;
	rig_reload();
	advance(now_ns + 2 * CLOCK_NS_PER_S);
	ck_assert_uint_eq(rig_rejected(CONN_END_QUEUE_TIMEOUT), 1);
}
END_TEST

START_TEST(longer_timeout_holds_for_those_that_wait)
{
	uint64_t now_ns = queue_two(1000);

	rig.settings.queue_timeout_ms = 60000;
	rig_reload();
	advance(now_ns + 30 * CLOCK_NS_PER_S);
	ck_assert_uint_eq(rig_rejected(CONN_END_QUEUE_TIMEOUT), 0);
	rig.settings.queue_timeout_ms = 0;
	rig_reload();
	advance(now_ns + 300 * CLOCK_NS_PER_S);
	ck_assert_uint_eq(rig_rejected(CONN_END_QUEUE_TIMEOUT), 0);
}
END_TEST

/* Both places of the queue are taken, and nobody takes anything out: room is waited for. */
static uint64_t
fill_queue(uint64_t timeout_ms)
{
	uint64_t now_ns = queue_two(timeout_ms);

	rig.settings.queue_size = 2;
	rig_reload();
	ck_assert(pool_await_room(rig.pool));
	return now_ns;
}

START_TEST(room_of_expired_entries_is_announced)
{
	uint64_t now_ns = fill_queue(60000);

	advance(now_ns + 61 * CLOCK_NS_PER_S);
	ck_assert_uint_eq(rig_rejected(CONN_END_QUEUE_TIMEOUT), 1);
	ck_assert_uint_eq(rig_read(&rig.rooms), 1);
}
END_TEST

START_TEST(room_of_cancelled_entries_is_announced)
{
	fill_queue(0);
	pool_cancel(rig.pool);
	ck_assert_uint_eq(rig_rejected(CONN_END_QUEUE_DRAIN), 2);
	ck_assert_uint_eq(rig_read(&rig.rooms), 1);
}
END_TEST

/* ---- the number of workers ---------------------------------------------------------------- */

START_TEST(grown_pool_has_more_workers)
{
	new_pool(1, 100);
	rig_serve(RIG_BLOCK);
	rig.settings.workers = 3;
	rig_reload();
	ck_assert_uint_eq(rig.pool->slots, 3);
	ck_assert_uint_eq(atomic_load(&rig.pool->worker_count), 3);
	rig_serve(RIG_BLOCK);
	rig_serve(RIG_BLOCK);
	for (unsigned worker = 0; worker < 3; worker++)
		ck_assert_uint_eq(started_on(worker), 1);
}
END_TEST

START_TEST(shrunk_pool_loses_the_newest_workers)
{
	new_pool(4, 100);
	rig.settings.workers = 2;
	rig_reload();
	ck_assert_uint_eq(atomic_load(&rig.pool->worker_count), 2);
	rig_reap_until(2);
	ck_assert_uint_eq(rig.pool->workers[0]->number, 0);
	ck_assert_uint_eq(rig.pool->workers[1]->number, 1);
	threads_await(rig.threads_before + 2);
	rig_serve(RIG_HOLD);
}
END_TEST

START_TEST(retiring_worker_keeps_its_connections_to_their_end)
{
	unsigned on_newest;

	new_pool(2, 100);
	for (unsigned i = 0; i < 2; i++) {
		rig_await_sleep();
		rig_serve(RIG_HOLD);
	}
	on_newest = rig.worker_of[1] == 1 ? 1 : 2;
	rig.settings.workers = 1;
	rig_reload();
	for (unsigned i = 0; i < 5; i++)
		rig_serve(RIG_HOLD);
	ck_assert_uint_eq(started_on(1), 1);
	ck_assert_uint_eq(rig.pool->slots, 2);
	rig_close_client(on_newest);
	rig_reap_until(1);
	ck_assert_uint_eq(rig.pool->workers[0]->number, 0);
}
END_TEST

START_TEST(queued_connections_go_to_the_workers_that_stay)
{
	unsigned blocked;
	unsigned busy;

	/* The newest is held up, and is told to retire with its share still in the queue. */
	new_pool(1, 100);
	blocked = rig_serve(RIG_BLOCK);
	busy = rig_read(&rig.worker_of[blocked]);
	ck_assert_uint_eq(busy, 0);
	rig.settings.stack_size_bytes *= 2;
	rig_submit(RIG_HOLD, RIG_FRESH);
	rig_submit(RIG_HOLD, RIG_FRESH);
	rig_reload();
	rig_await(&rig.started, 3);
	ck_assert_uint_eq(started_on(0), 1);
	ck_assert_uint_eq(started_on(1), 2);
}
END_TEST

START_TEST(new_stack_size_replaces_every_worker)
{
	unsigned held;

	new_pool(2, 100);
	held = rig_serve(RIG_FIBER);
	rig.settings.stack_size_bytes = 32768;
	rig_reload();
	ck_assert_uint_eq(atomic_load(&rig.pool->worker_count), 2);
	rig_reap_until(3);
	rig_serve(RIG_FIBER);
	rig_serve(RIG_FIBER);
	ck_assert_uint_eq(started_on(0) + started_on(1), 1);
	rig_close_client(held);
	rig_reap_until(2);
	ck_assert_uint_eq(rig.pool->workers[0]->number, 2);
	ck_assert_uint_eq(rig.pool->workers[1]->number, 3);
}
END_TEST

START_TEST(new_limits_hold_for_the_queue)
{
	new_pool(1, 1);
	rig_serve(RIG_HOLD);
	rig.settings.queue_size = 2;
	rig_reload();
	rig_submit(RIG_HOLD, 0);
	rig_submit(RIG_HOLD, 0);
	ck_assert(pool_await_room(rig.pool));
	rig.settings.queue_size = 3;
	rig_reload();
	/* Who waited is told. */
	ck_assert_uint_eq(rig_read(&rig.rooms), 1);
	ck_assert_uint_eq(pool_room(rig.pool), 1);
	rig_submit(RIG_HOLD, 0);
	ck_assert_uint_eq(pool_room(rig.pool), 0);
}
END_TEST

/* ---- a reload that is given up ---------------------------------------------------------------- */

START_TEST(reverted_pool_is_what_it_was)
{
	int descriptors;

	new_pool(2, 100);
	descriptors = fd_count_open();
	rig.settings.workers = 5;
	rig.settings.queue_size = 1000;
	ck_assert_int_eq(pool_prepare(rig.pool, &rig.settings), 0);
	ck_assert_uint_eq(rig.pool->slots, 5);
	pool_revert(rig.pool);
	rig_reap_until(2);
	ck_assert_uint_eq(rig.pool->workers[1]->number, 1);
	ck_assert_uint_eq(atomic_load(&rig.pool->worker_count), 2);
	ck_assert_uint_eq(queue_limit(&rig.pool->queue), 64);
	ck_assert_int_eq(fd_count_open(), descriptors);
	threads_await(rig.threads_before + 2);
	rig_serve(RIG_HOLD);
}
END_TEST

START_TEST(reverted_stack_size_keeps_the_old_workers)
{
	new_pool(2, 100);
	rig.settings.stack_size_bytes *= 2;
	ck_assert_int_eq(pool_prepare(rig.pool, &rig.settings), 0);
	ck_assert_uint_eq(rig.pool->slots, 4);
	pool_revert(rig.pool);
	rig_reap_until(2);
	ck_assert_uint_eq(rig.pool->workers[0]->number, 0);
	ck_assert_uint_eq(rig.pool->workers[1]->number, 1);
}
END_TEST

START_TEST(prepare_without_memory_can_be_reverted)
{
	bool is_reached = true;

	new_pool(1, 100);
	rig.settings.workers = 3;
	rig.settings.queue_size = 1000;
	for (unsigned n = 1; is_reached; n++) {
		int rc;

		mem_fail_after(n);
		rc = pool_prepare(rig.pool, &rig.settings);
		is_reached = __atomic_load_n(&mem_fail_countdown, __ATOMIC_RELAXED) == 0;
		mem_fail_after(0);
		/* A worker that is starting can do without its own. */
		ck_assert(rc == 0 || (rc == -ENOMEM && is_reached));
		pool_revert(rig.pool);
		rig_reap_until(1);
		ck_assert_uint_eq(rig.pool->workers[0]->number, 0);
		ck_assert_uint_eq(queue_limit(&rig.pool->queue), 64);
		threads_await(rig.threads_before + 1);
	}
	ck_assert_int_eq(pool_prepare(rig.pool, &rig.settings), 0);
	mem_fail_after(1);
	pool_commit(rig.pool, &rig.settings);
	ck_assert_uint_eq(rig.pool->slots, 3);
	ck_assert_uint_eq(queue_limit(&rig.pool->queue), 1000);
	rig_await_sleep();
	mem_fail_after(0);
}
END_TEST

/* ---- the end ----------------------------------------------------------------------------------------- */

START_TEST(closed_pool_serves_its_queue_and_ends)
{
	new_pool(1, 1);
	rig_serve(RIG_HOLD);
	rig_submit(RIG_HOLD, 0);
	rig_submit(RIG_HOLD, 0);
	pool_close(rig.pool, false);
	ck_assert(!pool_reap(rig.pool));
	rig_submit(RIG_HOLD, 0);
	ck_assert_uint_eq(rig_rejected(CONN_END_QUEUE_DRAIN), 1);
	for (unsigned id = 1; id <= 3; id++) {
		rig_await(&rig.started, id);
		ck_assert_uint_eq(rig_read(&rig.ended), 0);
		rig_close_client(id);
	}
	rig_reap_until(0);
	ck_assert_uint_eq(rig_read(&rig.started), 3);
}
END_TEST

START_TEST(handlers_are_told_of_a_drain_only)
{
	new_pool(1, 100);
	rig_serve(RIG_HOLD);
	pool_close(rig.pool, false);
	ck_assert(!atomic_load(&rig.pool->workers[0]->sched.draining));
	pool_close(rig.pool, true);
	ck_assert(atomic_load(&rig.pool->workers[0]->sched.draining));
}
END_TEST

START_TEST(cancelled_pool_rejects_the_queued_and_ends_the_served)
{
	new_pool(2, 1);
	rig_serve(RIG_HOLD);
	rig_serve(RIG_HOLD);
	for (unsigned i = 0; i < 40; i++)
		rig_submit(RIG_HOLD, 0);
	pool_close(rig.pool, true);
	pool_cancel(rig.pool);
	rig_reap_until(0);
	ck_assert_uint_eq(rig_read(&rig.cancelled), 2);
	ck_assert_uint_eq(rig_rejected(CONN_END_QUEUE_DRAIN), 40);
	ck_assert_uint_eq(rig_read(&rig.started), 2);
}
END_TEST

START_TEST(ended_workers_leave_no_thread_behind)
{
	int descriptors = fd_count_open();

	new_pool(8, 100);
	for (unsigned i = 0; i < 30; i++)
		rig_serve(RIG_FIBER);
	rig_end_pool();
	threads_await(rig.threads_before);
	ck_assert_int_eq(fd_count_open(), descriptors);
}
END_TEST

/* ---- watching -------------------------------------------------------------------------------------------- */

static unsigned stalls;
static struct pool_stall last_stall;

static void
on_stall(struct pool *pool, const struct pool_stall *stall, void *arg)
{
	ck_assert_ptr_eq(pool, rig.pool);
	ck_assert_ptr_eq(arg, &stalls);
	stalls++;
	last_stall = *stall;
}

static uint64_t
busy_since(unsigned worker)
{
	return atomic_load(&rig.pool->workers[worker]->sched.busy_since_ns);
}

static void
look_for_stalls(uint64_t now_ns)
{
	pool_report_stalls(rig.pool, now_ns, on_stall, &stalls);
}

START_TEST(stall_is_reported_once)
{
	unsigned blocked;
	uint64_t since_ns;

	new_pool(1, 100);
	blocked = rig_serve(RIG_BLOCK);
	since_ns = busy_since(0);
	look_for_stalls(since_ns + 999 * CLOCK_NS_PER_MS);
	ck_assert_uint_eq(stalls, 0);
	look_for_stalls(since_ns + 1500 * CLOCK_NS_PER_MS);
	ck_assert_uint_eq(stalls, 1);
	ck_assert_uint_eq(last_stall.worker, 0);
	ck_assert_uint_eq(last_stall.connection, blocked);
	ck_assert_uint_eq(last_stall.listener, RIG_LISTENER);
	ck_assert_uint_eq(last_stall.held_ms, 1500);
	look_for_stalls(since_ns + 2500 * CLOCK_NS_PER_MS);
	ck_assert_uint_eq(stalls, 1);
}
END_TEST

START_TEST(next_stall_of_a_worker_is_reported_again)
{
	unsigned blocked;

	new_pool(1, 100);
	blocked = rig_serve(RIG_BLOCK);
	look_for_stalls(busy_since(0) + 2000 * CLOCK_NS_PER_MS);
	rig_release(blocked);
	rig_await_sleep();
	look_for_stalls(clock_now_ns() + 5000 * CLOCK_NS_PER_MS);
	ck_assert_uint_eq(stalls, 1);
	blocked = rig_serve(RIG_BLOCK);
	look_for_stalls(busy_since(0) + 2000 * CLOCK_NS_PER_MS);
	ck_assert_uint_eq(stalls, 2);
	ck_assert_uint_eq(last_stall.connection, blocked);
}
END_TEST

START_TEST(classic_workers_may_block)
{
	new_pool(1, 1);
	rig_serve(RIG_BLOCK);
	look_for_stalls(busy_since(0) + 9000 * CLOCK_NS_PER_MS);
	ck_assert_uint_eq(stalls, 0);
	ck_assert(pool_is_turning(rig.pool));
	ck_assert(pool_is_turning(rig.pool));
}
END_TEST

START_TEST(no_stall_warning_reports_nothing)
{
	rig.settings.stall_warning_ms = 0;
	new_pool(1, 100);
	rig_serve(RIG_BLOCK);
	look_for_stalls(busy_since(0) + 9000 * CLOCK_NS_PER_MS);
	ck_assert_uint_eq(stalls, 0);
}
END_TEST

/* Not until they sleep: one that owes an answer announces its sleep too, and then thinks better of it. */
static void
await_answers(void)
{
	for (unsigned i = 0; i < rig.pool->slots; i++) {
		const struct worker *worker = rig.pool->workers[i];

		while (atomic_load(&worker->answered) != atomic_load(&worker->asked))
			sched_yield();
	}
}

START_TEST(pool_turns_unless_one_worker_is_held)
{
	unsigned blocked;

	new_pool(2, 100);
	/* The first call only asks; a worker that sleeps wakes to answer. */
	for (unsigned i = 0; i < 3; i++) {
		ck_assert(pool_is_turning(rig.pool));
		await_answers();
	}
	blocked = rig_serve(RIG_BLOCK);
	ck_assert(pool_is_turning(rig.pool));
	ck_assert(!pool_is_turning(rig.pool));
	ck_assert(!pool_is_turning(rig.pool));
	rig_release(blocked);
	await_answers();
	ck_assert(pool_is_turning(rig.pool));
}
END_TEST

/* --------------------------------------------------------------------------------------------------------------- */

static void
add_case(Suite *suite, const char *name, const TTest *const *tests, size_t count)
{
	TCase *tcase = rig_case(suite, name);

	for (size_t i = 0; i < count; i++)
		tcase_add_test(tcase, tests[i]);
}

int
main(void)
{
	const TTest *const spread[] = {connections_that_come_one_by_one_are_spread_evenly,
		worker_that_lost_connections_gets_the_next, only_the_worker_with_the_fewest_is_woken,
		a_busy_worker_is_not_woken, nobody_is_woken_for_an_empty_queue,
		worker_declines_more_than_its_share_of_the_young, share_of_a_blocked_worker_is_taken_by_others_in_time,
		who_declines_wakes_a_sleeper, classic_pool_serves_one_at_a_time, classic_workers_block_side_by_side,
		a_burst_is_served_whole};
	const TTest *const full[] = {full_queue_that_waits_has_no_room_until_taken_from,
		nobody_is_told_of_room_who_did_not_ask, full_queue_that_rejects_rejects};
	const TTest *const timeout[] = {those_too_old_are_rejected_though_no_worker_comes, many_are_rejected_at_once,
		no_timeout_sets_no_timer, shorter_timeout_holds_for_those_that_wait,
		longer_timeout_holds_for_those_that_wait, room_of_expired_entries_is_announced,
		room_of_cancelled_entries_is_announced};
	const TTest *const workers[] = {grown_pool_has_more_workers, shrunk_pool_loses_the_newest_workers,
		retiring_worker_keeps_its_connections_to_their_end, queued_connections_go_to_the_workers_that_stay,
		new_stack_size_replaces_every_worker, new_limits_hold_for_the_queue};
	const TTest *const revert[] = {reverted_pool_is_what_it_was, reverted_stack_size_keeps_the_old_workers,
		prepare_without_memory_can_be_reverted};
	const TTest *const end[] = {closed_pool_serves_its_queue_and_ends, handlers_are_told_of_a_drain_only,
		cancelled_pool_rejects_the_queued_and_ends_the_served, ended_workers_leave_no_thread_behind};
	const TTest *const watching[] = {stall_is_reported_once, next_stall_of_a_worker_is_reported_again,
		classic_workers_may_block, no_stall_warning_reports_nothing, pool_turns_unless_one_worker_is_held};
	Suite *suite = suite_create("pool/pool");

	add_case(suite, "spread", spread, CP_COUNT(spread));
	add_case(suite, "full queue", full, CP_COUNT(full));
	add_case(suite, "queue_timeout", timeout, CP_COUNT(timeout));
	add_case(suite, "workers", workers, CP_COUNT(workers));
	add_case(suite, "revert", revert, CP_COUNT(revert));
	add_case(suite, "end", end, CP_COUNT(end));
	add_case(suite, "watching", watching, CP_COUNT(watching));
	return rig_run(suite);
}
