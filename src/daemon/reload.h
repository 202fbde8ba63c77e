/* SPDX-License-Identifier: MIT */
/*
 * reload - reads the config and puts it in force: at the start, and on SIGHUP.
 */
#ifndef CP_DAEMON_RELOAD_H
#define CP_DAEMON_RELOAD_H

#include "base/defs.h"

struct daemon;

/* The first generation: also raises limits, and gives up root. DAEMON_EXIT_OK, or the exit code; the log says why. */
CP_MUST_CHECK int reload_start(struct daemon *daemon);

/*
 * The next one, or none: on any error everything stays as it was, and the log says why. systemd is told of both ends.
 */
void reload_run(struct daemon *daemon);

#endif
