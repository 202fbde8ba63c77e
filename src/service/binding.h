/* SPDX-License-Identifier: MIT */
/*
 * binding - a handler under one generation of the config: what its configure() made, what its workers made, and its
 * counters.
 *
 * Made on the main thread with the route that it belongs to, released with it on whatever thread that ends. In between
 * it is shared by the route's connections; cp_worker_state() and cp_count() find it in the route's state.
 */
#ifndef CP_SERVICE_BINDING_H
#define CP_SERVICE_BINDING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/defs.h"

struct binding;
struct cp_handler;
struct errmsg;
struct route_state;

/* Does the handler want one? Not if it has nothing to configure, to keep or to count. */
bool binding_is_needed(const struct cp_handler *handler);

/*
 * Configures the handler with settings (borrowed until the release, as is module, the file that it is in, NULL: none)
 * for the listener of that name. Fills *ret_state, which route_unref() releases. 0; -ENOMEM; -EINVAL: the
 * handler refused, err has its words. Main thread.
 */
CP_MUST_CHECK int binding_new(const struct cp_handler *handler, const char *module, const void *settings,
	const char *listener, struct route_state *ret_state, struct errmsg *err);

/* Whose state it is; NULL: of a handler that needs no binding. Borrowed while the route is held. */
const struct binding *binding_of_state(const struct route_state *state);

/*
 * The counter of that index and, in *ret_name, what it is called; a *ret_name of NULL: there are no more. Any thread.
 */
uint64_t binding_counter(const struct binding *binding, unsigned index, const char **ret_name);

#endif
