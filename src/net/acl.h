/* SPDX-License-Identifier: MIT */
/*
 * acl - who may connect: networks allowed and denied, the longest match decides.
 *
 * With any `allow`, an address that matches nothing is refused; with `deny` alone it is let in. Clients of Unix sockets
 * have no address and are let in (the mode and owner of the socket decide there). Immutable after acl_new().
 */
#ifndef CP_NET_ACL_H
#define CP_NET_ACL_H

#include <stdbool.h>

#include "base/defs.h"

struct acl;
struct option_networks;
struct peer;

/* Borrows nothing. Returns owned; NULL when out of memory. */
CP_MUST_CHECK struct acl *acl_new(const struct option_networks *allow, const struct option_networks *deny);
/* Accepts NULL, nulls the holder. */
void acl_free(struct acl **acl);
/* A NULL acl lets everybody in. Any thread. */
bool acl_permits(const struct acl *acl, const struct peer *peer);

#endif
