/* SPDX-License-Identifier: MIT */
/*
 * report - the state of one load: what is being filled, where each value stood, and the errors found so far.
 *
 * Shared by load.c, reader.c and check.c, private to this folder. The thread that loads.
 */
#ifndef CP_CONF_REPORT_H
#define CP_CONF_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/defs.h"
#include "conf/load.h"

struct option;

/* Where a value stood in the files. */
struct conf_place {
	const void *owner; /* the structure that holds the field */
	const struct option *row;
	size_t element;   /* of a list, from 0 */
	const char *file; /* borrowed from conf->files */
	unsigned line;
};

struct conf_loading {
	struct conf *conf;
	const struct conf_service_type *types;
	struct conf_errors *errors;
	const char *file;          /* being read; borrowed from conf->files */
	bool is_incomplete;        /* a file could not be read or parsed: what is missing may stand there */
	bool has_no_memory;        /* already reported */
	struct conf_place *places; /* owned; in the order of reading */
	size_t place_count;
	size_t place_room;
};

/* Frees the places; conf is left to its holder. */
void loading_fini(struct conf_loading *loading);

/* Remembers where a value stands; no memory is reported. */
void loading_add_place(
	struct conf_loading *loading, const void *owner, const struct option *row, size_t element, unsigned line);
/* Borrowed until the next is added; NULL when the option was not written. */
const struct conf_place *loading_find_place(
	const struct conf_loading *loading, const void *owner, const char *name, size_t element);

/* ---- errors: "FILE:LINE: KEY: …" -------------------------------------------------- */

/* file may be NULL (no place), line 0 (the whole file), key NULL (no key). */
CP_PRINTF(5, 6)
void report(struct conf_loading *loading, const char *file, unsigned line, const char *key, const char *fmt, ...);
/* The same at a place. */
#define report_at(loading, place, key, ...) report((loading), (place)->file, (place)->line, (key), __VA_ARGS__)
/* Never needs memory; reported once. */
void report_no_memory(struct conf_loading *loading);
/* Puts the errors into the order of files and lines. */
void report_sort(struct conf_errors *errors);

#endif
