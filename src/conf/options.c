/* SPDX-License-Identifier: MIT */
/*
 * options - the table itself: name, type, default, range, unit, what a reload does, one line of prose.
 *
 * A row added here is read, checked, dumped, compared at a reload and printed by --help-config; the lint test
 * check-options then asks for it in the manual and in the sample file. Nothing else may know an option's name,
 * default or range.
 */
#include "config.h"

#include "conf/options.h"

#include "base/log.h"
#include "conf/conf.h"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

#define SECOND 1000ull
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)

/* ---- top level --------------------------------------------------------------- */

static const struct option top_options[] = {
	OPT_STRING(struct conf, include_dir, "include_dir", NULL, OPTION_LIVE,
		"Folder, relative to this file's, whose *.conf files add pools and listeners, in alphabetical order."),
	OPT_END,
};

const struct option_group conf_group_top = {
	.path = "",
	.help = "What stands in no section.",
	.options = top_options,
	.size = sizeof(struct conf),
};

/* ---- daemon ------------------------------------------------------------------ */

static const struct option daemon_options[] = {
	OPT_STRING(struct conf_daemon, user, "user", NULL, OPTION_RESTART,
		"User to become once the sockets are bound, when started as root."),
	OPT_STRING(struct conf_daemon, group, "group", NULL, OPTION_RESTART,
		"Group to become with it; without it the user's own groups."),
	OPT_UINT(struct conf_daemon, max_connections, "max_connections", 1, 10000000, "100000", "connections",
		OPTION_LIVE, "Connections open at once, all listeners together; beyond it clients are refused."),
	OPT_TIME(struct conf_daemon, drain_timeout_ms, "drain_timeout", 0, DAY, "30s", OPTION_LIVE,
		"How long a stop waits for connections to end by themselves before it closes them."),
	OPT_END,
};

const struct option_group conf_group_daemon = {
	.path = "daemon",
	.help = "The process as a whole.",
	.options = daemon_options,
	.size = sizeof(struct conf_daemon),
};

/* ---- log --------------------------------------------------------------------- */

static const struct option_word log_targets[] = {
	{"auto", LOG_TARGET_AUTO},
	{"journal", LOG_TARGET_JOURNAL},
	{"stderr", LOG_TARGET_STDERR},
	{NULL, 0},
};

static const struct option_word log_levels[] = {
	{"error", LOG_LEVEL_ERROR},
	{"warning", LOG_LEVEL_WARNING},
	{"notice", LOG_LEVEL_NOTICE},
	{"info", LOG_LEVEL_INFO},
	{"debug", LOG_LEVEL_DEBUG},
	{NULL, 0},
};

static const struct option log_options[] = {
	OPT_WORD(struct conf_log, target, "target", log_targets, "auto", OPTION_LIVE,
		"Where the log goes; auto is the journal when standard error is connected to it, else standard error."),
	OPT_WORD(struct conf_log, level, "level", log_levels, "info", OPTION_LIVE,
		"The least important records that are still written."),
	OPT_BOOL(struct conf_log, connections, "connections", "true", OPTION_LIVE,
		"One record for each closed connection: who, how long, how much, and why it ended."),
	OPT_END,
};

const struct option_group conf_group_log = {
	.path = "log",
	.help = "The log.",
	.options = log_options,
	.size = sizeof(struct conf_log),
};

/* ---- pools ------------------------------------------------------------------- */

static const struct option_word queue_full_words[] = {
	{"wait", CONF_QUEUE_WAIT},
	{"reject", CONF_QUEUE_REJECT},
	{NULL, 0},
};

static const struct option pool_options[] = {
	OPT_UINT(struct conf_pool, workers_written, "workers", 0, CONF_WORKERS_MAX, "0", "threads", OPTION_LIVE,
		"Worker threads; 0 is one for each CPU that the daemon may run on."),
	OPT_UINT(struct conf_pool, connections_per_worker, "connections_per_worker", 1, 1000000, "10000", "connections",
		OPTION_LIVE,
		"Connections that one worker serves at once; 1 is the classic pool, where a handler may block."),
	OPT_UINT(struct conf_pool, queue_size, "queue_size", 1, 1000000, "1024", "connections", OPTION_LIVE,
		"Accepted connections that may wait for a worker with room."),
	OPT_WORD(struct conf_pool, queue_full, "queue_full", queue_full_words, "wait", OPTION_LIVE,
		"When the queue is full: leave clients in the kernel's backlog, or accept them, say busy_message and "
		"close."),
	OPT_TIME(struct conf_pool, queue_timeout_ms, "queue_timeout", 0, HOUR, "0s", OPTION_LIVE,
		"A connection that has waited longer is rejected, never served late; 0 is no limit."),
	OPT_SIZE(struct conf_pool, stack_size_bytes, "stack_size", 16 * KIB, 8 * MIB, "64KiB", OPTION_NEW_CONNECTIONS,
		"Stack of each connection being served; memory is used only as far as it is touched."),
	OPT_TIME(struct conf_pool, stall_warning_ms, "stall_warning", 0, HOUR, "1s", OPTION_LIVE,
		"A handler that keeps a shared worker from its other connections for longer is logged; 0 is never."),
	OPT_END,
};

const struct option_group conf_group_pool = {
	.path = "pools.NAME",
	.help = "A queue and the worker threads that serve it. Pool \"main\" exists without being written.",
	.options = pool_options,
	.size = sizeof(struct conf_pool),
};

/* ---- listeners --------------------------------------------------------------- */

static const struct option_word ipv6_only_words[] = {
	{"auto", CONF_IPV6_ONLY_AUTO},
	{"true", CONF_IPV6_ONLY_TRUE},
	{"false", CONF_IPV6_ONLY_FALSE},
	{NULL, 0},
};

static const struct option listener_options[] = {
	OPT_STRING_REQUIRED(struct conf_listener, name, "name", OPTION_LIVE,
		"What the log and messages call it: letters, digits, '_', '-' and '.', at most 64."),
	OPT_ADDRESSES_REQUIRED(struct conf_listener, addresses, "address", OPTION_LIVE,
		"Where it listens: tcp:HOST:PORT, tcp:[V6]:PORT, tcp:*:PORT, unix:PATH, unix:@ABSTRACT or "
		"systemd:NAME."),
	OPT_STRING(struct conf_listener, pool_name, "pool", CONF_POOL_MAIN, OPTION_NEW_CONNECTIONS,
		"The pool whose workers serve it."),
	OPT_SERVICE_REQUIRED(struct conf_listener, service, "service", OPTION_NEW_CONNECTIONS,
		"What a connection gets: a type's name, or a section with the type and its options."),

	OPT_UINT(struct conf_listener, backlog, "backlog", 1, 65535, "4096", "connections", OPTION_LIVE,
		"Connections that the kernel keeps until they are accepted (listen(2)); net.core.somaxconn caps it."),
	OPT_BOOL(struct conf_listener, reuse_address, "reuse_address", "true", OPTION_NEW_SOCKETS,
		"Bind although connections of an earlier process linger on the port (SO_REUSEADDR)."),
	OPT_BOOL(struct conf_listener, reuse_port, "reuse_port", "false", OPTION_NEW_SOCKETS,
		"Let other sockets of the same user bind the port too (SO_REUSEPORT)."),
	OPT_WORD(struct conf_listener, ipv6_only, "ipv6_only", ipv6_only_words, "auto", OPTION_NEW_SOCKETS,
		"Whether an IPv6 socket leaves IPv4 alone (IPV6_V6ONLY); auto: \"*\" takes both, \"[V6]\" IPv6 alone."),
	OPT_BOOL(struct conf_listener, keep_alive, "keep_alive", "false", OPTION_NEW_CONNECTIONS,
		"Let the kernel probe idle clients and end dead connections (SO_KEEPALIVE)."),
	OPT_BOOL(struct conf_listener, no_delay, "no_delay", "true", OPTION_NEW_CONNECTIONS,
		"Send small writes at once (TCP_NODELAY)."),
	OPT_TIME(struct conf_listener, defer_accept_ms, "defer_accept", 0, HOUR, "0s", OPTION_NEW_CONNECTIONS,
		"Accept a client only once it has sent something, or after this time (TCP_DEFER_ACCEPT); whole "
		"seconds, 0 is off."),
	OPT_UINT(struct conf_listener, fast_open, "fast_open", 0, 65535, "0", "connections", OPTION_NEW_CONNECTIONS,
		"Clients that may send data with their first packet, waiting at once (TCP_FASTOPEN); 0 is off."),
	OPT_SIZE(struct conf_listener, receive_buffer_bytes, "receive_buffer", 0, GIB, "0", OPTION_NEW_CONNECTIONS,
		"Kernel buffer for what clients send (SO_RCVBUF); 0 leaves it to the kernel, which tunes it by "
		"itself."),
	OPT_SIZE(struct conf_listener, send_buffer_bytes, "send_buffer", 0, GIB, "0", OPTION_NEW_CONNECTIONS,
		"Kernel buffer for what clients are sent (SO_SNDBUF); 0 leaves it to the kernel, which tunes it by "
		"itself."),
	OPT_STRING(struct conf_listener, bind_to_device, "bind_to_device", NULL, OPTION_NEW_SOCKETS,
		"Take clients from this network interface alone (SO_BINDTODEVICE)."),
	OPT_BOOL(struct conf_listener, free_bind, "free_bind", "false", OPTION_NEW_SOCKETS,
		"Bind an address that the machine does not have yet (IP_FREEBIND)."),
	OPT_MODE(struct conf_listener, socket_mode, "socket_mode", "0666", OPTION_LIVE,
		"Permissions of a unix: socket's file; who may write to it may connect."),
	OPT_STRING(
		struct conf_listener, socket_user, "socket_user", NULL, OPTION_LIVE, "Owner of a unix: socket's file."),
	OPT_STRING(struct conf_listener, socket_group, "socket_group", NULL, OPTION_LIVE,
		"Group of a unix: socket's file."),

	OPT_UINT(struct conf_listener, max_connections, "max_connections", 0, 10000000, "0", "connections",
		OPTION_NEW_CONNECTIONS,
		"Connections of this listener open at once; 0 is no limit but daemon.max_connections."),
	OPT_UINT(struct conf_listener, max_per_source, "max_per_source", 0, 10000000, "0", "connections",
		OPTION_NEW_CONNECTIONS, "Connections of one client address open at once; 0 is no limit."),
	OPT_NETWORKS(struct conf_listener, allow, "allow", OPTION_NEW_CONNECTIONS,
		"Networks that may connect; with it all others may not. The longest match of allow and deny decides."),
	OPT_NETWORKS(struct conf_listener, deny, "deny", OPTION_NEW_CONNECTIONS,
		"Networks that may not connect. The longest match of allow and deny decides."),
	OPT_STRING(struct conf_listener, busy_message, "busy_message", NULL, OPTION_NEW_CONNECTIONS,
		"Sent to a client that is rejected: the queue is full, its time there over, or a limit reached."),

	OPT_TIME(struct conf_listener, idle_timeout_ms, "idle_timeout", 0, 365 * DAY, "0s", OPTION_NEW_CONNECTIONS,
		"Close a connection on which nothing was received or sent for this long; 0 is no limit."),
	OPT_TIME(struct conf_listener, lifetime_ms, "lifetime", 0, 365 * DAY, "0s", OPTION_NEW_CONNECTIONS,
		"Close a connection this long after it was accepted, whatever it does; 0 is no limit."),
	OPT_TIME(struct conf_listener, send_timeout_ms, "send_timeout", 0, 365 * DAY, "1min", OPTION_NEW_CONNECTIONS,
		"Close a connection whose client takes none of what it is sent for this long; 0 is no limit."),
	OPT_END,
};

const struct option_group conf_group_listener = {
	.path = "listeners.()",
	.help = "One or more addresses, and what their clients get.",
	.options = listener_options,
	.size = sizeof(struct conf_listener),
};
