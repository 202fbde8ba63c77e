/* SPDX-License-Identifier: MIT */
/*
 * relay - input to a connection and the connection to output, both at once, until both have ended.
 *
 * The two directions know nothing of each other: one that is stuck (a terminal that was stopped, a peer that does not
 * read) never holds the other up, and memory is one buffer each. The end of the input is passed on as a half-close
 * (shutdown(2) for writing), the end of the connection by closing the output. One thread, which waits in poll(2) only.
 */
#ifndef CP_CLIENT_RELAY_H
#define CP_CLIENT_RELAY_H

#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"

struct errmsg;

struct relay_config {
	int input;                /* borrowed; -1: send text instead */
	const char *text;         /* borrowed; what to send when there is no input */
	size_t text_len;
	uint64_t idle_timeout_ms; /* end when nothing has moved for so long; 0: never */
};

/*
 * Runs until both directions have ended. Takes *socket (connected, non-blocking) and *output and sets both to -1;
 * they are closed when it returns. 0: all that there was has been passed on. -ECONNRESET, -EPIPE and the like: some
 * was not, err says in which direction; what did arrive has been written out. -ETIMEDOUT: idle for too long. -ENOMEM.
 */
CP_MUST_CHECK int relay_run(const struct relay_config *config, int *socket, int *output, struct errmsg *err);

#endif
