/* SPDX-License-Identifier: MIT */
/*
 * assert - the last words of a process that found a bug in itself.
 *
 * Any thread, also inside a signal handler: nothing here allocates, takes a lock or uses stdio. The message is put
 * together on the stack and leaves in one write(2), so that messages of two threads do not mix.
 */
#include "config.h"

#include "base/assert.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct last_words {
	size_t used;
	char text[1024];
};

static void
add_text(struct last_words *words, const char *text)
{
	size_t room = sizeof(words->text) - words->used;
	size_t len = strlen(text);

	if (len > room)
		len = room;
	memcpy(words->text + words->used, text, len);
	words->used += len;
}

/* Digits by hand: snprintf(3) is not async-signal-safe. */
static void
add_number(struct last_words *words, unsigned number)
{
	char digits[16];
	char *p = digits + sizeof(digits);

	*--p = '\0';
	do {
		*--p = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	add_text(words, p);
}

static void
add_place(struct last_words *words, const char *file, int line)
{
	add_text(words, "connpoold: bug at ");
	add_text(words, file);
	add_text(words, ":");
	add_number(words, line > 0 ? (unsigned)line : 0);
}

static CP_NORETURN void
say_and_abort(struct last_words *words)
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
	abort();
}

void
assert_failed(const char *expr, const char *file, int line, const char *func)
{
	struct last_words words = { .used = 0 };

	add_place(&words, file, line);
	add_text(&words, " in ");
	add_text(&words, func);
	add_text(&words, "(): not true: ");
	add_text(&words, expr);
	say_and_abort(&words);
}

void
assert_pthread_failed(const char *call, int error, const char *file, int line)
{
	struct last_words words = { .used = 0 };
	const char *text = strerrordesc_np(error);

	add_place(&words, file, line);
	add_text(&words, ": ");
	add_text(&words, call);
	add_text(&words, " failed: ");
	add_text(&words, text != NULL ? text : "unknown error");
	add_text(&words, " (");
	add_number(&words, error > 0 ? (unsigned)error : 0);
	add_text(&words, ")");
	say_and_abort(&words);
}

void
assert_say_and_abort(const char *const *texts)
{
	struct last_words words = { .used = 0 };

	while (*texts != NULL)
		add_text(&words, *texts++);
	say_and_abort(&words);
}

static CP_NORETURN void
wrong_magic(const char *what, const char *type, const char *file, int line)
{
	struct last_words words = { .used = 0 };

	add_place(&words, file, line);
	add_text(&words, ": expected ");
	add_text(&words, type);
	add_text(&words, ", got ");
	add_text(&words, what);
	say_and_abort(&words);
}

void *
assert_magic(void *ptr, uint32_t number, const char *type, const char *file, int line)
{
	uint32_t found;

	if (ptr == NULL)
		wrong_magic("NULL", type, file, line);
	memcpy(&found, ptr, sizeof(found));
	if (found == 0)
		wrong_magic("something cleared or finished already", type, file, line);
	if (found != number)
		wrong_magic("something else", type, file, line);
	return ptr;
}
