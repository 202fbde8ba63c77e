/* SPDX-License-Identifier: MIT */
/*
 * module_options.c - struct cp_option -> struct option.
 *
 * The public table is plain and has no types of ours in it; what it says comes from somebody else's code, so every row
 * is looked at before the reader, which trusts its tables, is given it.
 */
#include "config.h"

#include "service/module_options.h"

#include <errno.h>
#include <string.h>

#include "base/errmsg.h"
#include "base/mem.h"
#include "conf/option.h"
#include "connpoold/handler.h"

/* More is no table, but one without its end. */
#define ROWS_MAX 256
#define NAME_MAX_LETTERS 64
/* More is no structure of settings, but a number that went wrong: each listener has one. */
#define SETTINGS_MAX_BYTES (1024u * 1024)

_Static_assert(sizeof(struct cp_strings) == sizeof(struct option_strings) &&
		       offsetof(struct cp_strings, items) == offsetof(struct option_strings, items) &&
		       offsetof(struct cp_strings, count) == offsetof(struct option_strings, count),
	"a list of strings is the same on both sides");
_Static_assert(sizeof(struct cp_word) == sizeof(struct option_word) &&
		       offsetof(struct cp_word, name) == offsetof(struct option_word, name) &&
		       offsetof(struct cp_word, value) == offsetof(struct option_word, value),
	"a word is the same on both sides");

static const struct {
	enum option_type type;
	size_t size;
} kinds[] = {
	[CP_OPTION_BOOL] = {OPTION_BOOL, sizeof(bool)},
	[CP_OPTION_NUMBER] = {OPTION_UINT, sizeof(uint64_t)},
	[CP_OPTION_SIZE] = {OPTION_SIZE, sizeof(uint64_t)},
	[CP_OPTION_TIME] = {OPTION_TIME, sizeof(uint64_t)},
	[CP_OPTION_STRING] = {OPTION_STRING, sizeof(char *)},
	[CP_OPTION_STRINGS] = {OPTION_STRINGS, sizeof(struct cp_strings)},
	[CP_OPTION_WORD] = {OPTION_WORD, sizeof(int)},
};

/* ---- looking ------------------------------------------------------------------------ */

bool
module_options_is_name(const char *name)
{
	size_t length = strlen(name);

	return length > 0 && length <= NAME_MAX_LETTERS &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == length;
}

/* NULL: nothing. */
static const char *
fault_of(const struct cp_option *option, size_t settings_size)
{
	if (!module_options_is_name(option->name))
		return "its name is not made of small letters, digits and '_'";
	if ((unsigned)option->type < CP_OPTION_BOOL || (unsigned)option->type >= CP_COUNT(kinds))
		return "it is of a type that there is not";
	if (option->offset > settings_size || kinds[option->type].size > settings_size - option->offset)
		return "its field lies outside settings_size";
	if (option->type == CP_OPTION_WORD && (option->words == NULL || option->words[0].name == NULL))
		return "it has no words";
	if (option->min > option->max)
		return "its min is above its max";
	if (option->help == NULL)
		return "it has no help";
	return NULL;
}

static bool
stands_before(const struct option_group *group, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(group->options[i].name, name) == 0)
			return true;
	}
	return strcmp(name, "type") == 0;
}

static bool
shares_bytes(const struct cp_option *a, const struct cp_option *b)
{
	return a->offset < b->offset + kinds[b->type].size && b->offset < a->offset + kinds[a->type].size;
}

/* All before it are looked at already, it too. */
static const struct cp_option *
find_overlapped(const struct cp_option *first, const struct cp_option *option)
{
	for (; first != option; first++) {
		if (shares_bytes(first, option))
			return first;
	}
	return NULL;
}

/* A default that the file could not say is found now, not by whoever leaves the option out. */
static int
check_default(const struct option *row, struct errmsg *err)
{
	union {
		uint64_t number;
		struct option_strings strings;
	} field = {.strings = {NULL, 0}};
	struct option alone[] = {*row, OPT_END};
	const struct option_group group = {.options = alone};
	int rc;

	alone[0].offset = 0;
	rc = option_group_init(&group, &field);
	if (rc == -EINVAL || rc == -ERANGE)
		rc = option_set_text(alone, &field, row->default_text, err);
	option_group_fini(&group, &field);
	if (rc == 0 || rc == -ENOMEM)
		return rc;
	errmsg_prefix(err, "its default");
	return -EINVAL;
}

/* ---- making --------------------------------------------------------------------------- */

static struct option
make_row(const struct cp_option *option, size_t offset)
{
	return (struct option){.name = option->name,
		.type = kinds[option->type].type,
		.offset = offset + option->offset,
		.default_text = option->default_text,
		.required = option->required,
		.min = option->min,
		.max = option->max,
		.words = (const struct option_word *)(const void *)option->words,
		.reload = OPTION_NEW_CONNECTIONS,
		.help = option->help};
}

static int
add_rows(struct option *rows, size_t count, const struct cp_handler *handler, size_t offset,
	const struct option_group *group, struct errmsg *err)
{
	for (const struct cp_option *option = handler->options; option != NULL && option->name != NULL; option++) {
		const char *fault = fault_of(option, handler->settings_size);
		int rc = -EINVAL;

		if (fault == NULL && stands_before(group, count, option->name))
			fault = "there is one of that name already";
		if (fault == NULL && find_overlapped(handler->options, option) != NULL)
			fault = "its field overlaps that of an option before it";
		if (fault != NULL) {
			errmsg_set(err, "%s", fault);
		} else {
			rows[count] = make_row(option, offset);
			rc = check_default(&rows[count++], err);
		}
		if (rc < 0) {
			errmsg_prefix(err, "its option \"%.64s\"", option->name);
			return rc;
		}
	}
	return 0;
}

static size_t
count_rows(const struct option *base, const struct cp_handler *handler)
{
	size_t count = 0;

	while (base[count].name != NULL)
		count++;
	for (const struct cp_option *option = handler->options; option != NULL && option->name != NULL; option++) {
		if (count++ > ROWS_MAX)
			break;
	}
	return count;
}

int
module_options_make(const struct option *base, const struct cp_handler *handler, size_t offset,
	struct option_group *ret_group, struct errmsg *err)
{
	size_t count = count_rows(base, handler);
	struct option_group group = {.size = offset + handler->settings_size};
	struct option *rows;
	size_t base_count = 0;
	int rc;

	if (handler->settings_size > SETTINGS_MAX_BYTES) {
		errmsg_set(err, "its settings_size is %zu bytes, more than %u", handler->settings_size,
			SETTINGS_MAX_BYTES);
		return -EINVAL;
	}
	if (count > ROWS_MAX) {
		errmsg_set(err, "its table of options does not end with CP_OPT_END");
		return -EINVAL;
	}
	rows = mem_zalloc_array(count + 1, sizeof(*rows));
	if (rows == NULL)
		return -ENOMEM;
	group.options = rows;
	for (; base[base_count].name != NULL; base_count++)
		rows[base_count] = base[base_count];
	rc = add_rows(rows, base_count, handler, offset, &group, err);
	if (rc < 0)
		module_options_free(&group);
	else
		*ret_group = group;
	return rc;
}

void
module_options_free(struct option_group *group)
{
	mem_free((void *)(uintptr_t)group->options);
	group->options = NULL;
}
