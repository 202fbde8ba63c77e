/* SPDX-License-Identifier: MIT */
/*
 * pool - the bounded queue, the workers that take from it, and their number. May include: base, conf, engine, net.
 *
 * queue.h - accepted connections in order of arrival. The acceptor pushes, workers pop; entries are moved by value. The
 * lock is never held across a system call. Invariant: 0 <= length <= limit, but a lowered limit lets what is in it go
 * out first; after queue_close() a push always fails.
 *
 * ROOM: how those that wait for room learn that there is some. tests/model/room.pml is this, verified by spin; the
 * other side of it is WAITING in net/acceptor.h.
 *
 * 1. A queue that rejects, or is closed, always has room (a push is answered at once); any other while length < limit.
 * 2. Who waits calls queue_await_room(): it asks for an announcement (is_wanted), then looks once more. So whoever
 *    makes room at that moment sees the request, or is seen.
 * 3. Room comes about in this file alone: entries leave by queue_pop() (taken by a worker, expired, cancelled), the
 *    limit is raised, the queue is closed or begins to reject. Each of them ends in announce_room(). No caller has to
 *    remember.
 * 4. Only an announcement clears the request. One that nobody needs any more costs an announcement too many; one that
 *    is taken back too early leaves a listener dead.
 * 5. Room is announced when a quarter of the queue is free, at least one entry, so that it is filled in batches. Until
 *    then nobody may take what is free while others wait for it, or it might never be a quarter.
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
	_Atomic unsigned length; /* this and the next two: written under the lock; read by anybody as a hint */
	_Atomic unsigned limit;
	atomic_bool closed;
	atomic_bool rejects;        /* queue_full = "reject"; written by the main thread */
	atomic_bool is_wanted;      /* somebody waits for room; see ROOM */
	void (*on_room)(void *arg); /* announces it, on any thread; NULL: nobody waits. Fixed, as is on_room_arg */
	void *on_room_arg;

	struct cp_lock lock; /* LOCK_QUEUE; guards the fields down to the end */
	struct accepted *ring;
	unsigned size; /* of the ring, >= limit */
	unsigned head; /* the oldest */
};

/* limit >= 1. 0 or -ENOMEM. */
CP_MUST_CHECK int queue_init(struct queue *queue, unsigned limit);
/* Before other threads have it: who is told of room. */
void queue_on_room(struct queue *queue, void (*on_room)(void *arg), void *arg);
/* It must be empty. Accepts a zeroed one. */
void queue_fini(struct queue *queue);

/* Takes *accepted on success (its fd is -1 then). 0; -EAGAIN: full; -ESHUTDOWN: closed. Any thread. */
CP_MUST_CHECK int queue_push(struct queue *queue, struct accepted *accepted);

/*
 * Moves out up to max of the oldest; beyond the first `fair` only those accepted before old_ns. Returns how many,
 * caller owns them. Any thread.
 */
unsigned queue_pop(struct queue *queue, struct accepted *ret_items, unsigned max, unsigned fair, uint64_t old_ns);

/* How many more can be pushed now, or be rejected at once: UINT_MAX. Any thread. */
unsigned queue_room(const struct queue *queue);
/*
 * Asks for an announcement of room, and looks once more. True: on_room() will be called. False: there is room for a
 * batch now, and on_room() may be called all the same. Any thread.
 */
CP_MUST_CHECK bool queue_await_room(struct queue *queue);

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
	return atomic_load(&queue->limit);
}

/* 0 or -ENOMEM (then nothing has changed). Any thread. */
CP_MUST_CHECK int queue_set_limit(struct queue *queue, unsigned limit);
/* Whether a push is refused when it is full, or whoever pushes is to wait. Any thread. */
void queue_set_rejects(struct queue *queue, bool rejects);
/* Nothing more comes in. Any thread. */
void queue_close(struct queue *queue);

#endif
