/* SPDX-License-Identifier: MIT */
/*
 * pool - the bounded queue, the workers that take from it, and their number. May include: base, conf, engine, net.
 *
 * queue.h - accepted connections in order of arrival. The acceptor pushes, workers pop; entries are moved by value. The
 * lock is never held across a system call. Invariant: 0 <= length <= limit, but a lowered limit lets what is in it go
 * out first; after queue_close() a push always fails.
 */
#ifndef CP_POOL_QUEUE_H
#define CP_POOL_QUEUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/lock.h"
#include "net/conn.h"

#define QUEUE_MAGIC 0x71756575

struct queue {
	uint32_t magic;
	_Atomic unsigned length; /* this and the next: written under the lock; read by anybody as a hint */
	_Atomic unsigned limit;

	struct cp_lock lock; /* LOCK_QUEUE; guards the fields down to the end */
	struct accepted *ring;
	unsigned size; /* of the ring, >= limit */
	unsigned head; /* the oldest */
	bool closed;
};

/* limit >= 1. 0 or -ENOMEM. */
CP_MUST_CHECK int queue_init(struct queue *queue, unsigned limit);
/* It must be empty. Accepts a zeroed one. */
void queue_fini(struct queue *queue);

/* Takes *accepted on success (its fd is -1 then). 0; -EAGAIN: full; -ESHUTDOWN: closed. Any thread. */
CP_MUST_CHECK int queue_push(struct queue *queue, struct accepted *accepted);

/*
 * Moves out up to max of the oldest; beyond the first `fair` only those accepted before old_ns. Returns how many,
 * caller owns them. Any thread.
 */
unsigned queue_pop(struct queue *queue, struct accepted *ret_items, unsigned max, unsigned fair, uint64_t old_ns);

/* When the oldest was accepted; UINT64_MAX: it is empty. Any thread. */
uint64_t queue_oldest_ns(struct queue *queue);

/* A hint, without the lock. */
static inline unsigned
queue_length(const struct queue *queue)
{
	return atomic_load(&queue->length);
}

static inline unsigned
queue_limit(const struct queue *queue)
{
	return atomic_load_explicit(&queue->limit, memory_order_relaxed);
}

/* 0 or -ENOMEM (then nothing has changed). Any thread. */
CP_MUST_CHECK int queue_set_limit(struct queue *queue, unsigned limit);
/* Nothing more comes in. Any thread. */
void queue_close(struct queue *queue);

#endif
