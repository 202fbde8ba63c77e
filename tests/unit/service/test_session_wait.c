/* SPDX-License-Identifier: MIT */
/*
 * test_session_wait - what a connection waits for beside its client's bytes: the header of a proxy, a descriptor of the
 * handler's own, a wake-up; and what its handler may ask about it.
 */
#include "config.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "net/route.h"
#include "callnotes.h"
#include "sessionrig.h"

#define BEHIND "accept_proxy = true; trusted_proxies = \"127.0.0.0/8\"; proxy_timeout = \"2s\"; idle_timeout = \"5s\";"
#define LINE "PROXY TCP4 203.0.113.1 192.0.2.2 5000 80\r\n"
#define PROXY_MS 2000
#define IDLE_MS 5000
#define WAIT_MS 700

static struct served served;
static unsigned calls;
static int own_fd = -1;
static int timeout_ms;

static void
reset_notes(void)
{
	notes_reset();
	calls = 0;
	own_fd = -1;
	timeout_ms = -1;
}

/* ---- the header of a proxy ------------------------------------------------------------ */

static int
serve_echo(struct cp_conn *conn)
{
	char buf[64];
	ssize_t n = cp_recv(conn, buf, sizeof(buf));

	calls++;
	if (n <= 0)
		return (int)n;
	return cp_send(conn, buf, (size_t)n) < 0 ? -1 : CP_PARK;
}

static const struct cp_handler client_first = {
	.abi = CP_HANDLER_ABI, .name = "echo", .flags = CP_CLIENT_FIRST, .serve = serve_echo};
static const struct cp_handler at_once = {.abi = CP_HANDLER_ABI, .name = "echo", .serve = serve_echo};

static void
begin_behind_proxy(const struct cp_handler *handler)
{
	served_open(&served, handler, BEHIND);
	ck_assert_int_eq(served_state(&served), SESSION_HEADER);
	rig_turn();
	ck_assert_int_eq(served_state(&served), SESSION_HEADER);
	ck_assert_uint_eq(fiber_pool_busy(rig_sched.fibers) + fiber_pool_idle(rig_sched.fibers), 0);
}

START_TEST(a_header_and_bytes_behind_it_come_at_once)
{
	begin_behind_proxy(_i == 0 ? &client_first : &at_once);
	served_send(&served, LINE "hello");
	rig_turn_some();
	served_expect(&served, "hello");
	ck_assert_uint_eq(calls, 1);
	ck_assert_int_eq(served.session->conn.from.peer.port, 5000);
	served_close_and_finish(&served);
	served_expect_end(&served, CONN_END_CLIENT);
	ck_assert_uint_eq(served.bytes_in, 5);
}
END_TEST

START_TEST(a_header_in_pieces_is_waited_for)
{
	const char *line = LINE;

	begin_behind_proxy(&client_first);
	for (; *line != '\0'; line++) {
		char piece[2] = {*line, '\0'};

		ck_assert_int_eq(served_state(&served), SESSION_HEADER);
		served_send(&served, piece);
		rig_turn();
	}
	ck_assert_int_eq(served_state(&served), SESSION_PARKED);
	ck_assert_uint_eq(calls, 0);
	served_send(&served, "hello");
	rig_turn();
	served_expect(&served, "hello");
	served_close_and_finish(&served);
}
END_TEST

START_TEST(a_header_and_the_end_at_once_are_both_told)
{
	begin_behind_proxy(&client_first);
	served_send(&served, LINE);
	ck_assert_int_eq(shutdown(served.client, SHUT_WR), 0);
	served_finish(&served);
	ck_assert_uint_eq(calls, 1);
	served_expect_end(&served, CONN_END_CLIENT);
}
END_TEST

START_TEST(a_header_that_is_late_is_refused)
{
	begin_behind_proxy(&client_first);
	served_send(&served, "PROXY TCP4 ");
	rig_pass_ms(PROXY_MS - 1);
	ck_assert_int_eq(served_state(&served), SESSION_HEADER);
	rig_pass_ms(1);
	served_expect_end(&served, CONN_END_REFUSED_PROXY);
	ck_assert_uint_eq(calls, 0);
}
END_TEST

START_TEST(what_is_no_header_is_refused)
{
	begin_behind_proxy(&client_first);
	served_send(&served, "GET / HTTP/1.1\r\n\r\n");
	rig_turn();
	served_expect_end(&served, CONN_END_REFUSED_PROXY);
	ck_assert_uint_eq(calls, 0);
}
END_TEST

/* The header is a sign of life. */
START_TEST(a_header_moves_the_idle_deadline)
{
	begin_behind_proxy(&client_first);
	rig_pass_ms(PROXY_MS - 1);
	served_send(&served, LINE);
	rig_turn_some();
	rig_pass_ms(IDLE_MS - 1);
	ck_assert_int_eq(served_state(&served), SESSION_PARKED);
	rig_pass_ms(1);
	served_close_and_finish(&served);
	served_expect_end(&served, CONN_END_IDLE);
}
END_TEST

START_TEST(cancel_ends_one_that_waits_for_its_header)
{
	begin_behind_proxy(&client_first);
	served_cancel(&served);
	served_expect_end(&served, CONN_END_DRAIN);
	ck_assert_uint_eq(calls, 0);
}
END_TEST

/* ---- cp_wait_fd ------------------------------------------------------------------------- */

static int
serve_wait_fd(struct cp_conn *conn)
{
	char byte;

	note(cp_wait_fd(conn, own_fd, POLLIN, timeout_ms));
	note((int)cp_recv(conn, &byte, 1));
	return CP_DONE;
}

static const struct cp_handler waits_for_fd = {.abi = CP_HANDLER_ABI, .name = "wait", .serve = serve_wait_fd};

static void
begin_wait_fd(const char *options)
{
	own_fd = fd_new_event();
	ck_assert_int_ge(own_fd, 0);
	served_open(&served, &waits_for_fd, options);
	ck_assert_int_eq(served_state(&served), SESSION_WAITING);
	rig_turn_some();
	ck_assert_uint_eq(note_count, 0);
}

START_TEST(a_descriptor_that_is_ready_ends_the_wait)
{
	begin_wait_fd("");
	/* Bytes of the client don't. */
	served_send(&served, "x");
	rig_turn_some();
	ck_assert_uint_eq(note_count, 0);
	fd_signal_event(own_fd);
	rig_turn();
	expect_note(0, POLLIN, 0);
	expect_note(1, 1, 0);
	served_close_and_finish(&served);
	fd_close(&own_fd);
}
END_TEST

START_TEST(a_wait_for_a_descriptor_has_its_time)
{
	timeout_ms = WAIT_MS;
	begin_wait_fd("idle_timeout = \"5s\";");
	rig_pass_ms(WAIT_MS - 1);
	ck_assert_uint_eq(note_count, 0);
	rig_pass_ms(1);
	expect_note(0, 0, 0);
	served_send(&served, "x");
	rig_turn_some();
	expect_note(1, 1, 0);
	served_close_and_finish(&served);
	served_expect_end(&served, CONN_END_SERVICE);
	fd_close(&own_fd);
}
END_TEST

START_TEST(a_client_that_is_gone_ends_the_wait_for_a_descriptor)
{
	own_fd = fd_new_event();
	fixture_open("", "", &waits_for_fd);
	served_begin_tcp(&served);
	rig_turn_some();
	ck_assert_uint_eq(note_count, 0);
	served_reset(&served);
	served_finish(&served);
	expect_note(0, -1, ECONNRESET);
	fd_close(&own_fd);
}
END_TEST

START_TEST(a_unix_client_that_has_closed_is_still_served)
{
	begin_wait_fd("");
	served_send(&served, "x");
	served_close(&served);
	rig_turn_some();
	ck_assert_uint_eq(note_count, 0);
	fd_signal_event(own_fd);
	rig_turn_some();
	expect_note(0, POLLIN, 0);
	expect_note(1, 1, 0);
	served_finish(&served);
	fd_close(&own_fd);
}
END_TEST

START_TEST(a_wait_of_no_time_is_a_look)
{
	own_fd = fd_new_event();
	timeout_ms = 0;
	if (_i == 1)
		fd_signal_event(own_fd);
	served_open(&served, &waits_for_fd, "");
	rig_turn_some();
	expect_note(0, _i == 1 ? POLLIN : 0, 0);
	served_close_and_finish(&served);
	fd_close(&own_fd);
}
END_TEST

START_TEST(a_long_wait_of_the_handlers_own_is_not_the_clients_idleness)
{
	begin_wait_fd("idle_timeout = \"5s\";");
	rig_pass_ms(3 * IDLE_MS);
	ck_assert_uint_eq(note_count, 0);
	fd_signal_event(own_fd);
	rig_turn_some();
	ck_assert_uint_eq(note_count, 1);
	rig_pass_ms(IDLE_MS - 1);
	ck_assert_uint_eq(note_count, 1);
	rig_pass_ms(1);
	expect_note(1, -1, ETIMEDOUT);
	served_close_and_finish(&served);
	fd_close(&own_fd);
}
END_TEST

START_TEST(cancel_and_a_lifetime_end_a_wait_for_a_descriptor)
{
	begin_wait_fd(_i == 0 ? "" : "lifetime = \"5s\";");
	if (_i == 0)
		served_cancel(&served);
	else
		rig_pass_ms(5000);
	expect_note(0, -1, ECANCELED);
	expect_note(1, -1, ECANCELED);
	if (_i == 1)
		served_close_and_finish(&served);
	served_expect_end(&served, _i == 0 ? CONN_END_DRAIN : CONN_END_LIFETIME);
	/* It is watched no more. */
	fd_signal_event(own_fd);
	rig_turn_some();
	fd_close(&own_fd);
}
END_TEST

START_TEST(a_descriptor_that_is_none_is_an_error)
{
	own_fd = -1;
	served_open(&served, &waits_for_fd, "");
	expect_note(0, -1, EBADF);
	served_close_and_finish(&served);
}
END_TEST

/* ---- cp_sleep and cp_wake ------------------------------------------------------------------- */

static bool wakes_itself;

/* Of the last one that began to sleep. */
static struct cp_handle sleeper;

static int
serve_sleep(struct cp_conn *conn)
{
	calls++;
	sleeper = cp_handle_of(conn);
	if (wakes_itself)
		cp_wake(cp_handle_of(conn));
	note(cp_sleep(conn, timeout_ms));
	note(cp_sleep(conn, 0));
	errno = note_errors[0];
	return note_results[0] < 0 ? -1 : CP_DONE;
}

static const struct cp_handler sleeps = {.abi = CP_HANDLER_ABI, .name = "sleep", .serve = serve_sleep};

static void
begin_sleep(const char *options)
{
	served_open(&served, &sleeps, options);
	rig_turn_some();
}

static void
wake(void)
{
	ck_assert_int_eq(cp_wake(sleeper), 0);
}

static void *
wake_it(void *unused)
{
	(void)unused;
	wake();
	wake();
	return NULL;
}

START_TEST(a_wake_up_ends_the_sleep_once)
{
	pthread_t thread;

	begin_sleep("idle_timeout = \"5s\";");
	rig_pass_ms(3 * IDLE_MS);
	ck_assert_uint_eq(note_count, 0);
	if (_i == 0)
		wake();
	else
		ck_assert_int_eq(pthread_create(&thread, NULL, wake_it, NULL), 0);
	if (_i == 1)
		ck_assert_int_eq(pthread_join(thread, NULL), 0);
	rig_turn_some();
	expect_note(0, 1, 0);
	expect_note(1, 0, 0);
	served_close_and_finish(&served);
	served_expect_end(&served, CONN_END_SERVICE);
}
END_TEST

START_TEST(a_wake_up_before_the_sleep_is_not_lost)
{
	wakes_itself = true;
	begin_sleep("");
	wakes_itself = false;
	expect_note(0, 1, 0);
	expect_note(1, 0, 0);
	served_close_and_finish(&served);
}
END_TEST

START_TEST(a_sleep_has_its_time)
{
	timeout_ms = WAIT_MS;
	begin_sleep("");
	rig_pass_ms(WAIT_MS - 1);
	ck_assert_uint_eq(note_count, 0);
	rig_pass_ms(1);
	expect_note(0, 0, 0);
	served_close_and_finish(&served);
	served_expect_end(&served, CONN_END_SERVICE);
}
END_TEST

START_TEST(a_client_that_is_gone_ends_the_sleep)
{
	fixture_open("", "", &sleeps);
	served_begin_tcp(&served);
	served_send(&served, "x");
	rig_turn_some();
	ck_assert_uint_eq(note_count, 0);
	served_reset(&served);
	served_finish(&served);
	expect_note(0, -1, ECONNRESET);
	served_expect_end(&served, CONN_END_CLIENT_RESET);
}
END_TEST

START_TEST(a_client_that_has_said_all_is_slept_for)
{
	begin_sleep("");
	ck_assert_int_eq(shutdown(served.client, SHUT_WR), 0);
	rig_turn_some();
	ck_assert_uint_eq(note_count, 0);
	wake();
	rig_turn_some();
	expect_note(0, 1, 0);
	served_close_and_finish(&served);
}
END_TEST

START_TEST(cancel_ends_a_sleep_and_a_wake_up_does_not_hide_it)
{
	begin_sleep("");
	if (_i == 1)
		wake();
	served_cancel(&served);
	expect_note(0, -1, ECANCELED);
	expect_note(1, -1, ECANCELED);
	served_expect_end(&served, CONN_END_DRAIN);
	/* The session's memory is gone: what was posted must not run. */
	rig_turn_some();
}
END_TEST

/* ---- cp_wait -------------------------------------------------------------------------------- */

static int
serve_wait(struct cp_conn *conn)
{
	char buf[8];

	sleeper = cp_handle_of(conn);
	while (note(cp_wait(conn, timeout_ms)) > 0 && note_count < 4) {
		if ((note_results[note_count - 1] & CP_READY_INPUT) != 0 && cp_recv(conn, buf, sizeof(buf)) <= 0)
			return CP_DONE;
	}
	errno = note_errors[note_count - 1];
	return note_results[note_count - 1] < 0 ? -1 : CP_DONE;
}

static const struct cp_handler waits_for_both = {.abi = CP_HANDLER_ABI, .name = "wait", .serve = serve_wait};

static void
begin_wait(const char *options)
{
	served_open(&served, &waits_for_both, options);
	rig_turn_some();
	ck_assert_uint_eq(note_count, 0);
}

START_TEST(input_and_wake_ups_end_a_wait_for_both)
{
	begin_wait("");
	/* The second time for what the first read has left. */
	served_send(&served, "0123456789");
	rig_turn_some();
	expect_note(0, CP_READY_INPUT, 0);
	expect_note(1, CP_READY_INPUT, 0);
	ck_assert_uint_eq(note_count, 2);
	wake();
	rig_turn_some();
	expect_note(2, CP_READY_WAKE, 0);
	ck_assert_uint_eq(note_count, 3);
	ck_assert_int_eq(shutdown(served.client, SHUT_WR), 0);
	rig_turn_some();
	expect_note(3, CP_READY_INPUT, 0);
	served_close_and_finish(&served);
	served_expect_end(&served, CONN_END_SERVICE);
}
END_TEST

START_TEST(a_wait_for_both_has_its_time_and_the_clients)
{
	timeout_ms = _i == 0 ? WAIT_MS : 2 * IDLE_MS;
	begin_wait("idle_timeout = \"5s\";");
	rig_pass_ms((_i == 0 ? WAIT_MS : IDLE_MS) - 1);
	ck_assert_uint_eq(note_count, 0);
	rig_pass_ms(1);
	if (_i == 0)
		expect_note(0, 0, 0);
	else
		expect_note(0, -1, ETIMEDOUT);
	served_close_and_finish(&served);
	served_expect_end(&served, _i == 0 ? CONN_END_SERVICE : CONN_END_IDLE);
}
END_TEST

START_TEST(wake_ups_do_not_make_a_silent_client_busy)
{
	begin_wait("idle_timeout = \"5s\";");
	rig_pass_ms(IDLE_MS - 1);
	wake();
	rig_turn_some();
	expect_note(0, CP_READY_WAKE, 0);
	rig_pass_ms(1);
	expect_note(1, -1, ETIMEDOUT);
	served_close_and_finish(&served);
	served_expect_end(&served, CONN_END_IDLE);
}
END_TEST

START_TEST(a_reset_and_cancel_end_a_wait_for_both)
{
	fixture_open("", "", &waits_for_both);
	served_begin_tcp(&served);
	rig_turn_some();
	if (_i == 0)
		served_reset(&served);
	else
		served_cancel(&served);
	served_finish(&served);
	expect_note(0, -1, _i == 0 ? ECONNRESET : ECANCELED);
	served_expect_end(&served, _i == 0 ? CONN_END_CLIENT_RESET : CONN_END_DRAIN);
}
END_TEST

/* ---- about the connection ---------------------------------------------------------------------- */

static unsigned ended;
static int client_fd;

static void
on_end(void *arg)
{
	ck_assert_ptr_eq(arg, &ended);
	ck_assert_int_eq(fcntl(client_fd, F_GETFD), -1);
	ended++;
}

static int
serve_at_end(struct cp_conn *conn)
{
	char buf[8];

	if (calls++ == 0)
		cp_at_end(conn, on_end, &ended);
	return cp_recv(conn, buf, sizeof(buf)) > 0 ? CP_PARK : CP_DONE;
}

static const struct cp_handler notes_its_end = {.abi = CP_HANDLER_ABI, .name = "at end", .serve = serve_at_end};

START_TEST(at_end_is_called_once_when_all_is_closed)
{
	ended = 0;
	served_open(&served, &notes_its_end, "");
	client_fd = served.session->conn.from.fd;
	served_send(&served, "x");
	rig_turn_some();
	ck_assert_uint_eq(ended, 0);
	if (_i == 0)
		served_close_and_finish(&served);
	else
		served_cancel(&served);
	ck_assert(served.is_over);
	ck_assert_uint_eq(ended, 1);
	ck_assert_uint_eq(calls, _i == 0 ? 2 : 1);
}
END_TEST

/* What was posted a moment before it ended does not run, and then nobody can post any more. */
START_TEST(a_wake_up_at_the_very_end_does_not_outlive_it)
{
	begin_sleep("");
	served_cancel(&served);
	ck_assert(!served.is_over || list_is_empty(&rig_sched.loop.posted));
	served_close(&served);
	rig_pass_ms(LINGER_GLANCE_MS);
	ck_assert(served.is_over);
	ck_assert(list_is_empty(&rig_sched.loop.posted));
	ck_assert_int_eq(cp_wake(sleeper), -1);
	ck_assert_int_eq(errno, ESRCH);
	ck_assert(list_is_empty(&rig_sched.loop.posted));
}
END_TEST

START_TEST(a_handle_that_is_old_wakes_nobody)
{
	static struct served next;
	struct cp_handle old;

	begin_sleep("");
	old = sleeper;
	served_cancel(&served);
	ck_assert(served.is_over);
	note_count = 0;
	/* It gets the slot of the other. */
	served_begin(&next);
	rig_turn_some();
	ck_assert_uint_eq(sleeper.slot, old.slot);
	ck_assert_int_eq(cp_wake(old), -1);
	ck_assert_int_eq(errno, ESRCH);
	rig_turn_some();
	ck_assert_uint_eq(note_count, 0);
	wake();
	rig_turn_some();
	expect_note(0, 1, 0);
	served_close_and_finish(&next);
}
END_TEST

START_TEST(no_handle_is_nobodys)
{
	ck_assert_int_eq(cp_wake((struct cp_handle){0}), -1);
	ck_assert_int_eq(errno, ESRCH);
	ck_assert_int_eq(cp_wake((struct cp_handle){.connection = 1, .slot = 1u << 20}), -1);
}
END_TEST

static struct sockaddr_storage peer, local;
static socklen_t peer_length, local_length;
static void *state;

static int
serve_asks(struct cp_conn *conn)
{
	peer_length = cp_peer(conn, &peer);
	local_length = cp_local(conn, &local);
	state = cp_state(conn);
	return CP_DONE;
}

static const struct cp_handler asks = {.abi = CP_HANDLER_ABI, .name = "asks", .serve = serve_asks};

START_TEST(a_unix_client_has_no_address)
{
	served_open(&served, &asks, "");
	ck_assert_uint_eq(peer_length, sizeof(sa_family_t));
	ck_assert_int_eq(peer.ss_family, AF_UNIX);
	ck_assert_int_eq(local.ss_family, AF_UNIX);
	ck_assert_uint_eq(local_length, sizeof(sa_family_t));
	ck_assert_ptr_null(state);
	served_close_and_finish(&served);
}
END_TEST

START_TEST(behind_a_proxy_the_peer_is_the_client)
{
	const struct sockaddr_in *in4 = (const struct sockaddr_in *)&peer;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&peer;
	char text[64];

	begin_behind_proxy(&asks);
	served_send(&served, _i == 0 ? LINE : "PROXY TCP6 2001:db8::7 2001:db8::8 5001 80\r\n");
	rig_turn_some();
	if (_i == 0) {
		ck_assert_uint_eq(peer_length, sizeof(*in4));
		ck_assert_str_eq(inet_ntop(AF_INET, &in4->sin_addr, text, sizeof(text)), "203.0.113.1");
		ck_assert_int_eq(ntohs(in4->sin_port), 5000);
		ck_assert_uint_eq(local_length, sizeof(*in4));
		in4 = (const struct sockaddr_in *)&local;
		ck_assert_str_eq(inet_ntop(AF_INET, &in4->sin_addr, text, sizeof(text)), "192.0.2.2");
		ck_assert_int_eq(ntohs(in4->sin_port), 80);
	} else {
		ck_assert_uint_eq(peer_length, sizeof(*in6));
		ck_assert_str_eq(inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text)), "2001:db8::7");
		ck_assert_int_eq(ntohs(in6->sin6_port), 5001);
		in6 = (const struct sockaddr_in6 *)&local;
		ck_assert_str_eq(inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text)), "2001:db8::8");
	}
	served_close_and_finish(&served);
}
END_TEST

START_TEST(the_local_address_is_the_sockets)
{
	const struct sockaddr_in *in4 = (const struct sockaddr_in *)&local;

	fixture_open("", "", &asks);
	route_set_state(fixture.route, &(struct route_state){.data = &ended});
	served_begin_tcp(&served);
	ck_assert_uint_eq(local_length, sizeof(*in4));
	ck_assert_uint_eq(ntohl(in4->sin_addr.s_addr), INADDR_LOOPBACK);
	ck_assert_ptr_eq(state, &ended);
	served_close_and_finish(&served);
}
END_TEST

static int verdict_errno;
static const char *first_words;

static int
serve_unavailable(struct cp_conn *conn)
{
	if (first_words != NULL)
		(void)cp_send(conn, first_words, strlen(first_words));
	errno = verdict_errno;
	return -1;
}

static const struct cp_handler unavailable = {.abi = CP_HANDLER_ABI, .name = "busy", .serve = serve_unavailable};

START_TEST(a_client_without_a_server_is_told_so)
{
	static const struct {
		int error;
		const char *words;
		const char *told;
		enum conn_end end;
	} rows[] = {
		{EHOSTUNREACH, NULL, "come again\n", CONN_END_UPSTREAM_DOWN},
		{EBUSY, NULL, "come again\n", CONN_END_UPSTREAM_FULL},
		{EBUSY, "hello ", "hello ", CONN_END_UPSTREAM_FULL},
		{EIO, NULL, "", CONN_END_ERROR},
	};

	verdict_errno = rows[_i].error;
	first_words = rows[_i].words;
	served_open(&served, &unavailable, "busy_message = \"come again\\n\";");
	served_expect(&served, rows[_i].told);
	served_close_and_finish(&served);
	served_expect_end(&served, rows[_i].end);
	ck_assert_uint_eq(served.bytes_out, strlen(rows[_i].told));
}
END_TEST

static TCase *
wait_case(Suite *suite, const char *name)
{
	TCase *tc = rig_case(suite, name);

	tcase_add_checked_fixture(tc, reset_notes, NULL);
	return tc;
}

static void
add_waits(Suite *suite)
{
	TCase *tc = wait_case(suite, "header");

	tcase_add_loop_test(tc, a_header_and_bytes_behind_it_come_at_once, 0, 2);
	tcase_add_test(tc, a_header_in_pieces_is_waited_for);
	tcase_add_test(tc, a_header_and_the_end_at_once_are_both_told);
	tcase_add_test(tc, a_header_that_is_late_is_refused);
	tcase_add_test(tc, what_is_no_header_is_refused);
	tcase_add_test(tc, a_header_moves_the_idle_deadline);
	tcase_add_test(tc, cancel_ends_one_that_waits_for_its_header);
	tc = wait_case(suite, "descriptors");
	tcase_add_test(tc, a_descriptor_that_is_ready_ends_the_wait);
	tcase_add_test(tc, a_wait_for_a_descriptor_has_its_time);
	tcase_add_test(tc, a_client_that_is_gone_ends_the_wait_for_a_descriptor);
	tcase_add_test(tc, a_unix_client_that_has_closed_is_still_served);
	tcase_add_loop_test(tc, a_wait_of_no_time_is_a_look, 0, 2);
	tcase_add_test(tc, a_long_wait_of_the_handlers_own_is_not_the_clients_idleness);
	tcase_add_loop_test(tc, cancel_and_a_lifetime_end_a_wait_for_a_descriptor, 0, 2);
	tcase_add_test(tc, a_descriptor_that_is_none_is_an_error);
	tc = wait_case(suite, "sleep");
	tcase_add_loop_test(tc, a_wake_up_ends_the_sleep_once, 0, 2);
	tcase_add_test(tc, a_wake_up_before_the_sleep_is_not_lost);
	tcase_add_test(tc, a_sleep_has_its_time);
	tcase_add_test(tc, a_client_that_is_gone_ends_the_sleep);
	tcase_add_test(tc, a_client_that_has_said_all_is_slept_for);
	tcase_add_loop_test(tc, cancel_ends_a_sleep_and_a_wake_up_does_not_hide_it, 0, 2);
	tc = wait_case(suite, "both");
	tcase_add_test(tc, input_and_wake_ups_end_a_wait_for_both);
	tcase_add_loop_test(tc, a_wait_for_both_has_its_time_and_the_clients, 0, 2);
	tcase_add_test(tc, wake_ups_do_not_make_a_silent_client_busy);
	tcase_add_loop_test(tc, a_reset_and_cancel_end_a_wait_for_both, 0, 2);
}

int
main(void)
{
	Suite *suite = suite_create("service/session_wait");
	TCase *tc;

	add_waits(suite);
	tc = wait_case(suite, "about");
	tcase_add_loop_test(tc, at_end_is_called_once_when_all_is_closed, 0, 2);
	tcase_add_test(tc, a_wake_up_at_the_very_end_does_not_outlive_it);
	tcase_add_test(tc, a_handle_that_is_old_wakes_nobody);
	tcase_add_test(tc, no_handle_is_nobodys);
	tcase_add_test(tc, a_unix_client_has_no_address);
	tcase_add_loop_test(tc, behind_a_proxy_the_peer_is_the_client, 0, 2);
	tcase_add_test(tc, the_local_address_is_the_sockets);
	tcase_add_loop_test(tc, a_client_without_a_server_is_told_so, 0, 4);
	return fixture_run(suite);
}
