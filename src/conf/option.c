/* SPDX-License-Identifier: MIT */
/*
 * option - the fields that option rows describe: their defaults, texts and numbers into them, comparing, freeing.
 *
 * Called by the reader for every value of a file, and by dump and diff. It knows types and ranges and nothing of
 * libconfig, of files or of lines: errors are half sentences that the reader puts a place before.
 */
#include "config.h"

#include "conf/option.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/cidr.h"
#include "base/errmsg.h"
#include "base/mem.h"
#include "base/units.h"
#include "conf/conf.h"

const struct option *
option_find(const struct option_group *group, const char *name)
{
	const struct option *row;

	OPTION_FOREACH (group, row) {
		if (strcmp(row->name, name) == 0)
			return row;
	}
	return NULL;
}

/* ---- life of a structure ----------------------------------------------------- */

int
option_group_init(const struct option_group *group, void *base)
{
	const struct option *row;

	OPTION_FOREACH (group, row) {
		if (row->default_text == NULL)
			continue;
		/* A default that does not parse is a bug in a table; the test that reads every table finds it. */
		int r = option_set_text(row, option_field(row, base), row->default_text, NULL);

		if (r < 0)
			return r;
	}
	return 0;
}

static void
field_fini_strings(struct option_strings *list)
{
	for (size_t i = 0; i < list->count; i++)
		mem_free(list->items[i]);
	mem_free(list->items);
}

static void
field_fini_address(struct address **field)
{
	if (*field != NULL)
		address_fini(*field);
	mem_freep(field);
}

static void
field_fini_addresses(struct option_addresses *list)
{
	for (size_t i = 0; i < list->count; i++)
		address_fini(&list->items[i]);
	mem_free(list->items);
}

static void
field_fini_service(struct conf_service *service)
{
	if (service->options != NULL)
		option_group_fini(service->group, service->options);
	mem_free(service->options);
	if (service->group != NULL && service->group != &service->type->group)
		service->type->retract(&service->group);
}

static void
field_fini(const struct option *row, void *field)
{
	switch (row->type) {
	case OPTION_BOOL:
	case OPTION_UINT:
	case OPTION_SIZE:
	case OPTION_TIME:
	case OPTION_INT:
	case OPTION_MODE:
	case OPTION_WORD:
		break;
	case OPTION_STRING:
	case OPTION_UPSTREAM:
		mem_freep((char **)field);
		break;
	case OPTION_ADDRESS:
		field_fini_address(field);
		break;
	case OPTION_STRINGS:
		field_fini_strings(field);
		memset(field, 0, sizeof(struct option_strings));
		break;
	case OPTION_ADDRESSES:
		field_fini_addresses(field);
		memset(field, 0, sizeof(struct option_addresses));
		break;
	case OPTION_NETWORKS:
		mem_free(((struct option_networks *)field)->items);
		memset(field, 0, sizeof(struct option_networks));
		break;
	case OPTION_SERVICE:
		field_fini_service(field);
		memset(field, 0, sizeof(struct conf_service));
		break;
	}
}

void
option_group_fini(const struct option_group *group, void *base)
{
	const struct option *row;

	OPTION_FOREACH (group, row)
		field_fini(row, option_field(row, base));
}

/* ---- what may be written ----------------------------------------------------- */

const char *
option_type_name(enum option_type type)
{
	switch (type) {
	case OPTION_BOOL:
		return "boolean";
	case OPTION_UINT:
		return "number";
	case OPTION_SIZE:
		return "size";
	case OPTION_TIME:
		return "time";
	case OPTION_INT:
		return "number";
	case OPTION_MODE:
		return "mode";
	case OPTION_WORD:
		return "word";
	case OPTION_STRING:
		return "string";
	case OPTION_STRINGS:
		return "strings";
	case OPTION_ADDRESS:
		return "address";
	case OPTION_ADDRESSES:
		return "addresses";
	case OPTION_NETWORKS:
		return "networks";
	case OPTION_UPSTREAM:
		return "upstream";
	case OPTION_SERVICE:
		return "service";
	}
	return "unknown";
}

const char *
option_reload_name(enum option_reload reload)
{
	switch (reload) {
	case OPTION_LIVE:
		return "at once";
	case OPTION_NEW_CONNECTIONS:
		return "new connections";
	case OPTION_NEW_SOCKETS:
		return "new sockets";
	case OPTION_RESTART:
		return "restart";
	}
	return "unknown";
}

/* After what is there already. */
static void
range_words(const struct option *row, char buf[OPTION_TEXT_MAX])
{
	size_t used = strlen(buf);
	bool is_first = used == 0;

	for (const struct option_word *word = row->words; word != NULL && word->name != NULL && used < OPTION_TEXT_MAX;
		word++) {
		const char *before = is_first ? "" : word[1].name == NULL ? " or " : ", ";
		int n = snprintf(buf + used, OPTION_TEXT_MAX - used, "%s\"%s\"", before, word->name);

		used += (size_t)n;
		is_first = false;
	}
}

const char *
option_range(const struct option *row, char buf[OPTION_TEXT_MAX])
{
	char min[UNITS_TEXT_MAX];
	char max[UNITS_TEXT_MAX];

	buf[0] = '\0';
	switch (row->type) {
	case OPTION_UINT:
		snprintf(buf, OPTION_TEXT_MAX, "%" PRIu64 " to %" PRIu64 "%s%s", row->min, row->max,
			row->unit != NULL ? " " : "", row->unit != NULL ? row->unit : "");
		range_words(row, buf);
		break;
	case OPTION_SIZE:
		snprintf(buf, OPTION_TEXT_MAX, "%s to %s", units_format_size(row->min, min),
			units_format_size(row->max, max));
		range_words(row, buf);
		break;
	case OPTION_TIME:
		snprintf(buf, OPTION_TEXT_MAX, "%s to %s", units_format_time(row->min, min),
			units_format_time(row->max, max));
		range_words(row, buf);
		break;
	case OPTION_INT:
		snprintf(buf, OPTION_TEXT_MAX, "%" PRId64 " to %" PRId64, (int64_t)row->min, (int64_t)row->max);
		break;
	case OPTION_MODE:
		snprintf(buf, OPTION_TEXT_MAX, "\"%04" PRIo64 "\" to \"%04" PRIo64 "\"", row->min, row->max);
		break;
	case OPTION_WORD:
		range_words(row, buf);
		break;
	case OPTION_BOOL:
	case OPTION_STRING:
	case OPTION_STRINGS:
	case OPTION_ADDRESS:
	case OPTION_ADDRESSES:
	case OPTION_NETWORKS:
	case OPTION_UPSTREAM:
	case OPTION_SERVICE:
		break;
	}
	return buf;
}

const char *
option_expected(const struct option *row, char buf[OPTION_TEXT_MAX])
{
	static const struct {
		const char *before;
		const char *after;
	} phrases[] = {
		[OPTION_BOOL] = {"true or false", ""},
		[OPTION_UINT] = {"a number from ", ""},
		[OPTION_SIZE] = {"a size from ", ", in bytes or such as \"64KiB\""},
		[OPTION_TIME] = {"a time from ", ", in seconds or such as \"1500ms\""},
		[OPTION_INT] = {"a number from ", ""},
		[OPTION_MODE] = {"an octal mode in quotes from ", ""},
		[OPTION_WORD] = {"", ""},
		[OPTION_STRING] = {"a string", ""},
		[OPTION_STRINGS] = {"a string or an array of strings", ""},
		[OPTION_ADDRESS] = {"an address such as \"tcp:192.0.2.1:80\", \"unix:PATH\" or \"srv:NAME\"", ""},
		[OPTION_ADDRESSES] = {"an address such as \"tcp:*:7007\" or an array of addresses", ""},
		[OPTION_NETWORKS] = {"a network such as \"10.0.0.0/8\" or an array of networks", ""},
		[OPTION_UPSTREAM] = {"the name of an upstream", ""},
		[OPTION_SERVICE] = {"a service type's name or { type = \"NAME\"; … }", ""},
	};
	char range[OPTION_TEXT_MAX];

	/* GCC can't see that no range comes near to filling its buffer. */
	option_range(row, range);
	if (snprintf(buf, OPTION_TEXT_MAX, "%s%s%s", phrases[row->type].before, range, phrases[row->type].after) >=
		OPTION_TEXT_MAX)
		memcpy(buf + OPTION_TEXT_MAX - 4, "...", 4);
	return buf;
}

/* ---- setting values ---------------------------------------------------------- */

static int
fail_invalid(const struct option *row, const char *text, struct errmsg *err)
{
	char expected[OPTION_TEXT_MAX];

	errmsg_set(err, "\"%s\" is not understood, expected %s", text, option_expected(row, expected));
	return -EINVAL;
}

static int
set_number(const struct option *row, uint64_t *field, uint64_t value, const char *text, struct errmsg *err)
{
	char expected[OPTION_TEXT_MAX];

	if (value < row->min || value > row->max) {
		errmsg_set(err, "%s is out of range, expected %s", text, option_expected(row, expected));
		return -ERANGE;
	}
	*field = value;
	return 0;
}

static int
set_signed(const struct option *row, int64_t *field, int64_t value, const char *text, struct errmsg *err)
{
	char expected[OPTION_TEXT_MAX];

	if (value < (int64_t)row->min || value > (int64_t)row->max) {
		errmsg_set(err, "%s is out of range, expected %s", text, option_expected(row, expected));
		return -ERANGE;
	}
	*field = value;
	return 0;
}

int
option_set_integer(const struct option *row, void *field, int64_t value, struct errmsg *err)
{
	char text[32];
	char expected[OPTION_TEXT_MAX];
	uint64_t number = (uint64_t)value;

	snprintf(text, sizeof(text), "%" PRId64, value);
	if (row->type == OPTION_INT)
		return set_signed(row, field, value, text, err);
	if (row->type != OPTION_UINT && row->type != OPTION_SIZE && row->type != OPTION_TIME) {
		errmsg_set(err, "%s is a number, expected %s", text, option_expected(row, expected));
		return -EINVAL;
	}
	/* UINT64_MAX lies beyond every range: it stands for what can't be represented. */
	if (value < 0)
		number = UINT64_MAX;
	else if (row->type == OPTION_TIME && __builtin_mul_overflow(number, (uint64_t)1000, &number))
		number = UINT64_MAX;
	return set_number(row, field, number, text, err);
}

static int
set_unit_text(const struct option *row, uint64_t *field, const char *text, struct errmsg *err)
{
	char quoted[64];
	uint64_t value = 0;
	int r = row->type == OPTION_SIZE ? units_parse_size(text, &value) : units_parse_time(text, &value);

	if (r == -ERANGE)
		value = UINT64_MAX;
	else if (r < 0)
		return fail_invalid(row, text, err);
	snprintf(quoted, sizeof(quoted), "\"%s\"", text);
	return set_number(row, field, value, quoted, err);
}

static int
set_digits(const struct option *row, uint64_t *field, const char *text, struct errmsg *err)
{
	const int base = row->type == OPTION_MODE ? 8 : 10;
	char *end;
	uint64_t value;

	if (text[0] < '0' || text[0] > '9' || strlen(text) > 18)
		return fail_invalid(row, text, err);
	value = strtoull(text, &end, base);
	if (*end != '\0')
		return fail_invalid(row, text, err);
	return set_number(row, field, value, text, err);
}

static int
set_signed_digits(const struct option *row, int64_t *field, const char *text, struct errmsg *err)
{
	char *end;
	int64_t value;

	if (strlen(text) == 0 || strlen(text) > 18)
		return fail_invalid(row, text, err);
	value = strtoll(text, &end, 10);
	if (*end != '\0')
		return fail_invalid(row, text, err);
	return set_signed(row, field, value, text, err);
}

/* One of the words that a number may be instead; false: it is none. */
static bool
set_word_number(const struct option *row, uint64_t *field, const char *text)
{
	for (const struct option_word *word = row->words; word != NULL && word->name != NULL; word++) {
		if (strcmp(word->name, text) == 0) {
			*field = (uint64_t)(int64_t)word->value;
			return true;
		}
	}
	return false;
}

static int
set_bool(const struct option *row, bool *field, const char *text, struct errmsg *err)
{
	if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return fail_invalid(row, text, err);
	*field = text[0] == 't';
	return 0;
}

static int
set_word(const struct option *row, int *field, const char *text, struct errmsg *err)
{
	for (const struct option_word *word = row->words; word->name != NULL; word++) {
		if (strcmp(word->name, text) == 0) {
			*field = word->value;
			return 0;
		}
	}
	return fail_invalid(row, text, err);
}

static int
set_string(char **field, const char *text)
{
	char *copy = mem_strdup(text);

	if (copy == NULL)
		return -ENOMEM;
	mem_free(*field);
	*field = copy;
	return 0;
}

/* One more slot at the end of a list; NULL when out of memory. The caller counts it once it is filled. */
static void *
list_grow(void *items, size_t count, size_t size)
{
	void **holder = items;
	void *grown = mem_realloc_array(*holder, count + 1, size);

	if (grown == NULL)
		return NULL;
	*holder = grown;
	return (char *)grown + count * size;
}

static int
append_string(struct option_strings *list, const char *text)
{
	char **slot = list_grow(&list->items, list->count, sizeof(*slot));

	if (slot == NULL)
		return -ENOMEM;
	*slot = mem_strdup(text);
	if (*slot == NULL)
		return -ENOMEM;
	list->count++;
	return 0;
}

static int
set_address(struct address **field, const char *text, struct errmsg *err)
{
	struct address *parsed = mem_zalloc(sizeof(*parsed));
	int r = parsed != NULL ? address_parse_server(parsed, text, err) : -ENOMEM;

	if (r < 0) {
		mem_free(parsed);
		return r;
	}
	field_fini_address(field);
	*field = parsed;
	return 0;
}

static int
append_address(struct option_addresses *list, const char *text, struct errmsg *err)
{
	struct address *slot = list_grow(&list->items, list->count, sizeof(*slot));
	int r;

	if (slot == NULL)
		return -ENOMEM;
	r = address_parse(slot, text, err);
	if (r < 0)
		return r;
	list->count++;
	return 0;
}

static int
append_network(struct option_networks *list, const char *text, struct errmsg *err)
{
	struct cidr *slot = list_grow(&list->items, list->count, sizeof(*slot));
	int r;

	if (slot == NULL)
		return -ENOMEM;
	r = cidr_parse(slot, text, err);
	if (r < 0)
		return r;
	list->count++;
	return 0;
}

int
option_set_text(const struct option *row, void *field, const char *text, struct errmsg *err)
{
	switch (row->type) {
	case OPTION_BOOL:
		return set_bool(row, field, text, err);
	case OPTION_UINT:
		return set_word_number(row, field, text) ? 0 : set_digits(row, field, text, err);
	case OPTION_MODE:
		return set_digits(row, field, text, err);
	case OPTION_SIZE:
	case OPTION_TIME:
		return set_word_number(row, field, text) ? 0 : set_unit_text(row, field, text, err);
	case OPTION_INT:
		return set_signed_digits(row, field, text, err);
	case OPTION_WORD:
		return set_word(row, field, text, err);
	case OPTION_STRING:
	case OPTION_UPSTREAM:
		return set_string(field, text);
	case OPTION_STRINGS:
		return append_string(field, text);
	case OPTION_ADDRESS:
		return set_address(field, text, err);
	case OPTION_ADDRESSES:
		return append_address(field, text, err);
	case OPTION_NETWORKS:
		return append_network(field, text, err);
	case OPTION_SERVICE:
		break;
	}
	return fail_invalid(row, text, err);
}

size_t
option_count(const struct option *row, const void *field)
{
	switch (row->type) {
	case OPTION_STRINGS:
		return ((const struct option_strings *)field)->count;
	case OPTION_ADDRESSES:
		return ((const struct option_addresses *)field)->count;
	case OPTION_NETWORKS:
		return ((const struct option_networks *)field)->count;
	default:
		return 1;
	}
}

/* ---- comparing --------------------------------------------------------------- */

static bool
is_equal_string(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return strcmp(a, b) == 0;
}

static bool
is_equal_strings(const struct option_strings *a, const struct option_strings *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	}
	return true;
}

static bool
is_equal_address(const struct address *a, const struct address *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return strcmp(a->text, b->text) == 0;
}

static bool
is_equal_addresses(const struct option_addresses *a, const struct option_addresses *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (strcmp(a->items[i].text, b->items[i].text) != 0)
			return false;
	}
	return true;
}

static bool
is_equal_networks(const struct option_networks *a, const struct option_networks *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		const struct cidr *x = &a->items[i];
		const struct cidr *y = &b->items[i];

		if (x->family != y->family || x->prefix_bits != y->prefix_bits ||
			memcmp(x->bytes, y->bytes, sizeof(x->bytes)) != 0)
			return false;
	}
	return true;
}

static bool
is_equal_service(const struct conf_service *a, const struct conf_service *b)
{
	const struct option *row;

	if (a->type == NULL || b->type == NULL)
		return a->type == b->type;
	/* Two groups of one type: what its options hang on is not what it was, whatever they say. */
	if (strcmp(a->type->name, b->type->name) != 0 || a->group != b->group)
		return false;
	OPTION_FOREACH (a->group, row) {
		if (!option_is_equal(row, option_field_const(row, a->options), option_field_const(row, b->options)))
			return false;
	}
	return true;
}

bool
option_is_equal(const struct option *row, const void *a, const void *b)
{
	switch (row->type) {
	case OPTION_BOOL:
		return *(const bool *)a == *(const bool *)b;
	case OPTION_UINT:
	case OPTION_SIZE:
	case OPTION_TIME:
	case OPTION_INT:
	case OPTION_MODE:
		return *(const uint64_t *)a == *(const uint64_t *)b;
	case OPTION_WORD:
		return *(const int *)a == *(const int *)b;
	case OPTION_STRING:
	case OPTION_UPSTREAM:
		return is_equal_string(*(char *const *)a, *(char *const *)b);
	case OPTION_STRINGS:
		return is_equal_strings(a, b);
	case OPTION_ADDRESS:
		return is_equal_address(*(struct address *const *)a, *(struct address *const *)b);
	case OPTION_ADDRESSES:
		return is_equal_addresses(a, b);
	case OPTION_NETWORKS:
		return is_equal_networks(a, b);
	case OPTION_SERVICE:
		return is_equal_service(a, b);
	}
	return false;
}
