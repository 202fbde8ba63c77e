/* SPDX-License-Identifier: MIT */
/*
 * admission.c - the limits, in the order from cheap to dear: access list, counts, the table of sources.
 *
 * Runs on the acceptor; admission_readmit() and admission_release() on workers too.
 */
#include "config.h"

#include "net/admission.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "conf/conf.h"
#include "net/acl.h"
#include "net/listener.h"
#include "net/refusals.h"
#include "net/route.h"
#include "net/sources.h"

/* Only addresses can be counted by source; clients of Unix sockets are all of one machine. */
static bool
is_counted_by_source(const struct accepted *accepted)
{
	return accepted->peer.family == AF_INET || accepted->peer.family == AF_INET6;
}

/* May it say who its client is? Who gets at a Unix socket was decided by the socket's owner and mode. */
static bool
is_trusted_proxy(const struct conf_listener *rule, const struct peer *peer)
{
	const struct option_networks *trusted = &rule->trusted_proxies;

	if (peer->family == AF_UNIX)
		return true;
	for (size_t i = 0; i < trusted->count; i++) {
		if (cidr_contains(&trusted->items[i], peer))
			return true;
	}
	return false;
}

static enum conn_end
count_source(struct accepted *accepted)
{
	const struct route *route = accepted->route;
	uint64_t limit = route->rule->max_per_source;
	int rc;

	if (limit == 0 || !is_counted_by_source(accepted))
		return CONN_END_NONE;
	rc = sources_add(route->listener->sources, &accepted->peer, limit);
	if (rc < 0)
		return rc == -EDQUOT ? CONN_END_REFUSED_SOURCE : CONN_END_REFUSED_MEMORY;
	accepted->counted_source = true;
	return CONN_END_NONE;
}

enum conn_end
admission_decide(struct accepted *accepted, uint64_t daemon_max_connections)
{
	const struct route *route = accepted->route;
	const struct conf_listener *rule = route->rule;
	struct listener *listener = route->listener;

	if (rule->accept_proxy) {
		if (!is_trusted_proxy(rule, &accepted->peer)) {
			refusals_log_proxy(listener, &accepted->peer, "it is not one of trusted_proxies");
			return CONN_END_REFUSED_PROXY;
		}
	} else if (!acl_permits(route->acl, &accepted->peer)) {
		return CONN_END_REFUSED_ACCESS;
	}
	/* Only this thread raises the counts, so that a limit that holds here holds until the addition below. */
	if (atomic_load_explicit(&listener->totals->held, memory_order_relaxed) >= daemon_max_connections)
		return CONN_END_REFUSED_LIMIT;
	if (rule->max_connections > 0 &&
		atomic_load_explicit(&listener->held, memory_order_relaxed) >= rule->max_connections)
		return CONN_END_REFUSED_LIMIT;
	if (!rule->accept_proxy) {
		enum conn_end refusal = count_source(accepted);

		if (refusal != CONN_END_NONE)
			return refusal;
	}
	atomic_fetch_add_explicit(&listener->totals->held, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&listener->held, 1, memory_order_relaxed);
	accepted->admitted = true;
	return CONN_END_NONE;
}

enum conn_end
admission_readmit(struct accepted *accepted, const struct peer *client)
{
	CP_ASSERT(accepted->admitted && accepted->route->rule->accept_proxy && !accepted->counted_source);
	accepted->peer = *client;
	if (!acl_permits(accepted->route->acl, &accepted->peer))
		return CONN_END_REFUSED_ACCESS;
	return count_source(accepted);
}

void
admission_release(struct accepted *accepted)
{
	struct listener *listener = accepted->route->listener;

	if (!accepted->admitted)
		return;
	accepted->admitted = false;
	/* Not by the rule in force now, which may say otherwise than the one that it was counted under. */
	if (accepted->counted_source) {
		accepted->counted_source = false;
		sources_remove(listener->sources, &accepted->peer);
	}
	CP_ASSERT(atomic_fetch_sub_explicit(&listener->held, 1, memory_order_relaxed) > 0);
	CP_ASSERT(atomic_fetch_sub_explicit(&listener->totals->held, 1, memory_order_relaxed) > 0);
}
