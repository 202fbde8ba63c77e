/* SPDX-License-Identifier: MIT */
/*
 * A pipe or a terminal is opened once more through /proc/self/fd: that gives an open file of our own, with an
 * O_NONBLOCK of our own, and dup3(2) puts it in the old one's place. Where that is refused (a pipe of another user
 * after su, no /proc) POLLOUT promises room for PIPE_BUF bytes in a pipe, and no more than that is written. A regular
 * file is left as it is, because its offset and O_APPEND are in the open file and shared on purpose.
 */
#include "config.h"

#include "client/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fdutil.h"

/* True: fd now is an open file of our own that never blocks. */
static bool
reopen_nonblocking(int fd)
{
	char path[sizeof("/proc/self/fd/") + 12];
	int own, r;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (own < 0)
		return false;
	r = dup3(own, fd, O_CLOEXEC);
	fd_close(&own);
	return r >= 0;
}

void
sink_init(struct sink *sink, int *fd)
{
	struct stat st;

	sink->fd = fd_take(fd);
	sink->kind = SINK_DIRECT;
	if (fstat(sink->fd, &st) < 0)
		return;
	if (S_ISSOCK(st.st_mode))
		sink->kind = SINK_SOCKET;
	else if ((S_ISFIFO(st.st_mode) || isatty(sink->fd)) && !reopen_nonblocking(sink->fd))
		sink->kind = SINK_CAREFUL;
}

void
sink_fini(struct sink *sink)
{
	fd_close(&sink->fd);
}

ssize_t
sink_write(struct sink *sink, const void *data, size_t len)
{
	ssize_t n;

	do {
		if (sink->kind == SINK_SOCKET)
			n = send(sink->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		else if (sink->kind == SINK_CAREFUL)
			n = write(sink->fd, data, len < PIPE_BUF ? len : PIPE_BUF);
		else
			n = write(sink->fd, data, len);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}
