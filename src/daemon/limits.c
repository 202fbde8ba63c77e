/* SPDX-License-Identifier: MIT */
/*
 * limits.c - arithmetic of descriptors and memory, and the way from root to the daemon's user.
 */
#include "config.h"

#include "daemon/limits.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#include "base/address.h"
#include "base/capability.h"
#include "base/errmsg.h"
#include "base/fdutil.h"
#include "base/log.h"
#include "base/units.h"
#include "conf/conf.h"
#include "engine/relay.h"
#include "net/conn.h"
#include "service/blocking.h"
#include "service/registry.h"
#include "service/session.h"

/* Standard streams, log, signals, timers, the reserve, config files while they are read. */
#define DESCRIPTORS_OWN 32u
/* The event loop of a worker and what wakes it. */
#define DESCRIPTORS_PER_WORKER 2u

struct bound {
	uint64_t connections; /* served at once: limited by daemon.max_connections and by the pools */
	uint64_t relayed;     /* of these: those that may have a second descriptor, to a server */
	uint64_t queued;
	uint64_t descriptors;
	uint64_t memory_bytes; /* when every one has a fiber of its own, or its buffers full, and every helper runs */
};

static uint64_t
smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The most bytes that a connection of this pool may hold both ways for slow readers; 0: none of its listeners relays.
 */
static uint64_t
relay_bytes_of(const struct conf *conf, const struct conf_pool *pool)
{
	uint64_t most = 0;

	for (size_t i = 0; i < conf->listener_count; i++) {
		uint64_t bytes =
			conf->listeners[i]->pool == pool ? registry_relay_bytes(&conf->listeners[i]->service) : 0;

		if (bytes > most)
			most = bytes;
	}
	return most;
}

static uint64_t
count_ready_connections(const struct conf *conf)
{
	uint64_t count = 0;

	for (size_t i = 0; i < conf->upstream_count; i++) {
		for (size_t k = 0; k < conf->upstreams[i]->server_count; k++)
			count += conf->upstreams[i]->servers[k]->ready_connections;
	}
	return count;
}

static bool
is_module(const struct conf_listener *listener)
{
	return listener->service.type->extend != NULL;
}

/* Of the threads that modules may have work done on (cp_blocking()). */
static uint64_t
helper_stack_bytes(const struct conf *conf)
{
	for (size_t i = 0; i < conf->listener_count; i++) {
		if (is_module(conf->listeners[i]))
			return (uint64_t)BLOCKING_THREADS_MAX * BLOCKING_STACK_BYTES;
	}
	return 0;
}

/* A Unix socket's file has one too; a socket of systemd's is accepted on by a thread with one of its own. */
static uint64_t
count_descriptors(const struct option_addresses *addresses)
{
	uint64_t count = addresses->count;

	for (size_t i = 0; i < addresses->count; i++) {
		const struct address *address = &addresses->items[i];

		count += address->kind == ADDRESS_SYSTEMD ||
			 (address->kind == ADDRESS_UNIX && address->host[0] != '@');
	}
	return count;
}

static struct bound
compute_bound(const struct conf *conf)
{
	struct bound bound = {.descriptors = DESCRIPTORS_OWN};
	uint64_t stack_bytes = 0;
	uint64_t relay_bytes = 0;

	for (size_t i = 0; i < conf->pool_count; i++) {
		const struct conf_pool *pool = conf->pools[i];
		uint64_t pool_relay_bytes = relay_bytes_of(conf, pool);

		if (pool_relay_bytes > 0)
			bound.relayed += pool->workers * pool->connections_per_worker;
		if (pool_relay_bytes > relay_bytes)
			relay_bytes = pool_relay_bytes;

		bound.connections += pool->workers * pool->connections_per_worker;
		bound.queued += pool->queue_size;
		bound.descriptors += pool->workers * DESCRIPTORS_PER_WORKER;
		if (pool->stack_size_bytes > stack_bytes)
			stack_bytes = pool->stack_size_bytes;
	}
	bound.connections = smaller(bound.connections, conf->daemon.max_connections);
	bound.relayed = smaller(bound.relayed, bound.connections);
	bound.queued = smaller(bound.queued, conf->daemon.max_connections - bound.connections);
	/* A module has one as long as it is loaded. */
	for (size_t i = 0; i < conf->listener_count; i++)
		bound.descriptors +=
			count_descriptors(&conf->listeners[i]->addresses) + (is_module(conf->listeners[i]) ? 1 : 0);
	bound.descriptors += bound.connections + bound.relayed + bound.queued + count_ready_connections(conf);
	bound.memory_bytes = helper_stack_bytes(conf) + bound.connections * (sizeof(struct session) + stack_bytes) +
			     bound.queued * sizeof(struct accepted) +
			     bound.relayed * (sizeof(struct relay) + relay_bytes);
	return bound;
}

static bool
is_same_bound(const struct bound *a, const struct bound *b)
{
	return a->connections == b->connections && a->queued == b->queued && a->descriptors == b->descriptors &&
	       a->memory_bytes == b->memory_bytes;
}

void
limits_apply(const struct conf *conf, const struct conf *before)
{
	struct bound bound = compute_bound(conf);
	uint64_t limit = fd_raise_limit(bound.descriptors);
	uint64_t others = bound.descriptors - bound.connections - bound.relayed - bound.queued;
	struct bound earlier;

	if (before != NULL) {
		earlier = compute_bound(before);
		if (is_same_bound(&bound, &earlier))
			return;
	}

	log_info(LOG_EVENT_NONE,
		"bounds: %" PRIu64 " connections served and %" PRIu64 " queued at once, %" PRIu64
		" descriptors, %zu bytes an idle connection, %" PRIu64 " MiB if all were busy on stacks of their own%s",
		bound.connections, bound.queued, bound.descriptors,
		sizeof(struct session) + (bound.relayed > 0 ? sizeof(struct relay) : 0), bound.memory_bytes >> 20,
		bound.relayed > 0 ? ", and those to servers had both buffers full" : "");
	if (limit >= bound.descriptors)
		return;
	log_warning(LOG_EVENT_DESCRIPTOR_LIMIT,
		"%" PRIu64 " descriptors are allowed but %" PRIu64 " may be needed (%" PRIu64 " connections + %" PRIu64
		" to servers + %" PRIu64 " queued + %" PRIu64
		" of our own): clients beyond wait in the kernel's backlog; raise LimitNOFILE= in the unit, or lower "
		"daemon.max_connections to %" PRIu64,
		limit, bound.descriptors, bound.connections, bound.relayed, bound.queued, others,
		(limit - smaller(limit, others)) / (bound.relayed > 0 ? 2 : 1));
}

/* What a unit gives for programs is the spawner's, which has it by now: the process that faces the network has no use.
 */
static int
drop_programs_capabilities(struct errmsg *err)
{
	int rc = capability_drop(CAPABILITY_BIT(CAP_SETUID) | CAPABILITY_BIT(CAP_SETGID) |
				 CAPABILITY_BIT(CAP_SYS_CHROOT) | CAPABILITY_BIT(CAP_KILL) |
				 CAPABILITY_BIT(CAP_SYS_NICE) | CAPABILITY_BIT(CAP_SYS_RESOURCE));

	if (rc < 0)
		errmsg_set(err, "cannot give up capabilities: %s", errmsg_errno(rc));
	return rc;
}

int
limits_drop_privileges(const struct conf *conf, struct errmsg *err)
{
	const struct passwd *user;
	const struct group *group = NULL;
	gid_t gid;

	if (geteuid() != 0)
		return drop_programs_capabilities(err);
	if (conf->daemon.user == NULL)
		return 0;
	/* The config's checks have found both; they may have been removed since. */
	user = getpwnam(conf->daemon.user);
	if (conf->daemon.group != NULL)
		group = getgrnam(conf->daemon.group);
	if (user == NULL || (conf->daemon.group != NULL && group == NULL)) {
		errmsg_set(err, "daemon.user, daemon.group: no such user or group");
		return -ENOENT;
	}
	gid = group != NULL ? group->gr_gid : user->pw_gid;
	if (initgroups(user->pw_name, gid) < 0 || setgid(gid) < 0 || setuid(user->pw_uid) < 0) {
		int error = errno;

		errmsg_set(err, "cannot become user '%s': %s", conf->daemon.user, errmsg_errno(error));
		return -error;
	}
	return 0;
}
