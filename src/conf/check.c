/* SPDX-License-Identifier: MIT */
/*
 * check - the values of all files held against each other and against the machine.
 *
 * The last step of a load. It runs on what could be read, also when there were errors: a fault is reported if it is
 * one whatever the unread parts say. The only place that asks the machine about users and CPUs.
 */
#include "config.h"

#include "conf/check.h"

#include <grp.h>
#include <inttypes.h>
#include <net/if.h>
#include <pwd.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cidr.h"
#include "conf/option.h"
#include "conf/options.h"
#include "conf/reader.h"
#include "conf/suggest.h"

struct check_option
check_find_option(
	const struct conf_loading *loading, const struct conf_listener *listener, const char *name, size_t element)
{
	const struct conf_place *place = loading_find_place(loading, listener, name, element);
	struct check_option option = {.place = {.file = listener->file, .line = listener->line}};
	unsigned number = 0;

	if (place != NULL)
		option.place = *place;
	for (unsigned i = 0; i < listener->index; i++)
		number += loading->conf->listeners[i]->file == listener->file;
	snprintf(option.key, sizeof(option.key), "listeners.(%u).%s", number, name);
	return option;
}

/* ---- pools ------------------------------------------------------------------- */

static unsigned
count_cpus(void)
{
	cpu_set_t set;
	long online;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		return (unsigned)CPU_COUNT(&set);
	/* More CPUs than the set has room for. */
	online = sysconf(_SC_NPROCESSORS_ONLN);
	if (online < 1)
		return 1;
	return online > CONF_WORKERS_MAX ? CONF_WORKERS_MAX : (unsigned)online;
}

static void
resolve_workers(struct conf *conf)
{
	for (size_t i = 0; i < conf->pool_count; i++) {
		struct conf_pool *pool = conf->pools[i];

		pool->workers = pool->workers_written != 0 ? pool->workers_written : count_cpus();
	}
}

static void
report_unknown_pool(struct conf_loading *loading, const struct conf_listener *listener)
{
	const struct check_option option = check_find_option(loading, listener, "pool", 0);
	const struct conf *conf = loading->conf;
	struct suggestion suggestion;
	char known[512] = CONF_POOL_MAIN;
	const char *meant;

	suggestion_init(&suggestion, listener->pool_name);
	suggestion_offer(&suggestion, CONF_POOL_MAIN);
	for (size_t i = 0; i < conf->pool_count; i++) {
		size_t used = strlen(known);

		suggestion_offer(&suggestion, conf->pools[i]->name);
		if (strcmp(conf->pools[i]->name, CONF_POOL_MAIN) != 0)
			snprintf(known + used, sizeof(known) - used, ", %s", conf->pools[i]->name);
	}
	meant = suggestion_get(&suggestion);
	if (meant != NULL)
		check_report(loading, &option, "there is no pool \"%s\", did you mean '%s'? expected one of: %s",
			listener->pool_name, meant, known);
	else
		check_report(
			loading, &option, "there is no pool \"%s\", expected one of: %s", listener->pool_name, known);
}

static void
resolve_pools(struct conf_loading *loading)
{
	const struct conf *conf = loading->conf;

	for (size_t i = 0; i < conf->listener_count; i++) {
		struct conf_listener *listener = conf->listeners[i];

		listener->pool = conf_find_pool(conf, listener->pool_name);
		/* In a file that could not be read there may be more pools. */
		if (listener->pool == NULL && !loading->is_incomplete)
			report_unknown_pool(loading, listener);
	}
}

/* ---- users ------------------------------------------------------------------- */

static void
check_user(
	struct conf_loading *loading, const char *name, const struct conf_place *place, const char *key, uid_t *ret_uid)
{
	const struct passwd *user = name != NULL ? getpwnam(name) : NULL;

	if (user != NULL)
		*ret_uid = user->pw_uid;
	else if (name != NULL)
		report_at(loading, place, key, "there is no user \"%s\", expected one that this machine has", name);
}

static void
check_group(
	struct conf_loading *loading, const char *name, const struct conf_place *place, const char *key, gid_t *ret_gid)
{
	const struct group *group = name != NULL ? getgrnam(name) : NULL;

	if (group != NULL)
		*ret_gid = group->gr_gid;
	else if (name != NULL)
		report_at(loading, place, key, "there is no group \"%s\", expected one that this machine has", name);
}

static void
check_daemon(struct conf_loading *loading)
{
	const struct conf_daemon *daemon = &loading->conf->daemon;
	const struct conf_place *user = loading_find_place(loading, daemon, "user", 0);
	const struct conf_place *group = loading_find_place(loading, daemon, "group", 0);
	uid_t uid;
	gid_t gid;

	if (user != NULL)
		check_user(loading, daemon->user, user, "daemon.user", &uid);
	if (group != NULL)
		check_group(loading, daemon->group, group, "daemon.group", &gid);
}

/* ---- listeners --------------------------------------------------------------- */

static void
check_listener_name(struct conf_loading *loading, const struct conf_listener *listener)
{
	const struct conf_listener *first = conf_find_listener(loading->conf, listener->name);
	struct check_option option;

	if (first == listener && reader_is_name(listener->name))
		return;
	option = check_find_option(loading, listener, "name", 0);
	if (!reader_is_name(listener->name))
		reader_report_name(loading, listener->name, option.place.file, option.place.line, option.key);
	else
		check_report(loading, &option, "is a second listener \"%s\", the first stands at %s:%u", listener->name,
			first->file, first->line);
}

static bool
is_same_network(const struct cidr *a, const struct cidr *b)
{
	return a->family == b->family && a->prefix_bits == b->prefix_bits &&
	       memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static void
check_networks(struct conf_loading *loading, const struct conf_listener *listener)
{
	for (size_t i = 0; i < listener->deny.count; i++) {
		for (size_t j = 0; j < listener->allow.count; j++) {
			char text[CIDR_TEXT_MAX];

			if (!is_same_network(&listener->deny.items[i], &listener->allow.items[j]))
				continue;
			const struct check_option deny = check_find_option(loading, listener, "deny", i);
			const struct check_option allow = check_find_option(loading, listener, "allow", j);

			check_report(loading, &deny, "%s stands in allow too (%s:%u), expected it in one of them",
				cidr_format(&listener->deny.items[i], text), allow.place.file, allow.place.line);
			break;
		}
	}
}

static void
check_socket_options(struct conf_loading *loading, struct conf_listener *listener)
{
	const char *device = listener->bind_to_device;
	struct check_option option;

	if (listener->defer_accept_ms % 1000 != 0) {
		option = check_find_option(loading, listener, "defer_accept", 0);
		check_report(loading, &option, "%" PRIu64 "ms is too fine, expected whole seconds",
			listener->defer_accept_ms);
	}
	if (device != NULL && (device[0] == '\0' || strlen(device) >= IFNAMSIZ)) {
		option = check_find_option(loading, listener, "bind_to_device", 0);
		check_report(loading, &option, "\"%s\" is no interface, expected a name of 1 to %d letters", device,
			IFNAMSIZ - 1);
	}
	if (listener->socket_user != NULL) {
		option = check_find_option(loading, listener, "socket_user", 0);
		check_user(loading, listener->socket_user, &option.place, option.key, &listener->socket_uid);
	}
	if (listener->socket_group != NULL) {
		option = check_find_option(loading, listener, "socket_group", 0);
		check_group(loading, listener->socket_group, &option.place, option.key, &listener->socket_gid);
	}
}

static void
check_service(struct conf_loading *loading, const struct conf_listener *listener)
{
	const struct conf_service *service = &listener->service;
	const struct conf_service_checker checker = {.loading = loading, .listener = listener};

	if (service->type != NULL && service->options != NULL && service->type->check != NULL)
		service->type->check(service->options, &checker);
}

void
conf_service_fault(
	const struct conf_service_checker *checker, const char *option_name, size_t element, const char *fmt, ...)
{
	struct conf_loading *loading = checker->loading;
	const struct conf_listener *listener = checker->listener;
	struct check_option option = check_find_option(loading, listener, "service", 0);
	const struct conf_place *place = loading_find_place(loading, listener->service.options, option_name, element);
	size_t used = strlen(option.key);
	char text[512];
	va_list args;

	if (place != NULL)
		option.place = *place;
	snprintf(option.key + used, sizeof(option.key) - used, ".%s", option_name);
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	check_report(loading, &option, "%s", text);
}

static void
check_listeners(struct conf_loading *loading)
{
	const struct conf *conf = loading->conf;

	for (size_t i = 0; i < conf->listener_count; i++) {
		struct conf_listener *listener = conf->listeners[i];

		if (listener->name != NULL)
			check_listener_name(loading, listener);
		check_networks(loading, listener);
		check_socket_options(loading, listener);
		check_service(loading, listener);
	}
	if (conf->listener_count == 0 && !loading->is_incomplete)
		report(loading, conf->files[0], 0, "listeners", "nothing to serve, expected at least one listener");
}

void
check_conf(struct conf_loading *loading)
{
	check_daemon(loading);
	resolve_workers(loading->conf);
	resolve_pools(loading);
	check_listeners(loading);
	check_addresses(loading);
	check_upstreams(loading);
}
