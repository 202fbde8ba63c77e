/* SPDX-License-Identifier: MIT */
/*
 * last_words.c - see last_words.h. Used by assert.c, running.c and fault.c, on any thread, also in a signal handler.
 */
#include "config.h"

#include "base/last_words.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/defs.h"

/* What all lines of a process together may wait for a standard error that nobody reads. */
#define WAIT_MS 1000

_Static_assert(sizeof(((struct last_words *)NULL)->text) <= PIPE_BUF,
	"a pipe that poll(2) calls writable takes a line without blocking");

/* Relaxed: it protects nothing. */
static atomic_int wait_left_ms = WAIT_MS;

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

static int
ms_between(const struct timespec *from, const struct timespec *to)
{
	return (int)((to->tv_sec - from->tv_sec) * 1000 + (to->tv_nsec - from->tv_nsec) / 1000000);
}

/*
 * Standard error may be shared with other processes, so O_NONBLOCK is not ours to set. False: nobody reads it, and the
 * process has to come to its end.
 */
static bool
await_writable(void)
{
	struct pollfd writable = {.fd = STDERR_FILENO, .events = POLLOUT};
	int left_ms = atomic_load_explicit(&wait_left_ms, memory_order_relaxed);
	struct timespec before;
	struct timespec after;
	int rc;

	(void)clock_gettime(CLOCK_MONOTONIC, &before);
	do {
		rc = poll(&writable, 1, left_ms > 0 ? left_ms : 0);
		(void)clock_gettime(CLOCK_MONOTONIC, &after);
		left_ms -= ms_between(&before, &after);
		before = after;
	} while (rc < 0 && errno == EINTR && left_ms > 0);
	atomic_store_explicit(&wait_left_ms, left_ms, memory_order_relaxed);
	/* A file without poll(2) does not make one wait. */
	return rc > 0;
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
	while (words->used > 0 && await_writable()) {
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
