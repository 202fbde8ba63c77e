/* SPDX-License-Identifier: MIT */
/*
 * session_parts.h - between the files that make up the session; nobody else includes it.
 *
 *   session.c        when the handler runs, when it waits, what wakes it
 *   session_end.c    how a connection ends: lingering, its place given back
 *   session_io.c     the calls of handler.h: the first ones, and waiting
 *   session_bytes.c, session_calls.c, session_blocking.c
 *                    the others, made from these
 *   session_relay.c  cp_relay(), and the connection's life after it
 *
 * Everything is on the connection's worker; "fiber" below: on its fiber, where it may wait.
 */
#ifndef CP_SERVICE_SESSION_PARTS_H
#define CP_SERVICE_SESSION_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/defs.h"
#include "base/log.h"
#include "base/running.h"
#include "conf/conf.h"
#include "net/route.h"
#include "service/session.h"

enum session_waits_for {
	WAIT_INPUT,
	WAIT_OUTPUT,
	WAIT_FD,
	WAIT_WAKE,
	WAIT_INPUT_OR_WAKE,
	WAIT_BLOCKING,
	WAIT_PROGRAM, /* that has the client's descriptor: nothing is watched */
};

/* On the stack of the fiber that waits. */
struct session_wait {
	enum session_waits_for what;
	/*
	 * All but INPUT and OUTPUT: when its time is over; UINT64_MAX: never. These two by session_idle_ms() and its
	 * kin, INPUT_OR_WAKE too.
	 */
	uint64_t end_ms;
	/* May it be let go on, because it must end? NULL: at any time. False: it will be resumed, later. */
	bool (*let_go)(struct session_wait *wait);
	bool timed_out;
	/* FD. */
	struct watch watch;
	struct session *session;
	uint32_t events; /* what it is ready for */
};

/* Says what is wrong with a call that did not pass one of the two below. */
CP_NORETURN void session_misused(const struct cp_conn *conn, const char *call, bool is_for_fiber);

/*
 * Begins every call of handler.h that may wait or changes the connection: conn is the one that this thread's fiber
 * serves, and has not been given away. It is compared, not read: a stale one may be anybody's memory.
 */
static inline struct session *
session_of_fiber(const struct cp_conn *conn, const char *call)
{
	struct session *session = (struct session *)(uintptr_t)conn;

	if (__builtin_expect(conn == NULL || running.task != conn || running.place != RUNNING_FIBER ||
				     session->relay != NULL,
		    0))
		session_misused(conn, call, true);
	running.call = call;
	return session;
}

/* Begins the others, which only look: also where a function of the handler's is called off the fiber. */
static inline struct session *
session_of_handler(const struct cp_conn *conn, const char *call)
{
	if (__builtin_expect(conn == NULL || running.task != conn, 0))
		session_misused(conn, call, false);
	running.call = call;
	return (struct session *)(uintptr_t)conn;
}

static inline struct cp_conn *
session_public(struct session *session)
{
	return (struct cp_conn *)session;
}

static inline const struct conf_listener *
session_rule(const struct session *session)
{
	return session->conn.from.route->rule;
}

/* Of these two the one that is in force, as the config has it: 0 is none. */
static inline uint64_t
session_timeout_ms(const struct session *session, enum cp_timeout which, uint64_t rule_ms)
{
	int32_t own_ms = session->timeouts_ms[which];

	if (own_ms == 0)
		return rule_ms;
	return own_ms > 0 ? (uint64_t)own_ms : 0;
}

static inline uint64_t
session_idle_ms(const struct session *session)
{
	return session_timeout_ms(session, CP_TIMEOUT_IDLE, session_rule(session)->idle_timeout_ms);
}

static inline uint64_t
session_send_ms(const struct session *session)
{
	return session_timeout_ms(session, CP_TIMEOUT_SEND, session_rule(session)->send_timeout_ms);
}

static inline uint64_t
session_lifetime_ms(const struct session *session)
{
	return session_timeout_ms(session, CP_TIMEOUT_LIFETIME, session_rule(session)->lifetime_ms);
}

/* cp_log(), from anywhere on its worker. */
void session_log(const struct session *session, enum log_level level, const char *fmt, ...) CP_PRINTF(3, 4);

/* ---- session.c ------------------------------------------------------------------------ */

/* The one mover of states. */
void session_set_state(struct session *session, enum session_state state);
/* This thread runs the handler's code, that function of it, from here on. */
void session_enter_handler(const struct session *session, const char *function, enum running_place place);
void session_leave_handler(void);
/* Sets the timer for the nearest deadline, unless it is set for an earlier one. */
void session_arm_timer(struct session *session);
/* Puts the client's descriptor under watch: for its input, with_output: and for when it takes more. 0 or -errno. */
CP_MUST_CHECK int session_watch(struct session *session, bool with_output);
/*
 * From now on others may hold the client's open file description: closing ours no longer takes it out of the loop's
 * set, and what belongs to the description (O_NONBLOCK, SO_LINGER) is theirs to change.
 */
void session_share(struct session *session);
/* What the client does is somebody else's from now on: its descriptor wakes nobody here. */
void session_unwatch(struct session *session);
/*
 * Suspends the running fiber until what it waits for has come. 0; -ETIMEDOUT: the deadline passed; -ECANCELED: it must
 * end; -ENOMEM, -ENOSPC: the descriptor can't be watched. [fiber]
 */
CP_MUST_CHECK int session_wait(struct session *session, struct session_wait *wait);
/* Ends the wait [worker]. */
void session_resume(struct session *session);
/* Lets the worker's other connections go first [fiber]. */
void session_yield(struct session *session);

/* ---- session_io.c --------------------------------------------------------------------- */

/*
 * recv(2) of the client with these flags, at once: the one place that knows what a short read means. *ret_is_rest: it
 * emptied the socket, and an edge will tell of what comes.
 */
CP_MUST_CHECK ssize_t session_receive_now(
	struct session *session, void *buf, size_t size, int flags, bool *ret_is_rest);
/*
 * As session_receive_now(), once there is something: at least 1 byte; 0: the end; -1: errno. Whoever takes bytes
 * accounts them. [fiber]
 */
CP_MUST_CHECK ssize_t session_receive(struct session *session, void *buf, size_t size, int flags, bool *ret_is_rest);
/* Before each system call: may it go on, and is it somebody else's turn? 0 or -1 with errno. [fiber] */
CP_MUST_CHECK int session_take_turn(struct session *session);
/* For INPUT or OUTPUT. 0 or -1 with errno. [fiber] */
CP_MUST_CHECK int session_wait_for(struct session *session, enum session_waits_for what);
/* Bytes have moved; also after a wait of the handler's own: the client could not be idle meanwhile. */
void session_note_progress(struct session *session);

/* ---- session_end.c -------------------------------------------------------------------- */

/* Everything is given back; session is gone. */
void session_finish(struct session *session);
/* Logs what went wrong and finishes. */
void session_fail(struct session *session, const char *what, int error);
/* The handler is done (verdict, verdict_errno): notes why it ends, then lingers or finishes. */
void session_conclude(struct session *session);
/* In LINGERING: more input, a turn of its own, or its time is over. */
void session_linger_input(struct session *session);
void session_linger_on(struct session *session);

/* ---- session_relay.c -------------------------------------------------------------------- */

/* cp_relay() has returned to the handler, and that to us. */
void session_relay_begin(struct session *session);
/* Events of the client's descriptor, or its next turn (0). */
void session_relay_run(struct session *session, uint32_t events);
/* When it has to end if nothing moves; UINT64_MAX: never. */
uint64_t session_relay_end_ms(const struct session *session);
/* Why, when that time has come. */
enum conn_end session_relay_timeout(const struct session *session);
/* Closes the server's side and accounts what was moved; what concludes or fails the session comes after. NULL is fine.
 */
void session_relay_close(struct session *session);

#endif
