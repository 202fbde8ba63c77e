/* SPDX-License-Identifier: MIT */
/*
 * session_io.c - the calls of handler.h: try the system call, and wait only when it would block.
 *
 * They run on the connection's fiber.
 */
#include "config.h"

#include "service/session_io.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "service/session.h"

#define PRINTF_MAX 4096

static struct session *
session_from_public(struct cp_conn *conn)
{
	struct session *session = (struct session *)conn;

	CP_CHECK_MAGIC(&session->conn, CONN_MAGIC);
	CP_ASSERT(session->state == SESSION_RUNNING);
	return session;
}

/* Before each system call: may it go on, and is it somebody else's turn? 0 or -1 with errno. */
static int
take_turn(struct session *session)
{
	if (session->error == 0 && session->budget-- == 0)
		session_yield(session);
	if (session->error != 0) {
		errno = session->error;
		return -1;
	}
	return 0;
}

static int
wait_for(struct session *session, bool to_read)
{
	int rc = session_wait(session, to_read);

	if (rc < 0) {
		errno = -rc;
		return -1;
	}
	return 0;
}

static void
note_progress(struct session *session)
{
	session->active_ms = loop_now_ms(&session->sched->loop);
}

ssize_t
cp_recv(struct cp_conn *conn, void *buf, size_t size)
{
	struct session *session = session_from_public(conn);

	for (;;) {
		ssize_t n;

		if (!session->readable && wait_for(session, true) < 0)
			return -1;
		if (take_turn(session) < 0)
			return -1;
		n = recv(session->conn.from.fd, buf, size, 0);
		if (n > 0) {
			session->conn.bytes_in += (uint64_t)n;
			/*
			 * Less than asked for: the socket is empty, and a new edge will come (epoll(7)). But not for an
			 * end that was told already.
			 */
			if ((size_t)n < size && !session->hangup_seen)
				session->readable = false;
			note_progress(session);
			return n;
		}
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
cp_send(struct cp_conn *conn, const void *buf, size_t size)
{
	struct session *session = session_from_public(conn);
	size_t sent = 0;

	while (sent < size) {
		ssize_t n;

		if (!session->writable && wait_for(session, false) < 0)
			return -1;
		if (take_turn(session) < 0)
			return -1;
		n = send(session->conn.from.fd, (const char *)buf + sent, size - sent, MSG_NOSIGNAL);
		if (n >= 0) {
			sent += (size_t)n;
			session->conn.bytes_out += (uint64_t)n;
			note_progress(session);
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

	va_start(args, fmt);
	length = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (length < 0 || (size_t)length >= sizeof(text)) {
		errno = EMSGSIZE;
		return -1;
	}
	return cp_send(conn, text, (size_t)length);
}

bool
cp_draining(const struct cp_conn *conn)
{
	const struct session *session = (const struct session *)conn;

	return atomic_load_explicit(&session->sched->draining, memory_order_relaxed);
}
