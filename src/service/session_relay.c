/* SPDX-License-Identifier: MIT */
/*
 * session_relay.c - a connection whose handler gave it, with one to a server, to the engine.
 *
 * It holds no stack: events of either descriptor move what can be moved, and the session's timer watches over the rest.
 * On the connection's worker; cp_relay() on its fiber.
 */
#include "config.h"

#include "service/session_parts.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/fdutil.h"
#include "engine/relay.h"
#include "service/services.h"

static uint64_t
now_ms_of(const struct session *session)
{
	return loop_now_ms(&session->sched->loop);
}

/* ---- the end --------------------------------------------------------------------------- */

/* The other side of a connection that broke must not take what it has got for the whole: it gets a reset too. */
static void
break_off(int fd)
{
	const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

void
session_relay_close(struct session *session)
{
	struct relay *relay = session->relay;
	int server_fd;

	if (relay == NULL)
		return;
	server_fd = relay->ends[RELAY_SERVER].fd;
	session->conn.bytes_in += relay->ends[RELAY_CLIENT].received;
	session->conn.bytes_out += relay->ends[RELAY_CLIENT].sent;
	session->client_ended |= relay->ends[RELAY_CLIENT].ended;
	session->hangup_seen |= relay->ends[RELAY_CLIENT].hangup_seen;
	/* What was held for a side is lost: its stream must not look whole. */
	if (relay->ends[RELAY_SERVER].held != NULL)
		break_off(server_fd);
	if (relay->ends[RELAY_CLIENT].held != NULL) {
		break_off(session->conn.from.fd);
		session->cut_off = true;
	}
	if (session->shared)
		loop_remove(&session->sched->loop, &relay->watch, server_fd);
	else
		loop_forget(&session->sched->loop, &relay->watch);
	fd_close(&server_fd);
	relay_free(&session->relay);
}

static bool
is_reset(int error)
{
	return error == ECONNRESET || error == EPIPE;
}

/* One end failed. Who had ended its side before, and was then written to, did nothing wrong. */
static enum conn_end
end_for_failure(const struct relay *relay)
{
	if (relay->error == ENOMEM)
		return CONN_END_ERROR;
	if (relay->failed == RELAY_CLIENT)
		return is_reset(relay->error) ? CONN_END_CLIENT_RESET : CONN_END_ERROR;
	if (relay->ends[RELAY_SERVER].ended)
		return CONN_END_SERVER;
	return CONN_END_SERVER_RESET;
}

static void
on_over(struct session *session)
{
	const struct relay *relay = session->relay;
	enum conn_end why;

	if (relay->error != 0)
		why = end_for_failure(relay);
	else
		why = relay->first_end == RELAY_CLIENT ? CONN_END_CLIENT : CONN_END_SERVER;
	conn_set_end(&session->conn, why);
	session->verdict = CP_DONE;
	if (relay->error == 0 || why == CONN_END_SERVER) {
		session_conclude(session);
		return;
	}
	/* The one that failed too: it may be our memory that did. */
	break_off(relay->ends[RELAY_CLIENT].fd);
	break_off(relay->ends[RELAY_SERVER].fd);
	session_finish(session);
}

/* ---- while it lasts ---------------------------------------------------------------------- */

uint64_t
session_relay_end_ms(const struct session *session)
{
	const struct relay *relay = session->relay;
	uint64_t idle_ms = session_idle_ms(session);
	uint64_t send_ms = session_send_ms(session);
	uint64_t stalled_ms = relay_stalled_since_ms(relay);
	uint64_t end_ms = UINT64_MAX;

	if (idle_ms > 0)
		end_ms = relay->moved_ms + idle_ms;
	if (relay->first_end >= 0 && relay->half_closed_ms > 0 && relay->moved_ms + relay->half_closed_ms < end_ms)
		end_ms = relay->moved_ms + relay->half_closed_ms;
	if (stalled_ms != UINT64_MAX && send_ms > 0 && stalled_ms + send_ms < end_ms)
		end_ms = stalled_ms + send_ms;
	return end_ms;
}

enum conn_end
session_relay_timeout(const struct session *session)
{
	const struct relay *relay = session->relay;
	uint64_t send_ms = session_send_ms(session);
	uint64_t stalled_ms = relay_stalled_since_ms(relay);
	uint64_t now_ms = now_ms_of(session);

	if (stalled_ms != UINT64_MAX && send_ms > 0 && stalled_ms + send_ms <= now_ms)
		return CONN_END_SEND_TIMEOUT;
	if (relay->first_end >= 0 && relay->half_closed_ms > 0 && relay->moved_ms + relay->half_closed_ms <= now_ms)
		return CONN_END_HALF_CLOSED;
	return CONN_END_IDLE;
}

void
session_relay_run(struct session *session, uint32_t events)
{
	struct relay *relay = session->relay;

	relay_note(relay, RELAY_CLIENT, events);
	switch (relay_run(relay, now_ms_of(session))) {
	case RELAY_OVER:
		on_over(session);
		return;
	case RELAY_AGAIN:
		loop_schedule(&session->sched->loop, &session->task);
		break;
	case RELAY_WAITS:
		break;
	}
	if (relay_wants_output(relay, RELAY_CLIENT) && session_watch(session, true) < 0) {
		session_fail(session, "cannot watch its descriptor", errno);
		return;
	}
	/* Only these two bring deadlines nearer than they were. */
	if (relay->first_end >= 0 || relay_stalled_since_ms(relay) != UINT64_MAX)
		session_arm_timer(session);
}

static void
on_server_event(struct loop *loop, struct watch *watch, uint32_t events)
{
	struct relay *relay = CP_CONTAINER_OF(watch, struct relay, watch);
	struct session *session = relay->owner;

	(void)loop;
	relay_note(relay, RELAY_SERVER, events);
	/* On its fiber's last steps the events wait for session_relay_begin(). */
	if (session->state == SESSION_RELAYING)
		session_relay_run(session, 0);
}

/* ---- the beginning ------------------------------------------------------------------------- */

void
session_relay_begin(struct session *session)
{
	session_set_state(session, SESSION_RELAYING);
	session_arm_timer(session);
	session_relay_run(session, 0);
}

/* Watches both descriptors. 0 or -errno. */
static int
watch_both(struct session *session, struct relay *relay)
{
	int rc = loop_add(&session->sched->loop, &relay->watch, relay->ends[RELAY_SERVER].fd,
		EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET);

	return rc < 0 ? rc : session_watch(session, false);
}

/* What the handler has learnt about the client's side. */
static void
take_over_client(const struct session *session, struct relay *relay)
{
	struct relay_end *client = &relay->ends[RELAY_CLIENT];

	client->readable = session->readable;
	client->hangup_seen = session->hangup_seen;
	client->is_unix = session->is_unix;
	client->unspliceable = session->shared;
	if (session->client_ended) {
		client->ended = true;
		relay->first_end = RELAY_CLIENT;
		(void)shutdown(relay->ends[RELAY_SERVER].fd, SHUT_WR);
	}
}

static bool
is_unix_socket(int fd)
{
	int domain = AF_UNSPEC;
	socklen_t length = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain == AF_UNIX;
}

int
cp_relay(struct cp_conn *conn, int fd, size_t limit, unsigned half_closed_ms)
{
	(void)session_of_fiber(conn, __func__);
	if (limit == 0) {
		fd_close(&fd);
		errno = EINVAL;
		return -1;
	}
	return relay_to_server(conn, fd, is_unix_socket(fd), limit, half_closed_ms);
}

int
relay_to_server(struct cp_conn *conn, int fd, bool is_unix, size_t limit, unsigned half_closed_ms)
{
	struct session *session = session_of_fiber(conn, "cp_relay");
	struct relay *relay;
	int rc;

	if (session->error != 0) {
		fd_close(&fd);
		errno = session->error;
		return -1;
	}
	relay = relay_new(&session->sched->relays, session->conn.from.fd, fd,
		limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX);
	if (relay == NULL) {
		fd_close(&fd);
		errno = ENOMEM;
		return -1;
	}
	relay->owner = session;
	relay->watch.fn = on_server_event;
	relay->half_closed_ms = half_closed_ms;
	relay->moved_ms = now_ms_of(session);
	relay->ends[RELAY_SERVER].is_unix = is_unix;
	relay->ends[RELAY_SERVER].unspliceable = session->shared;
	session->relay = relay;
	take_over_client(session, relay);
	/* What the client has sent already goes on its way before anything else is seen to. */
	(void)relay_run(relay, relay->moved_ms);
	rc = watch_both(session, relay);
	if (rc < 0) {
		session_relay_close(session);
		errno = -rc;
		return -1;
	}
	return CP_RELAY;
}
