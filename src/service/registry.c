/* SPDX-License-Identifier: MIT */
/*
 * registry.c - one array of names and options, one of handlers, in the same order.
 */
#include "config.h"

#include "service/registry.h"

#include "base/assert.h"
#include "conf/conf.h"
#include "connpoold/handler.h"
#include "service/services.h"

static const struct option no_options[] = {OPT_END};

#define PLAIN_SERVICE(word, text) \
	{ \
		.name = word, .group = {.path = "service " word, .help = text, .options = no_options, .size = 0 } \
	}

static const struct conf_service_type types[] = {
	PLAIN_SERVICE("echo", "Sends back what the client sends (RFC 862)."),
	PLAIN_SERVICE("discard", "Throws away what the client sends (RFC 863)."),
	PLAIN_SERVICE("daytime", "Sends the date and time as a line of text (RFC 867)."),
	PLAIN_SERVICE("time", "Sends the seconds since 1900 as 32 bits (RFC 868)."),
	PLAIN_SERVICE("chargen", "Sends lines of characters until the client has had enough (RFC 864)."),
	{.name = NULL},
};

static const struct cp_handler *const handlers[] = {
	&echo_handler,
	&discard_handler,
	&daytime_handler,
	&time_handler,
	&chargen_handler,
};

_Static_assert(CP_COUNT(types) == CP_COUNT(handlers) + 1, "a handler for each service");

const struct conf_service_type *
registry_types(void)
{
	return types;
}

const struct cp_handler *
registry_handler(const struct conf_service_type *type)
{
	CP_ASSERT(type >= types && type < types + CP_COUNT(handlers));
	return handlers[type - types];
}
