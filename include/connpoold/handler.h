/* SPDX-License-Identifier: MIT */
/*
 * handler.h - write a protocol, not a daemon.
 *
 * A handler is straight-line code: serve() is called on a fiber of the worker that owns the connection and uses
 * the calls below, which wait without blocking the worker's other connections. It never sees the loop, the
 * fiber or the queue. On a pool with connections_per_worker = 1 it may block as it likes.
 *
 * The calls return as their system calls do: a count or 0, else -1 with errno: ETIMEDOUT when a deadline of the
 * listener has passed (idle_timeout, send_timeout), ECANCELED when the connection must end (lifetime, a stop):
 * every later call then fails with ECANCELED too, and the handler returns.
 * All of them are for the fiber that serve() runs on.
 */
#ifndef CONNPOOLD_HANDLER_H
#define CONNPOOLD_HANDLER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Changes when a handler compiled before could no longer be called. */
#define CP_HANDLER_ABI 1u

/* A connection as its handler sees it. */
struct cp_conn;

/* What serve() returns; a negative number is "error, errno says which". */
enum cp_verdict {
	CP_DONE = 0, /* over: what was sent is delivered, then the connection is closed */
	/*
	 * Give the stack back; call serve() anew when the client has sent more, or ended. After cp_recv() gave 0 it is
	 * as CP_DONE: nothing more can come.
	 */
	CP_PARK = 1,
};

enum cp_handler_flags {
	/*
	 * The client speaks first: serve() is not called (and no stack is spent) before it has sent something, or
	 * ended.
	 */
	CP_CLIENT_FIRST = 1u << 0,
};

struct cp_handler {
	unsigned abi;     /* CP_HANDLER_ABI */
	const char *name; /* of the service in the config file */
	unsigned flags;   /* enum cp_handler_flags */
	int (*serve)(struct cp_conn *conn);
};

/* Some bytes, at least 1, at most size; 0: the client has ended its side. -1: errno. */
ssize_t cp_recv(struct cp_conn *conn, void *buf, size_t size);

/*
 * All of it: returns size, or -1 with errno (some of it may have been sent; EPIPE and ECONNRESET: the client is gone).
 */
ssize_t cp_send(struct cp_conn *conn, const void *buf, size_t size);

/* Formats and sends; at most 4095 bytes, longer is -1 with EMSGSIZE and nothing sent. */
ssize_t cp_printf(struct cp_conn *conn, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The daemon is stopping: a handler whose work has no end of its own should come to one. */
bool cp_draining(const struct cp_conn *conn);

#ifdef __cplusplus
}
#endif

#endif
