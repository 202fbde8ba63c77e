/* SPDX-License-Identifier: MIT */
/*
 * load - files -> a checked struct conf, or every error in them.
 */
#ifndef CP_CONF_LOAD_H
#define CP_CONF_LOAD_H

#include <stdio.h>

#include "base/defs.h"
#include "conf/conf.h"

/* One error: "FILE:LINE: KEY: what is wrong, what was expected" (file and line where known). */
struct conf_error {
	char *text;
	unsigned file; /* private: report.c; 1 is the main file, 0: none */
	unsigned line; /* private: report.c */
};

/* All errors of one load, in the order of the files and lines; at most CONF_ERRORS_MAX are kept, the rest counted. */
#define CONF_ERRORS_MAX 100

struct conf_errors {
	struct conf_error items[CONF_ERRORS_MAX];
	unsigned count; /* kept */
	unsigned more;  /* found but not kept */
};

void conf_errors_fini(struct conf_errors *errors);

/*
 * Reads path and, if it names an include_dir (relative to path's folder), every *.conf in it in alphabetical order.
 * types are the services there are (NULL name ends them) and must outlive the conf.
 * Returns owned, with one reference; NULL when there was any error: then errors holds at least one (also for a file
 * that can't be read and for no memory). errors must be zeroed before; the caller ends it with conf_errors_fini(). Any
 * thread, one at a time: it asks getpwnam(3) and its like.
 */
CP_MUST_CHECK struct conf *conf_load(
	const char *path, const struct conf_service_type *types, struct conf_errors *errors);

#endif
