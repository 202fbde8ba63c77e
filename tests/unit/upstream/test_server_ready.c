/* SPDX-License-Identifier: MIT */
/*
 * test_server_ready - connecting over real sockets, and the connections kept ready: taken, refilled, found dead, and
 * always within the server's limit.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../net/netfixture.h"
#include "base/fdutil.h"
#include "grouprig.h"

#define KEPT 3u

static int listener = -1;

/* A listening socket; one server there that keeps KEPT connections ready. */
static void
begin(uint64_t max_connections)
{
	struct server_address *address;

	rig_begin(1, CONF_BALANCE_FIRST);
	address = &rig.addresses[0];
	rig.settings.max_failures = 1;
	rig.settings.queue_size = 10;
	rig.server_settings[0].ready_connections = KEPT;
	rig.server_settings[0].max_connections = max_connections;
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(listener, &address->sa, address->length), 0);
	ck_assert_int_eq(listen(listener, 100), 0);
	ck_assert_int_eq(getsockname(listener, &address->sa, &address->length), 0);
	rig_apply();
}

static void
end(void)
{
	fd_close(&listener);
	rig_end();
}

/* The server's end of the next connection. */
static int
accept_next(void)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static bool
nobody_waits_for_accept(void)
{
	struct pollfd waiting = {.fd = listener, .events = POLLIN};

	return poll(&waiting, 1, 0) == 0;
}

static void
tend(void)
{
	server_tend_ready(rig.servers[0], fixture_now_ns());
}

static void
wait_for(int fd, short events)
{
	struct pollfd waiting = {.fd = fd, .events = events};

	ck_assert_int_eq(poll(&waiting, 1, 5000), 1);
}

/* Connects, and waits for it if need be. */
static int
connect_now(struct rig_client *client)
{
	int fd = -1;
	int rc = server_connect(client->wish.server, &fd);

	ck_assert(rc == 0 || rc == -EINPROGRESS);
	wait_for(fd, POLLOUT);
	ck_assert_int_eq(server_connect_error(fd), 0);
	upstream_connected(rig.upstream, &client->wish);
	return fd;
}

static void
hang_up(struct rig_client *client, int *fd)
{
	fd_close(fd);
	server_leave(&client->wish.server);
}

/* ---- connecting --------------------------------------------------------------------------- */

START_TEST(a_connection_is_made_without_delay_and_not_inherited)
{
	struct rig_client client = rig_client(0);
	int on = 0;
	socklen_t length = sizeof(on);
	int fd;

	begin(0);
	rig_take(&client);
	fd = connect_now(&client);
	ck_assert_int_eq(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &length), 0);
	ck_assert_int_ne(on, 0);
	ck_assert_uint_eq(atomic_load(&rig.servers[0]->connects), 1);
	hang_up(&client, &fd);
	end();
}
END_TEST

START_TEST(a_refused_connection_says_so)
{
	struct rig_client client = rig_client(0);
	int fd = -1;
	int rc;

	begin(0);
	fd_close(&listener);
	rig_take(&client);
	rc = server_connect(client.wish.server, &fd);
	if (rc == -EINPROGRESS) {
		wait_for(fd, POLLOUT);
		rc = -server_connect_error(fd);
		fd_close(&fd);
	}
	ck_assert_int_eq(rc, -ECONNREFUSED);
	server_leave(&client.wish.server);
	end();
}
END_TEST

START_TEST(without_descriptors_it_fails_with_the_reason)
{
	struct rig_client client = rig_client(0);
	int fd = -1;

	begin(0);
	rig_take(&client);
	fixture_exhaust_descriptors();
	ck_assert_int_eq(server_connect(client.wish.server, &fd), -EMFILE);
	tend();
	fixture_allow_descriptors();
	ck_assert_int_eq(server_state(rig.servers[0]), SERVER_UP);
	ck_assert_uint_eq(rig.servers[0]->starting, 0);
	server_leave(&client.wish.server);
	end();
}
END_TEST

START_TEST(unix_servers_are_connected_to)
{
	struct sockaddr_un *sun;
	struct rig_client client = rig_client(0);
	int fd;

	rig_begin(1, CONF_BALANCE_FIRST);
	sun = (struct sockaddr_un *)&rig.addresses[0].storage;
	*sun = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(sun->sun_path, sizeof(sun->sun_path), "%s", fixture_path("server"));
	rig.addresses[0].length = sizeof(*sun);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(listener, &rig.addresses[0].sa, sizeof(*sun)), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	rig_apply();
	rig_take(&client);
	fd = connect_now(&client);
	hang_up(&client, &fd);
	end();
}
END_TEST

/* ---- ready connections ------------------------------------------------------------------------ */

START_TEST(a_client_gets_one_that_was_connected_before_it_came)
{
	struct rig_client client = rig_client(0);
	int ends[KEPT];
	int fd = -1;

	begin(0);
	tend();
	ck_assert_uint_eq(rig.servers[0]->ready, KEPT);
	for (unsigned i = 0; i < KEPT; i++)
		ends[i] = accept_next();
	rig_take(&client);
	ck_assert_int_eq(server_connect(client.wish.server, &fd), 0);
	ck_assert(nobody_waits_for_accept());
	/* The newest. */
	ck_assert_int_eq(write(fd, "x", 1), 1);
	wait_for(ends[KEPT - 1], POLLIN);
	hang_up(&client, &fd);
	for (unsigned i = 0; i < KEPT; i++)
		fd_close(&ends[i]);
	end();
}
END_TEST

START_TEST(a_dead_one_costs_the_client_nothing_while_another_lives)
{
	struct rig_client client = rig_client(0);
	int ends[KEPT];
	int fd = -1;

	begin(0);
	tend();
	for (unsigned i = 0; i < KEPT; i++)
		ends[i] = accept_next();
	fd_close(&ends[2]);
	fd_close(&ends[1]);
	rig_take(&client);
	ck_assert_int_eq(server_connect(client.wish.server, &fd), 0);
	ck_assert_int_eq(write(fd, "x", 1), 1);
	wait_for(ends[0], POLLIN);
	hang_up(&client, &fd);
	fd_close(&ends[0]);
	end();
}
END_TEST

START_TEST(dead_ones_are_passed_over_and_replaced)
{
	struct rig_client client = rig_client(0);
	int fd = -1;

	begin(0);
	tend();
	for (unsigned i = 0; i < KEPT; i++) {
		int server_end = accept_next();

		fd_close(&server_end);
	}
	rig_take(&client);
	fd = connect_now(&client);
	ck_assert(!nobody_waits_for_accept());
	ck_assert_uint_eq(rig.servers[0]->ready, 0);
	tend();
	ck_assert_uint_eq(rig.servers[0]->ready, KEPT);
	/* That they were closed is no failure of the server's. */
	ck_assert_int_eq(server_state(rig.servers[0]), SERVER_UP);
	hang_up(&client, &fd);
	end();
}
END_TEST

START_TEST(a_server_that_speaks_first_is_alive)
{
	struct rig_client client = rig_client(0);
	char greeting[8];
	int ends[KEPT];
	int fd = -1;

	begin(0);
	tend();
	for (unsigned i = 0; i < KEPT; i++) {
		ends[i] = accept_next();
		ck_assert_int_eq(write(ends[i], "hello", 5), 5);
	}
	rig_take(&client);
	ck_assert_int_eq(server_connect(client.wish.server, &fd), 0);
	wait_for(fd, POLLIN);
	ck_assert_int_eq(read(fd, greeting, sizeof(greeting)), 5);
	hang_up(&client, &fd);
	for (unsigned i = 0; i < KEPT; i++)
		fd_close(&ends[i]);
	end();
}
END_TEST

START_TEST(a_refill_takes_the_place_of_the_one_taken)
{
	struct rig_client client = rig_client(0);
	int fd = -1;

	begin(0);
	tend();
	rig_take(&client);
	fd = connect_now(&client);
	ck_assert_uint_eq(rig.servers[0]->ready, KEPT - 1);
	server_refill(client.wish.server);
	ck_assert_uint_eq(rig.servers[0]->ready, KEPT);
	server_refill(client.wish.server);
	ck_assert_uint_eq(rig.servers[0]->ready, KEPT);
	hang_up(&client, &fd);
	end();
}
END_TEST

/* How many connections the server has seen and not seen closed. */
static unsigned
accept_all(int *ends, unsigned count)
{
	while (!nobody_waits_for_accept())
		ends[count++] = accept_next();
	return count;
}

START_TEST(clients_and_ready_ones_together_keep_the_limit)
{
	struct rig_client clients[5];
	int fds[4];
	int ends[32];
	unsigned seen;

	begin(4);
	tend();
	seen = accept_all(ends, 0);
	ck_assert_uint_eq(seen, KEPT);
	for (unsigned i = 0; i < 4; i++) {
		clients[i] = rig_client(0);
		rig_take(&clients[i]);
		fds[i] = connect_now(&clients[i]);
		server_refill(clients[i].wish.server);
		tend();
		seen = accept_all(ends, seen);
		ck_assert_uint_le(seen, 4);
	}
	ck_assert_uint_eq(rig.servers[0]->ready, 0);
	clients[4] = rig_client(0);
	ck_assert_int_eq(rig_ask(&clients[4]), UPSTREAM_QUEUED);
	/* Nor does one come ready while somebody waits for the place. */
	hang_up(&clients[0], &fds[0]);
	ck_assert_uint_eq(clients[4].granted, 1);
	tend();
	ck_assert_uint_eq(rig.servers[0]->ready, 0);
	server_leave(&clients[4].wish.server);
	for (unsigned i = 1; i < 4; i++)
		hang_up(&clients[i], &fds[i]);
	while (seen > 0)
		fd_close(&ends[--seen]);
	end();
}
END_TEST

START_TEST(fewer_are_kept_when_the_config_says_so_and_none_when_it_is_not_up)
{
	begin(0);
	tend();
	rig.server_settings[0].ready_connections = 1;
	rig_apply();
	ck_assert_uint_eq(rig.servers[0]->ready, 1);
	rig.server_settings[0].maintenance = true;
	rig_apply();
	ck_assert_uint_eq(rig.servers[0]->ready, 0);
	tend();
	ck_assert_uint_eq(rig.servers[0]->ready, 0);
	end();
}
END_TEST

START_TEST(one_that_cannot_be_connected_counts_as_a_failure)
{
	begin(0);
	fd_close(&listener);
	/* The refusal comes at once or is found at the next look. */
	tend();
	tend();
	ck_assert_int_eq(server_state(rig.servers[0]), SERVER_DOWN);
	ck_assert_uint_eq(rig.servers[0]->ready, 0);
	end();
}
END_TEST

START_TEST(one_that_is_never_answered_is_given_up)
{
	int fillers[8];
	unsigned count = 0;

	begin(0);
	/* A backlog that is full answers no more. */
	ck_assert_int_eq(listen(listener, 0), 0);
	while (count < CP_COUNT(fillers)) {
		fillers[count] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)!connect(fillers[count++], &rig.addresses[0].sa, rig.addresses[0].length);
	}
	tend();
	ck_assert_uint_eq(rig.servers[0]->ready, KEPT);
	fixture_advance_ms(rig.settings.connect_timeout_ms + 1);
	tend();
	ck_assert_uint_eq(rig.servers[0]->ready, 0);
	ck_assert_int_eq(server_state(rig.servers[0]), SERVER_DOWN);
	while (count > 0)
		fd_close(&fillers[--count]);
	end();
}
END_TEST

static Suite *
make_suite(void)
{
	Suite *suite = suite_create("upstream/server_ready");
	TCase *tc = fixture_case(suite, "connecting");

	tcase_add_test(tc, a_connection_is_made_without_delay_and_not_inherited);
	tcase_add_test(tc, a_refused_connection_says_so);
	tcase_add_test(tc, without_descriptors_it_fails_with_the_reason);
	tcase_add_test(tc, unix_servers_are_connected_to);
	tc = fixture_case(suite, "ready connections");
	tcase_add_test(tc, a_client_gets_one_that_was_connected_before_it_came);
	tcase_add_test(tc, a_dead_one_costs_the_client_nothing_while_another_lives);
	tcase_add_test(tc, dead_ones_are_passed_over_and_replaced);
	tcase_add_test(tc, a_server_that_speaks_first_is_alive);
	tcase_add_test(tc, a_refill_takes_the_place_of_the_one_taken);
	tcase_add_test(tc, clients_and_ready_ones_together_keep_the_limit);
	tcase_add_test(tc, fewer_are_kept_when_the_config_says_so_and_none_when_it_is_not_up);
	tcase_add_test(tc, one_that_cannot_be_connected_counts_as_a_failure);
	tcase_add_test(tc, one_that_is_never_answered_is_given_up);
	return suite;
}

int
main(void)
{
	return fixture_run(make_suite());
}
