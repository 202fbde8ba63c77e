/* SPDX-License-Identifier: MIT */
/*
 * balance - which server of a group a client goes to. Private to upstream/; under the group's lock.
 *
 * A server may be chosen while it is up, was not tried by this client, and has room. Backup servers are looked at only
 * when no other that is up and untried is left: full ones are waited for.
 *
 *   round_robin        smooth: a server's turns are spread over the round, as many as its weight
 *   least_connections  fewest places by weight; among equals round robin
 *   source_hash        highest score of hash(client, server) by weight: each pair is scored by itself, so a server that
 *                      goes takes only its own clients along, and one that comes takes only those it now wins
 *   random_two         of two drawn by weight the one with fewer places by weight
 *   first              the first in the order of the config
 *
 * Slow start makes a server's weight less at first, but not for source_hash (clients would wander) and first (which
 * knows no weights).
 */
#ifndef CP_UPSTREAM_BALANCE_H
#define CP_UPSTREAM_BALANCE_H

#include <stdint.h>

struct server;
struct upstream;
struct upstream_wish;

/* Why there is none. */
enum balance_miss {
	BALANCE_FULL,  /* all that could be chosen are full */
	BALANCE_TRIED, /* all that are up were tried */
	BALANCE_NONE,  /* none is up */
};

/* Borrowed; NULL: *ret_miss says why. */
struct server *balance_choose_locked(
	struct upstream *upstream, const struct upstream_wish *wish, uint64_t now_ns, enum balance_miss *ret_miss);

/* What a server's name counts in source_hash: the same in every process. */
uint64_t balance_hash_name(const char *name);

#endif
