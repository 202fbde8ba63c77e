/* SPDX-License-Identifier: MIT */
/*
 * upstreams_plan.c - a group as the config and the answers of its names want it: which servers, which settings, which
 * checks. Main thread only; it never waits.
 */
#include "config.h"

#include "upstream/upstreams_plan.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "upstream/check.h"

static struct upstream_settings
settings_of(const struct conf_upstream *conf, const struct sources_of *sources)
{
	struct upstream_settings settings = {
		.balance = conf->balance,
		.connect_timeout_ms = conf->connect_timeout_ms,
		.retries = conf->retries,
		.queue_size = conf->queue_size,
		.queue_timeout_ms = conf->queue_timeout_ms,
		.wait_for_upstream_ms = conf->wait_for_upstream_ms,
		.slow_start_ms = conf->slow_start_ms,
		.max_failures = conf->max_failures,
		.retry_after_ms = conf->retry_after_ms,
		.check_rise = conf->check_rise,
		.check_fall = conf->check_fall,
	};

	for (size_t i = 0; i < sources->count; i++)
		settings.names_pending += sources->items[i] != NULL && !sources->items[i]->is_known;
	return settings;
}

/* resolved: what the line stands for; NULL: what it says. */
static struct server_settings
server_settings_of(const struct conf_upstream *conf, const struct conf_server *line, const struct resolved *resolved)
{
	return (struct server_settings){
		.weight = line->weight * (resolved != NULL && resolved->weight > 0 ? resolved->weight : 1),
		.backup = line->backup || (resolved != NULL && resolved->backup),
		.maintenance = line->maintenance,
		.is_checked = conf->check != CONF_CHECK_NONE && !line->maintenance,
		.has_agent = conf->agent_port != 0 && !line->maintenance,
		.max_connections = line->max_connections,
		.ready_connections = line->ready_connections,
		.send_proxy = line->send_proxy,
	};
}

/* One in force that no line of this plan has yet. */
static struct server *
find_server(const struct upstream *upstream, const char *name, const char *origin, uint64_t plan)
{
	for (size_t i = 0; i < upstream->server_count; i++) {
		struct server *server = upstream->servers[i];

		if (server->plan != plan && strcmp(server->name, name) == 0 && strcmp(server->origin, origin) == 0)
			return server;
	}
	return NULL;
}

/* Adds the server at address to the change, the one in force or a new one, with the check it will need. */
static int
add_server(struct plan *plan, const struct conf_server *line, const char *name, const struct server_address *address,
	const struct resolved *resolved)
{
	struct upstream *upstream = plan->group->upstream;
	struct upstreams *upstreams = plan->group->upstreams;
	struct upstream_change *change = &plan->change;
	struct server_settings settings = server_settings_of(plan->conf, line, resolved);
	struct server *server = find_server(upstream, name, line->address->text, upstreams->last_plan);
	/* A server in maintenance gets no connections, and so no checks. */
	bool is_wanted = !line->maintenance && (plan->conf->check != CONF_CHECK_NONE || plan->conf->agent_port != 0);

	if (server == NULL) {
		server = server_new(upstream, name, line->address->text, address, &settings);
		if (server == NULL)
			return -ENOMEM;
		server->is_new = true;
	}
	server->plan = upstreams->last_plan;
	server->is_check_wanted = is_wanted;
	change->server_settings[change->count] = settings;
	change->servers[change->count++] = server;
	if (!is_wanted || server->check != NULL)
		return 0;
	server->next_check = check_new(upstreams->loop, server, plan->conf);
	return server->next_check != NULL ? 0 : -ENOMEM;
}

static int
add_written(struct plan *plan, const struct conf_server *line)
{
	struct server_address address = {.length = 0};
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	struct addrinfo *found;
	char port[8];
	int rc;

	if (line->address->kind == ADDRESS_UNIX) {
		rc = address_to_unix(line->address, (struct sockaddr_un *)&address.storage, &address.length);
		return rc < 0 ? rc : add_server(plan, line, line->address->text, &address, NULL);
	}
	snprintf(port, sizeof(port), "%u", line->address->port);
	rc = getaddrinfo(line->address->host, port, &hints, &found);
	if (rc != 0)
		return rc == EAI_MEMORY ? -ENOMEM : -EINVAL;
	memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
	address.length = found->ai_addrlen;
	freeaddrinfo(found);
	return add_server(plan, line, line->address->text, &address, NULL);
}

static int
add_resolved(struct plan *plan, const struct conf_server *line, const struct source *source)
{
	for (size_t i = 0; i < source->count; i++) {
		const struct resolved *resolved = &source->items[i];
		char text[ADDRESS_TEXT_MAX];
		char name[ADDRESS_TEXT_MAX + 4];
		struct peer peer;
		int rc;

		peer_from_sockaddr(&peer, &resolved->address.sa, resolved->address.length);
		snprintf(name, sizeof(name), "tcp:%s", peer_format(&peer, text));
		rc = add_server(plan, line, name, &resolved->address, resolved);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int
plan_build(struct plan *plan)
{
	const struct conf_upstream *conf = plan->conf;
	size_t count = 0;
	int rc = 0;

	for (size_t i = 0; i < conf->server_count; i++)
		count += plan->sources.items[i] != NULL ? plan->sources.items[i]->count : 1;
	plan->change = (struct upstream_change){.settings = settings_of(conf, &plan->sources)};
	plan->change.servers = mem_zalloc_array(count, sizeof(plan->change.servers[0]));
	plan->change.server_settings = mem_zalloc_array(count, sizeof(plan->change.server_settings[0]));
	if (plan->change.servers == NULL || plan->change.server_settings == NULL)
		return -ENOMEM;
	for (size_t i = 0; rc == 0 && i < conf->server_count; i++) {
		if (plan->sources.items[i] != NULL)
			rc = add_resolved(plan, conf->servers[i], plan->sources.items[i]);
		else
			rc = add_written(plan, conf->servers[i]);
	}
	return rc;
}

void
plan_drop(struct upstream_change *change)
{
	for (size_t i = 0; i < change->count; i++) {
		check_free(&change->servers[i]->next_check);
		if (change->servers[i]->is_new)
			server_put(change->servers[i]);
	}
	mem_freep(&change->servers);
	mem_freep(&change->server_settings);
	change->count = 0;
}

/* A check that can't have its new settings goes on with the old ones. */
static void
switch_check(struct server *server, const struct conf_upstream *conf)
{
	if (server->next_check != NULL) {
		server->check = server->next_check;
		server->next_check = NULL;
	} else if (!server->is_check_wanted) {
		check_free(&server->check);
	} else if (check_configure(server->check, conf) < 0) {
		log_warning(LOG_EVENT_NONE,
			"upstream '%s': server %s: out of memory, keeping the old settings of its check", conf->name,
			server->name);
	}
}

void
plan_apply(struct plan *plan)
{
	struct upstream *upstream = plan->group->upstream;
	uint64_t last_plan = plan->group->upstreams->last_plan;

	for (size_t i = 0; i < upstream->server_count; i++) {
		if (upstream->servers[i]->plan != last_plan)
			check_free(&upstream->servers[i]->check);
	}
	for (size_t i = 0; i < plan->change.count; i++) {
		switch_check(plan->change.servers[i], plan->conf);
		plan->change.servers[i]->is_new = false;
	}
	upstream_apply(upstream, &plan->change, clock_now_ns());
}
