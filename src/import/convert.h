/* SPDX-License-Identifier: MIT */
/*
 * convert - one service to one plan of a listener.
 */
#ifndef CP_IMPORT_CONVERT_H
#define CP_IMPORT_CONVERT_H

#include "import/words.h"

struct arena;
struct entry;
struct plan;
struct report;

/* What the services of an import have in common. */
struct convert {
	struct arena *arena;
	struct report *report;
	struct words names;           /* of listeners */
	struct words group_names;     /* of upstreams */
	const struct words *enabled;  /* of the section "defaults": nothing else is; NULL: all is */
	const struct words *disabled; /* of it, too; NULL: none is */
	struct words notes;           /* on what the section "defaults" says to all of them, each once */
};

/*
 * Never NULL. The entry is a merged one (merge.h) and is borrowed. What has no equal becomes a note; what the
 * administrator has to look at is reported as well.
 */
struct plan *convert_entry(struct convert *convert, const struct entry *entry);

#endif
