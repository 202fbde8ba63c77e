/* SPDX-License-Identifier: MIT */
/*
 * run - connpool-run: a module served without a daemon, on one loop, to try it and to test it. May include everything
 * but pool and daemon.
 *
 * setup.h - a config of one listener, made of a command line instead of a file, and what a route needs beside it.
 */
#ifndef CP_RUN_SETUP_H
#define CP_RUN_SETUP_H

#include <stddef.h>

#include "base/defs.h"
#include "net/listener.h"

struct conf;
struct errmsg;
struct route;

/* What stands on the command line; all borrowed. */
struct setup_wish {
	const char *module;         /* a path */
	const char *address;        /* NULL: none, a connection is there already */
	const char *const *options; /* "NAME=VALUE" */
	size_t option_count;
};

struct setup {
	struct listener_totals totals;
	struct conf *conf;
	struct listener *listener;
	struct route *route; /* with the handler's state */
};

/*
 * Loads the module and configures it. 0; -ENOMEM; -EINVAL: err says what is wrong with the module, an option or the
 * address. Then, too, setup_fini() it.
 */
CP_MUST_CHECK int setup_init(struct setup *setup, const struct setup_wish *wish, struct errmsg *err);
/* Releases the handler's state. No connection may be left. Accepts a zeroed one. */
void setup_fini(struct setup *setup);

#endif
