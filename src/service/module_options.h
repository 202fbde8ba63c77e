/* SPDX-License-Identifier: MIT */
/*
 * module_options - the option table of a module as one of the config reader's, once it has been found sound.
 *
 * Used by module.c alone. The free: any thread.
 */
#ifndef CP_SERVICE_MODULE_OPTIONS_H
#define CP_SERVICE_MODULE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/defs.h"

struct cp_handler;
struct errmsg;
struct option;
struct option_group;

/*
 * Makes a group of base's rows and the handler's, whose settings begin at offset in the structure that it fills.
 * Borrows the texts of both; *ret_group has rows of its own, for module_options_free(). 0; -ENOMEM; -EINVAL: err says
 * what is wrong with the handler's table.
 */
CP_MUST_CHECK int module_options_make(const struct option *base, const struct cp_handler *handler, size_t offset,
	struct option_group *ret_group, struct errmsg *err);
/* As the names of options and of counters are made. */
bool module_options_is_name(const char *name);
/* Frees the rows. Accepts a zeroed group. Any thread. */
void module_options_free(struct option_group *group);

#endif
