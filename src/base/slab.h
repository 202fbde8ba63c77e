/* SPDX-License-Identifier: MIT */
/*
 * slab - slots of one size for one thread, such as a worker's connection records.
 *
 * Slots lie in chunks of SLAB_CHUNK_BYTES, mapped at multiples of it: a slot's chunk is found by masking its address,
 * and a slot costs nothing beside itself but a bit. Chunks that have room are used before a new one is mapped, and
 * a chunk goes back to the kernel when its last slot does (one empty chunk is kept): memory returns after a burst.
 *
 * Not thread-safe: a slab, its slots' freeing included, belongs to one thread.
 */
#ifndef CP_BASE_SLAB_H
#define CP_BASE_SLAB_H

#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/list.h"

#define SLAB_CHUNK_BYTES 65536u
#define SLAB_SLOT_MAX_BYTES 8192u

struct slab {
	uint32_t magic;           /* private: slab.c, all of it */
	uint32_t slot_bytes;      /* rounded up to 16 */
	uint32_t slots_offset;    /* of the first slot in its chunk */
	uint32_t slots_per_chunk;
	size_t count;             /* slots in use */
	struct list chunks;       /* every chunk */
	struct list roomy;        /* those with a slot in use and one free */
	struct slab_chunk *empty; /* the one with no slot in use that is kept, or NULL */
};

/* For slots of slot_bytes, 1 to SLAB_SLOT_MAX_BYTES. Maps nothing yet. */
void slab_init(struct slab *slab, size_t slot_bytes);
/* Every slot must have been freed. */
void slab_fini(struct slab *slab);

/* A zeroed slot, aligned to 16 bytes, or NULL when out of memory (also by mem_fail_after()). O(1). */
CP_MUST_CHECK void *slab_alloc(struct slab *slab);
/* Returns a slot to the slab it is from; accepts NULL. O(1). */
void slab_free(void *slot);

/* Slots in use. */
static inline size_t
slab_count(const struct slab *slab)
{
	return slab->count;
}

typedef void slab_visit_fn(void *slot, void *arg);

/* Calls fn for each slot in use. fn may free the slot that it is given; it must neither free another nor allocate. */
void slab_foreach(struct slab *slab, slab_visit_fn *fn, void *arg);

#endif
