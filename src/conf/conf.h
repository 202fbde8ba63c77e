/* SPDX-License-Identifier: MIT */
/*
 * conf - one generation of the configuration: parsed and checked whole, then never changed.
 *
 * Made by conf_load() (load.h) on the main thread; read by any thread without a lock while a reference is held.
 * Times are in milliseconds and 0 means "no limit" unless the option's row says otherwise.
 */
#ifndef CP_CONF_CONF_H
#define CP_CONF_CONF_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/option.h"

enum conf_queue_full { CONF_QUEUE_WAIT, CONF_QUEUE_REJECT };

struct conf_daemon {
	char *user;  /* NULL: stay who we are */
	char *group; /* NULL: the user's own */
	uint64_t max_connections;
	uint64_t drain_timeout_ms;
};

struct conf_log {
	int target; /* enum log_target */
	int level;  /* enum log_level */
	bool connections;
};

struct conf_pool {
	char *name;
	uint64_t workers;         /* as resolved: never 0 */
	uint64_t workers_written; /* as in the file: 0 = one per CPU; the row's field, so --dump-config prints this */
	uint64_t connections_per_worker;
	uint64_t queue_size;
	int queue_full; /* enum conf_queue_full */
	uint64_t queue_timeout_ms;
	uint64_t stack_size_bytes;
	uint64_t stall_warning_ms;
	const char *file; /* where it stands, for messages; NULL: the built-in pool "main" */
	unsigned line;
};

/* A kind of service, as the config reader needs to know it. Arrays of them end with a NULL name. */
struct conf_service_type {
	const char *name;
	struct option_group group; /* what may stand beside type; options may be an empty table */
};

struct conf_service {
	const struct conf_service_type *type;
	void *options; /* type->group.size bytes, filled by its rows; owned */
};

struct conf_listener {
	char *name;
	struct option_addresses addresses; /* at least one */
	char *pool_name;
	const struct conf_pool *pool; /* the one that pool_name names */
	struct conf_service service;

	/* The socket. */
	uint64_t backlog;
	bool reuse_address;
	bool reuse_port;
	int ipv6_only; /* enum conf_ipv6_only */
	bool keep_alive;
	bool no_delay;
	uint64_t defer_accept_ms; /* whole seconds */
	uint64_t fast_open;       /* length of the queue; 0: off */
	uint64_t receive_buffer_bytes;
	uint64_t send_buffer_bytes;
	char *bind_to_device;
	bool free_bind;
	uint64_t socket_mode;
	char *socket_user;
	char *socket_group;

	/* Admission. */
	uint64_t max_connections; /* 0: only daemon.max_connections */
	uint64_t max_per_source;
	struct option_networks allow;
	struct option_networks deny;
	char *busy_message;

	/* A connection's life. */
	uint64_t idle_timeout_ms;
	uint64_t lifetime_ms;
	uint64_t send_timeout_ms;

	unsigned index; /* in conf.listeners */
	const char *file;
	unsigned line;
};

/* What "tcp:*:PORT" and "tcp:[V6]:PORT" do about IPv4 (ipv6(7), IPV6_V6ONLY). */
enum conf_ipv6_only {
	CONF_IPV6_ONLY_AUTO, /* "*" opens both families; a [V6] address is IPv6 alone */
	CONF_IPV6_ONLY_TRUE,
	CONF_IPV6_ONLY_FALSE,
};

struct conf {
	atomic_uint refs; /* private: conf.c */
	char *path;       /* the main file */
	char *include_dir;
	struct conf_daemon daemon;
	struct conf_log log;
	struct conf_pool **pools; /* pools[0] need not be "main" */
	size_t pool_count;
	struct conf_listener **listeners;
	size_t listener_count;
	char **files; /* every file read, main file first */
	size_t file_count;
};

/* Any thread. */
struct conf *conf_ref(struct conf *conf);
/* Sets *conf to NULL; the last reference frees it. Accepts a NULL *conf. Any thread. */
void conf_unref(struct conf **conf);

/* Borrowed from conf; NULL when there is none of that name. */
const struct conf_pool *conf_find_pool(const struct conf *conf, const char *name);
const struct conf_listener *conf_find_listener(const struct conf *conf, const char *name);

#endif
