/* SPDX-License-Identifier: MIT */
/*
 * dump - the effective configuration and the option tables as text, for --dump-config and --help-config.
 */
#ifndef CP_CONF_DUMP_H
#define CP_CONF_DUMP_H

#include <stdio.h>

#include "conf/conf.h"

/* The whole config, defaults included, in the syntax of the file: reading it again gives the same conf. */
void conf_dump(const struct conf *conf, FILE *out);

/* One value as it stands in a file: 4096, "64KiB", [ "a", "b" ]. A value that is not set is "none". */
void conf_dump_value(const struct option *row, const void *field, FILE *out);

/* Every option of every group: name, type, default, range, what a reload does, the line of prose. */
void conf_help(const struct conf_service_type *types, FILE *out);

#endif
