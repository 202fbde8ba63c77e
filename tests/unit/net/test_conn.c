/* SPDX-License-Identifier: MIT */
/*
 * test_conn - the two ends of a connection: rejected or closed, each counted once, the client told what it may know.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "conf/conf.h"
#include "net/admission.h"
#include "net/route.h"
#include "netfixture.h"

#define BUSY "busy_message = \"come again\\n\";"
#define BUSY_TEXT "come again\n"

static int ends[2];

/* A connection over loopback that holds a place in the limits. */
static void
arrive(struct accepted *accepted)
{
	fixture_tcp_pair(ends);
	fixture_accept(accepted, ends[0], "127.0.0.1");
	ck_assert_int_eq(admission_decide(accepted, UINT64_MAX), CONN_END_NONE);
}

static uint64_t
rejected(enum conn_end why)
{
	return atomic_load(&fixture.listener->counters.rejected[why]);
}

/* ---- words ------------------------------------------------------------------------- */

START_TEST(every_end_has_a_word_of_its_own)
{
	for (int a = 0; a < CONN_END_COUNT; a++) {
		ck_assert_ptr_nonnull(conn_end_word((enum conn_end)a));
		for (int b = 0; b < a; b++)
			ck_assert_str_ne(conn_end_word((enum conn_end)a), conn_end_word((enum conn_end)b));
	}
	ck_assert_str_eq(conn_end_word(CONN_END_IDLE), "idle");
	ck_assert_str_eq(conn_end_word(CONN_END_QUEUE_TIMEOUT), "queue-timeout");
}
END_TEST

/* ---- rejecting --------------------------------------------------------------------- */

START_TEST(a_rejected_one_is_counted_closed_and_gives_its_place_back)
{
	struct accepted accepted;
	char buf[64];

	fixture_open("", "max_per_source = 1;", NULL);
	arrive(&accepted);
	accepted_reject(&accepted, CONN_END_QUEUE_FULL);
	ck_assert_int_eq(accepted.fd, -1);
	ck_assert_ptr_null(accepted.route);
	ck_assert_uint_eq(rejected(CONN_END_QUEUE_FULL), 1);
	ck_assert_uint_eq(atomic_load(&fixture.listener->held), 0);
	ck_assert_int_eq(fixture_read_all(ends[1], buf, sizeof(buf)), 0);
	close(ends[1]);
}
END_TEST

/* Which of the reasons tell the client to come again. */
START_TEST(busy_message_is_for_load_and_not_for_access)
{
	fixture_open("", BUSY, NULL);
	for (int why = CONN_END_FIRST_REJECTED; why < CONN_END_COUNT; why++) {
		bool told = why != CONN_END_REFUSED_ACCESS && why != CONN_END_REFUSED_PROXY &&
			    why != CONN_END_QUEUE_RESET;
		struct accepted accepted;
		char buf[64];
		int length;

		arrive(&accepted);
		accepted_reject(&accepted, (enum conn_end)why);
		length = fixture_read_all(ends[1], buf, sizeof(buf));
		ck_assert_int_eq(length, told ? (int)strlen(BUSY_TEXT) : 0);
		ck_assert_int_eq(memcmp(buf, BUSY_TEXT, (size_t)length), 0);
		ck_assert_uint_eq(rejected((enum conn_end)why), 1);
		close(ends[1]);
	}
}
END_TEST

/* Closing a socket with unread input resets the connection, and the reset overtakes what was sent. */
START_TEST(busy_message_arrives_although_the_client_had_sent_something)
{
	static const char request[10000] = "GET / HTTP/1.0\r\n";
	struct accepted accepted;
	char buf[sizeof(request)];

	fixture_open("", BUSY, NULL);
	arrive(&accepted);
	ck_assert_int_eq(send(ends[1], request, sizeof(request), 0), sizeof(request));
	/* All of it is there, so that nothing comes after the close. */
	while (recv(ends[0], buf, sizeof(request), MSG_PEEK) < (ssize_t)sizeof(request))
		continue;
	accepted_reject(&accepted, CONN_END_QUEUE_FULL);
	ck_assert_int_eq(fixture_read_all(ends[1], buf, sizeof(buf)), (int)strlen(BUSY_TEXT));
	fixture_expect_no_reset(ends[1]);
	close(ends[1]);
}
END_TEST

START_TEST(a_client_that_floods_does_not_keep_the_one_who_rejects_it)
{
	static char flood[64 * 1024];
	struct accepted accepted;
	char buf[64];
	int got;

	fixture_open("", BUSY, NULL);
	arrive(&accepted);
	while (send(ends[1], flood, sizeof(flood), MSG_DONTWAIT) > 0)
		continue;
	accepted_reject(&accepted, CONN_END_QUEUE_FULL);
	/* What it threw at us may cost it the message, not more. */
	got = fixture_read_all(ends[1], buf, sizeof(buf));
	ck_assert(got == (int)strlen(BUSY_TEXT) || got == 0 || got == -ECONNRESET);
	close(ends[1]);
}
END_TEST

START_TEST(a_client_that_is_gone_is_rejected_all_the_same)
{
	struct linger reset = {.l_onoff = 1};
	struct accepted accepted;

	fixture_open("", BUSY, NULL);
	arrive(&accepted);
	ck_assert_int_eq(setsockopt(ends[1], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	close(ends[1]);
	accepted_reject(&accepted, CONN_END_QUEUE_TIMEOUT);
	ck_assert_uint_eq(rejected(CONN_END_QUEUE_TIMEOUT), 1);
}
END_TEST

/* ---- in the queue ------------------------------------------------------------------------ */

START_TEST(the_sum_holds_at_every_step)
{
	struct accepted accepted;
	struct conn conn = {0};

	fixture_open("", "max_connections = 1;", NULL);
	arrive(&accepted);
	accepted_enter_queue(&accepted);
	fixture_check_sums(fixture.listener);
	ck_assert_uint_eq(atomic_load(&fixture.listener->counters.queued), 1);
	accepted_leave_queue(&accepted);
	conn_open(&conn, &accepted, 0, fixture_now_ns());
	fixture_check_sums(fixture.listener);
	ck_assert_uint_eq(atomic_load(&fixture.listener->counters.active), 1);
	conn_set_end(&conn, CONN_END_SERVICE);
	conn_close(&conn, fixture_now_ns());
	fixture_check_sums(fixture.listener);
	ck_assert_uint_eq(atomic_load(&fixture.listener->counters.closed), 1);
	close(ends[1]);
}
END_TEST

START_TEST(a_client_that_waits_is_not_reset)
{
	struct accepted accepted;

	fixture_open("", "", NULL);
	arrive(&accepted);
	ck_assert(!accepted_is_reset(&accepted));
	ck_assert_int_eq(send(ends[1], "hello", 5, 0), 5);
	ck_assert(!accepted_is_reset(&accepted));
	accepted_reject(&accepted, CONN_END_QUEUE_DRAIN);
	close(ends[1]);
}
END_TEST

/* It has said all it has to say and waits for the answer. */
START_TEST(a_client_that_half_closed_is_not_reset)
{
	struct accepted accepted;
	char end;

	fixture_open("", "", NULL);
	arrive(&accepted);
	ck_assert_int_eq(shutdown(ends[1], SHUT_WR), 0);
	while (recv(ends[0], &end, 1, 0) != 0)
		ck_assert_int_eq(errno, EAGAIN);
	ck_assert(!accepted_is_reset(&accepted));
	accepted_reject(&accepted, CONN_END_QUEUE_DRAIN);
	close(ends[1]);
}
END_TEST

START_TEST(a_client_that_reset_is_seen)
{
	struct linger reset = {.l_onoff = 1};
	struct accepted accepted;

	fixture_open("", "", NULL);
	arrive(&accepted);
	ck_assert_int_eq(setsockopt(ends[1], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	close(ends[1]);
	while (!accepted_is_reset(&accepted))
		continue;
	accepted_reject(&accepted, CONN_END_QUEUE_RESET);
	ck_assert_uint_eq(rejected(CONN_END_QUEUE_RESET), 1);
}
END_TEST

START_TEST(a_unix_client_that_left_is_not_reset_if_it_has_sent)
{
	struct accepted accepted;

	fixture_open("", "", NULL);
	fixture_unix_pair(ends);
	fixture_accept(&accepted, ends[0], NULL);
	ck_assert_int_eq(send(ends[1], "hello", 5, 0), 5);
	close(ends[1]);
	ck_assert(!accepted_is_reset(&accepted));
	accepted_reject(&accepted, CONN_END_QUEUE_DRAIN);
}
END_TEST

START_TEST(a_unix_client_that_vanished_is_seen)
{
	struct accepted accepted;

	fixture_open("", "", NULL);
	fixture_unix_pair(ends);
	fixture_accept(&accepted, ends[0], NULL);
	ck_assert(!accepted_is_reset(&accepted));
	close(ends[1]);
	ck_assert(accepted_is_reset(&accepted));
	accepted_reject(&accepted, CONN_END_QUEUE_RESET);
}
END_TEST

/* ---- on a worker ----------------------------------------------------------------------------- */

START_TEST(opening_takes_the_connection_over)
{
	struct accepted accepted;
	struct conn conn = {0};

	fixture_open("", "", NULL);
	arrive(&accepted);
	conn_open(&conn, &accepted, 3, 42);
	ck_assert_int_eq(accepted.fd, -1);
	ck_assert_ptr_null(accepted.route);
	ck_assert_int_eq(conn.from.fd, ends[0]);
	ck_assert_ptr_eq(conn.from.route, fixture.route);
	ck_assert_uint_eq(conn.worker, 3);
	ck_assert_uint_eq(conn.started_ns, 42);
	ck_assert(conn.from.admitted);
	conn_set_end(&conn, CONN_END_CLIENT);
	conn_close(&conn, fixture_now_ns());
	close(ends[1]);
}
END_TEST

START_TEST(the_first_cause_stays)
{
	struct conn conn = {0};

	conn_set_end(&conn, CONN_END_IDLE);
	conn_set_end(&conn, CONN_END_SERVICE);
	ck_assert_int_eq(conn.end, CONN_END_IDLE);
}
END_TEST

/* Serves and closes one that waited 2 ms and took 5; what was logged. */
static const char *
close_one(bool over_unix)
{
	struct accepted accepted;
	struct conn conn = {0};

	if (over_unix) {
		fixture_unix_pair(ends);
		fixture_accept(&accepted, ends[0], NULL);
	} else {
		arrive(&accepted);
	}
	conn_open(&conn, &accepted, 0, accepted.accepted_ns + 2 * CLOCK_NS_PER_MS);
	conn.bytes_in = 10;
	conn.bytes_out = 20;
	conn_set_end(&conn, CONN_END_SERVICE);
	fixture_capture();
	conn_close(&conn, conn.started_ns + 5 * CLOCK_NS_PER_MS);
	close(ends[1]);
	return fixture_captured();
}

START_TEST(closing_writes_one_record_with_the_whole_story)
{
	const char *text;

	fixture_open("", "", NULL);
	text = close_one(false);
	ck_assert_msg(strstr(text, "from 127.0.0.1:4711 on listener 'web' closed: service "
				   "(in 10, out 20 bytes; queued 2.0 ms, served 5.0 ms)") != NULL,
		"%s", text);
	ck_assert_uint_eq(fixture_count(text, "\n"), 1);
	ck_assert_uint_eq(atomic_load(&fixture.listener->counters.bytes_in), 10);
	ck_assert_uint_eq(atomic_load(&fixture.listener->counters.bytes_out), 20);
}
END_TEST

/* The header named a client that is not let in: only the worker knew. */
START_TEST(one_rejected_on_a_worker_counts_as_rejected_and_is_told_so)
{
	struct accepted accepted;
	struct conn conn = {0};
	const char *text;
	char buf[64];

	fixture_open("", BUSY, NULL);
	arrive(&accepted);
	conn_open(&conn, &accepted, 0, fixture_now_ns());
	conn_set_end(&conn, CONN_END_REFUSED_SOURCE);
	fixture_capture();
	conn_close(&conn, fixture_now_ns());
	text = fixture_captured();
	ck_assert_msg(strstr(text, "closed: refused-source (in 0, out 0 bytes") != NULL, "%s", text);
	ck_assert_uint_eq(rejected(CONN_END_REFUSED_SOURCE), 1);
	ck_assert_uint_eq(atomic_load(&fixture.listener->counters.closed), 0);
	ck_assert_uint_eq(atomic_load(&fixture.listener->counters.active), 0);
	fixture_check_sums(fixture.listener);
	ck_assert_int_eq(fixture_read_all(ends[1], buf, sizeof(buf)), (int)strlen(BUSY_TEXT));
	close(ends[1]);
}
END_TEST

START_TEST(a_unix_client_is_named_by_its_process)
{
	const char *text;
	char want[64];

	fixture_open("", "", NULL);
	text = close_one(true);
	snprintf(want, sizeof(want), "from unix:pid=%d,uid=%u on", (int)getpid(), (unsigned)getuid());
	ck_assert_msg(strstr(text, want) != NULL, "%s", text);
}
END_TEST

START_TEST(the_record_can_be_switched_off)
{
	fixture_open("", "", NULL);
	fixture.conf->log.connections = false;
	ck_assert_str_eq(close_one(false), "");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("net/conn");
	TCase *tc = fixture_case(suite, "words");

	tcase_add_test(tc, every_end_has_a_word_of_its_own);
	tc = fixture_case(suite, "rejecting");
	tcase_add_test(tc, a_rejected_one_is_counted_closed_and_gives_its_place_back);
	tcase_add_test(tc, busy_message_is_for_load_and_not_for_access);
	tcase_add_test(tc, busy_message_arrives_although_the_client_had_sent_something);
	tcase_add_test(tc, a_client_that_floods_does_not_keep_the_one_who_rejects_it);
	tcase_add_test(tc, a_client_that_is_gone_is_rejected_all_the_same);
	tc = fixture_case(suite, "in the queue");
	tcase_add_test(tc, the_sum_holds_at_every_step);
	tcase_add_test(tc, a_client_that_waits_is_not_reset);
	tcase_add_test(tc, a_client_that_half_closed_is_not_reset);
	tcase_add_test(tc, a_client_that_reset_is_seen);
	tcase_add_test(tc, a_unix_client_that_left_is_not_reset_if_it_has_sent);
	tcase_add_test(tc, a_unix_client_that_vanished_is_seen);
	tc = fixture_case(suite, "on a worker");
	tcase_add_test(tc, opening_takes_the_connection_over);
	tcase_add_test(tc, the_first_cause_stays);
	tcase_add_test(tc, closing_writes_one_record_with_the_whole_story);
	tcase_add_test(tc, one_rejected_on_a_worker_counts_as_rejected_and_is_told_so);
	tcase_add_test(tc, a_unix_client_is_named_by_its_process);
	tcase_add_test(tc, the_record_can_be_switched_off);
	return fixture_run(suite);
}
