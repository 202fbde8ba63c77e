/* SPDX-License-Identifier: MIT */
/*
 * xinetd - a parser by lines, as xinetd's own is: a head, a line "{", attributes, a line "}".
 *
 * It goes on after an error at the next line, so that one slip does not hide the rest of a file.
 */
#include "config.h"

#include "import/xinetd.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/errmsg.h"
#include "import/arena.h"
#include "import/entry.h"
#include "import/lines.h"

/* Files that include each other in a circle end here. */
#define FILES_MAX 10000

enum state { OUTSIDE, BEFORE_BODY, INSIDE };

struct parser {
	struct xinetd_reader *reader;
	enum state state;
	struct entry *entry; /* NULL in a body that is passed over */
	struct place place;
};

/* ---- attributes --------------------------------------------------------------- */

/* Splits "name op values"; the op may touch either. NULL: there is none. Returns what stands behind it. */
static const char *
split_op(struct arena *arena, const char *line, char **ret_name, enum attribute_op *ret_op)
{
	size_t length = strcspn(line, " \t=+-");
	const char *op;

	/* A '-' belongs to the name, unless an '=' follows it. */
	while (line[length] == '-' && line[length + 1] != '=')
		length += 1 + strcspn(line + length + 1, " \t=+-");
	op = line + length + strspn(line + length, " \t");
	*ret_name = arena_strndup(arena, line, length);
	if (length == 0)
		return NULL;
	*ret_op = *op == '+' ? ATTRIBUTE_ADD : *op == '-' ? ATTRIBUTE_REMOVE : ATTRIBUTE_SET;
	if (*ret_op != ATTRIBUTE_SET)
		op++;
	return *op == '=' ? op + 1 : NULL;
}

static void
parse_attribute(struct parser *parser, const char *line)
{
	struct arena *arena = parser->reader->arena;
	struct attribute *attribute;
	enum attribute_op op = ATTRIBUTE_SET;
	char *name = NULL;
	const char *values = split_op(arena, line, &name, &op);

	if (values == NULL) {
		report_error(parser->reader->report, parser->place, "expected an attribute, '=' and values, not \"%s\"",
			line);
		return;
	}
	if (parser->entry == NULL)
		return;
	attribute = entry_add(arena, parser->entry, name, op, parser->place);
	words_split(arena, &attribute->values, values);
}

/* ---- what stands outside -------------------------------------------------------- */

static void
begin_service(struct parser *parser, const char *name)
{
	struct xinetd_reader *reader = parser->reader;

	parser->entry = entry_new(reader->arena, ENTRY_XINETD, name, parser->place);
	entries_add(reader->entries, parser->entry);
}

static void
begin_defaults(struct parser *parser)
{
	struct xinetd_reader *reader = parser->reader;

	parser->entry = NULL;
	if (reader->entries->defaults != NULL) {
		report_error(reader->report, parser->place, "a second section 'defaults', after %s:%u: passed over",
			reader->entries->defaults->place.file, reader->entries->defaults->place.line);
		return;
	}
	parser->entry = entry_new(reader->arena, ENTRY_XINETD, "", parser->place);
	reader->entries->defaults = parser->entry;
}

static void
read_included(struct parser *parser, const char *path, bool is_folder)
{
	int r = is_folder ? xinetd_read_folder(parser->reader, path) : xinetd_read(parser->reader, path);

	if (r < 0)
		report_error(parser->reader->report, parser->place, "cannot read \"%s\": %s", path, errmsg_errno(r));
}

static void
parse_head(struct parser *parser, const char *line)
{
	struct words words = {0};
	const char *word;

	words_split(parser->reader->arena, &words, line);
	word = words.items[0];
	parser->state = BEFORE_BODY;
	if (words.count > 1 && strcmp(words.items[words.count - 1], "{") == 0) {
		words.count--;
		parser->state = INSIDE;
	}
	if (strcmp(word, "defaults") == 0 && words.count == 1) {
		begin_defaults(parser);
	} else if (strcmp(word, "service") == 0 && words.count == 2) {
		begin_service(parser, words.items[1]);
	} else if ((strcmp(word, "include") == 0 || strcmp(word, "includedir") == 0) && words.count == 2) {
		parser->state = OUTSIDE;
		read_included(parser, words.items[1], strcmp(word, "includedir") == 0);
	} else {
		report_error(parser->reader->report, parser->place,
			"expected 'service NAME', 'defaults', 'include FILE' or 'includedir FOLDER', not \"%s\"", line);
		parser->entry = NULL;
		if (parser->state == BEFORE_BODY)
			parser->state = OUTSIDE;
	}
}

/* ---- files ---------------------------------------------------------------------- */

static void
parse_line(struct parser *parser, const char *line)
{
	line += strspn(line, " \t\r\f\v");
	if (*line == '\0' || *line == '#')
		return;
	if (*line == '{') {
		if (parser->state != BEFORE_BODY) {
			report_error(
				parser->reader->report, parser->place, "'{' without 'service' or 'defaults' before it");
			parser->entry = NULL;
		}
		parser->state = INSIDE;
	} else if (*line == '}') {
		if (parser->state != INSIDE)
			report_error(parser->reader->report, parser->place, "'}' without '{' before it");
		parser->state = OUTSIDE;
	} else if (parser->state == INSIDE) {
		parse_attribute(parser, line);
	} else {
		if (parser->state == BEFORE_BODY)
			report_error(parser->reader->report, parser->place, "expected '{', not \"%s\"", line);
		parse_head(parser, line);
	}
}

void
xinetd_parse(struct xinetd_reader *reader, const char *path, const struct words *lines)
{
	struct parser parser = {.reader = reader, .place = {.file = path}};

	for (size_t i = 0; i < lines->count; i++) {
		parser.place.line = (unsigned)i + 1;
		parse_line(&parser, lines->items[i]);
	}
	if (parser.state != OUTSIDE)
		report_error(reader->report, parser.place, "the file ends inside of a service: expected '}'");
}

int
xinetd_read(struct xinetd_reader *reader, const char *path)
{
	struct words lines = {0};
	struct errmsg err = {.text = ""};
	char *own = arena_strdup(reader->arena, path);
	int r;

	if (reader->files.count >= FILES_MAX || words_has(&reader->files, path))
		return -ELOOP;
	r = lines_read(reader->arena, &lines, path, &err);
	if (r < 0)
		return r;
	words_add(reader->arena, &reader->files, own);
	xinetd_parse(reader, own, &lines);
	return 0;
}

static int
is_wanted(const struct dirent *file)
{
	size_t length = strlen(file->d_name);

	return strchr(file->d_name, '.') == NULL && file->d_name[length - 1] != '~';
}

/* The order of the C locale, whatever ours is. */
static int
compare_names(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* So that a folder has one name. */
static char *
strip_slashes(struct arena *arena, const char *path)
{
	size_t length = strlen(path);

	while (length > 1 && path[length - 1] == '/')
		length--;
	return arena_strndup(arena, path, length);
}

int
xinetd_read_folder(struct xinetd_reader *reader, const char *path)
{
	struct dirent **files = NULL;
	int count = scandir(path, &files, is_wanted, compare_names);
	const char *folder;

	if (count < 0)
		return -errno;
	folder = strip_slashes(reader->arena, path);
	words_add(reader->arena, &reader->folders, folder);
	for (int i = 0; i < count; i++) {
		char *name = arena_printf(reader->arena, "%s/%s", folder, files[i]->d_name);
		int r = xinetd_read(reader, name);

		if (r < 0 && r != -EISDIR)
			report_error(reader->report, (struct place){.file = name}, "cannot read: %s", errmsg_errno(r));
		free(files[i]);
	}
	free(files);
	return 0;
}

bool
xinetd_is_syntax(const struct words *lines)
{
	static const char *const heads[] = {"service", "defaults", "include", "includedir"};

	for (size_t i = 0; i < lines->count; i++) {
		const char *line = lines->items[i] + strspn(lines->items[i], " \t\r");
		size_t length = strcspn(line, " \t\r{");

		if (length == 0 || *line == '#')
			continue;
		for (size_t k = 0; k < CP_COUNT(heads); k++) {
			if (strlen(heads[k]) == length && strncmp(line, heads[k], length) == 0)
				return true;
		}
		return false;
	}
	return false;
}
