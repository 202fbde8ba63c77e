/* SPDX-License-Identifier: MIT */
/*
 * import - the way through the folder, in order.
 */
#include "config.h"

#include "import/import.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/errmsg.h"
#include "import/claims.h"
#include "import/convert.h"
#include "import/emit.h"
#include "import/inetd.h"
#include "import/kinds.h"
#include "import/lines.h"
#include "import/merge.h"
#include "import/plan.h"

void
import_init(struct import *import, FILE *messages)
{
	*import = (struct import){.report = {.out = messages}};
	import->reader.arena = &import->arena;
	import->reader.report = &import->report;
	import->reader.entries = &import->entries;
}

void
import_fini(struct import *import)
{
	arena_fini(&import->arena);
}

/* ---- reading ------------------------------------------------------------------- */

static void
parse_inetd(struct import *import, const char *path, const struct words *lines)
{
	words_add(&import->arena, &import->reader.files, path);
	inetd_parse(&import->arena, &import->report, &import->entries, path, lines);
}

int
import_read(struct import *import, const char *path)
{
	struct errmsg err = {.text = ""};
	struct words lines = {0};
	struct stat status;
	int r;

	if (stat(path, &status) < 0)
		return -errno;
	if (S_ISDIR(status.st_mode))
		return xinetd_read_folder(&import->reader, path);
	r = lines_read(&import->arena, &lines, path, &err);
	if (r < 0)
		return r;
	if (xinetd_is_syntax(&lines))
		return xinetd_read(&import->reader, path);
	parse_inetd(import, arena_strdup(&import->arena, path), &lines);
	return 0;
}

void
import_read_text(struct import *import, const char *path, const char *text, size_t size)
{
	struct words lines = {0};

	lines_split(&import->arena, &lines, text, size);
	if (xinetd_is_syntax(&lines)) {
		words_add(&import->arena, &import->reader.files, path);
		xinetd_parse(&import->reader, path, &lines);
	} else {
		parse_inetd(import, path, &lines);
	}
}

int
import_read_folder(struct import *import, const char *folder)
{
	static const char *const names[] = {"xinetd.conf", "xinetd.d", "inetd.conf"};
	unsigned found = 0;
	int first = 0;

	for (size_t i = 0; i < CP_COUNT(names); i++) {
		const char *path = arena_printf(&import->arena, "%s/%s", folder, names[i]);
		int r;

		if (words_has(&import->reader.folders, path))
			continue;
		r = import_read(import, path);
		if (r == 0) {
			found++;
		} else if (r != -ENOENT) {
			report_error(&import->report, (struct place){.file = path}, "cannot read: %s", errmsg_errno(r));
			first = first == 0 ? r : first;
		}
	}
	return first != 0 ? first : found > 0 ? 0 : -ENOENT;
}

/* ---- writing ------------------------------------------------------------------- */

/* What only a service may say, or nobody: the rest of the section is merged into the services. */
static void
check_defaults(struct import *import, const struct entry *defaults)
{
	for (const struct attribute *a = defaults->attributes; a != NULL; a = a->next) {
		const struct kind *kind = kind_find(a->name);

		if (kind == NULL || (kind->flags & KIND_INETD) != 0)
			report_warning(&import->report, a->place, "%s: there is no such attribute", a->name);
		else if ((kind->flags & (KIND_DEFAULT | KIND_DEFAULTS)) == 0)
			report_warning(
				&import->report, a->place, "%s: has no place in the section 'defaults'", a->name);
	}
}

/* A list of ids of the section, all its lines together; NULL: there is none. */
static const struct words *
collect_ids(struct import *import, const char *name)
{
	const struct entry *defaults = import->entries.defaults;
	struct words *ids = NULL;

	for (const struct attribute *a = defaults != NULL ? defaults->attributes : NULL; a != NULL; a = a->next) {
		if (strcmp(a->name, name) != 0)
			continue;
		if (ids == NULL)
			ids = arena_alloc(&import->arena, sizeof(*ids));
		for (size_t i = 0; i < a->values.count; i++) {
			if (a->op == ATTRIBUTE_REMOVE)
				words_remove(ids, a->values.items[i]);
			else
				words_add(&import->arena, ids, a->values.items[i]);
		}
	}
	return ids;
}

/* Of two services at one address the first is served, as it was before. */
static void
take_address(struct import *import, struct claims *claims, struct plan *plan)
{
	const struct plan *other = plan->state == PLAN_LIVE ? claims_take(&import->arena, claims, plan) : NULL;

	if (other == NULL)
		return;
	plan_demote(&import->arena, plan, PLAN_INACTIVE, "listener '%s' has its address, or one that takes it in",
		other->name);
}

static void
report_state(struct import *import, const struct plan *plan)
{
	if (plan->state == PLAN_INACTIVE || plan->state == PLAN_FOREIGN)
		report_warning(&import->report, plan->entry->place, "'%s' is not served: %s", plan->name, plan->reason);
}

void
import_write(struct import *import, bool keep_disabled, FILE *out)
{
	struct convert convert = {.arena = &import->arena, .report = &import->report};
	struct claims claims = {.first = NULL};
	struct plan *plans = NULL;
	struct plan **tail = &plans;
	struct emission emission = {.files = &import->reader.files, .keep_disabled = keep_disabled};
	unsigned live = 0;

	convert.enabled = collect_ids(import, "enabled");
	convert.disabled = collect_ids(import, "disabled");
	if (import->entries.defaults != NULL)
		check_defaults(import, import->entries.defaults);
	for (const struct entry *entry = import->entries.first; entry != NULL; entry = entry->next) {
		struct plan *plan = convert_entry(
			&convert, merge_entry(&import->arena, &import->report, entry, import->entries.defaults));

		take_address(import, &claims, plan);
		report_state(import, plan);
		live += plan->state == PLAN_LIVE;
		*tail = plan;
		tail = &plan->next;
	}
	if (live == 0)
		report_warning(&import->report, (struct place){.file = NULL}, "nothing is left to serve");
	emission.plans = plans;
	emission.notes = &convert.notes;
	emit_config(&import->arena, &emission, out);
}
