/* SPDX-License-Identifier: MIT */
/*
 * clock - monotonic time in nanoseconds (CLOCK_MONOTONIC: the clock of systemd's MONOTONIC_USEC too).
 */
#ifndef CP_BASE_CLOCK_H
#define CP_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define CLOCK_NS_PER_MS 1000000ull
#define CLOCK_NS_PER_S 1000000000ull

static inline uint64_t
clock_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * CLOCK_NS_PER_S + (uint64_t)ts.tv_nsec;
}

#endif
