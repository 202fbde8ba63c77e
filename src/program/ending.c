/* SPDX-License-Identifier: MIT */
/*
 * ending.c - two signals and a timer.
 */
#include "config.h"

#include "program/ending.h"

#include <signal.h>

#include "base/defs.h"
#include "engine/loop.h"
#include "program/spawner.h"

/* After SIGKILL: it was told, unless the spawner was too busy to hear. */
#define KILL_AGAIN_MS 1000u

static void
kill_in(struct ending *ending, uint64_t ms)
{
	ending->kill_ms = loop_now_ms(ending->loop) + ms;
	timer_set(&ending->loop->wheel, &ending->timer, ending->kill_ms);
}

static void
on_timer(struct timer *timer)
{
	ending_kill(CP_CONTAINER_OF(timer, struct ending, timer));
}

void
ending_init(struct ending *ending, struct program *program, struct loop *loop)
{
	*ending = (struct ending){.program = program, .loop = loop, .timer.fn = on_timer};
}

void
ending_begin(struct ending *ending, uint64_t patience_ms)
{
	if (!ending->has_begun) {
		ending->has_begun = true;
		program_signal(ending->program, SIGTERM);
		kill_in(ending, patience_ms);
	} else if (loop_now_ms(ending->loop) + patience_ms < ending->kill_ms) {
		/* Its kill_timeout may be an hour; a drain that comes meanwhile has less. */
		kill_in(ending, patience_ms);
	}
}

void
ending_kill(struct ending *ending)
{
	ending->has_begun = true;
	program_signal(ending->program, SIGKILL);
	kill_in(ending, KILL_AGAIN_MS);
}

void
ending_over(struct ending *ending)
{
	timer_clear(&ending->loop->wheel, &ending->timer);
}
