/* SPDX-License-Identifier: MIT */
/*
 * report - collects the errors of a load and remembers where values stood.
 *
 * Nothing here stops a load: every part goes on after an error, so that one run shows all of them. A failure to
 * allocate is an error as any other, kept in static memory.
 */
#include "config.h"

#include "conf/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "conf/option.h"

static char no_memory_text[] = "out of memory";

void
conf_errors_fini(struct conf_errors *errors)
{
	for (unsigned i = 0; i < errors->count; i++) {
		if (errors->items[i].text != no_memory_text)
			mem_free(errors->items[i].text);
	}
	memset(errors, 0, sizeof(*errors));
}

void
loading_fini(struct conf_loading *loading)
{
	mem_freep(&loading->places);
	loading->place_count = 0;
	loading->place_room = 0;
}

void
loading_add_place(
	struct conf_loading *loading, const void *owner, const struct option *row, size_t element, unsigned line)
{
	if (loading->place_count == loading->place_room) {
		size_t room = loading->place_room == 0 ? 64 : loading->place_room * 2;
		struct conf_place *places = mem_realloc_array(loading->places, room, sizeof(*places));

		if (places == NULL) {
			report_no_memory(loading);
			return;
		}
		loading->places = places;
		loading->place_room = room;
	}
	loading->places[loading->place_count++] = (struct conf_place){
		.owner = owner, .row = row, .element = element, .file = loading->file, .line = line};
}

/* A linear search: only asked for when there is an error to report, or once an option that wants a look-up. */
const struct conf_place *
loading_find_place(const struct conf_loading *loading, const void *owner, const char *name, size_t element)
{
	for (size_t i = 0; i < loading->place_count; i++) {
		const struct conf_place *place = &loading->places[i];

		if (place->owner == owner && place->element == element && strcmp(place->row->name, name) == 0)
			return place;
	}
	return NULL;
}

/* ---- errors ------------------------------------------------------------------ */

static void
errors_add(struct conf_errors *errors, char *text, unsigned file, unsigned line)
{
	struct conf_error *error = &errors->items[errors->count++];

	error->text = text;
	error->file = file;
	error->line = line;
}

void
report_no_memory(struct conf_loading *loading)
{
	if (loading->has_no_memory)
		return;
	loading->has_no_memory = true;
	/* A load that ran out of memory must not end without an error: the last one kept gives way. */
	if (loading->errors->count == CONF_ERRORS_MAX) {
		mem_free(loading->errors->items[--loading->errors->count].text);
		loading->errors->more++;
	}
	errors_add(loading->errors, no_memory_text, 0, 0);
}

/* The file's number in the order of reading, from 1; 0 when it is none of them. */
static unsigned
file_number(const struct conf *conf, const char *file)
{
	for (size_t i = 0; file != NULL && i < conf->file_count; i++) {
		if (conf->files[i] == file)
			return (unsigned)i + 1;
	}
	return 0;
}

static char *
compose(const char *file, unsigned line, const char *key, const char *what)
{
	const char *between = key != NULL ? ": " : "";

	if (key == NULL)
		key = "";
	if (file == NULL)
		return mem_printf("%s%s%s", key, between, what);
	if (line == 0)
		return mem_printf("%s: %s%s%s", file, key, between, what);
	return mem_printf("%s:%u: %s%s%s", file, line, key, between, what);
}

void
report(struct conf_loading *loading, const char *file, unsigned line, const char *key, const char *fmt, ...)
{
	char what[2048];
	va_list ap;
	char *text;

	if (loading->errors->count == CONF_ERRORS_MAX) {
		loading->errors->more++;
		return;
	}
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	text = compose(file, line, key, what);
	if (text == NULL) {
		report_no_memory(loading);
		return;
	}
	errors_add(loading->errors, text, file_number(loading->conf, file), line);
}

void
report_sort(struct conf_errors *errors)
{
	/* Insertion: few, nearly in order, and those of one line keep theirs. */
	for (unsigned i = 1; i < errors->count; i++) {
		struct conf_error moved = errors->items[i];
		unsigned j = i;

		while (j > 0 &&
			(errors->items[j - 1].file > moved.file ||
				(errors->items[j - 1].file == moved.file && errors->items[j - 1].line > moved.line))) {
			errors->items[j] = errors->items[j - 1];
			j--;
		}
		errors->items[j] = moved;
	}
}
