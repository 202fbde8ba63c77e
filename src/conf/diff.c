/* SPDX-License-Identifier: MIT */
/*
 * diff - compares two generations row by row.
 *
 * Called by a reload on the main thread, before it switches over. The rows decide what is compared and what is said
 * about when it takes effect; pools, upstreams and listeners are the same when their names are, servers when their
 * addresses are. It changes neither generation.
 */
#include "config.h"

#include "conf/diff.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "conf/dump.h"
#include "conf/options.h"

/* A longer value is not worth a line of the log. */
#define VALUE_MAX 100

/* ---- lines ------------------------------------------------------------------- */

/* Takes line (NULL: no memory). 0 or -ENOMEM. */
static int
add_line(struct conf_diff *diff, char *line)
{
	char **grown;

	if (line == NULL)
		return -ENOMEM;
	grown = mem_realloc_array(diff->lines, diff->count + 1, sizeof(*grown));
	if (grown == NULL) {
		mem_free(line);
		return -ENOMEM;
	}
	diff->lines = grown;
	diff->lines[diff->count++] = line;
	return 0;
}

static const char *
effect(enum option_reload reload)
{
	switch (reload) {
	case OPTION_LIVE:
		return "";
	case OPTION_NEW_CONNECTIONS:
		return ", for new connections";
	case OPTION_NEW_SOCKETS:
		return ", open sockets keep the old value";
	case OPTION_RESTART:
		return ", takes effect at the next restart";
	}
	return "";
}

/* The value as text, cut beyond what a line shows; 0 or -ENOMEM. */
static int
format_value(const struct option *row, const void *field, char buf[VALUE_MAX + 2])
{
	char *text = NULL;
	size_t length = 0;
	/* The one thing here that allocates beside mem.h: the dump writes to streams. */
	FILE *stream = open_memstream(&text, &length);

	if (stream == NULL)
		return -ENOMEM;
	conf_dump_value(row, field, stream);
	if (fclose(stream) != 0) {
		free(text);
		return -ENOMEM;
	}
	snprintf(buf, VALUE_MAX + 2, "%s", text);
	free(text);
	return 0;
}

/* prefix and separator stand around the row's name: "daemon." and ":", "pool 'main': " and "". */
static int
add_change(struct conf_diff *diff, const char *prefix, const char *separator, const struct option *row,
	const void *before, const void *after)
{
	char old_text[VALUE_MAX + 2];
	char new_text[VALUE_MAX + 2];

	if (format_value(row, before, old_text) < 0 || format_value(row, after, new_text) < 0)
		return -ENOMEM;
	/* A service that says what it said: another module stands behind it now. */
	if (strlen(old_text) > VALUE_MAX || strlen(new_text) > VALUE_MAX || strcmp(old_text, new_text) == 0)
		return add_line(
			diff, mem_printf("%s%s%s changed%s", prefix, row->name, separator, effect(row->reload)));
	return add_line(diff,
		mem_printf("%s%s%s %s -> %s%s", prefix, row->name, separator, old_text, new_text, effect(row->reload)));
}

/* ---- groups ------------------------------------------------------------------ */

static int
compare_group(struct conf_diff *diff, const struct option_group *group, const char *prefix, const char *separator,
	const void *before, const void *after)
{
	const struct option *row;

	OPTION_FOREACH (group, row) {
		const void *old_field = option_field_const(row, before);
		const void *new_field = option_field_const(row, after);

		if (!option_is_equal(row, old_field, new_field) &&
			add_change(diff, prefix, separator, row, old_field, new_field) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int
compare_pools(struct conf_diff *diff, const struct conf *before, const struct conf *after)
{
	char prefix[CONF_NAME_MAX + 16];

	for (size_t i = 0; i < after->pool_count; i++) {
		const struct conf_pool *pool = after->pools[i];
		const struct conf_pool *old = conf_find_pool(before, pool->name);

		snprintf(prefix, sizeof(prefix), "pool '%s': ", pool->name);
		if (old == NULL ? add_line(diff, mem_printf("%sadded", prefix)) < 0
				: compare_group(diff, &conf_group_pool, prefix, "", old, pool) < 0)
			return -ENOMEM;
	}
	for (size_t i = 0; i < before->pool_count; i++) {
		const struct conf_pool *pool = before->pools[i];

		if (conf_find_pool(after, pool->name) == NULL &&
			add_line(diff, mem_printf("pool '%s': removed", pool->name)) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* Borrowed; NULL when there is none. */
static const struct conf_server *
find_server(const struct conf_upstream *upstream, const struct address *address)
{
	for (size_t i = 0; i < upstream->server_count; i++) {
		if (strcmp(upstream->servers[i]->address->text, address->text) == 0)
			return upstream->servers[i];
	}
	return NULL;
}

static int
compare_server(
	struct conf_diff *diff, const char *name, const struct conf_server *before, const struct conf_server *after)
{
	char *prefix = mem_printf("upstream '%s': server %s ", name, after->address->text);
	int r = prefix != NULL ? compare_group(diff, &conf_group_server, prefix, "", before, after) : -ENOMEM;

	mem_free(prefix);
	return r;
}

static int
compare_servers(struct conf_diff *diff, const struct conf_upstream *before, const struct conf_upstream *after)
{
	const char *name = after->name;

	for (size_t i = 0; i < after->server_count; i++) {
		const struct conf_server *server = after->servers[i];
		const struct conf_server *old = find_server(before, server->address);

		if (old == NULL ? add_line(diff,
					  mem_printf("upstream '%s': server %s added", name, server->address->text)) < 0
				: compare_server(diff, name, old, server) < 0)
			return -ENOMEM;
	}
	for (size_t i = 0; i < before->server_count; i++) {
		const struct conf_server *server = before->servers[i];

		if (find_server(after, server->address) == NULL &&
			add_line(diff, mem_printf("upstream '%s': server %s removed", name, server->address->text)) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int
compare_upstreams(struct conf_diff *diff, const struct conf *before, const struct conf *after)
{
	char prefix[CONF_NAME_MAX + 16];

	for (size_t i = 0; i < after->upstream_count; i++) {
		const struct conf_upstream *upstream = after->upstreams[i];
		const struct conf_upstream *old = conf_find_upstream(before, upstream->name);

		snprintf(prefix, sizeof(prefix), "upstream '%s': ", upstream->name);
		if (old == NULL ? add_line(diff, mem_printf("%sadded", prefix)) < 0
				: compare_group(diff, &conf_group_upstream, prefix, "", old, upstream) < 0 ||
					  compare_servers(diff, old, upstream) < 0)
			return -ENOMEM;
	}
	for (size_t i = 0; i < before->upstream_count; i++) {
		const struct conf_upstream *upstream = before->upstreams[i];

		if (conf_find_upstream(after, upstream->name) == NULL &&
			add_line(diff, mem_printf("upstream '%s': removed", upstream->name)) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int
compare_listeners(struct conf_diff *diff, const struct conf *before, const struct conf *after)
{
	char prefix[CONF_NAME_MAX + 16];

	for (size_t i = 0; i < after->listener_count; i++) {
		const struct conf_listener *listener = after->listeners[i];
		const struct conf_listener *old = conf_find_listener(before, listener->name);

		snprintf(prefix, sizeof(prefix), "listener '%s': ", listener->name);
		if (old == NULL ? add_line(diff, mem_printf("%sadded", prefix)) < 0
				: compare_group(diff, &conf_group_listener, prefix, "", old, listener) < 0)
			return -ENOMEM;
	}
	for (size_t i = 0; i < before->listener_count; i++) {
		const struct conf_listener *listener = before->listeners[i];

		if (conf_find_listener(after, listener->name) == NULL &&
			add_line(diff, mem_printf("listener '%s': removed", listener->name)) < 0)
			return -ENOMEM;
	}
	return 0;
}

int
conf_diff_init(struct conf_diff *diff, const struct conf *before, const struct conf *after)
{
	memset(diff, 0, sizeof(*diff));
	if (compare_group(diff, &conf_group_top, "", ":", before, after) < 0 ||
		compare_group(diff, &conf_group_daemon, "daemon.", ":", &before->daemon, &after->daemon) < 0 ||
		compare_group(diff, &conf_group_log, "log.", ":", &before->log, &after->log) < 0 ||
		compare_group(diff, &conf_group_resolver, "resolver.", ":", &before->resolver, &after->resolver) < 0 ||
		compare_pools(diff, before, after) < 0 || compare_upstreams(diff, before, after) < 0 ||
		compare_listeners(diff, before, after) < 0) {
		conf_diff_fini(diff);
		return -ENOMEM;
	}
	return 0;
}

void
conf_diff_fini(struct conf_diff *diff)
{
	for (size_t i = 0; i < diff->count; i++)
		mem_free(diff->lines[i]);
	mem_freep(&diff->lines);
	diff->count = 0;
}
