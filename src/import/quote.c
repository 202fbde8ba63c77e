/* SPDX-License-Identifier: MIT */
/*
 * quote - the escapes of libconfig, and characters that names may not have.
 */
#include "config.h"

#include "import/quote.h"

#include <ctype.h>
#include <string.h>

#include "import/arena.h"

/* Shorter than a name may be, by what makes one unique. */
#define NAME_LENGTH_MAX 56

/* The longest escape is "\x00". */
#define ESCAPE_MAX 4

static char *
put_escaped(char *end, char c)
{
	static const char hex[] = "0123456789ABCDEF";
	static const char plain[] = "\"\\\n\r\t\f";
	static const char letters[] = "\"\\nrtf";
	const char *at = strchr(plain, c);

	if (at != NULL) {
		*end++ = '\\';
		*end++ = letters[at - plain];
	} else if ((unsigned char)c < 0x20 || c == 0x7f) {
		*end++ = '\\';
		*end++ = 'x';
		*end++ = hex[(unsigned char)c >> 4];
		*end++ = hex[c & 15];
	} else {
		*end++ = c;
	}
	return end;
}

char *
quote_string(struct arena *arena, const char *text)
{
	char *quoted = arena_alloc(arena, ESCAPE_MAX * strlen(text) + 3);
	char *end = quoted;

	*end++ = '"';
	for (; *text != '\0'; text++)
		end = put_escaped(end, *text);
	*end = '"';
	return quoted;
}

char *
quote_list(struct arena *arena, const struct words *words)
{
	struct words quoted = {0};

	for (size_t i = 0; i < words->count; i++)
		words_add(arena, &quoted, quote_string(arena, words->items[i]));
	return arena_printf(arena, "[ %s ]", words_join(arena, &quoted, ", "));
}

static const char *
make_unique(struct arena *arena, struct words *taken, const char *name)
{
	const char *unique = name;

	for (unsigned n = 2; words_has(taken, unique); n++)
		unique = arena_printf(arena, "%s-%u", name, n);
	words_add(arena, taken, unique);
	return unique;
}

/* With '-' for what is no letter, digit or one of others. */
static char *
clean(struct arena *arena, const char *text, const char *others)
{
	char *name = arena_strndup(arena, text, NAME_LENGTH_MAX);

	for (char *c = name; *c != '\0'; c++) {
		bool is_ascii = (unsigned char)*c < 0x80;

		if (!(is_ascii && isalnum((unsigned char)*c)) && strchr(others, *c) == NULL)
			*c = '-';
	}
	return name;
}

const char *
quote_name(struct arena *arena, struct words *taken, const char *text)
{
	const char *name = clean(arena, text, "_-.");

	return make_unique(arena, taken, *name != '\0' ? name : "service");
}

const char *
quote_group_name(struct arena *arena, struct words *taken, const char *text)
{
	const char *name = clean(arena, text, "_-");

	if (!isalpha((unsigned char)*name))
		name = arena_printf(arena, "service-%.*s", (int)(NAME_LENGTH_MAX - strlen("service-")), name);
	return make_unique(arena, taken, name);
}
