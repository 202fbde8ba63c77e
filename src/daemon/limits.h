/* SPDX-License-Identifier: MIT */
/*
 * limits - what the process may use, and whom it runs as.
 */
#ifndef CP_DAEMON_LIMITS_H
#define CP_DAEMON_LIMITS_H

#include "base/defs.h"

struct conf;
struct errmsg;

/*
 * Raises the limit of descriptors to what conf can need, and says in the log what the bound is; warns, with the sum, if
 * it can't. Says nothing when the bound is that of before (NULL: there was none).
 */
void limits_apply(const struct conf *conf, const struct conf *before);

/*
 * Gives up root for daemon.user and daemon.group, for good. Nothing when they are not set. 0, or -errno with err.
 * Before any thread is started.
 */
CP_MUST_CHECK int limits_drop_privileges(const struct conf *conf, struct errmsg *err);

#endif
