/* SPDX-License-Identifier: MIT */
/*
 * test_check - what clients are told in each format, and what a client of HTTP may send, or not.
 */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "fakespawner.h"
#include "net/route.h"
#include "service/services.h"
#include "sessionrig.h"

static struct fake_conf conf;
static struct verdicts *verdicts;
static struct verdict_share *share;
static struct served served;

static void
set_up(void)
{
	fake_reset();
	fake_conf_init(&conf);
	verdicts = verdicts_new(&rig_sched.loop);
	ck_assert_ptr_nonnull(verdicts);
}

static void
tear_down(void)
{
	fixture.route->state = (struct route_state){0};
	verdict_leave(&share);
	rig_turn_some();
	fake_expect_clean();
	verdicts_free(&verdicts);
}

/* A listener with a check of that format; nobody has asked yet. */
static void
open_check(enum check_format format)
{
	struct route_state state = {0};

	conf.options.format = (int)format;
	share = verdict_join(verdicts, &conf.conf, &conf.listener);
	ck_assert_ptr_nonnull(share);
	state.data = share;
	fixture_open("", "", &check_handler);
	route_set_state(fixture.route, &state);
}

static void
finish(void)
{
	served_finish(&served);
	rig_turn_some();
}

/* What a client that sends request is told when the command ends so. */
static void
expect_reply(const char *request, const char *output, int status, const char *reply)
{
	served_begin(&served);
	served_send(&served, request);
	rig_turn_some();
	if (fake.running != NULL)
		fake_finish(output, status);
	rig_turn_some();
	served_expect(&served, reply);
	served_close(&served);
	finish();
}

/* The same with its answer in buf. */
static void
exchange(const char *request, char *buf, size_t size)
{
	ssize_t n;

	served_begin(&served);
	served_send(&served, request);
	rig_turn_some();
	n = served_read(&served, buf, size - 1);
	ck_assert_int_ge(n, 0);
	buf[n] = '\0';
	served_close(&served);
	finish();
}

/* ---- plain ------------------------------------------------------------------------------------- */

START_TEST(plain_text_is_what_the_command_wrote)
{
	open_check(CHECK_PLAIN);
	expect_reply("", "one\ntwo", 1, "one\ntwo");
	served_expect_end(&served, CONN_END_SERVICE);
}
END_TEST

START_TEST(a_client_that_goes_does_not_end_the_run)
{
	static struct served other;

	open_check(CHECK_PLAIN);
	served_begin_tcp(&served);
	served_begin(&other);
	rig_turn_some();
	served_reset(&served);
	finish();
	ck_assert_str_eq(fake.signals, "");
	fake_finish("well\n", 0);
	rig_turn_some();
	served_expect(&other, "well\n");
	served_close(&other);
	served_finish(&other);
}
END_TEST

START_TEST(a_stop_lets_go_of_who_waits)
{
	open_check(CHECK_PLAIN);
	served_begin(&served);
	rig_turn_some();
	session_cancel(&rig_sched, &served.session->conn, CONN_END_DRAIN);
	finish();
	served_expect_end(&served, CONN_END_DRAIN);
	fake_finish("well\n", 0);
	rig_turn_some();
}
END_TEST

/* ---- agent --------------------------------------------------------------------------------------- */

START_TEST(an_agent_says_up_or_down_and_why)
{
	conf.options.max_age_ms = 0;
	open_check(CHECK_AGENT);
	expect_reply("", "", 0, "up\n");
	expect_reply("", "all is well\nand more\n", 0, "up\n");
	expect_reply("", "disk \x1b full\r\nand more\n", 1, "down #disk ? full\n");
	expect_reply("", "", 3, "down #exit status 3\n");
	expect_reply("", "\n", 3, "down #exit status 3\n");
}
END_TEST

START_TEST(a_command_may_speak_the_words_of_agents)
{
	conf.options.max_age_ms = 0;
	open_check(CHECK_AGENT);
	expect_reply("", "drain\n", 0, "drain\n");
	expect_reply("", "up ready 50%\r\n", 0, "up ready 50%\n");
	expect_reply("", "maint\n", 1, "down #maint\n");
	expect_reply("", "drain or not\n", 0, "up\n");
}
END_TEST

/* ---- http -------------------------------------------------------------------------------------------- */

START_TEST(http_says_200_or_503)
{
	char reply[1024] = "";

	open_check(CHECK_HTTP);
	served_begin(&served);
	served_send(&served, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	rig_turn_some();
	fake_finish("no room\n", 1);
	rig_turn_some();
	served_close(&served);
	finish();
	rig_pass_ms(7000);
	exchange("GET /any HTTP/1.0\r\n\r\n", reply, sizeof(reply));
	ck_assert_ptr_eq(strstr(reply, "HTTP/1.1 503 Service Unavailable\r\nDate: "), reply);
	ck_assert_ptr_nonnull(strstr(reply, " GMT\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n"
					    "Cache-Control: no-store\r\nAge: 7\r\nConnection: close\r\n\r\nno room\n"));
	rig_pass_ms(7000);
	served_begin(&served);
	served_send(&served, "OPTIONS / HTTP/1.0\r\n\r\n");
	rig_turn_some();
	fake_finish("", 0);
	rig_turn_some();
	ck_assert_int_gt(served_read(&served, reply, sizeof(reply)), 0);
	ck_assert_ptr_eq(strstr(reply, "HTTP/1.1 200 OK\r\n"), reply);
	ck_assert_ptr_nonnull(strstr(reply, "\r\nContent-Length: 0\r\n"));
	served_close(&served);
	finish();
}
END_TEST

START_TEST(head_gives_the_head_alone)
{
	char reply[1024] = "";

	open_check(CHECK_HTTP);
	served_begin(&served);
	rig_turn_some();
	ck_assert_uint_eq(fake.starts, 0);
	served_send(&served, "HEAD / HTTP/1.1\r\n\r\n");
	rig_turn_some();
	fake_finish("well\n", 0);
	rig_turn_some();
	ck_assert_int_gt(served_read(&served, reply, sizeof(reply)), 0);
	ck_assert_ptr_nonnull(strstr(reply, "\r\nContent-Length: 5\r\n"));
	ck_assert_str_eq(strstr(reply, "\r\n\r\n"), "\r\n\r\n");
	served_close(&served);
	finish();
}
END_TEST

START_TEST(a_silent_client_is_answered_after_a_while)
{
	char reply[1024] = "";

	open_check(CHECK_HTTP);
	served_begin(&served);
	rig_pass_ms(999);
	ck_assert_uint_eq(fake.starts, 0);
	rig_pass_ms(2);
	ck_assert_uint_eq(fake.starts, 1);
	fake_finish("well\n", 0);
	rig_turn_some();
	ck_assert_int_gt(served_read(&served, reply, sizeof(reply)), 0);
	ck_assert_ptr_eq(strstr(reply, "HTTP/1.1 200 OK\r\n"), reply);
	served_close(&served);
	finish();
}
END_TEST

START_TEST(one_that_has_ended_its_side_is_answered_at_once)
{
	open_check(CHECK_HTTP);
	served_begin(&served);
	ck_assert_int_eq(shutdown(served.client, SHUT_WR), 0);
	rig_turn_some();
	ck_assert_uint_eq(fake.starts, 1);
	fake_finish("well\n", 0);
	finish();
	served_close(&served);
}
END_TEST

START_TEST(a_head_that_does_not_come_to_its_end_is_refused)
{
	char reply[1024] = "";

	open_check(CHECK_HTTP);
	served_begin(&served);
	served_send(&served, "GET / HTTP/1.1\r\n");
	for (int i = 0; i < 4; i++) {
		rig_pass_ms(1100);
		served_send(&served, "a: b\r\n");
	}
	rig_pass_ms(500);
	ck_assert_int_lt(served_read(&served, reply, sizeof(reply)), 0);
	rig_pass_ms(110);
	ck_assert_int_gt(served_read(&served, reply, sizeof(reply)), 0);
	ck_assert_ptr_eq(strstr(reply, "HTTP/1.1 408 Request Timeout\r\n"), reply);
	served_close(&served);
	finish();
	ck_assert_uint_eq(fake.starts, 0);
}
END_TEST

START_TEST(what_is_no_request_is_refused)
{
	char reply[1024] = "";
	char large[9000];

	open_check(CHECK_HTTP);
	exchange("hello\r\n\r\n", reply, sizeof(reply));
	ck_assert_ptr_eq(strstr(reply, "HTTP/1.1 400 Bad Request\r\n"), reply);
	ck_assert_ptr_nonnull(strstr(reply, "\r\nContent-Length: 16\r\n"));
	ck_assert_ptr_nonnull(strstr(reply, "\r\n\r\n400 Bad Request\n"));
	exchange("POST / HTTP/1.1\r\n\r\n", reply, sizeof(reply));
	ck_assert_ptr_eq(strstr(reply, "HTTP/1.1 405 Method Not Allowed\r\n"), reply);
	ck_assert_ptr_nonnull(strstr(reply, "\r\nAllow: GET, HEAD, OPTIONS\r\n"));
	snprintf(large, sizeof(large), "GET / HTTP/1.1\r\na: %08900d", 0);
	exchange(large, reply, sizeof(reply));
	ck_assert_ptr_eq(strstr(reply, "HTTP/1.1 431 Request Header Fields Too Large\r\n"), reply);
	ck_assert_uint_eq(fake.starts, 0);
}
END_TEST

START_TEST(half_a_request_is_refused)
{
	char reply[1024] = "";

	open_check(CHECK_HTTP);
	served_begin(&served);
	served_send(&served, "GET / HT");
	ck_assert_int_eq(shutdown(served.client, SHUT_WR), 0);
	rig_turn_some();
	ck_assert_int_gt(served_read(&served, reply, sizeof(reply)), 0);
	ck_assert_ptr_eq(strstr(reply, "HTTP/1.1 400 Bad Request\r\n"), reply);
	finish();
	served_close(&served);
}
END_TEST

static TCase *
check_case(Suite *suite, const char *name)
{
	TCase *tc = rig_case(suite, name);

	tcase_add_checked_fixture(tc, set_up, tear_down);
	return tc;
}

int
main(void)
{
	Suite *suite = suite_create("service/check");
	TCase *tc = check_case(suite, "plain");

	tcase_add_test(tc, plain_text_is_what_the_command_wrote);
	tcase_add_test(tc, a_client_that_goes_does_not_end_the_run);
	tcase_add_test(tc, a_stop_lets_go_of_who_waits);
	tc = check_case(suite, "agent");
	tcase_add_test(tc, an_agent_says_up_or_down_and_why);
	tcase_add_test(tc, a_command_may_speak_the_words_of_agents);
	tc = check_case(suite, "http");
	tcase_add_test(tc, http_says_200_or_503);
	tcase_add_test(tc, head_gives_the_head_alone);
	tcase_add_test(tc, a_silent_client_is_answered_after_a_while);
	tcase_add_test(tc, one_that_has_ended_its_side_is_answered_at_once);
	tcase_add_test(tc, a_head_that_does_not_come_to_its_end_is_refused);
	tcase_add_test(tc, what_is_no_request_is_refused);
	tcase_add_test(tc, half_a_request_is_refused);
	return fixture_run(suite);
}
