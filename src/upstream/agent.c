/* SPDX-License-Identifier: MIT */
/*
 * agent.c - see agent.h.
 *
 * What it reads comes from another machine and ends in the log: it allocates nothing, looks at no more than it was
 * given, and lets through printable ASCII alone. check.c calls it on the main thread.
 */
#include "config.h"

#include "upstream/agent.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/defs.h"

/* A piece of the line. */
struct span {
	const char *text;
	size_t size;
};

/* Locale-free, as the words are. */
static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == ',';
}

static bool
is_end(char c)
{
	return c == '\r' || c == '\n' || c == '\0';
}

/* ---- texts --------------------------------------------------------------------------- */

static void
append_text(char *text, size_t room, const char *more, size_t size)
{
	size_t used = strlen(text);

	for (size_t i = 0; i < size && used + 1 < room; i++)
		text[used++] = more[i] >= 0x20 && more[i] < 0x7f ? more[i] : '?';
	text[used] = '\0';
}

static void
append_word(struct agent_answer *answer, const struct span *word)
{
	append_text(answer->reason, sizeof(answer->reason), " ", 1);
	append_text(answer->reason, sizeof(answer->reason), word->text, word->size);
}

static void
append_description(struct agent_answer *answer, struct span text)
{
	while (text.size > 0 && is_blank(text.text[0])) {
		text.text++;
		text.size--;
	}
	while (text.size > 0 && is_blank(text.text[text.size - 1]))
		text.size--;
	if (text.size == 0)
		return;
	append_text(answer->reason, sizeof(answer->reason), " (", 2);
	/* Room for the bracket stays: a description that is cut reads as one. */
	append_text(answer->reason, sizeof(answer->reason) - 1, text.text, text.size);
	append_text(answer->reason, sizeof(answer->reason), ")", 1);
}

/* ---- words --------------------------------------------------------------------------- */

static bool
word_is(const struct span *word, const char *text)
{
	return word->size == strlen(text) && strncasecmp(word->text, text, word->size) == 0;
}

/* All of it is a number of at most max. */
static bool
read_number(struct span digits, uint64_t max, uint64_t *ret_number)
{
	uint64_t number = 0;

	if (digits.size == 0)
		return false;
	for (size_t i = 0; i < digits.size; i++) {
		unsigned digit = (unsigned)(unsigned char)digits.text[i] - '0';

		if (digit > 9 || number > (max - digit) / 10)
			return false;
		number = number * 10 + digit;
	}
	*ret_number = number;
	return true;
}

static bool
read_health(const struct span *word, struct server_advice *advice)
{
	static const char *const down[] = {"down", "fail", "failed", "stopped"};
	bool is_up = word_is(word, "up");
	bool is_known = is_up;

	for (size_t i = 0; i < CP_COUNT(down); i++)
		is_known |= word_is(word, down[i]);
	if (!is_known)
		return false;
	advice->has_health = true;
	advice->is_up = is_up;
	return true;
}

static bool
read_mode(const struct span *word, struct server_advice *advice)
{
	static const char *const modes[] = {
		[SERVER_MODE_READY] = "ready",
		[SERVER_MODE_DRAIN] = "drain",
		[SERVER_MODE_MAINTENANCE] = "maint",
	};

	for (size_t i = 0; i < CP_COUNT(modes); i++) {
		if (!word_is(word, modes[i]))
			continue;
		advice->has_mode = true;
		advice->mode = (enum server_mode)i;
		return true;
	}
	return false;
}

static bool
read_weight(const struct span *word, struct server_advice *advice)
{
	uint64_t percent;

	if (word->size == 0 || word->text[word->size - 1] != '%' ||
		!read_number((struct span){word->text, word->size - 1}, AGENT_PERCENT_MAX, &percent))
		return false;
	advice->has_weight = true;
	advice->weight_percent = (unsigned)percent;
	return true;
}

static bool
read_max_connections(const struct span *word, struct server_advice *advice)
{
	static const char key[] = "maxconn:";
	const size_t key_size = sizeof(key) - 1;

	if (word->size < key_size || strncasecmp(word->text, key, key_size) != 0 ||
		!read_number((struct span){word->text + key_size, word->size - key_size}, UINT32_MAX,
			&advice->max_connections))
		return false;
	advice->has_max_connections = true;
	return true;
}

static void
read_word(struct agent_answer *answer, const struct span *word)
{
	struct server_advice *advice = &answer->advice;

	if (read_health(word, advice) || read_mode(word, advice) || read_weight(word, advice) ||
		read_max_connections(word, advice))
		append_word(answer, word);
	else if (answer->unknown[0] == '\0')
		append_text(answer->unknown, sizeof(answer->unknown), word->text, word->size);
}

void
agent_parse(const char *data, size_t size, struct agent_answer *ret_answer)
{
	const size_t bound = size < AGENT_LINE_MAX ? size : AGENT_LINE_MAX;
	size_t end = 0;
	size_t at = 0;

	*ret_answer = (struct agent_answer){.reason = "agent:"};
	while (end < bound && !is_end(data[end]))
		end++;
	while (at < end && data[at] != '#') {
		struct span word = {data + at, 0};

		if (is_blank(data[at])) {
			at++;
			continue;
		}
		while (at < end && data[at] != '#' && !is_blank(data[at]))
			at++;
		word.size = (size_t)(data + at - word.text);
		if (at < AGENT_LINE_MAX)
			read_word(ret_answer, &word);
	}
	if (at < end)
		append_description(ret_answer, (struct span){data + at + 1, end - at - 1});
}

bool
agent_is_whole(const char *data, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (is_end(data[i]))
			return true;
	}
	return false;
}

bool
agent_has_advice(const struct agent_answer *answer)
{
	const struct server_advice *advice = &answer->advice;

	return advice->has_health || advice->has_mode || advice->has_weight || advice->has_max_connections;
}
