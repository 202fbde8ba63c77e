/* SPDX-License-Identifier: MIT */
/*
 * session_ends.c - time-outs, drains, cancelling and resets, in every state that a session can be in.
 *
 * One handler does what the test tells it; what its calls returned is kept.
 */
#include "config.h"

#include "session_ends.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "conf/conf.h"
#include "net/route.h"
#include "sessionrig.h"

#define IDLE_MS 5000
#define LIFETIME_MS 60000
#define SEND_MS 3000
#define IDLE "idle_timeout = \"5s\";"
#define LIFETIME "lifetime = \"1min\";"
#define SEND "send_timeout = \"3s\";"

static struct served served;
static int first_error;  /* of the call that failed; 0: none did */
static int second_error; /* of the one after it */
static unsigned calls;   /* of serve() */

static void
reset_notes(void)
{
	first_error = second_error = 0;
	calls = 0;
	atomic_store(&rig_sched.draining, false);
}

/* ---- handlers --------------------------------------------------------------------- */

static int
error_of(ssize_t n)
{
	return n < 0 ? errno : 0;
}

/* Reads for as long as it can, then tries to say goodbye. */
static int
serve_reader(struct cp_conn *conn)
{
	char buf[64];
	ssize_t n;

	calls++;
	do
		n = cp_recv(conn, buf, sizeof(buf));
	while (n > 0);
	if (n == 0)
		return CP_DONE;
	first_error = errno;
	second_error = error_of(cp_send(conn, "goodbye", 7));
	errno = first_error;
	return -1;
}

static const struct cp_handler reader = {.abi = CP_HANDLER_ABI, .name = "reader", .serve = serve_reader};

/* The same, and does not believe it the first time. */
static int
serve_stubborn(struct cp_conn *conn)
{
	char buf[64];

	calls++;
	while (cp_recv(conn, buf, sizeof(buf)) > 0)
		continue;
	first_error = errno;
	second_error = error_of(cp_recv(conn, buf, sizeof(buf)));
	return CP_DONE;
}

static const struct cp_handler stubborn = {.abi = CP_HANDLER_ABI, .name = "stubborn", .serve = serve_stubborn};

/* Sends for as long as it can. */
static int
serve_writer(struct cp_conn *conn)
{
	static char block[64 * 1024];

	calls++;
	while (cp_send(conn, block, sizeof(block)) > 0)
		continue;
	first_error = errno;
	second_error = error_of(cp_send(conn, block, sizeof(block)));
	errno = first_error;
	return -1;
}

static const struct cp_handler writer = {.abi = CP_HANDLER_ABI, .name = "writer", .serve = serve_writer};

/* Parks after every read, and after everything else too. */
static int
serve_parker(struct cp_conn *conn)
{
	char pair[2];
	ssize_t n = cp_recv(conn, pair, sizeof(pair));

	calls++;
	if (n == 0)
		return CP_DONE;
	first_error = error_of(n);
	return CP_PARK;
}

static const struct cp_handler parker = {
	.abi = CP_HANDLER_ABI, .name = "parker", .flags = CP_CLIENT_FIRST, .serve = serve_parker};

/* Waits for input, told to end it parks. */
static const struct cp_handler waits_then_parks = {.abi = CP_HANDLER_ABI, .name = "parker", .serve = serve_parker};

static int
serve_done(struct cp_conn *conn)
{
	(void)conn;
	return CP_DONE;
}

static const struct cp_handler done = {.abi = CP_HANDLER_ABI, .name = "done", .serve = serve_done};

/* The client closes; what lingers ends. */
static void
close_and_finish(void)
{
	served_close(&served);
	rig_turn_some();
	rig_pass_ms(LINGER_GLANCE_MS);
	ck_assert(served.is_over);
}

/* ---- time-outs ------------------------------------------------------------------------ */

START_TEST(idle_ends_one_that_is_parked)
{
	served_open(&served, &parker, IDLE);
	rig_pass_ms(IDLE_MS - 1);
	ck_assert_int_eq(served_state(&served), SESSION_PARKED);
	rig_pass_ms(1);
	ck_assert_int_eq(served_state(&served), SESSION_LINGERING);
	served_expect(&served, "");
	ck_assert_uint_eq(calls, 0);
	close_and_finish();
	served_expect_end(&served, CONN_END_IDLE);
}
END_TEST

START_TEST(idle_ends_a_wait_and_lets_the_handler_say_goodbye)
{
	served_open(&served, &reader, IDLE);
	rig_pass_ms(IDLE_MS - 1);
	ck_assert_int_eq(first_error, 0);
	rig_pass_ms(1);
	ck_assert_int_eq(first_error, ETIMEDOUT);
	ck_assert_int_eq(second_error, 0);
	served_expect(&served, "goodbye");
	close_and_finish();
	served_expect_end(&served, CONN_END_IDLE);
}
END_TEST

START_TEST(every_byte_moves_the_idle_deadline)
{
	served_open(&served, _i == 0 ? &parker : &reader, IDLE);
	for (unsigned i = 0; i < 5; i++) {
		rig_pass_ms(IDLE_MS - 1);
		served_send(&served, "x");
		rig_turn_some();
	}
	ck_assert_int_ne(served_state(&served), SESSION_LINGERING);
	rig_pass_ms(IDLE_MS - 1);
	ck_assert_int_ne(served_state(&served), SESSION_LINGERING);
	rig_pass_ms(1);
	ck_assert_int_eq(served_state(&served), SESSION_LINGERING);
	close_and_finish();
	served_expect_end(&served, CONN_END_IDLE);
	ck_assert_uint_eq(served.bytes_in, 5);
}
END_TEST

START_TEST(a_lifetime_ends_whatever_it_does)
{
	const struct cp_handler *const handlers[] = {&parker, &reader, &writer};

	served_open(&served, handlers[_i], LIFETIME "send_timeout = 0;");
	for (unsigned i = 1; i < LIFETIME_MS / 10000; i++) {
		served_send(&served, "x");
		rig_pass_ms(10000);
	}
	rig_pass_ms(9999);
	ck_assert_int_eq(first_error, 0);
	ck_assert_int_ne(served_state(&served), SESSION_LINGERING);
	rig_pass_ms(1);
	ck_assert_int_eq(served_state(&served), SESSION_LINGERING);
	/* No way for a handler to go on, or to send. */
	if (_i > 0) {
		ck_assert_int_eq(first_error, ECANCELED);
		ck_assert_int_eq(second_error, ECANCELED);
	}
	close_and_finish();
	served_expect_end(&served, CONN_END_LIFETIME);
}
END_TEST

START_TEST(the_nearest_deadline_counts)
{
	served_open(&served, &parker, "idle_timeout = \"5min\"; lifetime = \"5s\";");
	rig_pass_ms(IDLE_MS);
	close_and_finish();
	served_expect_end(&served, CONN_END_LIFETIME);
}
END_TEST

START_TEST(a_client_that_takes_nothing_has_its_send_timeout)
{
	served_open(&served, &writer, SEND IDLE);
	ck_assert_int_eq(served_state(&served), SESSION_WAITING);
	rig_pass_ms(SEND_MS - 1);
	ck_assert_int_eq(first_error, 0);
	rig_pass_ms(1);
	ck_assert_int_eq(first_error, ETIMEDOUT);
	/* Nobody waits for a client that takes nothing to close. */
	served_expect_end(&served, CONN_END_SEND_TIMEOUT);
}
END_TEST

START_TEST(idle_is_not_asked_while_a_send_waits)
{
	served_open(&served, &writer, "send_timeout = 0;" IDLE);
	rig_pass_ms(100 * IDLE_MS);
	ck_assert_int_eq(served_state(&served), SESSION_WAITING);
	served_close(&served);
	served_finish(&served);
	served_expect_end(&served, CONN_END_CLIENT_RESET);
}
END_TEST

START_TEST(every_byte_taken_moves_the_send_deadline)
{
	static char buf[256 * 1024];

	served_open(&served, &writer, SEND);
	for (unsigned i = 0; i < 5; i++) {
		rig_pass_ms(SEND_MS - 1);
		while (served_read(&served, buf, sizeof(buf)) > 0)
			continue;
		rig_turn_some();
	}
	ck_assert_int_eq(first_error, 0);
	rig_pass_ms(SEND_MS);
	served_expect_end(&served, CONN_END_SEND_TIMEOUT);
}
END_TEST

static const struct cp_handler late_writer = {
	.abi = CP_HANDLER_ABI, .name = "writer", .flags = CP_CLIENT_FIRST, .serve = serve_writer};

/* The timer is set already, for the end of half an hour. */
START_TEST(a_send_deadline_comes_before_an_idle_one_that_is_set)
{
	served_open(&served, &late_writer, SEND "idle_timeout = \"30min\";");
	ck_assert_int_eq(served_state(&served), SESSION_PARKED);
	served_send(&served, "go");
	rig_turn_some();
	ck_assert_int_eq(served_state(&served), SESSION_WAITING);
	rig_pass_ms(SEND_MS);
	served_expect_end(&served, CONN_END_SEND_TIMEOUT);
}
END_TEST

START_TEST(without_limits_it_may_stay_for_ever)
{
	served_open(&served, &parker, "");
	ck_assert_uint_eq(timer_wheel_next_ms(&rig_sched.loop.wheel), UINT64_MAX);
	rig_pass_ms(30 * 60 * 1000);
	ck_assert_int_eq(served_state(&served), SESSION_PARKED);
	close_and_finish();
	served_expect_end(&served, CONN_END_CLIENT);
}
END_TEST

/* Both are due in the turn in which it goes on by itself: it is not idle. */
START_TEST(one_that_yielded_is_not_idle)
{
	static char many[200];

	memset(many, 'x', sizeof(many) - 1);
	served_open(&served, &parker, IDLE);
	rig_pass_ms(IDLE_MS - 1);
	served_send(&served, many);
	rig_turn();
	ck_assert_int_eq(served_state(&served), SESSION_YIELDED);
	fixture_advance_ms(IDLE_MS);
	rig_turn();
	ck_assert_int_eq(served_state(&served), SESSION_YIELDED);
	served_close(&served);
	served_finish(&served);
	served_expect_end(&served, CONN_END_CLIENT);
}
END_TEST

/* ---- cancelling -------------------------------------------------------------------------- */

static void
cancel(enum conn_end why)
{
	session_cancel(&rig_sched, &served.session->conn, why);
}

START_TEST(cancel_ends_one_that_is_parked)
{
	served_open(&served, &parker, "");
	cancel(CONN_END_DRAIN);
	served_expect_end(&served, CONN_END_DRAIN);
	ck_assert_uint_eq(calls, 0);
}
END_TEST

START_TEST(cancel_ends_a_wait_and_every_call_after_it_fails)
{
	const struct cp_handler *const handlers[] = {&reader, &writer, &stubborn};

	served_open(&served, handlers[_i], "");
	ck_assert_int_eq(served_state(&served), SESSION_WAITING);
	cancel(CONN_END_DRAIN);
	ck_assert_int_eq(first_error, ECANCELED);
	ck_assert_int_eq(second_error, ECANCELED);
	served_expect_end(&served, CONN_END_DRAIN);
}
END_TEST

START_TEST(cancel_ends_one_that_parks_all_the_same)
{
	served_open(&served, &waits_then_parks, "");
	ck_assert_int_eq(served_state(&served), SESSION_WAITING);
	cancel(CONN_END_DRAIN);
	ck_assert_int_eq(first_error, ECANCELED);
	served_expect_end(&served, CONN_END_DRAIN);
}
END_TEST

static int
serve_bytes(struct cp_conn *conn)
{
	char byte;

	while (cp_recv(conn, &byte, 1) > 0)
		continue;
	first_error = errno;
	return -1;
}

static const struct cp_handler by_bytes = {
	.abi = CP_HANDLER_ABI, .name = "bytes", .flags = CP_CLIENT_FIRST, .serve = serve_bytes};

START_TEST(cancel_ends_one_that_yielded_on_its_fiber)
{
	static char many[200];

	memset(many, 'x', sizeof(many) - 1);
	served_open(&served, &by_bytes, "");
	served_send(&served, many);
	rig_turn();
	ck_assert_int_eq(served_state(&served), SESSION_YIELDED);
	ck_assert_uint_eq(fiber_pool_busy(rig_sched.fibers), 1);
	cancel(CONN_END_DRAIN);
	ck_assert_int_eq(first_error, ECANCELED);
	served_expect_end(&served, CONN_END_DRAIN);
	/* Its task has been taken back: nothing runs any more. */
	rig_turn_some();
}
END_TEST

START_TEST(cancel_ends_one_that_yielded_between_two_calls)
{
	served_open(&served, &parker, "");
	served_send(&served, "abcdef");
	rig_turn();
	ck_assert_int_eq(served_state(&served), SESSION_YIELDED);
	ck_assert_uint_eq(fiber_pool_busy(rig_sched.fibers), 0);
	cancel(CONN_END_DRAIN);
	served_expect_end(&served, CONN_END_DRAIN);
	rig_turn_some();
}
END_TEST

START_TEST(cancel_ends_one_that_lingers_and_keeps_its_end)
{
	served_open(&served, &done, "");
	ck_assert_int_eq(served_state(&served), SESSION_LINGERING);
	if (_i == 1)
		rig_pass_ms(LINGER_GLANCE_MS);
	cancel(CONN_END_DRAIN);
	served_expect_end(&served, CONN_END_SERVICE);
	rig_turn_some();
}
END_TEST

static int
serve_on_when_idle(struct cp_conn *conn)
{
	char byte;

	first_error = cp_recv(conn, &byte, 1) < 0 ? errno : 0;
	second_error = cp_sleep(conn, 3600000) < 0 ? errno : 0;
	return CP_DONE;
}

static const struct cp_handler on_when_idle = {.abi = CP_HANDLER_ABI, .name = "on", .serve = serve_on_when_idle};

/* The daemon does not wait for it any longer. */
START_TEST(cancel_ends_one_whose_end_is_known_without_lingering)
{
	served_open(&served, &on_when_idle, IDLE);
	rig_pass_ms(IDLE_MS);
	ck_assert_int_eq(first_error, ETIMEDOUT);
	ck_assert_int_eq(served_state(&served), SESSION_WAITING);
	cancel(CONN_END_DRAIN);
	ck_assert_int_eq(second_error, ECANCELED);
	served_expect_end(&served, CONN_END_IDLE);
}
END_TEST

/* ---- resets -------------------------------------------------------------------------------- */

static void
begin_tcp(const struct cp_handler *handler)
{
	fixture_open("", "", handler);
	served_begin_tcp(&served);
}

START_TEST(a_reset_ends_one_that_is_parked)
{
	begin_tcp(&by_bytes);
	served_reset(&served);
	served_finish(&served);
	ck_assert_int_eq(first_error, ECONNRESET);
	served_expect_end(&served, CONN_END_CLIENT_RESET);
}
END_TEST

START_TEST(a_reset_ends_a_wait_to_read)
{
	begin_tcp(&reader);
	ck_assert_int_eq(served_state(&served), SESSION_WAITING);
	served_reset(&served);
	served_finish(&served);
	ck_assert_int_eq(first_error, ECONNRESET);
	ck_assert_int_eq(second_error, EPIPE);
	served_expect_end(&served, CONN_END_CLIENT_RESET);
}
END_TEST

static bool
waits(void *arg)
{
	(void)arg;
	return served_state(&served) == SESSION_WAITING;
}

START_TEST(a_reset_ends_a_wait_to_send)
{
	begin_tcp(&writer);
	fixture_turn_until(&rig_sched.loop, waits, NULL);
	served_reset(&served);
	served_finish(&served);
	ck_assert(first_error == ECONNRESET || first_error == EPIPE);
	served_expect_end(&served, CONN_END_CLIENT_RESET);
}
END_TEST

/* The kernel says so at the shutdown: there is nobody left to linger for. */
START_TEST(a_reset_that_the_handler_did_not_see_leaves_nothing_to_linger_for)
{
	int pair[2];
	char byte;

	fixture_open("", "", &done);
	fixture_tcp_pair(pair);
	ck_assert_int_eq(
		setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger)), 0);
	close(pair[1]);
	while (recv(pair[0], &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN)
		continue;
	served_begin_on(&served, pair[0], -1);
	served_expect_end(&served, CONN_END_SERVICE);
}
END_TEST

/* A Unix client that closes with a reply unread: that too is a reset. */
START_TEST(a_unix_client_that_leaves_its_reply_unread_resets)
{
	served_open(&served, &writer, "");
	served_close(&served);
	served_finish(&served);
	ck_assert(first_error == ECONNRESET || first_error == EPIPE);
	served_expect_end(&served, CONN_END_CLIENT_RESET);
}
END_TEST

/* Of one that was reset before, too: whatever the next call waits for, it is the end that it is told. */
static int pipe_ends[2];

static int
serve_waits(struct cp_conn *conn)
{
	first_error = error_of(cp_sleep(conn, -1));
	second_error = error_of(cp_wait_fd(conn, pipe_ends[0], POLLIN, -1));
	return CP_DONE;
}

static const struct cp_handler waits_twice = {.abi = CP_HANDLER_ABI, .name = "waits", .serve = serve_waits};

START_TEST(cancel_is_what_one_that_was_reset_is_told)
{
	ck_assert_int_eq(pipe(pipe_ends), 0);
	served_open(&served, &waits_twice, "");
	served.session->broken = true;
	session_cancel(&rig_sched, &served.session->conn, CONN_END_DRAIN);
	ck_assert_int_eq(first_error, ECANCELED);
	ck_assert_int_eq(second_error, ECANCELED);
	served_expect_end(&served, CONN_END_DRAIN);
	close(pipe_ends[0]);
	close(pipe_ends[1]);
}
END_TEST

/* ---- the daemon begins to stop ------------------------------------------------------- */

static bool parks;

/* Waits in one of three ways; goes when the daemon does, and says what its wait returned. */
static int
serve_until_drain(struct cp_conn *conn)
{
	char buf[8];
	int ready = 0;

	for (calls++; !cp_draining(conn);) {
		if (parks)
			return cp_recv(conn, buf, sizeof(buf)) < 0 ? -1 : CP_PARK;
		ready = calls > 1 ? cp_sleep(conn, -1) : cp_wait(conn, -1);
		if (ready < 0)
			return -1;
	}
	return cp_printf(conn, "bye %d", ready) < 0 ? -1 : CP_DONE;
}

static const struct cp_handler drains = {
	.abi = CP_HANDLER_ABI, .name = "drains", .flags = CP_WAKE_AT_DRAIN, .serve = serve_until_drain};
static const struct cp_handler parks_and_drains = {.abi = CP_HANDLER_ABI,
	.name = "drains",
	.flags = CP_WAKE_AT_DRAIN | CP_CLIENT_FIRST,
	.serve = serve_until_drain};
/* It reads first, and asks afterwards. */
static int
serve_reader_then_drain(struct cp_conn *conn)
{
	char byte;

	if (cp_recv(conn, &byte, 1) <= 0)
		return -1;
	return cp_sleep(conn, 1000) == 1 && cp_send(conn, "woken", 5) == 5 ? CP_DONE : -1;
}

static const struct cp_handler reader_then_drains = {
	.abi = CP_HANDLER_ABI, .name = "drains", .flags = CP_WAKE_AT_DRAIN, .serve = serve_reader_then_drain};
static const struct cp_handler ignores_drains = {.abi = CP_HANDLER_ABI, .name = "ignores", .serve = serve_until_drain};

static void
begin_drain(void)
{
	atomic_store(&rig_sched.draining, true);
	session_drain(&rig_sched, &served.session->conn);
}

/* In cp_wait(), in cp_sleep(), parked. */
START_TEST(a_drain_wakes_one_that_wants_to_know)
{
	parks = _i == 2;
	calls = _i == 1 ? 1 : 0;
	served_open(&served, parks ? &parks_and_drains : &drains, "");
	rig_turn_some();
	begin_drain();
	served_expect(&served, parks ? "bye 0" : _i == 1 ? "bye 1" : "bye 2");
	served_close(&served);
	served_finish(&served);
	served_expect_end(&served, CONN_END_SERVICE);
}
END_TEST

START_TEST(a_drain_is_nothing_to_one_that_did_not_ask)
{
	parks = false;
	served_open(&served, &ignores_drains, "");
	begin_drain();
	rig_turn_some();
	ck_assert_int_eq(served_state(&served), SESSION_WAITING);
	session_cancel(&rig_sched, &served.session->conn, CONN_END_DRAIN);
	served_expect_end(&served, CONN_END_DRAIN);
}
END_TEST

START_TEST(a_drain_while_it_waits_for_input_ends_its_next_wait)
{
	parks = false;
	served_open(&served, &reader_then_drains, "");
	begin_drain();
	ck_assert_int_eq(served_state(&served), SESSION_WAITING);
	served_send(&served, "x");
	rig_turn();
	served_expect(&served, "woken");
	served_close(&served);
	served_finish(&served);
}
END_TEST

/* Out of the queue, or behind a header that came late: its client may have nothing to say. */
START_TEST(one_that_begins_while_the_daemon_stops_is_served_at_once)
{
	parks = true;
	atomic_store(&rig_sched.draining, true);
	served_open(&served, &parks_and_drains, "");
	served_expect(&served, "bye 0");
	served_close(&served);
	rig_pass_ms(LINGER_GLANCE_MS);
	served_expect_end(&served, CONN_END_SERVICE);
}
END_TEST

static TCase *
ends_case(Suite *suite, const char *name)
{
	TCase *tc = rig_case(suite, name);

	tcase_add_checked_fixture(tc, reset_notes, NULL);
	return tc;
}

void
add_ends(Suite *suite)
{
	TCase *tc = ends_case(suite, "time-outs");

	tcase_add_test(tc, idle_ends_one_that_is_parked);
	tcase_add_test(tc, idle_ends_a_wait_and_lets_the_handler_say_goodbye);
	tcase_add_loop_test(tc, every_byte_moves_the_idle_deadline, 0, 2);
	tcase_add_loop_test(tc, a_lifetime_ends_whatever_it_does, 0, 3);
	tcase_add_test(tc, the_nearest_deadline_counts);
	tcase_add_test(tc, a_client_that_takes_nothing_has_its_send_timeout);
	tcase_add_test(tc, idle_is_not_asked_while_a_send_waits);
	tcase_add_test(tc, every_byte_taken_moves_the_send_deadline);
	tcase_add_test(tc, a_send_deadline_comes_before_an_idle_one_that_is_set);
	tcase_add_test(tc, without_limits_it_may_stay_for_ever);
	tcase_add_test(tc, one_that_yielded_is_not_idle);
	tc = ends_case(suite, "cancelling");
	tcase_add_test(tc, cancel_ends_one_that_is_parked);
	tcase_add_loop_test(tc, cancel_ends_a_wait_and_every_call_after_it_fails, 0, 3);
	tcase_add_test(tc, cancel_ends_one_that_parks_all_the_same);
	tcase_add_test(tc, cancel_ends_one_that_yielded_on_its_fiber);
	tcase_add_test(tc, cancel_ends_one_that_yielded_between_two_calls);
	tcase_add_loop_test(tc, cancel_ends_one_that_lingers_and_keeps_its_end, 0, 2);
	tcase_add_test(tc, cancel_ends_one_whose_end_is_known_without_lingering);
	tcase_add_test(tc, cancel_is_what_one_that_was_reset_is_told);
	tc = ends_case(suite, "drains");
	tcase_add_loop_test(tc, a_drain_wakes_one_that_wants_to_know, 0, 3);
	tcase_add_test(tc, a_drain_is_nothing_to_one_that_did_not_ask);
	tcase_add_test(tc, a_drain_while_it_waits_for_input_ends_its_next_wait);
	tcase_add_test(tc, one_that_begins_while_the_daemon_stops_is_served_at_once);
	tc = ends_case(suite, "resets");
	tcase_add_test(tc, a_reset_ends_one_that_is_parked);
	tcase_add_test(tc, a_reset_ends_a_wait_to_read);
	tcase_add_test(tc, a_reset_ends_a_wait_to_send);
	tcase_add_test(tc, a_reset_that_the_handler_did_not_see_leaves_nothing_to_linger_for);
	tcase_add_test(tc, a_unix_client_that_leaves_its_reply_unread_resets);
}
