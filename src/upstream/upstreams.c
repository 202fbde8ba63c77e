/* SPDX-License-Identifier: MIT */
/*
 * upstreams.c - see upstreams.h.
 *
 * Called by the daemon at start, reload and stop, by the resolver when a name's addresses have changed, and by its own
 * timer; all on the main thread. It alone changes which servers a group has, so it may read that without the lock. It
 * never waits: names are looked up by resolve.h, and a change can fail only before it is begun.
 */
#include "config.h"

#include "upstream/upstreams.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>

#include "base/address.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/errmsg.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "engine/loop.h"
#include "upstream/check.h"
#include "upstream/upstream.h"
#include "upstream/upstreams_plan.h"

/* While ready connections are kept, they are looked at this often. */
#define TEND_MS 1000u

static void on_tick(struct timer *timer);
static void on_retry(struct loop *loop, struct task *task);

/* ---- life ----------------------------------------------------------------------------- */

struct upstreams *
upstreams_new(struct loop *loop)
{
	struct upstreams *upstreams = mem_zalloc(sizeof(*upstreams));

	if (upstreams == NULL)
		return NULL;
	upstreams->loop = loop;
	upstreams->tick.fn = on_tick;
	upstreams->retry_task.fn = on_retry;
	list_init(&upstreams->groups);
	return upstreams;
}

static void
free_source(struct source **holder)
{
	struct source *source = *holder;

	*holder = NULL;
	if (source == NULL)
		return;
	resolver_unwatch(&source->watch);
	mem_free(source->text);
	mem_free(source);
}

/* Ready connections are kept by the timer alone; places are given out as before. */
static void
end_ready(struct upstream *upstream)
{
	struct list drop;

	list_init(&drop);
	lock_acquire(&upstream->lock);
	for (size_t i = 0; i < upstream->server_count; i++) {
		upstream->servers[i]->settings.ready_connections = 0;
		server_trim_ready_locked(upstream->servers[i], 0, &drop);
	}
	lock_release(&upstream->lock);
	server_close_ready(&drop);
}

/* Who posts the task when a server is to be tried again; NULL: nobody does any more. */
static void
set_watcher(struct group *group, struct upstreams *upstreams)
{
	lock_acquire(&group->upstream->lock);
	group->upstream->retry_loop = upstreams != NULL ? upstreams->loop : NULL;
	group->upstream->retry_task = upstreams != NULL ? &upstreams->retry_task : NULL;
	lock_release(&group->upstream->lock);
}

/* Its checks and look-ups end here; the rest lives on while a route holds it. */
static void
free_group(struct group **holder)
{
	struct group *group = *holder;

	*holder = NULL;
	if (group == NULL)
		return;
	list_remove(&group->link);
	set_watcher(group, NULL);
	end_ready(group->upstream);
	for (size_t i = 0; i < group->upstream->server_count; i++)
		check_free(&group->upstream->servers[i]->check);
	for (size_t i = 0; i < group->sources.count; i++)
		free_source(&group->sources.items[i]);
	mem_free(group->sources.items);
	upstream_unref(&group->upstream);
	mem_free(group);
}

static struct group *
new_group(struct upstreams *upstreams, const char *name)
{
	struct group *group = mem_zalloc(sizeof(*group));

	if (group == NULL)
		return NULL;
	group->upstream = upstream_new(name);
	if (group->upstream == NULL) {
		mem_free(group);
		return NULL;
	}
	group->upstreams = upstreams;
	set_watcher(group, upstreams);
	return group;
}

void
upstreams_free(struct upstreams **holder)
{
	struct upstreams *upstreams = *holder;

	*holder = NULL;
	if (upstreams == NULL)
		return;
	upstreams_revert(upstreams);
	while (!list_is_empty(&upstreams->groups)) {
		struct group *group = CP_CONTAINER_OF(upstreams->groups.next, struct group, link);

		free_group(&group);
	}
	resolver_free(&upstreams->resolver);
	timer_clear(&upstreams->loop->wheel, &upstreams->tick);
	loop_unpost(upstreams->loop, &upstreams->retry_task);
	conf_unref(&upstreams->conf);
	mem_free(upstreams);
}

static struct group *
find_group(const struct upstreams *upstreams, const char *name)
{
	struct list *link;
	struct list *following;

	LIST_FOREACH (&upstreams->groups, link, following) {
		struct group *group = CP_CONTAINER_OF(link, struct group, link);

		if (strcmp(group->upstream->name, name) == 0)
			return group;
	}
	return NULL;
}

struct upstream *
upstreams_find(struct upstreams *upstreams, const char *name)
{
	struct group *group;

	for (size_t i = 0; i < upstreams->plan_count; i++) {
		if (strcmp(upstreams->plans[i].conf->name, name) == 0)
			return upstreams->plans[i].group->upstream;
	}
	group = find_group(upstreams, name);
	return group != NULL ? group->upstream : NULL;
}

/* ---- names ------------------------------------------------------------------------------- */

/* Its servers anew, by the config in force and what the names stand for now. */
static void
rebuild(struct group *group)
{
	struct plan plan = {.group = group, .conf = group->conf, .sources = group->sources};

	group->upstreams->last_plan++;
	for (size_t i = 0; i < group->sources.count; i++) {
		if (group->sources.items[i] != NULL)
			group->sources.items[i]->is_late = false;
	}
	if (plan_build(&plan) == 0) {
		plan_apply(&plan);
		timer_set(&group->upstreams->loop->wheel, &group->upstreams->tick, 0);
		return;
	}
	plan_drop(&plan.change);
	log_warning(
		LOG_EVENT_NONE, "upstream '%s': out of memory, keeping the servers known so far", group->conf->name);
}

static void
on_resolved(void *arg, const struct resolved *items, size_t count)
{
	struct source *source = arg;

	CP_ASSERT(count <= RESOLVED_MAX);
	if (count > 0)
		memcpy(source->items, items, count * sizeof(items[0]));
	source->count = count;
	source->is_known = true;
	source->is_late = true;
	/* A reload that is prepared has pointers to servers that this might remove: it comes first. */
	if (source->group->upstreams->next_conf == NULL && source->group->conf != NULL)
		rebuild(source->group);
}

/* After a reload: what names have said in the middle of it. */
static void
rebuild_late(struct upstreams *upstreams)
{
	struct list *link;
	struct list *following;

	LIST_FOREACH (&upstreams->groups, link, following) {
		struct group *group = CP_CONTAINER_OF(link, struct group, link);
		bool is_late = false;

		for (size_t i = 0; i < group->sources.count; i++)
			is_late |= group->sources.items[i] != NULL && group->sources.items[i]->is_late;
		if (is_late)
			rebuild(group);
	}
}

static bool
is_name(const struct address *address)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
	struct addrinfo *found;

	if (address->kind == ADDRESS_SRV)
		return true;
	if (address->kind != ADDRESS_TCP || getaddrinfo(address->host, NULL, &hints, &found) != 0)
		return address->kind == ADDRESS_TCP;
	freeaddrinfo(found);
	return false;
}

static struct source *
new_source(struct group *group, const struct conf_upstream *conf, const struct address *address)
{
	struct source *source = mem_zalloc(sizeof(*source));
	char *label = mem_printf("upstream '%s'", conf->name);

	if (source == NULL || label == NULL)
		goto fail;
	source->group = group;
	source->text = mem_strdup(address->text);
	if (source->text == NULL)
		goto fail;
	source->watch = resolver_watch(group->upstreams->resolver, address, label, on_resolved, source);
	if (source->watch == NULL)
		goto fail;
	mem_free(label);
	return source;
fail:
	mem_free(label);
	free_source(&source);
	return NULL;
}

/* One in force goes on, with what it knows. */
static struct source *
find_source(const struct group *group, const char *text, uint64_t plan)
{
	for (size_t i = 0; i < group->sources.count; i++) {
		struct source *source = group->sources.items[i];

		if (source != NULL && source->plan != plan && strcmp(source->text, text) == 0)
			return source;
	}
	return NULL;
}

static int
plan_sources(struct plan *plan)
{
	const struct conf_upstream *conf = plan->conf;
	uint64_t last_plan = plan->group->upstreams->last_plan;

	plan->sources.items = mem_zalloc_array(conf->server_count, sizeof(plan->sources.items[0]));
	if (plan->sources.items == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < conf->server_count; i++) {
		const struct address *address = conf->servers[i]->address;
		struct source *source;

		plan->sources.count = i + 1;
		if (!is_name(address))
			continue;
		source = find_source(plan->group, address->text, last_plan);
		if (source == NULL)
			source = new_source(plan->group, conf, address);
		if (source == NULL)
			return -ENOMEM;
		source->plan = last_plan;
		plan->sources.items[i] = source;
	}
	return 0;
}

/* Frees those of `old` that are not in `other`, and the array. */
static void
drop_sources(struct sources_of *old, const struct sources_of *other)
{
	for (size_t i = 0; i < old->count; i++) {
		size_t k = 0;

		while (k < other->count && other->items[k] != old->items[i])
			k++;
		if (k == other->count)
			free_source(&old->items[i]);
	}
	mem_freep(&old->items);
	old->count = 0;
}

/* ---- reload -------------------------------------------------------------------------------- */

static bool
needs_names(const struct conf *conf)
{
	for (size_t i = 0; i < conf->upstream_count; i++) {
		for (size_t k = 0; k < conf->upstreams[i]->server_count; k++) {
			if (is_name(conf->upstreams[i]->servers[k]->address))
				return true;
		}
	}
	return false;
}

static int
prepare_resolver(struct upstreams *upstreams, const struct conf *conf, struct errmsg *err)
{
	if (upstreams->resolver != NULL)
		return resolver_configure(upstreams->resolver, &conf->resolver, err);
	if (!needs_names(conf))
		return 0;
	return resolver_new(upstreams->loop, &conf->resolver, &upstreams->resolver, err);
}

static int
prepare_group(struct upstreams *upstreams, const struct conf_upstream *conf)
{
	struct plan *plan = &upstreams->plans[upstreams->plan_count];
	struct group *group = find_group(upstreams, conf->name);
	int rc;

	if (group == NULL)
		group = new_group(upstreams, conf->name);
	if (group == NULL)
		return -ENOMEM;
	*plan = (struct plan){.group = group, .conf = conf};
	upstreams->plan_count++;
	rc = plan_sources(plan);
	return rc < 0 ? rc : plan_build(plan);
}

/* Those that were in force have been before, so this fails only without memory: then the new ones stay. */
static void
revert_resolver(struct upstreams *upstreams)
{
	struct errmsg err;

	if (upstreams->resolver == NULL || upstreams->conf == NULL)
		return;
	if (resolver_configure(upstreams->resolver, &upstreams->conf->resolver, &err) < 0)
		log_warning(LOG_EVENT_NONE, "resolver: cannot go back to its old settings: %s, ignoring", err.text);
}

void
upstreams_revert(struct upstreams *upstreams)
{
	if (upstreams->next_conf == NULL)
		return;
	for (size_t i = 0; i < upstreams->plan_count; i++) {
		struct plan *plan = &upstreams->plans[i];

		plan_drop(&plan->change);
		drop_sources(&plan->sources, &plan->group->sources);
		if (plan->group->conf == NULL)
			free_group(&plan->group);
	}
	mem_freep(&upstreams->plans);
	upstreams->plan_count = 0;
	revert_resolver(upstreams);
	conf_unref(&upstreams->next_conf);
	rebuild_late(upstreams);
}

int
upstreams_prepare(struct upstreams *upstreams, struct conf *conf, struct errmsg *err)
{
	int rc;

	CP_ASSERT(upstreams->next_conf == NULL);
	upstreams->next_conf = conf_ref(conf);
	upstreams->last_plan++;
	rc = prepare_resolver(upstreams, conf, err);
	if (rc < 0)
		goto fail;
	upstreams->plans = mem_zalloc_array(conf->upstream_count, sizeof(upstreams->plans[0]));
	rc = upstreams->plans != NULL ? 0 : -ENOMEM;
	for (size_t i = 0; rc == 0 && i < conf->upstream_count; i++) {
		rc = prepare_group(upstreams, conf->upstreams[i]);
		if (rc < 0)
			errmsg_set(err, "upstream '%s': %s", conf->upstreams[i]->name, errmsg_errno(rc));
	}
	if (upstreams->plans == NULL)
		errmsg_set(err, "upstreams: %s", errmsg_errno(rc));
	if (rc == 0)
		return 0;
fail:
	upstreams_revert(upstreams);
	return rc;
}

static void
commit_group(struct upstreams *upstreams, struct plan *plan)
{
	struct group *group = plan->group;

	group->plan = upstreams->last_plan;
	if (group->conf == NULL)
		list_push_back(&upstreams->groups, &group->link);
	drop_sources(&group->sources, &plan->sources);
	group->sources = plan->sources;
	group->conf = plan->conf;
	plan_apply(plan);
}

void
upstreams_commit(struct upstreams *upstreams)
{
	struct list *link;
	struct list *following;

	CP_ASSERT(upstreams->next_conf != NULL);
	for (size_t i = 0; i < upstreams->plan_count; i++)
		commit_group(upstreams, &upstreams->plans[i]);
	LIST_FOREACH (&upstreams->groups, link, following) {
		struct group *group = CP_CONTAINER_OF(link, struct group, link);

		if (group->plan != upstreams->last_plan)
			free_group(&group);
	}
	mem_freep(&upstreams->plans);
	upstreams->plan_count = 0;
	conf_unref(&upstreams->conf);
	upstreams->conf = upstreams->next_conf;
	upstreams->next_conf = NULL;
	rebuild_late(upstreams);
	timer_set(&upstreams->loop->wheel, &upstreams->tick, 0);
}

/* ---- the timer ------------------------------------------------------------------------------- */

/* Tries servers again whose time has come, and keeps ready connections; set only while there is something to do. */
static void
tend(struct upstreams *upstreams)
{
	uint64_t now_ns = clock_now_ns();
	uint64_t next_ns = UINT64_MAX;
	struct list *link;
	struct list *following;

	LIST_FOREACH (&upstreams->groups, link, following) {
		struct upstream *upstream = CP_CONTAINER_OF(link, struct group, link)->upstream;
		uint64_t retry_ns;

		for (size_t i = 0; i < upstream->server_count; i++) {
			if (server_tend_ready(upstream->servers[i], now_ns))
				next_ns = next_ns < now_ns + TEND_MS * CLOCK_NS_PER_MS
						  ? next_ns
						  : now_ns + TEND_MS * CLOCK_NS_PER_MS;
		}
		retry_ns = upstream_retry(upstream, now_ns);
		next_ns = next_ns < retry_ns ? next_ns : retry_ns;
	}
	if (next_ns != UINT64_MAX)
		timer_set(&upstreams->loop->wheel, &upstreams->tick, next_ns / CLOCK_NS_PER_MS + 1);
}

static void
on_tick(struct timer *timer)
{
	tend(CP_CONTAINER_OF(timer, struct upstreams, tick));
}

static void
on_retry(struct loop *loop, struct task *task)
{
	(void)loop;
	tend(CP_CONTAINER_OF(task, struct upstreams, retry_task));
}

/* ---- status ---------------------------------------------------------------------------------- */

static void
take_status(struct upstream *upstream, const struct server *server, struct upstream_status *ret_status)
{
	lock_acquire(&upstream->lock);
	*ret_status = (struct upstream_status){
		.group = upstream->name,
		.queued = upstream->waiting_count,
		.queue_timeouts = upstream->queue_timeouts,
		.refused_full = upstream->refused_full,
		.refused_down = upstream->refused_down,
	};
	if (server != NULL) {
		ret_status->server = server->name;
		ret_status->origin = server->origin;
		ret_status->state = server->state;
		ret_status->backup = server->settings.backup;
		ret_status->weight = server->settings.weight;
		ret_status->max_connections = server_limit_locked(server);
		ret_status->active = server->active;
		ret_status->ready = server->ready;
		ret_status->connects = atomic_load_explicit(&server->connects, memory_order_relaxed);
		ret_status->connects_failed = atomic_load_explicit(&server->connects_failed, memory_order_relaxed);
	}
	lock_release(&upstream->lock);
}

void
upstreams_foreach_server(struct upstreams *upstreams, upstream_status_fn *fn, void *arg)
{
	struct list *link;
	struct list *following;

	LIST_FOREACH (&upstreams->groups, link, following) {
		struct upstream *upstream = CP_CONTAINER_OF(link, struct group, link)->upstream;
		struct upstream_status status;

		for (size_t i = 0; i < upstream->server_count; i++) {
			take_status(upstream, upstream->servers[i], &status);
			fn(arg, &status);
		}
		if (upstream->server_count == 0) {
			take_status(upstream, NULL, &status);
			fn(arg, &status);
		}
	}
}
