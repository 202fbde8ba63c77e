/* SPDX-License-Identifier: MIT */
/*
 * fdutil - descriptors: who holds one sets his variable to -1 when he gives it up.
 */
#ifndef CP_BASE_FDUTIL_H
#define CP_BASE_FDUTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/defs.h"

struct errmsg;

/* Closes *fd unless it is negative and sets it to -1. errno is kept. */
void fd_close(int *fd);

/* Moves the descriptor out of its holder: returns *fd and sets it to -1. */
static inline int
fd_take(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/*
 * Puts /dev/null where standard input, output or error is closed: else the next descriptor opened would take its place,
 * and the log would be written to it. For the beginning of main(). 0 or -errno.
 */
CP_MUST_CHECK int fd_hold_standard(void);

/* An eventfd, non-blocking and close-on-exec, or -errno. Caller owns. */
CP_MUST_CHECK int fd_new_event(void);
/* Adds 1 to an eventfd; never blocks, any thread, async-signal-safe. */
void fd_signal_event(int fd);

/*
 * Raises the soft limit of descriptors to at least wanted: up to the hard limit and, if privileged, beyond it.
 * Returns the limit that now holds, which may be lower or higher than wanted.
 */
uint64_t fd_raise_limit(uint64_t wanted);

/*
 * Closes every descriptor from 3 on but these two, which may be the same: for a process that was forked and is to know
 * nothing of them.
 */
void fd_close_all_but(int one, int other);

/*
 * recv(2) of a stream socket, never waiting, whatever O_NONBLOCK of a description says that others may hold too.
 * *ret_is_rest: there was less than asked for, so the socket is empty and an edge (epoll(7)) will tell of what comes. A
 * Unix socket (is_unix) may give less for another reason: a read ends at ancillary data, such as a passed descriptor.
 */
ssize_t fd_receive(int fd, bool is_unix, void *buf, size_t size, int flags, bool *ret_is_rest);

/* Descriptors open in this process (counts /proc/self/fd), or -errno. */
int fd_count_open(void);

#endif
