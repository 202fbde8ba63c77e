/* SPDX-License-Identifier: MIT */
/*
 * test_session_calls - deadlines and connections of the handler's own, its lines in the log, and what an order to end
 * does to every call.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "callnotes.h"
#include "sessionrig.h"

#define IDLE_MS 5000
#define IDLE "idle_timeout = \"5s\";"
#define BULK_BYTES (4u * 1024 * 1024)

static struct served served;

/* ---- cp_set_timeout ----------------------------------------------------------------------------------- */

static enum cp_timeout which;
static int timeout_ms;
static int own_fd = -1;
static char bulk[BULK_BYTES];

static int
set_and_wait(struct cp_conn *conn)
{
	char buf[64];

	note(cp_set_timeout(conn, which, timeout_ms));
	note(cp_recv(conn, buf, sizeof(buf)));
	return CP_DONE;
}

static const struct cp_handler sets_timeout = {.abi = CP_HANDLER_ABI, .name = "sets", .serve = set_and_wait};

static void
open_timeout(enum cp_timeout what, int ms, const char *options)
{
	which = what;
	timeout_ms = ms;
	served_open(&served, &sets_timeout, options);
	expect_note(0, 0, 0);
}

START_TEST(an_idle_time_of_its_own_is_shorter_than_the_listener_s)
{
	open_timeout(CP_TIMEOUT_IDLE, 200, _i == 0 ? IDLE : "");
	rig_pass_ms(199);
	ck_assert_uint_eq(note_count, 1);
	rig_pass_ms(1);
	expect_note(1, -1, ETIMEDOUT);
	served_close_and_finish(&served);
	served_expect_end(&served, CONN_END_IDLE);
}
END_TEST

START_TEST(an_idle_time_of_its_own_is_longer_than_the_listener_s)
{
	open_timeout(CP_TIMEOUT_IDLE, _i == 0 ? 3 * IDLE_MS : -1, IDLE);
	rig_pass_ms(3 * IDLE_MS - 1);
	ck_assert_uint_eq(note_count, 1);
	rig_pass_ms(1);
	ck_assert_uint_eq(note_count, _i == 0 ? 2 : 1);
	served_close_and_finish(&served);
	served_expect_end(&served, _i == 0 ? CONN_END_IDLE : CONN_END_CLIENT);
}
END_TEST

START_TEST(a_lifetime_of_its_own_holds)
{
	open_timeout(CP_TIMEOUT_LIFETIME, _i == 0 ? 300 : -1, "lifetime = \"1s\";");
	rig_pass_ms(299);
	ck_assert_uint_eq(note_count, 1);
	rig_pass_ms(1);
	ck_assert_uint_eq(note_count, _i == 0 ? 2 : 1);
	if (_i == 0)
		expect_note(1, -1, ECANCELED);
	rig_pass_ms(1000);
	served_close_and_finish(&served);
	served_expect_end(&served, _i == 0 ? CONN_END_LIFETIME : CONN_END_CLIENT);
}
END_TEST

/* It never waits: there is always something to read. */
static int
set_and_go_on(struct cp_conn *conn)
{
	char byte;

	note(cp_set_timeout(conn, CP_TIMEOUT_LIFETIME, 300));
	while (cp_recv(conn, &byte, 1) > 0)
		continue;
	note(-1);
	return CP_DONE;
}

static const struct cp_handler goes_on = {.abi = CP_HANDLER_ABI, .name = "set", .serve = set_and_go_on};

START_TEST(a_lifetime_of_its_own_holds_for_one_that_never_waits)
{
	int ends[2];

	fixture_open("", "", &goes_on);
	fixture_unix_pair(ends);
	memset(bulk, 'x', sizeof(bulk));
	ck_assert_int_gt(send(ends[1], bulk, sizeof(bulk), MSG_DONTWAIT), 10000);
	served_begin_on(&served, ends[0], ends[1]);
	rig_turn_some();
	ck_assert_uint_eq(note_count, 1);
	rig_pass_ms(300);
	rig_turn();
	expect_note(1, -1, ECANCELED);
	served_close_and_finish(&served);
	served_expect_end(&served, CONN_END_LIFETIME);
}
END_TEST

static int
set_and_send(struct cp_conn *conn)
{
	note(cp_set_timeout(conn, CP_TIMEOUT_SEND, timeout_ms));
	note(cp_send(conn, bulk, BULK_BYTES));
	return CP_DONE;
}

static const struct cp_handler sets_send = {.abi = CP_HANDLER_ABI, .name = "sends", .serve = set_and_send};

START_TEST(a_send_time_of_its_own_holds)
{
	timeout_ms = 100;
	served_open(&served, &sets_send, "send_timeout = \"5s\";");
	rig_turn_some();
	rig_pass_ms(99);
	ck_assert_uint_eq(note_count, 1);
	rig_pass_ms(1);
	expect_note(1, -1, ETIMEDOUT);
	served_finish(&served);
	served_expect_end(&served, CONN_END_SEND_TIMEOUT);
}
END_TEST

static int
set_twice_and_wait(struct cp_conn *conn)
{
	char buf[64];

	note(cp_set_timeout(conn, CP_TIMEOUT_IDLE, -1));
	note(cp_set_timeout(conn, CP_TIMEOUT_IDLE, 0));
	note(cp_recv(conn, buf, sizeof(buf)));
	return CP_DONE;
}

static const struct cp_handler sets_twice = {.abi = CP_HANDLER_ABI, .name = "twice", .serve = set_twice_and_wait};

START_TEST(a_timeout_of_0_is_the_listener_s_again)
{
	served_open(&served, &sets_twice, IDLE);
	rig_pass_ms(IDLE_MS);
	expect_note(2, -1, ETIMEDOUT);
	served_close_and_finish(&served);
}
END_TEST

static int
set_wrongly(struct cp_conn *conn)
{
	note(cp_set_timeout(conn, (enum cp_timeout)3, 1));
	note(cp_set_timeout(conn, CP_TIMEOUT_IDLE, -2));
	return CP_DONE;
}

/* By a variable, so that no compiler sees what it is. */
static void *volatile nothing;

static int
pass_nothing(struct cp_conn *conn)
{
	note(cp_recv(conn, nothing, 1));
	note(cp_recv_exactly(conn, nothing, 1));
	note(cp_read_line(conn, nothing, 10));
	note(cp_send(conn, nothing, 1));
	note(cp_connect(conn, nothing, 10));
	note(cp_blocking(conn, NULL, NULL));
	return CP_DONE;
}

static const struct cp_handler passes_nothing = {.abi = CP_HANDLER_ABI, .name = "null", .serve = pass_nothing};

START_TEST(null_is_refused)
{
	served_open(&served, &passes_nothing, "");
	for (unsigned i = 0; i < 6; i++)
		expect_note(i, -1, EINVAL);
	served_close_and_finish(&served);
}
END_TEST

static const struct cp_handler sets_wrongly = {.abi = CP_HANDLER_ABI, .name = "wrong", .serve = set_wrongly};

START_TEST(what_is_no_timeout_is_refused)
{
	served_open(&served, &sets_wrongly, "");
	expect_note(0, -1, EINVAL);
	expect_note(1, -1, EINVAL);
	served_close_and_finish(&served);
}
END_TEST

static int
set_and_relay(struct cp_conn *conn)
{
	note(cp_set_timeout(conn, CP_TIMEOUT_IDLE, 200));
	return cp_relay(conn, own_fd, 65536, 0);
}

static const struct cp_handler sets_and_relays = {.abi = CP_HANDLER_ABI, .name = "relays", .serve = set_and_relay};

START_TEST(a_relay_keeps_the_time_that_was_set)
{
	int ends[2];

	fixture_unix_pair(ends);
	own_fd = ends[0];
	served_open(&served, &sets_and_relays, IDLE);
	rig_pass_ms(199);
	ck_assert_int_eq(served_state(&served), SESSION_RELAYING);
	rig_pass_ms(1);
	served_close(&served);
	served_finish(&served);
	served_expect_end(&served, CONN_END_IDLE);
	own_fd = -1;
	close(ends[1]);
}
END_TEST

/* ---- cp_connect ------------------------------------------------------------------------------------------ */

static const char *connect_to;

static int
connect_and_ask(struct cp_conn *conn)
{
	char buf[8];
	int fd = (int)note(cp_connect(conn, connect_to, timeout_ms));

	if (fd < 0)
		return CP_DONE;
	ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	ck_assert_int_eq(send(fd, "hi", 2, MSG_NOSIGNAL), 2);
	note(read(fd, buf, sizeof(buf)));
	close(fd);
	return CP_DONE;
}

static const struct cp_handler connects = {.abi = CP_HANDLER_ABI, .name = "connects", .serve = connect_and_ask};

static void
open_connects(const char *to, int ms)
{
	connect_to = to;
	timeout_ms = ms;
	served_open(&served, &connects, "");
	rig_turn_some();
}

static void
expect_hi(int listening)
{
	char buf[8] = "";
	int fd = accept(listening, NULL, NULL);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(read(fd, buf, sizeof(buf)), 2);
	ck_assert_str_eq(buf, "hi");
	close(fd);
	close(listening);
}

START_TEST(connects_to_a_number_and_a_port)
{
	struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = _i == 0 ? sizeof(any4) : sizeof(any6);
	struct sockaddr *any = _i == 0 ? (struct sockaddr *)&any4 : (struct sockaddr *)&any6;
	int listening = socket(any->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char text[64];

	/* A machine may be without IPv6. */
	if (listening < 0 || bind(listening, any, length) < 0)
		ck_assert_int_eq(_i, 1);
	if (listening < 0 || listen(listening, 1) < 0)
		return;
	ck_assert_int_eq(getsockname(listening, any, &length), 0);
	if (_i == 0)
		snprintf(text, sizeof(text), "tcp:127.0.0.1:%u", ntohs(any4.sin_port));
	else
		snprintf(text, sizeof(text), "tcp:[::1]:%u", ntohs(any6.sin6_port));
	open_connects(text, 1000);
	ck_assert_int_ge(note_results[0], 0);
	expect_note(1, -1, EAGAIN);
	expect_hi(listening);
	served_close_and_finish(&served);
}
END_TEST

static char listening_text[200];

/* At the address listening_text. */
static int
listen_on_unix(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", fixture_path("listening"));
	ck_assert_int_eq(bind(listening, (struct sockaddr *)&sun, sizeof(sun)), 0);
	ck_assert_int_eq(listen(listening, 1), 0);
	snprintf(listening_text, sizeof(listening_text), "unix:%s", sun.sun_path);
	return listening;
}

START_TEST(connects_to_a_unix_socket)
{
	int listening = listen_on_unix();

	open_connects(listening_text, 1000);
	ck_assert_int_ge(note_results[0], 0);
	expect_hi(listening);
	served_close_and_finish(&served);
}
END_TEST

START_TEST(a_connect_that_is_refused_says_so)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(any);
	int bound = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char text[64];

	/* Nobody listens, and nobody else can take the port. */
	ck_assert_int_eq(bind(bound, (struct sockaddr *)&any, length), 0);
	ck_assert_int_eq(getsockname(bound, (struct sockaddr *)&any, &length), 0);
	snprintf(text, sizeof(text), "tcp:127.0.0.1:%u", ntohs(any.sin_port));
	open_connects(text, 1000);
	expect_note(0, -1, ECONNREFUSED);
	close(bound);
	served_close_and_finish(&served);
}
END_TEST

/* Its backlog is full, so the kernel says nothing to a further SYN. */
static int
open_full_listener(char *text, size_t size, int ends[2])
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(any);
	int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(listening, (struct sockaddr *)&any, length), 0);
	ck_assert_int_eq(listen(listening, 0), 0);
	ck_assert_int_eq(getsockname(listening, (struct sockaddr *)&any, &length), 0);
	for (int i = 0; i < 2; i++) {
		ends[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)connect(ends[i], (struct sockaddr *)&any, length);
	}
	snprintf(text, size, "tcp:127.0.0.1:%u", ntohs(any.sin_port));
	return listening;
}

START_TEST(a_connect_without_an_answer_is_given_up)
{
	char text[64];
	int ends[2];
	int listening = open_full_listener(text, sizeof(text), ends);

	open_connects(text, 700);
	rig_pass_ms(699);
	ck_assert_uint_eq(note_count, 0);
	if (_i == 0) {
		rig_pass_ms(1);
		expect_note(0, -1, ETIMEDOUT);
	} else {
		served_cancel(&served);
		expect_note(0, -1, ECANCELED);
	}
	served_close_and_finish(&served);
	close(listening);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

START_TEST(a_name_is_no_address_to_connect_to)
{
	static const char *const texts[] = {"tcp:localhost:80", "tcp:*:80", "srv:_x._tcp.example.org", "systemd:x",
		"127.0.0.1:80", "unix:", "", "tcp:127.0.0.1"};

	open_connects(texts[_i], 1000);
	expect_note(0, -1, EINVAL);
	served_close_and_finish(&served);
}
END_TEST

/* ---- about the connection ------------------------------------------------------------------------------------ */

static int
tell(struct cp_conn *conn)
{
	static char text[4096];

	memset(text, 'y', sizeof(text) - 1);
	errno = EDOM;
	cp_log(conn, CP_LOG_NOTICE, "%s has %d points", "who", 7);
	ck_assert_int_eq(errno, EDOM);
	cp_log(conn, CP_LOG_DEBUG, "never seen");
	cp_log(conn, (enum cp_log_level)0, "%s", text);
	/* Of the levels that there are, the nearest. */
	log_configure(LOG_TARGET_STDERR, LOG_LEVEL_DEBUG);
	cp_log(conn, (enum cp_log_level)99, "of no level");
	return CP_DONE;
}

static const struct cp_handler tells = {.abi = CP_HANDLER_ABI, .name = "tells", .serve = tell};

START_TEST(a_line_in_the_log_says_whose_it_is)
{
	char want[128];
	const char *said;

	fixture_open("", "", &tells);
	fixture_capture();
	served_begin(&served);
	snprintf(want, sizeof(want), "listener 'web': connection %llu: who has 7 points",
		(unsigned long long)served.session->conn.from.id);
	said = fixture_captured();
	ck_assert_uint_eq(fixture_count(said, want), 1);
	ck_assert_uint_eq(fixture_count(said, "never seen"), 0);
	ck_assert_uint_eq(fixture_count(said, " debug: listener 'web': connection "), 1);
	ck_assert_ptr_nonnull(strstr(said, "yyyyyyyy"));
	served_close_and_finish(&served);
}
END_TEST

static int
say_who_it_is(struct cp_conn *conn)
{
	cp_printf(conn, "%s %d", cp_listener(conn), cp_id(conn) > 0);
	return CP_DONE;
}

static const struct cp_handler knows = {.abi = CP_HANDLER_ABI, .name = "knows", .serve = say_who_it_is};

START_TEST(it_knows_its_listener_and_its_number)
{
	char want[64];

	served_open(&served, &knows, "");
	snprintf(want, sizeof(want), "web %d", served.session->conn.from.id > 0);
	served_expect(&served, want);
	served_close_and_finish(&served);
}
END_TEST

/* ---- all of them --------------------------------------------------------------------------------------------- */

static void
count_up(void *arg)
{
	++*(int *)arg;
}

/* Told to end, it tries everything once more. */
static int
try_all(struct cp_conn *conn)
{
	char buf[8];
	int number = 1;

	note(cp_recv(conn, buf, sizeof(buf)));
	note(cp_recv_exactly(conn, buf, sizeof(buf)));
	note(cp_read_line(conn, buf, sizeof(buf)));
	note(cp_send_file(conn, -1, NULL, 10));
	note(cp_shutdown(conn));
	/* There is somebody who listens, and no need to wait. */
	note(cp_connect(conn, listening_text, 1000));
	note(cp_blocking(conn, count_up, &number));
	note(cp_send(conn, "x", 1));
	note(cp_printf(conn, "x"));
	note(cp_wait_fd(conn, own_fd, POLLIN, 1000));
	note(cp_sleep(conn, 1000));
	note(cp_wait(conn, 1000));
	ck_assert_int_eq(number, 1);
	return CP_DONE;
}

static const struct cp_handler tries_all = {.abi = CP_HANDLER_ABI, .name = "all", .serve = try_all};

START_TEST(who_must_end_can_not_go_on_by_any_of_them)
{
	int listening = listen_on_unix();

	own_fd = listening;
	served_open(&served, &tries_all, "");
	served_send(&served, "a line\n");
	served_cancel(&served);
	ck_assert_uint_eq(note_count, 12);
	for (unsigned i = 0; i < 12; i++)
		expect_note(i, -1, ECANCELED);
	close(listening);
	served_finish(&served);
	served_expect_end(&served, CONN_END_DRAIN);
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
	Suite *suite = suite_create("service/session_calls");
	TCase *tc = calls_case(suite, "cp_set_timeout");

	tcase_add_loop_test(tc, an_idle_time_of_its_own_is_shorter_than_the_listener_s, 0, 2);
	tcase_add_loop_test(tc, an_idle_time_of_its_own_is_longer_than_the_listener_s, 0, 2);
	tcase_add_loop_test(tc, a_lifetime_of_its_own_holds, 0, 2);
	tcase_add_test(tc, a_lifetime_of_its_own_holds_for_one_that_never_waits);
	tcase_add_test(tc, a_send_time_of_its_own_holds);
	tcase_add_test(tc, a_timeout_of_0_is_the_listener_s_again);
	tcase_add_test(tc, what_is_no_timeout_is_refused);
	tcase_add_test(tc, null_is_refused);
	tcase_add_test(tc, a_relay_keeps_the_time_that_was_set);
	tc = calls_case(suite, "cp_connect");
	tcase_add_loop_test(tc, connects_to_a_number_and_a_port, 0, 2);
	tcase_add_test(tc, connects_to_a_unix_socket);
	tcase_add_test(tc, a_connect_that_is_refused_says_so);
	tcase_add_loop_test(tc, a_connect_without_an_answer_is_given_up, 0, 2);
	tcase_add_loop_test(tc, a_name_is_no_address_to_connect_to, 0, 8);
	tc = calls_case(suite, "about the connection");
	tcase_add_test(tc, a_line_in_the_log_says_whose_it_is);
	tcase_add_test(tc, it_knows_its_listener_and_its_number);
	tc = calls_case(suite, "all of them");
	tcase_add_test(tc, who_must_end_can_not_go_on_by_any_of_them);
	return fixture_run(suite);
}
