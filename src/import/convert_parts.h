/* SPDX-License-Identifier: MIT */
/*
 * convert_parts - what the files of convert share. Each function below takes one attribute, or a few that belong
 * together, into the plan.
 */
#ifndef CP_IMPORT_CONVERT_PARTS_H
#define CP_IMPORT_CONVERT_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/defs.h"
#include "import/convert.h"
#include "import/entry.h"
#include "import/plan.h"

/* A service under way. */
struct job {
	struct convert *convert;
	struct arena *arena; /* convert->arena */
	const struct entry *entry;
	struct plan *plan;
	bool is_wait; /* the program accepts by itself */
};

typedef void convert_fn(struct job *job, const struct attribute *attribute);

/* ---- convert.c: for all ------------------------------------------------------------ */

/* "attribute = value: why", once, and a warning of it unless it is switched off. */
CP_PRINTF(3, 4) void convert_warn(struct job *job, const struct attribute *attribute, const char *fmt, ...);
/* The same without a warning: nothing is lost. */
CP_PRINTF(3, 4) void convert_note(struct job *job, const struct attribute *attribute, const char *fmt, ...);
/* The first value as a number in the range, in that base; else a warning, and false. */
bool convert_number(
	struct job *job, const struct attribute *attribute, int base, int64_t min, int64_t max, int64_t *ret);

/* ---- convert_socket.c -------------------------------------------------------------- */

/* Sets plan->addresses; without a port that can be found the plan becomes an inactive one. */
void convert_addresses(struct job *job);
convert_fn convert_flags;
convert_fn convert_buffer;
/* "tcp:HOST:PORT" with brackets where they belong. */
char *convert_format_address(struct arena *arena, const char *host, unsigned port);
/* A number or a service's name; 0: neither. */
unsigned convert_port(const char *text);

/* ---- convert_program.c ------------------------------------------------------------- */

/* server and server_args. */
void convert_command(struct job *job);
/* user, group and groups: they have to exist. */
void convert_user(struct job *job);
convert_fn convert_environment;
convert_fn convert_umask;
convert_fn convert_nice;
convert_fn convert_rlimit;

/* ---- convert_access.c -------------------------------------------------------------- */

/* only_from and no_access. */
void convert_access(struct job *job);
convert_fn convert_limit;
convert_fn convert_banner_fail;
convert_fn convert_log;

#endif
