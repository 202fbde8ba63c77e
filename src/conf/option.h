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
	OPTION_UINT,      /* uint64_t; like the next two perhaps one of words[] */
	OPTION_SIZE,      /* uint64_t, bytes; a number or "64KiB" */
	OPTION_TIME,      /* uint64_t, milliseconds; a number of seconds or "1500ms" */
	OPTION_INT,       /* int64_t */
	OPTION_MODE,      /* uint64_t; an octal string such as "0660" */
	OPTION_WORD,      /* int; one of words[] */
	OPTION_STRING,    /* char *, owned; NULL when absent and without default */
	OPTION_STRINGS,   /* struct option_strings, owned; one string or an array of them */
	OPTION_ADDRESS,   /* struct address *, owned; of one server to connect to */
	OPTION_ADDRESSES, /* struct option_addresses, owned; one address or an array of them */
	OPTION_NETWORKS,  /* struct option_networks, owned; one network or an array of them */
	OPTION_UPSTREAM,  /* char *, owned; the name of an upstream, which check.c finds to exist */
	OPTION_SERVICE,   /* struct conf_service (conf.h), owned; a type's name or { type = "…"; … } */
};

/* What a reload can do with a changed value. */
enum option_reload {
	OPTION_LIVE,            /* takes effect at once, for what is open too */
	OPTION_NEW_CONNECTIONS, /* for connections accepted from then on */
	OPTION_NEW_SOCKETS,     /* for sockets opened from then on; one that is open keeps what it was opened with */
	OPTION_RESTART,         /* only when the daemon starts; a changed value is logged and left */
};

struct address;
struct cidr;
struct errmsg;

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
	int value; /* of a UINT, SIZE or TIME a negative one: -1 is UINT64_MAX */
};

struct option {
	const char *name;
	enum option_type type;
	size_t offset;            /* of the field in the structure that the group fills */
	const char *default_text; /* as written in the file, strings without quotes; NULL: none */
	bool required;
	uint64_t min;
	uint64_t max; /* min and max: UINT, SIZE, TIME (ms), MODE, and INT as int64_t */
	/* Ends with a NULL name. WORD: what there is; UINT, SIZE, TIME: NULL, or words for values beyond the range. */
	const struct option_word *words;
	const char *unit; /* of a UINT, for people: "connections"; NULL: none */
	enum option_reload reload;
	const char *help; /* one line of prose, a sentence with its full stop */
};

/* Rows end with one whose name is NULL. */
struct option_group {
	const char *path; /* "" (top level), "daemon", "log", "pools.NAME", "listeners.()", "service echo" */
	const char *help;
	const struct option *options; /* NULL: none */
	size_t size;                  /* of the structure that the rows fill */
	const char *service_name;     /* of a service's: what it calls itself, when that is not its type's name */
};

/* ---- rows: OPT_xxx(struct, field, "name", …) ------------------------------------ */

#define OPTION_OFFSET(type, field, want) \
	(offsetof(type, field) + \
		0 * sizeof(char[__builtin_types_compatible_p(__typeof__(((type *)0)->field), want) ? 1 : -1]))
#define OPTION_ROW(kind, want, s, f, n, rel, text, ...) \
	{ \
		.name = n, .type = kind, .offset = OPTION_OFFSET(s, f, want), .reload = rel, .help = text, __VA_ARGS__ \
	}

#define OPT_BOOL(s, f, n, def, rel, text) OPTION_ROW(OPTION_BOOL, bool, s, f, n, rel, text, .default_text = def)
#define OPT_UINT(s, f, n, lo, hi, def, what, rel, text) \
	OPTION_ROW(OPTION_UINT, uint64_t, s, f, n, rel, text, .default_text = def, .min = lo, .max = hi, .unit = what)
#define OPT_SIZE(s, f, n, lo, hi, def, rel, text) \
	OPTION_ROW(OPTION_SIZE, uint64_t, s, f, n, rel, text, .default_text = def, .min = lo, .max = hi)
#define OPT_TIME(s, f, n, lo, hi, def, rel, text) \
	OPTION_ROW(OPTION_TIME, uint64_t, s, f, n, rel, text, .default_text = def, .min = lo, .max = hi)
#define OPT_INT(s, f, n, lo, hi, def, rel, text) \
	OPTION_ROW(OPTION_INT, int64_t, s, f, n, rel, text, .default_text = def, .min = (uint64_t)(int64_t)(lo), \
		.max = (uint64_t)(int64_t)(hi))
/* A UINT, SIZE or TIME (kind) that may be one of a list of words, too. */
#define OPT_OR_WORD(kind, s, f, n, lo, hi, list, def, rel, text) \
	OPTION_ROW(kind, uint64_t, s, f, n, rel, text, .default_text = def, .min = lo, .max = hi, .words = list)
#define OPT_MODE(s, f, n, def, rel, text) \
	OPTION_ROW(OPTION_MODE, uint64_t, s, f, n, rel, text, .default_text = def, .max = 0777)
#define OPT_WORD(s, f, n, list, def, rel, text) \
	OPTION_ROW(OPTION_WORD, int, s, f, n, rel, text, .default_text = def, .words = list)
#define OPT_STRING(s, f, n, def, rel, text) OPTION_ROW(OPTION_STRING, char *, s, f, n, rel, text, .default_text = def)
#define OPT_STRING_REQUIRED(s, f, n, rel, text) OPTION_ROW(OPTION_STRING, char *, s, f, n, rel, text, .required = true)
#define OPT_STRINGS(s, f, n, rel, text) \
	OPTION_ROW(OPTION_STRINGS, struct option_strings, s, f, n, rel, text, .required = false)
#define OPT_STRINGS_REQUIRED(s, f, n, rel, text) \
	OPTION_ROW(OPTION_STRINGS, struct option_strings, s, f, n, rel, text, .required = true)
#define OPT_ADDRESS_REQUIRED(s, f, n, rel, text) \
	OPTION_ROW(OPTION_ADDRESS, struct address *, s, f, n, rel, text, .required = true)
#define OPT_ADDRESSES_REQUIRED(s, f, n, rel, text) \
	OPTION_ROW(OPTION_ADDRESSES, struct option_addresses, s, f, n, rel, text, .required = true)
#define OPT_NETWORKS(s, f, n, rel, text) \
	OPTION_ROW(OPTION_NETWORKS, struct option_networks, s, f, n, rel, text, .required = false)
#define OPT_UPSTREAM_REQUIRED(s, f, n, rel, text) \
	OPTION_ROW(OPTION_UPSTREAM, char *, s, f, n, rel, text, .required = true)
#define OPT_SERVICE_REQUIRED(s, f, n, rel, text) \
	OPTION_ROW(OPTION_SERVICE, struct conf_service, s, f, n, rel, text, .required = true)
#define OPT_END \
	{ \
		.name = NULL \
	}

#define OPTION_FOREACH(group, row) for ((row) = (group)->options; (row) != NULL && (row)->name != NULL; (row)++)

/* ---- the fields of one structure (option.c), any thread -------------------------- */

/* The row's field in the structure at base. */
static inline void *
option_field(const struct option *row, void *base)
{
	return (char *)base + row->offset;
}

static inline const void *
option_field_const(const struct option *row, const void *base)
{
	return (const char *)base + row->offset;
}

/* Borrowed from the group; NULL when it has no such row. */
const struct option *option_find(const struct option_group *group, const char *name);

/* Writes the rows' defaults into the zeroed structure at base. 0 or -ENOMEM (then option_group_fini() it). */
CP_MUST_CHECK int option_group_init(const struct option_group *group, void *base);
/* Frees what the fields own and zeroes them. */
void option_group_fini(const struct option_group *group, void *base);

/*
 * An integer of the file into a UINT, SIZE or TIME field. 0, -EINVAL (another type) or -ERANGE: err says what is wrong
 * and what was expected.
 */
CP_MUST_CHECK int option_set_integer(const struct option *row, void *field, int64_t value, struct errmsg *err);
/*
 * A string of the file into a field: replaces the value of a scalar, appends to a list. 0, -ENOMEM, or -EINVAL, -ERANGE
 * (err says what is wrong and what was expected).
 */
CP_MUST_CHECK int option_set_text(const struct option *row, void *field, const char *text, struct errmsg *err);

/* Elements of a list field, 1 for a scalar. */
size_t option_count(const struct option *row, const void *field);
/* The same value; addresses, networks and services are compared by what they mean. */
bool option_is_equal(const struct option *row, const void *a, const void *b);

/* Fits every result of option_expected() of built-in rows; longer ones are cut. */
#define OPTION_TEXT_MAX 512

/* What may be written, as the end of a message: "a time from 0s to 1h, such as \"30s\"". Returns buf. */
const char *option_expected(const struct option *row, char buf[OPTION_TEXT_MAX]);
/* The range alone, "1 to 1024 workers", or the words; "" when the type says it all. Returns buf. */
const char *option_range(const struct option *row, char buf[OPTION_TEXT_MAX]);
/* The type for people: "boolean", "number", "size", "time", "mode", "word", "string", … Valid for ever. */
const char *option_type_name(enum option_type type);
/* "at once", "new connections", "new sockets", "restart". Valid for ever. */
const char *option_reload_name(enum option_reload reload);

#endif
