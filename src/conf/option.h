/* SPDX-License-Identifier: MIT */
/*
 * conf - the config file: option tables, the libconfig reader, the checks, and the immutable struct conf they
 * make. May include: base. libconfig appears in this folder alone.
 *
 * option.h - one row an option; the reader, --check, --dump-config, --help-config and the manual's option list
 * are all made from the rows. A row's macro checks the C type of the field that it fills.
 */
#ifndef CP_CONF_OPTION_H
#define CP_CONF_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"

enum option_type {
	OPTION_BOOL,      /* bool */
	OPTION_UINT,      /* uint64_t */
	OPTION_SIZE,      /* uint64_t, bytes; a number or "64KiB" */
	OPTION_TIME,      /* uint64_t, milliseconds; a number of seconds or "1500ms" */
	OPTION_MODE,      /* uint64_t; an octal string such as "0660" */
	OPTION_WORD,      /* int; one of words[] */
	OPTION_STRING,    /* char *, owned; NULL when absent and without default */
	OPTION_STRINGS,   /* struct option_strings, owned; one string or an array of them */
	OPTION_ADDRESSES, /* struct option_addresses, owned; one address or an array of them */
	OPTION_NETWORKS,  /* struct option_networks, owned; one network or an array of them */
};

/* What a reload can do with a changed value. */
enum option_reload {
	OPTION_LIVE,            /* takes effect at once, for what is open too */
	OPTION_NEW_CONNECTIONS, /* for connections accepted from then on */
	OPTION_RESTART,         /* only when the daemon starts; a changed value is logged and left */
};

struct address;
struct cidr;

struct option_strings {
	char **items;
	size_t count;
};

struct option_addresses {
	struct address *items;
	size_t count;
};

struct option_networks {
	struct cidr *items;
	size_t count;
};

struct option_word {
	const char *name;
	int value;
};

struct option {
	const char *name;
	enum option_type type;
	size_t offset;                    /* of the field in the structure that the group fills */
	const char *default_text;         /* as written in the file, strings without quotes; NULL: none */
	bool required;
	uint64_t min;
	uint64_t max;                     /* min and max: UINT, SIZE, TIME (ms) and MODE */
	const struct option_word *words;  /* WORD: ends with a NULL name */
	const char *unit;                 /* of a UINT, for people: "connections"; NULL: none */
	enum option_reload reload;
	const char *help;                 /* one line of prose, a sentence with its full stop */
};

/* Rows end with one whose name is NULL. */
struct option_group {
	const char *path;            /* "daemon", "log", "pools.NAME", "listeners.()", "service echo" */
	const char *help;
	const struct option *options;
	size_t size;                 /* of the structure that the rows fill */
};

/* ---- rows: OPT_xxx(struct, field, "name", …) ------------------------------------ */

#define OPTION_OFFSET(type, field, want) \
	(offsetof(type, field) + 0 * sizeof(char[__builtin_types_compatible_p(__typeof__(((type *)0)->field), want) ? 1 : -1]))

#define OPT_BOOL(s, f, n, def, rel, text) \
	{ .name = n, .type = OPTION_BOOL, .offset = OPTION_OFFSET(s, f, bool), .default_text = def, .reload = rel, .help = text }
#define OPT_UINT(s, f, n, lo, hi, def, what, rel, text) \
	{ .name = n, .type = OPTION_UINT, .offset = OPTION_OFFSET(s, f, uint64_t), .default_text = def, .min = lo, .max = hi, \
	  .unit = what, .reload = rel, .help = text }
#define OPT_SIZE(s, f, n, lo, hi, def, rel, text) \
	{ .name = n, .type = OPTION_SIZE, .offset = OPTION_OFFSET(s, f, uint64_t), .default_text = def, .min = lo, .max = hi, \
	  .reload = rel, .help = text }
#define OPT_TIME(s, f, n, lo, hi, def, rel, text) \
	{ .name = n, .type = OPTION_TIME, .offset = OPTION_OFFSET(s, f, uint64_t), .default_text = def, .min = lo, .max = hi, \
	  .reload = rel, .help = text }
#define OPT_MODE(s, f, n, def, rel, text) \
	{ .name = n, .type = OPTION_MODE, .offset = OPTION_OFFSET(s, f, uint64_t), .default_text = def, .max = 0777, .reload = rel, \
	  .help = text }
#define OPT_WORD(s, f, n, list, def, rel, text) \
	{ .name = n, .type = OPTION_WORD, .offset = OPTION_OFFSET(s, f, int), .default_text = def, .words = list, .reload = rel, \
	  .help = text }
#define OPT_STRING(s, f, n, def, rel, text) \
	{ .name = n, .type = OPTION_STRING, .offset = OPTION_OFFSET(s, f, char *), .default_text = def, .reload = rel, .help = text }
#define OPT_STRING_REQUIRED(s, f, n, rel, text) \
	{ .name = n, .type = OPTION_STRING, .offset = OPTION_OFFSET(s, f, char *), .required = true, .reload = rel, .help = text }
#define OPT_STRINGS(s, f, n, rel, text) \
	{ .name = n, .type = OPTION_STRINGS, .offset = OPTION_OFFSET(s, f, struct option_strings), .reload = rel, .help = text }
#define OPT_ADDRESSES_REQUIRED(s, f, n, rel, text) \
	{ .name = n, .type = OPTION_ADDRESSES, .offset = OPTION_OFFSET(s, f, struct option_addresses), .required = true, \
	  .reload = rel, .help = text }
#define OPT_NETWORKS(s, f, n, rel, text) \
	{ .name = n, .type = OPTION_NETWORKS, .offset = OPTION_OFFSET(s, f, struct option_networks), .reload = rel, .help = text }
#define OPT_END { .name = NULL }

#endif
