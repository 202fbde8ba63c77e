/* SPDX-License-Identifier: MIT */
/*
 * One connection over a socket pair: the test is the server and says when the descriptor is ready.
 */
#include "config.h"

#include "client/bench_conn.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "client/pattern.h"
#include "client/result.h"
#include "peer_server.h"

#define SIZE 100

static struct bench_conn conn;
static struct pattern *pattern;
static int peer;
static unsigned char scratch[4096];
static unsigned char got[SIZE];

static void
setup(void)
{
	int ends[2];

	pattern = pattern_new();
	ck_assert_ptr_nonnull(pattern);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	peer = ends[1];
	bench_conn_init(&conn, 3);
	conn.fd = ends[0];
	conn.state = BENCH_CONN_READY;
}

static void
teardown(void)
{
	bench_conn_close(&conn);
	ck_assert_int_eq(conn.state, BENCH_CONN_CLOSED);
	ck_assert_int_eq(conn.fd, -1);
	fd_close(&peer);
	pattern_free(&pattern);
}

static int
progress(uint32_t events)
{
	bench_conn_note_events(&conn, events);
	return bench_conn_progress(&conn, pattern, scratch, sizeof(scratch));
}

/* Sends SIZE bytes, which the peer then has in got. */
static void
start_request(void)
{
	bench_conn_start(&conn, SIZE);
	ck_assert_int_eq(progress(EPOLLOUT), BENCH_PROGRESS_WAIT);
	ck_assert_int_eq(recv(peer, got, SIZE, MSG_DONTWAIT), SIZE);
}

static void
reply(size_t len)
{
	ck_assert_int_eq(write(peer, got, len), (ssize_t)len);
}

START_TEST(a_right_answer_is_done)
{
	start_request();
	ck_assert(pattern_matches(pattern, pattern_entry(3), got, SIZE));
	reply(SIZE);
	ck_assert_int_eq(progress(EPOLLIN), BENCH_PROGRESS_DONE);
	ck_assert_int_eq(conn.state, BENCH_CONN_READY);
}
END_TEST

START_TEST(an_answer_may_come_in_pieces)
{
	start_request();
	reply(1);
	ck_assert_int_eq(progress(EPOLLIN), BENCH_PROGRESS_WAIT);
	ck_assert_int_eq(write(peer, got + 1, SIZE - 1), SIZE - 1);
	ck_assert_int_eq(progress(EPOLLIN), BENCH_PROGRESS_DONE);
}
END_TEST

START_TEST(every_single_wrong_byte_is_found)
{
	for (size_t place = 0; place < SIZE; place++) {
		teardown();
		setup();
		start_request();
		got[place] ^= 0x80;
		reply(SIZE);
		ck_assert_int_eq(progress(EPOLLIN), -RESULT_ERRNO_CORRUPTED);
	}
}
END_TEST

START_TEST(the_answer_of_the_request_before_is_wrong)
{
	start_request();
	reply(SIZE);
	ck_assert_int_eq(progress(EPOLLIN), BENCH_PROGRESS_DONE);
	bench_conn_start(&conn, SIZE);
	ck_assert_int_eq(progress(0), BENCH_PROGRESS_WAIT);
	reply(SIZE);
	ck_assert_int_eq(progress(EPOLLIN), -RESULT_ERRNO_CORRUPTED);
}
END_TEST

START_TEST(more_than_was_sent_is_wrong)
{
	start_request();
	reply(SIZE);
	reply(1);
	ck_assert_int_eq(progress(EPOLLIN), -RESULT_ERRNO_CORRUPTED);
}
END_TEST

START_TEST(the_end_before_the_whole_answer_is_early)
{
	start_request();
	reply(SIZE - 1);
	ck_assert_int_eq(shutdown(peer, SHUT_WR), 0);
	ck_assert_int_eq(progress(EPOLLIN), BENCH_PROGRESS_WAIT);
	ck_assert_int_eq(progress(EPOLLIN | EPOLLRDHUP), -RESULT_ERRNO_CLOSED_EARLY);
}
END_TEST

START_TEST(a_peer_that_is_gone_breaks_the_sending)
{
	fd_close(&peer);
	bench_conn_start(&conn, SIZE);
	ck_assert_int_eq(progress(EPOLLOUT), -EPIPE);
}
END_TEST

START_TEST(an_event_between_requests_is_kept_for_the_next)
{
	ck_assert_int_eq(shutdown(peer, SHUT_WR), 0);
	ck_assert_int_eq(progress(EPOLLIN | EPOLLRDHUP), BENCH_PROGRESS_WAIT);
	bench_conn_start(&conn, SIZE);
	ck_assert_int_eq(progress(EPOLLOUT), -RESULT_ERRNO_CLOSED_EARLY);
}
END_TEST

START_TEST(opening_ends_ready_or_with_the_reason)
{
	struct dial_endpoint nobody;
	struct peer_server server;
	int r;

	bench_conn_close(&conn);
	peer_server_refusing_endpoint(&nobody);
	ck_assert_int_eq(bench_conn_open(&conn, &nobody), -ECONNREFUSED);
	ck_assert_int_eq(conn.state, BENCH_CONN_CLOSED);
	peer_server_start(&server, PEER_SERVER_ECHO);
	r = bench_conn_open(&conn, &server.dial.endpoints[0]);
	ck_assert(r == 0 || r == -EINPROGRESS);
	if (r == -EINPROGRESS) {
		struct pollfd pollfd = { .fd = conn.fd, .events = POLLOUT };

		ck_assert_int_eq(progress(0), BENCH_PROGRESS_WAIT);
		ck_assert_int_eq(poll(&pollfd, 1, -1), 1);
		ck_assert_int_eq(progress(EPOLLOUT), BENCH_PROGRESS_CONNECTED);
	}
	ck_assert_int_eq(conn.state, BENCH_CONN_READY);
	peer_server_stop(&server);
}
END_TEST

static Suite *
bench_conn_suite(void)
{
	Suite *suite = suite_create("client/bench_conn");
	TCase *tc = tcase_create("right");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_right_answer_is_done);
	tcase_add_test(tc, an_answer_may_come_in_pieces);
	tcase_add_test(tc, opening_ends_ready_or_with_the_reason);
	suite_add_tcase(suite, tc);
	tc = tcase_create("wrong");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, every_single_wrong_byte_is_found);
	tcase_add_test(tc, the_answer_of_the_request_before_is_wrong);
	tcase_add_test(tc, more_than_was_sent_is_wrong);
	tcase_add_test(tc, the_end_before_the_whole_answer_is_early);
	tcase_add_test(tc, a_peer_that_is_gone_breaks_the_sending);
	tcase_add_test(tc, an_event_between_requests_is_kept_for_the_next);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	SRunner *runner = srunner_create(bench_conn_suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
