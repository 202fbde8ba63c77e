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
 *
 * All of them are for the fiber that serve() runs on and for its own connection. But cp_wake() may be called anywhere,
 * and what stands under "about the connection" also in cp_blocking()'s and cp_at_end()'s fn. A call that is made
 * anywhere else, or for a connection that is over, ends the process: with one line that names the call, the listener,
 * the service and the connection. A bad argument is -1 with EINVAL; so is NULL for what a call reads or writes.
 */
#ifndef CONNPOOLD_HANDLER_H
#define CONNPOOLD_HANDLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The daemon hides its own names, and a module may: what one needs of the other is to be seen. */
#pragma GCC visibility push(default)

/* Changes when a handler compiled before could no longer be called. */
#define CP_HANDLER_ABI 2u

/* A connection as its handler sees it, until serve() has returned for the last time. */
struct cp_conn;

/* A connection as others may know it, also when it is over. Zeroed: none. */
struct cp_handle {
	uint64_t connection; /* cp_id() */
	uint64_t slot;       /* private */
};

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
	/*
	 * When the daemon begins to stop, every connection is woken as by cp_wake(), and a parked one is served anew,
	 * so that the handler can look at cp_draining(). Without it a connection is told by nothing but ECANCELED,
	 * after drain_timeout.
	 */
	CP_WAKE_AT_DRAIN = 1u << 1,
};

/* ---- what a handler says of itself ---------------------------------------------------------- */

/* What went wrong, for the log and for whoever reloads: one sentence without its full stop. */
struct cp_error {
	char text[512];
};

/* Writes it (what is too long is cut) and returns -1: return cp_error_set(error, "no such table: %s", name); */
int cp_error_set(struct cp_error *error, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

enum cp_option_type {
	CP_OPTION_BOOL = 1,    /* bool */
	CP_OPTION_NUMBER = 2,  /* uint64_t */
	CP_OPTION_SIZE = 3,    /* uint64_t, bytes; in the file a number or "64KiB" */
	CP_OPTION_TIME = 4,    /* uint64_t, milliseconds; in the file a number of seconds or "1500ms" */
	CP_OPTION_STRING = 5,  /* char *; NULL when it is left out and has no default */
	CP_OPTION_STRINGS = 6, /* struct cp_strings; one string or an array of them */
	CP_OPTION_WORD = 7,    /* int; one of words */
};

struct cp_strings {
	char **items;
	size_t count;
};

/* Arrays of them end with a NULL name. */
struct cp_word {
	const char *name;
	int value;
};

/* What may stand beside type and path in the service's section; written with the CP_OPT_ macros. */
struct cp_option {
	const char *name; /* small letters, digits and '_'; not "type", not "path" */
	enum cp_option_type type;
	size_t offset;            /* of the field in the handler's settings */
	const char *default_text; /* as it would stand in the file, strings without quotes; NULL: none */
	bool required;
	uint64_t min; /* of a NUMBER, SIZE, TIME (ms) */
	uint64_t max;
	const struct cp_word *words; /* of a WORD */
	const char *help;            /* one sentence */
};

/* A field's offset, once it has the type that its option fills. */
#ifdef __cplusplus
#define CP_OPT_OFFSET(s, f, want) (offsetof(s, f) + 0 * sizeof(&((s *)0)->f == (want *)0))
#else
#define CP_OPT_OFFSET(s, f, want) \
	(offsetof(s, f) + 0 * sizeof(char[__builtin_types_compatible_p(__typeof__(((s *)0)->f), want) ? 1 : -1]))
#endif

/* s: the structure; f: its field; name: in the file; def: the default, text or NULL. */
#define CP_OPT_BOOL(s, f, name, def, help) \
	{ \
		name, CP_OPTION_BOOL, CP_OPT_OFFSET(s, f, bool), def, false, 0, 0, NULL, help \
	}
#define CP_OPT_NUMBER(s, f, name, min, max, def, help) \
	{ \
		name, CP_OPTION_NUMBER, CP_OPT_OFFSET(s, f, uint64_t), def, false, min, max, NULL, help \
	}
#define CP_OPT_SIZE(s, f, name, min, max, def, help) \
	{ \
		name, CP_OPTION_SIZE, CP_OPT_OFFSET(s, f, uint64_t), def, false, min, max, NULL, help \
	}
#define CP_OPT_TIME(s, f, name, min_ms, max_ms, def, help) \
	{ \
		name, CP_OPTION_TIME, CP_OPT_OFFSET(s, f, uint64_t), def, false, min_ms, max_ms, NULL, help \
	}
#define CP_OPT_STRING(s, f, name, def, help) \
	{ \
		name, CP_OPTION_STRING, CP_OPT_OFFSET(s, f, char *), def, false, 0, 0, NULL, help \
	}
#define CP_OPT_STRING_REQUIRED(s, f, name, help) \
	{ \
		name, CP_OPTION_STRING, CP_OPT_OFFSET(s, f, char *), NULL, true, 0, 0, NULL, help \
	}
#define CP_OPT_STRINGS(s, f, name, help) \
	{ \
		name, CP_OPTION_STRINGS, CP_OPT_OFFSET(s, f, struct cp_strings), NULL, false, 0, 0, NULL, help \
	}
#define CP_OPT_STRINGS_REQUIRED(s, f, name, help) \
	{ \
		name, CP_OPTION_STRINGS, CP_OPT_OFFSET(s, f, struct cp_strings), NULL, true, 0, 0, NULL, help \
	}
#define CP_OPT_WORD(s, f, name, words, def, help) \
	{ \
		name, CP_OPTION_WORD, CP_OPT_OFFSET(s, f, int), def, false, 0, 0, words, help \
	}
#define CP_OPT_END \
	{ \
		NULL, CP_OPTION_BOOL, 0, NULL, false, 0, 0, NULL, NULL \
	}

/*
 * Everything below serve may be left out. One "generation" is one listener under one reading of the config file; after
 * a reload there are two for a while, until the last connection of the old one has ended.
 */
struct cp_handler {
	unsigned abi;     /* CP_HANDLER_ABI; nothing else is read of a handler that has another */
	const char *name; /* of the service, for messages */
	unsigned flags;   /* enum cp_handler_flags */
	/* Once a connection, or each time that input arrives (CP_PARK). On a fiber of the connection's worker. */
	int (*serve)(struct cp_conn *conn);

	/* Checked with file and line before configure() sees them. Ends with CP_OPT_END. */
	const struct cp_option *options;
	size_t settings_size; /* of the structure that the options fill */
	/*
	 * Once a generation, on the main thread, before any connection: it may read files, and should not wait for a
	 * network. settings stay valid until release(). *ret_state is what cp_state() gives; without configure() that
	 * is the settings. 0; -1: error says why (or errno), and the daemon does not start, or keeps its old config.
	 */
	int (*configure)(const void *settings, void **ret_state, struct cp_error *error);
	/*
	 * Gives back what configure() made. The generation's last connection has ended, on whatever thread it was: to
	 * be brief, with no call of this header but cp_error_set().
	 */
	void (*release)(void *state);
	/*
	 * What every worker has of its own, such as a connection to a database or a cache that needs no lock: made on
	 * the worker, on the fiber of the first connection that asks for it by cp_worker_state(). 0; -1: errno.
	 */
	int (*worker_start)(void *state, void **ret_worker_state);
	/* Before release(), on its thread. */
	void (*worker_end)(void *worker_state);

	const char *const *counters; /* names for cp_count(), small letters, digits and '_'; ends with NULL */
};

/* What a module exports; its definition looks like this, without the extern (in C++ with it, and = { … }). */
extern const struct cp_handler connpoold_handler;

/* ---- calls --------------------------------------------------------------------------------- */

/* Some bytes, at least 1, at most size; 0: the client has ended its side. -1: errno; EINVAL: size is 0. */
ssize_t cp_recv(struct cp_conn *conn, void *buf, size_t size);
/* All of size, or what there was before the client ended its side: 0 to size. -1: errno (some of it may have come). */
ssize_t cp_recv_exactly(struct cp_conn *conn, void *buf, size_t size);
/*
 * A line with its '\n' (the last one of the input may have none), and a NUL behind it: its length, at most size - 1; 0:
 * the client has ended its side. Nothing beyond the line is read. -1: errno, and buf holds, with a NUL, what was read
 * of the line; EMSGSIZE: that is size - 1 bytes without an end of line, and the rest of it comes next.
 */
ssize_t cp_read_line(struct cp_conn *conn, char *buf, size_t size);

/*
 * All of it: returns size, or -1 with errno (some of it may have been sent; EPIPE and ECONNRESET: the client is gone).
 */
ssize_t cp_send(struct cp_conn *conn, const void *buf, size_t size);

/* Formats and sends; at most 4095 bytes, longer is -1 with EMSGSIZE and nothing sent. */
ssize_t cp_printf(struct cp_conn *conn, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Sends count bytes of a file from *offset on, without reading them into the process where the kernel can, and moves
 * *offset on by what was sent (offset NULL: from where fd stands, and moves that). Count, or fewer where the file ends.
 * -1: errno of either side (some of it may have been sent). Reading a file may block the worker as read(2) does.
 */
ssize_t cp_send_file(struct cp_conn *conn, int fd, off_t *offset, size_t count);

/* Ends our side: the client reads what was sent, then the end; what it sends can still be read. 0 or -1 with errno. */
int cp_shutdown(struct cp_conn *conn);

/*
 * A deadline for this connection alone, instead of the listener's: ms from 1 on; -1: none; 0: the listener's again. Any
 * other number is -1 with EINVAL. LIFETIME counts from the connection's start, the others from the last byte that
 * moved.
 */
enum cp_timeout {
	CP_TIMEOUT_IDLE,     /* idle_timeout */
	CP_TIMEOUT_SEND,     /* send_timeout */
	CP_TIMEOUT_LIFETIME, /* lifetime */
};
int cp_set_timeout(struct cp_conn *conn, enum cp_timeout which, int ms);

/*
 * Connects to "tcp:NUMBER:PORT", "tcp:[V6 NUMBER]:PORT", "unix:PATH" or "unix:@NAME" within timeout_ms (-1: the
 * kernel's own time). A stream socket, non-blocking and close-on-exec, to be closed by the handler (cp_relay() takes
 * it); -1: errno, EINVAL for any other address: names are for getaddrinfo(3) under cp_blocking().
 */
int cp_connect(struct cp_conn *conn, const char *address, int timeout_ms);

/*
 * Waits until fd, a descriptor of the handler's own, is ready for one of events (POLLIN, POLLOUT of poll(2)); at most
 * timeout_ms, -1: no limit. What it is ready for, with POLLERR and POLLHUP; 0: the time is over; -1: errno, ECONNRESET
 * if the client is gone.
 */
int cp_wait_fd(struct cp_conn *conn, int fd, short events, int timeout_ms);

/*
 * Waits for cp_wake(), at most timeout_ms (-1: no limit). 1: it was woken, since the last time too; 0: the time is
 * over; -1: errno, ECONNRESET if the client is gone.
 */
int cp_sleep(struct cp_conn *conn, int timeout_ms);
/* What it can be woken by. connection is 0 if there is no memory for it, with errno ENOMEM. */
struct cp_handle cp_handle_of(struct cp_conn *conn);
/*
 * Any thread: ends the sleep (or cp_wait) that the connection is in, or its next one. 0; -1: ESRCH, it has ended, and
 * nothing was done.
 */
int cp_wake(struct cp_handle handle);

enum cp_ready {
	CP_READY_INPUT = 1, /* the client has sent something, or ended its side: cp_recv() does not wait */
	CP_READY_WAKE = 2,  /* as cp_sleep() 1 */
};
/*
 * Waits for the client and for cp_wake(), whichever comes first, at most timeout_ms (-1: no limit but the listener's
 * idle_timeout): for a handler that passes on what others have to say. A sum of enum cp_ready; 0: the time is over; -1:
 * errno.
 */
int cp_wait(struct cp_conn *conn, int timeout_ms);

/*
 * Runs fn(arg), which may block, on a helper thread, and waits until it has returned: only this connection waits, also
 * when it must end meanwhile (the next call says so). No call for a fiber may be made in fn. 0: it has run; -1: it has
 * not and will not, errno; EAGAIN: more than the process takes at once.
 */
int cp_blocking(struct cp_conn *conn, void (*fn)(void *arg), void *arg);

/*
 * Hands the client and fd, a connected non-blocking stream socket, to the engine, which passes on bytes both ways, ends
 * of input included, until both have ended. To be called as the last act: return cp_relay(...). Takes fd in any case.
 * limit: bytes that may be under way, each way, from 1 on. half_closed_ms: how long it goes on without a byte once one
 * side has ended; 0: no limit but the listener's. CP_RELAY; -1: errno.
 */
int cp_relay(struct cp_conn *conn, int fd, size_t limit, unsigned half_closed_ms);

/*
 * Calls fn(arg) when the connection is over, on its worker, not on a fiber: of the calls it may make those "about the
 * connection" alone, and cp_local() may have no address by then. Once a connection.
 */
void cp_at_end(struct cp_conn *conn, void (*fn)(void *arg), void *arg);
/* SERVER= of the connection's record: whom it was passed on to. name must stay valid until it is over (cp_at_end). */
void cp_set_server(struct cp_conn *conn, const char *name);

/*
 * What worker_start() made for this worker under this generation. NULL: errno, when it failed (the next call tries
 * again). Nobody else uses it while the handler does not wait.
 */
void *cp_worker_state(struct cp_conn *conn);

/* ---- about the connection: also in cp_blocking()'s and cp_at_end()'s fn ------------------------- */

/* What the service made of its section of the config file for this listener. */
void *cp_state(const struct cp_conn *conn);
/* Adds n to the handler's counter of that index in counters. Never waits. */
void cp_count(const struct cp_conn *conn, unsigned index, uint64_t n);
/* The name of its listener, valid as long as it is; its number, of which there is no second one while the daemon runs.
 */
const char *cp_listener(const struct cp_conn *conn);
uint64_t cp_id(const struct cp_conn *conn);
/*
 * Addresses of the client and of the socket that it came to (behind a trusted proxy: as that said). Returns the length
 * as getpeername(2) does, sizeof(sa_family_t) for a client without an address (unix(7)).
 */
socklen_t cp_peer(const struct cp_conn *conn, struct sockaddr_storage *address);
socklen_t cp_local(const struct cp_conn *conn, struct sockaddr_storage *address);

/* As syslog(3) numbers them. */
enum cp_log_level {
	CP_LOG_ERROR = 3,
	CP_LOG_WARNING = 4,
	CP_LOG_NOTICE = 5,
	CP_LOG_INFO = 6,
	CP_LOG_DEBUG = 7,
};
/*
 * A line in the daemon's log, with the connection's fields. Never waits; errno stays. For what the operator has to do
 * something about: what any client can bring about a million times is better counted.
 */
void cp_log(const struct cp_conn *conn, enum cp_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The daemon is stopping: a handler whose work has no end of its own should come to one (CP_WAKE_AT_DRAIN). */
bool cp_draining(const struct cp_conn *conn);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
