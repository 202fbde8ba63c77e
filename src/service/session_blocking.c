/* SPDX-License-Identifier: MIT */
/*
 * session_blocking.c - cp_blocking(): the connection waits for a helper thread.
 *
 * On the connection's fiber, and on its worker when the helper is done or the connection must end. fn uses the fiber's
 * stack and what the handler has on it: so the fiber is never let go while fn runs.
 */
#include "config.h"

#include "service/session_parts.h"

#include <errno.h>

#include "base/running.h"
#include "service/blocking.h"

/* On the stack of the fiber. */
struct blocking_call {
	struct session_wait wait;
	struct blocking_job job;
	struct session *session;
	bool has_run;
};

static void
on_blocking_done(struct loop *loop, struct task *task)
{
	struct blocking_call *call = CP_CONTAINER_OF(task, struct blocking_call, job.done);

	(void)loop;
	blocking_settle();
	call->has_run = true;
	session_resume(call->session);
}

/* It must end: at once if the call has not begun, else when it is over, because it uses our stack. */
static bool
let_go_of_blocking(struct session_wait *wait)
{
	return blocking_withdraw(&CP_CONTAINER_OF(wait, struct blocking_call, wait)->job);
}

int
cp_blocking(struct cp_conn *conn, void (*fn)(void *arg), void *arg)
{
	struct session *session = session_of_fiber(conn, __func__);
	struct blocking_call call = {
		.wait = {.what = WAIT_BLOCKING, .end_ms = UINT64_MAX, .let_go = let_go_of_blocking},
		.job = {.fn = fn, .arg = arg, .loop = &session->sched->loop, .done.fn = on_blocking_done},
		.session = session,
	};
	int rc;

	if (fn == NULL) {
		errno = EINVAL;
		return -1;
	}
	if (session_take_turn(session) < 0)
		return -1;
	call.job.caller = running;
	call.job.caller.function = "cp_blocking";
	call.job.caller.call = NULL;
	call.job.caller.place = RUNNING_ELSEWHERE;
	/* Beforehand: once the job is under way, nothing may go wrong any more. */
	rc = session_watch(session, false);
	if (rc == 0)
		rc = blocking_submit(&call.job);
	if (rc == 0)
		rc = session_wait(session, &call.wait);
	session_note_progress(session);
	/* Whoever is told that it has run may count on what it made; that it must end too, the next call says. */
	if (call.has_run)
		return 0;
	errno = -rc;
	return -1;
}
