/* SPDX-License-Identifier: MIT */
/*
 * mem - the heap, with a way for tests to run out of it.
 *
 * Any thread. Nothing here ends the process: who gets NULL says what could not be done for want of memory.
 */
#include "config.h"

#include "base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

unsigned mem_fail_countdown;

bool
mem_count_down(void)
{
	unsigned left = __atomic_load_n(&mem_fail_countdown, __ATOMIC_RELAXED);

	/* Two threads may come here at once: only the one that takes the last step fails. */
	while (left != 0) {
		if (!__atomic_compare_exchange_n(
			    &mem_fail_countdown, &left, left - 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			continue;
		if (left != 1)
			return false;
		errno = ENOMEM;
		return true;
	}
	return false;
}

void
mem_fail_after(unsigned n)
{
	__atomic_store_n(&mem_fail_countdown, n, __ATOMIC_RELAXED);
}

void *
mem_zalloc(size_t size)
{
	return mem_zalloc_array(1, size);
}

/* At least 1, because realloc(ptr, 0) may free; false when it overflows, which the sanitizers' heaps take for a bug. */
static bool
count_bytes(size_t count, size_t size, size_t *ret_bytes)
{
	if (__builtin_mul_overflow(count, size, ret_bytes)) {
		errno = ENOMEM;
		return false;
	}
	if (*ret_bytes == 0)
		*ret_bytes = 1;
	return true;
}

void *
mem_zalloc_array(size_t count, size_t size)
{
	size_t bytes;

	if (mem_should_fail() || !count_bytes(count, size, &bytes))
		return NULL;
	return calloc(1, bytes);
}

void *
mem_realloc_array(void *ptr, size_t count, size_t size)
{
	size_t bytes;

	if (mem_should_fail() || !count_bytes(count, size, &bytes))
		return NULL;
	return realloc(ptr, bytes);
}

char *
mem_strdup(const char *str)
{
	if (str == NULL || mem_should_fail())
		return NULL;
	return strdup(str);
}

char *
mem_printf(const char *fmt, ...)
{
	char *text;
	va_list args;
	int n;

	if (mem_should_fail())
		return NULL;
	va_start(args, fmt);
	n = vasprintf(&text, fmt, args);
	va_end(args);
	return n < 0 ? NULL : text;
}

void
mem_free(void *ptr)
{
	free(ptr);
}
