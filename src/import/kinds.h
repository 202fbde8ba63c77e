/* SPDX-License-Identifier: MIT */
/*
 * kinds - every attribute there is, in one table: how it is merged with the defaults, and, where connpoold has nothing
 * like it, why. The manual page's list says the same.
 */
#ifndef CP_IMPORT_KINDS_H
#define CP_IMPORT_KINDS_H

#define KIND_LIST 1u     /* takes "+=" and "-=", and may stand more than once */
#define KIND_DEFAULT 2u  /* may stand in the section "defaults" */
#define KIND_DEFAULTS 4u /* may stand there alone */
#define KIND_QUIET 8u    /* nobody misses it: a comment says why it is not there, but no warning */
#define KIND_INETD 16u   /* a name of our own for what only inetd.conf can say */

struct kind {
	const char *name;
	unsigned flags;
	const char *reason; /* why it has no equal; NULL: it is converted */
};

/* NULL: there is no such attribute. */
const struct kind *kind_find(const char *name);
/* In the order of the table, which ends with a NULL name. */
const struct kind *kind_table(void);

#endif
