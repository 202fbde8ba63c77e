/* SPDX-License-Identifier: MIT */
/*
 * generation - from one config to the next as one transaction; the start is the first of them.
 *
 * generation_prepare_* do everything that can fail, beside what is in force: open the new sockets, start the workers
 * that will be too few. Then generation_commit() switches over and can't fail, or generation_abandon() leaves
 * everything as it was. Main thread.
 */
#ifndef CP_DAEMON_GENERATION_H
#define CP_DAEMON_GENERATION_H

#include "base/defs.h"

struct conf;
struct daemon;
struct errmsg;
struct generation;

/* Takes over the reference *conf (sets it to NULL). Returns owned; NULL when out of memory, *conf untouched. */
CP_MUST_CHECK struct generation *generation_new(struct daemon *daemon, struct conf **conf);

/* Opens the sockets that are not open yet. 0, or -errno with err saying which listener and why. */
CP_MUST_CHECK int generation_prepare_sockets(struct generation *generation, struct errmsg *err);
/* Makes upstreams, starts pools and workers, then makes the routes. 0, or -errno with err. */
CP_MUST_CHECK int generation_prepare_pools(struct generation *generation, struct errmsg *err);

/* Switches over; frees the generation and nulls the holder. */
void generation_commit(struct generation **generation);
/* Undoes what was prepared; frees the generation and nulls the holder. Accepts NULL. */
void generation_abandon(struct generation **generation);

#endif
