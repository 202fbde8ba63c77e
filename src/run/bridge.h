/* SPDX-License-Identifier: MIT */
/*
 * bridge.h - standard input and output as one socket, which a handler can be given.
 */
#ifndef CP_RUN_BRIDGE_H
#define CP_RUN_BRIDGE_H

#include <pthread.h>
#include <stdbool.h>

#include "base/defs.h"

struct errmsg;

struct bridge {
	pthread_t writer; /* private: bridge.c, down to the end */
	bool has_writer;
	int input; /* borrowed, or the handler's very socket; with its flags from before */
	int output;
	int inner;       /* our end of the pair */
	int saved_flags; /* -1: there is nothing to put back */
	bool write_failed;
};

/*
 * Makes *ret_fd, non-blocking, close-on-exec, owned by the caller: input itself where input and output are the same
 * connected stream socket, as under inetd(8); else one end of a pair, whose other end two threads join to input and
 * output. SIGPIPE must be blocked. 0, or -errno with err.
 */
CP_MUST_CHECK int bridge_open(struct bridge *bridge, int input, int output, int *ret_fd, struct errmsg *err);
/*
 * The handler's socket has been closed: waits until all that it sent was written to output. 0, or -EIO: it could not
 * be.
 */
CP_MUST_CHECK int bridge_close(struct bridge *bridge);

#endif
