/* SPDX-License-Identifier: MIT */
/*
 * kinds - the table. The rows below "inetd" are names of our own for what only inetd.conf can say.
 */
#include "config.h"

#include "import/kinds.h"

#include <stddef.h>
#include <string.h>

static const struct kind kinds[] = {
	{"id", 0, NULL},
	{"type", 0, NULL},
	{"flags", 0, NULL},
	{"disable", 0, NULL},
	{"enabled", KIND_DEFAULTS | KIND_LIST, NULL},
	{"disabled", KIND_DEFAULTS | KIND_LIST, NULL},

	{"socket_type", 0, NULL},
	{"protocol", 0, NULL},
	{"port", 0, NULL},
	{"bind", KIND_DEFAULT, NULL},
	{"interface", KIND_DEFAULT, NULL},
	{"v6only", KIND_DEFAULT, NULL},
	{"redirect", 0, NULL},
	{"mdns", KIND_DEFAULT | KIND_QUIET, "connpoold announces nothing by multicast DNS"},

	{"wait", 0, NULL},
	{"server", 0, NULL},
	{"server_args", 0, NULL},
	{"user", 0, NULL},
	{"group", 0, NULL},
	{"groups", KIND_DEFAULT, NULL},
	{"umask", KIND_DEFAULT, NULL},
	{"nice", 0, NULL},
	{"env", KIND_LIST, NULL},
	{"passenv", KIND_DEFAULT | KIND_LIST, NULL},
	{"rlimit_as", 0, NULL},
	{"rlimit_cpu", 0, NULL},
	{"rlimit_data", 0, NULL},
	{"rlimit_files", 0, NULL},
	{"rlimit_rss", KIND_QUIET, "Linux does not limit the resident memory of a process"},
	{"rlimit_stack", 0, NULL},

	{"only_from", KIND_DEFAULT | KIND_LIST, NULL},
	{"no_access", KIND_DEFAULT | KIND_LIST, NULL},
	{"access_times", KIND_DEFAULT, "there are no time windows yet: the service is there all day"},
	{"instances", KIND_DEFAULT, NULL},
	{"per_source", KIND_DEFAULT, NULL},
	{"cps", KIND_DEFAULT,
		"there is no limit of the rate yet; nothing is switched off after a burst: max_connections, "
		"max_per_source "
		"and the pool's queue bound what it can do"},
	{"max_load", KIND_DEFAULT, "the load of the machine is not looked at yet"},
	{"deny_time", KIND_DEFAULT | KIND_QUIET, "there are no sensors, so nobody is banned by one"},
	{"libwrap", KIND_DEFAULT, "hosts.allow and hosts.deny are not read: use allow and deny"},
	{"rpc_version", KIND_QUIET, "Sun RPC is not supported"},
	{"rpc_number", KIND_QUIET, "Sun RPC is not supported"},

	{"banner", KIND_DEFAULT, "nothing is said to a client before its service yet"},
	{"banner_success", KIND_DEFAULT, "nothing is said to a client before its service yet"},
	{"banner_fail", KIND_DEFAULT, NULL},
	{"log_type", KIND_DEFAULT | KIND_QUIET,
		"the log goes to the journal or to standard error, for all listeners (log.target)"},
	{"log_on_success", KIND_DEFAULT | KIND_LIST, NULL},
	{"log_on_failure", KIND_DEFAULT | KIND_LIST, NULL},

	/* inetd */
	{"path", KIND_INETD, NULL},
	{"sndbuf", KIND_INETD, NULL},
	{"rcvbuf", KIND_INETD, NULL},
	{"max-per-minute", KIND_INETD,
		"there is no limit of the rate yet; nothing is switched off after a burst: max_connections, "
		"max_per_source "
		"and the pool's queue bound what it can do"},
	{"max-per-source-per-minute", KIND_INETD,
		"there is no limit of the rate yet: max_per_source bounds the number at once"},
	{"class", KIND_INETD | KIND_QUIET, "there are no login classes on Linux"},
	{NULL, 0, NULL},
};

const struct kind *
kind_table(void)
{
	return kinds;
}

const struct kind *
kind_find(const char *name)
{
	for (const struct kind *kind = kinds; kind->name != NULL; kind++) {
		if (strcmp(kind->name, name) == 0)
			return kind;
	}
	return NULL;
}
