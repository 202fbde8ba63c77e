/* SPDX-License-Identifier: MIT */
/*
 * perturb - seeded delays where threads meet, for builds made with ./configure --enable-perturb.
 *
 * Such a build includes this header in front of every source, so that every atomic load, store and exchange but the
 * relaxed loads becomes a perturbation point; locks, wake-ups and system calls become points by the linker's --wrap
 * (perturb_calls.c). No source names a point, and no program of another build includes or links any of this.
 *
 * At a point a thread mostly does nothing, sometimes yields, seldom sleeps. What it does follows from the seed, the
 * number of the thread, how far it has come, and the place in the code: a few places are slow for a while, then others,
 * which opens the same windows again and again before it goes on to the next. The seed is CONNPOOLD_PERTURB of the
 * environment, else a fresh one that is printed to standard error.
 */
#ifndef CP_BASE_PERTURB_H
#define CP_BASE_PERTURB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What perturb_decide() returns beside a number of nanoseconds to sleep. */
#define PERTURB_NOTHING 0u
#define PERTURB_YIELD 1u

/* The place of the call is a point. Any thread, signal handlers and children of vfork(2) too; keeps errno. */
void perturb_point(void);
/* For wrappers: the point is the place that they were called from. */
void perturb_point_at(const void *place);
/* For wrappers: true once in many calls, at the same points for the same seed. */
bool perturb_chance(void);

/* The next decision of a sequence that begins with any *state but 0; more of them are delays at a slow place. */
uint32_t perturb_decide(uint64_t *state, bool is_slow);
/* Is this one of the places that are slow under a seed, for a thread that has passed so many points? */
bool perturb_is_slow(uint64_t seed, uint64_t place, uint32_t points);

#ifdef CP_PERTURB
#ifdef __clang__
#define PERTURB_LOAD __c11_atomic_load
#define PERTURB_STORE __c11_atomic_store
#define PERTURB_EXCHANGE __c11_atomic_exchange
#else
#define PERTURB_LOAD __atomic_load_n
#define PERTURB_STORE __atomic_store_n
#define PERTURB_EXCHANGE __atomic_exchange_n
#endif
#define PERTURBED(access) \
	__extension__({ \
		perturb_point(); \
		access; \
	})
#undef atomic_load
#undef atomic_store
#undef atomic_store_explicit
#undef atomic_exchange
#undef atomic_exchange_explicit
#define atomic_load(object) PERTURBED(PERTURB_LOAD((object), memory_order_seq_cst))
#define atomic_store(object, value) atomic_store_explicit((object), (value), memory_order_seq_cst)
#define atomic_store_explicit(object, value, order) PERTURBED(PERTURB_STORE((object), (value), (order)))
#define atomic_exchange(object, value) atomic_exchange_explicit((object), (value), memory_order_seq_cst)
#define atomic_exchange_explicit(object, value, order) PERTURBED(PERTURB_EXCHANGE((object), (value), (order)))
#endif

#endif
