/* SPDX-License-Identifier: MIT */
/*
 * convert_access - who may connect, how often at once, and what is said and logged about it.
 *
 * A network that can not be taken over must never open a listener to more clients than before without a word.
 */
#include "config.h"

#include <string.h>

#include "base/errmsg.h"
#include "import/arena.h"
#include "import/convert_parts.h"
#include "import/lines.h"
#include "import/network.h"
#include "import/quote.h"

#define LIMIT_MAX 10000000
/* A message goes out in one piece. */
#define BANNER_BYTES_MAX 4096

static const char *const everybody[] = {"0.0.0.0/0", "::/0"};

/* ---- lists ------------------------------------------------------------------------- */

static void
convert_networks(struct job *job, const struct attribute *attribute, struct words *networks)
{
	for (size_t i = 0; attribute != NULL && i < attribute->values.count; i++) {
		struct errmsg err = {.text = ""};

		if (network_convert(job->arena, networks, attribute->values.items[i], &err) < 0)
			convert_warn(job, attribute, "%s", err.text);
	}
}

static void
set_networks(struct job *job, const char *key, const struct words *networks)
{
	if (networks->count > 0)
		plan_set(job->arena, &job->plan->settings, key, "%s", quote_list(job->arena, networks));
}

/* One network in both lists is refused by the daemon's own checks: it stays where it lets nobody in. */
static void
settle_doubles(struct job *job, const struct attribute *only_from, struct words *allow, const struct words *deny)
{
	for (size_t i = 0; i < deny->count; i++) {
		if (!words_has(allow, deny->items[i]))
			continue;
		convert_note(job, only_from, "%s stands in no_access too, so it is denied", deny->items[i]);
		words_remove(allow, deny->items[i]);
	}
}

void
convert_access(struct job *job)
{
	const struct attribute *only_from = entry_find(job->entry, "only_from");
	const struct attribute *no_access = entry_find(job->entry, "no_access");
	struct words allow = {0}, deny = {0};

	if (only_from == NULL && no_access == NULL)
		return;
	if (job->is_wait) {
		if (only_from != NULL)
			convert_warn(
				job, only_from, "the program accepts by itself, nobody is turned away; nor did xinetd");
		if (no_access != NULL)
			convert_warn(
				job, no_access, "the program accepts by itself, nobody is turned away; nor did xinetd");
		return;
	}
	convert_networks(job, only_from, &allow);
	convert_networks(job, no_access, &deny);
	settle_doubles(job, only_from, &allow, &deny);
	if (only_from != NULL && allow.count == 0) {
		convert_note(job, only_from, "%s, so nobody may connect",
			only_from->values.count == 0 ? "it is empty" : "no address of it is left");
		for (size_t i = 0; i < CP_COUNT(everybody); i++) {
			if (!words_has(&deny, everybody[i]))
				words_add(job->arena, &deny, everybody[i]);
		}
	}
	set_networks(job, "allow", &allow);
	set_networks(job, "deny", &deny);
}

/* ---- numbers ------------------------------------------------------------------------- */

void
convert_limit(struct job *job, const struct attribute *attribute)
{
	const char *key = strcmp(attribute->name, "instances") == 0 ? "max_connections" : "max_per_source";
	int64_t number;

	if (words_has(&attribute->values, "UNLIMITED"))
		return;
	if (job->is_wait)
		convert_note(job, attribute,
			"one program accepts all its clients by itself, and bounds their number or not");
	else if (convert_number(job, attribute, 10, 1, LIMIT_MAX, &number))
		plan_set(job->arena, &job->plan->settings, key, "%lld", (long long)number);
}

/* ---- texts --------------------------------------------------------------------------- */

void
convert_banner_fail(struct job *job, const struct attribute *attribute)
{
	const char *path = attribute->values.count == 1 ? attribute->values.items[0] : "";
	struct words lines = {0};
	struct errmsg err = {.text = ""};
	char *text;

	if (lines_read(job->arena, &lines, path, &err) < 0) {
		convert_warn(job, attribute, "cannot read the file: %s", err.text);
		return;
	}
	text = words_join(job->arena, &lines, "\n");
	if (*text == '\0' || strlen(text) >= BANNER_BYTES_MAX) {
		convert_warn(job, attribute, "a message has at least a byte, and fewer than %d", BANNER_BYTES_MAX);
		return;
	}
	plan_set(job->arena, &job->plan->settings, "busy_message", "%s",
		quote_string(job->arena, arena_printf(job->arena, "%s\n", text)));
	convert_note(job, attribute,
		"its text is busy_message, for whom a limit turns away; who is not allowed is told nothing");
}

void
convert_log(struct job *job, const struct attribute *attribute)
{
	if (words_has(&attribute->values, "USERID"))
		convert_note(job, attribute, "ident (RFC 1413) is not asked");
	if (attribute->values.count == 0 && strcmp(attribute->name, "log_on_success") == 0)
		convert_note(job, attribute,
			"each closed connection is logged; log.connections = false stops that, for all listeners");
}
