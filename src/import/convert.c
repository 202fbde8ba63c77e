/* SPDX-License-Identifier: MIT */
/*
 * convert - decides what a service becomes at all, then takes its attributes one by one.
 */
#include "config.h"

#include "import/convert.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/errmsg.h"
#include "import/arena.h"
#include "import/convert_parts.h"
#include "import/kinds.h"
#include "import/quote.h"

/* Attributes that several functions of this folder read for themselves, or that are settled before. */
static convert_fn convert_nothing;

static const struct {
	const char *name;
	convert_fn *fn;
} converters[] = {
	{"id", convert_nothing},
	{"type", convert_nothing},
	{"flags", convert_flags},
	{"disable", convert_nothing},
	{"socket_type", convert_nothing},
	{"protocol", convert_nothing},
	{"port", convert_nothing},
	{"bind", convert_nothing},
	{"interface", convert_nothing},
	{"v6only", convert_nothing},
	{"path", convert_nothing},
	{"redirect", convert_nothing},
	{"wait", convert_nothing},
	{"server", convert_nothing},
	{"server_args", convert_nothing},
	{"user", convert_nothing},
	{"group", convert_nothing},
	{"groups", convert_nothing},
	{"only_from", convert_nothing},
	{"no_access", convert_nothing},
	{"umask", convert_umask},
	{"nice", convert_nice},
	{"env", convert_environment},
	{"passenv", convert_environment},
	{"rlimit_as", convert_rlimit},
	{"rlimit_cpu", convert_rlimit},
	{"rlimit_data", convert_rlimit},
	{"rlimit_files", convert_rlimit},
	{"rlimit_stack", convert_rlimit},
	{"instances", convert_limit},
	{"per_source", convert_limit},
	{"banner_fail", convert_banner_fail},
	{"log_on_success", convert_log},
	{"log_on_failure", convert_log},
	{"sndbuf", convert_buffer},
	{"rcvbuf", convert_buffer},
};

/* What both daemons answer themselves, under the names that they have here. */
static const char *const small_services[] = {"echo", "discard", "daytime", "time", "chargen"};

/* ---- for all ------------------------------------------------------------------ */

/* false: it has been said already. */
static bool
add_note(struct job *job, const struct attribute *attribute, const char *text)
{
	const char *note = arena_printf(job->arena, "%s: %s", attribute_format(job->arena, attribute), text);

	struct words *notes = attribute->is_default ? &job->convert->notes : &job->plan->notes;

	if (words_has(notes, note))
		return false;
	words_add(job->arena, notes, note);
	return true;
}

void
convert_warn(struct job *job, const struct attribute *attribute, const char *fmt, ...)
{
	char text[1024];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (add_note(job, attribute, text) && job->plan->state <= PLAN_INACTIVE)
		report_warning(job->convert->report, attribute->place, "%s: %s", attribute->name, text);
}

void
convert_note(struct job *job, const struct attribute *attribute, const char *fmt, ...)
{
	char text[1024];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	(void)add_note(job, attribute, text);
}

bool
convert_number(struct job *job, const struct attribute *attribute, int base, int64_t min, int64_t max, int64_t *ret)
{
	const char *text = attribute->values.count == 1 ? attribute->values.items[0] : "";
	char *end = NULL;
	long long number;

	errno = 0;
	number = strtoll(text, &end, base);
	if (errno != 0 || end == text || *end != '\0' || number < min || number > max) {
		convert_warn(job, attribute, "expected a number from %lld to %lld", (long long)min, (long long)max);
		return false;
	}
	*ret = number;
	return true;
}

static void
convert_nothing(struct job *job, const struct attribute *attribute)
{
	(void)job;
	(void)attribute;
}

/* ---- what it becomes ------------------------------------------------------------- */

static bool
is_small_service(const char *name)
{
	for (size_t i = 0; i < CP_COUNT(small_services); i++) {
		if (strcmp(small_services[i], name) == 0)
			return true;
	}
	return false;
}

/* Why connpoold has no such service; NULL: it has. */
static const char *
find_foreign_reason(struct job *job)
{
	const struct entry *entry = job->entry;
	const char *type = entry_value(entry, "socket_type");
	const char *protocol = entry_value(entry, "protocol");

	if (entry_has(entry, "type", "RPC"))
		return "Sun RPC is not supported";
	if (entry_has(entry, "type", "TCPMUX") || entry_has(entry, "type", "TCPMUXPLUS") ||
		strcmp(entry->name, "tcpmux") == 0)
		return "there is no tcpmux (RFC 1078) yet: give the service a port of its own";
	if (entry_has(entry, "flags", "SENSOR"))
		return "there are no sensors yet";
	if ((type != NULL && strcmp(type, "dgram") == 0) || (protocol != NULL && strcmp(protocol, "udp") == 0))
		return "there are no datagrams (UDP) yet";
	if (type != NULL && strcmp(type, "stream") != 0)
		return arena_printf(job->arena, "there are no sockets of type %s", type);
	if (protocol != NULL && strcmp(protocol, "tcp") != 0)
		return arena_printf(job->arena, "there is no protocol %s, but tcp and Unix sockets", protocol);
	if (entry_has(entry, "type", "INTERNAL") && !is_small_service(entry->name))
		return "no such service is built in";
	return NULL;
}

static void
set_proxy(struct job *job, const struct attribute *redirect)
{
	unsigned port = redirect->values.count == 2 ? convert_port(redirect->values.items[1]) : 0;
	const char *name = quote_group_name(job->arena, &job->convert->group_names, job->plan->name);
	struct address address = {.text = NULL};
	struct errmsg err = {.text = ""};

	job->plan->type = "proxy";
	if (port == 0) {
		convert_warn(job, redirect, "expected an address and a port");
		plan_demote(job->arena, job->plan, PLAN_FOREIGN, "where it passes connections on to is not known");
		return;
	}
	job->plan->upstream = name;
	job->plan->server = convert_format_address(job->arena, redirect->values.items[0], port);
	if (address_parse_server(&address, job->plan->server, &err) < 0)
		plan_demote(job->arena, job->plan, PLAN_INACTIVE, "its server's address is none: %s", err.text);
	address_fini(&address);
	plan_set(job->arena, &job->plan->options, "upstream", "%s", quote_string(job->arena, name));
	if (entry_find(job->entry, "server") != NULL)
		plan_note(job->arena, job->plan, "server: with redirect it was never used");
}

static void
set_service(struct job *job)
{
	const struct attribute *redirect = entry_find(job->entry, "redirect");

	if (entry_has(job->entry, "type", "INTERNAL")) {
		job->plan->type = job->entry->name;
	} else if (redirect != NULL) {
		set_proxy(job, redirect);
	} else {
		job->plan->type = "exec";
		convert_command(job);
		convert_user(job);
	}
	if (job->is_wait && strcmp(job->plan->type, "exec") == 0) {
		plan_set(job->arena, &job->plan->options, "wait", "true");
	} else if (job->is_wait) {
		job->is_wait = false;
		convert_note(job, entry_find(job->entry, "wait"), "only a program can accept by itself");
	}
}

/* ---- all its attributes ------------------------------------------------------------ */

static void
convert_attribute(struct job *job, const struct attribute *attribute)
{
	const struct kind *kind = kind_find(attribute->name);

	if (kind == NULL || ((kind->flags & KIND_INETD) != 0 && job->entry->form != ENTRY_INETD)) {
		convert_warn(job, attribute, "there is no such attribute");
		return;
	}
	if ((kind->flags & KIND_DEFAULTS) != 0) {
		convert_warn(job, attribute, "belongs into the section 'defaults'");
		return;
	}
	if (kind->reason != NULL && (kind->flags & KIND_QUIET) != 0) {
		convert_note(job, attribute, "%s", kind->reason);
		return;
	}
	if (kind->reason != NULL) {
		convert_warn(job, attribute, "%s", kind->reason);
		return;
	}
	for (size_t i = 0; i < CP_COUNT(converters); i++) {
		if (strcmp(converters[i].name, attribute->name) == 0)
			converters[i].fn(job, attribute);
	}
}

static void
convert_all(struct job *job)
{
	const char *foreign = find_foreign_reason(job);

	if (foreign != NULL) {
		plan_demote(job->arena, job->plan, PLAN_FOREIGN, "%s", foreign);
		return;
	}
	set_service(job);
	convert_addresses(job);
	convert_access(job);
	for (const struct attribute *a = job->entry->attributes; a != NULL; a = a->next)
		convert_attribute(job, a);
}

/* Ids decide, not names; they are the same unless an id is written. */
static bool
is_disabled(const struct convert *convert, const struct entry *entry, const char *id)
{
	if (entry_has(entry, "disable", "yes"))
		return true;
	if (entry->form != ENTRY_XINETD)
		return false;
	return (convert->disabled != NULL && words_has(convert->disabled, id)) ||
	       (convert->enabled != NULL && !words_has(convert->enabled, id));
}

struct plan *
convert_entry(struct convert *convert, const struct entry *entry)
{
	struct plan *plan = arena_alloc(convert->arena, sizeof(*plan));
	struct job job = {.convert = convert, .arena = convert->arena, .entry = entry, .plan = plan};
	const char *id = entry_value(entry, "id");

	if (id == NULL)
		id = entry->name;
	plan->entry = entry;
	plan->name = quote_name(convert->arena, &convert->names, id);
	job.is_wait = entry_has(entry, "wait", "yes");
	if (is_disabled(convert, entry, id))
		plan_demote(convert->arena, plan, PLAN_DISABLED, "it is switched off there");
	convert_all(&job);
	return plan;
}
