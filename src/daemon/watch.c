/* SPDX-License-Identifier: MIT */
/*
 * watch.c - the timers of the daemon itself.
 */
#include "config.h"

#include "daemon/watch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/systemd.h"
#include "conf/conf.h"
#include "daemon/daemon.h"
#include "net/refusals.h"
#include "net/route.h"

#define TICK_MS 1000u
/* The manager is told this many times within its limit. */
#define WATCHDOG_FEEDS 3u

/* ---- status ------------------------------------------------------------------------ */

static uint64_t
count_queued(const struct daemon *daemon)
{
	uint64_t queued = 0;
	struct list *link;
	struct list *following;

	LIST_FOREACH (&daemon->pools, link, following)
		queued += queue_length(&CP_CONTAINER_OF(link, struct pool, link)->queue);
	LIST_FOREACH (&daemon->closing_pools, link, following)
		queued += queue_length(&CP_CONTAINER_OF(link, struct pool, link)->queue);
	return queued;
}

void
watch_tell_status(struct daemon *daemon)
{
	static const char *const words[] = {
		[DAEMON_STARTING] = "starting",
		[DAEMON_SERVING] = "serving",
		[DAEMON_DRAINING] = "draining",
		[DAEMON_CANCELLED] = "closing what is left",
		[DAEMON_STOPPED] = "stopped",
	};
	uint64_t held = atomic_load_explicit(&daemon->totals.held, memory_order_relaxed);
	uint64_t queued = count_queued(daemon);
	size_t listeners = daemon->conf != NULL ? daemon->conf->listener_count : 0;
	char status[sizeof(daemon->status)];

	snprintf(status, sizeof(status), "%s: %zu listener%s, %" PRIu64 " connection%s, %" PRIu64 " queued",
		words[daemon->state], listeners, listeners == 1 ? "" : "s", held, held == 1 ? "" : "s", queued);
	if (daemon->status_told && strcmp(status, daemon->status) == 0)
		return;
	memcpy(daemon->status, status, sizeof(status));
	daemon->status_told = systemd_notify_status(status);
}

/* ---- refusals and stalls -------------------------------------------------------------- */

static bool
log_refusals(struct daemon *daemon)
{
	bool is_left = false;
	struct list *link;
	struct list *following;

	LIST_FOREACH (&daemon->listeners, link, following)
		is_left |= refusals_log(CP_CONTAINER_OF(link, struct listener, link), daemon->loop.now_ns);
	return is_left;
}

static const char *
name_listener(const struct daemon *daemon, uint64_t number, const char **ret_service)
{
	struct list *link;
	struct list *following;

	*ret_service = "?";
	LIST_FOREACH (&daemon->listeners, link, following) {
		const struct listener *listener = CP_CONTAINER_OF(link, struct listener, link);

		if (listener->number != number)
			continue;
		*ret_service = conf_service_name(&listener->route->rule->service);
		return listener->name;
	}
	return "(removed)";
}

static void
log_stall(struct pool *pool, const struct pool_stall *stall, void *arg)
{
	const char *service;
	const char *listener = name_listener(arg, stall->listener, &service);
	struct log_record record;

	log_record_init(&record, LOG_LEVEL_WARNING, LOG_EVENT_WORKER_STALLED,
		"pool '%s': worker %u has been held for %" PRIu64 " ms by connection %" PRIu64
		" (listener '%s', service '%s'): its other connections wait; a handler that blocks belongs on a pool "
		"with "
		"connections_per_worker = 1",
		pool->name, stall->worker, stall->held_ms, stall->connection, listener, service);
	log_record_add(&record, "POOL", "%s", pool->name);
	log_record_add(&record, "WORKER", "%u", stall->worker);
	log_record_add(&record, "CONNECTION", "%" PRIu64, stall->connection);
	log_record_add(&record, "LISTENER", "%s", listener);
	log_record_add(&record, "SERVICE", "%s", service);
	log_record_commit(&record);
}

static void
report_stalls(struct daemon *daemon, struct list *pools)
{
	struct list *link;
	struct list *following;

	LIST_FOREACH (pools, link, following)
		pool_report_stalls(CP_CONTAINER_OF(link, struct pool, link), clock_now_ns(), log_stall, daemon);
}

/* ---- the timers ------------------------------------------------------------------------- */

void
daemon_wake_tick(struct daemon *daemon)
{
	if (!timer_is_set(&daemon->tick))
		timer_set(&daemon->loop.wheel, &daemon->tick, loop_now_ms(&daemon->loop) + TICK_MS);
}

/* An idle daemon does not wake: the tick goes on only while somebody is there, or something is left to say. */
static void
on_tick(struct timer *timer)
{
	struct daemon *daemon = CP_CONTAINER_OF(timer, struct daemon, tick);
	bool is_left = log_refusals(daemon);

	report_stalls(daemon, &daemon->pools);
	report_stalls(daemon, &daemon->closing_pools);
	watch_tell_status(daemon);
	if (is_left || !daemon->status_told || atomic_load_explicit(&daemon->totals.held, memory_order_relaxed) > 0)
		daemon_wake_tick(daemon);
}

/* Every one is asked, whatever the others answered. */
static bool
every_worker_turns(struct list *pools)
{
	bool all = true;
	struct list *link;
	struct list *following;

	LIST_FOREACH (pools, link, following)
		all &= pool_is_turning(CP_CONTAINER_OF(link, struct pool, link));
	return all;
}

static void
on_watchdog(struct timer *timer)
{
	struct daemon *daemon = CP_CONTAINER_OF(timer, struct daemon, watchdog);

	if (every_worker_turns(&daemon->pools))
		systemd_notify_watchdog();
	timer_set(
		&daemon->loop.wheel, timer, loop_now_ms(&daemon->loop) + daemon->watchdog_usec / 1000 / WATCHDOG_FEEDS);
}

void
watch_begin(struct daemon *daemon)
{
	daemon->tick.fn = on_tick;
	daemon->watchdog.fn = on_watchdog;
	daemon->watchdog_usec = systemd_watchdog_usec();
	if (daemon->watchdog_usec > 0)
		on_watchdog(&daemon->watchdog);
}
