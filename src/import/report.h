/* SPDX-License-Identifier: MIT */
/*
 * report - what the administrator is told beside the result: one line each, with file and line where there are any.
 */
#ifndef CP_IMPORT_REPORT_H
#define CP_IMPORT_REPORT_H

#include <stdio.h>

#include "base/defs.h"

/* Where something stands. */
struct place {
	const char *file; /* NULL: nowhere */
	unsigned line;    /* 0: the file as a whole */
};

struct report {
	FILE *out; /* NULL: only counts */
	unsigned errors;
	unsigned warnings;
};

/* Something that could not be read; the rest still is. */
CP_PRINTF(3, 4) void report_error(struct report *report, struct place place, const char *fmt, ...);
/* Something to look at in the result. */
CP_PRINTF(3, 4) void report_warning(struct report *report, struct place place, const char *fmt, ...);

#endif
