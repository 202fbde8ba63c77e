/* SPDX-License-Identifier: MIT */
/*
 * listener.c - the life of a listener's name and counters; its sockets are socket.c's.
 */
#include "config.h"

#include "net/listener.h"

#include "base/assert.h"
#include "base/mem.h"
#include "net/refusals.h"
#include "net/sources.h"

struct listener *
listener_new(const char *name, uint64_t number, struct listener_totals *totals)
{
	struct listener *listener = mem_zalloc(sizeof(*listener));

	if (listener == NULL)
		return NULL;
	listener->magic = LISTENER_MAGIC;
	atomic_init(&listener->refs, 1);
	listener->number = number;
	listener->totals = totals;
	list_init(&listener->sockets);
	list_init(&listener->link);
	listener->name = mem_strdup(name);
	listener->sources = sources_new();
	if (listener->name == NULL || listener->sources == NULL)
		listener_unref(&listener);
	return listener;
}

struct listener *
listener_ref(struct listener *listener)
{
	CP_CHECK_MAGIC(listener, LISTENER_MAGIC);
	atomic_fetch_add_explicit(&listener->refs, 1, memory_order_relaxed);
	return listener;
}

/* Every accepted connection was accounted exactly once: with none left, what came in is what was closed or rejected. */
static void
assert_all_accounted(const struct listener *listener)
{
	const struct listener_counters *counters = &listener->counters;
	uint64_t closed = atomic_load_explicit(&counters->closed, memory_order_relaxed);

	CP_ASSERT(atomic_load_explicit(&counters->queued, memory_order_relaxed) == 0);
	CP_ASSERT(atomic_load_explicit(&counters->active, memory_order_relaxed) == 0);
	CP_ASSERT(atomic_load_explicit(&counters->accepted, memory_order_relaxed) ==
		closed + listener_rejected(listener));
}

void
listener_unref(struct listener **holder)
{
	struct listener *listener = *holder;

	*holder = NULL;
	if (listener == NULL)
		return;
	CP_CHECK_MAGIC(listener, LISTENER_MAGIC);
	/* Acquire and release: the last one sees what every other thread did with it. */
	if (atomic_fetch_sub_explicit(&listener->refs, 1, memory_order_acq_rel) != 1)
		return;
	CP_ASSERT(list_is_empty(&listener->sockets) && !list_is_linked(&listener->link));
	CP_ASSERT(atomic_load_explicit(&listener->held, memory_order_relaxed) == 0);
	assert_all_accounted(listener);
	/* What was rejected after the listener had been taken off the daemon's list. */
	refusals_log_rest(listener);
	listener->magic = 0;
	sources_free(&listener->sources);
	mem_free(listener->name);
	mem_free(listener);
}

uint64_t
listener_rejected(const struct listener *listener)
{
	uint64_t sum = 0;

	for (int end = 0; end < CONN_END_COUNT; end++)
		sum += atomic_load_explicit(&listener->counters.rejected[end], memory_order_relaxed);
	return sum;
}
