/* SPDX-License-Identifier: MIT */
/*
 * sink - writing to a descriptor that others may share, without ever waiting for it.
 *
 * Standard output belongs to the shell and to other processes as well: O_NONBLOCK is a flag of the open file, not of
 * the descriptor, and would be set for all of them. sink_init() finds another way for each kind of file.
 */
#ifndef CP_CLIENT_SINK_H
#define CP_CLIENT_SINK_H

#include <stddef.h>
#include <sys/types.h>

#include "base/defs.h"

enum sink_kind {
	SINK_DIRECT,  /* write(2): a file or device that takes all at once, or a pipe or terminal that is ours alone */
	SINK_SOCKET,  /* send(2) can be told not to wait */
	SINK_CAREFUL, /* a shared pipe or terminal: little at a time, and only when poll(2) says so */
};

struct sink {
	int fd; /* -1 once closed */
	enum sink_kind kind;
};

/*
 * Takes *fd and sets it to -1. Behind the number there may be a new open file of the same pipe or terminal
 * afterwards; other holders of the old one don't notice.
 */
void sink_init(struct sink *sink, int *fd);
/* Closes it, if that has not been done. */
void sink_fini(struct sink *sink);

/*
 * Writes what can be written now; call it when poll(2) says POLLOUT. A count above 0; -EAGAIN: nothing for now;
 * else a negative errno. len must not be 0.
 */
CP_MUST_CHECK ssize_t sink_write(struct sink *sink, const void *data, size_t len);

#endif
