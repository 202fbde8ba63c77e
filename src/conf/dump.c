/* SPDX-License-Identifier: MIT */
/*
 * dump - a generation and the option tables as text.
 *
 * Everything is printed from the rows, so an option cannot be left out. The dump is a config file again: sizes and
 * times with the largest unit that is exact, strings escaped as libconfig reads them, no comments but the first. It
 * writes to the stream as it goes and allocates nothing; whether the stream took it is for the caller to ask
 * (ferror(3)).
 */
#include "config.h"

#include "conf/dump.h"

#include <inttypes.h>
#include <string.h>

#include "base/address.h"
#include "base/cidr.h"
#include "base/units.h"
#include "conf/options.h"

/* ---- values ------------------------------------------------------------------ */

static void
print_string(const char *text, FILE *out)
{
	fputc('"', out);
	for (const char *c = text; *c != '\0'; c++) {
		if (*c == '"' || *c == '\\')
			fprintf(out, "\\%c", *c);
		else if (*c == '\n')
			fputs("\\n", out);
		else if (*c == '\r')
			fputs("\\r", out);
		else if (*c == '\t')
			fputs("\\t", out);
		else if ((unsigned char)*c < 0x20 || *c == 0x7f)
			fprintf(out, "\\x%02X", (unsigned)(unsigned char)*c);
		else
			fputc(*c, out);
	}
	fputc('"', out);
}

/* Element i of a list. */
static void
print_element(const struct option *row, const void *field, size_t i, FILE *out)
{
	char text[CIDR_TEXT_MAX];

	if (row->type == OPTION_STRINGS)
		print_string(((const struct option_strings *)field)->items[i], out);
	else if (row->type == OPTION_ADDRESSES)
		print_string(((const struct option_addresses *)field)->items[i].text, out);
	else
		print_string(cidr_format(&((const struct option_networks *)field)->items[i], text), out);
}

static void
print_list(const struct option *row, const void *field, FILE *out)
{
	size_t count = option_count(row, field);

	if (count == 1) {
		print_element(row, field, 0, out);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		fputs(i == 0 ? "[ " : ", ", out);
		print_element(row, field, i, out);
	}
	fputs(" ]", out);
}

static void
print_word(const struct option *row, int value, FILE *out)
{
	for (const struct option_word *word = row->words; word->name != NULL; word++) {
		if (word->value != value)
			continue;
		if (strcmp(word->name, "true") == 0 || strcmp(word->name, "false") == 0)
			fputs(word->name, out);
		else
			print_string(word->name, out);
		return;
	}
}

static bool
is_set(const struct option *row, const void *field)
{
	switch (row->type) {
	case OPTION_STRING:
	case OPTION_UPSTREAM:
		return *(char *const *)field != NULL;
	case OPTION_ADDRESS:
		return *(struct address *const *)field != NULL;
	case OPTION_SERVICE:
		return ((const struct conf_service *)field)->type != NULL;
	default:
		return option_count(row, field) > 0;
	}
}

static void
print_service(const struct conf_service *service, FILE *out)
{
	const struct option_group *group = service->group;
	const struct option *row;

	if (group->options == NULL || group->options->name == NULL) {
		print_string(service->type->name, out);
		return;
	}
	fputs("{ type = ", out);
	print_string(service->type->name, out);
	fputs("; ", out);
	OPTION_FOREACH (group, row) {
		if (!is_set(row, option_field_const(row, service->options)))
			continue;
		fprintf(out, "%s = ", row->name);
		conf_dump_value(row, option_field_const(row, service->options), out);
		fputs("; ", out);
	}
	fputc('}', out);
}

/* A number for which a word stands. */
static bool
is_word_number(const struct option *row, const void *field)
{
	return row->words != NULL && row->type != OPTION_WORD && *(const uint64_t *)field > row->max;
}

void
conf_dump_value(const struct option *row, const void *field, FILE *out)
{
	char text[UNITS_TEXT_MAX];

	if (!is_set(row, field)) {
		fputs("none", out);
		return;
	}
	if (is_word_number(row, field)) {
		print_word(row, (int)(int64_t) * (const uint64_t *)field, out);
		return;
	}
	switch (row->type) {
	case OPTION_BOOL:
		fputs(*(const bool *)field ? "true" : "false", out);
		break;
	case OPTION_UINT:
		fprintf(out, "%" PRIu64, *(const uint64_t *)field);
		break;
	case OPTION_SIZE:
		print_string(units_format_size(*(const uint64_t *)field, text), out);
		break;
	case OPTION_TIME:
		print_string(units_format_time(*(const uint64_t *)field, text), out);
		break;
	case OPTION_INT:
		fprintf(out, "%" PRId64, *(const int64_t *)field);
		break;
	case OPTION_MODE:
		fprintf(out, "\"%04" PRIo64 "\"", *(const uint64_t *)field);
		break;
	case OPTION_WORD:
		print_word(row, *(const int *)field, out);
		break;
	case OPTION_STRING:
	case OPTION_UPSTREAM:
		print_string(*(char *const *)field, out);
		break;
	case OPTION_ADDRESS:
		print_string((*(struct address *const *)field)->text, out);
		break;
	case OPTION_STRINGS:
	case OPTION_ADDRESSES:
	case OPTION_NETWORKS:
		print_list(row, field, out);
		break;
	case OPTION_SERVICE:
		print_service(field, out);
		break;
	}
}

/* ---- the whole config -------------------------------------------------------- */

static void
print_group(const struct option_group *group, const void *base, const char *indent, FILE *out)
{
	const struct option *row;

	OPTION_FOREACH (group, row) {
		if (!is_set(row, option_field_const(row, base)))
			continue;
		fprintf(out, "%s%s = ", indent, row->name);
		conf_dump_value(row, option_field_const(row, base), out);
		fputs(";\n", out);
	}
}

static void
print_upstream(const struct conf_upstream *upstream, FILE *out)
{
	fprintf(out, "\t%s: {\n", upstream->name);
	print_group(&conf_group_upstream, upstream, "\t\t", out);
	fputs("\t\tservers = (\n", out);
	for (size_t i = 0; i < upstream->server_count; i++) {
		fputs("\t\t\t{\n", out);
		print_group(&conf_group_server, upstream->servers[i], "\t\t\t\t", out);
		fputs(i + 1 < upstream->server_count ? "\t\t\t},\n" : "\t\t\t}\n", out);
	}
	fputs("\t\t);\n\t};\n", out);
}

void
conf_dump(const struct conf *conf, FILE *out)
{
	/* include_dir is left out: what its files say stands here already, and would be read twice. */
	fputs("# The effective configuration: all files put together, defaults written out.\n", out);
	fputs("daemon: {\n", out);
	print_group(&conf_group_daemon, &conf->daemon, "\t", out);
	fputs("};\nlog: {\n", out);
	print_group(&conf_group_log, &conf->log, "\t", out);
	fputs("};\nresolver: {\n", out);
	print_group(&conf_group_resolver, &conf->resolver, "\t", out);
	fputs("};\npools: {\n", out);
	for (size_t i = 0; i < conf->pool_count; i++) {
		fprintf(out, "\t%s: {\n", conf->pools[i]->name);
		print_group(&conf_group_pool, conf->pools[i], "\t\t", out);
		fputs("\t};\n", out);
	}
	fputs("};\nupstreams: {\n", out);
	for (size_t i = 0; i < conf->upstream_count; i++)
		print_upstream(conf->upstreams[i], out);
	fputs("};\nlisteners: (\n", out);
	for (size_t i = 0; i < conf->listener_count; i++) {
		fputs("\t{\n", out);
		print_group(&conf_group_listener, conf->listeners[i], "\t\t", out);
		fputs(i + 1 < conf->listener_count ? "\t},\n" : "\t}\n", out);
	}
	fputs(");\n", out);
}

/* ---- the tables -------------------------------------------------------------- */

static void
help_group(const struct option_group *group, FILE *out)
{
	const struct option *row;
	char range[OPTION_TEXT_MAX];

	OPTION_FOREACH (group, row) {
		fprintf(out, "\noption %s%s%s\n", group->path, group->path[0] != '\0' ? "." : "", row->name);
		fprintf(out, "\ttype: %s\n", option_type_name(row->type));
		if (row->required)
			fputs("\tdefault: required\n", out);
		else
			fprintf(out, "\tdefault: %s\n", row->default_text != NULL ? row->default_text : "none");
		if (option_range(row, range)[0] != '\0')
			fprintf(out, "\trange: %s\n", range);
		fprintf(out, "\treload: %s\n", option_reload_name(row->reload));
		fprintf(out, "\thelp: %s\n", row->help);
	}
}

void
conf_help(const struct conf_service_type *types, FILE *out)
{
	static const struct option_group *const groups[] = {&conf_group_top, &conf_group_daemon, &conf_group_log,
		&conf_group_resolver, &conf_group_pool, &conf_group_upstream, &conf_group_server, &conf_group_listener};

	fputs("# Every option of connpoold.conf(5), a block each; after \"section\" and \"service\" what they hold.\n",
		out);
	for (size_t i = 0; i < CP_COUNT(groups); i++) {
		if (groups[i]->path[0] != '\0')
			fprintf(out, "\nsection %s: %s\n", groups[i]->path, groups[i]->help);
		help_group(groups[i], out);
	}
	for (; types->name != NULL; types++) {
		fprintf(out, "\nservice %s%s%s\n", types->name, types->group.help != NULL ? ": " : "",
			types->group.help != NULL ? types->group.help : "");
		help_group(&types->group, out);
	}
}
