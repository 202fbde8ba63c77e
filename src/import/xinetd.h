/* SPDX-License-Identifier: MIT */
/*
 * xinetd - the syntax of xinetd.conf(5): services, the section "defaults", and other files.
 */
#ifndef CP_IMPORT_XINETD_H
#define CP_IMPORT_XINETD_H

#include <stdbool.h>

#include "base/defs.h"
#include "import/words.h"

struct arena;
struct entries;
struct report;

/* Where files are read into. */
struct xinetd_reader {
	struct arena *arena;
	struct report *report;
	struct entries *entries;
	struct words files;   /* every file that was read, in order */
	struct words folders; /* every folder that an includedir named, or xinetd_read_folder() was given */
};

/* A file and all that it includes. 0, or -errno of opening it; anything wrong in it is reported, and the rest is read.
 */
CP_MUST_CHECK int xinetd_read(struct xinetd_reader *reader, const char *path);
/* Every file in it that xinetd would read. 0 or -errno of opening it. */
CP_MUST_CHECK int xinetd_read_folder(struct xinetd_reader *reader, const char *path);
/* Lines that were read already; path is for messages. */
void xinetd_parse(struct xinetd_reader *reader, const char *path, const struct words *lines);

/* Whether a file's lines look like this syntax, rather than inetd.conf's. */
bool xinetd_is_syntax(const struct words *lines);

#endif
