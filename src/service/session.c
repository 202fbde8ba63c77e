/* SPDX-License-Identifier: MIT */
/*
 * session.c - when a connection's handler runs, when it waits, and how it ends.
 *
 * Everything here is on the connection's worker; session_wait() and session_yield() on its fiber, the rest on the
 * worker's own stack. The descriptor is edge-triggered and registered once (and once more when a send first has to
 * wait). `readable` remembers what the kernel said last, so that a read that came back short is not followed by one
 * that only says EAGAIN.
 */
#include "config.h"

#include "service/session.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/errmsg.h"
#include "base/log.h"
#include "conf/conf.h"
#include "net/listener.h"
#include "net/route.h"
#include "service/session_io.h"

/* A fiber gives way to the others after so many calls that did not have to wait. */
#define BUDGET_CALLS 16
/* What a client may still send once its handler is done, and for how long. */
#define LINGER_MS 2000
#define LINGER_BYTES_MAX (1u << 20)
/*
 * Most clients close at once when they have read the end: one look a little later saves watching the descriptor for it.
 */
#define LINGER_GLANCE_MS 4

static void session_run(struct session *session);

static struct session *
session_from(struct conn *conn)
{
	CP_CHECK_MAGIC(conn, CONN_MAGIC);
	return CP_CONTAINER_OF(conn, struct session, conn);
}

static const struct conf_listener *
rule_of(const struct session *session)
{
	return session->conn.from.route->rule;
}

/* ---- the one mover of states ------------------------------------------------------ */

#define MAY(state) (1u << (state))

static void
session_set_state(struct session *session, enum session_state state)
{
	static const unsigned legal[] = {
		[SESSION_NEW] = MAY(SESSION_PARKED) | MAY(SESSION_RUNNING) | MAY(SESSION_OVER),
		[SESSION_PARKED] = MAY(SESSION_RUNNING) | MAY(SESSION_LINGERING) | MAY(SESSION_OVER),
		[SESSION_RUNNING] = MAY(SESSION_PARKED) | MAY(SESSION_WAITING) | MAY(SESSION_YIELDED) |
				    MAY(SESSION_LINGERING) | MAY(SESSION_OVER),
		[SESSION_WAITING] = MAY(SESSION_RUNNING),
		[SESSION_YIELDED] = MAY(SESSION_RUNNING) | MAY(SESSION_LINGERING) | MAY(SESSION_OVER),
		[SESSION_LINGERING] = MAY(SESSION_OVER),
		[SESSION_OVER] = 0,
	};

	CP_ASSERT((legal[session->state] & MAY(state)) != 0);
	if (session->state == SESSION_LINGERING)
		sched_end_linger(session->sched);
	if (state == SESSION_LINGERING)
		sched_begin_linger(session->sched);
	session->state = (uint8_t)state;
}

/* ---- deadlines ------------------------------------------------------------------------ */

static uint64_t
earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static bool
waits_to_send(const struct session *session)
{
	return session->state == SESSION_WAITING && !session->waits_to_read;
}

static uint64_t
lifetime_end_ms(const struct session *session)
{
	uint64_t lifetime_ms = rule_of(session)->lifetime_ms;

	return lifetime_ms > 0 ? session->conn.started_ns / 1000000 + lifetime_ms : UINT64_MAX;
}

/* Until when bytes must have moved: idle_timeout, or send_timeout while the client does not take what it is sent. */
static uint64_t
progress_end_ms(const struct session *session)
{
	uint64_t limit_ms =
		waits_to_send(session) ? rule_of(session)->send_timeout_ms : rule_of(session)->idle_timeout_ms;

	return limit_ms > 0 ? session->active_ms + limit_ms : UINT64_MAX;
}

/* Deadlines move with every byte; the timer does not: when it fires early it is set anew. */
static void
arm_timer(struct session *session)
{
	uint64_t end_ms = earlier(lifetime_end_ms(session), progress_end_ms(session));

	if (end_ms == UINT64_MAX)
		return;
	if (!timer_is_set(&session->timer) || session->timer.expires_ms > end_ms)
		timer_set(&session->sched->loop.wheel, &session->timer, end_ms);
}

/* ---- the end ------------------------------------------------------------------------------ */

static void
finish(struct session *session)
{
	struct sched *sched = session->sched;

	CP_ASSERT(session->fiber == NULL);
	session_set_state(session, SESSION_OVER);
	timer_clear(&sched->loop.wheel, &session->timer);
	loop_cancel(&sched->loop, &session->task);
	/* Closing the descriptor takes it out of the set. */
	if (session->watched)
		loop_forget(&sched->loop, &session->watch);
	sched->done(sched, session);
}

/* Throws away what the client sends. True: it has ended, or sent more than its due; it can be closed now. */
static bool
drain_input(struct session *session)
{
	for (int i = 0; i < BUDGET_CALLS; i++) {
		/* MSG_TRUNC: a TCP socket discards without copying (tcp(7)); any other stream needs room to copy to. */
		char scratch[4096];
		ssize_t n = recv(session->conn.from.fd, scratch, sizeof(scratch), MSG_DONTWAIT);

		if (n == 0)
			return true;
		if (n < 0)
			return errno != EAGAIN && errno != EINTR;
		session->conn.bytes_in += (uint64_t)n;
		session->lingered_bytes += (uint32_t)n;
		if (session->lingered_bytes > LINGER_BYTES_MAX)
			return true;
		if ((size_t)n < sizeof(scratch) && !session->hangup_seen)
			return false;
	}
	loop_schedule(&session->sched->loop, &session->task);
	return false;
}

static int
watch_input(struct session *session)
{
	int rc;

	if (session->watched)
		return 0;
	rc = loop_add(&session->sched->loop, &session->watch, session->conn.from.fd, EPOLLIN | EPOLLRDHUP | EPOLLET);
	session->watched = rc == 0;
	return rc;
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
	if (watch_input(session) < 0 || (was_watched && session->readable && drain_input(session)))
		finish(session);
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
		finish(session);
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
static void
linger_on(struct session *session)
{
	if (session->watched || drain_input(session))
		finish(session);
	else
		linger_watched(session);
}

static enum conn_end
end_for_errno(int error)
{
	return error == ECONNRESET || error == EPIPE ? CONN_END_CLIENT_RESET : CONN_END_ERROR;
}

/* serve() has returned for the last time. */
static void
conclude(struct session *session)
{
	if (session->verdict < 0)
		conn_set_end(&session->conn, end_for_errno(session->verdict_errno));
	else
		conn_set_end(&session->conn, session->client_ended ? CONN_END_CLIENT : CONN_END_SERVICE);
	if (session->client_ended || session->conn.end == CONN_END_CLIENT_RESET ||
		session->conn.end == CONN_END_SEND_TIMEOUT || session->conn.end == CONN_END_DRAIN)
		finish(session);
	else
		linger(session);
}

static void
fail(struct session *session, const char *what, int error)
{
	log_warning(LOG_EVENT_NONE, "listener '%s': connection %llu ends: %s: %s",
		session->conn.from.route->listener->name, (unsigned long long)session->conn.from.id, what,
		errmsg_errno(error));
	conn_set_end(&session->conn, CONN_END_ERROR);
	finish(session);
}

/* ---- running ---------------------------------------------------------------------------------- */

static void
park(struct session *session)
{
	int rc = watch_input(session);

	if (rc < 0) {
		fail(session, "cannot watch its descriptor", -rc);
		return;
	}
	session_set_state(session, SESSION_PARKED);
	arm_timer(session);
}

/* The fiber has returned from serve(). */
static void
after_serve(struct session *session)
{
	session->fiber = NULL;
	if (session->verdict != CP_PARK) {
		conclude(session);
	} else if (session->error != 0 || session->client_ended) {
		/* It was told to end, or has read the end, and parked all the same: nothing would ever wake it. */
		session->verdict = CP_DONE;
		conclude(session);
	} else if (session->readable) {
		session_set_state(session, SESSION_YIELDED);
		loop_schedule(&session->sched->loop, &session->task);
	} else {
		park(session);
	}
}

/* On the fiber: the handler's code begins here. */
static void
serve_on_fiber(void *arg)
{
	struct session *session = arg;

	errno = 0;
	session->verdict = (int16_t)session->conn.from.route->handler->serve((struct cp_conn *)session);
	session->verdict_errno = (int16_t)errno;
}

/* Runs the handler, or goes on with it, until it waits or is done [worker]. */
static void
session_run(struct session *session)
{
	struct sched *sched = session->sched;
	int rc;

	session_set_state(session, SESSION_RUNNING);
	session->budget = BUDGET_CALLS;
	sched_enter(sched, session->conn.from.id, session->conn.from.route->listener->number);
	if (session->fiber != NULL)
		rc = fiber_resume(session->fiber);
	else
		rc = fiber_run(sched->fibers, serve_on_fiber, session, &session->fiber);
	sched_leave(sched);
	if (rc < 0)
		fail(session, "no memory for a stack", -rc);
	else if (rc == 0)
		after_serve(session);
}

int
session_wait(struct session *session, bool to_read)
{
	uint32_t events = EPOLLIN | EPOLLRDHUP | EPOLLET;
	struct loop *loop = &session->sched->loop;
	int rc = 0;

	/* It has been told to end: nothing would wake it any more. */
	if (session->error != 0)
		return -session->error;
	/*
	 * EPOLLOUT only once it is needed: with it, every new connection would begin with an event that says it can be
	 * written to.
	 */
	if (to_read || session->watches_output) {
		rc = watch_input(session);
	} else {
		events |= EPOLLOUT;
		rc = session->watched ? loop_modify(loop, &session->watch, session->conn.from.fd, events)
				      : loop_add(loop, &session->watch, session->conn.from.fd, events);
		if (rc == 0)
			session->watched = session->watches_output = true;
	}
	if (rc < 0)
		return rc;
	session->waits_to_read = to_read;
	session->timed_out = false;
	session_set_state(session, SESSION_WAITING);
	arm_timer(session);
	fiber_suspend();
	if (session->error != 0)
		return -session->error;
	return session->timed_out ? -ETIMEDOUT : 0;
}

void
session_yield(struct session *session)
{
	session_set_state(session, SESSION_YIELDED);
	loop_schedule(&session->sched->loop, &session->task);
	fiber_suspend();
}

/* ---- what wakes it ------------------------------------------------------------------------------- */

static void
session_on_event(struct loop *loop, struct watch *watch, uint32_t events)
{
	struct session *session = CP_CONTAINER_OF(watch, struct session, watch);

	(void)loop;
	if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
		session->readable = true;
	if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
		session->hangup_seen = true;
	if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0)
		session->writable = true;
	switch ((enum session_state)session->state) {
	case SESSION_PARKED:
		if (session->readable)
			session_run(session);
		break;
	case SESSION_WAITING:
		if (session->waits_to_read ? session->readable : session->writable)
			session_run(session);
		break;
	case SESSION_LINGERING:
		if (session->readable && drain_input(session))
			finish(session);
		break;
	case SESSION_NEW:
	case SESSION_RUNNING:
	case SESSION_YIELDED:
	case SESSION_OVER:
		break;
	}
}

static void
session_on_task(struct loop *loop, struct task *task)
{
	struct session *session = CP_CONTAINER_OF(task, struct session, task);

	(void)loop;
	if (session->state == SESSION_YIELDED)
		session_run(session);
	else if (session->state == SESSION_LINGERING && drain_input(session))
		finish(session);
}

/* Ends it, whatever it does: a suspended handler is let run to its end, every call of it failing. */
static void
end_now(struct session *session, enum conn_end why)
{
	conn_set_end(&session->conn, why);
	session->error = ECANCELED;
	switch ((enum session_state)session->state) {
	case SESSION_PARKED:
		session->verdict = CP_DONE;
		conclude(session);
		break;
	case SESSION_WAITING:
		session_run(session);
		break;
	case SESSION_YIELDED:
		if (session->fiber == NULL) {
			session->verdict = CP_DONE;
			conclude(session);
		} else {
			loop_cancel(&session->sched->loop, &session->task);
			session_run(session);
		}
		break;
	case SESSION_LINGERING:
		finish(session);
		break;
	case SESSION_NEW:
	case SESSION_RUNNING:
	case SESSION_OVER:
		break;
	}
}

static void
session_on_timer(struct timer *timer)
{
	struct session *session = CP_CONTAINER_OF(timer, struct session, timer);
	uint64_t now_ms = loop_now_ms(&session->sched->loop);
	enum conn_end why = waits_to_send(session) ? CONN_END_SEND_TIMEOUT : CONN_END_IDLE;

	if (session->state == SESSION_LINGERING) {
		linger_on(session);
	} else if (now_ms >= lifetime_end_ms(session)) {
		end_now(session, CONN_END_LIFETIME);
	} else if (now_ms < progress_end_ms(session) || session->state == SESSION_YIELDED) {
		arm_timer(session);
	} else if (session->state == SESSION_WAITING) {
		/* The handler may still say goodbye. */
		conn_set_end(&session->conn, why);
		session->timed_out = true;
		session_run(session);
	} else {
		end_now(session, why);
	}
}

/* ---- for the pool ------------------------------------------------------------------------------------ */

void
session_start(struct sched *sched, struct conn *conn)
{
	struct session *session = session_from(conn);

	session->sched = sched;
	session->watch.fn = session_on_event;
	session->timer.fn = session_on_timer;
	session->task.fn = session_on_task;
	session->active_ms = loop_now_ms(&sched->loop);
	session->writable = true;
	if ((conn->from.route->handler->flags & CP_CLIENT_FIRST) != 0) {
		park(session);
	} else {
		session->readable = true;
		session_run(session);
	}
}

void
session_cancel(struct sched *sched, struct conn *conn, enum conn_end why)
{
	(void)sched;
	end_now(session_from(conn), why);
}
