/* SPDX-License-Identifier: MIT */
/*
 * resolve.h - names to addresses without blocking, over c-ares on the main thread's loop. Private to upstream/.
 *
 * A name that is watched is looked up at once, and again whenever the TTL of its answer has run out (bounded by
 * min_ttl and max_ttl; after a failure in retry). The last good answer is kept when a look-up fails, and the failure is
 * logged once an episode, as is its end. Main thread only.
 */
#ifndef CP_UPSTREAM_RESOLVE_H
#define CP_UPSTREAM_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"
#include "upstream/server.h"

struct address;
struct conf_resolver;
struct errmsg;
struct loop;
struct resolver;
struct resolver_watch;

#define RESOLVED_MAX 64u

/* One address of an answer. */
struct resolved {
	struct server_address address;
	unsigned weight; /* SRV: 1 to 65535, its 0 being taken as 1; else 1 */
	bool backup;     /* SRV: of another than the lowest priority */
};

/*
 * The name has these addresses now (sorted, without doubles, at most RESOLVED_MAX): called after the first look-up,
 * with none if that failed, and then when they have changed. It may not unwatch from inside.
 */
typedef void resolved_fn(void *arg, const struct resolved *items, size_t count);

/* 0 or -errno with err. Nothing is opened before the first watch. */
CP_MUST_CHECK int resolver_new(
	struct loop *loop, const struct conf_resolver *conf, struct resolver **ret_resolver, struct errmsg *err);
/* Takes over changed settings, for the next look-ups. 0 or -errno with err (then nothing has changed). */
CP_MUST_CHECK int resolver_configure(struct resolver *resolver, const struct conf_resolver *conf, struct errmsg *err);
/* No watch may be left. Accepts NULL, nulls the holder. */
void resolver_free(struct resolver **resolver);

/*
 * Begins to watch address: tcp:NAME:PORT (A and AAAA) or srv:NAME (RFC 2782). label is for the log ("upstream 'web'").
 * fn is not called before this returns. Both strings are copied. NULL when out of memory.
 */
CP_MUST_CHECK struct resolver_watch *resolver_watch(
	struct resolver *resolver, const struct address *address, const char *label, resolved_fn *fn, void *arg);
/* Accepts NULL, nulls the holder. A look-up under way is forgotten. */
void resolver_unwatch(struct resolver_watch **watch);

#endif
