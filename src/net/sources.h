/* SPDX-License-Identifier: MIT */
/*
 * sources - connections counted by client address, for max_per_source.
 *
 * The acceptor adds; workers remove, and add the clients of proxies (admission.h). There is an entry for each address
 * that has a connection, so the table is bounded by the listener's connections.
 */
#ifndef CP_NET_SOURCES_H
#define CP_NET_SOURCES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/defs.h"

struct peer;
struct sources;

/* Returns owned, NULL when out of memory. */
CP_MUST_CHECK struct sources *sources_new(void);
/* Accepts NULL, nulls the holder. */
void sources_free(struct sources **sources);

/* Adds one connection of peer. 0; -EDQUOT: it has limit of them (0: no limit) already; -ENOMEM. Any thread. */
CP_MUST_CHECK int sources_add(struct sources *sources, const struct peer *peer, uint64_t limit);
/* Takes back one that was added. Any thread. */
void sources_remove(struct sources *sources, const struct peer *peer);
/* Addresses with at least one connection. Any thread. */
unsigned sources_count(struct sources *sources);

#endif
