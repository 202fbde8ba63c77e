/* SPDX-License-Identifier: MIT */
/*
 * last_words.c - see last_words.h. Used by assert.c, running.c and fault.c, on any thread, also in a signal handler.
 */
#include "config.h"

#include "base/last_words.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void
last_words_add(struct last_words *words, const char *text)
{
	size_t room = sizeof(words->text) - words->used;
	size_t len = strlen(text);

	if (len > room)
		len = room;
	memcpy(words->text + words->used, text, len);
	words->used += len;
}

/* By hand: snprintf(3) is not async-signal-safe. */
static void
add_digits(struct last_words *words, uint64_t number, unsigned base)
{
	char digits[24];
	char *p = digits + sizeof(digits);

	*--p = '\0';
	do {
		*--p = "0123456789abcdef"[number % base];
		number /= base;
	} while (number > 0);
	last_words_add(words, p);
}

void
last_words_add_number(struct last_words *words, uint64_t number)
{
	add_digits(words, number, 10);
}

void
last_words_add_hex(struct last_words *words, uint64_t number)
{
	last_words_add(words, "0x");
	add_digits(words, number, 16);
}

void
last_words_write(struct last_words *words)
{
	const char *p = words->text;
	ssize_t n;

	/* The end of the line stays even when the text was cut. */
	if (words->used == sizeof(words->text))
		words->used--;
	words->text[words->used++] = '\n';
	while (words->used > 0) {
		n = write(STDERR_FILENO, p, words->used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		p += n;
		words->used -= (size_t)n;
	}
	words->used = 0;
}
