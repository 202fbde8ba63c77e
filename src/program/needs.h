/* SPDX-License-Identifier: MIT */
/*
 * needs - what the programs of a config need and would not get if this process started them: privileges that it does
 * not have, system calls that a sandbox keeps from it, files that are not there.
 *
 * For --check, and before the daemon starts: a daemon that serves has given up what is asked for here.
 */
#ifndef CP_PROGRAM_NEEDS_H
#define CP_PROGRAM_NEEDS_H

#include <stdbool.h>

#include "base/defs.h"

struct conf;

/* One thing, in a sentence with file and line; is_lack: the program is not started without it. */
typedef void needs_fn(const char *text, bool is_lack);

/*
 * Says all of it. The number of lacks; -errno: the programs can't be taken from this config at all, which was said,
 * too. Makes system calls that change nothing, but that a sandbox may end the process for: those that starting the
 * programs would make.
 */
CP_MUST_CHECK int needs_examine(const struct conf *conf, needs_fn *say);

#endif
