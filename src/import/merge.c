/* SPDX-License-Identifier: MIT */
/*
 * merge - the attributes of the service in their order, then those that only the defaults have.
 */
#include "config.h"

#include "import/merge.h"

#include <stdbool.h>
#include <string.h>

#include "import/arena.h"
#include "import/entry.h"
#include "import/kinds.h"

static void
add_values(struct arena *arena, struct attribute *to, const struct attribute *from)
{
	for (size_t i = 0; i < from->values.count; i++) {
		if (from->op == ATTRIBUTE_REMOVE)
			words_remove(&to->values, from->values.items[i]);
		else
			words_add(arena, &to->values, from->values.items[i]);
	}
}

/* What the section has, all its lines together: there "=" adds, too. */
static void
add_defaults(struct arena *arena, struct attribute *to, const struct entry *defaults)
{
	if (defaults == NULL)
		return;
	for (const struct attribute *from = defaults->attributes; from != NULL; from = from->next) {
		if (strcmp(from->name, to->name) == 0)
			add_values(arena, to, from);
	}
}

static void
merge_list(struct arena *arena, struct entry *merged, const struct attribute *first, const struct entry *defaults)
{
	struct attribute *to = entry_add(arena, merged, first->name, ATTRIBUTE_SET, first->place);

	if (first->op != ATTRIBUTE_SET)
		add_defaults(arena, to, defaults);
	for (const struct attribute *from = first; from != NULL; from = from->next) {
		if (strcmp(from->name, first->name) == 0)
			add_values(arena, to, from);
	}
}

static void
merge_attribute(struct arena *arena, struct report *report, struct entry *merged, const struct attribute *from,
	const struct entry *defaults)
{
	const struct kind *kind = kind_find(from->name);
	const struct attribute *before = entry_find(merged, from->name);
	bool is_list = kind != NULL && (kind->flags & KIND_LIST) != 0;

	if (is_list && before == NULL) {
		merge_list(arena, merged, from, defaults);
	} else if (!is_list && before != NULL) {
		report_warning(report, from->place, "'%s' stands twice, first at line %u: this one does not count",
			from->name, before->place.line);
	} else if (!is_list) {
		if (from->op != ATTRIBUTE_SET)
			report_warning(report, from->place, "'%s' takes '=' only: taken as that", from->name);
		entry_add(arena, merged, from->name, ATTRIBUTE_SET, from->place)->values = from->values;
	}
}

struct entry *
merge_entry(struct arena *arena, struct report *report, const struct entry *service, const struct entry *defaults)
{
	struct entry *merged = entry_new(arena, service->form, service->name, service->place);

	if (service->form != ENTRY_XINETD)
		defaults = NULL;
	for (const struct attribute *from = service->attributes; from != NULL; from = from->next)
		merge_attribute(arena, report, merged, from, defaults);
	for (const struct attribute *from = defaults != NULL ? defaults->attributes : NULL; from != NULL;
		from = from->next) {
		const struct kind *kind = kind_find(from->name);
		struct attribute *to;

		if (kind == NULL || (kind->flags & KIND_DEFAULT) == 0 || entry_find(merged, from->name) != NULL)
			continue;
		to = entry_add(arena, merged, from->name, ATTRIBUTE_SET, from->place);
		to->is_default = true;
		if ((kind->flags & KIND_LIST) != 0)
			add_defaults(arena, to, defaults);
		else
			to->values = from->values;
	}
	return merged;
}
