/* SPDX-License-Identifier: MIT */
/*
 * session_io.h - between the two halves of the session: what the calls of handler.h (session_io.c) ask of the one that
 * schedules (session.c). Nobody else includes it.
 */
#ifndef CP_SERVICE_SESSION_IO_H
#define CP_SERVICE_SESSION_IO_H

#include <stdbool.h>

#include "base/defs.h"

struct session;

/*
 * Suspends the running fiber until its descriptor may be read (or written). 0; -ETIMEDOUT: the deadline passed;
 * -ECANCELED: it must end; -ENOMEM, -ENOSPC: the descriptor can't be watched. On the session's fiber only.
 */
CP_MUST_CHECK int session_wait(struct session *session, bool to_read);

/* Lets the worker's other connections go first. On the session's fiber only. */
void session_yield(struct session *session);

#endif
