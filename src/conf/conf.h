/* SPDX-License-Identifier: MIT */
/*
 * conf - one generation of the configuration: parsed and checked whole, then never changed.
 *
 * Made by conf_load() (load.h); read by any thread without a lock while a reference is held.
 * Times are in milliseconds and 0 means "no limit" unless the option's row says otherwise.
 */
#ifndef CP_CONF_CONF_H
#define CP_CONF_CONF_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "conf/option.h"

struct errmsg;

enum conf_queue_full { CONF_QUEUE_WAIT, CONF_QUEUE_REJECT };
enum conf_balance {
	CONF_BALANCE_ROUND_ROBIN,
	CONF_BALANCE_LEAST_CONNECTIONS,
	CONF_BALANCE_SOURCE_HASH,
	CONF_BALANCE_RANDOM_TWO,
	CONF_BALANCE_FIRST,
};
enum conf_check { CONF_CHECK_NONE, CONF_CHECK_CONNECT };
enum conf_send_proxy { CONF_SEND_PROXY_NONE, CONF_SEND_PROXY_V1, CONF_SEND_PROXY_V2 };

struct conf_listener;

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

/* One line of upstreams.NAME.servers; a name in it may stand for several servers (resolve.h). */
struct conf_server {
	struct address *address; /* tcp: with a number or a name, unix:, or srv:NAME; owned */
	uint64_t weight;         /* 0: gets no new connections */
	bool backup;
	bool maintenance;
	uint64_t max_connections; /* 0: no limit */
	uint64_t ready_connections;
	int send_proxy; /* enum conf_send_proxy */
	const char *file;
	unsigned line;
};

/* A group of servers. */
struct conf_upstream {
	char *name;
	struct conf_server **servers; /* at least one */
	size_t server_count;
	int balance; /* enum conf_balance */

	/* Getting a connection to one of them. */
	uint64_t connect_timeout_ms;
	uint64_t retries;    /* other servers tried after a connect that failed */
	uint64_t queue_size; /* clients that may wait while every server is full */
	uint64_t queue_timeout_ms;
	uint64_t wait_for_upstream_ms; /* how long a client is held while none is up; 0: not at all */
	uint64_t slow_start_ms;

	/* Health. */
	uint64_t max_failures;   /* connect failures in a row that take a server down; 0: never */
	uint64_t retry_after_ms; /* then, without active checks, it is tried again */
	int check;               /* enum conf_check */
	uint64_t check_port;     /* 0: the server's own */
	char *check_send;        /* NULL: nothing */
	char *check_expect;      /* NULL: connecting is enough */
	uint64_t check_interval_ms;
	uint64_t check_fast_interval_ms; /* while a change is under way, and while down */
	uint64_t check_timeout_ms;
	uint64_t check_rise;
	uint64_t check_fall;
	uint64_t agent_port; /* 0: no agent */
	char *agent_send;
	uint64_t agent_interval_ms;

	const char *file;
	unsigned line;
};

/* How names are looked up. */
struct conf_resolver {
	struct option_strings servers; /* "ADDRESS" or "ADDRESS:PORT"; none: those of the system */
	uint64_t timeout_ms;           /* of one look-up */
	uint64_t retry_ms;             /* after one that failed */
	uint64_t min_ttl_ms;           /* an answer is kept at least, and at most, this long */
	uint64_t max_ttl_ms;
};

/* For conf_service_type.check: how it says what is wrong. */
struct conf_service_checker {
	void *loading;                        /* private: check.c */
	const struct conf_listener *listener; /* whose section it is */
};

/* element of a list option, else 0. The message goes on after "FILE:LINE: listeners.(2).service.OPTION: ". */
CP_PRINTF(4, 5)
void conf_service_fault(
	const struct conf_service_checker *checker, const char *option, size_t element, const char *fmt, ...);

/* A kind of service, as the config reader needs to know it. Arrays of them end with a NULL name. */
struct conf_service_type {
	const char *name;
	struct option_group group; /* what may stand beside type; options may be an empty table */
	/*
	 * Of a type whose options hang on the value of one, a string of that name (NULL: of none). extend() makes the
	 * group of a section where it is value: type's rows at their places, and more. conf_path: the main file. 0;
	 * -ENOMEM; else -errno: err says what is wrong with the value. The thread that loads.
	 */
	const char *extended_by;
	int (*extend)(
		const char *conf_path, const char *value, const struct option_group **ret_group, struct errmsg *err);
	/* Gives it back; nulls the holder. Any thread. */
	void (*retract)(const struct option_group **group);
	/* What the rows can't say of the options; NULL: nothing. Once every file was read; the thread that loads. */
	void (*check)(const void *options, const struct conf_service_checker *checker);
	bool runs_program; /* its options begin with those of a program (program/program.h) */
};

struct conf_service {
	const struct conf_service_type *type;
	const struct option_group *group; /* the type's own, or what its extend() made */
	void *options;                    /* group->size bytes, filled by its rows; owned */
};

/* In messages, and SERVICE= of records: of a module what its handler calls itself. Valid while the config is. */
static inline const char *
conf_service_name(const struct conf_service *service)
{
	const char *own = service->group != NULL ? service->group->service_name : NULL;

	return own != NULL ? own : service->type->name;
}

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
	uid_t socket_uid; /* as resolved, where socket_user is set; the next one likewise */
	gid_t socket_gid;

	/* Admission. */
	uint64_t max_connections; /* 0: only daemon.max_connections */
	uint64_t max_per_source;
	struct option_networks allow;
	struct option_networks deny;
	char *busy_message;
	bool accept_proxy; /* every connection begins with a PROXY protocol header */
	struct option_networks trusted_proxies;
	uint64_t proxy_timeout_ms;

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
	struct conf_resolver resolver;
	struct conf_upstream **upstreams;
	size_t upstream_count;
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
const struct conf_upstream *conf_find_upstream(const struct conf *conf, const char *name);
const struct conf_listener *conf_find_listener(const struct conf *conf, const char *name);

#endif
