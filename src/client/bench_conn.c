/* SPDX-License-Identifier: MIT */
/*
 * Positions count from the socket's opening on, over all requests, so that an answer of the request before is no
 * answer to this one. No more is accepted back than has been sent: a server that makes bytes up is caught at once.
 */
#include "config.h"

#include "client/bench_conn.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/fdutil.h"
#include "client/dial.h"
#include "client/pattern.h"
#include "client/result.h"

/* Passes over both directions before other connections get their turn. */
#define PASSES_MAX 16

void
bench_conn_init(struct bench_conn *conn, uint64_t id)
{
	memset(conn, 0, sizeof(*conn));
	conn->fd = -1;
	conn->entry = pattern_entry(id);
	list_init(&conn->link);
	list_init(&conn->deadline_link);
}

void
bench_conn_close(struct bench_conn *conn)
{
	fd_close(&conn->fd);
	conn->state = BENCH_CONN_CLOSED;
}

static void
reset_stream(struct bench_conn *conn)
{
	conn->sent = conn->checked = conn->goal = 0;
	conn->readable = false;
	conn->writable = false;
	conn->ending = false;
}

int
bench_conn_open(struct bench_conn *conn, const struct dial_endpoint *endpoint)
{
	int r;

	CP_ASSERT(conn->state == BENCH_CONN_CLOSED);
	reset_stream(conn);
	r = dial_begin(endpoint, &conn->fd);
	if (r == 0) {
		conn->state = BENCH_CONN_READY;
		conn->writable = true;
	} else if (r == -EINPROGRESS) {
		conn->state = BENCH_CONN_CONNECTING;
	}
	return r;
}

void
bench_conn_start(struct bench_conn *conn, uint64_t size)
{
	CP_ASSERT(conn->state == BENCH_CONN_READY);
	conn->state = BENCH_CONN_ECHOING;
	conn->goal = conn->sent + size;
}

void
bench_conn_note_events(struct bench_conn *conn, uint32_t events)
{
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		conn->readable = true;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		conn->ending = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		conn->writable = true;
}

static int
finish_connecting(struct bench_conn *conn)
{
	int r;

	if (!conn->writable)
		return BENCH_PROGRESS_WAIT;
	r = dial_finish(conn->fd);
	if (r < 0)
		return r;
	conn->state = BENCH_CONN_READY;
	return BENCH_PROGRESS_CONNECTED;
}

static int
send_some(struct bench_conn *conn, const struct pattern *pattern)
{
	uint64_t left = conn->goal - conn->sent;
	size_t len = left < PATTERN_SPAN ? (size_t)left : PATTERN_SPAN;
	ssize_t n = send(conn->fd, pattern_at(pattern, conn->entry + conn->sent), len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0) {
		if (errno == EINTR)
			return 0;
		conn->writable = false;
		return errno == EAGAIN ? 0 : -errno;
	}
	conn->sent += (uint64_t)n;
	return 0;
}

static int
receive_some(struct bench_conn *conn, const struct pattern *pattern, void *scratch, size_t scratch_len)
{
	ssize_t n = recv(conn->fd, scratch, scratch_len, MSG_DONTWAIT);

	if (n < 0) {
		if (errno == EINTR)
			return 0;
		conn->readable = false;
		return errno == EAGAIN ? 0 : -errno;
	}
	if (n == 0)
		return -RESULT_ERRNO_CLOSED_EARLY;
	/*
	 * A stream socket that gave less than asked for is empty, and what comes later is a new edge (epoll(7)). Not so
	 * its end: when that was there already with the data, there will be no edge for it.
	 */
	if ((size_t)n < scratch_len && !conn->ending)
		conn->readable = false;
	if ((uint64_t)n > conn->sent - conn->checked)
		return -RESULT_ERRNO_CORRUPTED;
	if (!pattern_matches(pattern, conn->entry + conn->checked, scratch, (size_t)n))
		return -RESULT_ERRNO_CORRUPTED;
	conn->checked += (uint64_t)n;
	return 0;
}

static int
echo(struct bench_conn *conn, const struct pattern *pattern, void *scratch, size_t scratch_len)
{
	for (unsigned pass = 0; pass < PASSES_MAX; pass++) {
		bool can_send = conn->writable && conn->sent < conn->goal;
		int r = 0;

		if (!can_send && !conn->readable)
			return BENCH_PROGRESS_WAIT;
		if (can_send)
			r = send_some(conn, pattern);
		if (r == 0 && conn->readable)
			r = receive_some(conn, pattern, scratch, scratch_len);
		if (r < 0)
			return r;
		if (conn->checked == conn->goal) {
			conn->state = BENCH_CONN_READY;
			return BENCH_PROGRESS_DONE;
		}
	}
	return BENCH_PROGRESS_AGAIN;
}

int
bench_conn_progress(struct bench_conn *conn, const struct pattern *pattern, void *scratch, size_t scratch_len)
{
	switch (conn->state) {
	case BENCH_CONN_CONNECTING:
		return finish_connecting(conn);
	case BENCH_CONN_ECHOING:
		return echo(conn, pattern, scratch, scratch_len);
	default:
		/* An event between requests is found again, with its cause, by the next one. */
		return BENCH_PROGRESS_WAIT;
	}
}
