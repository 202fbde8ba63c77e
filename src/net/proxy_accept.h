/* SPDX-License-Identifier: MIT */
/*
 * proxy_accept - the first step of a connection whose listener has accept_proxy: the proxy says who its client is.
 *
 * On the connection's worker, before anything else reads from it. The header's bytes are taken off the stream and not
 * counted as bytes_in; what follows them stays for the service.
 */
#ifndef CP_NET_PROXY_ACCEPT_H
#define CP_NET_PROXY_ACCEPT_H

#include "base/defs.h"

struct conn;

/*
 * To be called when the connection begins, and then whenever its descriptor became readable or its other end ended
 * (EPOLLIN, EPOLLRDHUP, edges are enough): nothing is taken off the stream before the header is whole, and it never
 * waits.
 *
 * 1: done, from.peer is the client, or the socket's own peer where the header names none, and was admitted. 0: more is
 * needed. -ECANCELED: refused or broken, conn_set_end() has been called; the cause is logged at a limited rate.
 */
CP_MUST_CHECK int conn_read_proxy_header(struct conn *conn);

/* The header was not whole within proxy_timeout: ends it as the above does. */
void conn_refuse_late_proxy(struct conn *conn);

#endif
