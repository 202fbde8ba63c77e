/* SPDX-License-Identifier: MIT */
/*
 * words - a growing array of borrowed strings.
 */
#include "config.h"

#include "import/words.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "import/arena.h"

void
words_add(struct arena *arena, struct words *words, const char *text)
{
	if (words->count == words->room)
		words->items = arena_grow(arena, words->items, &words->room, sizeof(*words->items));
	words->items[words->count++] = text;
}

static bool
is_blank(char c)
{
	return isspace((unsigned char)c);
}

void
words_split(struct arena *arena, struct words *words, const char *line)
{
	for (;;) {
		const char *start;

		while (is_blank(*line))
			line++;
		if (*line == '\0')
			return;
		start = line;
		while (*line != '\0' && !is_blank(*line))
			line++;
		words_add(arena, words, arena_strndup(arena, start, (size_t)(line - start)));
	}
}

/* One word from *line on, which is moved behind it; NULL: a quote does not end. */
static char *
take_quoted(struct arena *arena, const char **line)
{
	char *word = arena_alloc(arena, strlen(*line) + 1);
	size_t used = 0;
	char quote = '\0';

	for (; **line != '\0' && (quote != '\0' || !is_blank(**line)); ++*line) {
		if (quote == '\0' && (**line == '"' || **line == '\''))
			quote = **line;
		else if (quote != '\0' && **line == quote)
			quote = '\0';
		else
			word[used++] = **line;
	}
	return quote == '\0' ? word : NULL;
}

int
words_split_quoted(struct arena *arena, struct words *words, const char *line)
{
	for (;;) {
		char *word;

		while (is_blank(*line))
			line++;
		if (*line == '\0')
			return 0;
		word = take_quoted(arena, &line);
		if (word == NULL)
			return -EINVAL;
		words_add(arena, words, word);
	}
}

bool
words_has(const struct words *words, const char *text)
{
	for (size_t i = 0; i < words->count; i++) {
		if (strcmp(words->items[i], text) == 0)
			return true;
	}
	return false;
}

void
words_remove(struct words *words, const char *text)
{
	size_t kept = 0;

	for (size_t i = 0; i < words->count; i++) {
		if (strcmp(words->items[i], text) != 0)
			words->items[kept++] = words->items[i];
	}
	words->count = kept;
}

char *
words_join(struct arena *arena, const struct words *words, const char *separator)
{
	size_t size = 1;
	char *text, *end;

	for (size_t i = 0; i < words->count; i++)
		size += strlen(words->items[i]) + strlen(separator);
	text = end = arena_alloc(arena, size);
	for (size_t i = 0; i < words->count; i++) {
		if (i > 0)
			end = stpcpy(end, separator);
		end = stpcpy(end, words->items[i]);
	}
	return text;
}
