/* SPDX-License-Identifier: MIT */
/*
 * resolve_set.h - the addresses that a look-up has found: sorted, without doubles, bounded. Private to
 * upstream/resolve.
 *
 * Of more than it has room for it keeps those that sort first, whatever their order of arrival: name servers shuffle
 * their answers, and a group must not change its servers each time. Any thread, no allocation.
 */
#ifndef CP_UPSTREAM_RESOLVE_SET_H
#define CP_UPSTREAM_RESOLVE_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "upstream/resolve.h"

struct found {
	struct resolved resolved;
	uint64_t origin; /* which SRV target it came from (lookup_target.origin); 0: the name itself */
};

/* Zeroed it is empty. */
struct found_set {
	struct found items[RESOLVED_MAX];
	size_t count;
	bool is_capped; /* something was left out */
};

/*
 * Primaries come before backups. One address is kept once: the one that is not a backup, or else of the greater weight.
 * True: it is in the set now.
 */
bool found_set_add(struct found_set *set, const struct found *found);
/* The same addresses, weights and backups. */
bool resolved_is_equal(const struct resolved *left, const struct resolved *right);
/* Copies sa with another port. False: neither IPv4 nor IPv6, or too short to be one. */
bool server_address_set(struct server_address *address, const struct sockaddr *sa, socklen_t length, uint16_t port);

#endif
