/* SPDX-License-Identifier: MIT */
/*
 * test_check - when a server is checked and its agent asked, and what is reported of it.
 *
 * The server is the rig's, the peers are real sockets, and the clock moves when the test moves it.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../net/netfixture.h"
#include "base/defs.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "checkrig.h"
#include "conf/conf.h"
#include "upstream/check.h"

#define INTERVAL_MS 2000
#define FAST_MS 500
#define TIMEOUT_MS 1000
#define MANY 64
/* More than is looked at. */
#define LONG_ANSWER 5000

static struct conf_upstream conf;
static struct check *check;
static int listening;
static int peer;

static void
set_up_check(void)
{
	conf = (struct conf_upstream){
		.check = CONF_CHECK_CONNECT,
		.check_interval_ms = INTERVAL_MS,
		.check_fast_interval_ms = FAST_MS,
		.check_timeout_ms = TIMEOUT_MS,
		.agent_interval_ms = INTERVAL_MS,
	};
	listening = rig_listen(&rig.server.address);
	peer = -1;
}

static void
tear_down_check(void)
{
	check_free(&check);
	ck_assert_ptr_null(check);
	fd_close(&listening);
	fd_close(&peer);
}

/* Up to the moment where the first round is due at the latest. */
static void
begin(void)
{
	loop_update_now(&rig.loop);
	check = check_new(&rig.loop, &rig.server, &conf);
	ck_assert_ptr_nonnull(check);
	rig_advance_ms(INTERVAL_MS);
}

/* Begins with one that expects an answer, and gives it. */
static void
begin_and_answer(const char *answer)
{
	conf.check_expect = (char *)(uintptr_t) "+PONG";
	begin();
	peer = rig_accept(listening);
	rig_say(peer, answer);
}

static void
expect_report(unsigned count, enum server_event event, const char *reason)
{
	rig_await_reports(count);
	ck_assert_int_eq(rig.server.event, event);
	ck_assert(!rig.server.has_advice);
	ck_assert_str_eq(rig.server.reason, reason);
}

/* ---- what is reported ------------------------------------------------------------------- */

START_TEST(a_server_that_can_be_connected_passes)
{
	begin();
	expect_report(1, SERVER_CHECK_OK, "connected");
	peer = rig_accept(listening);
	rig_expect_closed(&peer);
}
END_TEST

START_TEST(a_server_that_refuses_fails)
{
	fd_close(&listening);
	begin();
	expect_report(1, SERVER_CHECK_FAILED, "connect: Connection refused");
}
END_TEST

START_TEST(the_expected_text_may_stand_anywhere)
{
	conf.check_send = (char *)(uintptr_t) "PING\r\n";
	begin_and_answer("200 hello +PO");
	rig_expect_heard(peer, "PING\r\n");
	fixture_turn(&rig.loop);
	ck_assert_uint_eq(rig.server.reports, 0);
	rig_say(peer, "NG!");
	expect_report(1, SERVER_CHECK_OK, "answered as expected");
	rig_expect_closed(&peer);
}
END_TEST

START_TEST(another_answer_is_quoted)
{
	begin_and_answer("-ERR\x01 no\r\n");
	fd_close(&peer);
	expect_report(1, SERVER_CHECK_FAILED, "answer: expected \"+PONG\", got \"-ERR? no??\"");
}
END_TEST

START_TEST(no_answer_at_all_is_told)
{
	begin_and_answer("");
	fd_close(&peer);
	expect_report(1, SERVER_CHECK_FAILED, "answer: expected \"+PONG\", got nothing");
}
END_TEST

START_TEST(a_long_answer_is_cut_and_not_looked_at_for_ever)
{
	char answer[LONG_ANSWER];

	memset(answer, 'x', sizeof(answer));
	memcpy(answer + sizeof(answer) - 6, "+PONG", 6);
	begin_and_answer(answer);
	expect_report(1, SERVER_CHECK_FAILED,
		"answer: expected \"+PONG\", got "
		"\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…\"");
}
END_TEST

START_TEST(silence_fails_at_the_deadline)
{
	begin_and_answer("");
	rig_advance_ms(TIMEOUT_MS - 1);
	ck_assert_uint_eq(rig.server.reports, 0);
	rig_advance_ms(1);
	expect_report(1, SERVER_CHECK_FAILED, "no answer within 1000 ms");
}
END_TEST

START_TEST(an_answer_that_is_not_over_is_quoted_at_the_deadline)
{
	begin_and_answer("+PO");
	fixture_turn(&rig.loop);
	rig_advance_ms(TIMEOUT_MS);
	expect_report(1, SERVER_CHECK_FAILED, "answer: expected \"+PONG\" within 1000 ms, got \"+PO\"");
}
END_TEST

START_TEST(another_port_can_be_checked)
{
	struct server_address other;
	int other_listening = rig_listen(&other);

	conf.check_port = rig_port(&other);
	begin();
	expect_report(1, SERVER_CHECK_OK, "connected");
	peer = rig_accept(other_listening);
	rig_expect_nobody(listening);
	fd_close(&other_listening);
}
END_TEST

START_TEST(a_unix_server_is_checked_at_its_path)
{
	fd_close(&listening);
	listening = rig_listen_unix(&rig.server.address);
	conf.check_port = 1;
	conf.agent_port = 1;
	begin();
	expect_report(1, SERVER_CHECK_OK, "connected");
	peer = rig_accept(listening);
	/* There is no host to ask an agent on. */
	rig_expect_nobody(listening);
}
END_TEST

/* ---- when -------------------------------------------------------------------------------- */

START_TEST(the_first_checks_of_many_are_spread)
{
	struct check *checks[MANY];

	for (int i = 0; i < MANY; i++) {
		checks[i] = check_new(&rig.loop, &rig.server, &conf);
		ck_assert_ptr_nonnull(checks[i]);
	}
	for (int i = 0; i < 3; i++)
		rig_advance_ms(INTERVAL_MS / 4);
	/* All on one side: once in 10^7 runs. */
	ck_assert_uint_gt(rig.server.reports, 0);
	ck_assert_uint_lt(rig.server.reports, MANY);
	for (int i = 0; i < MANY; i++)
		check_free(&checks[i]);
}
END_TEST

/* Exactly when: a millisecond earlier there is nothing. */
static void
expect_next_after(uint64_t ms, unsigned reports)
{
	rig_advance_ms(ms - 1);
	ck_assert_uint_eq(rig.server.reports, reports - 1);
	rig_advance_ms(1);
	rig_await_reports(reports);
}

START_TEST(a_check_follows_every_interval)
{
	begin();
	rig_await_reports(1);
	expect_next_after(INTERVAL_MS, 2);
	expect_next_after(INTERVAL_MS, 3);
}
END_TEST

START_TEST(checks_are_faster_while_in_doubt)
{
	rig.server.is_in_doubt = true;
	begin();
	rig_await_reports(1);
	expect_next_after(FAST_MS, 2);
	rig.server.is_in_doubt = false;
	expect_next_after(FAST_MS, 3);
	expect_next_after(INTERVAL_MS, 4);
}
END_TEST

START_TEST(never_two_checks_at_once)
{
	conf.check_timeout_ms = 10 * INTERVAL_MS;
	begin_and_answer("");
	for (int i = 0; i < 9; i++)
		rig_advance_ms(INTERVAL_MS);
	rig_expect_nobody(listening);
	rig_advance_ms(INTERVAL_MS);
	rig_await_reports(1);
	fd_close(&peer);
	/* It took longer than the interval: the next one comes at once. */
	peer = rig_accept(listening);
	rig_expect_nobody(listening);
}
END_TEST

START_TEST(nothing_is_checked_when_it_is_off)
{
	conf.check = CONF_CHECK_NONE;
	begin();
	rig_advance_ms(INTERVAL_MS);
	rig_expect_nobody(listening);
	ck_assert_uint_eq(rig.server.reports, 0);
}
END_TEST

START_TEST(a_server_in_maintenance_is_not_checked)
{
	rig.server.state = SERVER_MAINTENANCE;
	begin();
	rig_advance_ms(INTERVAL_MS);
	rig_expect_nobody(listening);
	ck_assert_uint_eq(rig.server.reports, 0);
	rig.server.state = SERVER_DRAINING;
	rig_advance_ms(INTERVAL_MS);
	rig_await_reports(1);
}
END_TEST

START_TEST(a_check_that_maintenance_overtakes_is_not_reported)
{
	begin_and_answer("");
	rig.server.state = SERVER_MAINTENANCE;
	rig_say(peer, "+PONG");
	rig_expect_closed(&peer);
	ck_assert_uint_eq(rig.server.reports, 0);
}
END_TEST

START_TEST(without_descriptors_a_round_is_skipped_and_told_once)
{
	const char *text;

	fixture_capture();
	fixture_exhaust_descriptors();
	begin();
	rig_advance_ms(INTERVAL_MS);
	rig_advance_ms(INTERVAL_MS);
	fixture_allow_descriptors();
	ck_assert_uint_eq(rig.server.reports, 0);
	rig_advance_ms(INTERVAL_MS);
	rig_await_reports(1);
	text = fixture_captured();
	ck_assert_uint_eq(fixture_count(text, "health checks are skipped: connect: Too many open files"), 1);
	ck_assert_uint_eq(fixture_count(text, "\n"), 1);
}
END_TEST

START_TEST(a_later_shortage_is_told_again)
{
	fixture_capture();
	conf.check_interval_ms = 61000;
	fixture_exhaust_descriptors();
	begin();
	rig_advance_ms(61000);
	rig_advance_ms(61000);
	fixture_allow_descriptors();
	ck_assert_uint_ge(fixture_count(fixture_captured(), "health checks are skipped"), 2);
}
END_TEST

/* ---- life ----------------------------------------------------------------------------------- */

START_TEST(it_holds_its_server)
{
	check = check_new(&rig.loop, &rig.server, &conf);
	ck_assert_uint_eq(rig.server.refs, 1);
	check_free(&check);
	ck_assert_uint_eq(rig.server.refs, 0);
	check_free(&check);
}
END_TEST

START_TEST(it_can_be_freed_while_it_connects)
{
	conf.agent_port = rig_port(&rig.server.address);
	loop_update_now(&rig.loop);
	check = check_new(&rig.loop, &rig.server, &conf);
	fixture_advance_ms(INTERVAL_MS);
	/* The timers run after the events: both are on their way. */
	fixture_turn(&rig.loop);
	check_free(&check);
	fixture_turn(&rig.loop);
	ck_assert_uint_eq(rig.server.reports, 0);
}
END_TEST

START_TEST(it_can_be_freed_while_it_reads)
{
	begin_and_answer("+PO");
	fixture_turn(&rig.loop);
	rig_say(peer, "NG");
	check_free(&check);
	rig_advance_ms(TIMEOUT_MS);
	ck_assert_uint_eq(rig.server.reports, 0);
}
END_TEST

START_TEST(without_memory_there_is_no_check)
{
	conf.check_send = conf.check_expect = conf.agent_send = (char *)(uintptr_t) "text";
	for (unsigned n = 1; n <= 4; n++) {
		mem_fail_after(n);
		ck_assert_ptr_null(check_new(&rig.loop, &rig.server, &conf));
		ck_assert_uint_eq(rig.server.refs, 0);
	}
	mem_fail_after(5);
	check = check_new(&rig.loop, &rig.server, &conf);
	ck_assert_ptr_nonnull(check);
}
END_TEST

START_TEST(its_texts_are_its_own)
{
	char text[] = "PING";

	conf.check_send = text;
	loop_update_now(&rig.loop);
	check = check_new(&rig.loop, &rig.server, &conf);
	memset(text, 'x', strlen(text));
	rig_advance_ms(INTERVAL_MS);
	peer = rig_accept(listening);
	rig_expect_heard(peer, "PING");
}
END_TEST

/* ---- reload ------------------------------------------------------------------------------------ */

START_TEST(the_same_settings_disturb_nothing)
{
	char again[] = "+PONG";

	begin_and_answer("+PO");
	fixture_turn(&rig.loop);
	conf.check_expect = again;
	ck_assert_int_eq(check_configure(check, &conf), 0);
	rig_say(peer, "NG");
	expect_report(1, SERVER_CHECK_OK, "answered as expected");
	for (int i = 0; i < 4; i++) {
		rig_advance_ms(INTERVAL_MS / 4);
		ck_assert_int_eq(check_configure(check, &conf), 0);
	}
	fd_close(&peer);
	peer = rig_accept(listening);
}
END_TEST

START_TEST(changed_settings_begin_anew)
{
	begin_and_answer("+PO");
	conf.check_expect = NULL;
	conf.check_interval_ms = 100;
	ck_assert_int_eq(check_configure(check, &conf), 0);
	rig_advance_ms(100);
	expect_report(1, SERVER_CHECK_OK, "connected");
	conf.check = CONF_CHECK_NONE;
	ck_assert_int_eq(check_configure(check, &conf), 0);
	rig_advance_ms(INTERVAL_MS);
	ck_assert_uint_eq(rig.server.reports, 1);
}
END_TEST

START_TEST(without_memory_the_settings_stay)
{
	begin();
	rig_await_reports(1);
	conf.check_expect = (char *)(uintptr_t) "+PONG";
	mem_fail_after(1);
	ck_assert_int_eq(check_configure(check, &conf), -ENOMEM);
	expect_next_after(INTERVAL_MS, 2);
	ck_assert_str_eq(rig.server.reason, "connected");
}
END_TEST

/* ---- the agent ----------------------------------------------------------------------------------- */

static void
begin_agent(void)
{
	conf.check = CONF_CHECK_NONE;
	conf.agent_port = rig_port(&rig.server.address);
	/* The server itself is elsewhere: the agent's port is what counts. */
	((struct sockaddr_in *)&rig.server.address.storage)->sin_port = 0;
	begin();
}

/* Of the round that is due. */
static void
agent_says(const char *text)
{
	fd_close(&peer);
	peer = rig_accept(listening);
	rig_say(peer, text);
	shutdown(peer, SHUT_WR);
	rig_expect_closed(&peer);
}

START_TEST(what_an_agent_says_is_reported)
{
	conf.agent_send = (char *)(uintptr_t) "how is it?\n";
	begin_agent();
	peer = rig_accept(listening);
	rig_expect_heard(peer, "how is it?\n");
	rig_say(peer, "drain 5");
	fixture_turn(&rig.loop);
	rig_say(peer, "0% # going home\nmore");
	rig_await_reports(1);
	ck_assert_int_eq(rig.server.event, SERVER_AGENT);
	ck_assert(rig.server.has_advice && rig.server.advice.has_mode && rig.server.advice.has_weight);
	ck_assert_int_eq(rig.server.advice.mode, SERVER_MODE_DRAIN);
	ck_assert_uint_eq(rig.server.advice.weight_percent, 50);
	ck_assert_str_eq(rig.server.reason, "agent: drain 50% (going home)");
}
END_TEST

START_TEST(a_line_may_end_with_the_connection)
{
	begin_agent();
	agent_says("down");
	rig_await_reports(1);
	ck_assert(rig.server.advice.has_health && !rig.server.advice.is_up);
	rig_advance_ms(INTERVAL_MS);
	agent_says("up");
	rig_await_reports(2);
	ck_assert(rig.server.advice.has_health && rig.server.advice.is_up);
}
END_TEST

START_TEST(an_agent_is_asked_in_maintenance)
{
	rig.server.state = SERVER_MAINTENANCE;
	begin_agent();
	agent_says("ready\n");
	rig_await_reports(1);
	ck_assert_int_eq(rig.server.advice.mode, SERVER_MODE_READY);
}
END_TEST

START_TEST(an_agent_that_cannot_be_asked_changes_nothing)
{
	const char *text;

	fixture_capture();
	begin_agent();
	agent_says("");
	rig_advance_ms(INTERVAL_MS);
	peer = rig_accept(listening);
	rig_say(peer, "drai");
	rig_advance_ms(TIMEOUT_MS);
	rig_expect_closed(&peer);
	ck_assert_uint_eq(rig.server.reports, 0);
	rig_advance_ms(INTERVAL_MS - TIMEOUT_MS);
	agent_says("up\n");
	rig_await_reports(1);
	rig_advance_ms(INTERVAL_MS);
	agent_says("\n");
	rig_advance_ms(INTERVAL_MS);
	agent_says("");
	text = fixture_captured();
	ck_assert_uint_eq(fixture_count(text, "its agent can't be asked: it closes without an answer"), 2);
	ck_assert_uint_eq(fixture_count(text, "its agent answers again"), 1);
	ck_assert_uint_eq(fixture_count(text, "\n"), 3);
}
END_TEST

START_TEST(unknown_words_are_told_once_an_episode)
{
	static const char *const lines[] = {"up hello\n", "up hello\n", "up\n", "world\n"};
	const char *text;

	fixture_capture();
	begin_agent();
	for (size_t i = 0; i < CP_COUNT(lines); i++) {
		agent_says(lines[i]);
		rig_advance_ms(INTERVAL_MS);
	}
	rig_await_reports(3);
	text = fixture_captured();
	ck_assert_uint_eq(fixture_count(text, "its agent says \"hello\""), 1);
	ck_assert_uint_eq(fixture_count(text, "its agent says \"world\""), 1);
	ck_assert_uint_eq(fixture_count(text, "\n"), 2);
}
END_TEST

START_TEST(changed_settings_ask_an_agent_anew)
{
	begin_agent();
	peer = rig_accept(listening);
	conf.agent_interval_ms = 100;
	ck_assert_int_eq(check_configure(check, &conf), 0);
	rig_expect_closed(&peer);
	rig_advance_ms(100);
	agent_says("up\n");
	rig_await_reports(1);
}
END_TEST

START_TEST(check_and_agent_go_on_beside_each_other)
{
	struct server_address other;
	int agent = rig_listen(&other);

	conf.agent_port = rig_port(&other);
	begin_and_answer("");
	rig_expect_nobody(listening);
	fd_close(&listening);
	listening = agent;
	rig_say(peer, "+PONG");
	expect_report(1, SERVER_CHECK_OK, "answered as expected");
	agent_says("maint\n");
	rig_await_reports(2);
	ck_assert_int_eq(rig.server.event, SERVER_AGENT);
}
END_TEST

/* ---- the program -------------------------------------------------------------------------------- */

static TCase *
check_case(Suite *suite, const char *name)
{
	TCase *tc = rig_case(suite, name);

	tcase_add_checked_fixture(tc, set_up_check, tear_down_check);
	return tc;
}

static void
add_reports(Suite *suite)
{
	TCase *tc = check_case(suite, "reports");

	tcase_add_test(tc, a_server_that_can_be_connected_passes);
	tcase_add_test(tc, a_server_that_refuses_fails);
	tcase_add_test(tc, the_expected_text_may_stand_anywhere);
	tcase_add_test(tc, another_answer_is_quoted);
	tcase_add_test(tc, no_answer_at_all_is_told);
	tcase_add_test(tc, a_long_answer_is_cut_and_not_looked_at_for_ever);
	tcase_add_test(tc, silence_fails_at_the_deadline);
	tcase_add_test(tc, an_answer_that_is_not_over_is_quoted_at_the_deadline);
	tcase_add_test(tc, another_port_can_be_checked);
	tcase_add_test(tc, a_unix_server_is_checked_at_its_path);
}

static void
add_times(Suite *suite)
{
	TCase *tc = check_case(suite, "times");

	tcase_add_test(tc, the_first_checks_of_many_are_spread);
	tcase_add_test(tc, a_check_follows_every_interval);
	tcase_add_test(tc, checks_are_faster_while_in_doubt);
	tcase_add_test(tc, never_two_checks_at_once);
	tcase_add_test(tc, nothing_is_checked_when_it_is_off);
	tcase_add_test(tc, a_server_in_maintenance_is_not_checked);
	tcase_add_test(tc, a_check_that_maintenance_overtakes_is_not_reported);
	tcase_add_test(tc, without_descriptors_a_round_is_skipped_and_told_once);
	tcase_add_test(tc, a_later_shortage_is_told_again);
}

int
main(void)
{
	Suite *suite = suite_create("upstream/check");
	TCase *tc;

	add_reports(suite);
	add_times(suite);
	tc = check_case(suite, "life");
	tcase_add_test(tc, it_holds_its_server);
	tcase_add_test(tc, it_can_be_freed_while_it_connects);
	tcase_add_test(tc, it_can_be_freed_while_it_reads);
	tcase_add_test(tc, without_memory_there_is_no_check);
	tcase_add_test(tc, its_texts_are_its_own);
	tc = check_case(suite, "reload");
	tcase_add_test(tc, the_same_settings_disturb_nothing);
	tcase_add_test(tc, changed_settings_begin_anew);
	tcase_add_test(tc, without_memory_the_settings_stay);
	tc = check_case(suite, "agent");
	tcase_add_test(tc, what_an_agent_says_is_reported);
	tcase_add_test(tc, a_line_may_end_with_the_connection);
	tcase_add_test(tc, an_agent_is_asked_in_maintenance);
	tcase_add_test(tc, an_agent_that_cannot_be_asked_changes_nothing);
	tcase_add_test(tc, unknown_words_are_told_once_an_episode);
	tcase_add_test(tc, changed_settings_ask_an_agent_anew);
	tcase_add_test(tc, check_and_agent_go_on_beside_each_other);
	return fixture_run(suite);
}
