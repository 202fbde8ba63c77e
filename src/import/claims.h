/* SPDX-License-Identifier: MIT */
/*
 * claims - which addresses are taken already, so that no two listeners of the result are in each other's way.
 */
#ifndef CP_IMPORT_CLAIMS_H
#define CP_IMPORT_CLAIMS_H

struct arena;
struct claim;
struct plan;

/* Zeroed it is empty. */
struct claims {
	struct claim *first; /* private: claims.c */
};

/* Takes the addresses of the plan, and borrows it: NULL; or takes none: the plan that has one of them already. */
const struct plan *claims_take(struct arena *arena, struct claims *claims, const struct plan *plan);

#endif
