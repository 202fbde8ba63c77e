/* SPDX-License-Identifier: MIT */
/*
 * queue.c - a ring under a mutex. A push and a pop are a few copies; what is dear about a queue between threads is
 * waking the other side, and that is the pool's concern.
 */
#include "config.h"

#include "pool/queue.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

int
queue_init(struct queue *queue, unsigned limit)
{
	CP_ASSERT(limit >= 1);
	*queue = (struct queue){.magic = QUEUE_MAGIC, .limit = limit, .size = limit};
	queue->ring = mem_zalloc_array(limit, sizeof(queue->ring[0]));
	if (queue->ring == NULL) {
		queue->magic = 0;
		return -ENOMEM;
	}
	lock_init(&queue->lock, LOCK_QUEUE);
	return 0;
}

void
queue_on_room(struct queue *queue, void (*on_room)(void *arg), void *arg)
{
	CP_CHECK_MAGIC(queue, QUEUE_MAGIC);
	queue->on_room = on_room;
	queue->on_room_arg = arg;
}

void
queue_fini(struct queue *queue)
{
	if (queue->magic == 0)
		return;
	CP_CHECK_MAGIC(queue, QUEUE_MAGIC);
	CP_ASSERT(queue_length(queue) == 0);
	queue->magic = 0;
	lock_fini(&queue->lock);
	mem_freep(&queue->ring);
}

/* ---- room: see ROOM in queue.h ------------------------------------------------ */

unsigned
queue_room(const struct queue *queue)
{
	unsigned length = queue_length(queue);
	unsigned limit = queue_limit(queue);

	if (atomic_load(&queue->rejects) || atomic_load(&queue->closed))
		return UINT_MAX;
	return length < limit ? limit - length : 0;
}

static bool
has_room_for_batch(const struct queue *queue)
{
	return queue_room(queue) >= (queue_limit(queue) + 3) / 4;
}

bool
queue_await_room(struct queue *queue)
{
	CP_CHECK_MAGIC(queue, QUEUE_MAGIC);
	/* Sequentially consistent, like the stores of what makes room: see announce_room(). */
	atomic_store(&queue->is_wanted, true);
	return !has_room_for_batch(queue);
}

/* After anything that may have made room; without the lock, as it wakes another thread. */
static void
announce_room(struct queue *queue)
{
	if (!atomic_load(&queue->is_wanted) || !has_room_for_batch(queue))
		return;
	if (atomic_exchange(&queue->is_wanted, false) && queue->on_room != NULL)
		queue->on_room(queue->on_room_arg);
}

/* ---- in and out ------------------------------------------------------------------ */

static int
push_locked(struct queue *queue, struct accepted *accepted)
{
	unsigned length = atomic_load_explicit(&queue->length, memory_order_relaxed);

	lock_assert_held(&queue->lock);
	if (atomic_load_explicit(&queue->closed, memory_order_relaxed))
		return -ESHUTDOWN;
	if (length >= queue_limit(queue))
		return -EAGAIN;
	queue->ring[(queue->head + length) % queue->size] = *accepted;
	/* Sequentially consistent: pairs with the last look that a worker takes before it sleeps (loop.h, WAKEUP). */
	atomic_store(&queue->length, length + 1);
	accepted->fd = -1;
	accepted->route = NULL;
	return 0;
}

int
queue_push(struct queue *queue, struct accepted *accepted)
{
	int rc;

	CP_CHECK_MAGIC(queue, QUEUE_MAGIC);
	lock_acquire(&queue->lock);
	rc = push_locked(queue, accepted);
	lock_release(&queue->lock);
	return rc;
}

static unsigned
pop_locked(struct queue *queue, struct accepted *ret_items, unsigned max, unsigned fair, uint64_t old_ns)
{
	unsigned length = atomic_load_explicit(&queue->length, memory_order_relaxed);
	unsigned count = 0;

	lock_assert_held(&queue->lock);
	while (count < max && count < length) {
		const struct accepted *oldest = &queue->ring[queue->head];

		if (count >= fair && oldest->accepted_ns >= old_ns)
			break;
		ret_items[count++] = *oldest;
		queue->head = (queue->head + 1) % queue->size;
	}
	/* An empty ring starts anew at its beginning: a queue that is never deep touches little of its memory. */
	if (count == length)
		queue->head = 0;
	atomic_store(&queue->length, length - count);
	return count;
}

unsigned
queue_pop(struct queue *queue, struct accepted *ret_items, unsigned max, unsigned fair, uint64_t old_ns)
{
	unsigned count;

	CP_CHECK_MAGIC(queue, QUEUE_MAGIC);
	lock_acquire(&queue->lock);
	count = pop_locked(queue, ret_items, max, fair, old_ns);
	lock_release(&queue->lock);
	if (count > 0)
		announce_room(queue);
	return count;
}

uint64_t
queue_oldest_ns(struct queue *queue)
{
	uint64_t oldest_ns = UINT64_MAX;

	CP_CHECK_MAGIC(queue, QUEUE_MAGIC);
	lock_acquire(&queue->lock);
	if (queue_length(queue) > 0)
		oldest_ns = queue->ring[queue->head].accepted_ns;
	lock_release(&queue->lock);
	return oldest_ns;
}

/* Copies what is in the ring, in order, to the beginning of a larger one. */
static void
replace_ring_locked(struct queue *queue, struct accepted **ring, unsigned size)
{
	struct accepted *old = queue->ring;
	unsigned length = queue_length(queue);

	lock_assert_held(&queue->lock);
	for (unsigned i = 0; i < length; i++)
		(*ring)[i] = old[(queue->head + i) % queue->size];
	queue->ring = *ring;
	queue->size = size;
	queue->head = 0;
	*ring = old;
}

int
queue_set_limit(struct queue *queue, unsigned limit)
{
	struct accepted *ring = NULL;

	CP_CHECK_MAGIC(queue, QUEUE_MAGIC);
	CP_ASSERT(limit >= 1);
	/*
	 * Only the main thread sets limits, so the size can be read without the lock; memory is had before it is taken.
	 */
	if (limit > queue->size) {
		ring = mem_zalloc_array(limit, sizeof(ring[0]));
		if (ring == NULL)
			return -ENOMEM;
	}
	lock_acquire(&queue->lock);
	if (ring != NULL)
		replace_ring_locked(queue, &ring, limit);
	atomic_store(&queue->limit, limit);
	lock_release(&queue->lock);
	mem_free(ring);
	announce_room(queue);
	return 0;
}

void
queue_set_rejects(struct queue *queue, bool rejects)
{
	CP_CHECK_MAGIC(queue, QUEUE_MAGIC);
	atomic_store(&queue->rejects, rejects);
	announce_room(queue);
}

void
queue_close(struct queue *queue)
{
	CP_CHECK_MAGIC(queue, QUEUE_MAGIC);
	lock_acquire(&queue->lock);
	atomic_store(&queue->closed, true);
	lock_release(&queue->lock);
	announce_room(queue);
}
