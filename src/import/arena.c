/* SPDX-License-Identifier: MIT */
/*
 * arena - a list of blocks, one an allocation: an import has a few thousand of them at most.
 */
#include "config.h"

#include "import/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct arena_block {
	struct arena_block *next;
	max_align_t data[];
};

void *
arena_alloc(struct arena *arena, size_t size)
{
	struct arena_block *block = mem_zalloc(sizeof(*block) + size);

	if (block == NULL) {
		fputs("connpoold-import: no memory\n", stderr);
		exit(EXIT_FAILURE);
	}
	block->next = arena->first;
	arena->first = block;
	return block->data;
}

void *
arena_grow(struct arena *arena, const void *old, size_t *room, size_t element_size)
{
	size_t count = *room;
	void *grown;

	*room = count == 0 ? 8 : 2 * count;
	grown = arena_alloc(arena, *room * element_size);
	if (count > 0)
		memcpy(grown, old, count * element_size);
	return grown;
}

char *
arena_strdup(struct arena *arena, const char *text)
{
	return arena_strndup(arena, text, strlen(text));
}

char *
arena_strndup(struct arena *arena, const char *text, size_t length)
{
	size_t used = strnlen(text, length);
	char *copy = arena_alloc(arena, used + 1);

	memcpy(copy, text, used);
	return copy;
}

char *
arena_printf(struct arena *arena, const char *fmt, ...)
{
	va_list args, again;
	size_t size;
	char *text;

	va_start(args, fmt);
	va_copy(again, args);
	size = (size_t)vsnprintf(NULL, 0, fmt, args) + 1;
	text = arena_alloc(arena, size);
	(void)vsnprintf(text, size, fmt, again);
	va_end(again);
	va_end(args);
	return text;
}

void
arena_fini(struct arena *arena)
{
	while (arena->first != NULL) {
		struct arena_block *block = arena->first;

		arena->first = block->next;
		mem_free(block);
	}
}
