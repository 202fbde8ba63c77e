/* SPDX-License-Identifier: MIT */
/*
 * upstream - groups of servers that connections are passed on to. May include: base, conf, engine.
 *
 * upstream.h - one group, as the workers see it: a client comes with a wish, gets a place on a server, connects, and
 * gives the place back when its connection is over.
 *
 *   upstream_take -> TAKEN --server_connect--> upstream_connected … server_leave
 *                 |    ^          +----------> upstream_failed (noted, place given back) -> upstream_take again
 *                 |    | granted() [any thread]
 *                 +-> QUEUED, WAITING --upstream_cancel--> (its time was over)
 *                 +-> FULL, DOWN
 *
 * A place counts against the server's max_connections from upstream_take() to server_leave(): never one too many. One
 * lock a group guards it, its servers and its queue; it is held for a pass over the servers and never across a system
 * call that can block. Unless it says otherwise a function is for any thread.
 *
 * THE CALLER'S LOOP, with the wish that keeps all limits (how often, how long in all):
 *
 *   for (;;) {
 *           switch (upstream_take(upstream, &wish, now)) {
 *           case UPSTREAM_FULL: case UPSTREAM_DOWN:
 *                   give up;
 *           case UPSTREAM_QUEUED: case UPSTREAM_WAITING:
 *                   wait until granted() was called, at most wish.wait_ms (UINT64_MAX: without limit);
 *                   if (!upstream_cancel(upstream, &wish))  // always, however the wait ended
 *                           continue;                       // ask again: once its time is over the answer is final
 *                   break;                                  // granted: wish.server
 *           case UPSTREAM_TAKEN: break;
 *           }
 *           error = server_connect(wish.server, &fd); if in progress wait, at most upstream_connect_timeout_ms(), and
 *                   ask server_connect_error(); on an error close fd;
 *           if (error == 0) { upstream_connected(upstream, &wish); break; }
 *           if (!upstream_failed(upstream, &wish, error, now))
 *                   give up;
 *   }
 *   server_refill(wish.server); relay; close fd; server_leave(&wish.server);
 *
 * Who gives up elsewhere (the client has gone, the daemon stops) calls upstream_cancel() if he waits, and
 * server_leave() if wish.server is set then. now is read anew each time.
 *
 * HOLDING: with wait_for_upstream a client is held, from when it first finds no server, for so long in all. While
 * servers are up but all of them were tried, or retries are used up, UPSTREAM_WAITING comes with a short wait (100 ms,
 * twice as long each time, up to 800 ms): nobody calls granted() then, and after it every server may be tried again. So
 * a server that refuses but is not down yet (max_failures) is neither given up nor spun on.
 */
#ifndef CP_UPSTREAM_UPSTREAM_H
#define CP_UPSTREAM_UPSTREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/list.h"

struct conf_upstream;
struct server;
struct upstream;
struct upstream_wish;

/* At most so many servers are remembered as tried and failed; retries is bounded by it. */
#define UPSTREAM_TRIED_MAX 16u

enum upstream_answer {
	UPSTREAM_TAKEN,   /* wish->server has a place for it */
	UPSTREAM_QUEUED,  /* every server that may be used is full: wait for granted(), at most queue_timeout_ms */
	UPSTREAM_WAITING, /* none is up, or none is known yet: likewise, at most wait_ms of the wish */
	UPSTREAM_FULL,    /* all are full, and so is the queue, or queue_timeout is over */
	UPSTREAM_DOWN,    /* none is up that was not tried yet, and it may not wait, or no longer */
};

/*
 * Called with a place in wish->server, or with none when there is nothing to wait for any more as things stood and the
 * client should ask again; under the group's lock: it may only wake its client. The wish is out of the queue by then.
 * It is not called after upstream_cancel() has returned.
 */
typedef void upstream_granted_fn(struct upstream_wish *wish);

/* One client's search for a server; on its stack or in its record. New: zeroed, with granted and source_hash set. */
struct upstream_wish {
	upstream_granted_fn *granted;
	/* Called when it is queued, by upstream_take() under the group's lock: before it can be granted. NULL: not. */
	void (*queued)(struct upstream_wish *wish);
	uint64_t source_hash;  /* of the client's address, for source_hash */
	struct server *server; /* the place; one reference */
	uint64_t wait_ms;      /* set by UPSTREAM_QUEUED and UPSTREAM_WAITING: how long to wait at most */
	struct list link;      /* private: upstream.c, down to the end */
	uint64_t ticket;       /* when it first had to wait: its place in the queue, also after it has asked again */
	uint64_t queue_end_ns; /* queue_timeout is over; 0: it was not queued yet */
	uint64_t hold_end_ns;  /* wait_for_upstream is over; 0: it was not held yet */
	unsigned tries;        /* connects that failed, since the last pause */
	unsigned pauses;
	bool must_pause; /* retries are used up, but it may be held */
	uint64_t tried[UPSTREAM_TRIED_MAX]; /* numbers of the servers that failed */
	unsigned tried_count;
};

/* A reference for each route that uses it. Any thread. */
struct upstream *upstream_ref(struct upstream *upstream);
/* Nulls the holder; the last one frees. Accepts NULL. Any thread. */
void upstream_unref(struct upstream **upstream);
/* Valid while a reference is held. */
const char *upstream_name(const struct upstream *upstream);
/* Written by a reload while it is read: the setting of this moment. */
uint64_t upstream_connect_timeout_ms(const struct upstream *upstream);

/* Asks for a place. now_ns is the monotonic clock (for slow start). */
enum upstream_answer upstream_take(struct upstream *upstream, struct upstream_wish *wish, uint64_t now_ns);
/* No longer waits. True: a place was granted, it is in wish->server. Accepts a wish that does not wait. */
bool upstream_cancel(struct upstream *upstream, struct upstream_wish *wish);
/* The connect to wish->server worked. Takes no lock but after a failure. */
void upstream_connected(struct upstream *upstream, const struct upstream_wish *wish);
/*
 * It failed (a positive errno; ETIMEDOUT: its time was over): counted, logged (a line a second and server at most),
 * noted as tried, the place given back and wish->server set to NULL. True: another try may be made (retries is not used
 * up, or it may be held). An error of our own (EMFILE, ENOMEM, …) is not held against the server.
 */
bool upstream_failed(struct upstream *upstream, struct upstream_wish *wish, int error, uint64_t now_ns);

/* ---- a place on a server ------------------------------------------------------------- */

/*
 * A connected socket from the server's ready ones (checked: it is not dead), or a new one on its way. 0: connected;
 * -EINPROGRESS: wait until it can be written to, then ask server_connect_error(); else -errno (EAGAIN: the backlog of a
 * Unix socket is full). *ret_fd is the caller's, non-blocking, close-on-exec, TCP_NODELAY; it is set in the first two
 * cases.
 */
CP_MUST_CHECK int server_connect(struct server *server, int *ret_fd);
/* How a connect in progress ended: 0, a positive errno, or EINPROGRESS. */
int server_connect_error(int fd);
/*
 * After a ready connection was taken: starts the one that takes its place. Does nothing where none are kept. Call it
 * once the client has been seen to. Any thread.
 */
void server_refill(struct server *server);
/* enum conf_send_proxy. */
int server_send_proxy(const struct server *server);
/* Its address is a Unix socket's. */
bool server_is_unix(const struct server *server);
/* For logs: "tcp:10.0.0.11:80". Valid while the place is held. */
const char *server_name(const struct server *server);
/*
 * Gives the place back, to the first in the queue if there is one; drops the reference, nulls the holder. NULL is fine.
 * After the socket was closed: or the server would see one too many.
 */
void server_leave(struct server **server);

#endif
