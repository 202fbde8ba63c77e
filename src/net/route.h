/* SPDX-License-Identifier: MIT */
/*
 * route - what becomes of the connections of one listener under one generation of the config.
 *
 * A reload makes new routes and points the listeners at them; connections keep the route that they were accepted under,
 * and with it that generation of the config, until they end.
 */
#ifndef CP_NET_ROUTE_H
#define CP_NET_ROUTE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cxx.h"
#include "base/defs.h"

struct acl;
struct conf;
struct conf_listener;
struct cp_handler;
struct listener;
struct pool;

/* Of one service under one generation; zeroed: it has none. */
struct route_state {
	void *data; /* for the handler: cp_state() */
	/* With owner, or with data when that is NULL. Any thread, after the last connection has ended. */
	void (*release)(void *data);
	void *owner; /* what data belongs to: binding.h */
	const char *module; /* the file that the handler is in, in the config; NULL: built in */
	cxx_globals_fn *cxx; /* of the C++ runtime that it uses; NULL: none */
};

#define ROUTE_MAGIC 0x726f7574

struct route {
	uint32_t magic;
	atomic_uint refs;                 /* private: route.c */
	struct conf *conf;                /* one reference */
	const struct conf_listener *rule; /* in conf */
	struct listener *listener;        /* one reference */
	struct acl *acl;                  /* owned; NULL: everybody may */
	const struct cp_handler *handler; /* serves them; static */
	struct route_state state;         /* what the service made of its section; released with the route */
	struct pool *pool;                /* borrowed: a pool outlives its connections. Acceptor only */
	bool lends_socket;                /* its clients are accepted by a program. Acceptor only */
};

/* Returns owned with one reference, NULL when out of memory. */
CP_MUST_CHECK struct route *route_new(struct conf *conf, const struct conf_listener *rule, struct listener *listener,
	const struct cp_handler *handler, struct pool *pool);
/* Gives it the service's state: before a connection has it. */
void route_set_state(struct route *route, const struct route_state *state);
/* Any thread. */
struct route *route_ref(struct route *route);
/* Nulls the holder; the last one frees. Accepts NULL. Any thread. */
void route_unref(struct route **route);

#endif
