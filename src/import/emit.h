/* SPDX-License-Identifier: MIT */
/*
 * emit - plans as a file that connpoold reads.
 */
#ifndef CP_IMPORT_EMIT_H
#define CP_IMPORT_EMIT_H

#include <stdbool.h>
#include <stdio.h>

struct arena;
struct plan;
struct words;

struct emission {
	const struct plan *plans;  /* in the order of the file */
	const struct words *files; /* what it was made of */
	const struct words *notes; /* on all of them */
	bool keep_disabled;        /* what is switched off becomes a comment, too */
};

/* Whether out took it all is for the caller to ask (ferror(3)). */
void emit_config(struct arena *arena, const struct emission *emission, FILE *out);

#endif
