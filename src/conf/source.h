/* SPDX-License-Identifier: MIT */
/*
 * source - the text of a config file, made safe for libconfig.
 *
 * libconfig 1.5 lets a few things pass, or ends the process over them: integers beyond 32 bits wrap silently, an
 * unended string or comment swallows the rest of the file without an error, a NUL byte cuts it short, and @include of a
 * folder calls exit(3). So the text goes through here first.
 */
#ifndef CP_CONF_SOURCE_H
#define CP_CONF_SOURCE_H

#include <stddef.h>

#include "base/defs.h"

struct errmsg;

/* The largest file that is read. */
#define SOURCE_BYTES_MAX (16u << 20)

/*
 * Reads a file whole; *ret_text is owned and ends with a NUL that *ret_length does not count.
 * 0; -ENOMEM; -EFBIG or what open(2) and read(2) say, negative (err says it in words).
 */
CP_MUST_CHECK int source_read(const char *path, char **ret_text, size_t *ret_length, struct errmsg *err);

/*
 * text ends with a NUL beyond length. Returns in *ret_safe an owned copy with the same lines, in which every integer
 * that needs 64 bits says so. 0; -ENOMEM; -EINVAL: *ret_line and err say what libconfig would have let pass.
 */
CP_MUST_CHECK int source_make_safe(
	const char *text, size_t length, char **ret_safe, unsigned *ret_line, struct errmsg *err);

#endif
