/* SPDX-License-Identifier: MIT */
/*
 * timer - a hierarchical timing wheel: setting and clearing are O(1), one wheel a thread.
 *
 * Ticks are milliseconds. A timer never fires early; it fires at most one turn of the loop late. Not thread-safe:
 * every call on the thread that owns the wheel.
 */
#ifndef CP_ENGINE_TIMER_H
#define CP_ENGINE_TIMER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct timer;
/* Called with the timer cleared; it may set it again, set or clear others, and free it. */
typedef void timer_fn(struct timer *timer);

/* Embedded in its owner (CP_CONTAINER_OF). Zeroed memory with fn set is an initialised, cleared timer. */
struct timer {
	struct list link;    /* private: timer.c */
	uint64_t expires_ms; /* private: timer.c */
	timer_fn *fn;
};

#define TIMER_WHEEL_LEVELS 6
#define TIMER_WHEEL_BITS 6
#define TIMER_WHEEL_SLOTS (1u << TIMER_WHEEL_BITS)

struct timer_wheel {
	uint64_t now_ms;                       /* private: timer.c, down to the end */
	uint64_t occupied[TIMER_WHEEL_LEVELS]; /* a bit for each slot that holds timers */
	struct list due;                       /* waiting for the next advance, first expired first */
	struct list slots[TIMER_WHEEL_LEVELS][TIMER_WHEEL_SLOTS];
};

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ms);

/* expires_ms is a time on the wheel's clock; one that is not ahead fires at the next advance. A set timer is moved. */
void timer_set(struct timer_wheel *wheel, struct timer *timer, uint64_t expires_ms);
/* Does nothing when not set. */
void timer_clear(struct timer_wheel *wheel, struct timer *timer);
bool timer_is_set(const struct timer *timer);

/*
 * Moves the clock (never back) and calls what is due, in order of expiry up to the tick. What a callback sets to a time
 * that is not ahead fires at the next advance.
 */
void timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ms);

/* When to advance next: never later than the first expiry, but it may be earlier. UINT64_MAX: none is set. */
uint64_t timer_wheel_next_ms(const struct timer_wheel *wheel);

#endif
