/* SPDX-License-Identifier: MIT */
/*
 * options - the one table of everything that the config file may say, a group a kind of section.
 *
 * What may stand in a service's own section comes with its type (struct conf_service_type).
 */
#ifndef CP_CONF_OPTIONS_H
#define CP_CONF_OPTIONS_H

#include "conf/option.h"

/* Longest name of a pool, upstream or listener: letters, digits, '_', '-' and '.'. */
#define CONF_NAME_MAX 64
/* The pool that a listener uses when it names none; it exists without being written. */
#define CONF_POOL_MAIN "main"
/* The most workers that a pool may have, and what one per CPU is cut to. */
#define CONF_WORKERS_MAX 1024

extern const struct option_group conf_group_top;      /* fills struct conf */
extern const struct option_group conf_group_daemon;   /* fills struct conf_daemon */
extern const struct option_group conf_group_log;      /* fills struct conf_log */
extern const struct option_group conf_group_resolver; /* fills struct conf_resolver */
extern const struct option_group conf_group_pool;     /* fills struct conf_pool */
extern const struct option_group conf_group_upstream; /* fills struct conf_upstream; the servers are read apart */
extern const struct option_group conf_group_server;   /* fills struct conf_server */
extern const struct option_group conf_group_listener; /* fills struct conf_listener */

#endif
