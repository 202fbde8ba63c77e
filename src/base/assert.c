/* SPDX-License-Identifier: MIT */
/*
 * assert - the last words of a process that found a bug in itself.
 *
 * Any thread, also inside a signal handler: nothing here allocates, takes a lock or uses stdio.
 */
#include "config.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

#include "base/last_words.h"

static void
add_place(struct last_words *words, const char *file, int line)
{
	last_words_add(words, "connpoold: bug at ");
	last_words_add(words, file);
	last_words_add(words, ":");
	last_words_add_number(words, line > 0 ? (unsigned)line : 0);
}

static CP_NORETURN void
say_and_abort(struct last_words *words)
{
	last_words_write(words);
	abort();
}

void
assert_failed(const char *expr, const char *file, int line, const char *func)
{
	struct last_words words = { .used = 0 };

	add_place(&words, file, line);
	last_words_add(&words, " in ");
	last_words_add(&words, func);
	last_words_add(&words, "(): not true: ");
	last_words_add(&words, expr);
	say_and_abort(&words);
}

void
assert_pthread_failed(const char *call, int error, const char *file, int line)
{
	struct last_words words = { .used = 0 };
	const char *text = strerrordesc_np(error);

	add_place(&words, file, line);
	last_words_add(&words, ": ");
	last_words_add(&words, call);
	last_words_add(&words, " failed: ");
	last_words_add(&words, text != NULL ? text : "unknown error");
	last_words_add(&words, " (");
	last_words_add_number(&words, error > 0 ? (unsigned)error : 0);
	last_words_add(&words, ")");
	say_and_abort(&words);
}

void
assert_say_and_abort(const char *const *texts)
{
	struct last_words words = { .used = 0 };

	while (*texts != NULL)
		last_words_add(&words, *texts++);
	say_and_abort(&words);
}

static CP_NORETURN void
wrong_magic(const char *what, const char *type, const char *file, int line)
{
	struct last_words words = { .used = 0 };

	add_place(&words, file, line);
	last_words_add(&words, ": expected ");
	last_words_add(&words, type);
	last_words_add(&words, ", got ");
	last_words_add(&words, what);
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
