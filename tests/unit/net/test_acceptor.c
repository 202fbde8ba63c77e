/* SPDX-License-Identifier: MIT */
/*
 * test_acceptor - taking connections in batches, and the two reasons to pause: no room, no descriptors.
 *
 * The loop is turned by hand and the clock stands still, so that a back-off is over when the test says so.
 */
#include "config.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/errmsg.h"
#include "base/fdutil.h"
#include "conf/conf.h"
#include "engine/loop.h"
#include "net/acceptor.h"
#include "net/route.h"
#include "net/socket.h"
#include "acceptorrig.h"
#include "netfixture.h"

/* ---- accepting ---------------------------------------------------------------------- */

START_TEST(connections_come_in_order_and_whole)
{
	struct sockaddr_in sin;
	socklen_t length = sizeof(sin);

	begin("", "");
	dial_many(3);
	turn_until_taken(3);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_uint_eq(taken[i].id, i + 1);
		ck_assert_int_eq(getsockname(clients[i], (struct sockaddr *)&sin, &length), 0);
		ck_assert_uint_eq(taken[i].peer.family, AF_INET);
		ck_assert_uint_eq(taken[i].peer.port, ntohs(sin.sin_port));
		ck_assert_uint_eq(taken[i].accepted_ns, fixture_now_ns());
		ck_assert(taken[i].admitted);
		ck_assert_int_ne(fcntl(taken[i].fd, F_GETFD) & FD_CLOEXEC, 0);
		ck_assert_int_ne(fcntl(taken[i].fd, F_GETFL) & O_NONBLOCK, 0);
	}
	ck_assert_uint_eq(atomic_load(&fixture.listener->counters.accepted), 3);
	fixture_check_sums(fixture.listener);
}
END_TEST

START_TEST(a_socket_is_not_polled_before_it_begins)
{
	fixture_open("", "", NULL);
	ck_assert_int_eq(acceptor_init(&acceptor, &loop, &sink, &fixture.totals), 0);
	listening = open_socket();
	ck_assert_int_eq(acceptor_add(&acceptor, listening), 0);
	dial_many(1);
	turn_some();
	ck_assert_uint_eq(taken_count, 0);
	acceptor_begin(&acceptor, listening);
	turn_until_taken(1);
}
END_TEST

START_TEST(a_socket_taken_out_leaves_its_clients_in_the_backlog)
{
	begin("", "");
	acceptor_remove(&acceptor, listening);
	acceptor_remove(&acceptor, listening);
	dial_many(1);
	turn_some();
	ck_assert_uint_eq(taken_count, 0);
	/* It is the very socket: whoever takes it in again finds them. */
	ck_assert_int_eq(acceptor_add(&acceptor, listening), 0);
	acceptor_begin(&acceptor, listening);
	turn_until_taken(1);
}
END_TEST

START_TEST(a_socket_that_was_never_added_can_be_taken_out)
{
	struct listen_socket *socket;

	begin("", "");
	socket = open_socket();
	acceptor_remove(&acceptor, socket);
	listen_socket_free(&socket);
}
END_TEST

START_TEST(a_socket_that_cannot_be_watched_is_told)
{
	struct listen_socket *socket;

	begin("", "");
	socket = open_socket();
	fd_close(&socket->fd);
	ck_assert_int_eq(acceptor_add(&acceptor, socket), -EBADF);
	acceptor_remove(&acceptor, socket);
	listen_socket_free(&socket);
}
END_TEST

START_TEST(unix_clients_come_without_an_address)
{
	char options[128];

	snprintf(options, sizeof(options), "address = \"unix:%s\"; max_per_source = 1;", fixture_path("x.sock"));
	begin("", options);
	acceptor.wants_backlog_time = true;
	dial_many(2);
	turn_until_taken(2);
	ck_assert_uint_eq(taken[0].peer.family, AF_UNIX);
	ck_assert_uint_eq(taken[0].backlog_ms, 0);
}
END_TEST

START_TEST(a_client_that_left_the_backlog_does_no_harm)
{
	struct linger reset = {.l_onoff = 1};

	begin("", "");
	dial_many(2);
	ck_assert_int_eq(setsockopt(clients[0], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	close(clients[0]);
	clients[0] = clients[--client_count];
	/* Linux hands the dead one out all the same; it is found out by reading. */
	turn_until_taken(2);
}
END_TEST

/* ---- batches ------------------------------------------------------------------------- */

START_TEST(batches_grow_while_the_backlog_fills_them)
{
	begin("", "");
	dial_many(40);
	turn_until_taken(40);
	for (unsigned i = 0; i < 8; i++)
		ck_assert_uint_eq(batches[i], 1);
	for (unsigned i = 8; i < 16; i++)
		ck_assert_uint_eq(batches[i], 2);
	for (unsigned i = 16; i < 20; i++)
		ck_assert_uint_eq(batches[i], 4);
	ck_assert_uint_eq(batch_count, 20);
}
END_TEST

START_TEST(a_batch_that_finds_the_backlog_empty_makes_the_next_smaller)
{
	begin("", "");
	listening->expect = 64;
	dial_many(3);
	turn_until_taken(3);
	ck_assert_uint_eq(batch_count, 1);
	ck_assert_uint_eq(batches[0], 3);
	ck_assert_uint_eq(listening->expect, 3);
}
END_TEST

START_TEST(no_batch_is_larger_than_the_largest)
{
	begin("", "");
	listening->expect = 64;
	listening->full_batches = 7;
	dial_many(130);
	turn_until_taken(130);
	ck_assert_uint_eq(batches[0], 64);
	ck_assert_uint_eq(batches[1], 64);
	ck_assert_uint_eq(batches[2], 2);
}
END_TEST

/* ---- admission -------------------------------------------------------------------------- */

START_TEST(what_is_not_admitted_is_counted_and_logged_and_not_submitted)
{
	char buf[64];
	const char *text;

	begin("", "max_connections = 1; " BUSY);
	fixture_capture();
	dial_many(2);
	turn_until_taken(1);
	while (listener_rejected(fixture.listener) == 0)
		fixture_turn(&loop);
	text = fixture_captured();
	ck_assert_msg(strstr(text, "refused 1 connection: refused-limit 1") != NULL, "%s", text);
	ck_assert_uint_eq(atomic_load(&fixture.listener->counters.rejected[CONN_END_REFUSED_LIMIT]), 1);
	ck_assert_int_eq(fixture_read_all(clients[1], buf, sizeof(buf)), (int)strlen(BUSY_TEXT));
	fixture_check_sums(fixture.listener);
}
END_TEST

START_TEST(the_daemon_s_limit_holds_for_all)
{
	begin("", "");
	acceptor.max_connections = 2;
	dial_many(3);
	turn_until_taken(2);
	while (listener_rejected(fixture.listener) == 0)
		fixture_turn(&loop);
	ck_assert_uint_eq(atomic_load(&fixture.listener->counters.rejected[CONN_END_REFUSED_LIMIT]), 1);
}
END_TEST

/* ---- out of descriptors ---------------------------------------------------------------------- */

static void
run_out(void)
{
	fixture_exhaust_descriptors();
	while (!timer_is_set(&acceptor.backoff))
		fixture_turn(&loop);
}

START_TEST(an_episode_pauses_without_turning_and_is_told_once)
{
	const char *text;

	begin("", "");
	fixture_capture();
	dial_many(1);
	run_out();
	ck_assert(!listening->polled);
	turn_some();
	ck_assert_uint_eq(batch_count, 1);
	for (int i = 0; i < 10; i++)
		end_pause(BACKOFF_MAX_MS);
	ck_assert_uint_eq(batch_count, 11);
	ck_assert_uint_eq(acceptor.episodes, 1);
	fixture_allow_descriptors();
	end_pause(BACKOFF_MAX_MS);
	ck_assert_uint_eq(taken_count, 1);
	end_pause(EPISODE_CLEAR_MS);
	text = fixture_captured();
	ck_assert_msg(strstr(text, "listener 'web': cannot accept: Too many open files; all listeners pause") != NULL,
		"%s", text);
	ck_assert_msg(strstr(text, "accepting again after 6500 ms") != NULL, "%s", text);
	ck_assert_uint_eq(fixture_count(text, "\n"), 2);
}
END_TEST

START_TEST(the_pauses_grow_up_to_a_bound)
{
	uint64_t expected = BACKOFF_FIRST_MS;

	begin("", "");
	fixture_capture();
	dial_many(1);
	run_out();
	for (int i = 0; i < 12; i++) {
		ck_assert_uint_eq(acceptor.backoff_ms, expected);
		end_pause(expected - 1);
		ck_assert_msg(!listening->polled, "too early");
		end_pause(1);
		expected = expected * 2 < BACKOFF_MAX_MS ? expected * 2 : BACKOFF_MAX_MS;
	}
	fixture_allow_descriptors();
	end_pause(BACKOFF_MAX_MS);
	(void)fixture_captured();
}
END_TEST

START_TEST(the_next_episode_is_told_and_begins_with_a_short_pause)
{
	begin("", "");
	fixture_capture();
	for (unsigned i = 1; i <= 3; i++) {
		dial_many(1);
		run_out();
		ck_assert_uint_eq(acceptor.episodes, i);
		ck_assert_uint_eq(acceptor.backoff_ms, BACKOFF_FIRST_MS);
		fixture_allow_descriptors();
		end_pause(BACKOFF_FIRST_MS);
		ck_assert_uint_eq(taken_count, i);
		end_pause(EPISODE_CLEAR_MS);
		ck_assert_uint_eq(acceptor.episode_started_ns, 0);
	}
	ck_assert_uint_eq(fixture_count(fixture_captured(), "cannot accept"), 3);
}
END_TEST

/* At the very limit each connection that closes lets one in. */
START_TEST(one_that_gets_in_does_not_end_an_episode)
{
	begin("", "");
	fixture_capture();
	for (int i = 0; i < 5; i++) {
		dial_many(1);
		run_out();
		fixture_allow_descriptors();
		end_pause(BACKOFF_MAX_MS);
	}
	ck_assert_uint_eq(taken_count, 5);
	ck_assert_uint_eq(acceptor.episodes, 1);
	end_pause(EPISODE_CLEAR_MS);
	ck_assert_uint_eq(fixture_count(fixture_captured(), "\n"), 2);
}
END_TEST

START_TEST(every_socket_pauses_and_every_socket_resumes)
{
	struct listen_socket *other, *late;

	begin("", "");
	fixture_capture();
	other = open_socket();
	late = open_socket();
	ck_assert_int_eq(acceptor_add(&acceptor, other), 0);
	ck_assert_int_eq(acceptor_add(&acceptor, late), 0);
	acceptor_begin(&acceptor, other);
	dial_many(1);
	run_out();
	ck_assert(!other->polled);
	/* One that a reload brings meanwhile waits like the others, and a signal of room does not end the pause. */
	acceptor_begin(&acceptor, late);
	acceptor_signal_room(&acceptor);
	acceptor_resume(&acceptor);
	ck_assert(!listening->polled && !other->polled && !late->polled);
	fixture_allow_descriptors();
	fixture_advance_ms(BACKOFF_FIRST_MS);
	fixture_turn(&loop);
	ck_assert(listening->polled && other->polled && late->polled);
	turn_until_taken(1);
	(void)fixture_captured();
	acceptor_remove(&acceptor, other);
	acceptor_remove(&acceptor, late);
	listen_socket_free(&other);
	listen_socket_free(&late);
}
END_TEST

START_TEST(sockets_that_are_ready_together_begin_one_pause)
{
	struct listen_socket *other;

	begin("", "");
	fixture_capture();
	other = open_socket();
	ck_assert_int_eq(acceptor_add(&acceptor, other), 0);
	acceptor_begin(&acceptor, other);
	dial(listening);
	dial(other);
	run_out();
	ck_assert_uint_eq(acceptor.backoff_ms, BACKOFF_FIRST_MS);
	ck_assert_uint_eq(batch_count, 1);
	fixture_allow_descriptors();
	end_pause(BACKOFF_FIRST_MS);
	turn_until_taken(2);
	(void)fixture_captured();
	acceptor_remove(&acceptor, other);
	listen_socket_free(&other);
}
END_TEST

START_TEST(a_pool_that_waits_leaves_its_clients_in_the_backlog)
{
	begin("queue_full = \"wait\";", BUSY);
	fixture_capture();
	dial_many(3);
	run_out();
	ck_assert_uint_eq(listener_rejected(fixture.listener), 0);
	fixture_allow_descriptors();
	end_pause(BACKOFF_FIRST_MS);
	turn_until_taken(3);
	(void)fixture_captured();
}
END_TEST

START_TEST(a_pool_that_rejects_tells_them_by_the_reserve)
{
	char buf[64];
	int reserve;

	begin("queue_full = \"reject\";", BUSY);
	fixture_capture();
	dial_many(3);
	reserve = acceptor.reserve_fd;
	run_out();
	ck_assert_uint_eq(atomic_load(&fixture.listener->counters.rejected[CONN_END_REFUSED_MEMORY]), 3);
	fixture_check_sums(fixture.listener);
	ck_assert_int_eq(acceptor.reserve_fd, reserve);
	fixture_allow_descriptors();
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(fixture_read_all(clients[i], buf, sizeof(buf)), (int)strlen(BUSY_TEXT));
		ck_assert_int_eq(memcmp(buf, BUSY_TEXT, strlen(BUSY_TEXT)), 0);
	}
	ck_assert_uint_eq(taken_count, 0);
	(void)fixture_captured();
}
END_TEST

START_TEST(who_is_denied_is_told_nothing_by_the_reserve_either)
{
	char buf[64];

	begin("queue_full = \"reject\";", BUSY "deny = \"127.0.0.0/8\"; ");
	fixture_capture();
	dial_many(2);
	run_out();
	ck_assert_uint_eq(atomic_load(&fixture.listener->counters.rejected[CONN_END_REFUSED_ACCESS]), 2);
	fixture_check_sums(fixture.listener);
	fixture_allow_descriptors();
	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(fixture_read_all(clients[i], buf, sizeof(buf)), 0);
	(void)fixture_captured();
}
END_TEST

START_TEST(without_a_reserve_a_pool_that_rejects_waits_too)
{
	begin("queue_full = \"reject\";", BUSY);
	fixture_capture();
	dial_many(1);
	fd_close(&acceptor.reserve_fd);
	/* The descriptor set free is used up by another. */
	dial(listening);
	run_out();
	ck_assert_uint_eq(listener_rejected(fixture.listener), 0);
	fixture_allow_descriptors();
	end_pause(BACKOFF_FIRST_MS);
	ck_assert_int_ge(acceptor.reserve_fd, 0);
	turn_until_taken(2);
	(void)fixture_captured();
}
END_TEST

/* A reload reads its files with it. */
START_TEST(while_the_reserve_is_lent_no_pause_ends)
{
	begin("", "");
	fixture_capture();
	dial_many(1);
	run_out();
	acceptor_lend_reserve(&acceptor);
	ck_assert_int_lt(acceptor.reserve_fd, 0);
	for (unsigned i = 0; i < 3; i++) {
		end_pause(BACKOFF_FIRST_MS);
		turn_some();
		ck_assert(timer_is_set(&acceptor.backoff));
		ck_assert_uint_eq(taken_count, 0);
	}
	acceptor_take_reserve(&acceptor);
	ck_assert_int_ge(acceptor.reserve_fd, 0);
	fixture_allow_descriptors();
	end_pause(BACKOFF_FIRST_MS);
	turn_until_taken(1);
	(void)fixture_captured();
}
END_TEST

START_TEST(reserve_is_not_lent_for_ever)
{
	begin("", "");
	fixture_capture();
	dial_many(1);
	run_out();
	acceptor_lend_reserve(&acceptor);
	fixture_allow_descriptors();
	end_pause(RESERVE_LENT_MS);
	turn_until_taken(1);
	(void)fixture_captured();
}
END_TEST

/* Somebody who shares the socket has shut it down: nothing that a pause can mend, but no reason to turn either. */
START_TEST(a_socket_that_was_shut_down_pauses_alone_and_listens_again)
{
	struct listen_socket *other;
	const char *text;

	begin("", "");
	fixture_capture();
	other = open_other();
	ck_assert_int_eq(shutdown(listening->fd, SHUT_RDWR), 0);
	while (acceptor.faults == 0)
		fixture_turn(&loop);
	ck_assert(!listening->polled && other->polled);
	ck_assert_msg(!timer_is_set(&acceptor.backoff), "all listeners pause");
	dial(other);
	turn_until_taken(1);
	dial(listening);
	turn_some();
	ck_assert_uint_eq(taken_count, 1);
	end_pause(BACKOFF_FIRST_MS);
	turn_until_taken(2);
	ck_assert_uint_eq(came_by(listening), 1);
	end_pause(FAULT_CLEAR_MS);
	text = fixture_captured();
	ck_assert_msg(strstr(text, "was shut down by another process") != NULL, "%s", text);
	ck_assert_msg(strstr(text, "again after 10010 ms") != NULL, "%s", text);
	ck_assert_uint_eq(fixture_count(text, "\n"), 2);
	close_other(&other);
}
END_TEST

START_TEST(a_socket_that_is_shut_down_again_and_again_pauses_longer_and_is_told_once)
{
	uint64_t expected = BACKOFF_FIRST_MS;

	begin("", "");
	fixture_capture();
	for (unsigned i = 1; i <= 12; i++) {
		ck_assert_int_eq(shutdown(listening->fd, SHUT_RDWR), 0);
		while (acceptor.faults < i)
			fixture_turn(&loop);
		ck_assert_uint_eq(listening->pause_ms, expected);
		end_pause(expected);
		expected = expected * 2 < PAUSE_MAX_MS ? expected * 2 : PAUSE_MAX_MS;
	}
	ck_assert_uint_eq(fixture_count(fixture_captured(), "\n"), 1);
	dial_many(1);
	turn_until_taken(1);
}
END_TEST

/* Of Unix sockets Linux lets none listen again: it is left to the next reload. */
START_TEST(a_socket_that_stays_broken_does_not_turn_the_loop)
{
	struct pollfd events = {.fd = loop.epoll_fd, .events = POLLIN};
	char options[128];

	snprintf(options, sizeof(options), "address = \"unix:%s\";", fixture_path("x.sock"));
	begin("", options);
	fixture_capture();
	ck_assert_int_eq(shutdown(listening->fd, SHUT_RDWR), 0);
	while (acceptor.faults == 0)
		fixture_turn(&loop);
	turn_some();
	ck_assert_uint_eq(acceptor.faults, 1);
	ck_assert(listening->is_broken);
	ck_assert_msg(poll(&events, 1, 0) == 0, "the loop would not sleep");
	end_pause(BACKOFF_FIRST_MS);
	ck_assert_uint_eq(acceptor.faults, 2);
	ck_assert_uint_eq(fixture_count(fixture_captured(), "reload to open it anew"), 1);
}
END_TEST

/* ---- the reserve ------------------------------------------------------------------------------- */

START_TEST(the_reserve_can_be_lent_and_taken_back)
{
	begin("", "");
	ck_assert_int_ge(acceptor.reserve_fd, 0);
	acceptor_lend_reserve(&acceptor);
	ck_assert_int_eq(acceptor.reserve_fd, -1);
	acceptor_lend_reserve(&acceptor);
	acceptor_take_reserve(&acceptor);
	ck_assert_int_ge(acceptor.reserve_fd, 0);
	ck_assert_int_ne(fcntl(acceptor.reserve_fd, F_GETFD) & FD_CLOEXEC, 0);
	acceptor_take_reserve(&acceptor);
}
END_TEST

START_TEST(a_start_without_a_reserve_fails)
{
	int rc;

	fixture_exhaust_descriptors();
	rc = acceptor_init(&acceptor, &loop, &sink, &fixture.totals);
	fixture_allow_descriptors();
	ck_assert_int_eq(rc, -EMFILE);
}
END_TEST

static void
add_accepting(Suite *suite)
{
	TCase *tc = acceptor_case(suite, "accepting");

	tcase_add_test(tc, connections_come_in_order_and_whole);
	tcase_add_test(tc, a_socket_is_not_polled_before_it_begins);
	tcase_add_test(tc, a_socket_taken_out_leaves_its_clients_in_the_backlog);
	tcase_add_test(tc, a_socket_that_was_never_added_can_be_taken_out);
	tcase_add_test(tc, a_socket_that_cannot_be_watched_is_told);
	tcase_add_test(tc, unix_clients_come_without_an_address);
	tcase_add_test(tc, a_client_that_left_the_backlog_does_no_harm);
	tc = acceptor_case(suite, "batches");
	tcase_add_test(tc, batches_grow_while_the_backlog_fills_them);
	tcase_add_test(tc, a_batch_that_finds_the_backlog_empty_makes_the_next_smaller);
	tcase_add_test(tc, no_batch_is_larger_than_the_largest);
	tc = acceptor_case(suite, "admission");
	tcase_add_test(tc, what_is_not_admitted_is_counted_and_logged_and_not_submitted);
	tcase_add_test(tc, the_daemon_s_limit_holds_for_all);
}

static void
add_pausing(Suite *suite)
{
	TCase *tc;

	rig_add_room(suite);
	tc = acceptor_case(suite, "out of descriptors");
	tcase_add_test(tc, an_episode_pauses_without_turning_and_is_told_once);
	tcase_add_test(tc, the_pauses_grow_up_to_a_bound);
	tcase_add_test(tc, the_next_episode_is_told_and_begins_with_a_short_pause);
	tcase_add_test(tc, one_that_gets_in_does_not_end_an_episode);
	tcase_add_test(tc, every_socket_pauses_and_every_socket_resumes);
	tcase_add_test(tc, sockets_that_are_ready_together_begin_one_pause);
	tcase_add_test(tc, a_pool_that_waits_leaves_its_clients_in_the_backlog);
	tcase_add_test(tc, a_pool_that_rejects_tells_them_by_the_reserve);
	tcase_add_test(tc, who_is_denied_is_told_nothing_by_the_reserve_either);
	tcase_add_test(tc, without_a_reserve_a_pool_that_rejects_waits_too);
	tcase_add_test(tc, while_the_reserve_is_lent_no_pause_ends);
	tcase_add_test(tc, reserve_is_not_lent_for_ever);
	tc = acceptor_case(suite, "broken");
	tcase_add_test(tc, a_socket_that_was_shut_down_pauses_alone_and_listens_again);
	tcase_add_test(tc, a_socket_that_is_shut_down_again_and_again_pauses_longer_and_is_told_once);
	tcase_add_test(tc, a_socket_that_stays_broken_does_not_turn_the_loop);
	tc = acceptor_case(suite, "reserve");
	tcase_add_test(tc, the_reserve_can_be_lent_and_taken_back);
	tcase_add_test(tc, a_start_without_a_reserve_fails);
}

int
main(void)
{
	Suite *suite = suite_create("net/acceptor");

	add_accepting(suite);
	add_pausing(suite);
	return fixture_run(suite);
}
