/* SPDX-License-Identifier: MIT */
/*
 * entry - lists of attributes, and a list of those lists.
 */
#include "config.h"

#include "import/entry.h"

#include <string.h>

#include "import/arena.h"

struct entry *
entry_new(struct arena *arena, enum entry_form form, const char *name, struct place place)
{
	struct entry *entry = arena_alloc(arena, sizeof(*entry));

	entry->form = form;
	entry->name = name;
	entry->place = place;
	entry->tail = &entry->attributes;
	return entry;
}

struct attribute *
entry_add(struct arena *arena, struct entry *entry, const char *name, enum attribute_op op, struct place place)
{
	struct attribute *attribute = arena_alloc(arena, sizeof(*attribute));

	attribute->name = name;
	attribute->op = op;
	attribute->place = place;
	*entry->tail = attribute;
	entry->tail = &attribute->next;
	return attribute;
}

void
entry_set(struct arena *arena, struct entry *entry, const char *name, const char *value, struct place place)
{
	words_add(arena, &entry_add(arena, entry, name, ATTRIBUTE_SET, place)->values, value);
}

const struct attribute *
entry_find(const struct entry *entry, const char *name)
{
	for (const struct attribute *attribute = entry->attributes; attribute != NULL; attribute = attribute->next) {
		if (strcmp(attribute->name, name) == 0)
			return attribute;
	}
	return NULL;
}

bool
entry_has(const struct entry *entry, const char *name, const char *value)
{
	const struct attribute *attribute = entry_find(entry, name);

	return attribute != NULL && words_has(&attribute->values, value);
}

const char *
entry_value(const struct entry *entry, const char *name)
{
	const struct attribute *attribute = entry_find(entry, name);

	return attribute != NULL && attribute->values.count > 0 ? attribute->values.items[0] : NULL;
}

char *
attribute_format(struct arena *arena, const struct attribute *attribute)
{
	static const char *const ops[] = {
		[ATTRIBUTE_SET] = "=",
		[ATTRIBUTE_ADD] = "+=",
		[ATTRIBUTE_REMOVE] = "-=",
	};
	const char *values = words_join(arena, &attribute->values, " ");

	return arena_printf(
		arena, "%s %s%s%s", attribute->name, ops[attribute->op], *values != '\0' ? " " : "", values);
}

void
entries_add(struct entries *entries, struct entry *entry)
{
	if (entries->last == NULL)
		entries->first = entry;
	else
		entries->last->next = entry;
	entries->last = entry;
	entries->count++;
}
