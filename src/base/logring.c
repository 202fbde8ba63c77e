/* SPDX-License-Identifier: MIT */
/*
 * logring - one writer, one reader, whole records, no locks.
 *
 * A record is a frame: its size, then its bytes, aligned to 8. Frames never wrap, so the reader can use them where
 * they are; what is left at the end is covered by a padding frame. Positions count bytes for ever, an offset is a
 * position modulo the size. Runs on the writer's and on the logger's thread; must never block either.
 */
#include "config.h"

#include "base/logring.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"

#define LOGRING_MAGIC 0x4c524e47u
#define FRAME_PADDING 0x80000000u
#define FRAME_ALIGN 8u
/* The reader gives room and memory back in pieces of this size: seldom enough, and a quiet writer keeps only one. */
#define BLOCK 65536u

struct frame {
	uint32_t size; /* of the bytes that follow, or FRAME_PADDING | all of it */
	uint32_t reserved;
};

_Static_assert(sizeof(struct frame) == FRAME_ALIGN, "a frame's head keeps the alignment");
_Static_assert((LOGRING_SIZE & (LOGRING_SIZE - 1)) == 0, "offsets are cut off by a mask");
_Static_assert(LOGRING_SIZE % BLOCK == 0, "blocks are whole");

struct logring *
logring_new(void)
{
	struct logring *ring;

	ring = mmap(NULL, sizeof(*ring), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ring == MAP_FAILED)
		return NULL;
	/* Huge pages would make one small record cost two megabytes. */
	(void)madvise(ring, sizeof(*ring), MADV_NOHUGEPAGE);
	ring->magic = LOGRING_MAGIC;
	list_init(&ring->link);
	atomic_init(&ring->closed, false);
	atomic_init(&ring->head, 0);
	atomic_init(&ring->tail, 0);
	return ring;
}

void
logring_free(struct logring **ring)
{
	if (*ring == NULL)
		return;
	CP_CHECK_MAGIC(*ring, LOGRING_MAGIC);
	(*ring)->magic = 0;
	(void)munmap(*ring, sizeof(**ring));
	*ring = NULL;
}

/* ---- the writer ---------------------------------------------------------- */

static void
put_frame(struct logring *ring, uint32_t offset, uint32_t size)
{
	struct frame frame = {.size = size};

	memcpy(ring->data + offset, &frame, sizeof(frame));
}

/* Bytes to skip before a frame of need bytes that is to be whole. */
static uint32_t
padding_before(uint32_t offset, uint32_t need)
{
	return offset + need > LOGRING_SIZE ? LOGRING_SIZE - offset : 0;
}

bool
logring_push(struct logring *ring, const void *first, size_t first_size, const void *second, size_t second_size)
{
	size_t size = first_size + second_size;
	uint32_t need = (uint32_t)(sizeof(struct frame) + size + FRAME_ALIGN - 1) & ~(FRAME_ALIGN - 1);
	uint64_t head, tail;
	uint32_t offset, padding;

	CP_CHECK_MAGIC(ring, LOGRING_MAGIC);
	CP_ASSERT(size > 0 && size <= LOGRING_RECORD_MAX);
	head = atomic_load_explicit(&ring->head, memory_order_relaxed); /* ours */
	tail = atomic_load_explicit(&ring->tail, memory_order_acquire); /* the reader is done with what it frees */
	offset = (uint32_t)(head & (LOGRING_SIZE - 1));
	padding = padding_before(offset, need);
	if (head - tail + padding + need > LOGRING_SIZE)
		return false;
	if (padding != 0)
		put_frame(ring, offset, FRAME_PADDING | padding);
	offset = (offset + padding) & (LOGRING_SIZE - 1);
	put_frame(ring, offset, (uint32_t)size);
	memcpy(ring->data + offset + sizeof(struct frame), first, first_size);
	if (second_size != 0)
		memcpy(ring->data + offset + sizeof(struct frame) + first_size, second, second_size);
	atomic_store_explicit(&ring->head, head + padding + need, memory_order_seq_cst);
	return true;
}

void
logring_close(struct logring *ring)
{
	CP_CHECK_MAGIC(ring, LOGRING_MAGIC);
	/* Sequentially consistent as head is: WAKEUP. */
	atomic_store_explicit(&ring->closed, true, memory_order_seq_cst);
}

/* ---- the reader ---------------------------------------------------------- */

/*
 * Room goes back to the writer a block at a time, so that its memory can go back to the kernel before the writer may
 * use it again. Where the kernel's pages are larger than a block, madvise(2) refuses and the memory just stays.
 */
static void
advance(struct logring *ring, uint32_t by)
{
	uint64_t block = ring->taken / BLOCK;

	ring->taken += by;
	if (block == ring->taken / BLOCK)
		return;
	for (; block < ring->taken / BLOCK; block++)
		(void)madvise(ring->data + (block * BLOCK & (LOGRING_SIZE - 1)), BLOCK, MADV_DONTNEED);
	atomic_store_explicit(&ring->tail, block * BLOCK, memory_order_release);
}

const void *
logring_peek(struct logring *ring, size_t *ret_size)
{
	uint32_t offset = (uint32_t)(ring->taken & (LOGRING_SIZE - 1));
	struct frame frame;

	CP_CHECK_MAGIC(ring, LOGRING_MAGIC);
	if (atomic_load_explicit(&ring->head, memory_order_seq_cst) == ring->taken)
		return NULL;
	memcpy(&frame, ring->data + offset, sizeof(frame));
	if ((frame.size & FRAME_PADDING) != 0) {
		/* The writer publishes padding and the record behind it as one: there is a record. */
		advance(ring, frame.size & ~FRAME_PADDING);
		offset = 0;
		memcpy(&frame, ring->data, sizeof(frame));
	}
	*ret_size = frame.size;
	return ring->data + offset + sizeof(frame);
}

void
logring_pop(struct logring *ring)
{
	uint32_t offset = (uint32_t)(ring->taken & (LOGRING_SIZE - 1));
	struct frame frame;
	uint32_t used;

	CP_CHECK_MAGIC(ring, LOGRING_MAGIC);
	memcpy(&frame, ring->data + offset, sizeof(frame));
	CP_ASSERT(frame.size != 0 && (frame.size & FRAME_PADDING) == 0);
	used = (uint32_t)(sizeof(frame) + frame.size + FRAME_ALIGN - 1) & ~(FRAME_ALIGN - 1);
	advance(ring, used);
}

bool
logring_is_closed(const struct logring *ring)
{
	CP_CHECK_MAGIC(ring, LOGRING_MAGIC);
	return atomic_load_explicit(&ring->closed, memory_order_seq_cst);
}
