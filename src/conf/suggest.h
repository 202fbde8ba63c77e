/* SPDX-License-Identifier: MIT */
/*
 * suggest - which of the words there are was probably meant by one that there is not.
 */
#ifndef CP_CONF_SUGGEST_H
#define CP_CONF_SUGGEST_H

/* The search for one word: init, offer every candidate, get. */
struct suggestion {
	const char *word;  /* private: suggest.c; borrowed */
	const char *best;  /* private: suggest.c; borrowed */
	unsigned distance; /* private: suggest.c */
};

/* Borrows word until the last call. */
void suggestion_init(struct suggestion *suggestion, const char *word);
/* Borrows candidate for as long as suggestion_get()'s result is used. */
void suggestion_offer(struct suggestion *suggestion, const char *candidate);
/* The nearest candidate, the first of equals; NULL when none is near enough to be meant. */
const char *suggestion_get(const struct suggestion *suggestion);

/* Letters to insert, delete, change or swap with their neighbour; case and '-' for '_' cost nothing. Of 64 letters at
 * most. */
unsigned suggest_distance(const char *a, const char *b);

#endif
