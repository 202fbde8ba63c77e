/* SPDX-License-Identifier: MIT */
/*
 * import - from paths to a file for connpoold: reads, merges, converts, writes.
 */
#ifndef CP_IMPORT_IMPORT_H
#define CP_IMPORT_IMPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/defs.h"
#include "import/arena.h"
#include "import/entry.h"
#include "import/report.h"
#include "import/xinetd.h"

struct import {
	struct arena arena;
	struct report report;
	struct entries entries;
	struct xinetd_reader reader;
};

/* messages is where warnings and errors go; NULL: they are only counted. */
void import_init(struct import *import, FILE *messages);
void import_fini(struct import *import);

/* A folder as xinetd's includedir; a file as xinetd.conf or inetd.conf, as its lines look. 0 or -errno. */
CP_MUST_CHECK int import_read(struct import *import, const char *path);
/*
 * xinetd.conf, xinetd.d unless that has it already, and inetd.conf, in the folder. What is not there is passed over.
 * 0; -ENOENT: there is none of them; else -errno of the first that could not be read, which is reported.
 */
CP_MUST_CHECK int import_read_folder(struct import *import, const char *folder);
/* A file that was read already. Borrows path. */
void import_read_text(struct import *import, const char *path, const char *text, size_t size);

/* Whether out took it all is for the caller to ask (ferror(3)). */
void import_write(struct import *import, bool keep_disabled, FILE *out);

#endif
