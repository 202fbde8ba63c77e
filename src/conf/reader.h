/* SPDX-License-Identifier: MIT */
/*
 * reader - settings of a parsed file -> fields of structures, by the option rows.
 *
 * Private to this folder; the only header here that shows libconfig.
 */
#ifndef CP_CONF_READER_H
#define CP_CONF_READER_H

#include <libconfig.h>
#include <stdbool.h>

#include "conf/report.h"

/* Fits the key of every message; a longer one is cut. */
#define READER_KEY_MAX 256

/*
 * Reads every member of section into the structure at base (zeroed or with its defaults set), reports unknown keys and
 * wrong values under key (the section's own; "" at the top), and rows that are required and missing. others (NULL:
 * none) ends with NULL and names members that are read elsewhere.
 */
void reader_read_group(struct conf_loading *loading, const struct option_group *group, const config_setting_t *section,
	const char *key, void *base, const char *const *others);

/* True when the setting is a section { … }; reports it otherwise. */
bool reader_is_section(struct conf_loading *loading, const config_setting_t *setting, const char *key);
/* True when text may be the name of a pool or listener. */
bool reader_is_name(const char *text);
/* Reports one that may not. */
void reader_report_name(
	struct conf_loading *loading, const char *text, const char *file, unsigned line, const char *key);

/* "a string", "a number", … for messages. Valid for ever. */
const char *reader_type_name(const config_setting_t *setting);
/* Reports a key that nobody knows, with the likely one or all that may stand there (rows of group, then others). */
void reader_report_unknown(struct conf_loading *loading, const struct option_group *group, const char *const *others,
	const config_setting_t *setting, const char *key);

#endif
