/* SPDX-License-Identifier: MIT */
/*
 * words - a list of strings that grows, and lines taken apart into one. The strings live in the arena that is given.
 */
#ifndef CP_IMPORT_WORDS_H
#define CP_IMPORT_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/defs.h"

struct arena;

/* Zeroed it is empty. */
struct words {
	const char **items;
	size_t count;
	size_t room; /* private: words.c */
};

/* Borrows text for as long as the words live. */
void words_add(struct arena *arena, struct words *words, const char *text);
/* Adds what stands between blanks; quotes mean nothing, as to xinetd. */
void words_split(struct arena *arena, struct words *words, const char *line);
/* The same, with parts in '…' or "…" taken whole, as inetd does. 0, -EINVAL: a quote without its end. */
CP_MUST_CHECK int words_split_quoted(struct arena *arena, struct words *words, const char *line);
bool words_has(const struct words *words, const char *text);
/* Every one that is equal to text. */
void words_remove(struct words *words, const char *text);
/* With separator between; "" for none. */
char *words_join(struct arena *arena, const struct words *words, const char *separator);

#endif
