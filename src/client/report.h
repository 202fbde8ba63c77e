/* SPDX-License-Identifier: MIT */
/*
 * report - the outcome of a bench, for people and for programs. Main thread.
 */
#ifndef CP_CLIENT_REPORT_H
#define CP_CLIENT_REPORT_H

#include <stdio.h>

#include "base/defs.h"

struct bench_config;
struct errmsg;
struct result;

/* target: the address as text. Both return 0, or -ENOMEM or -EIO with err set. */
CP_MUST_CHECK int report_print_text(FILE *out, const char *target, const struct bench_config *config,
	const struct result *result, struct errmsg *err);
/* One object with a line end. Times are in microseconds, sizes in bytes; names say so. */
CP_MUST_CHECK int report_print_json(FILE *out, const char *target, const struct bench_config *config,
	const struct result *result, struct errmsg *err);

#endif
