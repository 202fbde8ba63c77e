/* SPDX-License-Identifier: MIT */
/*
 * registry.h - the services there are: by name for the config reader, and the handler behind each.
 */
#ifndef CP_SERVICE_REGISTRY_H
#define CP_SERVICE_REGISTRY_H

struct conf_service_type;
struct cp_handler;

/* For conf_load(); ends with a NULL name. Static. */
const struct conf_service_type *registry_types(void);

/* The handler of one of registry_types(); never NULL. */
const struct cp_handler *registry_handler(const struct conf_service_type *type);

#endif
