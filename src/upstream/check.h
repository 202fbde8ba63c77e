/* SPDX-License-Identifier: MIT */
/*
 * check.h - watches one server from the main thread's loop: connects every interval (and sends, and expects), and asks
 * its agent. What it finds goes to server_report(). Private to upstream/.
 *
 * Never blocks: a check is a non-blocking socket in the loop and a deadline. The first comes at a random time within
 * the interval, so that a thousand servers are not checked in one moment. Main thread only.
 */
#ifndef CP_UPSTREAM_CHECK_H
#define CP_UPSTREAM_CHECK_H

#include "base/defs.h"

struct check;
struct conf_upstream;
struct loop;
struct server;

/*
 * Begins to check server as conf says (nothing, agent, connect, send and expect); the strings it needs are copied.
 * NULL when out of memory. Holds one reference on server.
 */
CP_MUST_CHECK struct check *check_new(struct loop *loop, struct server *server, const struct conf_upstream *conf);
/*
 * Takes over changed settings, and begins anew; with the same ones, everything goes on. 0 or -ENOMEM (then nothing has
 * changed).
 */
CP_MUST_CHECK int check_configure(struct check *check, const struct conf_upstream *conf);
/* Stops, whatever it is at (but not from inside server_report()); accepts NULL, nulls the holder. */
void check_free(struct check **check);

#endif
