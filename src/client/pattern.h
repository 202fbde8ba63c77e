/* SPDX-License-Identifier: MIT */
/*
 * pattern - the bytes that the bench sends: each depends on its place in the stream and on the connection.
 *
 * A fixed pseudo-random sequence that repeats after a prime number of bytes, entered by each connection at another
 * place. So lost, doubled, swapped or shifted bytes, and bytes of another connection, all differ from what is due; and
 * since the period is no multiple of any buffer's size, a buffer sent twice differs too. Immutable once made: any
 * thread may read it.
 */
#ifndef CP_CLIENT_PATTERN_H
#define CP_CLIENT_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"

/* A prime. */
#define PATTERN_PERIOD 65521u
/* So many bytes are in one piece wherever it is entered. */
#define PATTERN_SPAN 65536u

struct pattern;

/* Returns owned, or NULL when out of memory. */
struct pattern *pattern_new(void);
/* Accepts NULL; sets *pattern to NULL. */
void pattern_free(struct pattern **pattern);

/* Where the stream of connection number id enters; add the position in the stream to it. */
uint64_t pattern_entry(uint64_t id);

/* PATTERN_SPAN bytes from position on; borrowed as long as the pattern lives. */
const void *pattern_at(const struct pattern *pattern, uint64_t position);
/* Are these the len bytes from position on? Any len. */
bool pattern_matches(const struct pattern *pattern, uint64_t position, const void *data, size_t len);

#endif
