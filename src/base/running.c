/* SPDX-License-Identifier: MIT */
/*
 * running.c - see running.h. Nothing here allocates, takes a lock or uses stdio.
 */
#include "config.h"

#include "base/running.h"

#include <string.h>

#include "base/assert.h"

_Thread_local struct running running;

struct running
running_begin(const char *listener, const char *service, const char *function)
{
	struct running before = running;

	running = (struct running){
		.listener = listener,
		.service = service,
		.function = function,
		.occasion = before.occasion,
		.place = RUNNING_ELSEWHERE,
	};
	return before;
}

void
running_end(const struct running *before)
{
	running = *before;
}

/* ---- as text ------------------------------------------------------------------------ */

struct words {
	char *text;
	size_t used;
};

static void
add(struct words *words, const char *text)
{
	while (*text != '\0' && words->used < RUNNING_TEXT_MAX - 1)
		words->text[words->used++] = *text++;
	words->text[words->used] = '\0';
}

/* ", before" + name + "after", if there is a name. */
static void
add_name(struct words *words, const char *before, const char *name, const char *after)
{
	if (name == NULL)
		return;
	if (words->used > 0)
		add(words, ", ");
	add(words, before);
	add(words, name);
	add(words, after);
}

/* By hand: snprintf(3) is not async-signal-safe. */
static const char *
format_number(uint64_t number, char digits[24])
{
	char *p = digits + 23;

	*p = '\0';
	do {
		*--p = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	return p;
}

size_t
running_describe(const struct running *what, char text[RUNNING_TEXT_MAX])
{
	struct words words = {.text = text};
	char digits[24];

	text[0] = '\0';
	add_name(&words, "listener '", what->listener, "'");
	add_name(&words, "service '", what->service, "'");
	add_name(&words, "module '", what->module, "'");
	if (what->connection != 0)
		add_name(&words, "connection ", format_number(what->connection, digits), "");
	add_name(&words, "in ", what->function, "()");
	add_name(&words, "last call ", what->call, "()");
	add_name(&words, "during ", what->occasion, "");
	return words.used;
}

void
running_misuse(const char *call, const char *why)
{
	struct running known = running;
	char text[RUNNING_TEXT_MAX];

	/* The call that is to be named is this one. */
	known.call = NULL;
	if (running_describe(&known, text) == 0)
		memcpy(text, "outside of any handler", sizeof("outside of any handler"));
	assert_say_and_abort((const char *const[]){"connpoold: ", text, ": ", call, "(): ", why, NULL});
}
