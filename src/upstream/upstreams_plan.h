/* SPDX-License-Identifier: MIT */
/*
 * upstreams_plan.h - between upstreams.c, which keeps the table of groups, and upstreams_plan.c, which works out what
 * becomes of one. Nobody else includes it. Main thread only.
 */
#ifndef CP_UPSTREAM_UPSTREAMS_PLAN_H
#define CP_UPSTREAM_UPSTREAMS_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/list.h"
#include "engine/loop.h"
#include "upstream/group.h"
#include "upstream/resolve.h"

struct conf;
struct conf_upstream;

/* A line of the config that has to be looked up, and what it stands for. */
struct source {
	struct group *group;
	char *text;
	struct resolver_watch *watch;
	bool is_known; /* it has been answered once */
	bool is_late;  /* answered while a reload was prepared: what was built then is without it */
	uint64_t plan; /* the last that has it */
	size_t count;
	struct resolved items[RESOLVED_MAX];
};

/* One for each line of a group's servers, in their order: NULL where nothing has to be looked up. */
struct sources_of {
	struct source **items;
	size_t count;
};

struct group {
	struct list link;
	struct upstreams *upstreams;
	struct upstream *upstream;        /* one reference */
	const struct conf_upstream *conf; /* in upstreams->conf; NULL: not in force yet */
	struct sources_of sources;
	uint64_t plan;
};

/* What becomes of one group. */
struct plan {
	struct group *group;
	const struct conf_upstream *conf;
	struct sources_of sources;
	struct upstream_change change;
};

struct upstreams {
	struct loop *loop;
	struct resolver *resolver; /* NULL: no name was ever wanted */
	struct conf *conf;         /* in force; one reference; NULL at first */
	struct list groups;
	struct timer tick;
	struct task retry_task;
	uint64_t last_plan;

	struct conf *next_conf; /* prepared, down to the end; NULL: nothing is */
	struct plan *plans;
	size_t plan_count;
};

/* Fills plan->change from its conf and sources. 0, or -errno: then plan_drop(). */
CP_MUST_CHECK int plan_build(struct plan *plan);
/* The servers that were made for it go, the others stay as they are. */
void plan_drop(struct upstream_change *change);
/* Switches the group over; can't fail. */
void plan_apply(struct plan *plan);

#endif
