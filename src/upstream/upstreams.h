/* SPDX-License-Identifier: MIT */
/*
 * upstreams.h - all groups of the daemon: made, changed in place by a reload, and stopped. Main thread only.
 *
 * A group is recognised by its name and a server by its address: both go on, with their counts, health and queue, when
 * a reload changes what is around them. Connections to a server that was removed live on.
 */
#ifndef CP_UPSTREAM_UPSTREAMS_H
#define CP_UPSTREAM_UPSTREAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/defs.h"
#include "upstream/server.h"

struct conf;
struct errmsg;
struct loop;
struct upstream;
struct upstreams;

/* Checks and look-ups run on loop. NULL when out of memory. */
CP_MUST_CHECK struct upstreams *upstreams_new(struct loop *loop);
/* Stops every check and look-up; groups that routes hold live on until those let go. Accepts NULL, nulls the holder. */
void upstreams_free(struct upstreams **upstreams);

/*
 * A reload in two steps. prepare does what can fail: memory, the resolver. 0, or -errno with err and nothing has
 * changed. If the reload is given up after that, upstreams_revert(); it does nothing when nothing is prepared. commit
 * switches over and can't fail; it keeps a reference on conf until the next one. A group that is gone ends its checks,
 * and stays as it was for the routes that still hold it.
 */
CP_MUST_CHECK int upstreams_prepare(struct upstreams *upstreams, struct conf *conf, struct errmsg *err);
void upstreams_revert(struct upstreams *upstreams);
void upstreams_commit(struct upstreams *upstreams);

/* Borrowed; among those prepared, else those in force. NULL: none of that name. */
struct upstream *upstreams_find(struct upstreams *upstreams, const char *name);

/* ---- status -------------------------------------------------------------------------- */

/* One server and its group as they are; the strings are borrowed until the callback returns. */
struct upstream_status {
	const char *group;
	uint64_t queued; /* clients that wait, for a place or for a server to come up */
	uint64_t queue_timeouts;
	uint64_t refused_full;
	uint64_t refused_down;

	const char *server; /* NULL: the group has none (yet) */
	const char *origin; /* its address in the config: a name may stand for several servers */
	enum server_state state;
	bool backup;
	uint64_t weight;          /* as configured */
	uint64_t max_connections; /* in force; 0: no limit */
	uint64_t active;
	uint64_t ready;
	uint64_t connects;
	uint64_t connects_failed;
};
typedef void upstream_status_fn(void *arg, const struct upstream_status *status);

/* Calls fn for each server of each group in force; a group without servers comes once. */
void upstreams_foreach_server(struct upstreams *upstreams, upstream_status_fn *fn, void *arg);

#endif
