/* SPDX-License-Identifier: MIT */
/*
 * acceptorrig - see acceptorrig.h.
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
#include <sched.h>
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

struct loop loop;
struct acceptor acceptor;
struct listen_socket *listening;

int clients[CLIENTS_MAX];
unsigned client_count;

/* ---- a sink ---------------------------------------------------------------------- */

bool room;
unsigned room_left; /* so many more, then there is none */
unsigned looks_left; /* so often there is room, then others have it */
struct accepted taken[CLIENTS_MAX];
unsigned taken_count;
unsigned batches[CLIENTS_MAX]; /* what each flush was told */
unsigned batch_count;

bool awaited; /* somebody asked for an announcement */

static unsigned
room_of(struct route *route)
{
	ck_assert_ptr_eq(route, fixture.listener->route);
	if (!room || looks_left == 0)
		return 0;
	looks_left--;
	return room_left;
}

static bool
await_room(struct route *route)
{
	awaited = true;
	return room_of(route) == 0;
}

static void
submit(struct accepted *accepted)
{
	ck_assert_uint_gt(room_left, 0);
	room_left--;
	accepted_enter_queue(accepted);
	taken[taken_count++] = *accepted;
}

static void
flush(struct route *route, unsigned count)
{
	ck_assert_ptr_eq(route, fixture.listener->route);
	batches[batch_count++ % CLIENTS_MAX] = count;
}

const struct acceptor_sink sink = {
	.room = room_of, .await_room = await_room, .submit = submit, .flush = flush};

static bool
took(void *arg)
{
	return taken_count >= *(unsigned *)arg;
}

void
turn_until_taken(unsigned count)
{
	fixture_turn_until(&loop, took, &count);
	ck_assert_uint_eq(taken_count, count);
}

/* What is wrong must show in some of them. */
void
turn_some(void)
{
	for (int i = 0; i < 20; i++)
		fixture_turn(&loop);
}

/* ---- set-up ------------------------------------------------------------------------ */

static bool
look_for_work(struct loop *self, void *arg)
{
	(void)self;
	(void)arg;
	return acceptor_has_work(&acceptor);
}

void
set_up(void)
{
	room = true;
	awaited = false;
	room_left = looks_left = UINT_MAX;
	taken_count = batch_count = client_count = 0;
	ck_assert_int_eq(loop_init(&loop, look_for_work, NULL), 0);
}

struct listen_socket *
open_socket(void)
{
	struct errmsg err;
	const struct conf_listener *rule = fixture.conf->listeners[0];
	struct listen_socket *socket = listen_socket_open(rule, &rule->addresses.items[0], NULL, &err);

	ck_assert_msg(socket != NULL, "%s", err.text);
	socket->listener = fixture.listener;
	list_push_back(&fixture.listener->sockets, &socket->link);
	return socket;
}

/* An acceptor that polls the one listener. */
void
begin(const char *pool, const char *options)
{
	fixture_open(pool, options, NULL);
	ck_assert_int_eq(acceptor_init(&acceptor, &loop, &sink, &fixture.totals), 0);
	listening = open_socket();
	ck_assert_int_eq(acceptor_add(&acceptor, listening), 0);
	acceptor_begin(&acceptor, listening);
}

void
tear_down(void)
{
	for (unsigned i = 0; i < taken_count; i++) {
		accepted_leave_queue(&taken[i]);
		accepted_reject(&taken[i], CONN_END_QUEUE_DRAIN);
	}
	while (client_count > 0)
		close(clients[--client_count]);
	if (listening != NULL)
		acceptor_remove(&acceptor, listening);
	listen_socket_free(&listening);
	acceptor_fini(&acceptor);
	loop_fini(&loop);
	/* Threads of shared sockets end in their own time. */
	while (acceptor.last_thread > 0 && fd_count_open() > fixture.descriptors)
		sched_yield();
}

int
dial(const struct listen_socket *socket_to)
{
	struct sockaddr_storage sa;
	socklen_t length = sizeof(sa);
	int fd;

	ck_assert_int_eq(getsockname(socket_to->fd, (struct sockaddr *)&sa, &length), 0);
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, length), 0);
	clients[client_count++] = fd;
	return fd;
}

void
dial_many(unsigned count)
{
	while (count-- > 0)
		dial(listening);
}

/* A second socket of the listener, polled too. */
struct listen_socket *
open_other(void)
{
	struct listen_socket *other = open_socket();

	ck_assert_int_eq(acceptor_add(&acceptor, other), 0);
	acceptor_begin(&acceptor, other);
	return other;
}

void
close_other(struct listen_socket **other)
{
	acceptor_remove(&acceptor, *other);
	listen_socket_free(other);
}

static in_port_t
port_of(int fd)
{
	struct sockaddr_in sin;
	socklen_t length = sizeof(sin);

	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sin, &length), 0);
	return sin.sin_port;
}

/* How many of those taken came by this one. */
unsigned
came_by(const struct listen_socket *socket)
{
	unsigned count = 0;

	for (unsigned i = 0; i < taken_count; i++)
		count += port_of(taken[i].fd) == port_of(socket->fd);
	return count;
}

/* The pause is over, and the socket is found ready or not. */
void
end_pause(uint64_t ms)
{
	fixture_advance_ms(ms);
	fixture_turn(&loop);
	turn_some();
}

TCase *
acceptor_case(Suite *suite, const char *name)
{
	TCase *tc = fixture_case(suite, name);

	tcase_add_checked_fixture(tc, set_up, tear_down);
	return tc;
}
