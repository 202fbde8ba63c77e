/* SPDX-License-Identifier: MIT */
/*
 * lines - a file is read whole before a line of it is looked at. NULs end a line's text, as they end a string.
 */
#include "config.h"

#include "import/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/errmsg.h"
#include "base/fdutil.h"
#include "import/arena.h"

/* 0 or -errno; *ret_size is set on success only. */
static int
read_all(int fd, char *buffer, size_t room, size_t *ret_size)
{
	size_t used = 0;

	while (used < room) {
		ssize_t n = read(fd, buffer + used, room - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		used += (size_t)n;
	}
	*ret_size = used;
	return 0;
}

int
lines_read(struct arena *arena, struct words *lines, const char *path, struct errmsg *err)
{
	struct stat status;
	char *buffer;
	size_t size = 0, room;
	int fd, r;

	/* Not to wait for the other end of a FIFO. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &status) < 0) {
		r = -errno;
		errmsg_set(err, "%s", errmsg_errno(r));
		fd_close(&fd);
		return r;
	}
	room = S_ISREG(status.st_mode) && status.st_size < LINES_BYTES_MAX ? (size_t)status.st_size + 1
									   : LINES_BYTES_MAX + 1;
	buffer = arena_alloc(arena, room);
	r = read_all(fd, buffer, room, &size);
	fd_close(&fd);
	if (r < 0) {
		errmsg_set(err, "%s", errmsg_errno(r));
		return r;
	}
	if (size > LINES_BYTES_MAX) {
		errmsg_set(err, "is too large, expected at most %u bytes", LINES_BYTES_MAX);
		return -EFBIG;
	}
	lines_split(arena, lines, buffer, size);
	return 0;
}

void
lines_split(struct arena *arena, struct words *lines, const char *text, size_t size)
{
	while (size > 0) {
		const char *end = memchr(text, '\n', size);
		size_t length = end != NULL ? (size_t)(end - text) : size;
		size_t used = length + (end != NULL ? 1 : 0);

		words_add(arena, lines, arena_strndup(arena, text, length));
		text += used;
		size -= used;
	}
}
