/* SPDX-License-Identifier: MIT */
/*
 * test_lending - when the program of a listening socket is started, when again, and what its socket is meanwhile.
 *
 * The socket has a client all the time: whenever it is polled, a program is started. Programs are fakespawner's, and
 * the clock stands still, so that a pause is over when the test says so.
 */
#include "config.h"

#include "daemon/lending.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "../net/netfixture.h"
#include "../service/fakespawner.h"
#include "base/address.h"
#include "base/errmsg.h"
#include "conf/conf.h"
#include "daemon/daemon.h"
#include "net/route.h"
#include "net/socket.h"
#include "service/exec.h"

static char path[] = "/bin/server";
static char *argv[] = {path, NULL};
static struct exec_options options;
static struct exec exec;
static struct daemon daemon_;
static struct listen_socket *listening;
static int client;

static const struct acceptor_sink sink = {.lend = lending_begin};

static bool
look_for_work(struct loop *loop, void *arg)
{
	(void)loop;
	(void)arg;
	return false;
}

static struct listen_socket *
open_socket(void)
{
	const struct conf_listener *rule = fixture.conf->listeners[0];
	struct errmsg err;
	struct listen_socket *socket = listen_socket_open(rule, &rule->addresses.items[0], NULL, &err);

	ck_assert_msg(socket != NULL, "%s", err.text);
	socket->listener = fixture.listener;
	list_push_back(&fixture.listener->sockets, &socket->link);
	return socket;
}

static int
connect_client(int fd)
{
	struct sockaddr_storage sa;
	socklen_t length = sizeof(sa);
	int from = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &length), 0);
	ck_assert_int_eq(connect(from, (struct sockaddr *)&sa, length), 0);
	return from;
}

static void
set_up(void)
{
	fake_reset();
	fixture_capture();
	options = (struct exec_options){.program = {.command = {.items = argv, .count = 1}, .kill_timeout_ms = 5000}};
	exec = (struct exec){.options = &options, .name = {.table = 1}};
	memset(&daemon_, 0, sizeof(daemon_));
	list_init(&daemon_.ending_leases);
	fixture_open("", "", &exec_handler);
	fixture.route->state.data = &exec;
	fixture.route->lends_socket = true;
	ck_assert_int_eq(loop_init(&daemon_.loop, look_for_work, NULL), 0);
	ck_assert_int_eq(acceptor_init(&daemon_.acceptor, &daemon_.loop, &sink, &fixture.totals), 0);
	listening = open_socket();
	ck_assert_int_eq(acceptor_add(&daemon_.acceptor, listening), 0);
	ck_assert_int_eq(lending_prepare(&daemon_, listening), 0);
	ck_assert_int_eq(lending_prepare(&daemon_, listening), 0);
	acceptor_begin(&daemon_.acceptor, listening);
	client = connect_client(listening->fd);
}

static void
close_socket(void)
{
	acceptor_remove(&daemon_.acceptor, listening);
	lending_end(listening);
	list_remove(&listening->link);
	listen_socket_free(&listening);
}

static void
tear_down(void)
{
	if (listening != NULL)
		close_socket();
	fake_expect_clean();
	ck_assert(list_is_empty(&daemon_.ending_leases));
	acceptor_fini(&daemon_.acceptor);
	loop_fini(&daemon_.loop);
	ck_assert_int_eq(close(client), 0);
	(void)fixture_captured();
}

static void
turn_some(void)
{
	for (int i = 0; i < 5; i++)
		fixture_turn(&daemon_.loop);
}

/* It is started, not a millisecond before that time. */
static void
expect_start_in_ms(uint64_t ms)
{
	unsigned starts = fake.starts;

	if (ms > 1) {
		fixture_advance_ms(ms - 1);
		turn_some();
		ck_assert_uint_eq(fake.starts, starts);
		ms = 1;
	}
	fixture_advance_ms(ms);
	turn_some();
	ck_assert_uint_eq(fake.starts, starts + 1);
	ck_assert_ptr_nonnull(fake.running);
}

START_TEST(one_runs_while_clients_wait_and_no_other)
{
	turn_some();
	ck_assert_uint_eq(fake.starts, 1);
	ck_assert(listening->is_lent && !listening->polled);
	/* What has others polled again does not poll it. */
	acceptor_signal_room(&daemon_.acceptor);
	acceptor_resume(&daemon_.acceptor);
	acceptor_begin(&daemon_.acceptor, listening);
	turn_some();
	ck_assert(!listening->polled);
	ck_assert_uint_eq(fake.starts, 1);
	fake_end(PROGRAM_EXITED, 0);
}
END_TEST

START_TEST(after_a_good_end_the_next_client_has_it_started)
{
	turn_some();
	fixture_advance_ms(1000);
	turn_some();
	fake_end(PROGRAM_EXITED, 0);
	expect_start_in_ms(1);
	fake_end(PROGRAM_EXITED, 0);
}
END_TEST

START_TEST(one_that_is_over_at_once_is_started_again_in_a_moment)
{
	turn_some();
	for (int i = 0; i < 3; i++) {
		fake_end(PROGRAM_EXITED, 0);
		expect_start_in_ms(20);
	}
	fixture_advance_ms(15);
	turn_some();
	fake_end(PROGRAM_EXITED, 0);
	expect_start_in_ms(5);
	fake_end(PROGRAM_EXITED, 0);
}
END_TEST

START_TEST(after_failures_the_pause_grows)
{
	static const uint64_t pauses_ms[] = {100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000};

	turn_some();
	for (size_t i = 0; i < CP_COUNT(pauses_ms); i++) {
		fake_end(i % 2 == 0 ? PROGRAM_EXITED : PROGRAM_SIGNALLED, 1);
		expect_start_in_ms(pauses_ms[i]);
	}
	/* It was well for long. */
	fixture_advance_ms(10001);
	turn_some();
	fake_end(PROGRAM_EXITED, 1);
	expect_start_in_ms(100);
	fake_end(PROGRAM_EXITED, 0);
	expect_start_in_ms(20);
	fake_end(PROGRAM_EXITED, 1);
	expect_start_in_ms(100);
	fake_end(PROGRAM_EXITED, 0);
}
END_TEST

START_TEST(one_that_can_not_be_started_is_tried_again)
{
	fake.start_error = -EPIPE;
	turn_some();
	ck_assert_uint_eq(fake.starts, 1);
	fixture_advance_ms(99);
	turn_some();
	ck_assert_uint_eq(fake.starts, 1);
	fake.start_error = 0;
	expect_start_in_ms(1);
	fake_end(PROGRAM_EXITED, 0);
}
END_TEST

START_TEST(a_new_config_ends_a_pause)
{
	turn_some();
	for (int i = 0; i < 4; i++) {
		fake_end(PROGRAM_EXITED, 1);
		lending_renew(listening);
		turn_some();
		ck_assert_ptr_nonnull(fake.running);
	}
	/* One that runs goes on. */
	lending_renew(listening);
	ck_assert(listening->is_lent);
	ck_assert_uint_eq(fake.starts, 5);
	fake_end(PROGRAM_EXITED, 1);
	expect_start_in_ms(100);
	fake_end(PROGRAM_EXITED, 0);
}
END_TEST

START_TEST(closing_the_socket_ends_it)
{
	turn_some();
	close_socket();
	ck_assert_str_eq(fake.signals, "TERM ");
	ck_assert(!list_is_empty(&daemon_.ending_leases));
	fake_end(PROGRAM_SIGNALLED, 15);
	ck_assert(list_is_empty(&daemon_.ending_leases));
	ck_assert(atomic_load(&daemon_.worker_ended));
}
END_TEST

START_TEST(closing_the_socket_ends_a_pause)
{
	turn_some();
	fake_end(PROGRAM_EXITED, 1);
	close_socket();
	ck_assert(list_is_empty(&daemon_.ending_leases));
	fixture_advance_ms(20000);
	turn_some();
	ck_assert_uint_eq(fake.starts, 1);
}
END_TEST

START_TEST(those_that_do_not_end_are_killed)
{
	turn_some();
	close_socket();
	lending_kill(&daemon_);
	ck_assert_str_eq(fake.signals, "TERM KILL ");
	fake_end(PROGRAM_SIGNALLED, 9);
}
END_TEST

START_TEST(a_socket_that_is_taken_back_does_not_wait_in_accept)
{
	turn_some();
	ck_assert_int_eq(fcntl(listening->fd, F_GETFL) & O_NONBLOCK, 0);
	lending_take_back(listening);
	ck_assert_int_eq(fcntl(listening->fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	ck_assert(!listening->is_lent);
	ck_assert_str_eq(fake.signals, "TERM ");
	fake_end(PROGRAM_SIGNALLED, 15);
	/* One that was never lent. */
	lending_take_back(listening);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("daemon/lending");
	TCase *tc = fixture_case(suite, "lending");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, one_runs_while_clients_wait_and_no_other);
	tcase_add_test(tc, after_a_good_end_the_next_client_has_it_started);
	tcase_add_test(tc, one_that_is_over_at_once_is_started_again_in_a_moment);
	tcase_add_test(tc, after_failures_the_pause_grows);
	tcase_add_test(tc, one_that_can_not_be_started_is_tried_again);
	tcase_add_test(tc, a_new_config_ends_a_pause);
	tcase_add_test(tc, closing_the_socket_ends_it);
	tcase_add_test(tc, closing_the_socket_ends_a_pause);
	tcase_add_test(tc, those_that_do_not_end_are_killed);
	tcase_add_test(tc, a_socket_that_is_taken_back_does_not_wait_in_accept);
	return fixture_run(suite);
}
