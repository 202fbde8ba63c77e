/* SPDX-License-Identifier: MIT */
/*
 * net - sockets: listeners, the acceptor, admission, and the client's side of a connection. May include: base,
 * conf, engine.
 *
 * conn.h - one client: descriptor, peer, route, timeline. It is owned by exactly one of acceptor, queue and worker:
 *
 *   accept4 -> struct accepted [acceptor] --queue_push--> [queue] --queue_pop--> struct conn [worker] -> conn_close
 *                     |                                      |                         |
 *                     +---- accepted_reject (admission) -----+---- (full, too old, reset)
 *
 * Every accepted connection ends in exactly one accepted_reject() or conn_close(), and so is accounted once:
 * accepted = queued + active + closed + rejected, for each listener, whenever no thread is between two steps.
 */
#ifndef CP_NET_CONN_H
#define CP_NET_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/address.h"

struct log_record;
struct route;

/* Why a connection ended; the words are END= in its record (conn_end_word). */
enum conn_end {
	CONN_END_NONE, /* it has not */
	/* served, then closed */
	CONN_END_CLIENT,  /* the client ended it */
	CONN_END_SERVICE, /* the service ended it */
	CONN_END_IDLE,
	CONN_END_LIFETIME,
	CONN_END_SEND_TIMEOUT,
	CONN_END_CLIENT_RESET,
	CONN_END_SERVER,         /* the server that it was relayed to ended it */
	CONN_END_SERVER_RESET,   /* or broke it off */
	CONN_END_HALF_CLOSED,    /* one side had ended, and the other did not follow within half_closed_timeout */
	CONN_END_PROGRAM_FAILED, /* its program could not be started, or was ended with the spawner */
	CONN_END_UPSTREAM_DOWN,  /* no server of its upstream could be had */
	CONN_END_UPSTREAM_FULL,  /* all were full, and its time in their queue over, or the queue full too */
	CONN_END_DRAIN,
	CONN_END_ERROR,
	/* rejected, never served; behind a proxy also on a worker, by what the PROXY header says */
	CONN_END_REFUSED_ACCESS, /* allow, deny */
	CONN_END_REFUSED_LIMIT,  /* max_connections of the listener or the daemon */
	CONN_END_REFUSED_SOURCE, /* max_per_source */
	CONN_END_REFUSED_PROXY,  /* accept_proxy: not a trusted proxy, or its header was malformed or late */
	CONN_END_REFUSED_MEMORY, /* none left for it, or no descriptors */
	CONN_END_QUEUE_FULL,
	CONN_END_QUEUE_TIMEOUT,
	CONN_END_QUEUE_RESET, /* the client was gone before its turn came */
	CONN_END_QUEUE_DRAIN, /* the daemon stopped before its turn came */
	CONN_END_COUNT,
	CONN_END_FIRST_REJECTED = CONN_END_REFUSED_ACCESS,
};

/* An accepted connection on its way to a worker; moved by value, so that waiting costs no allocation. */
struct accepted {
	int fd;              /* owned; -1 once moved on */
	uint32_t backlog_ms; /* it had waited in the kernel's backlog at least this long; 0: not asked */
	struct peer peer;    /* the client; with accept_proxy the proxy, until its header has been read */
	struct route *route; /* one reference */
	uint64_t accepted_ns;
	uint64_t id;         /* counts from 1, in order of acceptance */
	bool admitted;       /* it holds a place in the limits */
	bool counted_source; /* and one of those of its peer's address */
};

/* What a PROXY header changed. */
struct conn_proxied {
	struct peer proxy;       /* who passed it on to us */
	struct peer destination; /* where the client had come to; AF_UNSPEC: the header did not say */
};

/* How the program ended that a connection was given to. */
struct conn_program {
	const char *path; /* of the config */
	pid_t pid;        /* 0: none was started */
	int status;       /* its exit status */
	int signal;       /* or the signal that ended it; 0: none */
	uint64_t cpu_usec;
	uint64_t memory_peak_bytes;
	char text[512]; /* for people */
};

#define CONN_MAGIC 0x636f6e6e

/* On a worker. Kept small: every idle connection is one. */
struct conn {
	uint32_t magic;
	uint16_t worker;      /* its number in the pool */
	uint8_t end;          /* enum conn_end; the first cause stays */
	struct accepted from; /* where it came from; from.fd is its descriptor */
	uint64_t started_ns;  /* taken out of the queue */
	uint64_t bytes_in;
	uint64_t bytes_out;
	struct conn_proxied *proxied; /* owned; NULL: from.peer is the socket's */
	const char *server;           /* whom it was passed on to; NULL: nobody */
	uint64_t connected_ns;        /* with server: when */
	struct conn_program *program; /* owned; NULL: none has had it */
	void (*at_end)(void *arg);    /* called last by conn_close(); NULL: nothing */
	void *at_end_arg;
};

/* "client", "idle", …: the fixed list of END=. */
const char *conn_end_word(enum conn_end end);

/*
 * Ends an accepted connection that no worker took: sends the listener's busy_message (where the reason is load, not
 * access), closes, counts, gives back its place in the limits. Sets accepted->fd to -1 and drops the route. Any thread.
 */
void accepted_reject(struct accepted *accepted, enum conn_end why);

/*
 * Counts it as queued: before it is pushed, so that the sum is never short; and no longer: once it was popped. Any
 * thread.
 */
void accepted_enter_queue(const struct accepted *accepted);
void accepted_leave_queue(const struct accepted *accepted);

/* Did the client reset it while it waited, or leave without a word? One system call, if it did neither. */
bool accepted_is_reset(const struct accepted *accepted);

/* Begins a connection on a worker: takes accepted over (fd, route). conn is zeroed memory. */
void conn_open(struct conn *conn, struct accepted *accepted, uint16_t worker, uint64_t now_ns);

/* CLIENT= of its records: "192.0.2.1:4711", "unix:pid=12,uid=0". Returns text. */
const char *conn_describe_client(const struct conn *conn, char text[ADDRESS_TEXT_MAX]);

/* The fields of a record that say how a program ended; NULL: none. */
void conn_program_record(const struct conn_program *program, struct log_record *record);

/* Notes why it ends; only the first cause is kept. */
void conn_set_end(struct conn *conn, enum conn_end end);

/*
 * Accounts it (counters, one log record), closes the descriptor, drops the route. conn may be freed after. One whose
 * end is a rejection counts as rejected, and is told so as accepted_reject() does.
 */
void conn_close(struct conn *conn, uint64_t now_ns);

#endif
