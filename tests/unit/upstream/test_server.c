/* SPDX-License-Identifier: MIT */
/*
 * test_server - the state machine: what takes a server down, what brings it up again, what an agent may say, and what
 * is written to the log about it.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <string.h>

#include "../net/netfixture.h"
#include "base/clock.h"
#include "grouprig.h"

static void
begin(void)
{
	rig_begin(2, CONF_BALANCE_FIRST);
	rig.settings.max_failures = 3;
	rig.settings.retry_after_ms = 5000;
	rig.server_settings[0].has_agent = true;
	rig_apply();
}

static void
expect_state(unsigned server, enum server_state state)
{
	ck_assert_int_eq(server_state(rig.servers[server]), state);
}

static void
advise(struct server_advice advice)
{
	server_report(rig.servers[0], SERVER_AGENT, &advice, "agent: as the test says");
}

/* ---- connects and checks ---------------------------------------------------------------- */

START_TEST(failures_in_a_row_take_it_down)
{
	begin();
	rig_report(0, SERVER_CONNECT_FAILED, 2);
	rig_report(0, SERVER_CONNECT_OK, 1);
	rig_report(0, SERVER_CONNECT_FAILED, 2);
	expect_state(0, SERVER_UP);
	rig_report(0, SERVER_CONNECT_FAILED, 1);
	expect_state(0, SERVER_DOWN);
	ck_assert_uint_eq(rig_visit(0), 1);
	rig_end();
}
END_TEST

START_TEST(without_max_failures_nothing_passive_takes_it_down)
{
	begin();
	rig.settings.max_failures = 0;
	rig_apply();
	rig_report(0, SERVER_CONNECT_FAILED, 100);
	expect_state(0, SERVER_UP);
	rig_end();
}
END_TEST

START_TEST(it_is_tried_again_after_retry_after_and_not_before)
{
	begin();
	rig_report(0, SERVER_CONNECT_FAILED, 3);
	fixture_advance_ms(4999);
	ck_assert_uint_eq(upstream_retry(rig.upstream, fixture_now_ns()), fixture_now_ns() + CLOCK_NS_PER_MS);
	expect_state(0, SERVER_DOWN);
	fixture_advance_ms(1);
	ck_assert_uint_eq(upstream_retry(rig.upstream, fixture_now_ns()), UINT64_MAX);
	expect_state(0, SERVER_UP);
	rig_end();
}
END_TEST

START_TEST(on_probation_one_failure_takes_it_down_until_one_connect_works)
{
	struct rig_client client = rig_client(0);

	begin();
	rig_report(0, SERVER_CONNECT_FAILED, 3);
	rig_report(0, SERVER_RETRY, 1);
	rig_report(0, SERVER_CONNECT_FAILED, 1);
	expect_state(0, SERVER_DOWN);
	rig_report(0, SERVER_RETRY, 1);
	ck_assert_uint_eq(rig_take(&client), 0);
	upstream_connected(rig.upstream, &client.wish);
	server_leave(&client.wish.server);
	rig_report(0, SERVER_CONNECT_FAILED, 2);
	expect_state(0, SERVER_UP);
	rig_end();
}
END_TEST

START_TEST(checks_take_it_down_by_fall_and_up_by_rise)
{
	begin();
	rig.server_settings[0].is_checked = true;
	rig_apply();
	rig_report(0, SERVER_CHECK_FAILED, 2);
	ck_assert(server_is_in_doubt(rig.servers[0]));
	rig_report(0, SERVER_CHECK_OK, 1);
	ck_assert(!server_is_in_doubt(rig.servers[0]));
	rig_report(0, SERVER_CHECK_FAILED, 3);
	expect_state(0, SERVER_DOWN);
	ck_assert(server_is_in_doubt(rig.servers[0]));
	rig_report(0, SERVER_CHECK_OK, 1);
	rig_report(0, SERVER_CHECK_FAILED, 1);
	rig_report(0, SERVER_CHECK_OK, 1);
	expect_state(0, SERVER_DOWN);
	rig_report(0, SERVER_CHECK_OK, 1);
	expect_state(0, SERVER_UP);
	rig_end();
}
END_TEST

START_TEST(with_checks_nothing_else_brings_it_up)
{
	begin();
	rig.server_settings[0].is_checked = true;
	rig_apply();
	rig_report(0, SERVER_CONNECT_FAILED, 3);
	expect_state(0, SERVER_DOWN);
	fixture_advance_ms(60000);
	ck_assert_uint_eq(upstream_retry(rig.upstream, fixture_now_ns()), UINT64_MAX);
	rig_report(0, SERVER_CONNECT_OK, 1);
	expect_state(0, SERVER_DOWN);
	rig_report(0, SERVER_CHECK_OK, 2);
	expect_state(0, SERVER_UP);
	rig_end();
}
END_TEST

START_TEST(when_checks_are_taken_away_it_is_tried_again)
{
	begin();
	rig.server_settings[0].is_checked = true;
	rig_apply();
	rig_report(0, SERVER_CHECK_FAILED, 3);
	rig.server_settings[0].is_checked = false;
	rig_apply();
	fixture_advance_ms(5000);
	ck_assert_uint_eq(upstream_retry(rig.upstream, fixture_now_ns()), UINT64_MAX);
	expect_state(0, SERVER_UP);
	rig_end();
}
END_TEST

/* ---- the config and the agent -------------------------------------------------------------- */

START_TEST(the_config_puts_it_into_maintenance_and_back)
{
	begin();
	rig.server_settings[0].maintenance = true;
	rig_apply();
	expect_state(0, SERVER_MAINTENANCE);
	ck_assert_uint_eq(rig_visit(0), 1);
	rig.server_settings[0].maintenance = false;
	rig.server_settings[0].weight = 0;
	rig_apply();
	expect_state(0, SERVER_DRAINING);
	rig.server_settings[0].weight = 1;
	rig_apply();
	expect_state(0, SERVER_UP);
	rig_end();
}
END_TEST

START_TEST(an_agents_health_and_mode_take_back_their_own_kind_only)
{
	begin();
	advise((struct server_advice){.has_health = true, .is_up = false});
	expect_state(0, SERVER_DOWN);
	advise((struct server_advice){.has_mode = true, .mode = SERVER_MODE_READY});
	expect_state(0, SERVER_DOWN);
	advise((struct server_advice){.has_health = true, .is_up = true});
	expect_state(0, SERVER_UP);
	advise((struct server_advice){.has_mode = true, .mode = SERVER_MODE_DRAIN});
	expect_state(0, SERVER_DRAINING);
	advise((struct server_advice){.has_health = true, .is_up = true});
	expect_state(0, SERVER_DRAINING);
	advise((struct server_advice){.has_mode = true, .mode = SERVER_MODE_MAINTENANCE});
	expect_state(0, SERVER_MAINTENANCE);
	advise((struct server_advice){.has_mode = true, .mode = SERVER_MODE_READY});
	expect_state(0, SERVER_UP);
	rig_end();
}
END_TEST

START_TEST(an_agents_ready_does_not_end_the_configs_maintenance)
{
	begin();
	rig.server_settings[0].maintenance = true;
	rig_apply();
	advise((struct server_advice){.has_mode = true, .mode = SERVER_MODE_READY});
	expect_state(0, SERVER_MAINTENANCE);
	rig_end();
}
END_TEST

START_TEST(an_agents_weight_is_a_share_of_the_configured_one)
{
	unsigned first = 0;

	begin();
	rig.settings.balance = CONF_BALANCE_ROUND_ROBIN;
	rig_apply();
	advise((struct server_advice){.has_weight = true, .weight_percent = 50});
	for (unsigned i = 0; i < 300; i++)
		first += rig_visit(0) == 0;
	ck_assert_uint_eq(first, 100);
	advise((struct server_advice){.has_weight = true, .weight_percent = 0});
	expect_state(0, SERVER_DRAINING);
	advise((struct server_advice){.has_weight = true, .weight_percent = 100});
	expect_state(0, SERVER_UP);
	rig_end();
}
END_TEST

START_TEST(an_agents_limit_holds_and_a_higher_one_lets_clients_in)
{
	struct rig_client clients[2] = {rig_client(0), rig_client(0)};

	begin();
	rig.in_group[1] = false;
	rig.settings.queue_size = 1;
	rig_apply();
	advise((struct server_advice){.has_max_connections = true, .max_connections = 1});
	rig_take(&clients[0]);
	ck_assert_int_eq(rig_ask(&clients[1]), UPSTREAM_QUEUED);
	advise((struct server_advice){.has_max_connections = true, .max_connections = 2});
	ck_assert_uint_eq(clients[1].granted, 1);
	server_leave(&clients[0].wish.server);
	server_leave(&clients[1].wish.server);
	rig_end();
}
END_TEST

START_TEST(what_an_agent_said_ends_with_the_agent)
{
	begin();
	advise((struct server_advice){.has_health = true, .is_up = false});
	advise((struct server_advice){.has_mode = true, .mode = SERVER_MODE_DRAIN});
	advise((struct server_advice){.has_max_connections = true, .max_connections = 1});
	rig_apply();
	expect_state(0, SERVER_DOWN);
	rig.server_settings[0].has_agent = false;
	rig_apply();
	expect_state(0, SERVER_UP);
	ck_assert(!rig.servers[0]->has_agent_limit);
	rig_end();
}
END_TEST

/* ---- the log ------------------------------------------------------------------------------- */

START_TEST(moves_and_the_last_server_are_logged)
{
	const char *text;

	begin();
	fixture_capture();
	rig_report(0, SERVER_CONNECT_FAILED, 3);
	rig_report(1, SERVER_CONNECT_FAILED, 3);
	rig_report(1, SERVER_RETRY, 1);
	text = fixture_captured();
	ck_assert_uint_eq(fixture_count(text, "server tcp:10.0.0.1:80 is down: the test says so"), 1);
	ck_assert_uint_eq(fixture_count(text, "server tcp:10.0.0.2:80 is down"), 1);
	ck_assert_uint_eq(fixture_count(text, "upstream 'web': no server left"), 1);
	ck_assert_uint_eq(fixture_count(text, "server tcp:10.0.0.2:80 is up"), 1);
	ck_assert_uint_eq(fixture_count(text, "upstream 'web': has a server again"), 1);
	rig_end();
}
END_TEST

static void
fail_once(void)
{
	struct rig_client client = rig_client(0);

	ck_assert_uint_eq(rig_take(&client), 0);
	ck_assert(upstream_failed(rig.upstream, &client.wish, ECONNREFUSED, fixture_now_ns()));
}

START_TEST(failed_connects_are_logged_once_a_second)
{
	const char *text;

	begin();
	rig.settings.max_failures = 0;
	rig_apply();
	fixture_capture();
	for (unsigned i = 0; i < 10; i++)
		fail_once();
	fixture_advance_ms(1000);
	fail_once();
	text = fixture_captured();
	ck_assert_uint_eq(fixture_count(text, "cannot connect to server tcp:10.0.0.1:80: Connection refused"), 2);
	ck_assert_uint_eq(fixture_count(text, "9 more"), 1);
	ck_assert_uint_eq(atomic_load(&rig.servers[0]->connects_failed), 11);
	rig_end();
}
END_TEST

static Suite *
make_suite(void)
{
	Suite *suite = suite_create("upstream/server");
	TCase *tc = fixture_case(suite, "connects and checks");

	tcase_add_test(tc, failures_in_a_row_take_it_down);
	tcase_add_test(tc, without_max_failures_nothing_passive_takes_it_down);
	tcase_add_test(tc, it_is_tried_again_after_retry_after_and_not_before);
	tcase_add_test(tc, on_probation_one_failure_takes_it_down_until_one_connect_works);
	tcase_add_test(tc, checks_take_it_down_by_fall_and_up_by_rise);
	tcase_add_test(tc, with_checks_nothing_else_brings_it_up);
	tcase_add_test(tc, when_checks_are_taken_away_it_is_tried_again);
	tc = fixture_case(suite, "the config and the agent");
	tcase_add_test(tc, the_config_puts_it_into_maintenance_and_back);
	tcase_add_test(tc, an_agents_health_and_mode_take_back_their_own_kind_only);
	tcase_add_test(tc, an_agents_ready_does_not_end_the_configs_maintenance);
	tcase_add_test(tc, an_agents_weight_is_a_share_of_the_configured_one);
	tcase_add_test(tc, an_agents_limit_holds_and_a_higher_one_lets_clients_in);
	tcase_add_test(tc, what_an_agent_said_ends_with_the_agent);
	tc = fixture_case(suite, "the log");
	tcase_add_test(tc, moves_and_the_last_server_are_logged);
	tcase_add_test(tc, failed_connects_are_logged_once_a_second);
	return suite;
}

int
main(void)
{
	return fixture_run(make_suite());
}
