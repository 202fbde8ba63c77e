/* SPDX-License-Identifier: MIT */
/*
 * sanitize - what the memory checkers must be told about fibers: AddressSanitizer and ThreadSanitizer of each switch,
 * valgrind of each stack. One empty set of functions for builds without them. For fiber.c and stack.c only.
 *
 * A switch is sanitize_leave() on the old stack and, as the first thing on the new one, sanitize_arrive(). Between the
 * two nothing but the jump may happen.
 */
#ifndef CP_ENGINE_SANITIZE_H
#define CP_ENGINE_SANITIZE_H

#include <stdbool.h>
#include <stddef.h>

#include "config.h"

#if defined(CP_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(CP_TSAN)
#include <sanitizer/tsan_interface.h>
#endif
#if defined(HAVE_VALGRIND_VALGRIND_H)
#include <valgrind/valgrind.h>
#endif

/* What the checkers know a stack by; zeroed for a thread's own. */
struct sanitize {
	const void *base;  /* lowest byte of the stack; a thread's is learnt when it is first left */
	size_t bytes;
	void *fake_stack;  /* ASan: locals kept on the heap, to find their use after return */
	void *fiber;       /* TSan: the handle */
};

/* ---- AddressSanitizer ----------------------------------------------------- */

#if defined(CP_ASAN)
static inline void
sanitize_asan_leave(struct sanitize *from, const struct sanitize *to, bool for_good)
{
	__sanitizer_start_switch_fiber(for_good ? NULL : &from->fake_stack, to->base, to->bytes);
}

static inline void
sanitize_asan_arrive(struct sanitize *self, struct sanitize *from)
{
	const void *base;
	size_t bytes;

	__sanitizer_finish_switch_fiber(self->fake_stack, &base, &bytes);
	if (from != NULL && from->base == NULL) {
		from->base = base;
		from->bytes = bytes;
	}
}

/* The red zones of frames that were never left would outlive the mapping and fault its successor. */
static inline void
sanitize_asan_forget(const void *base, size_t bytes)
{
	__asan_unpoison_memory_region(base, bytes);
}
#else
static inline void
sanitize_asan_leave(struct sanitize *from, const struct sanitize *to, bool for_good)
{
	(void)from;
	(void)to;
	(void)for_good;
}

static inline void
sanitize_asan_arrive(struct sanitize *self, struct sanitize *from)
{
	(void)self;
	(void)from;
}

static inline void
sanitize_asan_forget(const void *base, size_t bytes)
{
	(void)base;
	(void)bytes;
}
#endif

/* ---- ThreadSanitizer ------------------------------------------------------ */

#if defined(CP_TSAN)
static inline void
sanitize_init_thread(struct sanitize *thread)
{
	thread->fiber = __tsan_get_current_fiber();
}

static inline void
sanitize_tsan_create(struct sanitize *self)
{
	self->fiber = __tsan_create_fiber(0);
}

static inline void
sanitize_tsan_destroy(struct sanitize *self)
{
	__tsan_destroy_fiber(self->fiber);
}

/* Must be inlined: the tracer counts calls and returns on the stack that it believes to be on. */
static inline __attribute__((always_inline)) void
sanitize_tsan_leave(const struct sanitize *to)
{
	__tsan_switch_to_fiber(to->fiber, 0);
}
#else
static inline void
sanitize_init_thread(struct sanitize *thread)
{
	(void)thread;
}

static inline void
sanitize_tsan_create(struct sanitize *self)
{
	(void)self;
}

static inline void
sanitize_tsan_destroy(struct sanitize *self)
{
	(void)self;
}

static inline void
sanitize_tsan_leave(const struct sanitize *to)
{
	(void)to;
}
#endif

/* ---- valgrind ------------------------------------------------------------- */

#if defined(HAVE_VALGRIND_VALGRIND_H)
static inline unsigned
sanitize_register_stack(char *base, size_t bytes)
{
	return VALGRIND_STACK_REGISTER(base, base + bytes - 1);
}

static inline void
sanitize_deregister_stack(unsigned id)
{
	VALGRIND_STACK_DEREGISTER(id);
}
#else
static inline unsigned
sanitize_register_stack(char *base, size_t bytes)
{
	(void)base;
	(void)bytes;
	return 0;
}

static inline void
sanitize_deregister_stack(unsigned id)
{
	(void)id;
}
#endif

/* ---- what fiber.c calls --------------------------------------------------- */

static inline void
sanitize_init_fiber(struct sanitize *self, const void *base, size_t bytes)
{
	self->base = base;
	self->bytes = bytes;
	sanitize_tsan_create(self);
}

/* The fiber has been left for good. */
static inline void
sanitize_fini_fiber(struct sanitize *self)
{
	sanitize_tsan_destroy(self);
}

/* The last thing before the jump. for_good: nothing will come back to from. */
static inline __attribute__((always_inline)) void
sanitize_leave(struct sanitize *from, const struct sanitize *to, bool for_good)
{
	sanitize_asan_leave(from, to, for_good);
	sanitize_tsan_leave(to);
}

/* The first thing after it. from, if not NULL, learns where its stack is. */
static inline __attribute__((always_inline)) void
sanitize_arrive(struct sanitize *self, struct sanitize *from)
{
	sanitize_asan_arrive(self, from);
}

#endif
