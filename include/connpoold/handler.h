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
 * All of them are for the fiber that serve() runs on, but for cp_wake().
 */
#ifndef CONNPOOLD_HANDLER_H
#define CONNPOOLD_HANDLER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Changes when a handler compiled before could no longer be called. */
#define CP_HANDLER_ABI 1u

/* A connection as its handler sees it. */
struct cp_conn;

/*
 * What serve() returns; a negative number is "error, errno says which": EHOSTUNREACH, what it serves from is not there;
 * EBUSY, it has no room: the client is sent the listener's busy_message if it was sent nothing yet.
 */
enum cp_verdict {
	CP_DONE = 0, /* over: what was sent is delivered, then the connection is closed */
	/*
	 * Give the stack back; call serve() anew when the client has sent more, or ended. After cp_recv() gave 0 it is
	 * as CP_DONE: nothing more can come.
	 */
	CP_PARK = 1,
	/* What cp_relay() returned: the connection is the engine's now. */
	CP_RELAY = 2,
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

/*
 * Waits until fd, a descriptor of the handler's own, is ready for one of events (POLLIN, POLLOUT of poll(2)); at most
 * timeout_ms, -1: no limit. What it is ready for, with POLLERR and POLLHUP; 0: the time is over; -1: errno.
 */
int cp_wait_fd(struct cp_conn *conn, int fd, short events, int timeout_ms);

/*
 * Waits for cp_wake(), at most timeout_ms (-1: no limit). 1: it was woken, since the last time too; 0: the time is
 * over; -1: errno, ECONNRESET if the client is gone.
 */
int cp_sleep(struct cp_conn *conn, int timeout_ms);
/* Any thread: ends the sleep that the connection is in, or its next one. It must not have ended (cp_at_end). */
void cp_wake(struct cp_conn *conn);

/*
 * Hands the client and fd, a connected non-blocking stream socket, to the engine, which passes on bytes both ways, ends
 * of input included, until both have ended. To be called as the last act: return cp_relay(...). Takes fd in any case.
 * limit: bytes that may be under way, each way. half_closed_ms: how long it goes on without a byte once one side has
 * ended; 0: no limit but the listener's. CP_RELAY; -1: errno.
 */
int cp_relay(struct cp_conn *conn, int fd, size_t limit, unsigned half_closed_ms);

/* Calls fn(arg) when the connection is over, on its worker, not on a fiber. Once a connection. */
void cp_at_end(struct cp_conn *conn, void (*fn)(void *arg), void *arg);
/* SERVER= of the connection's record: whom it was passed on to. name must stay valid until it is over (cp_at_end). */
void cp_set_server(struct cp_conn *conn, const char *name);

/* What the service made of its section of the config file for this listener. */
void *cp_state(const struct cp_conn *conn);
/*
 * Addresses of the client and of the socket that it came to (behind a trusted proxy: as that said). Returns the length
 * as getpeername(2) does, sizeof(sa_family_t) for a client without an address (unix(7)).
 */
socklen_t cp_peer(const struct cp_conn *conn, struct sockaddr_storage *address);
socklen_t cp_local(const struct cp_conn *conn, struct sockaddr_storage *address);

/* The daemon is stopping: a handler whose work has no end of its own should come to one. */
bool cp_draining(const struct cp_conn *conn);

#ifdef __cplusplus
}
#endif

#endif
