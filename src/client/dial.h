/* SPDX-License-Identifier: MIT */
/*
 * dial - from a name to a connected socket, trying every address that the name has.
 *
 * struct dial is the result of one look-up: an ordered list of endpoints, immutable afterwards and shared by all
 * threads. dial_connect() waits; the bench uses dial_begin() and dial_finish() in its own event loop. Every socket is
 * non-blocking and close-on-exec from birth.
 */
#ifndef CP_CLIENT_DIAL_H
#define CP_CLIENT_DIAL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/address.h"
#include "base/defs.h"

struct errmsg;

/* One socket address. */
struct dial_endpoint {
	struct sockaddr_storage addr;
	socklen_t len;
	char text[ADDRESS_TEXT_MAX]; /* for messages: "192.0.2.1:80", "/run/x.sock" */
};

struct dial {
	struct dial_endpoint *endpoints; /* owned; never empty after dial_resolve() */
	size_t count;
};

/* ---- names (main thread; may wait for a name server) ----------------------------- */

/*
 * Looks the host up; family is AF_UNSPEC, AF_INET or AF_INET6 and must not be a TCP one for unix:.
 * 0; -EHOSTUNREACH: no such name or none of that family; -ENAMETOOLONG, -EINVAL, -ENOMEM; err says what.
 * Caller owns *ret on success (dial_fini).
 */
CP_MUST_CHECK int dial_resolve(struct dial *ret, const struct address *address, int family, struct errmsg *err);
/* Accepts a zeroed one. */
void dial_fini(struct dial *dial);

/* ---- connecting (any thread) ------------------------------------------------------ */

/*
 * Starts connecting. 0: connected already; -EINPROGRESS: wait until it is writable, then dial_finish();
 * -EAGAIN: a Unix socket whose backlog is full, which nothing signals: try again later, *ret_fd is not set;
 * else the negative errno of the failure. Caller owns *ret_fd with 0 and -EINPROGRESS.
 */
CP_MUST_CHECK int dial_begin(const struct dial_endpoint *endpoint, int *ret_fd);
/* How the attempt ended, once the socket is writable: 0 or a negative errno. */
CP_MUST_CHECK int dial_finish(int fd);

/*
 * Tries every endpoint in turn and waits at most timeout_ms for each. 0: *ret_fd is connected, caller owns it.
 * Otherwise the negative errno of the last one, and err names every endpoint with its failure.
 */
CP_MUST_CHECK int dial_connect(const struct dial *dial, uint64_t timeout_ms, int *ret_fd, struct errmsg *err);

#endif
