/* SPDX-License-Identifier: MIT */
/*
 * slab - slots of one size for one thread.
 *
 * A chunk's header holds a bit for each slot, set while it is free, and above these a bit for each word of bits that
 * has one set: two instructions find the lowest free slot. Low slots first keeps pages untouched that are not needed.
 * Free slots are poisoned for AddressSanitizer. Never locks, never calls out but by slab_foreach().
 */
#include "config.h"

#include "base/slab.h"

#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#ifdef CP_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#endif

#include "base/assert.h"
#include "base/mem.h"

#define SLAB_MAGIC 0x51ab51abu
#define CHUNK_MAGIC 0x51abc0deu

#define SLOT_ALIGN 16u
#define WORD_BITS 64u

struct slab_chunk {
	uint32_t magic;
	uint32_t used;
	struct slab *slab;
	struct list link;      /* in slab.chunks */
	struct list room_link; /* in slab.roomy while some slots are in use and some are free */
	uint64_t free_words;   /* bit w: free_bits[w] is not zero */
	uint64_t free_bits[];  /* bit s % 64 of word s / 64: slot s is free */
};

#ifdef CP_ASAN

static void
poison(const void *start, size_t bytes)
{
	__asan_poison_memory_region(start, bytes);
}

static void
unpoison(const void *start, size_t bytes)
{
	__asan_unpoison_memory_region(start, bytes);
}

/* Slots hold pointers to the heap; the leak check looks for these in the heap and in the regions it is told of. */
static void
tell_leak_check(const void *start, size_t bytes, bool is_mapped)
{
	if (is_mapped)
		__lsan_register_root_region(start, bytes);
	else
		__lsan_unregister_root_region(start, bytes);
}

#else

static void
poison(const void *start, size_t bytes)
{
	(void)start;
	(void)bytes;
}

static void
unpoison(const void *start, size_t bytes)
{
	(void)start;
	(void)bytes;
}

static void
tell_leak_check(const void *start, size_t bytes, bool is_mapped)
{
	(void)start;
	(void)bytes;
	(void)is_mapped;
}

#endif

static uint32_t
words_for(uint32_t slots)
{
	return (slots + WORD_BITS - 1) / WORD_BITS;
}

static uint32_t
header_bytes(uint32_t slots)
{
	uint32_t bytes = (uint32_t)(sizeof(struct slab_chunk) + words_for(slots) * sizeof(uint64_t));

	return (bytes + SLOT_ALIGN - 1) & ~(SLOT_ALIGN - 1);
}

void
slab_init(struct slab *slab, size_t slot_bytes)
{
	uint32_t slots;

	CP_ASSERT(slot_bytes > 0 && slot_bytes <= SLAB_SLOT_MAX_BYTES);
	*slab = (struct slab){ .magic = SLAB_MAGIC };
	slab->slot_bytes = ((uint32_t)slot_bytes + SLOT_ALIGN - 1) & ~(SLOT_ALIGN - 1);
	slots = SLAB_CHUNK_BYTES / slab->slot_bytes;
	while (header_bytes(slots) + slots * slab->slot_bytes > SLAB_CHUNK_BYTES)
		slots--;
	/* One word of free_words covers them all. */
	CP_ASSERT(words_for(slots) <= WORD_BITS);
	slab->slots_per_chunk = slots;
	slab->slots_offset = header_bytes(slots);
	list_init(&slab->chunks);
	list_init(&slab->roomy);
}

static char *
map(size_t bytes)
{
	void *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return start == MAP_FAILED ? NULL : start;
}

/*
 * Most often the kernel puts a mapping right below the one before, and then it is aligned as that one is. Where not,
 * twice as much is mapped and what is too much given back at both ends.
 */
static char *
map_aligned(void)
{
	char *start = map(SLAB_CHUNK_BYTES);
	size_t before;

	if (start == NULL || (uintptr_t)start % SLAB_CHUNK_BYTES == 0)
		return start;
	munmap(start, SLAB_CHUNK_BYTES);
	start = map(2 * SLAB_CHUNK_BYTES);
	if (start == NULL)
		return NULL;
	before = -(uintptr_t)start % SLAB_CHUNK_BYTES;
	if (before > 0)
		munmap(start, before);
	munmap(start + before + SLAB_CHUNK_BYTES, SLAB_CHUNK_BYTES - before);
	return start + before;
}

static struct slab_chunk *
chunk_open(struct slab *slab)
{
	char *start = map_aligned();
	struct slab_chunk *chunk = (struct slab_chunk *)(void *)start;

	if (start == NULL)
		return NULL;
	/* Neighbouring chunks are one mapping to the kernel; a huge page across them would cost what nobody uses. */
	(void)madvise(start, SLAB_CHUNK_BYTES, MADV_NOHUGEPAGE);
	chunk->magic = CHUNK_MAGIC;
	chunk->slab = slab;
	for (uint32_t slot = 0; slot < slab->slots_per_chunk; slot++)
		chunk->free_bits[slot / WORD_BITS] |= 1ull << slot % WORD_BITS;
	for (uint32_t word = 0; word < words_for(slab->slots_per_chunk); word++)
		chunk->free_words |= 1ull << word;
	list_push_back(&slab->chunks, &chunk->link);
	poison(start + slab->slots_offset, SLAB_CHUNK_BYTES - slab->slots_offset);
	tell_leak_check(start, SLAB_CHUNK_BYTES, true);
	return chunk;
}

static void
chunk_close(struct slab_chunk *chunk)
{
	list_remove(&chunk->link);
	chunk->magic = 0;
	tell_leak_check(chunk, SLAB_CHUNK_BYTES, false);
	/* The next to be mapped here knows nothing of our slots. */
	unpoison(chunk, SLAB_CHUNK_BYTES);
	munmap(chunk, SLAB_CHUNK_BYTES);
}

void
slab_fini(struct slab *slab)
{
	CP_CHECK_MAGIC(slab, SLAB_MAGIC);
	CP_ASSERT(slab->count == 0);
	if (slab->empty != NULL)
		chunk_close(slab->empty);
	CP_ASSERT(list_is_empty(&slab->chunks));
	*slab = (struct slab){ .magic = 0 };
}

/* A chunk with a free slot, at the head of the roomy ones; NULL when there is no memory. */
static struct slab_chunk *
get_roomy(struct slab *slab)
{
	struct slab_chunk *chunk;

	if (__builtin_expect(!list_is_empty(&slab->roomy), 1))
		return CP_CONTAINER_OF(slab->roomy.next, struct slab_chunk, room_link);
	chunk = slab->empty != NULL ? slab->empty : chunk_open(slab);
	if (chunk == NULL)
		return NULL;
	slab->empty = NULL;
	list_push_back(&slab->roomy, &chunk->room_link);
	return chunk;
}

void *
slab_alloc(struct slab *slab)
{
	struct slab_chunk *chunk;
	unsigned word, bit;
	void *slot;

	CP_CHECK_MAGIC(slab, SLAB_MAGIC);
	if (mem_should_fail())
		return NULL;
	chunk = get_roomy(slab);
	if (chunk == NULL)
		return NULL;
	word = (unsigned)__builtin_ctzll(chunk->free_words);
	bit = (unsigned)__builtin_ctzll(chunk->free_bits[word]);
	chunk->free_bits[word] &= ~(1ull << bit);
	if (chunk->free_bits[word] == 0)
		chunk->free_words &= ~(1ull << word);
	if (++chunk->used == slab->slots_per_chunk)
		list_remove(&chunk->room_link);
	slab->count++;
	slot = (char *)chunk + slab->slots_offset + (size_t)(word * WORD_BITS + bit) * slab->slot_bytes;
	unpoison(slot, slab->slot_bytes);
	return memset(slot, 0, slab->slot_bytes);
}

/* After a slot has become free: where the chunk is found from now on. */
static void
move_chunk(struct slab *slab, struct slab_chunk *chunk)
{
	if (chunk->used == 0) {
		list_remove(&chunk->room_link);
		if (slab->empty == NULL)
			slab->empty = chunk;
		else
			chunk_close(chunk);
	} else if (chunk->used == slab->slots_per_chunk - 1) {
		/* Behind the others: these are filled first, and this one may run empty meanwhile. */
		list_push_back(&slab->roomy, &chunk->room_link);
	}
}

void
slab_free(void *slot)
{
	uintptr_t address = (uintptr_t)slot;
	struct slab_chunk *chunk = (struct slab_chunk *)(void *)((char *)slot - address % SLAB_CHUNK_BYTES);
	uint32_t offset, number;
	struct slab *slab;
	uint64_t bit;

	if (slot == NULL)
		return;
	CP_CHECK_MAGIC(chunk, CHUNK_MAGIC);
	slab = chunk->slab;
	offset = (uint32_t)(address % SLAB_CHUNK_BYTES) - slab->slots_offset;
	number = offset / slab->slot_bytes;
	/* The middle of a slot, or one that is free already. */
	CP_ASSERT(offset == number * slab->slot_bytes && number < slab->slots_per_chunk);
	bit = 1ull << number % WORD_BITS;
	CP_ASSERT((chunk->free_bits[number / WORD_BITS] & bit) == 0);
	chunk->free_bits[number / WORD_BITS] |= bit;
	chunk->free_words |= 1ull << number / WORD_BITS;
	chunk->used--;
	slab->count--;
	poison(slot, slab->slot_bytes);
	move_chunk(slab, chunk);
}

/* The chunk is gone once fn has freed its last slot, so nothing of it is read after the last one in use was visited. */
static void
visit_chunk(const struct slab *slab, struct slab_chunk *chunk, slab_visit_fn *fn, void *arg)
{
	uint32_t left = chunk->used;
	uint32_t slots = slab->slots_per_chunk;

	for (uint32_t number = 0; left > 0 && number < slots; number++) {
		if ((chunk->free_bits[number / WORD_BITS] >> number % WORD_BITS & 1) != 0)
			continue;
		left--;
		fn((char *)chunk + slab->slots_offset + (size_t)number * slab->slot_bytes, arg);
	}
}

void
slab_foreach(struct slab *slab, slab_visit_fn *fn, void *arg)
{
	struct list *link, *following;

	CP_CHECK_MAGIC(slab, SLAB_MAGIC);
	LIST_FOREACH(&slab->chunks, link, following)
		visit_chunk(slab, CP_CONTAINER_OF(link, struct slab_chunk, link), fn, arg);
}
