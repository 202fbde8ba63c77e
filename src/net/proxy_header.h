/* SPDX-License-Identifier: MIT */
/*
 * proxy_header - the PROXY protocol, versions 1 and 2: who the client of a proxy in front of us is
 * (https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt). Pure functions over bytes; any thread.
 */
#ifndef CP_NET_PROXY_HEADER_H
#define CP_NET_PROXY_HEADER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/defs.h"

struct errmsg;
struct peer;

/* The longest header taken, version 2 with its TLVs included; version 1 ends at 107 bytes. */
#define PROXY_HEADER_MAX 4096u
/* The longest header made. */
#define PROXY_HEADER_MADE_MAX 256u

/*
 * Looks at the first bytes of a stream. The length of the header (at least 1) when it is whole; 0: it may be one, more
 * bytes are needed; -EPROTO: it is none or malformed (err says what), -EMSGSIZE: longer than PROXY_HEADER_MAX. On
 * success *client and *destination are written; AF_UNSPEC: it names none (LOCAL, a health check of the proxy itself, or
 * UNKNOWN): the socket's own stand.
 */
CP_MUST_CHECK ssize_t proxy_header_parse(const uint8_t *bytes, size_t size, struct peer *client,
	struct peer *destination, struct errmsg *err);

/* Writes a header of version 1 or 2 for a client; a client that is no TCP peer gives UNKNOWN, or LOCAL. The length. */
size_t proxy_header_make(
	int version, const struct peer *client, const struct peer *destination, uint8_t buf[PROXY_HEADER_MADE_MAX]);

#endif
