/* SPDX-License-Identifier: MIT */
/*
 * reload - reads the config and puts it in force: at the start, and on SIGHUP.
 *
 * A reload never makes the main thread wait: what may take its time (files, name services, the keeper) is done beside
 * what is served, and the transaction between the two generations is the end of it, in one turn of the loop.
 *
 *   NONE -----> LOADING ---+---------------> NONE   the files have errors; or what they say is put in force, or fails
 *                  |       +---> ASKING ---> NONE   the keeper has answered, or did not in time: the same
 *                  |                \------> NONE   the daemon stops
 *                  \-----------> DROPPED --> NONE   the daemon stops: nobody wants what the thread finds
 *
 * SIGHUP while one is under way: the files may have changed since they were read. So one more follows, however many of
 * them came. The service manager hears of both ends of each. Main thread.
 */
#ifndef CP_DAEMON_RELOAD_H
#define CP_DAEMON_RELOAD_H

#include <stdbool.h>

#include "base/defs.h"
#include "daemon/loader.h"

struct conf;
struct daemon;

enum reload_state { RELOAD_NONE, RELOAD_LOADING, RELOAD_ASKING, RELOAD_DROPPED };

/* Embedded in the daemon; zeroed memory is an initialised one. */
struct reload {
	enum reload_state state; /* set_state() in reload.c alone writes it */
	bool is_wanted_again;
	struct loader loader;
	struct conf *conf; /* ASKING: what was read; one reference */
};

/*
 * The first generation: also raises limits, and gives up root. It waits. DAEMON_EXIT_OK, or the exit code; the log says
 * why.
 */
CP_MUST_CHECK int reload_start(struct daemon *daemon);

/* Begins the next one, or has it follow the one under way. On any error everything stays as it was; the log says why.
 */
void reload_request(struct daemon *daemon);
/* Drops the one under way, and what was to follow. Accepts that there is none. */
void reload_abandon(struct daemon *daemon);
/* None is under way, nor is its thread. */
bool reload_is_over(const struct daemon *daemon);

#endif
