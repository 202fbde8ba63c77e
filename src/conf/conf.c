/* SPDX-License-Identifier: MIT */
/*
 * conf - the life of one generation: counted by whoever looks at it, freed by the last.
 *
 * Connections hold the generation that they were accepted under, so the last reference may go on any thread. Nothing
 * here writes to a generation that anyone else can see.
 */
#include "config.h"

#include "conf/conf.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "conf/options.h"

struct conf *
conf_ref(struct conf *conf)
{
	/* Relaxed: who can take a reference holds one, and so sees the whole tree already. */
	unsigned before = atomic_fetch_add_explicit(&conf->refs, 1, memory_order_relaxed);

	CP_ASSERT(before > 0);
	return conf;
}

static void
pools_free(struct conf *conf)
{
	for (size_t i = 0; i < conf->pool_count; i++) {
		option_group_fini(&conf_group_pool, conf->pools[i]);
		mem_free(conf->pools[i]->name);
		mem_free(conf->pools[i]);
	}
	mem_free(conf->pools);
}

static void
upstream_free(struct conf_upstream *upstream)
{
	for (size_t i = 0; i < upstream->server_count; i++) {
		option_group_fini(&conf_group_server, upstream->servers[i]);
		mem_free(upstream->servers[i]);
	}
	mem_free(upstream->servers);
	option_group_fini(&conf_group_upstream, upstream);
	mem_free(upstream->name);
	mem_free(upstream);
}

static void
upstreams_free(struct conf *conf)
{
	for (size_t i = 0; i < conf->upstream_count; i++)
		upstream_free(conf->upstreams[i]);
	mem_free(conf->upstreams);
}

static void
listeners_free(struct conf *conf)
{
	for (size_t i = 0; i < conf->listener_count; i++) {
		option_group_fini(&conf_group_listener, conf->listeners[i]);
		mem_free(conf->listeners[i]);
	}
	mem_free(conf->listeners);
}

void
conf_unref(struct conf **holder)
{
	struct conf *conf = *holder;

	*holder = NULL;
	if (conf == NULL)
		return;
	/* Release: our reads are over before the count falls. Acquire: the last one sees that of all the others. */
	if (atomic_fetch_sub_explicit(&conf->refs, 1, memory_order_acq_rel) > 1)
		return;
	option_group_fini(&conf_group_top, conf);
	option_group_fini(&conf_group_daemon, &conf->daemon);
	option_group_fini(&conf_group_log, &conf->log);
	option_group_fini(&conf_group_resolver, &conf->resolver);
	pools_free(conf);
	upstreams_free(conf);
	listeners_free(conf);
	for (size_t i = 0; i < conf->file_count; i++)
		mem_free(conf->files[i]);
	mem_free(conf->files);
	mem_free(conf->path);
	mem_free(conf);
}

const struct conf_pool *
conf_find_pool(const struct conf *conf, const char *name)
{
	for (size_t i = 0; i < conf->pool_count; i++) {
		if (strcmp(conf->pools[i]->name, name) == 0)
			return conf->pools[i];
	}
	return NULL;
}

const struct conf_upstream *
conf_find_upstream(const struct conf *conf, const char *name)
{
	for (size_t i = 0; i < conf->upstream_count; i++) {
		if (strcmp(conf->upstreams[i]->name, name) == 0)
			return conf->upstreams[i];
	}
	return NULL;
}

const struct conf_listener *
conf_find_listener(const struct conf *conf, const char *name)
{
	for (size_t i = 0; i < conf->listener_count; i++) {
		/* A name is missing only while a load that will fail goes on. */
		if (conf->listeners[i]->name != NULL && strcmp(conf->listeners[i]->name, name) == 0)
			return conf->listeners[i];
	}
	return NULL;
}
