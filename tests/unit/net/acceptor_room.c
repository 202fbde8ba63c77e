/* SPDX-License-Identifier: MIT */
/*
 * acceptor_room - the half of net/acceptor's tests about sockets that wait for room (acceptor.h, WAITING).
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
#include "net/accept_thread.h"
#include "net/acceptor.h"
#include "net/route.h"
#include "net/socket.h"
#include "acceptorrig.h"
#include "netfixture.h"

/* ---- room --------------------------------------------------------------------------------- */

START_TEST(without_room_clients_wait_and_nothing_turns)
{
	begin("", "");
	room = false;
	dial_many(2);
	while (listening->polled)
		fixture_turn(&loop);
	ck_assert_uint_eq(batch_count, 1);
	turn_some();
	ck_assert_uint_eq(batch_count, 1);
	ck_assert_uint_eq(taken_count, 0);
}
END_TEST

START_TEST(room_ends_the_wait)
{
	begin("", "");
	room = false;
	dial_many(2);
	while (listening->polled)
		fixture_turn(&loop);
	room = true;
	acceptor_resume(&acceptor);
	ck_assert_msg(!listening->polled, "nobody has said so yet");
	acceptor_signal_room(&acceptor);
	ck_assert(acceptor_has_work(&acceptor));
	acceptor_resume(&acceptor);
	ck_assert(!acceptor_has_work(&acceptor));
	turn_until_taken(2);
}
END_TEST

START_TEST(a_signal_without_room_changes_nothing)
{
	begin("", "");
	room = false;
	dial_many(1);
	while (listening->polled)
		fixture_turn(&loop);
	acceptor_signal_room(&acceptor);
	acceptor_resume(&acceptor);
	ck_assert(!listening->polled);
}
END_TEST

START_TEST(room_that_ends_in_the_middle_of_a_batch_ends_the_batch)
{
	begin("", "");
	listening->expect = 8;
	listening->full_batches = 7;
	room_left = 3;
	dial_many(10);
	while (listening->polled)
		fixture_turn(&loop);
	ck_assert_uint_eq(taken_count, 3);
	ck_assert_uint_eq(batches[0], 3);
	/* It was not the backlog that ended it: that says nothing about the next. */
	ck_assert_uint_eq(listening->expect, 8);
	room_left = UINT_MAX;
	acceptor_signal_room(&acceptor);
	acceptor_resume(&acceptor);
	turn_until_taken(10);
}
END_TEST

/* There is room for so many: the announcement, and what the daemon does then. */
static void
give_room(unsigned count)
{
	room_left = count;
	acceptor_signal_room(&acceptor);
	acceptor_resume(&acceptor);
}

/* Two sockets wait, this one first, each with so many clients. */
static struct listen_socket *
begin_two_that_wait(unsigned count)
{
	struct listen_socket *other;

	begin("", "");
	other = open_other();
	room_left = 0;
	while (count-- > 0) {
		dial(listening);
		dial(other);
		while (listening->polled || other->polled)
			fixture_turn(&loop);
	}
	ck_assert(awaited);
	return other;
}

START_TEST(sockets_of_a_pool_share_what_room_there_is)
{
	struct listen_socket *other = begin_two_that_wait(40);

	for (unsigned i = 1; i <= 8; i++) {
		give_room(9);
		ck_assert_uint_eq(taken_count, 9 * i);
		ck_assert_uint_eq(came_by(listening), (9 * i + 1) / 2);
		ck_assert_uint_eq(came_by(other), 9 * i / 2);
	}
	close_other(&other);
}
END_TEST

START_TEST(room_for_one_goes_round)
{
	struct listen_socket *other = begin_two_that_wait(10);

	for (unsigned i = 1; i <= 10; i++) {
		awaited = false;
		give_room(1);
		ck_assert_msg(awaited, "nobody will say that there is room again");
		ck_assert_uint_eq(came_by(listening), (i + 1) / 2);
		ck_assert_uint_eq(came_by(other), i / 2);
	}
	close_other(&other);
}
END_TEST

/* The room that one leaves is for the next; and it is polled again. */
START_TEST(a_socket_without_clients_leaves_its_share)
{
	struct listen_socket *other = begin_two_that_wait(2);

	give_room(4);
	ck_assert_uint_eq(taken_count, 4);
	give_room(1);
	ck_assert(listening->polled && other->polled);
	ck_assert(!acceptor_has_work(&acceptor));
	dial(other);
	turn_until_taken(5);
	close_other(&other);
}
END_TEST

START_TEST(no_event_overtakes_a_socket_that_waits)
{
	struct listen_socket *other;

	begin("", "");
	other = open_other();
	room_left = 0;
	dial_many(2);
	while (listening->polled)
		fixture_turn(&loop);
	/* Not yet worth an announcement, but room. */
	room_left = 1;
	dial(other);
	while (other->polled)
		fixture_turn(&loop);
	ck_assert_uint_eq(taken_count, 0);
	give_room(1);
	ck_assert_uint_eq(came_by(listening), 1);
	give_room(1);
	ck_assert_uint_eq(came_by(other), 1);
	close_other(&other);
}
END_TEST

START_TEST(room_that_remains_after_a_round_is_used_in_the_next_turn)
{
	begin("", "");
	room_left = 0;
	dial_many(100);
	while (listening->polled)
		fixture_turn(&loop);
	give_room(90);
	ck_assert_uint_eq(taken_count, 64);
	ck_assert(acceptor_has_work(&acceptor));
	acceptor_resume(&acceptor);
	ck_assert_uint_eq(taken_count, 90);
}
END_TEST

START_TEST(a_socket_that_is_taken_out_while_it_waits_is_forgotten)
{
	struct listen_socket *other = begin_two_that_wait(1);

	close_other(&other);
	give_room(2);
	ck_assert_uint_eq(taken_count, 1);
}
END_TEST

START_TEST(a_reload_has_those_that_wait_look_again)
{
	struct listen_socket *other = begin_two_that_wait(1);

	room_left = 2;
	acceptor_begin(&acceptor, listening);
	acceptor_begin(&acceptor, other);
	turn_until_taken(2);
	close_other(&other);
}
END_TEST

START_TEST(a_signal_of_room_during_a_pause_is_not_lost)
{
	begin("", "");
	fixture_capture();
	room = false;
	dial_many(1);
	while (listening->polled)
		fixture_turn(&loop);
	fixture_exhaust_descriptors();
	room = true;
	acceptor_signal_room(&acceptor);
	acceptor_resume(&acceptor);
	ck_assert(timer_is_set(&acceptor.backoff));
	acceptor_signal_room(&acceptor);
	acceptor_resume(&acceptor);
	ck_assert(!acceptor_has_work(&acceptor));
	fixture_allow_descriptors();
	end_pause(BACKOFF_FIRST_MS);
	ck_assert(acceptor_has_work(&acceptor));
	acceptor_resume(&acceptor);
	ck_assert_uint_eq(taken_count, 1);
	(void)fixture_captured();
}
END_TEST

/* ---- a socket that others hold too ---------------------------------------------------------- */

static void
begin_shared(void)
{
	begin("", "");
	ck_assert_int_eq(acceptor_share(&acceptor, listening), 0);
}

/* Those in the backlog, whom nobody has taken. */
static unsigned
count_backlog(void)
{
	unsigned count = 0;
	int fd;

	while ((fd = accept4(listening->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		fd_close(&fd);
		count++;
	}
	return count;
}

static bool
has_come_back(void *arg)
{
	(void)arg;
	return awaited && !accept_thread_is_asked(listening->thread);
}

START_TEST(a_shared_socket_takes_no_more_than_there_is_room_for)
{
	begin_shared();
	room_left = 2;
	dial_many(5);
	turn_until_taken(2);
	fixture_turn_until(&loop, has_come_back, NULL);
	turn_some();
	ck_assert(awaited);
	ck_assert_uint_eq(count_backlog(), 3);
}
END_TEST

START_TEST(a_shared_socket_takes_nobody_without_room)
{
	begin_shared();
	room = false;
	dial_many(3);
	while (listening->polled)
		fixture_turn(&loop);
	ck_assert(awaited && !accept_thread_is_asked(listening->thread));
	ck_assert_uint_eq(count_backlog(), 3);
}
END_TEST

/* They are taken, and others had the room meanwhile. */
static void
take_without_room(unsigned count)
{
	begin_shared();
	room_left = count;
	looks_left = 1;
	dial_many(count);
	fixture_turn_until(&loop, has_come_back, NULL);
	looks_left = UINT_MAX;
	ck_assert_uint_eq(taken_count, 0);
}

START_TEST(what_a_thread_has_taken_is_accounted_when_its_socket_goes)
{
	struct listener_counters *counters;

	take_without_room(3);
	counters = &fixture.listener->counters;
	fixture_capture();
	acceptor_remove(&acceptor, listening);
	ck_assert_uint_eq(fixture_count(fixture_captured(), "refused 1 connection"), 1);
	ck_assert_uint_eq(atomic_load(&counters->accepted), 3);
	ck_assert_uint_eq(atomic_load(&counters->rejected[CONN_END_QUEUE_DRAIN]), 3);
	fixture_check_sums(fixture.listener);
}
END_TEST

START_TEST(what_a_thread_has_taken_has_its_turn)
{
	take_without_room(3);
	give_room(2);
	ck_assert_uint_eq(taken_count, 2);
	give_room(2);
	ck_assert_uint_eq(taken_count, 3);
	fixture_check_sums(fixture.listener);
}
END_TEST

/* A reload has a program accept. */
START_TEST(what_a_thread_has_taken_is_served_when_its_socket_is_lent)
{
	take_without_room(3);
	fixture.listener->route->lends_socket = true;
	acceptor_begin(&acceptor, listening);
	ck_assert_uint_eq(taken_count, 3);
	ck_assert_ptr_null(listening->asked_for);
}
END_TEST

static void *
signal_from_a_thread(void *arg)
{
	acceptor_signal_room(arg);
	return NULL;
}

START_TEST(a_signal_from_another_thread_ends_the_sleep)
{
	pthread_t thread;

	begin("", "");
	ck_assert_int_eq(pthread_create(&thread, NULL, signal_from_a_thread, &acceptor), 0);
	/* If the wake-up were lost this would never end. */
	while (!acceptor_has_work(&acceptor))
		ck_assert_int_eq(loop_turn(&loop, -1), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}
END_TEST

void
rig_add_room(Suite *suite)
{
	TCase *tc = acceptor_case(suite, "room");

	tcase_add_test(tc, without_room_clients_wait_and_nothing_turns);
	tcase_add_test(tc, room_ends_the_wait);
	tcase_add_test(tc, a_signal_without_room_changes_nothing);
	tcase_add_test(tc, room_that_ends_in_the_middle_of_a_batch_ends_the_batch);
	tcase_add_test(tc, sockets_of_a_pool_share_what_room_there_is);
	tcase_add_test(tc, room_for_one_goes_round);
	tcase_add_test(tc, a_socket_without_clients_leaves_its_share);
	tcase_add_test(tc, no_event_overtakes_a_socket_that_waits);
	tcase_add_test(tc, room_that_remains_after_a_round_is_used_in_the_next_turn);
	tcase_add_test(tc, a_socket_that_is_taken_out_while_it_waits_is_forgotten);
	tcase_add_test(tc, a_reload_has_those_that_wait_look_again);
	tcase_add_test(tc, a_signal_of_room_during_a_pause_is_not_lost);
	tcase_add_test(tc, a_signal_from_another_thread_ends_the_sleep);
	tcase_add_test(tc, a_shared_socket_takes_no_more_than_there_is_room_for);
	tcase_add_test(tc, a_shared_socket_takes_nobody_without_room);
	tcase_add_test(tc, what_a_thread_has_taken_is_accounted_when_its_socket_goes);
	tcase_add_test(tc, what_a_thread_has_taken_has_its_turn);
	tcase_add_test(tc, what_a_thread_has_taken_is_served_when_its_socket_is_lent);
}
