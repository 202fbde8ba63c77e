/* SPDX-License-Identifier: MIT */
/*
 * bench_conn - one connection of the bench: it connects, sends its part of the pattern and checks what comes back.
 *
 * It knows sockets and bytes; when to do what, and what it costs, is for bench_worker.c, whose fields it carries. Never
 * waits. Made for edge-triggered readiness: a direction is tried until it would block, then left alone until the
 * next event. One worker thread owns it.
 */
#ifndef CP_CLIENT_BENCH_CONN_H
#define CP_CLIENT_BENCH_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/list.h"

struct dial_endpoint;
struct pattern;

/*
 *   CLOSED --bench_conn_open--> CONNECTING --bench_conn_progress--> READY --bench_conn_start--> ECHOING
 *   READY <--bench_conn_progress: all came back-- ECHOING
 *   any --bench_conn_close--> CLOSED
 * fd is valid in all but CLOSED.
 */
enum bench_conn_state { BENCH_CONN_CLOSED, BENCH_CONN_CONNECTING, BENCH_CONN_READY, BENCH_CONN_ECHOING };

struct bench_conn {
	enum bench_conn_state state;
	int fd;
	uint64_t entry;   /* private: bench_conn.c; where this connection's stream enters the pattern */
	uint64_t sent;    /* private: bench_conn.c; bytes of this socket's stream, from its opening on */
	uint64_t checked; /* private: bench_conn.c; came back and are right */
	uint64_t goal;    /* private: bench_conn.c; sent and checked when the request is done */
	bool readable;    /* private: bench_conn.c; an event said so and no call has found it empty since */
	bool writable;    /* private: bench_conn.c */
	bool ending;      /* private: bench_conn.c; an event spoke of the peer's end: it is behind the data */

	struct list link;          /* private: bench_worker.c, from here on; idle, to run again, or waiting */
	struct list deadline_link; /* linked while connecting or echoing */
	uint64_t link_ns;          /* when to leave the waiting list that link is in */
	uint64_t deadline_ns;
	uint64_t started_ns;       /* what the latency counts from; 0: opened ahead of any request */
	size_t endpoint;           /* of the list, the one that is tried or connected */
	size_t tried;              /* endpoints tried for this attempt */
};

enum bench_progress {
	BENCH_PROGRESS_WAIT,      /* nothing more can be done before the next event */
	BENCH_PROGRESS_AGAIN,     /* it has had its turn but could go on */
	BENCH_PROGRESS_CONNECTED, /* now READY */
	BENCH_PROGRESS_DONE,      /* the echo is complete and right; now READY */
};

/* id picks the place in the pattern: another one for each connection of the run. */
void bench_conn_init(struct bench_conn *conn, uint64_t id);
/* Closes the socket if there is one. */
void bench_conn_close(struct bench_conn *conn);

/* CLOSED only. As dial_begin(); with 0 it is READY, with -EINPROGRESS CONNECTING, else CLOSED as before. */
CP_MUST_CHECK int bench_conn_open(struct bench_conn *conn, const struct dial_endpoint *endpoint);
/* READY only: the next size bytes are to make the round. Call bench_conn_progress() next. */
void bench_conn_start(struct bench_conn *conn, uint64_t size);
/* events: of epoll_wait(2); only remembered. */
void bench_conn_note_events(struct bench_conn *conn, uint32_t events);

/*
 * Does what can be done now. scratch has scratch_len bytes, shared by all connections of the thread. Returns an enum
 * bench_progress, or a negative errno (-RESULT_ERRNO_CORRUPTED and -RESULT_ERRNO_CLOSED_EARLY among them): the
 * connection is of no use then, the caller closes it.
 */
CP_MUST_CHECK int bench_conn_progress(struct bench_conn *conn, const struct pattern *pattern, void *scratch,
	size_t scratch_len);

#endif
