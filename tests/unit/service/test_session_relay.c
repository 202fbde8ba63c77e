/* SPDX-License-Identifier: MIT */
/*
 * test_session_relay - a connection that its handler gave to the engine, with one to a server: what is passed on, what
 * time-outs and resets do to both sides, and that everything is given back.
 *
 * The test is the client and the server.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "base/mem.h"
#include "sessionrig.h"

#define KIB 1024u
#define IDLE_MS 5000
#define HALF_CLOSED_MS 3000

static struct served served;
static int server;  /* the server's end; -1: closed */
static int give_fd; /* for cp_relay(), once */
static size_t limit;
static unsigned half_closed_ms;
static int result, result_errno;
static bool reads_first; /* to the end of the client's input */
static unsigned ended;

static void
reset_notes(void)
{
	server = give_fd = -1;
	limit = 64 * KIB;
	half_closed_ms = 0;
	result = result_errno = 0;
	reads_first = false;
	ended = 0;
}

static void
close_server(void)
{
	fd_close(&server);
}

static void
on_end(void *arg)
{
	(void)arg;
	ended++;
}

static int
serve_relay(struct cp_conn *conn)
{
	char buf[64];

	while (reads_first && cp_recv(conn, buf, sizeof(buf)) > 0)
		continue;
	cp_at_end(conn, on_end, NULL);
	result = cp_relay(conn, give_fd, limit, half_closed_ms);
	result_errno = result < 0 ? errno : 0;
	return result;
}

static const struct cp_handler relays = {.abi = CP_HANDLER_ABI, .name = "relay", .serve = serve_relay};

/* _i of a loop test: Unix sockets or TCP, on both sides. */
static void
begin(bool over_tcp, const char *options)
{
	int ends[2];

	fixture_open("", options, &relays);
	if (over_tcp)
		fixture_tcp_pair(ends);
	else
		fixture_unix_pair(ends);
	give_fd = ends[0];
	server = ends[1];
	if (over_tcp)
		served_begin_tcp(&served);
	else
		served_begin(&served);
}

static void
begin_relaying(bool over_tcp, const char *options)
{
	begin(over_tcp, options);
	ck_assert_int_eq(result, CP_RELAY);
	ck_assert_int_eq(served_state(&served), SESSION_RELAYING);
	ck_assert_uint_eq(fiber_pool_busy(rig_sched.fibers), 0);
}

static bool
is_readable(void *arg)
{
	char byte;

	return recv(*(int *)arg, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN;
}

/* fd gets exactly that; "": the end. */
static void
expect_at(int fd, const char *text)
{
	char buf[256];
	size_t used = 0;
	ssize_t n;

	do {
		fixture_turn_until(&rig_sched.loop, is_readable, &fd);
		n = recv(fd, buf + used, sizeof(buf) - used, MSG_DONTWAIT);
		ck_assert_msg(n >= 0, "recv: %s", strerror(errno));
		used += (size_t)n;
	} while (n > 0 && used < strlen(text));
	ck_assert_uint_eq(used, strlen(text));
	ck_assert_int_eq(memcmp(buf, text, used), 0);
}

/* Without taking the error. */
static bool
is_broken(void *arg)
{
	struct pollfd pfd = {.fd = *(int *)arg};

	return poll(&pfd, 1, 0) == 1 && (pfd.revents & POLLERR) != 0;
}

static void
expect_reset_at(int fd)
{
	char byte;

	fixture_turn_until(&rig_sched.loop, is_broken, &fd);
	/* The kernel tells one that has got the end before of the reset by POLLERR alone. */
	if (recv(fd, &byte, 1, MSG_DONTWAIT) < 0)
		ck_assert_int_eq(errno, ECONNRESET);
}

static void
say(int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void
reset_server(void)
{
	struct linger reset = {.l_onoff = 1};

	ck_assert_int_eq(setsockopt(server, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	fd_close(&server);
}

static void
finish(enum conn_end end)
{
	served_finish(&served);
	served_expect_end(&served, end);
	ck_assert_uint_eq(ended, 1);
}

/* The client closes; what lingers ends. */
static void
close_and_finish(enum conn_end end)
{
	served_close(&served);
	rig_turn_some();
	rig_pass_ms(LINGER_GLANCE_MS);
	finish(end);
}

/* Until neither side takes any more. */
static void
fill(int fd)
{
	static char block[16 * KIB];

	for (int quiet = 0; quiet < 20; quiet++) {
		if (send(fd, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
			quiet = 0;
		rig_turn();
	}
}

/* ---- passing on ------------------------------------------------------------------------ */

START_TEST(the_client_may_speak_and_end_first)
{
	begin_relaying(_i == 1, "");
	served_send(&served, "question");
	expect_at(server, "question");
	ck_assert_int_eq(shutdown(served.client, SHUT_WR), 0);
	expect_at(server, "");
	say(server, "the answer");
	expect_at(served.client, "the answer");
	ck_assert(!served.is_over);
	close_server();
	expect_at(served.client, "");
	finish(CONN_END_CLIENT);
	ck_assert_uint_eq(served.bytes_in, 8);
	ck_assert_uint_eq(served.bytes_out, 10);
}
END_TEST

START_TEST(the_server_may_speak_and_end_first)
{
	begin_relaying(_i == 1, "");
	say(server, "220 ready");
	expect_at(served.client, "220 ready");
	ck_assert_int_eq(shutdown(server, SHUT_WR), 0);
	expect_at(served.client, "");
	served_send(&served, "QUIT");
	expect_at(server, "QUIT");
	served_close(&served);
	finish(CONN_END_SERVER);
	expect_at(server, "");
}
END_TEST

/* An upload that the server refuses with words, and closes. */
START_TEST(a_server_that_closes_before_the_client_has_ended_is_heard)
{
	begin_relaying(_i == 1, "");
	say(server, "421 bye");
	close_server();
	served_send(&served, "more");
	expect_at(served.client, "421 bye");
	if (_i == 0)
		expect_at(served.client, "");
	served_close(&served);
	served_finish(&served);
	ck_assert_uint_eq(served.bytes_out, 7);
	ck_assert_uint_eq(ended, 1);
}
END_TEST

START_TEST(what_the_client_sent_before_goes_on_its_way)
{
	int ends[2];
	int client[2];

	fixture_open("", "", &relays);
	fixture_unix_pair(ends);
	give_fd = ends[0];
	server = ends[1];
	fixture_unix_pair(client);
	say(client[1], "early");
	if (_i == 1)
		ck_assert_int_eq(shutdown(client[1], SHUT_WR), 0);
	served_begin_on(&served, client[0], client[1]);
	expect_at(server, "early");
	if (_i == 1)
		expect_at(server, "");
	close_server();
	close_and_finish(_i == 1 ? CONN_END_CLIENT : CONN_END_SERVER);
}
END_TEST

START_TEST(a_handler_may_have_read_the_clients_end)
{
	reads_first = true;
	begin(false, "");
	served_send(&served, "all of it");
	ck_assert_int_eq(shutdown(served.client, SHUT_WR), 0);
	expect_at(server, "");
	ck_assert_int_eq(served_state(&served), SESSION_RELAYING);
	say(server, "answer");
	close_server();
	expect_at(served.client, "answer");
	finish(CONN_END_CLIENT);
	ck_assert_uint_eq(served.bytes_in, 9);
}
END_TEST

START_TEST(bulk_arrives_whole_whoever_is_slow)
{
	static char block[64 * KIB];
	int from, to;
	size_t sent = 0, taken = 0;

	limit = 256 * KIB;
	begin_relaying(_i % 2 == 1, "");
	from = _i < 2 ? server : served.client;
	to = _i < 2 ? served.client : server;
	while (taken < 256 * sizeof(block)) {
		ssize_t n = sent < 256 * sizeof(block) ? send(from, block, sizeof(block), MSG_DONTWAIT) : -1;

		sent += n > 0 ? (size_t)n : 0;
		n = recv(to, block, sizeof(block), MSG_DONTWAIT);
		taken += n > 0 ? (size_t)n : 0;
		rig_turn();
		if (taken == sent && sent >= 256 * sizeof(block))
			break;
	}
	ck_assert_uint_eq(taken, sent);
	close_server();
	close_and_finish(CONN_END_SERVER);
	ck_assert_uint_eq(_i < 2 ? served.bytes_out : served.bytes_in, sent);
}
END_TEST

/* ---- time-outs --------------------------------------------------------------------------- */

START_TEST(an_idle_one_ends)
{
	begin_relaying(false, "idle_timeout = \"5s\";");
	rig_pass_ms(IDLE_MS - 1);
	say(server, "x");
	rig_turn_some();
	rig_pass_ms(IDLE_MS - 1);
	served_expect(&served, "x");
	ck_assert_int_eq(served_state(&served), SESSION_RELAYING);
	rig_pass_ms(1);
	expect_at(server, "");
	close_and_finish(CONN_END_IDLE);
}
END_TEST

/* Counted from the end, not from the last byte before it. */
START_TEST(a_half_closed_one_ends)
{
	int side;

	half_closed_ms = HALF_CLOSED_MS;
	begin_relaying(false, "");
	rig_pass_ms(30 * 60 * 1000);
	side = _i == 0 ? served.client : server;
	ck_assert_int_eq(shutdown(side, SHUT_WR), 0);
	rig_turn_some();
	rig_pass_ms(HALF_CLOSED_MS - 1);
	ck_assert_int_eq(served_state(&served), SESSION_RELAYING);
	say(_i == 0 ? server : served.client, "still here");
	rig_turn_some();
	rig_pass_ms(HALF_CLOSED_MS - 1);
	ck_assert_int_eq(served_state(&served), SESSION_RELAYING);
	rig_pass_ms(1);
	close_and_finish(CONN_END_HALF_CLOSED);
}
END_TEST

START_TEST(one_that_takes_nothing_ends)
{
	limit = _i < 2 ? 8 * KIB : 256 * KIB;
	begin_relaying(false, "send_timeout = \"3s\"; idle_timeout = \"30min\";");
	fill(_i % 2 == 0 ? server : served.client);
	rig_pass_ms(2999);
	ck_assert_int_eq(served_state(&served), SESSION_RELAYING);
	rig_pass_ms(1);
	finish(CONN_END_SEND_TIMEOUT);
}
END_TEST

/* Reads to the end, which must be a reset. */
static void
expect_cut_off_at(int fd)
{
	static char block[16 * KIB];
	ssize_t n;

	do {
		n = recv(fd, block, sizeof(block), MSG_DONTWAIT);
	} while (n > 0);
	ck_assert_int_eq(n, -1);
	ck_assert_int_eq(errno, ECONNRESET);
}

START_TEST(a_stream_that_loses_bytes_does_not_look_whole)
{
	begin_relaying(true, "idle_timeout = \"3s\"; send_timeout = \"0s\";");
	fill(_i == 0 ? server : served.client);
	rig_pass_ms(3000);
	if (_i == 0) {
		finish(CONN_END_IDLE);
		expect_cut_off_at(served.client);
	} else {
		expect_cut_off_at(server);
		close_and_finish(CONN_END_IDLE);
	}
}
END_TEST

START_TEST(a_lifetime_ends_one_that_moves)
{
	begin_relaying(false, "lifetime = \"10s\";");
	for (int i = 0; i < 9; i++) {
		rig_pass_ms(1000);
		served_send(&served, "x");
	}
	rig_pass_ms(999);
	ck_assert_int_eq(served_state(&served), SESSION_RELAYING);
	rig_pass_ms(1);
	close_and_finish(CONN_END_LIFETIME);
	ck_assert_uint_eq(served.bytes_in, 9);
}
END_TEST

START_TEST(a_stop_ends_it)
{
	begin_relaying(_i == 1, "");
	served_send(&served, "x");
	expect_at(server, "x");
	session_cancel(&rig_sched, &served.session->conn, CONN_END_DRAIN);
	finish(CONN_END_DRAIN);
	expect_at(server, "");
	rig_turn_some();
}
END_TEST

/* ---- resets ------------------------------------------------------------------------------- */

START_TEST(the_servers_reset_is_passed_on)
{
	begin_relaying(true, "");
	say(server, "half of");
	expect_at(served.client, "half of");
	reset_server();
	finish(CONN_END_SERVER_RESET);
	expect_reset_at(served.client);
}
END_TEST

START_TEST(the_clients_reset_is_passed_on)
{
	begin_relaying(true, "");
	served_send(&served, "half of");
	expect_at(server, "half of");
	if (_i == 1) {
		ck_assert_int_eq(shutdown(served.client, SHUT_WR), 0);
		expect_at(server, "");
	}
	served_reset(&served);
	finish(CONN_END_CLIENT_RESET);
	expect_reset_at(server);
}
END_TEST

START_TEST(a_reset_while_bytes_are_held_is_passed_on)
{
	begin_relaying(true, "");
	fill(_i == 0 ? server : served.client);
	if (_i == 0)
		served_reset(&served);
	else
		reset_server();
	finish(_i == 0 ? CONN_END_CLIENT_RESET : CONN_END_SERVER_RESET);
}
END_TEST

/* ---- what can't be had ------------------------------------------------------------------------ */

START_TEST(no_memory_for_a_relay_is_an_error_of_the_call)
{
	int ends[2];

	fixture_open("", "", &relays);
	fixture_unix_pair(ends);
	give_fd = ends[0];
	server = ends[1];
	reads_first = true;
	served_begin(&served);
	ck_assert_int_eq(shutdown(served.client, SHUT_WR), 0);
	mem_fail_after((unsigned)_i);
	rig_turn();
	mem_fail_after(0);
	ck_assert_int_eq(result, -1);
	ck_assert_int_eq(result_errno, ENOMEM);
	finish(CONN_END_ERROR);
	/* Its descriptor was taken all the same. */
	expect_at(server, "");
}
END_TEST

START_TEST(no_memory_for_bytes_under_way_ends_it)
{
	limit = 8 * KIB;
	begin_relaying(true, "");
	mem_fail_after(1);
	fill(_i == 0 ? server : served.client);
	mem_fail_after(0);
	finish(CONN_END_ERROR);
}
END_TEST

START_TEST(a_descriptor_that_cannot_be_watched_is_an_error_of_the_call)
{
	fixture_open("", "", &relays);
	give_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	served_begin(&served);
	ck_assert_int_eq(result, -1);
	ck_assert_int_eq(result_errno, EPERM);
	close_and_finish(CONN_END_ERROR);
}
END_TEST

static int
serve_stubborn(struct cp_conn *conn)
{
	char byte;

	ck_assert_int_eq(cp_recv(conn, &byte, 1), -1);
	cp_at_end(conn, on_end, NULL);
	result = cp_relay(conn, give_fd, limit, 0);
	result_errno = errno;
	return result;
}

static const struct cp_handler stubborn = {.abi = CP_HANDLER_ABI, .name = "stubborn", .serve = serve_stubborn};

START_TEST(one_that_must_end_is_not_relayed)
{
	int ends[2];

	fixture_open("", "", &stubborn);
	fixture_unix_pair(ends);
	give_fd = ends[0];
	server = ends[1];
	served_begin(&served);
	session_cancel(&rig_sched, &served.session->conn, CONN_END_DRAIN);
	finish(CONN_END_DRAIN);
	ck_assert_int_eq(result, -1);
	ck_assert_int_eq(result_errno, ECANCELED);
	expect_at(server, "");
}
END_TEST

static int
serve_changes_its_mind(struct cp_conn *conn)
{
	cp_at_end(conn, on_end, NULL);
	ck_assert_int_eq(cp_relay(conn, give_fd, limit, 0), CP_RELAY);
	return CP_DONE;
}

static const struct cp_handler changes_its_mind = {
	.abi = CP_HANDLER_ABI, .name = "changes", .serve = serve_changes_its_mind};

START_TEST(a_handler_that_does_not_return_what_it_was_told_ends_it)
{
	int ends[2];

	fixture_open("", "", &changes_its_mind);
	fixture_unix_pair(ends);
	give_fd = ends[0];
	server = ends[1];
	served_begin(&served);
	expect_at(server, "");
	close_and_finish(CONN_END_SERVICE);
}
END_TEST

static TCase *
relay_case(Suite *suite, const char *name)
{
	TCase *tc = rig_case(suite, name);

	tcase_add_checked_fixture(tc, reset_notes, close_server);
	return tc;
}

int
main(void)
{
	Suite *suite = suite_create("service/session_relay");
	TCase *tc = relay_case(suite, "passing on");

	tcase_add_loop_test(tc, the_client_may_speak_and_end_first, 0, 2);
	tcase_add_loop_test(tc, the_server_may_speak_and_end_first, 0, 2);
	tcase_add_loop_test(tc, a_server_that_closes_before_the_client_has_ended_is_heard, 0, 2);
	tcase_add_loop_test(tc, what_the_client_sent_before_goes_on_its_way, 0, 2);
	tcase_add_test(tc, a_handler_may_have_read_the_clients_end);
	tcase_add_loop_test(tc, bulk_arrives_whole_whoever_is_slow, 0, 4);
	tc = relay_case(suite, "time-outs");
	tcase_add_test(tc, an_idle_one_ends);
	tcase_add_loop_test(tc, a_half_closed_one_ends, 0, 2);
	tcase_add_loop_test(tc, one_that_takes_nothing_ends, 0, 4);
	tcase_add_loop_test(tc, a_stream_that_loses_bytes_does_not_look_whole, 0, 2);
	tcase_add_test(tc, a_lifetime_ends_one_that_moves);
	tcase_add_loop_test(tc, a_stop_ends_it, 0, 2);
	tc = relay_case(suite, "resets");
	tcase_add_test(tc, the_servers_reset_is_passed_on);
	tcase_add_loop_test(tc, the_clients_reset_is_passed_on, 0, 2);
	tcase_add_loop_test(tc, a_reset_while_bytes_are_held_is_passed_on, 0, 2);
	tc = relay_case(suite, "running out");
	tcase_add_loop_test(tc, no_memory_for_a_relay_is_an_error_of_the_call, 1, 3);
	tcase_add_loop_test(tc, no_memory_for_bytes_under_way_ends_it, 0, 2);
	tcase_add_test(tc, a_descriptor_that_cannot_be_watched_is_an_error_of_the_call);
	tcase_add_test(tc, one_that_must_end_is_not_relayed);
	tcase_add_test(tc, a_handler_that_does_not_return_what_it_was_told_ends_it);
	return fixture_run(suite);
}
