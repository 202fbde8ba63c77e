/* SPDX-License-Identifier: MIT */
/*
 * serve.h - the daemon's sessions on one loop and one thread, without pools: a connection that is there, or those that
 * come to an address.
 */
#ifndef CP_RUN_SERVE_H
#define CP_RUN_SERVE_H

#include <stdbool.h>

#include "base/defs.h"

struct errmsg;
struct setup;

/*
 * Serves the connection fd until it is over, or SIGINT or SIGTERM ends it. Takes fd in any case. 0: *ret_is_good tells
 * whether the client or the handler ended it, and not an error, a time-out or a signal. -errno with err: it was not
 * served.
 */
CP_MUST_CHECK int serve_stream(struct setup *setup, int fd, bool *ret_is_good, struct errmsg *err);

/*
 * Serves whoever comes to the setup's address until SIGINT or SIGTERM, then ends those that are there. 0, or -errno
 * with err.
 */
CP_MUST_CHECK int serve_address(struct setup *setup, struct errmsg *err);

#endif
