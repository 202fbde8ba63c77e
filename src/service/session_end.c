/* SPDX-License-Identifier: MIT */
/*
 * session_end.c - how a connection ends: so that the client gets what it was sent, in a bounded time.
 *
 * On the connection's worker, not on a fiber.
 */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/errmsg.h"
#include "base/log.h"
#include "net/listener.h"
#include "service/handles.h"
#include "service/session_parts.h"

/* Reads in one turn. */
#define DRAIN_READS 16
/* What a client may still send once its handler is done, and for how long. */
#define LINGER_MS 2000
#define LINGER_BYTES_MAX (1u << 20)
/*
 * Most clients close at once when they have read the end: one look a little later saves watching the descriptor for it.
 */
#define LINGER_GLANCE_MS 4

/*
 * With SO_LINGER and a time close(2) waits for the client, also where nothing else blocks (socket(7)). Only the last
 * holder's does: if another one sets it anew, ours is not the last.
 */
static void
keep_close_from_waiting(int fd)
{
	static const struct linger off = {.l_onoff = 0};
	struct linger linger = {.l_onoff = 0};
	socklen_t length = sizeof(linger);

	if (getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &length) == 0 && linger.l_onoff && linger.l_linger > 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &off, sizeof(off));
}

void
session_finish(struct session *session)
{
	struct sched *sched = session->sched;

	CP_ASSERT(session->fiber == NULL);
	session_relay_close(session);
	session_set_state(session, SESSION_OVER);
	if (session->handle != 0) {
		/* From here on nobody can post, and what was posted must not run. */
		handles_close(session->conn.from.id, session->handle);
		loop_unpost(&sched->loop, &session->wake);
	}
	timer_clear(&sched->loop.wheel, &session->timer);
	loop_cancel(&sched->loop, &session->task);
	/* A descriptor that is ours alone leaves the set when it is closed. */
	if (session->shared) {
		loop_remove(&sched->loop, &session->watch, session->conn.from.fd);
		keep_close_from_waiting(session->conn.from.fd);
	} else {
		loop_forget(&sched->loop, &session->watch);
	}
	/* For cp_at_end()'s fn. */
	session_enter_handler(session, "cp_at_end", RUNNING_ELSEWHERE);
	sched->done(sched, session);
	session_leave_handler();
}

/* Throws away what the client sends. True: it has ended, or sent more than its due; it can be closed now. */
static bool
drain_input(struct session *session)
{
	for (int i = 0; i < DRAIN_READS; i++) {
		/* MSG_TRUNC: a TCP socket discards without copying (tcp(7)); any other stream needs room to copy to. */
		char scratch[4096];
		bool is_rest;
		ssize_t n = session_receive_now(session, scratch, sizeof(scratch), 0, &is_rest);

		if (n == 0)
			return true;
		if (n < 0)
			return errno != EAGAIN && errno != EINTR;
		session->conn.bytes_in += (uint64_t)n;
		session->lingered_bytes += (uint32_t)n;
		if (session->lingered_bytes > LINGER_BYTES_MAX)
			return true;
		if (is_rest)
			return false;
	}
	loop_schedule(&session->sched->loop, &session->task);
	return false;
}

/* From now on an event tells when the client ends, and the timer when it has taken too long. */
static void
linger_watched(struct session *session)
{
	bool was_watched = session->watched;

	timer_set(&session->sched->loop.wheel, &session->timer, loop_now_ms(&session->sched->loop) + LINGER_MS);
	/*
	 * Registering reports at once what is there already; a descriptor that is registered may have told it before.
	 */
	if (session_watch(session, false) < 0 || (was_watched && session->readable && drain_input(session)))
		session_finish(session);
}

/*
 * The handler is done and the client has not ended. Closing now would make the kernel answer whatever the client still
 * sends, or has sent, with a reset, and a reset can cost it the reply. So: end our side, drain its own, for a bounded
 * time.
 */
static void
linger(struct session *session)
{
	if (shutdown(session->conn.from.fd, SHUT_WR) < 0) {
		session_finish(session);
		return;
	}
	session_set_state(session, SESSION_LINGERING);
	if (session->watched)
		linger_watched(session);
	else
		timer_set(&session->sched->loop.wheel, &session->timer,
			loop_now_ms(&session->sched->loop) + LINGER_GLANCE_MS);
}

/* The glance, or the end of the client's time. */
void
session_linger_on(struct session *session)
{
	if (session->watched || drain_input(session))
		session_finish(session);
	else
		linger_watched(session);
}

void
session_linger_input(struct session *session)
{
	if (drain_input(session))
		session_finish(session);
}

static enum conn_end
end_for_errno(int error)
{
	switch (error) {
	case ECONNRESET:
	case EPIPE:
		return CONN_END_CLIENT_RESET;
	case EHOSTUNREACH:
		return CONN_END_UPSTREAM_DOWN;
	case EBUSY:
		return CONN_END_UPSTREAM_FULL;
	default:
		return CONN_END_ERROR;
	}
}

/* Nobody had room for a client that was let in: it is told what one is told at the door. */
static void
send_busy_message(struct session *session)
{
	const char *message = session_rule(session)->busy_message;
	ssize_t n;

	if (message == NULL || session->conn.bytes_out > 0)
		return;
	if (session->conn.end != CONN_END_UPSTREAM_DOWN && session->conn.end != CONN_END_UPSTREAM_FULL &&
		session->conn.end != CONN_END_PROGRAM_FAILED)
		return;
	n = send(session->conn.from.fd, message, strlen(message), MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0)
		session->conn.bytes_out += (uint64_t)n;
}

/* No reply of ours can reach the client any more, or it has ended by itself: nothing is gained by waiting for it. */
static bool
is_beyond_lingering(const struct session *session)
{
	switch ((enum conn_end)session->conn.end) {
	case CONN_END_CLIENT_RESET:
	case CONN_END_SERVER_RESET:
	case CONN_END_SEND_TIMEOUT:
		return true;
	default:
		return session->client_ended || session->cut_off || session->cancelled;
	}
}

void
session_conclude(struct session *session)
{
	session_relay_close(session);
	if (session->verdict < 0)
		conn_set_end(&session->conn, end_for_errno(session->verdict_errno));
	else
		conn_set_end(&session->conn, session->client_ended ? CONN_END_CLIENT : CONN_END_SERVICE);
	send_busy_message(session);
	if (is_beyond_lingering(session))
		session_finish(session);
	else
		linger(session);
}

void
session_fail(struct session *session, const char *what, int error)
{
	log_warning(LOG_EVENT_NONE, "listener '%s': connection %llu ends: %s: %s",
		session->conn.from.route->listener->name, (unsigned long long)session->conn.from.id, what,
		errmsg_errno(error));
	conn_set_end(&session->conn, CONN_END_ERROR);
	session_finish(session);
}
