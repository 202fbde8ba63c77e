/* SPDX-License-Identifier: MIT */
/*
 * diff - what a reload changes, as lines for the log.
 */
#ifndef CP_CONF_DIFF_H
#define CP_CONF_DIFF_H

#include <stddef.h>

#include "base/defs.h"

struct conf;

/*
 * A line a change: "daemon.max_connections: 10 -> 20", "pool 'main': workers 2 -> 4", "listener 'web': added". What
 * does not take effect at once says so at its end.
 */
struct conf_diff {
	char **lines; /* owned */
	size_t count;
};

/*
 * Compares two generations by the option rows; neither is kept. 0 (count may be 0), or -ENOMEM: then there are no
 * lines. *diff is written in any case. Any thread.
 */
CP_MUST_CHECK int conf_diff_init(struct conf_diff *diff, const struct conf *before, const struct conf *after);
/* Accepts a zeroed one; leaves it zeroed. */
void conf_diff_fini(struct conf_diff *diff);

#endif
