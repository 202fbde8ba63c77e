/* SPDX-License-Identifier: MIT */
/*
 * convert_socket - where it listens, and what is set on its sockets.
 */
#include "config.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/errmsg.h"
#include "base/units.h"
#include "import/arena.h"
#include "import/convert_parts.h"
#include "import/quote.h"

/* What a listener's buffers may have at most. */
#define BUFFER_BYTES_MAX (1ull << 30)

static const struct {
	const char *name;
	const char *key; /* NULL: it has no equal, and why */
	const char *text;
} flags[] = {
	{"NODELAY", "no_delay", NULL},
	{"KEEPALIVE", "keep_alive", NULL},
	{"INTERCEPT", NULL, "packets for a program that accepts by itself are not looked at"},
	{"NORETRY", NULL, "starting a program is tried once anyway"},
	{"IDONLY", NULL, "ident (RFC 1413) is not asked, so that nobody is refused for its lack: use allow"},
	{"NOLIBWRAP", NULL, "hosts.allow and hosts.deny are not read anyway"},
	{"LABELED", NULL, "programs do not get the SELinux context of their client"},
	/* Settled elsewhere, or always so. */
	{"REUSE", "", NULL},
	{"IPv4", "", NULL},
	{"IPv6", "", NULL},
	{"NAMEINARGS", "", NULL},
	{"SENSOR", "", NULL},
};

unsigned
convert_port(const char *text)
{
	const struct servent *service;
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	if (*text >= '0' && *text <= '9' && *end == '\0')
		return number <= 65535 ? (unsigned)number : 0;
	service = getservbyname(text, "tcp");
	return service != NULL ? ntohs((uint16_t)service->s_port) : 0;
}

char *
convert_format_address(struct arena *arena, const char *host, unsigned port)
{
	bool is_ipv6 = strchr(host, ':') != NULL && *host != '[';

	return arena_printf(arena, is_ipv6 ? "tcp:[%s]:%u" : "tcp:%s:%u", host, port);
}

/* 0: there is none, and the plan says so. */
static unsigned
find_port(struct job *job)
{
	const char *name = job->entry->name;
	unsigned port = convert_port(entry_value(job->entry, "port") != NULL ? entry_value(job->entry, "port") : name);
	unsigned listed = convert_port(name);

	if (port == 0) {
		plan_demote(job->arena, job->plan, PLAN_FOREIGN,
			"its port is not known: /etc/services has no \"%s\" for tcp", name);
		return 0;
	}
	if (listed != 0 && listed != port && !entry_has(job->entry, "type", "UNLISTED"))
		plan_note(job->arena, job->plan,
			"port = %u: not the one of /etc/services, which is %u; xinetd wants type = UNLISTED "
			"for that",
			port, listed);
	return port;
}

/* Any address, of the families that it is for. */
static const char *
find_any_host(struct job *job)
{
	bool is_ipv4 = entry_has(job->entry, "flags", "IPv4");
	bool is_ipv6 = entry_has(job->entry, "flags", "IPv6");
	bool is_v6only = entry_has(job->entry, "v6only", "yes");

	if (is_ipv4 && !is_ipv6)
		return "0.0.0.0";
	if (is_v6only)
		return "::";
	/* Without v6only an IPv6 socket takes both, as Linux has it. */
	return "*";
}

static void
bind_hosts(struct job *job, const struct attribute *bind, unsigned port)
{
	const char *any = find_any_host(job);

	for (size_t i = 0; i < bind->values.count; i++) {
		const char *host = bind->values.items[i];

		if (strcmp(host, "0.0.0.0") == 0 && strcmp(any, "*") != 0)
			host = any;
		if (strcmp(host, "::") == 0)
			host = entry_has(job->entry, "v6only", "yes") ? "::" : "*";
		words_add(job->arena, &job->plan->addresses, convert_format_address(job->arena, host, port));
	}
}

static void
find_addresses(struct job *job)
{
	const struct attribute *bind = entry_find(job->entry, "bind");
	const char *path = entry_value(job->entry, "path");
	unsigned port;

	if (path != NULL && job->entry->form == ENTRY_INETD) {
		words_add(job->arena, &job->plan->addresses, arena_printf(job->arena, "unix:%s", path));
		return;
	}
	port = find_port(job);
	if (port == 0)
		return;
	/* They are two names of one thing; that of the service counts before a default. */
	if (bind == NULL || bind->is_default) {
		const struct attribute *interface = entry_find(job->entry, "interface");

		if (interface != NULL && (bind == NULL || !interface->is_default))
			bind = interface;
	}
	if (bind != NULL && bind->values.count > 0)
		bind_hosts(job, bind, port);
	else
		words_add(job->arena, &job->plan->addresses,
			convert_format_address(job->arena, find_any_host(job), port));
}

void
convert_addresses(struct job *job)
{
	find_addresses(job);
	for (size_t i = 0; i < job->plan->addresses.count; i++) {
		struct address address = {.text = NULL};
		struct errmsg err = {.text = ""};

		if (address_parse(&address, job->plan->addresses.items[i], &err) < 0)
			plan_demote(job->arena, job->plan, PLAN_INACTIVE, "its address is none: %s", err.text);
		address_fini(&address);
	}
}

static void
convert_flag(struct job *job, const struct attribute *attribute, const char *flag)
{
	for (size_t i = 0; i < CP_COUNT(flags); i++) {
		if (strcmp(flags[i].name, flag) != 0)
			continue;
		if (flags[i].key == NULL)
			convert_warn(job, attribute, "%s: %s", flag, flags[i].text);
		else if (*flags[i].key != '\0' && job->is_wait)
			convert_note(job, attribute, "%s: the program accepts by itself, and sets it or not", flag);
		else if (*flags[i].key != '\0')
			plan_set(job->arena, &job->plan->settings, flags[i].key, "true");
		return;
	}
	convert_warn(job, attribute, "there is no flag \"%s\"", flag);
}

void
convert_flags(struct job *job, const struct attribute *attribute)
{
	for (size_t i = 0; i < attribute->values.count; i++)
		convert_flag(job, attribute, attribute->values.items[i]);
}

/* inetd's "16k" and "1m" are KiB and MiB. */
void
convert_buffer(struct job *job, const struct attribute *attribute)
{
	const char *key = strcmp(attribute->name, "sndbuf") == 0 ? "send_buffer" : "receive_buffer";
	const char *text = attribute->values.items[0];
	size_t digits = strspn(text, "0123456789");
	const char *unit = strcmp(text + digits, "k") == 0   ? "KiB"
			   : strcmp(text + digits, "m") == 0 ? "MiB"
			   : text[digits] == '\0'            ? "B"
							     : "?";
	const char *size = arena_printf(job->arena, "%.*s%s", (int)digits, text, unit);
	uint64_t bytes;

	if (units_parse_size(size, &bytes) < 0 || bytes > BUFFER_BYTES_MAX)
		convert_warn(job, attribute, "is no size for a buffer");
	else
		plan_set(job->arena, &job->plan->settings, key, "%s", quote_string(job->arena, size));
}
