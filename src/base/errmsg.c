/* SPDX-License-Identifier: MIT */
/*
 * errmsg - one sentence for a person, put together on its way up.
 *
 * Any thread: the buffer is the caller's. Never allocates and never fails; what does not fit is cut.
 * The arguments may point into the text that is replaced.
 */
#include "config.h"

#include "base/errmsg.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* An own buffer first, because an argument may be the old text. */
void
errmsg_set(struct errmsg *err, const char *fmt, ...)
{
	char text[sizeof(err->text)];
	va_list args;

	if (err == NULL)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	memcpy(err->text, text, strlen(text) + 1);
}

void
errmsg_prefix(struct errmsg *err, const char *fmt, ...)
{
	char text[sizeof(err->text)];
	size_t used, room, old;
	va_list args;

	if (err == NULL)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	used = strlen(text);
	room = sizeof(text) - 1;
	for (const char *p = ": "; *p != '\0' && used < room; p++)
		text[used++] = *p;
	old = strnlen(err->text, room - used);
	memcpy(text + used, err->text, old);
	text[used + old] = '\0';
	memcpy(err->text, text, used + old + 1);
}

/* strerror(3) may use a buffer that another thread writes; glibc's table is constant. */
const char *
errmsg_errno(int error)
{
	const char *text;

	if (error < 0 && error >= -INT_MAX)
		error = -error;
	text = strerrordesc_np(error);
	return text != NULL ? text : "Unknown error";
}
