/* SPDX-License-Identifier: MIT */
/*
 * plan - lists of settings and notes, and the one way to a state.
 */
#include "config.h"

#include "import/plan.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "import/arena.h"

CP_PRINTF(2, 0)
static char *
format(struct arena *arena, const char *fmt, va_list args)
{
	va_list again;
	size_t size;
	char *text;

	va_copy(again, args);
	size = (size_t)vsnprintf(NULL, 0, fmt, again) + 1;
	va_end(again);
	text = arena_alloc(arena, size);
	(void)vsnprintf(text, size, fmt, args);
	return text;
}

void
plan_set(struct arena *arena, struct setting **settings, const char *key, const char *fmt, ...)
{
	struct setting *setting;
	va_list args;

	while (*settings != NULL && strcmp((*settings)->key, key) != 0)
		settings = &(*settings)->next;
	setting = *settings != NULL ? *settings : arena_alloc(arena, sizeof(*setting));
	setting->key = key;
	va_start(args, fmt);
	setting->value = format(arena, fmt, args);
	va_end(args);
	*settings = setting;
}

const char *
plan_get(const struct setting *settings, const char *key)
{
	for (; settings != NULL; settings = settings->next) {
		if (strcmp(settings->key, key) == 0)
			return settings->value;
	}
	return NULL;
}

void
plan_note(struct arena *arena, struct plan *plan, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	words_add(arena, &plan->notes, format(arena, fmt, args));
	va_end(args);
}

void
plan_demote(struct arena *arena, struct plan *plan, enum plan_state state, const char *fmt, ...)
{
	va_list args;

	if (state == PLAN_FOREIGN)
		plan->is_foreign = true;
	if (plan->state >= state)
		return;
	plan->state = state;
	va_start(args, fmt);
	plan->reason = format(arena, fmt, args);
	va_end(args);
}
