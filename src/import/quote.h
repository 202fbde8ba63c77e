/* SPDX-License-Identifier: MIT */
/*
 * quote - values as the configuration file of connpoold wants them, and names that it takes.
 */
#ifndef CP_IMPORT_QUOTE_H
#define CP_IMPORT_QUOTE_H

#include "import/words.h"

struct arena;

/* "\"a \\\"word\\\"\"": what libconfig reads as text again. */
char *quote_string(struct arena *arena, const char *text);
/* "[ \"a\", \"b\" ]" */
char *quote_list(struct arena *arena, const struct words *words);
/* A name for a listener: letters, digits, '_', '-' and '.', at most 64; unlike those in taken, to which it is added. */
const char *quote_name(struct arena *arena, struct words *taken, const char *text);
/* The same for a group of the file, whose name begins with a letter and has no '.' in it. */
const char *quote_group_name(struct arena *arena, struct words *taken, const char *text);

#endif
