/* SPDX-License-Identifier: MIT */
/*
 * client - the client side, connpool-client: connect, send, bench. May include: base.
 *
 * target.h - an address as someone at a prompt writes it: that of base/address.h, or HOST:PORT, or a bare path.
 */
#ifndef CP_CLIENT_TARGET_H
#define CP_CLIENT_TARGET_H

#include "base/defs.h"

struct address;
struct errmsg;

/*
 * "tcp:…" and "unix:…" as they are; "HOST:PORT" is tcp, "/path", "./path" and "@abstract" are unix. The host "*"
 * is this machine, so that a listener's address can be pasted. 0; -EINVAL: not an address, or one to which
 * nobody can connect (systemd:, port 0), err says which; -ENOMEM. Caller owns *ret on success (address_fini).
 */
CP_MUST_CHECK int target_parse(struct address *ret, const char *text, struct errmsg *err);

#endif
