/* SPDX-License-Identifier: MIT */
/*
 * spawner_recipe.h - what the config says of programs, made ready to be run, and how processes pass it on; for the
 * keeper, the spawner and needs.c.
 */
#ifndef CP_PROGRAM_SPAWNER_RECIPE_H
#define CP_PROGRAM_SPAWNER_RECIPE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/defs.h"

struct conf;
struct errmsg;

/* ---- recipes ------------------------------------------------------------------------------ */

#define RECIPE_RLIMITS_MAX 9
#define RECIPE_GROUPS_MAX 64

struct recipe_limit {
	int resource;
	uint64_t soft;
	uint64_t hard;
};

/* What one program needs to be run: every name is looked up, every string there. */
struct recipe {
	char **argv; /* ends with NULL */
	unsigned argument_count;
	unsigned environment_count;
	char **environment; /* what does not hang on the client */
	char *directory;
	char *chroot; /* NULL: none */
	uint32_t umask;
	int32_t nice;
	bool no_new_privileges;
	bool changes_user;
	uid_t uid;
	gid_t gid;
	int32_t group_count;
	gid_t groups[RECIPE_GROUPS_MAX];
	uint32_t limit_count;
	struct recipe_limit limits[RECIPE_RLIMITS_MAX];
};

/* The recipes of one config, by listener. */
struct cookbook {
	uint64_t digest;
	struct recipe **recipes; /* NULL: it runs none */
	unsigned count;
};

/* Looks up users and groups. Returns owned, or NULL with err saying why. */
CP_MUST_CHECK struct cookbook *cookbook_new(const struct conf *conf, struct errmsg *err);
void cookbook_free(struct cookbook **cookbook);

/* ---- tables --------------------------------------------------------------------------------- */

/* A cookbook as it is written to a descriptor and mapped by another process; read-only there. */
struct recipe_table;

/* Writes it to an empty file, which can be sealed afterwards. The same recipes are the same bytes. 0 or -errno. */
CP_MUST_CHECK int recipe_table_write(const struct cookbook *cookbook, int fd);
/* Maps it; fd stays the caller's. Returns owned; NULL with errno. */
CP_MUST_CHECK struct recipe_table *recipe_table_map(int fd);
void recipe_table_unmap(struct recipe_table **table);
/* NULL: that listener runs none. */
const struct recipe *recipe_table_find(const struct recipe_table *table, uint32_t listener);

#endif
