/* SPDX-License-Identifier: MIT */
/*
 * error_lines.c - a pipe, a line, and a bucket of lines that may be logged.
 */
#include "config.h"

#include "program/error_lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fdutil.h"

/* Lines at once, and a second. */
#define LINES_BURST 100u
#define LINES_PER_SECOND 20u
/* Most programs have ended by then, without a word: they are spared the price of a pipe that is watched. */
#define WATCH_AFTER_MS 50u
/* Once it has ended: as much as a pipe holds. */
#define LAST_READS 32

static bool
may_log(struct error_lines *lines)
{
	uint64_t now_ms = loop_now_ms(lines->loop);
	uint64_t earned = (now_ms - lines->filled_ms) * LINES_PER_SECOND / 1000;

	if (earned > 0) {
		lines->left = lines->left + earned < LINES_BURST ? lines->left + earned : LINES_BURST;
		lines->filled_ms = now_ms;
	}
	if (lines->left == 0) {
		lines->dropped++;
		return false;
	}
	lines->left--;
	return true;
}

static void
end_line(struct error_lines *lines)
{
	for (size_t i = 0; i < lines->length; i++) {
		unsigned char byte = (unsigned char)lines->line[i];

		if ((byte < ' ' && byte != '\t') || byte == 0x7f)
			lines->line[i] = '?';
	}
	lines->line[lines->length] = '\0';
	if (lines->length > 0 && may_log(lines))
		lines->log(lines, lines->line);
	lines->length = 0;
}

/*
 * Never waits: a program may open its end for reading, and read what was seen to be there. Not by O_NONBLOCK, which
 * would be one more call for each program, unless the kernel has nothing else (pipes: before 6.4).
 */
static ssize_t
read_now(int fd, void *buf, size_t size)
{
	struct iovec part = {.iov_base = buf, .iov_len = size};
	ssize_t n = preadv2(fd, &part, 1, -1, RWF_NOWAIT);

	if (n < 0 && errno == EOPNOTSUPP && fcntl(fd, F_SETFL, O_NONBLOCK) == 0)
		n = read(fd, buf, size);
	return n;
}

/* False: there is no more for now. */
static bool
read_some(struct error_lines *lines)
{
	char bytes[4096];
	ssize_t n = read_now(lines->read_fd, bytes, sizeof(bytes));

	for (ssize_t i = 0; i < n; i++) {
		if (bytes[i] == '\n') {
			end_line(lines);
			continue;
		}
		if (lines->length == ERROR_LINE_MAX)
			end_line(lines);
		lines->line[lines->length++] = bytes[i];
	}
	return n == (ssize_t)sizeof(bytes);
}

static void
on_output(struct loop *loop, struct watch *watch, uint32_t events)
{
	(void)loop;
	(void)events;
	(void)read_some(CP_CONTAINER_OF(watch, struct error_lines, watch));
}

static void
watch_later(struct error_lines *lines)
{
	timer_set(&lines->loop->wheel, &lines->timer, loop_now_ms(lines->loop) + WATCH_AFTER_MS);
}

static void
on_timer(struct timer *timer)
{
	struct error_lines *lines = CP_CONTAINER_OF(timer, struct error_lines, timer);

	lines->is_watched = loop_add(lines->loop, &lines->watch, lines->read_fd, EPOLLIN) == 0;
	if (lines->is_watched)
		return;
	/* The kernel has no memory to watch it: then it is looked at from time to time. */
	(void)read_some(lines);
	watch_later(lines);
}

int
error_lines_open(struct error_lines *lines, struct loop *loop, void (*log)(struct error_lines *lines, const char *text))
{
	int fds[2];

	lines->log = log;
	lines->write_fd = -1;
	lines->loop = loop;
	lines->length = 0;
	lines->left = LINES_BURST;
	lines->filled_ms = loop_now_ms(loop);
	lines->dropped = 0;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	lines->watch = (struct watch){.fn = on_output};
	lines->timer = (struct timer){.fn = on_timer};
	lines->is_watched = false;
	lines->read_fd = fds[0];
	lines->write_fd = fds[1];
	watch_later(lines);
	return 0;
}

void
error_lines_close(struct error_lines *lines)
{
	char text[64];

	if (lines->write_fd < 0)
		return;
	for (int i = 0; i < LAST_READS && read_some(lines); i++)
		;
	end_line(lines);
	if (lines->dropped > 0) {
		snprintf(text, sizeof(text), "%llu more lines, not logged", (unsigned long long)lines->dropped);
		lines->log(lines, text);
	}
	timer_clear(&lines->loop->wheel, &lines->timer);
	if (lines->is_watched)
		loop_remove(lines->loop, &lines->watch, lines->read_fd);
	fd_close(&lines->read_fd);
	fd_close(&lines->write_fd);
}
