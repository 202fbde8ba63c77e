/* SPDX-License-Identifier: MIT */
/*
 * route.c - the reference-counted joint between a listener, its rule in one generation of the config, its pool and its
 * handler.
 */
#include "config.h"

#include "net/route.h"

#include "base/assert.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "net/acl.h"
#include "net/listener.h"

struct route *
route_new(struct conf *conf, const struct conf_listener *rule, struct listener *listener,
	const struct cp_handler *handler, struct pool *pool)
{
	struct route *route = mem_zalloc(sizeof(*route));

	if (route == NULL)
		return NULL;
	route->magic = ROUTE_MAGIC;
	atomic_init(&route->refs, 1);
	route->conf = conf_ref(conf);
	route->rule = rule;
	route->listener = listener_ref(listener);
	route->handler = handler;
	route->pool = pool;
	if (rule->allow.count + rule->deny.count > 0) {
		route->acl = acl_new(&rule->allow, &rule->deny);
		if (route->acl == NULL)
			route_unref(&route);
	}
	return route;
}

void
route_set_state(struct route *route, const struct route_state *state)
{
	CP_CHECK_MAGIC(route, ROUTE_MAGIC);
	CP_ASSERT(route->state.release == NULL);
	route->state = *state;
}

struct route *
route_ref(struct route *route)
{
	CP_CHECK_MAGIC(route, ROUTE_MAGIC);
	/* Relaxed: who takes a reference already holds one. */
	atomic_fetch_add_explicit(&route->refs, 1, memory_order_relaxed);
	return route;
}

void
route_unref(struct route **holder)
{
	struct route *route = *holder;

	*holder = NULL;
	if (route == NULL)
		return;
	CP_CHECK_MAGIC(route, ROUTE_MAGIC);
	/* Acquire and release: the last one sees what every other thread did with it. */
	if (atomic_fetch_sub_explicit(&route->refs, 1, memory_order_acq_rel) != 1)
		return;
	route->magic = 0;
	if (route->state.release != NULL)
		route->state.release(route->state.owner != NULL ? route->state.owner : route->state.data);
	acl_free(&route->acl);
	listener_unref(&route->listener);
	conf_unref(&route->conf);
	mem_free(route);
}
