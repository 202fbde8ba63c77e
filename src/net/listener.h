/* SPDX-License-Identifier: MIT */
/*
 * listener - a name in the config, its listening sockets, and the count of everything that came in by them.
 *
 * Lives as long as the config names it and any connection of it lives; a reload keeps it, its sockets and its
 * counts. Sockets are opened, kept and closed on the main thread; the counters are for any thread.
 */
#ifndef CP_NET_LISTENER_H
#define CP_NET_LISTENER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/list.h"
#include "net/conn.h"

struct listen_socket;
struct peer;
struct route;
struct sources;

#define LISTENER_MAGIC 0x6c697374

/*
 * The acceptor writes accepted; queued, active, closed and rejected are moved by whoever moves the connection. Relaxed:
 * they are exact when read while nothing moves, and never publish anything else.
 */
struct listener_counters {
	_Atomic uint64_t accepted;
	_Atomic uint64_t queued;
	_Atomic uint64_t active;
	_Atomic uint64_t closed;
	_Atomic uint64_t rejected[CONN_END_COUNT]; /* by reason; the sum is "rejected" */
	_Atomic uint64_t bytes_in;                 /* of closed ones */
	_Atomic uint64_t bytes_out;
};

/* Of all listeners together; lives as long as the daemon. */
struct listener_totals {
	_Atomic uint64_t held; /* admitted and not yet ended */
};

struct listener {
	uint32_t magic;
	atomic_uint refs; /* private: listener.c */
	char *name;
	uint64_t number; /* counts from 1, never used again */
	struct listener_counters counters;
	struct sources *sources;
	struct listener_totals *totals;   /* borrowed */
	_Atomic uint64_t held;            /* admitted and not yet ended: queued + active. The limits look at this */
	_Atomic uint64_t proxy_logged_ns; /* private: refusals.c */

	/* Main thread only. */
	struct list sockets;         /* of struct listen_socket */
	struct route *route;         /* for the connections accepted from now on; NULL: removed from the config */
	struct list link;            /* in the daemon's list */
	uint64_t refusals_logged_ns; /* private: refusals.c */
	uint64_t refusals_logged[CONN_END_COUNT];
};

/* Returns owned with one reference, NULL when out of memory. */
CP_MUST_CHECK struct listener *listener_new(const char *name, uint64_t number, struct listener_totals *totals);
struct listener *listener_ref(struct listener *listener);
/* Nulls the holder; the last one frees: no socket may be left. Any thread. */
void listener_unref(struct listener **listener);

/* The sum over all reasons. */
uint64_t listener_rejected(const struct listener *listener);

#endif
