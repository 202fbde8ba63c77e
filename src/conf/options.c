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
		"Folder, relative to this file's, whose *.conf files add pools, upstreams and listeners, in "
		"alphabetical "
		"order."),
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

/* ---- resolver ---------------------------------------------------------------- */

static const struct option resolver_options[] = {
	OPT_STRINGS(struct conf_resolver, servers, "servers", OPTION_LIVE,
		"Name servers to ask, each ADDRESS, ADDRESS:PORT or [V6]:PORT; without it those of the system."),
	OPT_TIME(struct conf_resolver, timeout_ms, "timeout", 100, HOUR, "5s", OPTION_LIVE,
		"How long one look-up may take."),
	OPT_TIME(struct conf_resolver, retry_ms, "retry", 100, HOUR, "5s", OPTION_LIVE,
		"When to ask again after a look-up that failed; the last good answer is kept meanwhile."),
	OPT_TIME(struct conf_resolver, min_ttl_ms, "min_ttl", 100, DAY, "1s", OPTION_LIVE,
		"An answer is kept at least this long, whatever its time to live says."),
	OPT_TIME(struct conf_resolver, max_ttl_ms, "max_ttl", 100, 7 * DAY, "1h", OPTION_LIVE,
		"An answer is kept at most this long, whatever its time to live says."),
	OPT_END,
};

const struct option_group conf_group_resolver = {
	.path = "resolver",
	.help = "How the names of servers are looked up.",
	.options = resolver_options,
	.size = sizeof(struct conf_resolver),
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

/* ---- upstreams --------------------------------------------------------------- */

static const struct option_word balance_words[] = {
	{"round_robin", CONF_BALANCE_ROUND_ROBIN},
	{"least_connections", CONF_BALANCE_LEAST_CONNECTIONS},
	{"source_hash", CONF_BALANCE_SOURCE_HASH},
	{"random_two", CONF_BALANCE_RANDOM_TWO},
	{"first", CONF_BALANCE_FIRST},
	{NULL, 0},
};

static const struct option_word check_words[] = {
	{"none", CONF_CHECK_NONE},
	{"connect", CONF_CHECK_CONNECT},
	{NULL, 0},
};

static const struct option upstream_options[] = {
	OPT_WORD(struct conf_upstream, balance, "balance", balance_words, "round_robin", OPTION_LIVE,
		"Which server gets a client: in turn, the one with the fewest connections, always the same one for an "
		"address, the better of two by chance, or the first with room."),
	OPT_TIME(struct conf_upstream, connect_timeout_ms, "connect_timeout", 1, HOUR, "5s", OPTION_LIVE,
		"How long connecting to a server may take."),
	OPT_UINT(struct conf_upstream, retries, "retries", 0, 16, "2", "servers", OPTION_LIVE,
		"Other servers that are tried when connecting to one fails."),
	OPT_UINT(struct conf_upstream, queue_size, "queue_size", 0, 1000000, "1024", "clients", OPTION_LIVE,
		"Clients that may wait while every server has its max_connections; further ones get busy_message."),
	OPT_TIME(struct conf_upstream, queue_timeout_ms, "queue_timeout", 0, HOUR, "30s", OPTION_LIVE,
		"A client that has waited longer for a server gets busy_message; 0 is no limit."),
	OPT_TIME(struct conf_upstream, wait_for_upstream_ms, "wait_for_upstream", 0, HOUR, "0s", OPTION_LIVE,
		"How long a client is held while no server is up; 0 gives it busy_message at once."),
	OPT_TIME(struct conf_upstream, slow_start_ms, "slow_start", 0, HOUR, "0s", OPTION_LIVE,
		"A server that came up again gets its share of clients little by little over this time; 0 is at once."),

	OPT_UINT(struct conf_upstream, max_failures, "max_failures", 0, 1000, "3", "failures", OPTION_LIVE,
		"Failures to connect, one after the other, that take a server down; 0 is never."),
	OPT_TIME(struct conf_upstream, retry_after_ms, "retry_after", 1, HOUR, "10s", OPTION_LIVE,
		"A server that failures took down is tried again after this time, when it is not checked."),
	OPT_WORD(struct conf_upstream, check, "check", check_words, "none", OPTION_LIVE,
		"Whether each server is checked, by connecting to it."),
	OPT_UINT(struct conf_upstream, check_port, "check_port", 0, 65535, "0", NULL, OPTION_LIVE,
		"Port to check; 0 is the server's own."),
	OPT_STRING(struct conf_upstream, check_send, "check_send", NULL, OPTION_LIVE,
		"What a check sends once it is connected."),
	OPT_STRING(struct conf_upstream, check_expect, "check_expect", NULL, OPTION_LIVE,
		"What the answer to a check has to contain; without it a connection is enough."),
	OPT_TIME(struct conf_upstream, check_interval_ms, "check_interval", 10, DAY, "2s", OPTION_LIVE,
		"Time between two checks of a server."),
	OPT_TIME(struct conf_upstream, check_fast_interval_ms, "check_fast_interval", 10, DAY, "1s", OPTION_LIVE,
		"The same while a server is down or about to change."),
	OPT_TIME(struct conf_upstream, check_timeout_ms, "check_timeout", 10, HOUR, "1s", OPTION_LIVE,
		"A check that takes longer has failed; an agent that does is not listened to."),
	OPT_UINT(struct conf_upstream, check_rise, "check_rise", 1, 1000, "2", "checks", OPTION_LIVE,
		"Checks that must pass, one after the other, for a server that is down to come up."),
	OPT_UINT(struct conf_upstream, check_fall, "check_fall", 1, 1000, "3", "checks", OPTION_LIVE,
		"Checks that must fail, one after the other, for a server that is up to go down."),
	OPT_UINT(struct conf_upstream, agent_port, "agent_port", 0, 65535, "0", NULL, OPTION_LIVE,
		"Port of an agent on each server that says how it is; 0 is none."),
	OPT_STRING(struct conf_upstream, agent_send, "agent_send", NULL, OPTION_LIVE,
		"What an agent is sent before it answers."),
	OPT_TIME(struct conf_upstream, agent_interval_ms, "agent_interval", 10, DAY, "2s", OPTION_LIVE,
		"Time between two questions to an agent."),
	OPT_END,
};

const struct option_group conf_group_upstream = {
	.path = "upstreams.NAME",
	.help = "A group of servers that connections are passed on to.",
	.options = upstream_options,
	.size = sizeof(struct conf_upstream),
};

static const struct option_word send_proxy_words[] = {
	{"none", CONF_SEND_PROXY_NONE},
	{"v1", CONF_SEND_PROXY_V1},
	{"v2", CONF_SEND_PROXY_V2},
	{NULL, 0},
};

static const struct option server_options[] = {
	OPT_ADDRESS_REQUIRED(struct conf_server, address, "address", OPTION_LIVE,
		"Where it is: tcp:HOST:PORT, tcp:[V6]:PORT, unix:PATH, unix:@ABSTRACT, or srv:NAME for SRV records."),
	OPT_UINT(struct conf_server, weight, "weight", 0, 256, "1", NULL, OPTION_LIVE,
		"Its share of the clients beside the other servers' weights; 0 gives it no new ones."),
	OPT_BOOL(struct conf_server, backup, "backup", "false", OPTION_LIVE,
		"Use it only while no server without this mark is up."),
	OPT_BOOL(struct conf_server, maintenance, "maintenance", "false", OPTION_LIVE,
		"Give it no new clients and do not check it; its connections live on."),
	OPT_UINT(struct conf_server, max_connections, "max_connections", 0, 10000000, "0", "connections", OPTION_LIVE,
		"Connections to it at once; clients beyond that use another server or wait. 0 is no limit."),
	OPT_UINT(struct conf_server, ready_connections, "ready_connections", 0, 1024, "0", "connections",
		OPTION_NEW_CONNECTIONS, "Connections to it that are kept open ahead of need."),
	OPT_WORD(struct conf_server, send_proxy, "send_proxy", send_proxy_words, "none", OPTION_NEW_CONNECTIONS,
		"Tell it who the client is by a header of the PROXY protocol, version 1 or 2."),
	OPT_END,
};

const struct option_group conf_group_server = {
	.path = "upstreams.NAME.servers.()",
	.help = "A server, or all that a name stands for.",
	.options = server_options,
	.size = sizeof(struct conf_server),
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

	OPT_BOOL(struct conf_listener, accept_proxy, "accept_proxy", "false", OPTION_NEW_CONNECTIONS,
		"Every connection begins with a header of the PROXY protocol (version 1 or 2) that names its client."),
	OPT_NETWORKS(struct conf_listener, trusted_proxies, "trusted_proxies", OPTION_NEW_CONNECTIONS,
		"Networks whose word about a client is taken; with accept_proxy all others are refused."),
	OPT_TIME(struct conf_listener, proxy_timeout_ms, "proxy_timeout", 100, HOUR, "3s", OPTION_NEW_CONNECTIONS,
		"Close a connection whose header has not come after this time."),

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
