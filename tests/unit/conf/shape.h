/* SPDX-License-Identifier: MIT */
/*
 * shape - a service whose options hang on the value of one, for conffiles.h, and a count of the groups that it gave
 * out.
 */
#ifndef CP_TESTS_UNIT_CONF_SHAPE_H
#define CP_TESTS_UNIT_CONF_SHAPE_H

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/errmsg.h"
#include "base/mem.h"
#include "conf/conf.h"

/* What service "shape" may say hangs on its kind: "round" has a radius too, "none" is an error, others have nothing. */
struct shape {
	char *kind;
	uint64_t radius;
};

static const struct option shape_options[] = {
	OPT_STRING_REQUIRED(struct shape, kind, "kind", OPTION_NEW_CONNECTIONS, "Which."),
	OPT_END,
};

static const struct option round_options[] = {
	OPT_STRING_REQUIRED(struct shape, kind, "kind", OPTION_NEW_CONNECTIONS, "Which."),
	OPT_UINT(struct shape, radius, "radius", 1, 9, "3", "ells", OPTION_NEW_CONNECTIONS, "How far."),
	OPT_END,
};

/* Groups that were given out and not taken back, and how many there ever were. */
static unsigned shape_groups;
static unsigned shape_groups_made;

static inline int
shape_extend(const char *conf_path, const char *value, const struct option_group **ret_group, struct errmsg *err)
{
	struct option_group *group;

	if (strcmp(value, "none") == 0) {
		errmsg_set(err, "\"%s\" is no shape for %s", value, strrchr(conf_path, '/') + 1);
		return -EINVAL;
	}
	group = mem_zalloc(sizeof(*group));
	if (group == NULL)
		return -ENOMEM;
	group->options = strcmp(value, "round") == 0 ? round_options : shape_options;
	group->size = sizeof(struct shape);
	shape_groups++;
	shape_groups_made++;
	*ret_group = group;
	return 0;
}

static inline void
shape_retract(const struct option_group **group)
{
	mem_free((void *)(uintptr_t)*group);
	*group = NULL;
	shape_groups--;
}

#endif
