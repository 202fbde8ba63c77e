/* SPDX-License-Identifier: MIT */
/*
 * test_balance - which server each algorithm chooses: shares by weight, tiers, what is skipped, slow start.
 */
#include "config.h"

#include <check.h>

#include "../net/netfixture.h"
#include "grouprig.h"
#include "upstream/balance.h"

#define VISITS 10000u

static unsigned share[RIG_SERVERS_MAX];

/* Clients that come and go one after the other; how many each server got is in share. */
static void
visit_many(unsigned count)
{
	for (unsigned i = 0; i < RIG_SERVERS_MAX; i++)
		share[i] = 0;
	for (unsigned i = 0; i < count; i++)
		share[rig_visit(i * 2654435761u)]++;
}

static void
expect_share(unsigned server, unsigned expected, unsigned off_by)
{
	ck_assert_msg(share[server] + off_by >= expected && share[server] <= expected + off_by,
		"server %u got %u, not %u", server, share[server], expected);
}

static void
begin_weighted(int balance)
{
	rig_begin(3, balance);
	rig.server_settings[0].weight = 1;
	rig.server_settings[1].weight = 2;
	rig.server_settings[2].weight = 5;
	rig_apply();
}

START_TEST(round_robin_spreads_turns_evenly_over_a_round)
{
	unsigned last = 0;

	begin_weighted(CONF_BALANCE_ROUND_ROBIN);
	visit_many(8);
	expect_share(0, 1, 0);
	expect_share(1, 2, 0);
	expect_share(2, 5, 0);
	for (unsigned i = 0; i < 8; i++) {
		unsigned server = rig_visit(0);

		/* A round goes 2 1 2 0 2 1 2 2 or a turn of it: the two of server 1 never meet. */
		ck_assert_msg(server != 1 || last != 1, "server 1 twice in a row");
		last = server;
	}
	rig_end();
}
END_TEST

START_TEST(least_connections_fills_by_weight)
{
	struct rig_client clients[80];

	begin_weighted(CONF_BALANCE_LEAST_CONNECTIONS);
	for (unsigned i = 0; i < 80; i++) {
		clients[i] = rig_client(0);
		rig_take(&clients[i]);
	}
	ck_assert_uint_eq(rig.servers[0]->active, 10);
	ck_assert_uint_eq(rig.servers[1]->active, 20);
	ck_assert_uint_eq(rig.servers[2]->active, 50);
	for (unsigned i = 0; i < 80; i++)
		server_leave(&clients[i].wish.server);
	rig_end();
}
END_TEST

START_TEST(least_connections_takes_turns_among_equals)
{
	rig_begin(4, CONF_BALANCE_LEAST_CONNECTIONS);
	rig_apply();
	visit_many(400);
	for (unsigned i = 0; i < 4; i++)
		expect_share(i, 100, 0);
	rig_end();
}
END_TEST

START_TEST(source_hash_shares_by_weight)
{
	begin_weighted(CONF_BALANCE_SOURCE_HASH);
	visit_many(VISITS);
	expect_share(0, VISITS / 8, VISITS / 50);
	expect_share(1, VISITS / 4, VISITS / 50);
	expect_share(2, VISITS * 5 / 8, VISITS / 50);
	rig_end();
}
END_TEST

START_TEST(source_hash_moves_only_the_clients_of_a_server_that_goes)
{
	static unsigned before[VISITS];
	unsigned moved_to[RIG_SERVERS_MAX] = {0};

	rig_begin(10, CONF_BALANCE_SOURCE_HASH);
	rig_apply();
	for (unsigned i = 0; i < VISITS; i++)
		before[i] = rig_visit(i);
	rig.in_group[3] = false;
	rig_apply();
	for (unsigned i = 0; i < VISITS; i++) {
		unsigned now = rig_visit(i);

		if (before[i] == 3)
			moved_to[now]++;
		else
			ck_assert_uint_eq(now, before[i]);
	}
	/* And they spread over all that are left. */
	for (unsigned i = 0; i < 10; i++)
		ck_assert(i == 3 ? moved_to[i] == 0 : moved_to[i] > VISITS / 200);
	rig_end();
}
END_TEST

START_TEST(source_hash_goes_to_the_next_best_of_a_full_server_and_back)
{
	struct rig_client holder = rig_client(7);
	unsigned home;

	rig_begin(4, CONF_BALANCE_SOURCE_HASH);
	for (unsigned i = 0; i < 4; i++)
		rig.server_settings[i].max_connections = 1;
	rig_apply();
	home = rig_take(&holder);
	ck_assert_uint_ne(rig_visit(7), home);
	server_leave(&holder.wish.server);
	ck_assert_uint_eq(rig_visit(7), home);
	rig_end();
}
END_TEST

START_TEST(names_hash_alike_in_every_process)
{
	ck_assert_uint_eq(balance_hash_name("tcp:10.0.0.1:80"), balance_hash_name("tcp:10.0.0.1:80"));
	ck_assert_uint_ne(balance_hash_name("tcp:10.0.0.1:80"), balance_hash_name("tcp:10.0.0.2:80"));
}
END_TEST

START_TEST(random_two_shares_by_weight_and_prefers_the_emptier)
{
	struct rig_client clients[10];

	rig_begin(2, CONF_BALANCE_RANDOM_TWO);
	rig_apply();
	visit_many(VISITS);
	expect_share(0, VISITS / 2, VISITS / 20);
	/* Both are drawn each time, so they never differ by more than one. */
	for (unsigned i = 0; i < 10; i++) {
		clients[i] = rig_client(0);
		rig_take(&clients[i]);
		ck_assert_uint_le(rig.servers[0]->active, rig.servers[1]->active + 1);
		ck_assert_uint_le(rig.servers[1]->active, rig.servers[0]->active + 1);
	}
	for (unsigned i = 0; i < 10; i++)
		server_leave(&clients[i].wish.server);
	rig_end();
	begin_weighted(CONF_BALANCE_RANDOM_TWO);
	visit_many(VISITS);
	ck_assert_uint_lt(share[0], share[1]);
	ck_assert_uint_lt(share[1], share[2]);
	rig_end();
}
END_TEST

START_TEST(first_fills_one_server_after_the_other)
{
	struct rig_client clients[4];

	rig_begin(2, CONF_BALANCE_FIRST);
	rig.server_settings[0].max_connections = 2;
	rig_apply();
	for (unsigned i = 0; i < 4; i++) {
		clients[i] = rig_client(0);
		ck_assert_uint_eq(rig_take(&clients[i]), i / 2);
	}
	for (unsigned i = 0; i < 4; i++)
		server_leave(&clients[i].wish.server);
	ck_assert_uint_eq(rig_visit(0), 0);
	rig_end();
}
END_TEST

START_TEST(backup_servers_wait_until_no_other_is_up)
{
	struct rig_client holder = rig_client(0);
	struct rig_client queued = rig_client(0);

	rig_begin(2, _i);
	rig.settings.queue_size = 1;
	rig.settings.max_failures = 1;
	rig.server_settings[0].max_connections = 1;
	rig.server_settings[1].backup = true;
	rig_apply();
	ck_assert_uint_eq(rig_take(&holder), 0);
	/* A full one is waited for. */
	ck_assert_int_eq(rig_ask(&queued), UPSTREAM_QUEUED);
	/* One that is down is not: the backup gets who waits. */
	rig_report(0, SERVER_CONNECT_FAILED, 1);
	ck_assert_uint_eq(queued.granted, 1);
	ck_assert(upstream_cancel(rig.upstream, &queued.wish));
	ck_assert_uint_eq(rig_index(queued.wish.server), 1);
	server_leave(&queued.wish.server);
	server_leave(&holder.wish.server);
	rig_report(0, SERVER_RETRY, 1);
	ck_assert_uint_eq(rig_visit(0), 0);
	rig_end();
}
END_TEST

START_TEST(weight_zero_and_maintenance_get_nobody)
{
	rig_begin(3, _i);
	rig.server_settings[0].weight = 0;
	rig.server_settings[1].maintenance = true;
	rig_apply();
	ck_assert_int_eq(server_state(rig.servers[0]), SERVER_DRAINING);
	ck_assert_int_eq(server_state(rig.servers[1]), SERVER_MAINTENANCE);
	for (unsigned i = 0; i < 50; i++)
		ck_assert_uint_eq(rig_visit(i), 2);
	rig_end();
}
END_TEST

static void
come_up_slowly(int balance)
{
	rig_begin(2, balance);
	rig.settings.slow_start_ms = 10000;
	rig.settings.max_failures = 1;
	rig_apply();
	rig_report(1, SERVER_CONNECT_FAILED, 1);
	rig_report(1, SERVER_RETRY, 1);
}

START_TEST(a_server_that_comes_up_starts_slowly)
{
	come_up_slowly(_i);
	fixture_advance_ms(1000);
	visit_many(VISITS);
	/* A tenth of the other's weight: one of eleven. */
	ck_assert_uint_gt(share[1], 0);
	expect_share(1, VISITS / 11, VISITS / 100);
	fixture_advance_ms(9000);
	visit_many(VISITS);
	expect_share(1, VISITS / 2, VISITS / 20);
	rig_end();
}
END_TEST

START_TEST(all_start_at_full_weight_with_the_daemon)
{
	rig_begin(2, CONF_BALANCE_ROUND_ROBIN);
	rig.settings.slow_start_ms = 10000;
	rig_apply();
	visit_many(100);
	expect_share(0, 50, 0);
	rig_end();
}
END_TEST

START_TEST(an_added_server_starts_slowly)
{
	rig_begin(2, CONF_BALANCE_ROUND_ROBIN);
	rig.settings.slow_start_ms = 10000;
	rig.in_group[1] = false;
	rig_apply();
	rig.in_group[1] = true;
	rig_apply();
	fixture_advance_ms(5000);
	visit_many(300);
	expect_share(1, 100, 1);
	rig_end();
}
END_TEST

static Suite *
make_suite(void)
{
	Suite *suite = suite_create("upstream/balance");
	TCase *tc = fixture_case(suite, "each algorithm");

	tcase_add_test(tc, round_robin_spreads_turns_evenly_over_a_round);
	tcase_add_test(tc, least_connections_fills_by_weight);
	tcase_add_test(tc, least_connections_takes_turns_among_equals);
	tcase_add_test(tc, source_hash_shares_by_weight);
	tcase_add_test(tc, source_hash_moves_only_the_clients_of_a_server_that_goes);
	tcase_add_test(tc, source_hash_goes_to_the_next_best_of_a_full_server_and_back);
	tcase_add_test(tc, names_hash_alike_in_every_process);
	tcase_add_test(tc, random_two_shares_by_weight_and_prefers_the_emptier);
	tcase_add_test(tc, first_fills_one_server_after_the_other);
	tc = fixture_case(suite, "who may be chosen");
	tcase_add_loop_test(tc, backup_servers_wait_until_no_other_is_up, 0, CONF_BALANCE_FIRST + 1);
	tcase_add_loop_test(tc, weight_zero_and_maintenance_get_nobody, 0, CONF_BALANCE_FIRST + 1);
	tc = fixture_case(suite, "slow start");
	tcase_add_loop_test(tc, a_server_that_comes_up_starts_slowly, 0, CONF_BALANCE_LEAST_CONNECTIONS + 1);
	tcase_add_test(tc, all_start_at_full_weight_with_the_daemon);
	tcase_add_test(tc, an_added_server_starts_slowly);
	return suite;
}

int
main(void)
{
	return fixture_run(make_suite());
}
