/* SPDX-License-Identifier: MIT */
/*
 * admission.c - the limits, in the order from cheap to dear: access list, counts, the table of sources.
 */
#include "config.h"

#include "net/admission.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "conf/conf.h"
#include "net/acl.h"
#include "net/listener.h"
#include "net/route.h"
#include "net/sources.h"

/* Only addresses can be counted by source; clients of Unix sockets are all of one machine. */
static bool
is_counted_by_source(const struct accepted *accepted)
{
	return accepted->peer.family == AF_INET || accepted->peer.family == AF_INET6;
}

enum conn_end
admission_decide(struct accepted *accepted, uint64_t daemon_max_connections)
{
	const struct route *route = accepted->route;
	const struct conf_listener *rule = route->rule;
	struct listener *listener = route->listener;

	if (!acl_permits(route->acl, &accepted->peer))
		return CONN_END_REFUSED_ACCESS;
	/* Only this thread raises the counts, so that a limit that holds here holds until the addition below. */
	if (atomic_load_explicit(&listener->totals->held, memory_order_relaxed) >= daemon_max_connections)
		return CONN_END_REFUSED_LIMIT;
	if (rule->max_connections > 0 &&
		atomic_load_explicit(&listener->held, memory_order_relaxed) >= rule->max_connections)
		return CONN_END_REFUSED_LIMIT;
	if (rule->max_per_source > 0 && is_counted_by_source(accepted)) {
		int rc = sources_add(listener->sources, &accepted->peer, rule->max_per_source);

		if (rc < 0)
			return rc == -EDQUOT ? CONN_END_REFUSED_SOURCE : CONN_END_REFUSED_MEMORY;
	}
	atomic_fetch_add_explicit(&listener->totals->held, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&listener->held, 1, memory_order_relaxed);
	accepted->admitted = true;
	return CONN_END_NONE;
}

void
admission_release(struct accepted *accepted)
{
	struct listener *listener = accepted->route->listener;

	if (!accepted->admitted)
		return;
	accepted->admitted = false;
	/* The connection's own rule says whether it was counted; the one in force now may say otherwise. */
	if (accepted->route->rule->max_per_source > 0 && is_counted_by_source(accepted))
		sources_remove(listener->sources, &accepted->peer);
	CP_ASSERT(atomic_fetch_sub_explicit(&listener->held, 1, memory_order_relaxed) > 0);
	CP_ASSERT(atomic_fetch_sub_explicit(&listener->totals->held, 1, memory_order_relaxed) > 0);
}
