/* SPDX-License-Identifier: MIT */
/*
 * acceptor - takes connections off the backlogs, in batches, on the main thread's loop.
 *
 * It decides admission, and hands what was admitted to the sink (the queue of the route's pool). It never blocks.
 *
 * A socket is polled unless its listener's pool has no room (queue_full = "wait"), the process lacks descriptors
 * or memory, or accept4(2) fails on it for another reason; then its clients wait in the kernel's backlog:
 *
 *   POLLED --(no room, or others wait for it)--> waiting --(its turn, until its backlog is empty)--> POLLED
 *   POLLED --(EMFILE, ENFILE, ENOBUFS, ENOMEM: every socket)--> paused --(back-off timer)--> POLLED
 *   POLLED --(any other error: this socket alone; repaired if possible)--> paused --(its timer)--> POLLED
 *
 * One that others hold too is not accepted from here, but by its own thread:
 *
 *   POLLED --(a client waits; for as many as there is room)--> asked --(some, or an error, have come)--> POLLED
 *                                                                \--(its room went to others)--> waiting with the rest
 *
 * What the thread took goes to the route of that moment, if it accepts and as there is room; where a program accepts
 * now, to the route that it was asked for. What has no place there, and what is left when the socket is taken out, is
 * accepted and rejected as that which a stop finds in the queue.
 *
 * A socket whose route lends it is not accepted from at all:
 *
 *   POLLED --(a client waits)--> lent to the program that accepts --(acceptor_take_back)--> POLLED
 *
 * WAITING: sockets that wait for room stand in one list, in order; those of one pool are a line. After an announcement
 * (acceptor_signal_room; pool/queue.h has the protocol under ROOM) the room is shared among the line's sockets, the
 * first one first; one that had a share goes to the end, one whose backlog turns out to be empty is polled again. While
 * any socket of a pool waits, no other one takes room out of turn: it joins the line when its event comes. For
 * A change of its pool leaves the line: acceptor_begin() has every socket look again after a reload. For
 * each socket that waits one of these holds: its pool was asked for an announcement after it had no room for a batch;
 * room_signalled is set; all sockets pause, and the end of that sets room_signalled.
 *
 * Main thread only, but for acceptor_signal_room().
 */
#ifndef CP_NET_ACCEPTOR_H
#define CP_NET_ACCEPTOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/list.h"
#include "engine/loop.h"
#include "engine/timer.h"
#include "net/conn.h"

struct listen_socket;
struct listener_totals;

#define ACCEPTOR_MAGIC 0x61636370

/* What the connections are handed to; joined to the pools by the daemon. Main thread. */
struct acceptor_sink {
	/* How many more may be submitted to the route's pool now? Asked before each accept4(2). */
	unsigned (*room)(struct route *route);
	/* A socket of the route waits. True promises an acceptor_signal_room(); false: there is room for a batch now.
	 */
	bool (*await_room)(struct route *route);
	/* Takes *accepted and sees to its end. */
	void (*submit)(struct accepted *accepted);
	/* A batch of so many for this route is over: wake whom it concerns. */
	void (*flush)(struct route *route, unsigned taken);
	/* A client waits on a socket whose route lends it, and it is lent from now on; promises acceptor_take_back().
	 */
	void (*lend)(struct listen_socket *socket);
};

struct acceptor {
	uint32_t magic;
	struct loop *loop;                /* borrowed */
	const struct acceptor_sink *sink; /* static */
	struct listener_totals *totals;   /* borrowed */
	uint64_t max_connections;         /* public to write: of all listeners together */
	bool wants_backlog_time;          /* public to write: ask TCP_INFO, because it will be logged */
	uint64_t faults;                  /* public to read: errors of single sockets */
	struct list sockets;              /* private: acceptor.c, down to the end; those watched */
	struct list waiting;              /* of them, those that wait for room; see WAITING */
	uint64_t last_id;
	unsigned last_thread;
	atomic_bool room_signalled;
	uint64_t reserve_lent_until_ms; /* 0: it is not */
	int reserve_fd;                 /* given up for a moment when there is no other left; -1: could not be had */
	struct timer backoff;           /* set: in an episode without descriptors or memory */
	uint64_t backoff_ms;
	struct timer episode_clear;  /* set: the episode ends if there is no failure until then */
	uint64_t episode_started_ns; /* 0: none */
	uint64_t episodes;
};

/* 0 or -errno. */
CP_MUST_CHECK int acceptor_init(
	struct acceptor *acceptor, struct loop *loop, const struct acceptor_sink *sink, struct listener_totals *totals);
/* Every socket must have been taken out. */
void acceptor_fini(struct acceptor *acceptor);

/* Puts socket under watch, not yet polled: what can fail, before a reload is committed. 0 or -errno. */
CP_MUST_CHECK int acceptor_add(struct acceptor *acceptor, struct listen_socket *socket);
/*
 * Others hold the socket too, or did once: a thread of its own accepts from now on, as accept4(2) may wait
 * (accept_thread.h). Before a reload is committed. 0, also if it has one already, or -errno.
 */
CP_MUST_CHECK int acceptor_share(struct acceptor *acceptor, struct listen_socket *socket);
/*
 * Begins to take its connections: socket->listener and its route are set. After a reload it is called for every socket
 * that is watched, as each one's pool may be another one.
 */
void acceptor_begin(struct acceptor *acceptor, struct listen_socket *socket);
/* One that was lent is polled again. */
void acceptor_take_back(struct acceptor *acceptor, struct listen_socket *socket);
/* Takes it out, and rejects what its thread has taken; one not added is accepted. */
void acceptor_remove(struct acceptor *acceptor, struct listen_socket *socket);

/* Any thread: a pool that had none has room again. */
void acceptor_signal_room(struct acceptor *acceptor);
/* Takes connections from the sockets that waited for room, if there is some; called once a turn. */
void acceptor_resume(struct acceptor *acceptor);
/* For the loop's before_sleep: there is something to resume. */
bool acceptor_has_work(const struct acceptor *acceptor);

/*
 * A descriptor for a moment when there is none left (a reload reads files): gives the reserve up, and takes it back. In
 * between no back-off ends, for a second: else the reserve would be the next client's.
 */
void acceptor_lend_reserve(struct acceptor *acceptor);
void acceptor_take_reserve(struct acceptor *acceptor);

#endif
