/* SPDX-License-Identifier: MIT */
/*
 * registry.c - one array of names and options, one of handlers, in the same order.
 */
#include "config.h"

#include "service/registry.h"

#include <errno.h>

#include "base/assert.h"
#include "conf/conf.h"
#include "connpoold/handler.h"
#include "net/route.h"
#include "program/program.h"
#include "service/binding.h"
#include "service/exec.h"
#include "service/module.h"
#include "service/services.h"
#include "service/verdict.h"

static const struct option no_options[] = {OPT_END};

#define PLAIN_SERVICE(word, text) \
	{ \
		.name = word, .group = {.path = "service " word, .help = text, .options = no_options, .size = 0 } \
	}

#define KIB 1024ull
#define SECOND 1000ull
#define HOUR (3600 * SECOND)

static const struct option proxy_option_rows[] = {
	OPT_UPSTREAM_REQUIRED(struct proxy_options, upstream, "upstream", OPTION_NEW_CONNECTIONS,
		"The group of servers that connections are passed on to: a name in upstreams."),
	OPT_SIZE(struct proxy_options, buffer_size_bytes, "buffer_size", 4 * KIB, 16 * 1024 * KIB, "256KiB",
		OPTION_NEW_CONNECTIONS,
		"Bytes that may be under way, each way, when the receiving side is slow; the sender waits then."),
	OPT_TIME(struct proxy_options, half_closed_timeout_ms, "half_closed_timeout", 0, 24 * HOUR, "1h",
		OPTION_NEW_CONNECTIONS,
		"Once one side has ended, close when nothing was passed on for this long; 0 is no limit."),
	OPT_END,
};

static const struct conf_service_type types[] = {
	PLAIN_SERVICE("echo", "Sends back what the client sends (RFC 862)."),
	PLAIN_SERVICE("discard", "Throws away what the client sends (RFC 863)."),
	PLAIN_SERVICE("daytime", "Sends the date and time as a line of text (RFC 867)."),
	PLAIN_SERVICE("time", "Sends the seconds since 1900 as 32 bits (RFC 868)."),
	PLAIN_SERVICE("chargen", "Sends lines of characters until the client has had enough (RFC 864)."),
	{.name = "proxy",
		.group = {.path = "service proxy",
			.help = "Passes the connection on to a server of an upstream.",
			.options = proxy_option_rows,
			.size = sizeof(struct proxy_options)}},
	{.name = "module",
		.group = {.path = "service module",
			.help = "Has the connection served by a shared object.",
			.options = module_option_rows,
			.size = sizeof(struct module_section)},
		.extended_by = "path",
		.extend = module_extend,
		.retract = module_retract},
	{.name = "exec",
		.group = {.path = "service exec",
			.help = "Gives the connection to a program as its standard input and output.",
			.options = exec_option_rows,
			.size = sizeof(struct exec_options)},
		.check = exec_check_options,
		.runs_program = true},
	{.name = "check",
		.group = {.path = "service check",
			.help = "Says what a command says of something, run once for all who ask.",
			.options = check_option_rows,
			.size = sizeof(struct check_options)},
		.check = program_check_options,
		.runs_program = true},
	{.name = NULL},
};

/* NULL: each service has its own. */
static const struct cp_handler *const handlers[] = {
	&echo_handler,
	&discard_handler,
	&daytime_handler,
	&time_handler,
	&chargen_handler,
	&proxy_handler,
	NULL, /* module */
	&exec_handler,
	&check_handler,
};

_Static_assert(CP_COUNT(types) == CP_COUNT(handlers) + 1, "a handler for each service");

const struct conf_service_type *
registry_types(void)
{
	return types;
}

/* Its own options are all that is known of such a section. */
static int
extend_nothing(const char *conf_path, const char *value, const struct option_group **ret_group, struct errmsg *err)
{
	(void)conf_path;
	(void)value;
	(void)err;
	*ret_group = NULL;
	return 0;
}

const struct conf_service_type *
registry_types_without_code(void)
{
	static struct conf_service_type copies[CP_COUNT(types)];

	for (size_t i = 0; i < CP_COUNT(types); i++) {
		copies[i] = types[i];
		if (copies[i].extend != NULL)
			copies[i].extend = extend_nothing;
	}
	return copies;
}

const struct cp_handler *
registry_handler(const struct conf_service *service)
{
	const struct cp_handler *handler;

	CP_ASSERT(service->type >= types && service->type < types + CP_COUNT(handlers));
	handler = handlers[service->type - types];
	return handler != NULL ? handler : module_handler(service);
}

static void
leave_verdict(void *data)
{
	struct verdict_share *share = data;

	verdict_leave(&share);
}

int
registry_bind(struct conf *conf, const struct conf_listener *rule, struct upstreams *upstreams,
	struct verdicts *verdicts, struct route_state *ret_state, struct errmsg *err)
{
	const struct conf_service *service = &rule->service;
	const struct cp_handler *handler = registry_handler(service);
	const void *settings = service->options;
	const char *module = NULL;
	int rc = 0;

	*ret_state = (struct route_state){0};
	if (handler == &proxy_handler)
		return proxy_bind(service->options, upstreams, &ret_state->data, &ret_state->release);
	if (handler == &exec_handler)
		return exec_bind(settings, rule->index, &ret_state->data, &ret_state->release);
	if (handler == &check_handler) {
		*ret_state = (struct route_state){.data = verdict_join(verdicts, conf, rule), .release = leave_verdict};
		return ret_state->data != NULL ? 0 : -ENOMEM;
	}
	if (service->group != &service->type->group) {
		settings = module_settings(service);
		module = module_path(service);
	}
	if (binding_is_needed(handler))
		rc = binding_new(handler, module, settings, rule->name, ret_state, err);
	ret_state->module = module;
	if (module != NULL)
		ret_state->cxx = module_cxx(service);
	return rc;
}

uint64_t
registry_relay_bytes(const struct conf_service *service)
{
	const struct proxy_options *options = service->options;

	return registry_handler(service) == &proxy_handler ? 2 * options->buffer_size_bytes : 0;
}
