/* SPDX-License-Identifier: MIT */
/*
 * entry - one service as it was written: its attributes in their order, each with its place.
 *
 * A line of inetd.conf becomes an entry too, its columns under the names that xinetd has for them, so that one
 * converter serves both. Where inetd has a thing that xinetd has not, the attribute has a name of its own (kinds.c).
 */
#ifndef CP_IMPORT_ENTRY_H
#define CP_IMPORT_ENTRY_H

#include <stdbool.h>

#include "import/report.h"
#include "import/words.h"

struct arena;

enum entry_form { ENTRY_XINETD, ENTRY_INETD };
enum attribute_op { ATTRIBUTE_SET, ATTRIBUTE_ADD, ATTRIBUTE_REMOVE };

struct attribute {
	struct attribute *next;
	const char *name;
	enum attribute_op op;
	struct words values;
	struct place place;
	bool is_default; /* it comes from the section "defaults" alone */
};

struct entry {
	struct entry *next;
	enum entry_form form;
	const char *name; /* as its head says; "" for the section "defaults" */
	struct place place;
	struct attribute *attributes;
	struct attribute **tail; /* private: entry.c */
};

/* All that was read. Zeroed it is empty. */
struct entries {
	struct entry *first;
	struct entry *defaults; /* xinetd's; NULL: there is none */
	struct entry *last;     /* private: entry.c */
	unsigned count;
};

struct entry *entry_new(struct arena *arena, enum entry_form form, const char *name, struct place place);
/* At the end of the entry, without values. Borrows name. */
struct attribute *entry_add(
	struct arena *arena, struct entry *entry, const char *name, enum attribute_op op, struct place place);
/* entry_add() of a ATTRIBUTE_SET with one value. */
void entry_set(struct arena *arena, struct entry *entry, const char *name, const char *value, struct place place);
/* The first of that name, or NULL. */
const struct attribute *entry_find(const struct entry *entry, const char *name);
/* Whether there is one of that name with that word among its values. */
bool entry_has(const struct entry *entry, const char *name, const char *value);
/* The first value of the first of that name; NULL: there is none. */
const char *entry_value(const struct entry *entry, const char *name);
/* "log_type = FILE /var/log/x" */
char *attribute_format(struct arena *arena, const struct attribute *attribute);

void entries_add(struct entries *entries, struct entry *entry);

#endif
