/* SPDX-License-Identifier: MIT */
/*
 * serve.c - what worker.c, pool.c and daemon.c do for the daemon, as far as one thread needs it.
 *
 * The handler sees no difference: it runs on a fiber of a scheduler, under a route of a listener.
 */
#include "config.h"

#include "run/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/errmsg.h"
#include "base/fdutil.h"
#include "base/log.h"
#include "base/slab.h"
#include "base/systemd.h"
#include "conf/conf.h"
#include "engine/sched.h"
#include "net/acceptor.h"
#include "net/route.h"
#include "net/socket.h"
#include "run/setup.h"
#include "service/session.h"

#define IDLE_FIBERS_KEPT 16
#define CONNECTIONS_MAX 1000

struct server {
	struct sched sched;
	struct slab sessions;
	struct route *route; /* borrowed */
	int signal_fd;
	struct watch signal_watch;
	bool is_stopping;
	enum conn_end last_end; /* of the connection that ended last */
};

/* One a process: the acceptor's sink is told of routes alone. */
static struct server server = {.signal_fd = -1};

/* ---- connections ---------------------------------------------------------------------------- */

static void
on_done(struct sched *sched, void *task)
{
	struct session *session = task;

	server.last_end = (enum conn_end)session->conn.end;
	conn_close(&session->conn, sched->loop.now_ns);
	slab_free(session);
}

static void
begin(struct accepted *accepted)
{
	struct session *session = slab_alloc(&server.sessions);

	if (session == NULL) {
		accepted_reject(accepted, CONN_END_REFUSED_MEMORY);
		return;
	}
	conn_open(&session->conn, accepted, 0, accepted->accepted_ns);
	session_start(&server.sched, &session->conn);
}

static unsigned
sink_room(struct route *route)
{
	(void)route;
	return slab_count(&server.sessions) < CONNECTIONS_MAX ? CONNECTIONS_MAX - slab_count(&server.sessions) : 0;
}

/* Room is announced in each turn that has some. */
static bool
sink_await_room(struct route *route)
{
	return sink_room(route) == 0;
}

static void
sink_flush(struct route *route, unsigned taken)
{
	(void)route;
	(void)taken;
}

static const struct acceptor_sink sink = {
	.room = sink_room, .await_room = sink_await_room, .submit = begin, .flush = sink_flush};

/* ---- signals --------------------------------------------------------------------------------- */

/* What the handler says now is what it has time for: one who has pressed ^C does not wait for drain_timeout. */
static void
drain(void *slot, void *arg)
{
	struct session *session = slot;

	(void)arg;
	session_drain(&server.sched, &session->conn);
}

static void
cancel(void *slot, void *arg)
{
	struct session *session = slot;

	(void)arg;
	session_cancel(&server.sched, &session->conn, CONN_END_DRAIN);
}

static void
on_signal(struct loop *loop, struct watch *watch, uint32_t events)
{
	struct signalfd_siginfo info;

	(void)loop;
	(void)watch;
	(void)events;
	if (read(server.signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	/* A handler that does not end when it is told to is not waited for twice. */
	if (server.is_stopping)
		_exit(1);
	server.is_stopping = true;
	atomic_store_explicit(&server.sched.draining, true, memory_order_relaxed);
	slab_foreach(&server.sessions, drain, NULL);
	slab_foreach(&server.sessions, cancel, NULL);
}

/* main() has blocked them. */
static int
watch_signals(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	server.signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
	if (server.signal_fd < 0)
		return -errno;
	server.signal_watch.fn = on_signal;
	return loop_add(&server.sched.loop, &server.signal_watch, server.signal_fd, EPOLLIN);
}

/* ---- the engine -------------------------------------------------------------------------------- */

static int
open_engine(struct setup *setup, struct errmsg *err)
{
	const struct conf_pool *pool = setup->conf->pools[0];
	int rc = loop_init(&server.sched.loop, NULL, NULL);

	fiber_explain_faults();
	server.sched.done = on_done;
	server.route = setup->route;
	slab_init(&server.sessions, sizeof(struct session));
	if (rc == 0)
		rc = watch_signals();
	if (rc == 0) {
		server.sched.fibers = fiber_pool_new(pool->stack_size_bytes, IDLE_FIBERS_KEPT, pool->name);
		rc = server.sched.fibers != NULL ? 0 : -ENOMEM;
	}
	if (rc < 0)
		errmsg_set(err, "cannot start: %s", errmsg_errno(-rc));
	return rc;
}

static void
close_engine(void)
{
	fiber_pool_free(&server.sched.fibers);
	relay_pool_fini(&server.sched.relays);
	fd_close(&server.signal_fd);
	loop_fini(&server.sched.loop);
	slab_fini(&server.sessions);
}

static void
turn(struct acceptor *acceptor)
{
	int rc = loop_turn(&server.sched.loop, -1);

	if (rc < 0)
		log_error(LOG_EVENT_NONE, "epoll_wait: %s", errmsg_errno(-rc));
	if (acceptor != NULL && sink_room(server.route) > 0) {
		acceptor_signal_room(acceptor);
		acceptor_resume(acceptor);
	}
}

/* ---- a connection that is there ------------------------------------------------------------------ */

static void
describe(struct accepted *accepted)
{
	struct sockaddr_storage address = {.ss_family = AF_UNIX};
	socklen_t length = sizeof(address);

	if (getpeername(accepted->fd, (struct sockaddr *)&address, &length) < 0)
		length = sizeof(address.ss_family);
	peer_from_sockaddr(&accepted->peer, (struct sockaddr *)&address, length);
}

int
serve_stream(struct setup *setup, int fd, bool *ret_is_good, struct errmsg *err)
{
	struct accepted accepted = {.fd = fd, .id = 1};
	int rc = open_engine(setup, err);

	if (rc < 0) {
		fd_close(&accepted.fd);
	} else {
		accepted.route = route_ref(setup->route);
		accepted.accepted_ns = server.sched.loop.now_ns;
		describe(&accepted);
		atomic_fetch_add_explicit(&setup->listener->counters.accepted, 1, memory_order_relaxed);
		begin(&accepted);
		while (slab_count(&server.sessions) > 0)
			turn(NULL);
		*ret_is_good = server.last_end == CONN_END_CLIENT || server.last_end == CONN_END_SERVICE ||
			       server.last_end == CONN_END_SERVER;
	}
	close_engine();
	return rc;
}

/* ---- an address ------------------------------------------------------------------------------------- */

static void
log_listening(const struct listen_socket *socket)
{
	char text[ADDRESS_TEXT_MAX];

	address_format_socket(socket->fd, text);
	log_info(LOG_EVENT_LISTENING, "listening on %s", text);
}

static int
listen_and_serve(struct setup *setup, struct acceptor *acceptor, struct errmsg *err)
{
	const struct conf_listener *rule = setup->conf->listeners[0];
	struct systemd_sockets none = {0};
	struct listen_socket *socket = listen_socket_open(rule, &rule->addresses.items[0], &none, err);
	int rc;

	if (socket == NULL)
		return -EADDRNOTAVAIL;
	rc = acceptor_add(acceptor, socket);
	if (rc < 0) {
		errmsg_set(err, "cannot watch the address: %s", errmsg_errno(-rc));
	} else {
		setup->listener->route = route_ref(setup->route);
		list_push_back(&setup->listener->sockets, &socket->link);
		socket->listener = setup->listener;
		acceptor_begin(acceptor, socket);
		log_listening(socket);
		while (!server.is_stopping)
			turn(acceptor);
		list_remove(&socket->link);
	}
	acceptor_remove(acceptor, socket);
	listen_socket_free(&socket);
	return rc;
}

int
serve_address(struct setup *setup, struct errmsg *err)
{
	struct acceptor acceptor;
	int rc = open_engine(setup, err);

	if (rc == 0) {
		rc = acceptor_init(&acceptor, &server.sched.loop, &sink, &setup->totals);
		if (rc < 0)
			errmsg_set(err, "cannot start: %s", errmsg_errno(-rc));
	}
	if (rc == 0) {
		acceptor.max_connections = CONNECTIONS_MAX;
		rc = listen_and_serve(setup, &acceptor, err);
		while (slab_count(&server.sessions) > 0)
			turn(NULL);
		acceptor_fini(&acceptor);
	}
	close_engine();
	return rc;
}
