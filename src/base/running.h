/* SPDX-License-Identifier: MIT */
/*
 * running - what this thread runs for whom: the connection, the function of its handler, the call that it made last.
 *
 * Whoever enters a handler's code writes it (service/): a few stores, no system call. It is read to name the culprit of
 * misuse and in a crash report. Reading it is async-signal-safe. It knows the task by its address only.
 */
#ifndef CP_BASE_RUNNING_H
#define CP_BASE_RUNNING_H

#include <stdint.h>

#include "base/defs.h"

enum running_place {
	RUNNING_NOTHING,   /* no code of a handler */
	RUNNING_FIBER,     /* serve() or worker_start(), on a fiber: every call may be made */
	RUNNING_ELSEWHERE, /* configure(), release(), cp_blocking()'s fn and the like: no call that waits */
};

struct running {
	const void *task;     /* the session; NULL: none */
	uint64_t connection;  /* its number; 0: none */
	const char *listener; /* NULL: unknown, as with the next ones */
	const char *service;
	const char *module;   /* the file that it is in */
	const char *function; /* of the handler: "serve", "configure", … */
	const char *call;     /* the call that it made last: "cp_recv", …; it may have returned */
	const char *occasion; /* "a reload", "the start": on the main thread, and where a config is loaded */
	enum running_place place;
};

extern _Thread_local struct running running;

/* For the time of a function of the handler that has no connection: configure(), release(), …; returns the old one. */
struct running running_begin(const char *listener, const char *service, const char *function);
/* What running_begin(), or a copy, had. */
void running_end(const struct running *before);

#define RUNNING_TEXT_MAX 512

/*
 * "listener 'web', service 'kv', module 'kv.so', connection 7, in serve(), last call cp_recv()": what is known
 * of it. Cut to fit, ends with a NUL; returns the length. Async-signal-safe.
 */
size_t running_describe(const struct running *running, char text[RUNNING_TEXT_MAX]);

/*
 * A handler's bug that can't be answered by an error: writes "connpoold: WHERE: CALL(): WHY" to standard error and
 * aborts. Any thread.
 */
CP_NORETURN void running_misuse(const char *call, const char *why);

#endif
