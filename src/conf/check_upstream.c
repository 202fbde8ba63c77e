/* SPDX-License-Identifier: MIT */
/*
 * check_upstream - upstreams, the resolver, and what listeners say about proxies on either side of them.
 *
 * What would otherwise only show when a client comes: a server that stands twice, a check that needs a port where there
 * is none, a name of no upstream, a header that is taken from anybody. Names are not looked up.
 */
#include "config.h"

#include "conf/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/mem.h"
#include "base/units.h"
#include "conf/option.h"
#include "conf/options.h"
#include "conf/suggest.h"

/* ---- places ------------------------------------------------------------------ */

static struct check_option
find_upstream_option(const struct conf_loading *loading, const struct conf_upstream *upstream, const char *name)
{
	const struct conf_place *place = loading_find_place(loading, upstream, name, 0);
	struct check_option option = {.place = {.file = upstream->file, .line = upstream->line}};

	if (place != NULL)
		option.place = *place;
	snprintf(option.key, sizeof(option.key), "upstreams.%.*s.%s", CONF_NAME_MAX, upstream->name, name);
	return option;
}

static struct check_option
find_server_option(
	const struct conf_loading *loading, const struct conf_upstream *upstream, size_t number, const char *name)
{
	const struct conf_server *server = upstream->servers[number];
	const struct conf_place *place = loading_find_place(loading, server, name, 0);
	struct check_option option = {.place = {.file = server->file, .line = server->line}};

	if (place != NULL)
		option.place = *place;
	snprintf(option.key, sizeof(option.key), "upstreams.%.*s.servers.(%zu).%s", CONF_NAME_MAX, upstream->name,
		number, name);
	return option;
}

/* ---- upstreams --------------------------------------------------------------- */

/* A server with its place in the list. */
struct numbered {
	const struct address *address;
	size_t number;
};

static int
compare_numbered(const void *left, const void *right)
{
	const struct numbered *a = left;
	const struct numbered *b = right;
	int order = strcmp(a->address->text, b->address->text);

	if (order != 0)
		return order;
	return a->number < b->number ? -1 : 1;
}

/* They are told apart by their addresses, at a reload and in the log. */
static void
check_twice(struct conf_loading *loading, const struct conf_upstream *upstream)
{
	struct numbered *servers = mem_zalloc_array(upstream->server_count, sizeof(*servers));
	size_t count = 0;

	if (servers == NULL) {
		report_no_memory(loading);
		return;
	}
	for (size_t i = 0; i < upstream->server_count; i++) {
		/* An address is missing only while a load that will fail goes on. */
		if (upstream->servers[i]->address != NULL)
			servers[count++] = (struct numbered){upstream->servers[i]->address, i};
	}
	qsort(servers, count, sizeof(*servers), compare_numbered);
	for (size_t first = 0, i = 1; i < count; i++) {
		if (strcmp(servers[first].address->text, servers[i].address->text) != 0) {
			first = i;
			continue;
		}
		const struct check_option here = find_server_option(loading, upstream, servers[i].number, "address");
		const struct check_option there =
			find_server_option(loading, upstream, servers[first].number, "address");

		check_report(loading, &here, "\"%s\" stands twice, first at %s:%u, expected each server once",
			servers[i].address->text, there.place.file, there.place.line);
	}
	mem_free(servers);
}

/* A port of another kind than the server's own address has. */
static void
check_unix_server(struct conf_loading *loading, const struct conf_upstream *upstream, size_t number)
{
	const struct check_option option = find_server_option(loading, upstream, number, "address");
	const char *text = upstream->servers[number]->address->text;

	if (upstream->agent_port != 0)
		check_report(loading, &option,
			"\"%s\" has no port for an agent, expected tcp: with agent_port = %" PRIu64, text,
			upstream->agent_port);
	if (upstream->check_port != 0)
		check_report(loading, &option,
			"\"%s\" is checked at its own socket, expected tcp: with check_port = %" PRIu64, text,
			upstream->check_port);
}

static void
check_servers(struct conf_loading *loading, const struct conf_upstream *upstream)
{
	check_twice(loading, upstream);
	for (size_t i = 0; i < upstream->server_count; i++) {
		const struct conf_server *server = upstream->servers[i];

		if (server->address != NULL && server->address->kind == ADDRESS_UNIX)
			check_unix_server(loading, upstream, i);
		if (server->max_connections > 0 && server->ready_connections > server->max_connections) {
			const struct check_option option =
				find_server_option(loading, upstream, i, "ready_connections");

			check_report(loading, &option,
				"%" PRIu64 " are more than max_connections, expected 0 to %" PRIu64,
				server->ready_connections, server->max_connections);
		}
	}
}

/* What belongs to checks and to agents has no use without them: somebody believes that servers are looked after. */
static void
check_health(struct conf_loading *loading, const struct conf_upstream *upstream)
{
	const struct {
		const char *name;
		bool is_idle;
		const char *expected;
	} options[] = {
		{"check_port", upstream->check_port != 0 && upstream->check == CONF_CHECK_NONE, "check = \"connect\""},
		{"check_send", upstream->check_send != NULL && upstream->check == CONF_CHECK_NONE,
			"check = \"connect\""},
		{"check_expect", upstream->check_expect != NULL && upstream->check == CONF_CHECK_NONE,
			"check = \"connect\""},
		{"agent_send", upstream->agent_send != NULL && upstream->agent_port == 0, "an agent_port"},
	};

	for (size_t i = 0; i < CP_COUNT(options); i++) {
		if (!options[i].is_idle)
			continue;
		const struct check_option option = find_upstream_option(loading, upstream, options[i].name);

		check_report(loading, &option, "has no use by itself, expected %s with it", options[i].expected);
	}
}

/* ---- resolver ---------------------------------------------------------------- */

/* "ADDRESS", "ADDRESS:PORT" or "[V6]:PORT". -ENOMEM leaves it undecided. */
static int
check_name_server(const char *text)
{
	struct in6_addr bytes;
	struct address address;
	char *full;
	int r;

	if (inet_pton(AF_INET, text, &bytes) == 1 || inet_pton(AF_INET6, text, &bytes) == 1)
		return 0;
	full = mem_printf("tcp:%s", text);
	if (full == NULL)
		return -ENOMEM;
	r = address_parse_server(&address, full, NULL);
	mem_free(full);
	if (r < 0)
		return r;
	/* Its name would have to be looked up, and at whom? */
	if (inet_pton(AF_INET, address.host, &bytes) != 1 && inet_pton(AF_INET6, address.host, &bytes) != 1)
		r = -EINVAL;
	address_fini(&address);
	return r;
}

static void
check_resolver(struct conf_loading *loading)
{
	const struct conf_resolver *resolver = &loading->conf->resolver;
	char min[UNITS_TEXT_MAX];
	char max[UNITS_TEXT_MAX];

	for (size_t i = 0; i < resolver->servers.count; i++) {
		const struct conf_place *place = loading_find_place(loading, resolver, "servers", i);
		int r = check_name_server(resolver->servers.items[i]);

		if (r == -ENOMEM)
			report_no_memory(loading);
		else if (r < 0 && place != NULL)
			report_at(loading, place, "resolver.servers",
				"\"%s\" is no name server, expected ADDRESS, ADDRESS:PORT or [V6]:PORT in numbers",
				resolver->servers.items[i]);
	}
	if (resolver->min_ttl_ms > resolver->max_ttl_ms) {
		const struct conf_place *place = loading_find_place(loading, resolver, "min_ttl", 0);

		if (place == NULL)
			place = loading_find_place(loading, resolver, "max_ttl", 0);
		if (place != NULL)
			report_at(loading, place, "resolver.min_ttl",
				"\"%s\" is more than max_ttl, expected \"%s\" at most",
				units_format_time(resolver->min_ttl_ms, min),
				units_format_time(resolver->max_ttl_ms, max));
	}
}

/* ---- listeners --------------------------------------------------------------- */

static void
report_unknown_upstream(struct conf_loading *loading, const struct check_option *option, const char *name)
{
	const struct conf *conf = loading->conf;
	struct suggestion suggestion;
	char known[512] = "";
	const char *meant;

	suggestion_init(&suggestion, name);
	for (size_t i = 0; i < conf->upstream_count; i++) {
		size_t used = strlen(known);

		suggestion_offer(&suggestion, conf->upstreams[i]->name);
		snprintf(known + used, sizeof(known) - used, "%s%s", i > 0 ? ", " : "", conf->upstreams[i]->name);
	}
	meant = suggestion_get(&suggestion);
	if (conf->upstream_count == 0)
		check_report(loading, option,
			"there is no upstream \"%s\", expected a section upstreams: { %s: { … }; };", name, name);
	else if (meant != NULL)
		check_report(loading, option, "there is no upstream \"%s\", did you mean '%s'? expected one of: %s",
			name, meant, known);
	else
		check_report(loading, option, "there is no upstream \"%s\", expected one of: %s", name, known);
}

/* Wherever a service's section names an upstream. */
static void
check_service(struct conf_loading *loading, const struct conf_listener *listener)
{
	const struct conf_service *service = &listener->service;
	const struct option *row;

	if (service->type == NULL || service->options == NULL)
		return;
	OPTION_FOREACH (service->group, row) {
		const char *name;

		if (row->type != OPTION_UPSTREAM)
			continue;
		name = *(char *const *)option_field_const(row, service->options);
		if (name == NULL || conf_find_upstream(loading->conf, name) != NULL)
			continue;
		struct check_option option = check_find_option(loading, listener, "service", 0);
		const struct conf_place *place = loading_find_place(loading, service->options, row->name, 0);
		size_t used = strlen(option.key);

		if (place != NULL)
			option.place = *place;
		snprintf(option.key + used, sizeof(option.key) - used, ".%s", row->name);
		report_unknown_upstream(loading, &option, name);
	}
}

static void
check_proxies(struct conf_loading *loading, const struct conf_listener *listener)
{
	bool is_trusting = listener->trusted_proxies.count > 0;
	struct check_option option;

	if (is_trusting && !listener->accept_proxy) {
		option = check_find_option(loading, listener, "trusted_proxies", 0);
		check_report(loading, &option, "has no use by itself, expected accept_proxy = true with it");
	}
	if (!listener->accept_proxy || is_trusting)
		return;
	for (size_t i = 0; i < listener->addresses.count; i++) {
		/* Who may connect to a unix: socket is decided by its file. */
		if (listener->addresses.items[i].kind != ADDRESS_TCP)
			continue;
		option = check_find_option(loading, listener, "accept_proxy", 0);
		check_report(loading, &option,
			"anybody could claim any address at \"%s\", expected trusted_proxies = [ \"NETWORK\", … ] with "
			"the proxies in front",
			listener->addresses.items[i].text);
		return;
	}
}

void
check_upstreams(struct conf_loading *loading)
{
	const struct conf *conf = loading->conf;

	check_resolver(loading);
	for (size_t i = 0; i < conf->upstream_count; i++) {
		check_servers(loading, conf->upstreams[i]);
		check_health(loading, conf->upstreams[i]);
	}
	for (size_t i = 0; i < conf->listener_count; i++) {
		check_proxies(loading, conf->listeners[i]);
		/* In a file that could not be read there may be more upstreams. */
		if (!loading->is_incomplete)
			check_service(loading, conf->listeners[i]);
	}
}
