/* SPDX-License-Identifier: MIT */
/*
 * last_words - one line of text, put together and written by a process that is about to end.
 *
 * Async-signal-safe: nothing here allocates, takes a lock or uses stdio. The line leaves in one write(2), so that lines
 * of two threads do not mix.
 */
#ifndef CP_BASE_LAST_WORDS_H
#define CP_BASE_LAST_WORDS_H

#include <stddef.h>
#include <stdint.h>

struct last_words {
	size_t used;
	char text[1024];
};

/* Each adds to the line; what does not fit is cut. */
void last_words_add(struct last_words *words, const char *text);
void last_words_add_number(struct last_words *words, uint64_t number);
/* "0x1f". */
void last_words_add_hex(struct last_words *words, uint64_t number);
/*
 * Ends the line, writes it to standard error and empties it. Where nobody reads that, all lines of the process wait for
 * about a second together, and are lost.
 */
void last_words_write(struct last_words *words);

#endif
