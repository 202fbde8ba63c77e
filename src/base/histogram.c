/* SPDX-License-Identifier: MIT */
/*
 * A bucket's number is the place of a value's highest bit and the six bits below it. Below 64 there are no six
 * bits below, and the number is the value itself. Pure arithmetic: no locks, no memory, any thread that owns
 * the structure.
 */
#include "config.h"

#include "base/histogram.h"

#include <string.h>

#include "base/assert.h"

#define PPM_ALL 1000000u

static unsigned
bucket_of(uint64_t value)
{
	unsigned shift;

	if (value < HISTOGRAM_SUB_BUCKETS)
		return (unsigned)value;
	shift = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
	/* value >> shift is 64..127: its own 64 steps up into the next run of buckets. */
	return shift * HISTOGRAM_SUB_BUCKETS + (unsigned)(value >> shift);
}

/* The greatest value that falls into a bucket. */
static uint64_t
bucket_ceiling(unsigned bucket)
{
	unsigned shift;
	uint64_t base;

	if (bucket < HISTOGRAM_SUB_BUCKETS)
		return bucket;
	shift = bucket / HISTOGRAM_SUB_BUCKETS - 1;
	base = (uint64_t)(bucket % HISTOGRAM_SUB_BUCKETS + HISTOGRAM_SUB_BUCKETS) << shift;
	return base + ((1ull << shift) - 1);
}

void
histogram_init(struct histogram *histogram)
{
	memset(histogram, 0, sizeof(*histogram));
	histogram->min = UINT64_MAX;
}

void
histogram_record(struct histogram *histogram, uint64_t value)
{
	histogram->count++;
	histogram->sum += value;
	if (value < histogram->min)
		histogram->min = value;
	if (value > histogram->max)
		histogram->max = value;
	histogram->buckets[bucket_of(value)]++;
}

void
histogram_merge(struct histogram *histogram, const struct histogram *from)
{
	histogram->count += from->count;
	histogram->sum += from->sum;
	if (from->min < histogram->min)
		histogram->min = from->min;
	if (from->max > histogram->max)
		histogram->max = from->max;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		histogram->buckets[i] += from->buckets[i];
}

uint64_t
histogram_count(const struct histogram *histogram)
{
	return histogram->count;
}

uint64_t
histogram_min(const struct histogram *histogram)
{
	return histogram->count == 0 ? 0 : histogram->min;
}

uint64_t
histogram_max(const struct histogram *histogram)
{
	return histogram->max;
}

double
histogram_mean(const struct histogram *histogram)
{
	return histogram->count == 0 ? 0.0 : (double)histogram->sum / (double)histogram->count;
}

uint64_t
histogram_quantile(const struct histogram *histogram, uint32_t ppm)
{
	uint64_t rank, seen = 0;

	CP_ASSERT(ppm <= PPM_ALL);
	if (histogram->count == 0)
		return 0;
	if (ppm == 0)
		return histogram->min;
	/* Whole numbers: 0.999 * 1000 in floating point may round up to the 1000th. */
	rank = (uint64_t)(((unsigned __int128)histogram->count * ppm + (PPM_ALL - 1)) / PPM_ALL);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t ceiling = bucket_ceiling(i);

		seen += histogram->buckets[i];
		if (seen < rank)
			continue;
		return ceiling > histogram->max ? histogram->max : ceiling;
	}
	return histogram->max;
}
