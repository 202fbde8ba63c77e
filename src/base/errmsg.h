/* SPDX-License-Identifier: MIT */
/*
 * errmsg - one sentence for a person, filled by the function that failed and logged by the caller that
 * knows the context. The buffer is the caller's, so it is safe in any thread.
 */
#ifndef CP_BASE_ERRMSG_H
#define CP_BASE_ERRMSG_H

#include "base/defs.h"

struct errmsg {
	char text[1024];
};

/* Replaces the text; what does not fit is cut. An argument may be the old text. A NULL err is ignored. */
CP_PRINTF(2, 3) void errmsg_set(struct errmsg *err, const char *fmt, ...);

/* Puts "prefix: " before the text there is. A NULL err is ignored. */
CP_PRINTF(2, 3) void errmsg_prefix(struct errmsg *err, const char *fmt, ...);

/* The text for an errno value of either sign, such as "Connection refused"; never NULL, valid for ever, any thread. */
const char *errmsg_errno(int error);

#endif
