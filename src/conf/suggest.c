/* SPDX-License-Identifier: MIT */
/*
 * suggest - edit distance (optimal string alignment) between a word of the file and the words that are known.
 *
 * Only called for a message about an error, on short words, so the plain table is good enough. Never allocates.
 */
#include "config.h"

#include "conf/suggest.h"

#include <ctype.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>

#define LETTERS_MAX 64

void
suggestion_init(struct suggestion *suggestion, const char *word)
{
	suggestion->word = word;
	suggestion->best = NULL;
	suggestion->distance = UINT_MAX;
}

void
suggestion_offer(struct suggestion *suggestion, const char *candidate)
{
	unsigned distance = suggest_distance(suggestion->word, candidate);

	if (distance < suggestion->distance) {
		suggestion->distance = distance;
		suggestion->best = candidate;
	}
}

const char *
suggestion_get(const struct suggestion *suggestion)
{
	size_t length = strlen(suggestion->word);

	/* A third of the letters wrong is a slip, more is another word; two letters prove nothing. */
	if (suggestion->best == NULL || suggestion->distance > (length < 3 ? 0 : (length + 2) / 3))
		return NULL;
	return suggestion->best;
}

static int
fold(char c)
{
	return c == '-' ? '_' : tolower((unsigned char)c);
}

static unsigned
least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

unsigned
suggest_distance(const char *a, const char *b)
{
	const size_t a_len = strnlen(a, LETTERS_MAX);
	const size_t b_len = strnlen(b, LETTERS_MAX);
	unsigned rows[3][LETTERS_MAX + 1]; /* the row being filled and the two before it, in turn */

	for (size_t j = 0; j <= b_len; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned *row = rows[i % 3];
		const unsigned *before = rows[(i - 1) % 3];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_len; j++) {
			unsigned same = fold(a[i - 1]) == fold(b[j - 1]) ? 0 : 1;

			row[j] = least(least(before[j] + 1, row[j - 1] + 1), before[j - 1] + same);
			if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) && fold(a[i - 2]) == fold(b[j - 1]))
				row[j] = least(row[j], rows[(i - 2) % 3][j - 2] + 1);
		}
	}
	return rows[a_len % 3][b_len];
}
