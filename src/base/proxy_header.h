/* SPDX-License-Identifier: MIT */
/*
 * proxy_header - the PROXY protocol, versions 1 and 2: who the client of a proxy in front of us is
 * (https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt). Pure functions over bytes; any thread.
 *
 * What is taken is taken strictly, because who writes such a header decides about access:
 *
 *   version 1   as the specification writes it: one blank between two fields, no leading zeros, at most 107 bytes
 *   version 2   extensions (TLVs) are walked but not used, and a CRC32C among them has to be right. The block of a
 *               LOCAL command, or of a family or transport "unspecified", is skipped unread, as the specification wants
 *
 * A Unix client named by version 2 has nothing that could be looked up in an access list, nor could it be told from
 * others in a log: it is taken as none named, like LOCAL.
 */
#ifndef CP_BASE_PROXY_HEADER_H
#define CP_BASE_PROXY_HEADER_H

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
 * bytes are needed; -EPROTO: it is none or malformed (err says what), -EMSGSIZE: longer than PROXY_HEADER_MAX. What
 * speaks another protocol is refused by its first bytes; a field is refused once its end is there, or before by its
 * first wrong character.
 *
 * On success *client and *destination are written; AF_UNSPEC: it names none (LOCAL, a health check of the proxy itself,
 * UNKNOWN, or not of TCP or UDP): the socket's own stand.
 */
CP_MUST_CHECK ssize_t proxy_header_parse(
	const uint8_t *bytes, size_t size, struct peer *client, struct peer *destination, struct errmsg *err);

/*
 * Writes a header of version 1 or 2 for a client; one that is no TCP peer gives UNKNOWN, or LOCAL. A destination that
 * is none is written as the any-address, one of the other family makes both IPv6. The length.
 */
size_t proxy_header_make(
	int version, const struct peer *client, const struct peer *destination, uint8_t buf[PROXY_HEADER_MADE_MAX]);

#endif
