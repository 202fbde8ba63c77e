/* SPDX-License-Identifier: MIT */
/*
 * inetd - the syntax of inetd.conf(5), as the BSDs', Debian's and GNU's inetd have it.
 */
#ifndef CP_IMPORT_INETD_H
#define CP_IMPORT_INETD_H

struct arena;
struct entries;
struct report;
struct words;

/* Adds an entry for each line; what is wrong is reported with path, and the rest is read. Borrows path. */
void inetd_parse(struct arena *arena, struct report *report, struct entries *entries, const char *path,
	const struct words *lines);

#endif
