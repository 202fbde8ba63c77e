/* SPDX-License-Identifier: MIT */
/*
 * service - what a connection gets. May include: base, conf, engine, net, upstream and the public header; the handlers
 * here include the public header alone.
 *
 * session.h - a connection being served: joins a conn and its handler to the scheduler of its worker. handler.h's calls
 * are implemented here.
 *
 *   SESSION_NEW -> HEADER       accept_proxy: the proxy in front of us has not said yet who the client is: no stack
 *   NEW, HEADER -> PARKED       the handler waits for the client to speak (CP_CLIENT_FIRST, CP_PARK): no stack
 *               -> RUNNING      serve() is on the worker now
 *   HEADER      -> OVER         the header was none that we take
 *   PARKED      -> RUNNING      session_on_event: input, or the end of it; session_drain
 *   RUNNING     -> WAITING      a cp_ call waits for a descriptor, a wake-up or its deadline: the fiber is suspended
 *               -> YIELDED      it, or the next serve(), runs on in the worker's next turn: the others come first
 *               -> PARKED
 *               -> RELAYING     the handler gave the connection and another one to the engine: no stack
 *               -> LINGERING    the handler is done; what was sent is delivered, what the client still sends is drained
 *   WAITING     -> RUNNING      session_on_event, session_on_timer, session_on_wake, session_drain, session_cancel
 *   YIELDED     -> RUNNING      session_on_task
 *   RELAYING    -> LINGERING    the server has ended, the client has not
 *   any but RUNNING, and with no fiber -> OVER: everything is given back by sched->done()
 */
#ifndef CP_SERVICE_SESSION_H
#define CP_SERVICE_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "connpoold/handler.h"
#include "engine/sched.h"
#include "net/conn.h"

enum session_state {
	SESSION_NEW,
	SESSION_HEADER,
	SESSION_PARKED,
	SESSION_RUNNING,
	SESSION_WAITING,
	SESSION_YIELDED,
	SESSION_RELAYING,
	SESSION_LINGERING,
	SESSION_OVER,
};

struct session_wait;

struct session {
	struct conn conn;    /* first: the worker knows only this */
	struct sched *sched; /* borrowed */
	struct fiber *fiber; /* suspended in WAITING and YIELDED; else NULL */
	struct watch watch;
	struct timer timer;        /* of the nearest deadline */
	struct task task;          /* in YIELDED, RELAYING, LINGERING: runs in the next turn */
	struct task wake;          /* posted by cp_wake() */
	struct session_wait *wait; /* in WAITING: what for; on the fiber's stack */
	struct relay *relay;       /* from cp_relay() on; owned, as is its server's descriptor */
	uint64_t active_ms;      /* when bytes last moved */
	int32_t timeouts_ms[3];  /* by enum cp_timeout, from cp_set_timeout(); 0: the listener's; -1: none */
	uint32_t lingered_bytes; /* drained */
	uint32_t handle;         /* its slot of handles.h: `wake` may be posted; 0: none */
	uint16_t error;          /* what every cp_ call fails with from now on; 0: nothing */
	uint8_t state;           /* enum session_state; session_set_state() alone writes it */
	uint8_t budget;          /* calls that may still go through before the fiber yields */
	bool watched : 1;        /* in the loop's set */
	bool watches_output : 1; /* with EPOLLOUT */
	bool readable : 1;       /* reading may give something: it was not yet told otherwise */
	bool writable : 1;       /* likewise */
	bool client_ended : 1;   /* the end of its input was read */
	bool hangup_seen : 1;    /* a short read no longer means that an edge will tell of what is left */
	bool is_unix : 1;        /* its socket: fd_receive() */
	bool broken : 1;         /* it was reset */
	bool shared : 1;         /* others may hold its descriptor too: foreign code, a program; see session_share() */
	bool cut_off : 1;        /* it will be reset when it is closed, for it can't get all that it was sent */
	bool cancelled : 1;      /* session_cancel() came: the daemon stops, and it does not linger */
	bool woken : 1;          /* by cp_wake(), and no cp_sleep() has said so yet */
	int16_t verdict;         /* of the last serve() */
	int16_t verdict_errno;
};

/* pool_tasks.start: conn is the head of a zeroed session. Worker, not on a fiber. */
void session_start(struct sched *sched, struct conn *conn);
/* pool_tasks.drain: wakes the handler if it has asked for that. Worker, not on a fiber. */
void session_drain(struct sched *sched, struct conn *conn);
/* pool_tasks.cancel. Worker, not on a fiber. */
void session_cancel(struct sched *sched, struct conn *conn, enum conn_end why);

#endif
