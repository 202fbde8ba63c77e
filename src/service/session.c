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

#include "base/running.h"
#include "net/listener.h"
#include "net/proxy_accept.h"
#include "service/session_parts.h"

/* A fiber gives way to the others after so many calls that did not have to wait. */
#define BUDGET_CALLS 16

static void session_run(struct session *session);
static void read_header(struct session *session);

static struct session *
session_from(struct conn *conn)
{
	CP_CHECK_MAGIC(conn, CONN_MAGIC);
	return CP_CONTAINER_OF(conn, struct session, conn);
}

/* ---- the one mover of states ------------------------------------------------------ */

#define MAY(state) (1u << (state))

void
session_set_state(struct session *session, enum session_state state)
{
	static const unsigned legal[] = {
		[SESSION_NEW] = MAY(SESSION_HEADER) | MAY(SESSION_PARKED) | MAY(SESSION_RUNNING) | MAY(SESSION_OVER),
		[SESSION_HEADER] = MAY(SESSION_PARKED) | MAY(SESSION_RUNNING) | MAY(SESSION_OVER),
		[SESSION_PARKED] = MAY(SESSION_RUNNING) | MAY(SESSION_LINGERING) | MAY(SESSION_OVER),
		[SESSION_RUNNING] = MAY(SESSION_PARKED) | MAY(SESSION_WAITING) | MAY(SESSION_YIELDED) |
				    MAY(SESSION_RELAYING) | MAY(SESSION_LINGERING) | MAY(SESSION_OVER),
		[SESSION_WAITING] = MAY(SESSION_RUNNING),
		[SESSION_YIELDED] = MAY(SESSION_RUNNING) | MAY(SESSION_LINGERING) | MAY(SESSION_OVER),
		[SESSION_RELAYING] = MAY(SESSION_LINGERING) | MAY(SESSION_OVER),
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
	return session->state == SESSION_WAITING && session->wait->what == WAIT_OUTPUT;
}

static uint64_t
lifetime_end_ms(const struct session *session)
{
	uint64_t lifetime_ms = session_lifetime_ms(session);

	return lifetime_ms > 0 ? session->conn.started_ns / 1000000 + lifetime_ms : UINT64_MAX;
}

/* Until when what it waits for must have come: bytes that move, mostly. */
static uint64_t
progress_end_ms(const struct session *session)
{
	uint64_t limit_ms = waits_to_send(session) ? session_send_ms(session) : session_idle_ms(session);
	uint64_t end_ms = UINT64_MAX;

	switch ((enum session_state)session->state) {
	case SESSION_HEADER:
		limit_ms = session_rule(session)->proxy_timeout_ms;
		break;
	case SESSION_WAITING:
		if (session->wait->what == WAIT_INPUT_OR_WAKE)
			end_ms = session->wait->end_ms;
		else if (session->wait->what != WAIT_INPUT && session->wait->what != WAIT_OUTPUT)
			return session->wait->end_ms;
		break;
	case SESSION_RELAYING:
		return session_relay_end_ms(session);
	default:
		break;
	}
	return limit_ms > 0 ? earlier(session->active_ms + limit_ms, end_ms) : end_ms;
}

/* Deadlines move with every byte; the timer does not: when it fires early it is set anew. */
void
session_arm_timer(struct session *session)
{
	uint64_t end_ms = earlier(lifetime_end_ms(session), progress_end_ms(session));

	if (end_ms == UINT64_MAX)
		return;
	if (!timer_is_set(&session->timer) || session->timer.expires_ms > end_ms)
		timer_set(&session->sched->loop.wheel, &session->timer, end_ms);
}

int
session_watch(struct session *session, bool with_output)
{
	struct loop *loop = &session->sched->loop;
	/* EPOLLPRI: a read ends at an urgent byte, short as if nothing were behind it. */
	uint32_t events = EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLET | (with_output ? (uint32_t)EPOLLOUT : 0);
	int rc;

	if (session->watched && (!with_output || session->watches_output))
		return 0;
	rc = session->watched ? loop_modify(loop, &session->watch, session->conn.from.fd, events)
			      : loop_add(loop, &session->watch, session->conn.from.fd, events);
	if (rc == 0) {
		session->watched = true;
		session->watches_output = with_output;
	}
	return rc;
}

void
session_share(struct session *session)
{
	session->shared = true;
}

void
session_unwatch(struct session *session)
{
	loop_remove(&session->sched->loop, &session->watch, session->conn.from.fd);
	session->watched = false;
	session->watches_output = false;
	/* What is there will have to be asked for. */
	session->readable = true;
}

/* ---- running ---------------------------------------------------------------------------------- */

static void
park(struct session *session)
{
	int rc = session_watch(session, false);

	if (rc < 0) {
		session_fail(session, "cannot watch its descriptor", -rc);
		return;
	}
	session_set_state(session, SESSION_PARKED);
	session_arm_timer(session);
}

/* Is there more behind what was read, be it the end or an error? If not, an edge will tell of it. */
static bool
has_more_input(const struct session *session)
{
	char byte;

	return session->hangup_seen || recv(session->conn.from.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 ||
	       errno != EAGAIN;
}

/* The fiber has returned from serve(). */
static void
after_serve(struct session *session)
{
	session->fiber = NULL;
	if (session->verdict == CP_RELAY && session->relay != NULL) {
		session_relay_begin(session);
	} else if (session->verdict != CP_PARK) {
		session_conclude(session);
	} else if (session->error != 0 || session->client_ended) {
		/* It was told to end, or has read the end, and parked all the same: nothing would ever wake it. */
		session->verdict = CP_DONE;
		session_conclude(session);
	} else if (session->readable && session->watched && has_more_input(session)) {
		session_set_state(session, SESSION_YIELDED);
		loop_schedule(&session->sched->loop, &session->task);
	} else {
		/* A read that took just what it asked for leaves `readable`; to begin to watch tells what is there. */
		session->readable = false;
		park(session);
	}
}

void
session_enter_handler(const struct session *session, const char *function, enum running_place place)
{
	const struct route *route = session->conn.from.route;

	running = (struct running){
		.task = session,
		.connection = session->conn.from.id,
		.listener = route->listener->name,
		.service = conf_service_name(&route->rule->service),
		.module = route->state.module,
		.function = function,
		.place = place,
	};
}

void
session_leave_handler(void)
{
	running = (struct running){0};
}

/* Others run meanwhile: what this one was about is its own. */
static void
suspend(void)
{
	const char *function = running.function;
	const char *call = running.call;

	fiber_suspend();
	running.function = function;
	running.call = call;
}

/* What it returned is something that we know. If not, the connection ends in an error; which, the log says. */
static bool
is_result(const struct session *session, int result)
{
	if (result < 0 || (result == CP_RELAY && session->relay != NULL))
		return true;
	/* CP_DONE after cp_relay() is to end it, as ever. */
	if (session->relay != NULL && result != CP_DONE)
		session_log(session, LOG_LEVEL_ERROR,
			"serve() returned %d after cp_relay(), expected what that returned", result);
	else if (result == CP_RELAY)
		session_log(session, LOG_LEVEL_ERROR, "serve() returned CP_RELAY without cp_relay()");
	else if (result != CP_DONE && result != CP_PARK)
		session_log(session, LOG_LEVEL_ERROR,
			"serve() returned %d, expected CP_DONE, CP_PARK, CP_RELAY or a negative number", result);
	else
		return true;
	return false;
}

/* On the fiber: the handler's code begins here. */
static void
serve_on_fiber(void *arg)
{
	struct session *session = arg;
	int result;

	fiber_set_cxx(session->conn.from.route->state.cxx);
	errno = 0;
	result = session->conn.from.route->handler->serve(session_public(session));
	session->verdict_errno = (int16_t)errno;
	if (is_result(session, result)) {
		session->verdict = (int16_t)(result < 0 ? -1 : result);
	} else {
		session->verdict = -1;
		session->verdict_errno = EPROTO;
	}
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
	session_enter_handler(session, "serve", RUNNING_FIBER);
	if (session->fiber != NULL)
		rc = fiber_resume(session->fiber);
	else
		rc = fiber_run(sched->fibers, serve_on_fiber, session, &session->fiber);
	session_leave_handler();
	sched_leave(sched);
	if (rc < 0)
		session_fail(session, "no memory for a stack", -rc);
	else if (rc == 0)
		after_serve(session);
}

int
session_wait(struct session *session, struct session_wait *wait)
{
	int rc;

	/* It has been told to end: nothing would wake it any more. */
	if (session->error != 0)
		return -session->error;
	/*
	 * EPOLLOUT only once it is needed: with it, every new connection would begin with an event that says it can be
	 * written to. Not at all while the descriptor is a program's.
	 */
	if (wait->what != WAIT_PROGRAM) {
		rc = session_watch(session, wait->what == WAIT_OUTPUT);
		if (rc < 0)
			return rc;
	}
	session->wait = wait;
	session_set_state(session, SESSION_WAITING);
	session_arm_timer(session);
	suspend();
	session->wait = NULL;
	if (session->error != 0)
		return -session->error;
	return wait->timed_out ? -ETIMEDOUT : 0;
}

void
session_resume(struct session *session)
{
	session_run(session);
}

void
session_yield(struct session *session)
{
	session_set_state(session, SESSION_YIELDED);
	loop_schedule(&session->sched->loop, &session->task);
	suspend();
}

/* ---- what wakes it ------------------------------------------------------------------------------- */

static bool
has_come(const struct session *session)
{
	switch (session->wait->what) {
	case WAIT_INPUT:
		return session->readable;
	case WAIT_OUTPUT:
		return session->writable;
	case WAIT_WAKE:
		return session->broken;
	case WAIT_FD:
		return session->broken;
	case WAIT_INPUT_OR_WAKE:
		return session->readable;
	case WAIT_BLOCKING:
	case WAIT_PROGRAM:
		break;
	}
	return false;
}

static void
session_on_event(struct loop *loop, struct watch *watch, uint32_t events)
{
	struct session *session = CP_CONTAINER_OF(watch, struct session, watch);

	(void)loop;
	if ((events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
		session->readable = true;
	if ((events & (EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
		session->hangup_seen = true;
	/* Not EPOLLHUP: a Unix client that has sent all and closed is no less served than one over TCP. */
	if ((events & EPOLLERR) != 0)
		session->broken = true;
	if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0)
		session->writable = true;
	switch ((enum session_state)session->state) {
	case SESSION_HEADER:
		read_header(session);
		break;
	case SESSION_PARKED:
		if (session->readable)
			session_run(session);
		break;
	case SESSION_WAITING:
		if (has_come(session))
			session_run(session);
		break;
	case SESSION_RELAYING:
		session_relay_run(session, events);
		break;
	case SESSION_LINGERING:
		if (session->readable)
			session_linger_input(session);
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
	else if (session->state == SESSION_RELAYING)
		session_relay_run(session, 0);
	else if (session->state == SESSION_LINGERING)
		session_linger_input(session);
}

static void
wake(struct session *session)
{
	session->woken = true;
	if (session->state != SESSION_WAITING)
		return;
	if (session->wait->what == WAIT_WAKE || session->wait->what == WAIT_INPUT_OR_WAKE)
		session_run(session);
}

static void
session_on_wake(struct loop *loop, struct task *task)
{
	(void)loop;
	wake(CP_CONTAINER_OF(task, struct session, wake));
}

/* Ends it, whatever it does: a suspended handler is let run to its end, every call of it failing. */
static void
end_now(struct session *session, enum conn_end why)
{
	conn_set_end(&session->conn, why);
	session->error = ECANCELED;
	switch ((enum session_state)session->state) {
	case SESSION_HEADER:
		session_finish(session);
		break;
	case SESSION_PARKED:
	case SESSION_RELAYING:
		session->verdict = CP_DONE;
		session_conclude(session);
		break;
	case SESSION_WAITING:
		if (session->wait->let_go == NULL || session->wait->let_go(session->wait))
			session_run(session);
		break;
	case SESSION_YIELDED:
		if (session->fiber == NULL) {
			session->verdict = CP_DONE;
			session_conclude(session);
		} else {
			loop_cancel(&session->sched->loop, &session->task);
			session_run(session);
		}
		break;
	case SESSION_LINGERING:
		session_finish(session);
		break;
	case SESSION_NEW:
	case SESSION_RUNNING:
	case SESSION_OVER:
		break;
	}
}

/* Not the handler's own time is over, but one that its client was given. */
static bool
is_clients_time_over(const struct session *session)
{
	switch (session->wait->what) {
	case WAIT_INPUT:
	case WAIT_OUTPUT:
		return true;
	case WAIT_INPUT_OR_WAKE:
		return loop_now_ms(&session->sched->loop) < session->wait->end_ms;
	default:
		return false;
	}
}

/* What it waited for has not come in time. */
static void
on_late(struct session *session)
{
	enum conn_end why = waits_to_send(session) ? CONN_END_SEND_TIMEOUT : CONN_END_IDLE;

	switch ((enum session_state)session->state) {
	case SESSION_HEADER:
		conn_refuse_late_proxy(&session->conn);
		session_finish(session);
		break;
	case SESSION_WAITING:
		/* The handler may still say goodbye; a deadline of its own is its own business. */
		if (is_clients_time_over(session))
			conn_set_end(&session->conn, why);
		session->wait->timed_out = true;
		session_run(session);
		break;
	case SESSION_RELAYING:
		end_now(session, session_relay_timeout(session));
		break;
	default:
		end_now(session, why);
		break;
	}
}

static void
session_on_timer(struct timer *timer)
{
	struct session *session = CP_CONTAINER_OF(timer, struct session, timer);
	uint64_t now_ms = loop_now_ms(&session->sched->loop);

	if (session->state == SESSION_LINGERING)
		session_linger_on(session);
	else if (now_ms >= lifetime_end_ms(session))
		end_now(session, CONN_END_LIFETIME);
	else if (now_ms < progress_end_ms(session) || session->state == SESSION_YIELDED)
		session_arm_timer(session);
	else
		on_late(session);
}

/* ---- for the pool ------------------------------------------------------------------------------------ */

/* The daemon stops, and the handler wants to know. */
static bool
is_to_drain(const struct session *session)
{
	return (session->conn.from.route->handler->flags & CP_WAKE_AT_DRAIN) != 0 &&
	       atomic_load_explicit(&session->sched->draining, memory_order_relaxed);
}

/* A handler whose client speaks first costs no stack until it has spoken; any other begins at once. */
static void
begin_serving(struct session *session)
{
	bool is_client_first = (session->conn.from.route->handler->flags & CP_CLIENT_FIRST) != 0;

	/* It was queued when the daemon began to stop. */
	session->woken = is_to_drain(session);
	if (is_client_first && !session->readable && !session->woken) {
		park(session);
	} else {
		session->readable = true;
		session_run(session);
	}
}

static void
read_header(struct session *session)
{
	int rc = conn_read_proxy_header(&session->conn);

	if (rc < 0) {
		session_finish(session);
	} else if (rc > 0) {
		timer_clear(&session->sched->loop.wheel, &session->timer);
		session->active_ms = loop_now_ms(&session->sched->loop);
		session->readable = has_more_input(session);
		begin_serving(session);
	}
}

static void
await_header(struct session *session)
{
	int rc = session_watch(session, false);

	if (rc < 0) {
		session_fail(session, "cannot watch its descriptor", -rc);
		return;
	}
	session_set_state(session, SESSION_HEADER);
	session_arm_timer(session);
}

void
session_start(struct sched *sched, struct conn *conn)
{
	struct session *session = session_from(conn);

	session->sched = sched;
	session->watch.fn = session_on_event;
	session->timer.fn = session_on_timer;
	session->task.fn = session_on_task;
	session->wake.fn = session_on_wake;
	session->active_ms = loop_now_ms(&sched->loop);
	session->writable = true;
	session->is_unix = conn->from.peer.family == AF_UNIX;
	/* Foreign code can fork, and whatever it starts. */
	session->shared = session_rule(session)->service.type->extend != NULL;
	if (session_rule(session)->accept_proxy)
		await_header(session);
	else
		begin_serving(session);
}

void
session_drain(struct sched *sched, struct conn *conn)
{
	struct session *session = session_from(conn);

	(void)sched;
	if (!is_to_drain(session))
		return;
	if (session->state == SESSION_PARKED)
		session_run(session);
	else
		wake(session);
}

void
session_cancel(struct sched *sched, struct conn *conn, enum conn_end why)
{
	struct session *session = session_from(conn);

	(void)sched;
	session->cancelled = true;
	end_now(session, why);
}
