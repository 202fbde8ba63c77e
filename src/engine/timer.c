/* SPDX-License-Identifier: MIT */
/*
 * timer - see timer.h.
 *
 * A timer hangs where its expiry, read as digits to the base of 64, first differs from the wheel's clock: the level
 * is that digit's place, the slot its value. So a slot holds one span of time only, the occupied slots of a level lie
 * ahead of the clock's own digit, and all of them come before those of the level above: the first set bit is the next
 * thing to happen. When the clock enters a slot of an upper level, its timers are set again, further down.
 *
 * On the thread of the wheel's loop. Nothing here allocates, nothing walks more timers than it moves.
 */
#include "config.h"

#include "engine/timer.h"

#include "base/assert.h"

#define TOP_LEVEL (TIMER_WHEEL_LEVELS - 1)

void
timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ms)
{
	wheel->now_ms = now_ms;
	list_init(&wheel->due);
	for (unsigned level = 0; level < TIMER_WHEEL_LEVELS; level++) {
		wheel->occupied[level] = 0;
		for (unsigned slot = 0; slot < TIMER_WHEEL_SLOTS; slot++)
			list_init(&wheel->slots[level][slot]);
	}
}

static unsigned
digit_of(uint64_t time_ms, unsigned level)
{
	return (time_ms >> (level * TIMER_WHEEL_BITS)) & (TIMER_WHEEL_SLOTS - 1);
}

static void
insert(struct timer_wheel *wheel, struct timer *timer)
{
	unsigned level;
	unsigned slot;

	if (timer->expires_ms <= wheel->now_ms) {
		list_push_back(&wheel->due, &timer->link);
		return;
	}
	level = (63u - (unsigned)__builtin_clzll(timer->expires_ms ^ wheel->now_ms)) / TIMER_WHEEL_BITS;
	if (level < TIMER_WHEEL_LEVELS) {
		slot = digit_of(timer->expires_ms, level);
	} else {
		/*
		 * Beyond the top level's span. Its slot 0 is never ahead of the clock within a span, so it is free to
		 * mean "when the next span begins": there these timers are looked at again.
		 */
		level = TOP_LEVEL;
		slot = 0;
	}
	wheel->occupied[level] |= 1ull << slot;
	list_push_back(&wheel->slots[level][slot], &timer->link);
}

void
timer_set(struct timer_wheel *wheel, struct timer *timer, uint64_t expires_ms)
{
	CP_ASSERT(timer->fn != NULL);
	timer_clear(wheel, timer);
	timer->expires_ms = expires_ms;
	insert(wheel, timer);
}

void
timer_clear(struct timer_wheel *wheel, struct timer *timer)
{
	struct list *neighbour = timer->link.next;
	const uintptr_t first = (uintptr_t)&wheel->slots[0][0];
	uintptr_t offset;

	if (!timer_is_set(timer))
		return;
	list_remove(&timer->link);
	if (!list_is_empty(neighbour))
		return;
	/* It was the last: the neighbour is a head, of a slot or of due ones. A stale bit would wake the loop. */
	offset = (uintptr_t)neighbour - first;
	if (offset < sizeof(wheel->slots)) {
		unsigned index = (unsigned)(offset / sizeof(struct list));

		wheel->occupied[index / TIMER_WHEEL_SLOTS] &= ~(1ull << (index % TIMER_WHEEL_SLOTS));
	}
}

bool
timer_is_set(const struct timer *timer)
{
	return list_is_linked(&timer->link);
}

/* The first occupied slot ahead of the clock and the time at which it begins; false: there is none. */
static bool
find_next_slot(const struct timer_wheel *wheel, unsigned *ret_level, unsigned *ret_slot, uint64_t *ret_begins_ms)
{
	for (unsigned level = 0; level < TIMER_WHEEL_LEVELS; level++) {
		const unsigned shift = level * TIMER_WHEEL_BITS;
		/* Two shifts, because one by 64 is undefined. */
		const uint64_t ahead = wheel->occupied[level] & (~0ull << digit_of(wheel->now_ms, level) << 1);
		const uint64_t span_begins_ms = wheel->now_ms >> shift >> TIMER_WHEEL_BITS << TIMER_WHEEL_BITS << shift;

		if (ahead == 0)
			continue;
		*ret_level = level;
		*ret_slot = (unsigned)__builtin_ctzll(ahead);
		*ret_begins_ms = span_begins_ms + ((uint64_t)*ret_slot << shift);
		return true;
	}
	if (wheel->occupied[TOP_LEVEL] & 1) {
		const unsigned shift = TIMER_WHEEL_LEVELS * TIMER_WHEEL_BITS;

		*ret_level = TOP_LEVEL;
		*ret_slot = 0;
		*ret_begins_ms = ((wheel->now_ms >> shift) + 1) << shift;
		return true;
	}
	return false;
}

void
timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ms)
{
	struct list due;
	struct list *link;
	unsigned level;
	unsigned slot;
	uint64_t begins_ms;

	/* The usual case of a busy loop: several turns in a millisecond. */
	if (now_ms <= wheel->now_ms && list_is_empty(&wheel->due))
		return;
	while (find_next_slot(wheel, &level, &slot, &begins_ms) && begins_ms <= now_ms) {
		struct list moved;

		wheel->now_ms = begins_ms;
		wheel->occupied[level] &= ~(1ull << slot);
		list_init(&moved);
		list_splice_back(&moved, &wheel->slots[level][slot]);
		while ((link = list_pop_front(&moved)) != NULL)
			insert(wheel, CP_CONTAINER_OF(link, struct timer, link));
	}
	if (now_ms > wheel->now_ms)
		wheel->now_ms = now_ms;

	/* What a callback sets to now or earlier waits for the next call: nobody can keep this one from ending. */
	list_init(&due);
	list_splice_back(&due, &wheel->due);
	while ((link = list_pop_front(&due)) != NULL) {
		struct timer *timer = CP_CONTAINER_OF(link, struct timer, link);

		timer->fn(timer);
	}
}

uint64_t
timer_wheel_next_ms(const struct timer_wheel *wheel)
{
	unsigned level;
	unsigned slot;
	uint64_t begins_ms;

	if (!list_is_empty(&wheel->due))
		return wheel->now_ms;
	return find_next_slot(wheel, &level, &slot, &begins_ms) ? begins_ms : UINT64_MAX;
}
