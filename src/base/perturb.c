/* SPDX-License-Identifier: MIT */
/*
 * perturb.c - when a thread is delayed: see perturb.h.
 *
 * Any thread, at any point: so it takes no lock, allocates nothing, and makes no system call but for the delay itself.
 */
#include "config.h"

#include "base/perturb.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define VARIABLE "CONNPOOLD_PERTURB"
/* One place in so many is slow, until a thread has passed so many points; then others are. */
#define SLOW_PLACES 10u
#define POINTS_PER_STAGE 1024u
/* One call in so many fails in a legal way (perturb_calls.c). */
#define CHANCES 64u

/* Where the program was loaded: places are counted from here, and are the same in each run. */
extern const char __executable_start;

static uint64_t process_seed = 1;
static uint32_t thread_count;
static _Thread_local uint64_t thread_state; /* 0: not seeded yet */
static _Thread_local uint32_t thread_points;

/* Out of 65536 decisions so many are: a sleep of 1 to 5 ms, one of 8 to 512 us, a yield. */
static const struct {
	uint32_t long_sleeps;
	uint32_t short_sleeps;
	uint32_t yields;
} shares[2] = {
	[false] = {4, 128, 1024},
	[true] = {64, 8192, 8192},
};

/* The finalizer of splitmix64: every bit of the result depends on every bit of value. */
static uint64_t
mix(uint64_t value)
{
	value += 0x9e3779b97f4a7c15u;
	value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
	value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
	return value ^ (value >> 31);
}

/* xorshift64*: never 0 but for a state of 0. */
static uint64_t
next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1du;
}

uint32_t
perturb_decide(uint64_t *state, bool is_slow)
{
	uint64_t random = next_random(state);
	uint32_t which = (uint32_t)(random >> 48);
	uint32_t amount = (uint32_t)(random >> 8);

	if (which < shares[is_slow].long_sleeps)
		return 1000000u + amount % 4000000u;
	which -= shares[is_slow].long_sleeps;
	if (which < shares[is_slow].short_sleeps)
		return 8000u << amount % 7;
	which -= shares[is_slow].short_sleeps;
	return which < shares[is_slow].yields ? PERTURB_YIELD : PERTURB_NOTHING;
}

bool
perturb_is_slow(uint64_t seed, uint64_t place, uint32_t points)
{
	return mix(seed ^ mix(place ^ ((uint64_t)(points / POINTS_PER_STAGE) << 40))) % SLOW_PLACES == 0;
}

/* Before main(), so that no thread finds it half done. */
static void __attribute__((constructor))
read_seed(void)
{
	const char *text = getenv(VARIABLE);
	struct timespec now;

	if (text != NULL && *text != '\0') {
		process_seed = strtoull(text, NULL, 10);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	process_seed = mix((uint64_t)now.tv_nsec ^ ((uint64_t)now.tv_sec << 20) ^ (uint64_t)getpid()) % 1000000000u;
	fprintf(stderr, "perturbed build, seed %" PRIu64 "; again with " VARIABLE "=%" PRIu64 "\n", process_seed,
		process_seed);
}

static uint64_t *
own_state(void)
{
	if (thread_state == 0)
		thread_state = mix(process_seed ^ mix(__atomic_add_fetch(&thread_count, 1, __ATOMIC_RELAXED))) | 1;
	return &thread_state;
}

void
perturb_point_at(const void *place)
{
	uint64_t offset = (uint64_t)((uintptr_t)place - (uintptr_t)&__executable_start);
	uint32_t decision = perturb_decide(own_state(), perturb_is_slow(process_seed, offset, thread_points++));
	struct timespec delay = {.tv_nsec = decision};
	int saved_errno = errno;

	if (decision == PERTURB_YIELD)
		(void)sched_yield();
	else if (decision != PERTURB_NOTHING)
		(void)nanosleep(&delay, NULL);
	errno = saved_errno;
}

void
perturb_point(void)
{
	perturb_point_at(__builtin_return_address(0));
}

bool
perturb_chance(void)
{
	return next_random(own_state()) % CHANCES == 0;
}
