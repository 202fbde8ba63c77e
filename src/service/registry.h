/* SPDX-License-Identifier: MIT */
/*
 * registry.h - the services there are: by name for the config reader, and the handler behind each.
 */
#ifndef CP_SERVICE_REGISTRY_H
#define CP_SERVICE_REGISTRY_H

#include <stdint.h>

#include "base/defs.h"

struct conf;
struct conf_listener;
struct conf_service;
struct conf_service_type;
struct cp_handler;
struct errmsg;
struct route_state;
struct upstreams;
struct verdicts;

/* For conf_load(); ends with a NULL name. Static. */
const struct conf_service_type *registry_types(void);
/*
 * The same for who must not run code that the config names (the keeper, which has privileges): no module is loaded, and
 * what it might have to say about its options is not said. Not for the other functions here. Static.
 */
const struct conf_service_type *registry_types_without_code(void);

/* Who serves a service of registry_types(); never NULL. Valid while the service's config is. */
const struct cp_handler *registry_handler(const struct conf_service *service);

/*
 * What the service makes of its section for one route, that of the listener of that name (zeroed: nothing). Every
 * upstream that the config names has been prepared. 0; -ENOMEM; -EINVAL: the handler refuses its section, err says why.
 * Main thread.
 */
CP_MUST_CHECK int registry_bind(struct conf *conf, const struct conf_listener *rule, struct upstreams *upstreams,
	struct verdicts *verdicts, struct route_state *ret_state, struct errmsg *err);

/*
 * The bytes that a connection of the service may hold, both ways, while it is relayed to a server of its own; 0: it is
 * not relayed.
 */
uint64_t registry_relay_bytes(const struct conf_service *service);

#endif
