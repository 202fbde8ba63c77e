/* SPDX-License-Identifier: MIT */
/*
 * registry.h - the services there are: by name for the config reader, and the handler behind each.
 */
#ifndef CP_SERVICE_REGISTRY_H
#define CP_SERVICE_REGISTRY_H

#include <stdint.h>

#include "base/defs.h"

struct conf_service;
struct conf_service_type;
struct cp_handler;
struct route_state;
struct upstreams;

/* For conf_load(); ends with a NULL name. Static. */
const struct conf_service_type *registry_types(void);

/* The handler of one of registry_types(); never NULL. */
const struct cp_handler *registry_handler(const struct conf_service_type *type);

/*
 * What the service makes of its section for one route (zeroed: nothing). Every upstream that the config names has been
 * prepared. 0 or -ENOMEM. Main thread.
 */
CP_MUST_CHECK int registry_bind(
	const struct conf_service *service, struct upstreams *upstreams, struct route_state *ret_state);

/*
 * The bytes that a connection of the service may hold, both ways, while it is relayed to a server of its own; 0: it is
 * not relayed.
 */
uint64_t registry_relay_bytes(const struct conf_service *service);

#endif
