/* SPDX-License-Identifier: MIT */
/*
 * merge - a service with its defaults: every attribute once, with the values that hold.
 */
#ifndef CP_IMPORT_MERGE_H
#define CP_IMPORT_MERGE_H

struct arena;
struct entry;
struct report;

/*
 * The service as xinetd would run it; defaults may be NULL and count for xinetd's own entries alone. A list's first "="
 * replaces the defaults, further ones add to it, as xinetd does it; of anything else the first counts, and the report
 * says so. Attributes that nobody knows are kept.
 */
struct entry *merge_entry(
	struct arena *arena, struct report *report, const struct entry *service, const struct entry *defaults);

#endif
