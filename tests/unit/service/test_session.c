/* SPDX-License-Identifier: MIT */
/*
 * test_session - when a handler runs and how its connection ends; session_ends.c has what comes from outside:
 * time-outs, cancelling, resets.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/listener.h"
#include "session_ends.h"
#include "sessionrig.h"

static struct served served;
static unsigned calls;

static void
reset_counts(void)
{
	calls = 0;
}

/* ---- starting ------------------------------------------------------------------------ */

static int
answer_line(struct cp_conn *conn)
{
	char buf[64];
	ssize_t n;

	calls++;
	ck_assert_uint_ne(atomic_load(&rig_sched.busy_since_ns), 0);
	ck_assert_uint_eq(atomic_load(&rig_sched.busy_listener), fixture.listener->number);
	n = cp_recv(conn, buf, sizeof(buf));
	if (n <= 0)
		return (int)n;
	return cp_send(conn, buf, (size_t)n) < 0 ? -1 : CP_PARK;
}

static const struct cp_handler client_first = {
	.abi = CP_HANDLER_ABI, .name = "answer", .flags = CP_CLIENT_FIRST, .serve = answer_line};
static const struct cp_handler at_once = {.abi = CP_HANDLER_ABI, .name = "answer", .serve = answer_line};

START_TEST(client_first_waits_for_input_without_a_stack)
{
	served_open(&served, &client_first, "");
	rig_turn_some();
	ck_assert_uint_eq(calls, 0);
	ck_assert_int_eq(served_state(&served), SESSION_PARKED);
	ck_assert_uint_eq(fiber_pool_busy(rig_sched.fibers) + fiber_pool_idle(rig_sched.fibers), 0);
	served_send(&served, "hello");
	rig_turn();
	ck_assert_uint_eq(calls, 1);
	served_expect(&served, "hello");
	served_close(&served);
	served_finish(&served);
	ck_assert_uint_eq(calls, 2);
	served_expect_end(&served, CONN_END_CLIENT);
}
END_TEST

START_TEST(client_first_takes_what_had_come_before)
{
	int ends[2];

	fixture_open("", "", &client_first);
	fixture_unix_pair(ends);
	ck_assert_int_eq(send(ends[1], "early", 5, 0), 5);
	served_begin_on(&served, ends[0], ends[1]);
	ck_assert_uint_eq(calls, 0);
	rig_turn();
	served_expect(&served, "early");
	served_close(&served);
	served_finish(&served);
}
END_TEST

START_TEST(a_handler_that_speaks_first_runs_at_once)
{
	served_open(&served, &at_once, "");
	ck_assert_uint_eq(calls, 1);
	ck_assert_int_eq(served_state(&served), SESSION_WAITING);
	ck_assert_uint_eq(fiber_pool_busy(rig_sched.fibers), 1);
	served_close(&served);
	served_finish(&served);
	served_expect_end(&served, CONN_END_CLIENT);
}
END_TEST

START_TEST(no_memory_for_a_stack_ends_it_as_an_error)
{
	const char *text;

	served_open(&served, &client_first, "");
	served_send(&served, "hello");
	fixture_capture();
	mem_fail_after(1);
	rig_turn();
	mem_fail_after(0);
	served_expect_end(&served, CONN_END_ERROR);
	text = fixture_captured();
	ck_assert_msg(strstr(text, "listener 'web': connection") != NULL, "%s", text);
	ck_assert_msg(strstr(text, "ends: no memory for a stack: Cannot allocate memory") != NULL, "%s", text);
	ck_assert_uint_eq(calls, 0);
}
END_TEST

START_TEST(a_descriptor_that_cannot_be_watched_ends_it_as_an_error)
{
	int fd = memfd_create("unwatchable", MFD_CLOEXEC);
	const char *text;

	ck_assert_int_ge(fd, 0);
	fixture_open("", "", &client_first);
	fixture_capture();
	served_begin_on(&served, fd, -1);
	text = fixture_captured();
	ck_assert_msg(strstr(text, "ends: cannot watch its descriptor: Operation not permitted") != NULL, "%s", text);
	served_expect_end(&served, CONN_END_ERROR);
}
END_TEST

/* ---- parking --------------------------------------------------------------------------- */

START_TEST(a_parked_connection_holds_no_stack_and_is_called_anew)
{
	served_open(&served, &client_first, "");
	for (unsigned i = 1; i <= 3; i++) {
		served_send(&served, "again");
		rig_turn();
		served_expect(&served, "again");
		ck_assert_uint_eq(calls, i);
		ck_assert_int_eq(served_state(&served), SESSION_PARKED);
		ck_assert_uint_eq(fiber_pool_busy(rig_sched.fibers), 0);
	}
	ck_assert_uint_eq(fiber_pool_idle(rig_sched.fibers), 1);
	served_close(&served);
	served_finish(&served);
}
END_TEST

static int
take_two(struct cp_conn *conn)
{
	char buf[2];
	ssize_t n = cp_recv(conn, buf, sizeof(buf));

	calls++;
	if (n <= 0)
		return (int)n;
	return CP_PARK;
}

static const struct cp_handler takes_two = {
	.abi = CP_HANDLER_ABI, .name = "two", .flags = CP_CLIENT_FIRST, .serve = take_two};

/* The edge has been told: nobody will tell it again. */
START_TEST(one_that_parks_with_input_left_is_called_in_the_next_turn)
{
	served_open(&served, &takes_two, "");
	served_send(&served, "abcdef");
	rig_turn();
	/* The first call by the event, the second as a task of the same turn, and so on. */
	ck_assert_uint_ge(calls, 1);
	ck_assert_int_eq(served_state(&served), SESSION_YIELDED);
	ck_assert_uint_eq(fiber_pool_busy(rig_sched.fibers), 0);
	rig_turn_some();
	ck_assert_uint_eq(calls, 3);
	served_close(&served);
	served_finish(&served);
	ck_assert_uint_eq(served.bytes_in, 6);
	served_expect_end(&served, CONN_END_CLIENT);
}
END_TEST

/* A read that took just what it asked for says nothing of what is left. */
START_TEST(one_that_parks_after_all_of_its_input_holds_no_stack)
{
	served_open(&served, &takes_two, "");
	for (unsigned i = 1; i <= 3; i++) {
		served_send(&served, "ab");
		rig_turn_some();
		ck_assert_uint_eq(calls, i);
		ck_assert_int_eq(served_state(&served), SESSION_PARKED);
		ck_assert_uint_eq(fiber_pool_busy(rig_sched.fibers), 0);
	}
	served_close(&served);
	served_finish(&served);
	ck_assert_uint_eq(served.bytes_in, 6);
	served_expect_end(&served, CONN_END_CLIENT);
}
END_TEST

START_TEST(input_and_its_end_at_once_are_both_delivered)
{
	served_open(&served, &client_first, "");
	served_send(&served, "last words");
	ck_assert_int_eq(shutdown(served.client, SHUT_WR), 0);
	served_finish(&served);
	served_expect(&served, "last words");
	served_expect_end(&served, CONN_END_CLIENT);
}
END_TEST

static int
park_always(struct cp_conn *conn)
{
	char buf[16];

	calls++;
	return cp_recv(conn, buf, sizeof(buf)) < 0 ? -1 : CP_PARK;
}

static const struct cp_handler parks_always = {
	.abi = CP_HANDLER_ABI, .name = "parks", .flags = CP_CLIENT_FIRST, .serve = park_always};

/* Nothing more can come, so nothing would ever wake it: and it would be called in every turn. */
START_TEST(one_that_parks_after_the_end_is_over)
{
	served_open(&served, &parks_always, "");
	ck_assert_int_eq(shutdown(served.client, SHUT_WR), 0);
	served_finish(&served);
	ck_assert_uint_eq(calls, 1);
	served_expect_end(&served, CONN_END_CLIENT);
}
END_TEST

/* ---- fairness ----------------------------------------------------------------------------- */

static int
read_by_bytes(struct cp_conn *conn)
{
	char byte;
	ssize_t n;

	while ((n = cp_recv(conn, &byte, 1)) > 0)
		calls++;
	return (int)n;
}

static const struct cp_handler reads_by_bytes = {
	.abi = CP_HANDLER_ABI, .name = "bytes", .flags = CP_CLIENT_FIRST, .serve = read_by_bytes};

START_TEST(one_that_always_has_input_lets_the_others_run)
{
	static struct served other;
	char many[1001];

	memset(many, 'x', sizeof(many));
	many[1000] = '\0';
	served_open(&served, &reads_by_bytes, "");
	served_begin(&other);
	served_send(&served, many);
	rig_turn();
	/* By the event and, once it has yielded, by its task of the same turn. The call that yielded is free. */
	ck_assert_uint_le(calls, 2 * BUDGET_CALLS + 1);
	ck_assert_int_eq(served_state(&served), SESSION_YIELDED);
	/* It is not the only one to be heard. */
	served_send(&other, "y");
	rig_turn();
	ck_assert_uint_eq(other.session->conn.bytes_in, 1);
	ck_assert_uint_lt(calls, 1000);
	while (calls < 1001) {
		unsigned before = calls;

		rig_turn();
		ck_assert_uint_gt(calls, before);
		ck_assert_uint_le(calls, before + BUDGET_CALLS + 1);
	}
	served_close(&served);
	served_close(&other);
	served_finish(&served);
	served_finish(&other);
	ck_assert_uint_eq(served.bytes_in, 1000);
}
END_TEST

/* ---- verdicts ------------------------------------------------------------------------------- */

static int verdict;
static int verdict_errno;

static int
say_and_end(struct cp_conn *conn)
{
	calls++;
	if (cp_send(conn, "bye\n", 4) < 0)
		return -1;
	errno = verdict_errno;
	return verdict;
}

static const struct cp_handler ends = {.abi = CP_HANDLER_ABI, .name = "ends", .serve = say_and_end};

static void
serve_verdict(int value, int error)
{
	verdict = value;
	verdict_errno = error;
	served_open(&served, &ends, "");
}

START_TEST(done_is_the_service_s_end)
{
	serve_verdict(CP_DONE, 0);
	ck_assert_int_eq(served_state(&served), SESSION_LINGERING);
	served_expect(&served, "bye\n");
	served_expect(&served, "");
	served_close(&served);
	rig_pass_ms(LINGER_GLANCE_MS);
	served_expect_end(&served, CONN_END_SERVICE);
	ck_assert_uint_eq(served.bytes_out, 4);
}
END_TEST

START_TEST(minus_one_is_an_error)
{
	serve_verdict(-1, EIO);
	served_close(&served);
	rig_pass_ms(LINGER_GLANCE_MS);
	served_expect_end(&served, CONN_END_ERROR);
}
END_TEST

START_TEST(minus_one_for_a_client_that_is_gone_is_its_reset)
{
	serve_verdict(-1, _i == 0 ? ECONNRESET : EPIPE);
	served_expect_end(&served, CONN_END_CLIENT_RESET);
}
END_TEST

/* ---- lingering ---------------------------------------------------------------------------------- */

START_TEST(one_that_lingers_holds_no_room)
{
	serve_verdict(CP_DONE, 0);
	ck_assert_uint_eq(atomic_load(&rig_sched.lingering), 1);
	ck_assert_uint_eq(fiber_pool_busy(rig_sched.fibers), 0);
	served_close(&served);
	rig_pass_ms(LINGER_GLANCE_MS);
	ck_assert_uint_eq(atomic_load(&rig_sched.lingering), 0);
}
END_TEST

START_TEST(a_client_that_closes_after_the_glance_is_seen_at_once)
{
	serve_verdict(CP_DONE, 0);
	rig_pass_ms(LINGER_GLANCE_MS);
	ck_assert_int_eq(served_state(&served), SESSION_LINGERING);
	served_close(&served);
	rig_turn();
	served_expect_end(&served, CONN_END_SERVICE);
}
END_TEST

START_TEST(a_client_that_never_closes_has_its_time)
{
	serve_verdict(CP_DONE, 0);
	rig_pass_ms(LINGER_GLANCE_MS);
	rig_pass_ms(LINGER_MS - 1);
	ck_assert_int_eq(served_state(&served), SESSION_LINGERING);
	rig_pass_ms(1);
	served_expect_end(&served, CONN_END_SERVICE);
}
END_TEST

START_TEST(a_client_that_goes_on_sending_gets_no_more_time)
{
	serve_verdict(CP_DONE, 0);
	rig_pass_ms(LINGER_GLANCE_MS);
	for (unsigned i = 0; i < 10; i++) {
		served_send(&served, "more");
		rig_pass_ms(LINGER_MS / 10);
	}
	served_expect_end(&served, CONN_END_SERVICE);
	ck_assert_uint_eq(served.bytes_in, 40);
}
END_TEST

START_TEST(a_client_that_sends_too_much_is_closed)
{
	static char flood[16 * 1024];
	uint64_t sent = 0;

	serve_verdict(CP_DONE, 0);
	rig_pass_ms(LINGER_GLANCE_MS);
	while (!served.is_over) {
		ssize_t n = send(served.client, flood, sizeof(flood), MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0)
			sent += (uint64_t)n;
		ck_assert_uint_lt(sent, 4 * LINGER_BYTES_MAX);
		rig_turn();
	}
	served_expect_end(&served, CONN_END_SERVICE);
	ck_assert_uint_gt(served.bytes_in, LINGER_BYTES_MAX);
	ck_assert_uint_le(served.bytes_in, LINGER_BYTES_MAX + sizeof(flood));
}
END_TEST

/* Closing with unread input would reset the connection, and the reset overtake the reply. */
START_TEST(a_reply_arrives_although_the_request_was_not_read)
{
	static char request[100 * 1024];
	char buf[64];

	verdict = CP_DONE;
	fixture_open("", "", &ends);
	served_begin_tcp(&served);
	ck_assert_int_eq(send(served.client, request, sizeof(request), 0), sizeof(request));
	rig_pass_ms(LINGER_GLANCE_MS);
	ck_assert_int_eq(fixture_read_all(served.client, buf, sizeof(buf)), 4);
	fixture_expect_no_reset(served.client);
	served_close(&served);
	served_finish(&served);
	served_expect_end(&served, CONN_END_SERVICE);
	ck_assert_uint_eq(served.bytes_in, sizeof(request));
}
END_TEST

START_TEST(a_client_that_resets_while_it_lingers_is_over)
{
	verdict = CP_DONE;
	fixture_open("", "", &ends);
	served_begin_tcp(&served);
	rig_pass_ms(LINGER_GLANCE_MS);
	served_reset(&served);
	served_finish(&served);
	served_expect_end(&served, CONN_END_SERVICE);
}
END_TEST

static int
answer_once(struct cp_conn *conn)
{
	char buf[64];

	return cp_recv(conn, buf, sizeof(buf)) > 0 && cp_send(conn, "once", 4) > 0 ? CP_DONE : -1;
}

static const struct cp_handler answers_once = {
	.abi = CP_HANDLER_ABI, .name = "once", .flags = CP_CLIENT_FIRST, .serve = answer_once};

/* Its descriptor is watched already: there is no glance. */
START_TEST(one_that_was_watched_is_watched_on)
{
	served_open(&served, &answers_once, "");
	served_send(&served, "hello");
	rig_turn();
	ck_assert_int_eq(served_state(&served), SESSION_LINGERING);
	rig_pass_ms(LINGER_GLANCE_MS);
	ck_assert_int_eq(served_state(&served), SESSION_LINGERING);
	served_close(&served);
	rig_turn();
	served_expect_end(&served, CONN_END_SERVICE);
}
END_TEST

START_TEST(an_end_that_was_told_before_is_not_waited_for)
{
	static char long_request[65];

	memset(long_request, 'x', sizeof(long_request) - 1);
	served_open(&served, &answers_once, "");
	/* The buffer is filled: the handler has not seen the end. */
	served_send(&served, long_request);
	ck_assert_int_eq(shutdown(served.client, SHUT_WR), 0);
	rig_turn();
	served_expect_end(&served, CONN_END_SERVICE);
	served_expect(&served, "once");
}
END_TEST

static void
add_running(Suite *suite)
{
	TCase *tc = rig_case(suite, "starting");

	tcase_add_checked_fixture(tc, reset_counts, NULL);
	tcase_add_test(tc, client_first_waits_for_input_without_a_stack);
	tcase_add_test(tc, client_first_takes_what_had_come_before);
	tcase_add_test(tc, a_handler_that_speaks_first_runs_at_once);
	tcase_add_test(tc, no_memory_for_a_stack_ends_it_as_an_error);
	tcase_add_test(tc, a_descriptor_that_cannot_be_watched_ends_it_as_an_error);
	tc = rig_case(suite, "parking");
	tcase_add_checked_fixture(tc, reset_counts, NULL);
	tcase_add_test(tc, a_parked_connection_holds_no_stack_and_is_called_anew);
	tcase_add_test(tc, one_that_parks_with_input_left_is_called_in_the_next_turn);
	tcase_add_test(tc, one_that_parks_after_all_of_its_input_holds_no_stack);
	tcase_add_test(tc, input_and_its_end_at_once_are_both_delivered);
	tcase_add_test(tc, one_that_parks_after_the_end_is_over);
	tc = rig_case(suite, "fairness");
	tcase_add_checked_fixture(tc, reset_counts, NULL);
	tcase_add_test(tc, one_that_always_has_input_lets_the_others_run);
}

static void
add_lingering(Suite *suite)
{
	TCase *tc = rig_case(suite, "verdicts");

	tcase_add_test(tc, done_is_the_service_s_end);
	tcase_add_test(tc, minus_one_is_an_error);
	tcase_add_loop_test(tc, minus_one_for_a_client_that_is_gone_is_its_reset, 0, 2);
	tc = rig_case(suite, "lingering");
	tcase_add_test(tc, one_that_lingers_holds_no_room);
	tcase_add_test(tc, a_client_that_closes_after_the_glance_is_seen_at_once);
	tcase_add_test(tc, a_client_that_never_closes_has_its_time);
	tcase_add_test(tc, a_client_that_goes_on_sending_gets_no_more_time);
	tcase_add_test(tc, a_client_that_sends_too_much_is_closed);
	tcase_add_test(tc, a_reply_arrives_although_the_request_was_not_read);
	tcase_add_test(tc, a_client_that_resets_while_it_lingers_is_over);
	tcase_add_test(tc, one_that_was_watched_is_watched_on);
	tcase_add_test(tc, an_end_that_was_told_before_is_not_waited_for);
}

int
main(void)
{
	Suite *suite = suite_create("service/session");

	add_running(suite);
	add_lingering(suite);
	add_ends(suite);
	return fixture_run(suite);
}
