/* SPDX-License-Identifier: MIT */
/*
 * inetd - one line a service: [ADDRESS:]SERVICE TYPE PROTOCOL WAIT USER PROGRAM [ARGUMENT ...].
 *
 * The columns become the attributes that xinetd has for them. There are dialects: "nowait.40" is a rate a minute,
 * "nowait/40/10/5" a number at once, a rate and a number for each source; "user.group", "user:group" and "user/class"
 * all occur. A line that Debian's update-inetd has switched off begins with "#<off>#".
 */
#include "config.h"

#include "import/inetd.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "import/arena.h"
#include "import/entry.h"
#include "import/words.h"

#define OFF "#<off>#"

enum column { COLUMN_SERVICE, COLUMN_TYPE, COLUMN_PROTOCOL, COLUMN_WAIT, COLUMN_USER, COLUMN_PROGRAM, COLUMN_COUNT };

struct parser {
	struct arena *arena;
	struct report *report;
	struct entries *entries;
	struct place place;
	const char *host; /* of the lines from here on, as "HOST:" alone on a line sets it; NULL: any */
};

/* One line under way. */
struct row {
	struct parser *parser;
	struct entry *entry;
};

static void
set(const struct row *row, const char *name, const char *value)
{
	entry_set(row->parser->arena, row->entry, name, value, row->parser->place);
}

/* One more value of an attribute that may have several. */
static void
append(const struct row *row, const char *name, const char *value)
{
	struct attribute *attribute = row->entry->attributes;

	while (attribute != NULL && strcmp(attribute->name, name) != 0)
		attribute = attribute->next;
	if (attribute == NULL)
		set(row, name, value);
	else
		words_add(row->parser->arena, &attribute->values, value);
}

/* ---- columns --------------------------------------------------------------------- */

/* "HOST:SERVICE" at its last colon that is outside of brackets; *ret_host is NULL when there is no host. */
static const char *
split_host(struct arena *arena, const char *word, const char **ret_host)
{
	const char *colon = strrchr(word, ':');
	const char *bracket = strrchr(word, ']');

	*ret_host = NULL;
	if (colon == NULL || (bracket != NULL && colon < bracket))
		return word;
	*ret_host = arena_strndup(arena, word, (size_t)(colon - word));
	return colon + 1;
}

/* "a,[::1],b" */
static void
add_hosts(const struct row *row, const char *hosts)
{
	struct arena *arena = row->parser->arena;
	struct attribute *bind;

	if (hosts == NULL || *hosts == '\0' || strcmp(hosts, "*") == 0)
		return;
	bind = entry_add(arena, row->entry, "bind", ATTRIBUTE_SET, row->parser->place);
	while (*hosts != '\0') {
		size_t length = strcspn(hosts, ",");
		size_t inner = length;
		const char *from = hosts;

		if (length >= 2 && hosts[0] == '[' && hosts[length - 1] == ']') {
			from++;
			inner -= 2;
		}
		if (inner > 0)
			words_add(arena, &bind->values, arena_strndup(arena, from, inner));
		hosts += length + (hosts[length] == ',' ? 1 : 0);
	}
}

/* "tcp", "tcp6", "rpc/tcp", "tcp,rcvbuf=16k" */
static void
parse_protocol(const struct row *row, const char *word)
{
	struct arena *arena = row->parser->arena;
	size_t length = strcspn(word, ",");
	char *protocol = arena_strndup(arena, word, length);

	if (strncmp(protocol, "rpc/", 4) == 0) {
		append(row, "type", "RPC");
		protocol += 4;
	}
	if (strcmp(protocol, "tcp4") == 0 || strcmp(protocol, "udp4") == 0) {
		append(row, "flags", "IPv4");
		protocol[3] = '\0';
	} else if (strncmp(protocol, "tcp6", 4) == 0 || strncmp(protocol, "udp6", 4) == 0) {
		append(row, "flags", "IPv6");
		set(row, "v6only", "yes");
		protocol[3] = '\0';
	} else if (strcmp(protocol, "tcp46") == 0 || strcmp(protocol, "udp46") == 0) {
		protocol[3] = '\0';
	}
	set(row, "protocol", protocol);
	while (word[length] == ',') {
		const char *option = word + length + 1;
		size_t size = strcspn(option, ",");
		size_t name = strcspn(option, "=,");

		if (name < size)
			set(row, arena_strndup(arena, option, name),
				arena_strndup(arena, option + name + 1, size - name - 1));
		else
			report_warning(
				row->parser->report, row->parser->place, "\"%s\" is no option of a protocol", option);
		length += 1 + size;
	}
}

/* "wait", "nowait", "nowait.40", "nowait/40/10/5" */
static void
parse_wait(const struct row *row, const char *word)
{
	static const char *const limits[] = {"instances", "max-per-source-per-minute", "per_source"};
	struct arena *arena = row->parser->arena;
	size_t length = strcspn(word, "./");
	char *wait = arena_strndup(arena, word, length);
	const char *rest = word + length;

	if (strcmp(wait, "wait") != 0 && strcmp(wait, "nowait") != 0)
		report_error(row->parser->report, row->parser->place, "expected 'wait' or 'nowait', not \"%s\"", word);
	set(row, "wait", strcmp(wait, "wait") == 0 ? "yes" : "no");
	if (*rest == '.')
		set(row, "max-per-minute", arena_strdup(arena, rest + 1));
	for (size_t i = 0; *rest == '/' && i < CP_COUNT(limits); i++) {
		size_t size = strcspn(rest + 1, "/");
		char *value = arena_strndup(arena, rest + 1, size);

		/* 0 is "no limit". */
		if (size > 0 && strcmp(value, "0") != 0)
			set(row, limits[i], value);
		rest += 1 + size;
	}
}

/* "user", "user.group", "user:group", "user/class". A user's name may have a '.' in it, where ':' is the divider. */
static void
parse_user(const struct row *row, const char *word)
{
	struct arena *arena = row->parser->arena;
	const char *class = strchr(word, '/');
	char *user = class != NULL ? arena_strndup(arena, word, (size_t)(class - word)) : arena_strdup(arena, word);
	char *group = strchr(user, ':');

	if (group == NULL)
		group = strchr(user, '.');
	if (group != NULL)
		*group++ = '\0';
	set(row, "user", user);
	if (group != NULL && *group != '\0')
		set(row, "group", group);
	if (class != NULL)
		set(row, "class", class + 1);
}

static void
parse_program(const struct row *row, const struct words *words)
{
	struct attribute *args;

	if (strcmp(words->items[COLUMN_PROGRAM], "internal") == 0) {
		append(row, "type", "INTERNAL");
		return;
	}
	set(row, "server", words->items[COLUMN_PROGRAM]);
	if (words->count == COLUMN_COUNT)
		return;
	args = entry_add(row->parser->arena, row->entry, "server_args", ATTRIBUTE_SET, row->parser->place);
	for (size_t i = COLUMN_COUNT; i < words->count; i++)
		words_add(row->parser->arena, &args->values, words->items[i]);
	/* The first argument is argv[0]. */
	append(row, "flags", "NAMEINARGS");
}

/* ---- lines ----------------------------------------------------------------------- */

static void
parse_words(struct parser *parser, const struct words *words, bool is_off)
{
	struct row row = {.parser = parser};
	const char *host = NULL;
	const char *service = split_host(parser->arena, words->items[COLUMN_SERVICE], &host);

	if (words->count == 1 && host != NULL && *service == '\0') {
		parser->host = host;
		return;
	}
	if (words->count < COLUMN_COUNT) {
		report_error(parser->report, parser->place,
			"expected service, socket type, protocol, wait, user and program, not %zu words", words->count);
		return;
	}
	row.entry = entry_new(parser->arena, ENTRY_INETD, service, parser->place);
	set(&row, "socket_type", words->items[COLUMN_TYPE]);
	if (strncmp(service, "tcpmux/", 7) == 0)
		append(&row, "type", "TCPMUX");
	if (strcmp(words->items[COLUMN_PROTOCOL], "unix") == 0)
		set(&row, "path", words->items[COLUMN_SERVICE]);
	else
		parse_protocol(&row, words->items[COLUMN_PROTOCOL]);
	add_hosts(&row, host != NULL ? host : parser->host);
	parse_wait(&row, words->items[COLUMN_WAIT]);
	parse_user(&row, words->items[COLUMN_USER]);
	parse_program(&row, words);
	if (is_off)
		set(&row, "disable", "yes");
	entries_add(parser->entries, row.entry);
}

static bool
is_continuation(const char *line)
{
	return (*line == ' ' || *line == '\t') && line[strspn(line, " \t\r")] != '\0' &&
	       line[strspn(line, " \t")] != '#';
}

void
inetd_parse(struct arena *arena, struct report *report, struct entries *entries, const char *path,
	const struct words *lines)
{
	struct parser parser = {.arena = arena, .report = report, .entries = entries, .place = {.file = path}};
	size_t i = 0;

	while (i < lines->count) {
		const char *line = lines->items[i];
		struct words words = {0};
		bool is_off = strncmp(line, OFF, strlen(OFF)) == 0;
		int r;

		parser.place.line = (unsigned)++i;
		if (is_off)
			line += strlen(OFF);
		line += strspn(line, " \t\r");
		if (*line == '\0' || *line == '#')
			continue;
		r = words_split_quoted(arena, &words, line);
		while (i < lines->count && is_continuation(lines->items[i]) && r == 0)
			r = words_split_quoted(arena, &words, lines->items[i++]);
		if (r < 0)
			report_error(report, parser.place, "a quote without its end");
		else if (words.count > 0)
			parse_words(&parser, &words, is_off);
	}
}
