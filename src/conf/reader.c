/* SPDX-License-Identifier: MIT */
/*
 * reader - one section of a libconfig tree into one structure, value by value, by the rows of its group.
 *
 * It reports whatever does not fit and goes on, so that a file's errors are seen all at once. It never looks beyond
 * the section in hand: what needs two of them is check.c's.
 */
#include "config.h"

#include "conf/reader.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/errmsg.h"
#include "base/mem.h"
#include "conf/option.h"
#include "conf/options.h"
#include "conf/suggest.h"

static void read_option(struct conf_loading *loading, const struct option *row, const config_setting_t *setting,
	const char *key, void *base);

static unsigned
line_of(const config_setting_t *setting)
{
	return config_setting_source_line(setting);
}

const char *
reader_type_name(const config_setting_t *setting)
{
	switch (config_setting_type(setting)) {
	case CONFIG_TYPE_GROUP:
		return "a section";
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		return "a number";
	case CONFIG_TYPE_FLOAT:
		return "a fraction";
	case CONFIG_TYPE_STRING:
		return "a string";
	case CONFIG_TYPE_BOOL:
		return "a boolean";
	case CONFIG_TYPE_ARRAY:
		return "an array";
	case CONFIG_TYPE_LIST:
		return "a list";
	default:
		return "nothing";
	}
}

/* Adds word to the text, after separator if there is any already; what does not fit is cut. */
static void
append_word(char *text, size_t size, const char *separator, const char *word)
{
	size_t used = strlen(text);

	snprintf(text + used, size - used, "%s%s", used > 0 ? separator : "", word);
}

static void
make_key(char buf[READER_KEY_MAX], const char *section, const char *name)
{
	buf[0] = '\0';
	append_word(buf, READER_KEY_MAX, "", section);
	append_word(buf, READER_KEY_MAX, ".", name);
}

/* ---- unknown keys ------------------------------------------------------------ */

void
reader_report_unknown(struct conf_loading *loading, const struct option_group *group, const char *const *others,
	const config_setting_t *setting, const char *key)
{
	const struct option *row;
	struct suggestion suggestion;
	char known[1024] = "";
	const char *meant;

	suggestion_init(&suggestion, config_setting_name(setting));
	for (; others != NULL && *others != NULL; others++) {
		suggestion_offer(&suggestion, *others);
		append_word(known, sizeof(known), ", ", *others);
	}
	OPTION_FOREACH (group, row) {
		suggestion_offer(&suggestion, row->name);
		append_word(known, sizeof(known), ", ", row->name);
	}
	meant = suggestion_get(&suggestion);
	if (meant != NULL)
		report(loading, loading->file, line_of(setting), key, "unknown option, did you mean '%s'?", meant);
	else
		report(loading, loading->file, line_of(setting), key, "unknown option, expected one of: %s", known);
}

/* ---- names ------------------------------------------------------------------- */

bool
reader_is_name(const char *text)
{
	size_t length = strlen(text);

	for (const char *c = text; *c != '\0'; c++) {
		if (!isalnum((unsigned char)*c) && strchr("_-.", *c) == NULL)
			return false;
	}
	return length > 0 && length <= CONF_NAME_MAX;
}

void
reader_report_name(struct conf_loading *loading, const char *text, const char *file, unsigned line, const char *key)
{
	report(loading, file, line, key,
		"\"%s\" is not a name, expected letters, digits, '_', '-' and '.', 1 to %d of them", text,
		CONF_NAME_MAX);
}

bool
reader_is_section(struct conf_loading *loading, const config_setting_t *setting, const char *key)
{
	if (config_setting_is_group(setting))
		return true;
	report(loading, loading->file, line_of(setting), key, "is %s, expected a section { … }",
		reader_type_name(setting));
	return false;
}

/* ---- values ------------------------------------------------------------------ */

static void
report_wrong_type(
	struct conf_loading *loading, const struct option *row, const config_setting_t *setting, const char *key)
{
	char expected[OPTION_TEXT_MAX];

	report(loading, loading->file, line_of(setting), key, "is %s, expected %s", reader_type_name(setting),
		option_expected(row, expected));
}

static void
report_failure(struct conf_loading *loading, const config_setting_t *setting, const char *key, int error,
	const struct errmsg *err)
{
	if (error == -ENOMEM)
		report_no_memory(loading);
	else
		report(loading, loading->file, line_of(setting), key, "%s", err->text);
}

static void
read_text(struct conf_loading *loading, const struct option *row, const config_setting_t *setting, const char *key,
	const char *text, void *field)
{
	struct errmsg err = {""};
	int r = option_set_text(row, field, text, &err);

	if (r < 0)
		report_failure(loading, setting, key, r, &err);
}

static void
read_integer(struct conf_loading *loading, const struct option *row, const config_setting_t *setting, const char *key,
	void *field)
{
	struct errmsg err = {""};
	int r = option_set_integer(row, field, config_setting_get_int64(setting), &err);

	if (r < 0)
		report_failure(loading, setting, key, r, &err);
}

static bool
is_number(const config_setting_t *setting)
{
	return config_setting_type(setting) == CONFIG_TYPE_INT || config_setting_type(setting) == CONFIG_TYPE_INT64;
}

static bool
is_string(const config_setting_t *setting)
{
	return config_setting_type(setting) == CONFIG_TYPE_STRING;
}

static void
read_scalar(struct conf_loading *loading, const struct option *row, const config_setting_t *setting, const char *key,
	void *field)
{
	const bool takes_number = row->type == OPTION_UINT || row->type == OPTION_SIZE || row->type == OPTION_TIME ||
				  row->type == OPTION_INT;
	const bool takes_string =
		row->type != OPTION_BOOL && row->type != OPTION_INT && (row->type != OPTION_UINT || row->words != NULL);
	/* ipv6_only = true; is as good as "true". */
	const bool takes_bool = row->type == OPTION_BOOL || row->type == OPTION_WORD;

	if (takes_number && is_number(setting))
		read_integer(loading, row, setting, key, field);
	else if (takes_string && is_string(setting))
		read_text(loading, row, setting, key, config_setting_get_string(setting), field);
	else if (takes_bool && config_setting_type(setting) == CONFIG_TYPE_BOOL)
		read_text(loading, row, setting, key, config_setting_get_bool(setting) ? "true" : "false", field);
	else
		report_wrong_type(loading, row, setting, key);
}

/* One string or an array of them. */
static void
read_list(struct conf_loading *loading, const struct option *row, const config_setting_t *setting, const char *key,
	void *base)
{
	const bool is_array = config_setting_is_array(setting) || config_setting_is_list(setting);
	const int count = is_array ? config_setting_length(setting) : 1;

	if (!is_array && !is_string(setting)) {
		report_wrong_type(loading, row, setting, key);
		return;
	}
	if (count == 0)
		report(loading, loading->file, line_of(setting), key, "is empty, expected at least one%s",
			row->required ? "" : " (or leave it out)");
	for (int i = 0; i < count; i++) {
		const config_setting_t *element = is_array ? config_setting_get_elem(setting, (unsigned)i) : setting;

		if (!is_string(element)) {
			report_wrong_type(loading, row, element, key);
			continue;
		}
		/* Only what was taken has a place, so that places and elements count alike. */
		struct errmsg err = {""};
		size_t taken = option_count(row, option_field(row, base));
		int r = option_set_text(row, option_field(row, base), config_setting_get_string(element), &err);

		if (r < 0)
			report_failure(loading, element, key, r, &err);
		else
			loading_add_place(loading, base, row, taken, line_of(element));
	}
}

/* The required options that are not there. */
static void
report_missing(struct conf_loading *loading, const struct option_group *group, const config_setting_t *section,
	const char *key)
{
	const struct option *row;
	char row_key[READER_KEY_MAX];
	char expected[OPTION_TEXT_MAX];

	OPTION_FOREACH (group, row) {
		if (!row->required || config_setting_get_member(section, row->name) != NULL)
			continue;
		make_key(row_key, key, row->name);
		report(loading, loading->file, line_of(section), row_key, "is missing, expected %s",
			option_expected(row, expected));
	}
}

/* ---- services ---------------------------------------------------------------- */

static const struct conf_service_type *
find_type(struct conf_loading *loading, const char *name, unsigned line, const char *key)
{
	struct suggestion suggestion;
	char known[512] = "";
	const char *meant;

	suggestion_init(&suggestion, name);
	for (const struct conf_service_type *type = loading->types; type->name != NULL; type++) {
		if (strcmp(type->name, name) == 0)
			return type;
		suggestion_offer(&suggestion, type->name);
		append_word(known, sizeof(known), ", ", type->name);
	}
	meant = suggestion_get(&suggestion);
	if (meant != NULL)
		report(loading, loading->file, line, key,
			"there is no service \"%s\", did you mean '%s'? expected one of: %s", name, meant, known);
	else
		report(loading, loading->file, line, key, "there is no service \"%s\", expected one of: %s", name,
			known);
	return NULL;
}

/* Settings of rows alone: what else stands in the section can't be judged. */
static void
read_known(struct conf_loading *loading, const struct option_group *group, const config_setting_t *section,
	const char *key, void *base)
{
	const struct option *row;
	char row_key[READER_KEY_MAX];

	OPTION_FOREACH (group, row) {
		const config_setting_t *setting = config_setting_get_member(section, row->name);

		make_key(row_key, key, row->name);
		if (setting != NULL)
			read_option(loading, row, setting, row_key, base);
	}
	report_missing(loading, group, section, key);
}

/* What may stand in the section of such a service; NULL: what it hangs on is missing or wrong (then reported). */
static const struct option_group *
extend_group(struct conf_loading *loading, const struct conf_service_type *type, const config_setting_t *section,
	const char *key)
{
	const config_setting_t *setting = config_setting_get_member(section, type->extended_by);
	const struct option_group *group = NULL;
	struct errmsg err = {""};
	char row_key[READER_KEY_MAX];
	int r;

	if (setting == NULL || !is_string(setting))
		return NULL;
	make_key(row_key, key, type->extended_by);
	r = type->extend(loading->conf->path, config_setting_get_string(setting), &group, &err);
	if (r < 0)
		report_failure(loading, setting, row_key, r, &err);
	return r < 0 ? NULL : group;
}

/* setting is the type's name alone or the section that holds it. */
static void
read_service_options(struct conf_loading *loading, const struct conf_service_type *type,
	const config_setting_t *setting, const char *key, struct conf_service *service)
{
	static const char *const others[] = {"type", NULL};
	const struct option_group *extended = NULL;

	service->type = type;
	if (type->extended_by != NULL && !is_string(setting))
		extended = extend_group(loading, type, setting, key);
	service->group = extended != NULL ? extended : &type->group;
	service->options = mem_zalloc(service->group->size);
	if (service->options == NULL || option_group_init(service->group, service->options) < 0) {
		report_no_memory(loading);
		return;
	}
	if (is_string(setting))
		report_missing(loading, &type->group, setting, key);
	else if (type->extended_by != NULL && extended == NULL)
		read_known(loading, &type->group, setting, key, service->options);
	else
		reader_read_group(loading, service->group, setting, key, service->options, others);
}

/* The string that names the type; NULL when there is none (reported). */
static const config_setting_t *
find_type_name(struct conf_loading *loading, const config_setting_t *section, const char *key)
{
	const config_setting_t *name = config_setting_get_member(section, "type");

	if (name == NULL)
		report(loading, loading->file, line_of(section), key, "is missing, expected a service type's name");
	else if (!is_string(name))
		report(loading, loading->file, line_of(name), key, "is %s, expected a service type's name",
			reader_type_name(name));
	else
		return name;
	return NULL;
}

static void
read_service(struct conf_loading *loading, const struct option *row, const config_setting_t *setting, const char *key,
	struct conf_service *service)
{
	const config_setting_t *name = setting;
	char type_key[READER_KEY_MAX];
	const struct conf_service_type *type;

	make_key(type_key, key, "type");
	if (config_setting_is_group(setting)) {
		name = find_type_name(loading, setting, type_key);
	} else if (!is_string(setting)) {
		report_wrong_type(loading, row, setting, key);
		return;
	}
	if (name == NULL)
		return;
	type = find_type(loading, config_setting_get_string(name), line_of(name), name == setting ? key : type_key);
	if (type != NULL)
		read_service_options(loading, type, setting, key, service);
}

/* ---- sections ---------------------------------------------------------------- */

static void
read_option(struct conf_loading *loading, const struct option *row, const config_setting_t *setting, const char *key,
	void *base)
{
	switch (row->type) {
	case OPTION_STRINGS:
	case OPTION_ADDRESSES:
	case OPTION_NETWORKS:
		read_list(loading, row, setting, key, base);
		return;
	case OPTION_SERVICE:
		read_service(loading, row, setting, key, option_field(row, base));
		break;
	case OPTION_BOOL:
	case OPTION_UINT:
	case OPTION_SIZE:
	case OPTION_TIME:
	case OPTION_INT:
	case OPTION_MODE:
	case OPTION_WORD:
	case OPTION_STRING:
	case OPTION_ADDRESS:
	case OPTION_UPSTREAM:
		read_scalar(loading, row, setting, key, option_field(row, base));
		break;
	}
	loading_add_place(loading, base, row, 0, line_of(setting));
}

static bool
is_among(const char *name, const char *const *names)
{
	for (; names != NULL && *names != NULL; names++) {
		if (strcmp(*names, name) == 0)
			return true;
	}
	return false;
}

void
reader_read_group(struct conf_loading *loading, const struct option_group *group, const config_setting_t *section,
	const char *key, void *base, const char *const *others)
{
	const int count = config_setting_length(section);

	for (int i = 0; i < count; i++) {
		const config_setting_t *setting = config_setting_get_elem(section, (unsigned)i);
		const struct option *row = option_find(group, config_setting_name(setting));
		char row_key[READER_KEY_MAX];

		make_key(row_key, key, config_setting_name(setting));
		if (row != NULL)
			read_option(loading, row, setting, row_key, base);
		else if (!is_among(config_setting_name(setting), others))
			reader_report_unknown(loading, group, others, setting, row_key);
	}
	report_missing(loading, group, section, key);
}
