/* SPDX-License-Identifier: MIT */
/*
 * import - connpoold-import: configuration of xinetd and inetd in, configuration of connpoold out.
 *
 * Files become entries (xinetd.c, inetd.c), entries get their defaults (merge.c), each becomes a plan of a listener
 * (convert*.c), and the plans become text (emit.c). A program of its own, one thread, run once by an administrator.
 * May include: base/.
 *
 * arena - memory that is returned all at once, when the program is done with an import.
 *
 * Without memory the program says so and ends with status 1: nothing has been written by then, and nobody could go on.
 */
#ifndef CP_IMPORT_ARENA_H
#define CP_IMPORT_ARENA_H

#include <stddef.h>

#include "base/defs.h"

struct arena_block;

/* Zeroed it is empty. */
struct arena {
	struct arena_block *first; /* private: arena.c */
};

/* Zeroed; never NULL. */
void *arena_alloc(struct arena *arena, size_t size);
/* An array of room for twice as many (8 at first), with the old elements; *room is updated. */
void *arena_grow(struct arena *arena, const void *old, size_t *room, size_t element_size);
char *arena_strdup(struct arena *arena, const char *text);
/* At most length bytes of it. */
char *arena_strndup(struct arena *arena, const char *text, size_t length);
CP_PRINTF(2, 3) char *arena_printf(struct arena *arena, const char *fmt, ...);
/* Returns all of it; the arena is empty then. */
void arena_fini(struct arena *arena);

#endif
