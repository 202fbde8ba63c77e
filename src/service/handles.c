/* SPDX-License-Identifier: MIT */
/*
 * handles.c - see handles.h. Any thread. The tables grow to as many as there are at once, and stay.
 */
#include "config.h"

#include "service/handles.h"

#include <errno.h>

#include "base/assert.h"
#include "base/lock.h"
#include "base/mem.h"
#include "engine/loop.h"

/* So that the workers seldom want the same lock; a connection's is chosen by its number. */
#define TABLES 16u
#define SLOTS_FIRST 16u

struct slot {
	uint64_t connection; /* 0: it is free, and task is not set */
	struct loop *loop;
	struct task *task;
	uint32_t next_free;
};

static struct table {
	struct cp_lock lock; /* LOCK_HANDLES; guards the fields down to the end */
	struct slot *slots;  /* the first one is none */
	uint32_t count;
	uint32_t free; /* 0: none */
} tables[TABLES] = {[0 ... TABLES - 1] = {.lock = LOCK_INITIALIZER(LOCK_HANDLES)}};

static struct table *
table_of(uint64_t connection)
{
	return &tables[connection % TABLES];
}

static bool
grow_locked(struct table *table)
{
	uint32_t count = table->count > 0 ? 2 * table->count : SLOTS_FIRST;
	struct slot *slots = mem_realloc_array(table->slots, count, sizeof(*slots));

	lock_assert_held(&table->lock);
	if (slots == NULL)
		return false;
	for (uint32_t i = count - 1; i > 0 && i >= table->count; i--) {
		slots[i] = (struct slot){.next_free = table->free};
		table->free = i;
	}
	slots[0] = (struct slot){0};
	table->slots = slots;
	table->count = count;
	return true;
}

/* NULL: it is no slot of that connection. */
static struct slot *
find_locked(struct table *table, uint64_t connection, uint64_t slot)
{
	lock_assert_held(&table->lock);
	if (connection == 0 || slot == 0 || slot >= table->count || table->slots[slot].connection != connection)
		return NULL;
	return &table->slots[slot];
}

int64_t
handles_open(uint64_t connection, struct loop *loop, struct task *task)
{
	struct table *table = table_of(connection);
	int64_t number = -ENOMEM;

	CP_ASSERT(connection != 0 && task->fn != NULL);
	lock_acquire(&table->lock);
	if (table->free != 0 || grow_locked(table)) {
		struct slot *slot = &table->slots[table->free];

		number = (int64_t)table->free;
		table->free = slot->next_free;
		*slot = (struct slot){.connection = connection, .loop = loop, .task = task};
	}
	lock_release(&table->lock);
	return number;
}

void
handles_close(uint64_t connection, uint64_t number)
{
	struct table *table = table_of(connection);
	struct slot *slot;

	lock_acquire(&table->lock);
	slot = find_locked(table, connection, number);
	CP_ASSERT(slot != NULL);
	*slot = (struct slot){.next_free = table->free};
	table->free = (uint32_t)number;
	lock_release(&table->lock);
}

bool
handles_post(uint64_t connection, uint64_t number)
{
	struct table *table = table_of(connection);
	struct slot *slot;

	lock_acquire(&table->lock);
	slot = find_locked(table, connection, number);
	if (slot != NULL)
		loop_post(slot->loop, slot->task);
	lock_release(&table->lock);
	return slot != NULL;
}
