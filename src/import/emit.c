/* SPDX-License-Identifier: MIT */
/*
 * emit - first what is served, then what could be, then what can not.
 *
 * What stands in comments comes after all listeners, each with a comma before it: taking the '#' away is enough to
 * make a listener of it.
 */
#include "config.h"

#include "import/emit.h"

#include <string.h>

#include "import/arena.h"
#include "import/entry.h"
#include "import/plan.h"
#include "import/quote.h"
#include "import/words.h"

#define COLUMNS 100

/* How each line begins. */
struct margin {
	const char *text;
	const char *comment; /* "# " of a part that is not to count, or "" */
};

static const struct margin no_margin = {"", ""};

/* ---- comments ------------------------------------------------------------------ */

/* Control characters would end the comment, or worse on a terminal. */
static void
put_text(const char *text, size_t length, FILE *out)
{
	for (size_t i = 0; i < length; i++)
		fputc((unsigned char)text[i] < 0x20 || text[i] == 0x7f ? ' ' : text[i], out);
}

/* As many lines as it takes; first and following are put before the text. */
static void
put_comment(const struct margin *margin, const char *first, const char *following, const char *text, FILE *out)
{
	const char *lead = first;

	do {
		size_t length = strlen(text);

		if (length > COLUMNS) {
			length = COLUMNS;
			while (length > 0 && text[length] != ' ')
				length--;
			if (length == 0)
				length = strcspn(text, " ");
		}
		fprintf(out, "%s# %s", margin->text, lead);
		put_text(text, length, out);
		fputc('\n', out);
		lead = following;
		text += length;
		text += strspn(text, " ");
	} while (*text != '\0');
}

/* "rsync: /etc/xinetd.d/rsync, line 3" */
static void
put_title(struct arena *arena, const struct margin *margin, const struct plan *plan, FILE *out)
{
	const struct place *place = &plan->entry->place;

	put_comment(
		margin, "", "  ", arena_printf(arena, "%s: %s, line %u", plan->name, place->file, place->line), out);
}

static void
put_notes(const struct margin *margin, const struct words *notes, FILE *out)
{
	for (size_t i = 0; i < notes->count; i++)
		put_comment(margin, "- ", "  ", notes->items[i], out);
}

/* ---- a listener ------------------------------------------------------------------ */

static void
put_settings(const struct margin *margin, const char *indent, const struct setting *settings, FILE *out)
{
	for (; settings != NULL; settings = settings->next)
		fprintf(out, "%s%s%s%s = %s;\n", margin->text, margin->comment, indent, settings->key, settings->value);
}

static void
put_listener(struct arena *arena, const struct margin *margin, const struct plan *plan, FILE *out)
{
	const char *m = margin->text, *c = margin->comment;

	fprintf(out, "%s%s\tname = %s;\n", m, c, quote_string(arena, plan->name));
	fprintf(out, "%s%s\taddress = %s;\n", m, c,
		plan->addresses.count == 1 ? quote_string(arena, plan->addresses.items[0])
					   : quote_list(arena, &plan->addresses));
	put_settings(margin, "\t", plan->settings, out);
	if (plan->options == NULL) {
		fprintf(out, "%s%s\tservice = %s;\n", m, c, quote_string(arena, plan->type));
		return;
	}
	fprintf(out, "%s%s\tservice = {\n", m, c);
	fprintf(out, "%s%s\t\ttype = %s;\n", m, c, quote_string(arena, plan->type));
	put_settings(margin, "\t\t", plan->options, out);
	fprintf(out, "%s%s\t};\n", m, c);
}

static void
put_upstream(struct arena *arena, const struct margin *margin, const struct plan *plan, FILE *out)
{
	fprintf(out, "%s%s%s: { servers = ( { address = %s; } ); };\n", margin->text, margin->comment, plan->upstream,
		quote_string(arena, plan->server));
}

/* What was written, for what can't be put otherwise. */
static void
put_original(struct arena *arena, const struct margin *margin, const struct plan *plan, FILE *out)
{
	for (const struct attribute *a = plan->entry->attributes; a != NULL; a = a->next) {
		if (!a->is_default)
			put_comment(margin, "    ", "      ", attribute_format(arena, a), out);
	}
}

/* ---- the file -------------------------------------------------------------------- */

static bool
is_commented(const struct emission *emission, const struct plan *plan)
{
	return plan->state == PLAN_INACTIVE ||
	       (plan->state == PLAN_DISABLED && !plan->is_foreign && emission->keep_disabled);
}

static unsigned
count_state(const struct emission *emission, enum plan_state state)
{
	unsigned count = 0;

	for (const struct plan *plan = emission->plans; plan != NULL; plan = plan->next)
		count += plan->state == state;
	return count;
}

static bool
runs_programs(const struct emission *emission)
{
	for (const struct plan *plan = emission->plans; plan != NULL; plan = plan->next) {
		if (plan->state == PLAN_LIVE && strcmp(plan->type, "exec") == 0)
			return true;
	}
	return false;
}

static void
put_head(struct arena *arena, const struct emission *emission, FILE *out)
{
	fputs("# connpoold.conf - made by connpoold-import(8) of:\n", out);
	for (size_t i = 0; i < emission->files->count; i++)
		put_comment(&no_margin, "  ", "    ", emission->files->items[i], out);
	fputs("#\n", out);
	put_comment(&no_margin, "", "",
		arena_printf(arena,
			"Services that became listeners: %u; listeners in comments: %u; without an equal: %u; switched "
			"off there: %u.",
			count_state(emission, PLAN_LIVE), count_state(emission, PLAN_INACTIVE),
			count_state(emission, PLAN_FOREIGN), count_state(emission, PLAN_DISABLED)),
		out);
	put_comment(&no_margin, "", "",
		"What has no equal stands above its listener, and why. Check it with: connpoold --check -f FILE", out);
	if (count_state(emission, PLAN_LIVE) == 0)
		put_comment(&no_margin, "", "",
			"There is nothing to serve yet: connpoold wants a listener before it starts.", out);
	if (runs_programs(emission)) {
		fputs("#\n# What is different for programs:\n", out);
		put_comment(&no_margin, "- ", "  ",
			"standard error goes to the log; stderr = \"client\" sends it to the client, as xinetd and "
			"inetd did",
			out);
		put_comment(&no_margin, "- ", "  ",
			"the environment is a clean one, with who the client is; pass_environment hands on what else "
			"is needed",
			out);
		put_comment(&no_margin, "- ", "  ",
			"set-uid programs below them (sudo, su) need no_new_privileges = false", out);
		put_comment(&no_margin, "- ", "  ",
			"for a user of their own the daemon has to be started as root; set daemon.user then, so that "
			"what serves "
			"the network is not root",
			out);
	}
	if (emission->notes->count > 0) {
		fputs("#\n# What the section 'defaults' says, and connpoold has not:\n", out);
		put_notes(&no_margin, emission->notes, out);
	}
}

static void
put_upstreams(struct arena *arena, const struct emission *emission, FILE *out)
{
	static const struct margin live = {"\t", ""}, commented = {"\t", "# "};
	bool is_open = false;

	for (const struct plan *plan = emission->plans; plan != NULL; plan = plan->next) {
		if (plan->upstream == NULL || (plan->state != PLAN_LIVE && !is_commented(emission, plan)))
			continue;
		if (!is_open)
			fputs("\nupstreams: {\n", out);
		is_open = true;
		put_upstream(arena, plan->state == PLAN_LIVE ? &live : &commented, plan, out);
	}
	if (is_open)
		fputs("};\n", out);
}

static void
put_live(struct arena *arena, const struct emission *emission, FILE *out)
{
	static const struct margin margin = {"\t", ""};
	unsigned left = count_state(emission, PLAN_LIVE);

	for (const struct plan *plan = emission->plans; plan != NULL; plan = plan->next) {
		if (plan->state != PLAN_LIVE)
			continue;
		put_title(arena, &margin, plan, out);
		put_notes(&margin, &plan->notes, out);
		fputs("\t{\n", out);
		put_listener(arena, &margin, plan, out);
		fputs(--left > 0 ? "\t},\n\n" : "\t}\n", out);
	}
}

static void
put_commented(struct arena *arena, const struct emission *emission, FILE *out)
{
	static const struct margin margin = {"\t", "# "};

	for (const struct plan *plan = emission->plans; plan != NULL; plan = plan->next) {
		if (!is_commented(emission, plan))
			continue;
		fputc('\n', out);
		put_title(arena, &margin, plan, out);
		put_comment(&margin, "- not served: ", "  ", plan->reason, out);
		put_notes(&margin, &plan->notes, out);
		fputs("\t# , {\n", out);
		put_listener(arena, &margin, plan, out);
		fputs("\t# }\n", out);
	}
}

static void
put_rest(struct arena *arena, const struct emission *emission, FILE *out)
{
	for (const struct plan *plan = emission->plans; plan != NULL; plan = plan->next) {
		bool is_kept = plan->state == PLAN_DISABLED && plan->is_foreign && emission->keep_disabled;

		if (plan->state == PLAN_FOREIGN || is_kept) {
			fputc('\n', out);
			put_title(arena, &no_margin, plan, out);
			put_comment(&no_margin, "- not imported: ", "  ", plan->reason, out);
			put_original(arena, &no_margin, plan, out);
		}
	}
	if (emission->keep_disabled || count_state(emission, PLAN_DISABLED) == 0)
		return;
	fputs("\n# Switched off where they come from, and left out (--disabled keeps them as comments):\n", out);
	for (const struct plan *plan = emission->plans; plan != NULL; plan = plan->next) {
		if (plan->state == PLAN_DISABLED)
			put_comment(&no_margin, "- ", "  ",
				arena_printf(arena, "%s: %s, line %u", plan->name, plan->entry->place.file,
					plan->entry->place.line),
				out);
	}
}

void
emit_config(struct arena *arena, const struct emission *emission, FILE *out)
{
	put_head(arena, emission, out);
	put_upstreams(arena, emission, out);
	fputs("\nlisteners: (\n", out);
	put_live(arena, emission, out);
	put_commented(arena, emission, out);
	fputs(");\n", out);
	put_rest(arena, emission, out);
}
