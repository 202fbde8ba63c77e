/* SPDX-License-Identifier: MIT */
/*
 * The sequence is kept once, a little longer than its period, so that sending needs no copy and checking is one
 * memcmp(3): at a million echoes a second the bench must not be what is measured.
 */
#include "config.h"

#include "client/pattern.h"

#include <string.h>

#include "base/mem.h"

/* Any number prime to the period: neighbours enter far from each other and no two of 65521 at the same place. */
#define ENTRY_STEP 7919u

struct pattern {
	unsigned char bytes[PATTERN_PERIOD + PATTERN_SPAN];
};

struct pattern *
pattern_new(void)
{
	struct pattern *pattern = mem_zalloc(sizeof(*pattern));
	uint32_t state = 2463534242u;

	if (pattern == NULL)
		return NULL;
	for (size_t i = 0; i < PATTERN_PERIOD; i++) {
		state ^= state << 13;
		state ^= state >> 17;
		state ^= state << 5;
		pattern->bytes[i] = (unsigned char)(state >> 24);
	}
	for (size_t i = PATTERN_PERIOD; i < sizeof(pattern->bytes); i++)
		pattern->bytes[i] = pattern->bytes[i - PATTERN_PERIOD];
	return pattern;
}

void
pattern_free(struct pattern **pattern)
{
	mem_freep(pattern);
}

uint64_t
pattern_entry(uint64_t id)
{
	return id % PATTERN_PERIOD * ENTRY_STEP % PATTERN_PERIOD;
}

const void *
pattern_at(const struct pattern *pattern, uint64_t position)
{
	return pattern->bytes + position % PATTERN_PERIOD;
}

bool
pattern_matches(const struct pattern *pattern, uint64_t position, const void *data, size_t len)
{
	const unsigned char *bytes = data;

	while (len > 0) {
		size_t n = len < PATTERN_SPAN ? len : PATTERN_SPAN;

		if (memcmp(bytes, pattern_at(pattern, position), n) != 0)
			return false;
		bytes += n;
		position += n;
		len -= n;
	}
	return true;
}
