/* SPDX-License-Identifier: MIT */
/*
 * upstreams.h - all groups of the daemon: made, changed in place by a reload, and stopped. Main thread only.
 *
 * A group is recognised by its name and a server by its address: both go on, with their counts, health and queue, when a
 * reload changes what is around them. Connections to a server that was removed live on.
 */
#ifndef CP_UPSTREAM_UPSTREAMS_H
#define CP_UPSTREAM_UPSTREAMS_H

#include "base/defs.h"

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
 * A reload in two steps. prepare does what can fail: memory, the resolver. 0 or -errno with err; on failure, or if the
 * reload is given up, upstreams_revert(). commit switches over and can't fail.
 */
CP_MUST_CHECK int upstreams_prepare(struct upstreams *upstreams, const struct conf *conf, struct errmsg *err);
void upstreams_revert(struct upstreams *upstreams);
void upstreams_commit(struct upstreams *upstreams);

/* Borrowed; among those prepared, else those in force. NULL: none of that name. */
struct upstream *upstreams_find(struct upstreams *upstreams, const char *name);

#endif
