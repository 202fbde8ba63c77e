/* SPDX-License-Identifier: MIT */
/*
 * session_io.c - the calls of handler.h: try the system call, and wait only when it would block.
 *
 * They run on the connection's fiber.
 */
#include "config.h"

#include "service/session_parts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/fdutil.h"
#include "service/handles.h"

#define PRINTF_MAX 4096

void
session_misused(const struct cp_conn *conn, const char *call, bool is_for_fiber)
{
	if (running.task == NULL && running.place == RUNNING_NOTHING)
		running_misuse(call, "called on a thread that serves no connection; only cp_wake() may be");
	if (running.task == NULL)
		running_misuse(call, "called where there is no connection");
	if (conn == NULL || running.task != conn)
		running_misuse(call, "called with another connection than the one served here, or one that has ended");
	if (!is_for_fiber || running.place == RUNNING_FIBER)
		running_misuse(call, "called after cp_relay(), which gave the connection away");
	running_misuse(call, "called off the connection's fiber");
}

int
session_take_turn(struct session *session)
{
	if (session->error == 0 && session->budget-- == 0)
		session_yield(session);
	if (session->error != 0) {
		errno = session->error;
		return -1;
	}
	return 0;
}

int
session_wait_for(struct session *session, enum session_waits_for what)
{
	struct session_wait wait = {.what = what};
	int rc = session_wait(session, &wait);

	if (rc < 0) {
		errno = -rc;
		return -1;
	}
	return 0;
}

void
session_note_progress(struct session *session)
{
	session->active_ms = loop_now_ms(&session->sched->loop);
}

ssize_t
session_receive_now(struct session *session, void *buf, size_t size, int flags, bool *ret_is_rest)
{
	ssize_t n = fd_receive(session->conn.from.fd, session->is_unix, buf, size, flags, ret_is_rest);

	/* The edge of an end that was told already does not come again (epoll(7)). */
	*ret_is_rest &= !session->hangup_seen;
	return n;
}

ssize_t
session_receive(struct session *session, void *buf, size_t size, int flags, bool *ret_is_rest)
{
	for (;;) {
		ssize_t n;

		if (!session->readable && session_wait_for(session, WAIT_INPUT) < 0)
			return -1;
		if (session_take_turn(session) < 0)
			return -1;
		n = session_receive_now(session, buf, size, flags, ret_is_rest);
		if (n > 0)
			return n;
		if (n == 0) {
			session->client_ended = true;
			return 0;
		}
		if (errno == EAGAIN)
			session->readable = false;
		else if (errno != EINTR)
			return -1;
	}
}

ssize_t
cp_recv(struct cp_conn *conn, void *buf, size_t size)
{
	struct session *session = session_of_fiber(conn, __func__);
	bool is_rest;
	ssize_t n;

	if (size == 0 || buf == NULL) {
		errno = EINVAL;
		return -1;
	}
	n = session_receive(session, buf, size, 0, &is_rest);
	if (n <= 0)
		return n;
	session->conn.bytes_in += (uint64_t)n;
	if (is_rest)
		session->readable = false;
	session_note_progress(session);
	return n;
}

ssize_t
cp_send(struct cp_conn *conn, const void *buf, size_t size)
{
	struct session *session = session_of_fiber(conn, __func__);
	size_t sent = 0;

	if (buf == NULL && size > 0) {
		errno = EINVAL;
		return -1;
	}
	while (sent < size) {
		ssize_t n;

		if (!session->writable && session_wait_for(session, WAIT_OUTPUT) < 0)
			return -1;
		if (session_take_turn(session) < 0)
			return -1;
		n = send(session->conn.from.fd, (const char *)buf + sent, size - sent,
			MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n >= 0) {
			sent += (size_t)n;
			session->conn.bytes_out += (uint64_t)n;
			session_note_progress(session);
		} else if (errno == EAGAIN) {
			session->writable = false;
		} else if (errno != EINTR) {
			return -1;
		}
	}
	return (ssize_t)size;
}

ssize_t
cp_printf(struct cp_conn *conn, const char *fmt, ...)
{
	char text[PRINTF_MAX];
	va_list args;
	int length;

	(void)session_of_fiber(conn, __func__);
	if (fmt == NULL) {
		errno = EINVAL;
		return -1;
	}
	va_start(args, fmt);
	length = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (length < 0 || (size_t)length >= sizeof(text)) {
		errno = EMSGSIZE;
		return -1;
	}
	return cp_send(conn, text, (size_t)length);
}

/* ---- waiting for other things ------------------------------------------------------ */

static uint64_t
end_of_wait_ms(const struct session *session, int timeout_ms)
{
	return timeout_ms < 0 ? UINT64_MAX : loop_now_ms(&session->sched->loop) + (uint64_t)timeout_ms;
}

/* What a wait of the handler's own returns: what has come, 0 when its time is over, or -1 with errno. */
static int
answer(int rc, int what_has_come)
{
	if (rc == -ETIMEDOUT)
		return 0;
	if (rc < 0) {
		errno = -rc;
		return -1;
	}
	return what_has_come;
}

static void
on_fd_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
	struct session_wait *wait = CP_CONTAINER_OF(watch, struct session_wait, watch);

	(void)loop;
	wait->events = events;
	session_resume(wait->session);
}

int
cp_wait_fd(struct cp_conn *conn, int fd, short events, int timeout_ms)
{
	struct session *session = session_of_fiber(conn, __func__);
	struct loop *loop = &session->sched->loop;
	struct session_wait wait = {.what = WAIT_FD, .session = session, .watch.fn = on_fd_ready};
	int rc;

	if (timeout_ms < -1) {
		errno = EINVAL;
		return -1;
	}
	wait.end_ms = end_of_wait_ms(session, timeout_ms);
	/* POLLIN and the others have the values of their EPOLL counterparts. */
	rc = loop_add(loop, &wait.watch, fd, (uint32_t)(unsigned short)events | EPOLLONESHOT);
	if (rc == 0) {
		if (session->error != 0)
			rc = -session->error;
		else if (!session->broken)
			rc = session_wait(session, &wait);
		if (rc == 0 && wait.events == 0)
			rc = -ECONNRESET;
		loop_remove(loop, &wait.watch, fd);
	}
	session_note_progress(session);
	return answer(rc, (int)wait.events);
}

int
cp_sleep(struct cp_conn *conn, int timeout_ms)
{
	struct session *session = session_of_fiber(conn, __func__);
	struct session_wait wait = {.what = WAIT_WAKE};
	int rc = 0;

	if (timeout_ms < -1) {
		errno = EINVAL;
		return -1;
	}
	wait.end_ms = end_of_wait_ms(session, timeout_ms);
	if (session->error != 0)
		rc = -session->error;
	else if (!session->woken && !session->broken)
		rc = session_wait(session, &wait);
	if (rc == 0 && !session->woken)
		rc = -ECONNRESET;
	session->woken = false;
	session_note_progress(session);
	return answer(rc, 1);
}

/* 1: there is, be it the end of it; 0: an edge will tell; -1: errno. */
static int
has_input(struct session *session)
{
	char byte;

	if (session_take_turn(session) < 0)
		return -1;
	if (!session->readable)
		return 0;
	if (recv(session->conn.from.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0)
		return 1;
	if (errno != EAGAIN && errno != EINTR)
		return -1;
	session->readable = false;
	return 0;
}

int
cp_wait(struct cp_conn *conn, int timeout_ms)
{
	struct session *session = session_of_fiber(conn, __func__);
	struct session_wait wait = {.what = WAIT_INPUT_OR_WAKE};

	if (timeout_ms < -1) {
		errno = EINVAL;
		return -1;
	}
	wait.end_ms = end_of_wait_ms(session, timeout_ms);
	for (;;) {
		int rc = has_input(session);
		int ready = (rc > 0 ? CP_READY_INPUT : 0) | (session->woken ? CP_READY_WAKE : 0);

		if (rc < 0)
			return -1;
		if (ready != 0) {
			session->woken = false;
			return ready;
		}
		rc = session_wait(session, &wait);
		if (rc == -ETIMEDOUT && loop_now_ms(&session->sched->loop) >= wait.end_ms)
			return 0;
		if (rc < 0) {
			errno = -rc;
			return -1;
		}
	}
}

struct cp_handle
cp_handle_of(struct cp_conn *conn)
{
	struct session *session = session_of_fiber(conn, __func__);

	if (session->handle == 0) {
		int64_t slot = handles_open(session->conn.from.id, &session->sched->loop, &session->wake);

		if (slot < 0) {
			errno = (int)-slot;
			return (struct cp_handle){0};
		}
		session->handle = (uint32_t)slot;
	}
	return (struct cp_handle){.connection = session->conn.from.id, .slot = session->handle};
}

int
cp_wake(struct cp_handle handle)
{
	if (handles_post(handle.connection, handle.slot))
		return 0;
	errno = ESRCH;
	return -1;
}

/* ---- about the connection -------------------------------------------------------------- */

void
cp_at_end(struct cp_conn *conn, void (*fn)(void *arg), void *arg)
{
	struct session *session = session_of_fiber(conn, __func__);

	if (session->conn.at_end != NULL)
		running_misuse(__func__, "called a second time for this connection");
	session->conn.at_end = fn;
	session->conn.at_end_arg = arg;
}

void
cp_set_server(struct cp_conn *conn, const char *name)
{
	struct session *session = session_of_fiber(conn, __func__);

	loop_update_now(&session->sched->loop);
	session->conn.server = name;
	session->conn.connected_ns = session->sched->loop.now_ns;
}

void *
cp_state(const struct cp_conn *conn)
{
	return session_of_handler(conn, __func__)->conn.from.route->state.data;
}

static socklen_t
sockaddr_from_peer(const struct peer *peer, struct sockaddr_storage *address)
{
	struct sockaddr_in *in4 = (struct sockaddr_in *)address;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)address;

	*address = (struct sockaddr_storage){.ss_family = peer->family};
	switch (peer->family) {
	case AF_INET:
		in4->sin_port = htons(peer->port);
		memcpy(&in4->sin_addr, peer->bytes, sizeof(in4->sin_addr));
		return sizeof(*in4);
	case AF_INET6:
		in6->sin6_port = htons(peer->port);
		in6->sin6_scope_id = peer->scope_id;
		memcpy(&in6->sin6_addr, peer->bytes, sizeof(in6->sin6_addr));
		return sizeof(*in6);
	default:
		return sizeof(sa_family_t);
	}
}

socklen_t
cp_peer(const struct cp_conn *conn, struct sockaddr_storage *address)
{
	return sockaddr_from_peer(&session_of_handler(conn, __func__)->conn.from.peer, address);
}

socklen_t
cp_local(const struct cp_conn *conn, struct sockaddr_storage *address)
{
	const struct session *session = session_of_handler(conn, __func__);
	const struct conn_proxied *proxied = session->conn.proxied;
	socklen_t length = sizeof(*address);

	if (proxied != NULL && proxied->destination.family != AF_UNSPEC)
		return sockaddr_from_peer(&proxied->destination, address);
	if (getsockname(session->conn.from.fd, (struct sockaddr *)address, &length) == 0)
		return length;
	*address = (struct sockaddr_storage){.ss_family = AF_UNSPEC};
	return sizeof(sa_family_t);
}

bool
cp_draining(const struct cp_conn *conn)
{
	const struct session *session = session_of_handler(conn, __func__);

	return atomic_load_explicit(&session->sched->draining, memory_order_relaxed);
}
