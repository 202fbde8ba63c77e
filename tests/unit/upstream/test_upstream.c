/* SPDX-License-Identifier: MIT */
/*
 * test_upstream - places and the queue for them: limits, order, what ends a wait, tries, and many threads at once.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "../net/netfixture.h"
#include "base/clock.h"
#include "grouprig.h"

#define LIMIT 20u
#define THREADS 8u
#define ROUNDS 2000u

static void
expect_granted(struct rig_client *client, unsigned server)
{
	ck_assert_uint_eq(client->granted, 1);
	ck_assert(upstream_cancel(rig.upstream, &client->wish));
	ck_assert_uint_eq(rig_index(client->wish.server), server);
	client->granted = 0;
}

static void
expect_waiting(struct rig_client *client)
{
	ck_assert_uint_eq(client->granted, 0);
	ck_assert_ptr_null(client->wish.server);
}

/* One server with one place, taken by holder, and a queue. */
static void
begin_full(struct rig_client *holder, uint64_t queue_size)
{
	rig_begin(1, CONF_BALANCE_ROUND_ROBIN);
	rig.settings.queue_size = queue_size;
	rig.server_settings[0].max_connections = 1;
	rig_apply();
	*holder = rig_client(0);
	rig_take(holder);
}

/* ---- limits and the queue ------------------------------------------------------------ */

START_TEST(a_full_group_queues_in_order_of_arrival)
{
	struct rig_client holder;
	struct rig_client clients[3];

	begin_full(&holder, 3);
	for (unsigned i = 0; i < 3; i++) {
		clients[i] = rig_client(0);
		ck_assert_int_eq(rig_ask(&clients[i]), UPSTREAM_QUEUED);
		ck_assert_uint_eq(clients[i].wish.wait_ms, UINT64_MAX);
	}
	server_leave(&holder.wish.server);
	for (unsigned i = 0; i < 3; i++) {
		expect_granted(&clients[i], 0);
		for (unsigned k = i + 1; k < 3; k++)
			expect_waiting(&clients[k]);
		ck_assert_uint_eq(rig.servers[0]->active, 1);
		server_leave(&clients[i].wish.server);
	}
	rig_end();
}
END_TEST

START_TEST(a_full_queue_refuses)
{
	struct rig_client holder;
	struct rig_client queued = rig_client(0);
	struct rig_client refused = rig_client(0);

	begin_full(&holder, 1);
	ck_assert_int_eq(rig_ask(&queued), UPSTREAM_QUEUED);
	ck_assert_int_eq(rig_ask(&refused), UPSTREAM_FULL);
	ck_assert_uint_eq(rig.upstream->refused_full, 1);
	ck_assert(!upstream_cancel(rig.upstream, &queued.wish));
	ck_assert_int_eq(rig_ask(&refused), UPSTREAM_QUEUED);
	ck_assert(!upstream_cancel(rig.upstream, &refused.wish));
	server_leave(&holder.wish.server);
	rig_end();
}
END_TEST

START_TEST(a_queued_client_that_asks_again_keeps_its_place_and_its_time)
{
	struct rig_client holder;
	struct rig_client first = rig_client(0);
	struct rig_client second = rig_client(0);

	begin_full(&holder, 2);
	rig.settings.queue_timeout_ms = 1000;
	rig_apply();
	ck_assert_int_eq(rig_ask(&first), UPSTREAM_QUEUED);
	ck_assert_uint_eq(first.wish.wait_ms, 1000);
	ck_assert_int_eq(rig_ask(&second), UPSTREAM_QUEUED);
	fixture_advance_ms(400);
	ck_assert(!upstream_cancel(rig.upstream, &first.wish));
	ck_assert_int_eq(rig_ask(&first), UPSTREAM_QUEUED);
	ck_assert_uint_eq(first.wish.wait_ms, 600);
	server_leave(&holder.wish.server);
	expect_granted(&first, 0);
	expect_waiting(&second);
	fixture_advance_ms(600);
	ck_assert(!upstream_cancel(rig.upstream, &second.wish));
	ck_assert_int_eq(rig_ask(&second), UPSTREAM_FULL);
	ck_assert_uint_eq(rig.upstream->queue_timeouts, 1);
	server_leave(&first.wish.server);
	rig_end();
}
END_TEST

START_TEST(a_cancelled_client_is_passed_over)
{
	struct rig_client holder;
	struct rig_client gone = rig_client(0);
	struct rig_client next = rig_client(0);

	begin_full(&holder, 2);
	ck_assert_int_eq(rig_ask(&gone), UPSTREAM_QUEUED);
	ck_assert_int_eq(rig_ask(&next), UPSTREAM_QUEUED);
	ck_assert(!upstream_cancel(rig.upstream, &gone.wish));
	server_leave(&holder.wish.server);
	ck_assert_uint_eq(gone.granted, 0);
	expect_granted(&next, 0);
	server_leave(&next.wish.server);
	rig_end();
}
END_TEST

START_TEST(a_higher_limit_or_another_server_lets_clients_in)
{
	struct rig_client holder;
	struct rig_client clients[3];

	begin_full(&holder, 3);
	for (unsigned i = 0; i < 3; i++) {
		clients[i] = rig_client(0);
		ck_assert_int_eq(rig_ask(&clients[i]), UPSTREAM_QUEUED);
	}
	rig.server_settings[0].max_connections = 2;
	rig_apply();
	expect_granted(&clients[0], 0);
	expect_waiting(&clients[1]);
	rig.count = 2;
	rig.in_group[1] = true;
	rig.server_settings[1] = (struct server_settings){.weight = 1};
	rig.addresses[1] = rig.addresses[0];
	rig_apply();
	expect_granted(&clients[1], 1);
	expect_granted(&clients[2], 1);
	for (unsigned i = 0; i < 3; i++)
		server_leave(&clients[i].wish.server);
	server_leave(&holder.wish.server);
	rig_end();
}
END_TEST

START_TEST(a_lowered_limit_is_kept_from_then_on)
{
	struct rig_client clients[4];
	struct rig_client late = rig_client(0);

	rig_begin(1, CONF_BALANCE_ROUND_ROBIN);
	rig.settings.queue_size = 1;
	rig_apply();
	for (unsigned i = 0; i < 4; i++) {
		clients[i] = rig_client(0);
		rig_take(&clients[i]);
	}
	rig.server_settings[0].max_connections = 2;
	rig_apply();
	ck_assert_int_eq(rig_ask(&late), UPSTREAM_QUEUED);
	server_leave(&clients[0].wish.server);
	server_leave(&clients[1].wish.server);
	expect_waiting(&late);
	server_leave(&clients[2].wish.server);
	expect_granted(&late, 0);
	server_leave(&clients[3].wish.server);
	server_leave(&late.wish.server);
	rig_end();
}
END_TEST

START_TEST(a_removed_server_keeps_its_clients_until_they_leave)
{
	struct rig_client client = rig_client(0);

	rig_begin(2, CONF_BALANCE_FIRST);
	rig_apply();
	ck_assert_uint_eq(rig_take(&client), 0);
	rig.in_group[0] = false;
	rig_apply();
	ck_assert_str_eq(server_name(client.wish.server), "tcp:10.0.0.1:80");
	ck_assert_uint_eq(client.wish.server->active, 1);
	ck_assert_uint_eq(rig_visit(0), 1);
	server_leave(&client.wish.server);
	rig_end();
}
END_TEST

START_TEST(a_group_outlives_its_table_for_who_has_a_place)
{
	struct rig_client client = rig_client(0);

	rig_begin(1, CONF_BALANCE_FIRST);
	rig_apply();
	rig_take(&client);
	server_unref(&rig.servers[0]);
	upstream_unref(&rig.upstream);
	ck_assert_str_eq(server_group_name(client.wish.server), "web");
	server_leave(&client.wish.server);
}
END_TEST

/* ---- tries ------------------------------------------------------------------------------ */

/* It gets a place and cannot connect. */
static bool
fail_on(struct rig_client *client, unsigned server)
{
	ck_assert_uint_eq(rig_take(client), server);
	return upstream_failed(rig.upstream, &client->wish, ECONNREFUSED, fixture_now_ns());
}

START_TEST(another_server_is_tried_as_often_as_retries_says)
{
	struct rig_client client = rig_client(0);

	rig_begin(4, CONF_BALANCE_FIRST);
	rig.settings.retries = 2;
	rig_apply();
	ck_assert(fail_on(&client, 0));
	ck_assert(fail_on(&client, 1));
	ck_assert(!fail_on(&client, 2));
	ck_assert_ptr_null(client.wish.server);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(atomic_load(&rig.servers[i]->connects_failed), 1);
	rig_end();
}
END_TEST

START_TEST(without_a_server_untried_the_answer_is_down)
{
	struct rig_client client = rig_client(0);

	rig_begin(2, CONF_BALANCE_FIRST);
	rig_apply();
	ck_assert(fail_on(&client, 0));
	ck_assert(fail_on(&client, 1));
	ck_assert_int_eq(rig_ask(&client), UPSTREAM_DOWN);
	ck_assert_uint_eq(rig.upstream->refused_down, 1);
	rig_end();
}
END_TEST

START_TEST(a_failure_gives_the_place_to_the_next_in_the_queue)
{
	struct rig_client holder;
	struct rig_client queued = rig_client(0);

	begin_full(&holder, 1);
	ck_assert_int_eq(rig_ask(&queued), UPSTREAM_QUEUED);
	ck_assert(upstream_failed(rig.upstream, &holder.wish, ETIMEDOUT, fixture_now_ns()));
	expect_granted(&queued, 0);
	ck_assert_int_eq(rig_ask(&holder), UPSTREAM_DOWN);
	server_leave(&queued.wish.server);
	rig_end();
}
END_TEST

START_TEST(a_shortage_of_our_own_takes_no_server_down)
{
	struct rig_client client = rig_client(0);

	rig_begin(1, CONF_BALANCE_FIRST);
	rig.settings.max_failures = 1;
	rig_apply();
	rig_take(&client);
	ck_assert(upstream_failed(rig.upstream, &client.wish, EMFILE, fixture_now_ns()));
	ck_assert_int_eq(server_state(rig.servers[0]), SERVER_UP);
	rig_end();
}
END_TEST

START_TEST(a_held_client_is_tried_again_after_ever_longer_pauses)
{
	static const uint64_t pauses_ms[] = {100, 200, 400, 800, 500};
	struct rig_client client = rig_client(0);

	rig_begin(1, CONF_BALANCE_FIRST);
	rig.settings.retries = 0;
	rig.settings.wait_for_upstream_ms = 2000;
	rig_apply();
	for (unsigned i = 0; i < 5; i++) {
		ck_assert(fail_on(&client, 0));
		ck_assert_int_eq(rig_ask(&client), UPSTREAM_WAITING);
		ck_assert_uint_eq(client.wish.wait_ms, pauses_ms[i]);
		fixture_advance_ms(client.wish.wait_ms);
		ck_assert(!upstream_cancel(rig.upstream, &client.wish));
	}
	/* Two seconds are over: one last try, and no pause more. */
	ck_assert(!fail_on(&client, 0));
	ck_assert_int_eq(rig_ask(&client), UPSTREAM_DOWN);
	rig_end();
}
END_TEST

/* ---- nothing is up --------------------------------------------------------------------- */

START_TEST(a_client_is_held_while_none_is_up_and_granted_when_one_comes_back)
{
	struct rig_client client = rig_client(0);

	rig_begin(1, CONF_BALANCE_FIRST);
	rig.settings.max_failures = 1;
	rig.settings.wait_for_upstream_ms = 5000;
	rig_apply();
	ck_assert(fail_on(&client, 0));
	ck_assert_int_eq(rig_ask(&client), UPSTREAM_WAITING);
	ck_assert_uint_eq(client.wish.wait_ms, 5000);
	rig_report(0, SERVER_RETRY, 1);
	/* Tried before, but it has been down since. */
	expect_granted(&client, 0);
	server_leave(&client.wish.server);
	rig_end();
}
END_TEST

START_TEST(a_held_client_is_given_up_in_the_end)
{
	struct rig_client client = rig_client(0);

	rig_begin(1, CONF_BALANCE_FIRST);
	rig.settings.wait_for_upstream_ms = 5000;
	rig.server_settings[0].maintenance = true;
	rig_apply();
	ck_assert_int_eq(rig_ask(&client), UPSTREAM_WAITING);
	fixture_advance_ms(5000);
	ck_assert(!upstream_cancel(rig.upstream, &client.wish));
	ck_assert_int_eq(rig_ask(&client), UPSTREAM_DOWN);
	rig_end();
}
END_TEST

START_TEST(names_not_yet_looked_up_are_waited_for)
{
	struct rig_client client = rig_client(0);

	rig_begin(1, CONF_BALANCE_FIRST);
	rig.in_group[0] = false;
	rig.settings.names_pending = 1;
	rig_apply();
	ck_assert_int_eq(rig_ask(&client), UPSTREAM_WAITING);
	ck_assert_uint_eq(client.wish.wait_ms, rig.settings.connect_timeout_ms);
	rig.in_group[0] = true;
	rig.settings.names_pending = 0;
	rig_apply();
	expect_granted(&client, 0);
	server_leave(&client.wish.server);
	rig_end();
}
END_TEST

START_TEST(queued_clients_are_told_when_what_they_wait_for_goes_down)
{
	struct rig_client holder;
	struct rig_client queued = rig_client(0);

	begin_full(&holder, 1);
	ck_assert_int_eq(rig_ask(&queued), UPSTREAM_QUEUED);
	rig.server_settings[0].maintenance = true;
	rig_apply();
	ck_assert_uint_eq(queued.granted, 1);
	ck_assert(!upstream_cancel(rig.upstream, &queued.wish));
	ck_assert_int_eq(rig_ask(&queued), UPSTREAM_DOWN);
	server_leave(&holder.wish.server);
	rig_end();
}
END_TEST

/* ---- many threads ---------------------------------------------------------------------- */

static atomic_uint in_use;
static atomic_uint most;

struct thread_client {
	struct upstream_wish wish;
	atomic_bool was_granted;
};

static void
on_thread_granted(struct upstream_wish *wish)
{
	atomic_store(&CP_CONTAINER_OF(wish, struct thread_client, wish)->was_granted, true);
}

static void
use_place(void)
{
	unsigned now = atomic_fetch_add(&in_use, 1) + 1;
	unsigned old = atomic_load(&most);

	while (now > old && !atomic_compare_exchange_weak(&most, &old, now))
		;
	atomic_fetch_sub(&in_use, 1);
}

/* Some wait until they are granted, some give up at once, some fail: whatever comes, a place is never lost. */
static void *
run_client(void *arg)
{
	unsigned seed = *(unsigned *)arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct thread_client client = {.wish = {.granted = on_thread_granted}};
		enum upstream_answer answer = upstream_take(rig.upstream, &client.wish, CLOCK_NS_PER_S);

		if (answer == UPSTREAM_QUEUED) {
			for (unsigned spin = 0; spin < (seed + i) % 3 * 100 && !atomic_load(&client.was_granted);
				spin++)
				sched_yield();
			if (!upstream_cancel(rig.upstream, &client.wish))
				continue;
		} else if (answer != UPSTREAM_TAKEN) {
			continue;
		}
		use_place();
		if ((seed + i) % 7 == 0)
			(void)upstream_failed(rig.upstream, &client.wish, ENOMEM, CLOCK_NS_PER_S);
		else
			upstream_connected(rig.upstream, &client.wish);
		server_leave(&client.wish.server);
	}
	return NULL;
}

START_TEST(many_threads_never_hold_more_than_the_limit)
{
	pthread_t threads[THREADS];
	unsigned seeds[THREADS];

	rig_begin(2, _i);
	rig.settings.queue_size = THREADS;
	rig.server_settings[0].max_connections = 2;
	rig.server_settings[1].max_connections = 1;
	rig_apply();
	atomic_store(&most, 0);
	for (unsigned i = 0; i < THREADS; i++) {
		seeds[i] = i;
		ck_assert_int_eq(pthread_create(&threads[i], NULL, run_client, &seeds[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_le(atomic_load(&most), 3);
	ck_assert_uint_gt(atomic_load(&most), 0);
	rig_end();
}
END_TEST

START_TEST(two_thousand_clients_are_served_in_order_by_twenty_places)
{
	static struct rig_client clients[2000];
	unsigned next = 0;

	rig_begin(1, CONF_BALANCE_LEAST_CONNECTIONS);
	rig.settings.queue_size = CP_COUNT(clients);
	rig.server_settings[0].max_connections = LIMIT;
	rig_apply();
	for (unsigned i = 0; i < CP_COUNT(clients); i++) {
		clients[i] = rig_client(i);
		ck_assert_int_eq(rig_ask(&clients[i]), i < LIMIT ? UPSTREAM_TAKEN : UPSTREAM_QUEUED);
	}
	for (unsigned i = 0; i < CP_COUNT(clients); i++) {
		ck_assert_uint_le(rig.servers[0]->active, LIMIT);
		server_leave(&clients[i].wish.server);
		next = i + LIMIT;
		if (next < CP_COUNT(clients))
			expect_granted(&clients[next], 0);
		if (next + 1 < CP_COUNT(clients))
			expect_waiting(&clients[next + 1]);
	}
	rig_end();
}
END_TEST

static Suite *
make_suite(void)
{
	Suite *suite = suite_create("upstream/upstream");
	TCase *tc = fixture_case(suite, "limits and the queue");

	tcase_add_test(tc, a_full_group_queues_in_order_of_arrival);
	tcase_add_test(tc, a_full_queue_refuses);
	tcase_add_test(tc, a_queued_client_that_asks_again_keeps_its_place_and_its_time);
	tcase_add_test(tc, a_cancelled_client_is_passed_over);
	tcase_add_test(tc, a_higher_limit_or_another_server_lets_clients_in);
	tcase_add_test(tc, a_lowered_limit_is_kept_from_then_on);
	tcase_add_test(tc, a_removed_server_keeps_its_clients_until_they_leave);
	tcase_add_test(tc, a_group_outlives_its_table_for_who_has_a_place);
	tc = fixture_case(suite, "tries");
	tcase_add_test(tc, another_server_is_tried_as_often_as_retries_says);
	tcase_add_test(tc, without_a_server_untried_the_answer_is_down);
	tcase_add_test(tc, a_failure_gives_the_place_to_the_next_in_the_queue);
	tcase_add_test(tc, a_shortage_of_our_own_takes_no_server_down);
	tcase_add_test(tc, a_held_client_is_tried_again_after_ever_longer_pauses);
	tc = fixture_case(suite, "nothing is up");
	tcase_add_test(tc, a_client_is_held_while_none_is_up_and_granted_when_one_comes_back);
	tcase_add_test(tc, a_held_client_is_given_up_in_the_end);
	tcase_add_test(tc, names_not_yet_looked_up_are_waited_for);
	tcase_add_test(tc, queued_clients_are_told_when_what_they_wait_for_goes_down);
	tc = fixture_case(suite, "many");
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, many_threads_never_hold_more_than_the_limit, 0, CONF_BALANCE_FIRST + 1);
	tcase_add_test(tc, two_thousand_clients_are_served_in_order_by_twenty_places);
	return suite;
}

int
main(void)
{
	return fixture_run(make_suite());
}
