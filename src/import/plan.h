/* SPDX-License-Identifier: MIT */
/*
 * plan - a listener of connpoold in the making: its settings as text, and what there is to say about it.
 */
#ifndef CP_IMPORT_PLAN_H
#define CP_IMPORT_PLAN_H

#include <stdbool.h>

#include "base/defs.h"
#include "import/words.h"

struct arena;
struct entry;

/* A later one is not left for an earlier one. */
enum plan_state {
	PLAN_LIVE,     /* becomes a listener */
	PLAN_INACTIVE, /* becomes one in comments: xinetd or inetd would not have started it either, or it is in the way
			*/
	PLAN_FOREIGN,  /* connpoold has no such service: what was written becomes a comment */
	PLAN_DISABLED, /* switched off where it comes from: left out, or one of the two comments */
};

struct setting {
	struct setting *next;
	const char *key;
	const char *value; /* as the file has it, quotes and all */
};

struct plan {
	struct plan *next;
	const struct entry *entry; /* borrowed: what was written */
	enum plan_state state;
	const char *reason; /* for the state; NULL when it is live */
	bool is_foreign;    /* also when it is disabled */
	const char *name;
	struct words addresses; /* "tcp:*:80" */
	struct setting *settings;
	const char *type; /* of the service */
	struct setting *options;
	struct words notes;
	const char *upstream; /* the name of its group of servers; NULL: it needs none */
	const char *server;   /* the address in it */
};

/* At the end of plan->settings or plan->options, or in place of one that is there. Borrows key. */
CP_PRINTF(4, 5) void plan_set(struct arena *arena, struct setting **settings, const char *key, const char *fmt, ...);
/* NULL: it is not set. */
const char *plan_get(const struct setting *settings, const char *key);
CP_PRINTF(3, 4) void plan_note(struct arena *arena, struct plan *plan, const char *fmt, ...);
/* Moves it to that state with that reason, unless it is there or further already; is_foreign is set in any case. */
CP_PRINTF(4, 5) void plan_demote(struct arena *arena, struct plan *plan, enum plan_state state, const char *fmt, ...);

#endif
