/* SPDX-License-Identifier: MIT */
/*
 * histogram - how values are spread, in bounded memory and with a known error.
 *
 * Log-linear: 64 buckets for each power of two, so that a quantile is at most 1/64 (1.6 %) above the true value,
 * from 0 to UINT64_MAX; values below 128 are exact. Count, least, greatest and mean are always exact. Recording
 * is a few instructions and never allocates. Not thread-safe: one a thread, merged when the threads have ended.
 */
#ifndef CP_BASE_HISTOGRAM_H
#define CP_BASE_HISTOGRAM_H

#include <stdint.h>

#include "base/defs.h"

#define HISTOGRAM_SUB_BITS 6
#define HISTOGRAM_SUB_BUCKETS (1u << HISTOGRAM_SUB_BITS)
/* One linear run below 64 and one for each power of two from 2^6 to 2^63. */
#define HISTOGRAM_BUCKETS ((64 - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUB_BUCKETS)

/* About 30 KiB: embed it in something that is on the heap. */
struct histogram {
	uint64_t count; /* private: histogram.c, all of it */
	uint64_t min;
	uint64_t max;
	unsigned __int128 sum;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* Makes it empty. */
void histogram_init(struct histogram *histogram);

void histogram_record(struct histogram *histogram, uint64_t value);
/* Adds all that from holds; from is left as it is. */
void histogram_merge(struct histogram *histogram, const struct histogram *from);

/* ---- answers: each is 0 for an empty one --------------------------------------- */

uint64_t histogram_count(const struct histogram *histogram);
uint64_t histogram_min(const struct histogram *histogram);
uint64_t histogram_max(const struct histogram *histogram);
double histogram_mean(const struct histogram *histogram);

/*
 * The value that this many parts of a million of all values do not exceed: 500000 is the median, 999000 is p99.9.
 * Above the true one by at most 1/64 of it, and never below it, below the least or above the greatest. ppm <= 1000000.
 */
uint64_t histogram_quantile(const struct histogram *histogram, uint32_t ppm);

#endif
