/* SPDX-License-Identifier: MIT */
/*
 * fdutil - descriptors: who holds one sets his variable to -1 when he gives it up.
 */
#ifndef CP_BASE_FDUTIL_H
#define CP_BASE_FDUTIL_H

#include <stdint.h>

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

/* Closes every descriptor from 3 on but this one: for a process that was forked and is to know nothing of them. */
void fd_close_all_but(int fd);

/* Descriptors open in this process (counts /proc/self/fd), or -errno. */
int fd_count_open(void);

#endif
