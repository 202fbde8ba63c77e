/* SPDX-License-Identifier: MIT */
/*
 * lines - a text file as its lines.
 */
#ifndef CP_IMPORT_LINES_H
#define CP_IMPORT_LINES_H

#include <stddef.h>

#include "base/defs.h"
#include "import/words.h"

struct arena;
struct errmsg;

/* More than any such file has. */
#define LINES_BYTES_MAX (4u << 20)

/* Line n of the file is items[n - 1], without its end. 0; -EFBIG, or what reading it failed with; err says why. */
CP_MUST_CHECK int lines_read(struct arena *arena, struct words *lines, const char *path, struct errmsg *err);
/* The same for size bytes of text. */
void lines_split(struct arena *arena, struct words *lines, const char *text, size_t size);

#endif
