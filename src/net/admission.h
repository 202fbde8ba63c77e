/* SPDX-License-Identifier: MIT */
/*
 * admission - may this connection come in? Decided on the acceptor, before memory is spent on it.
 *
 * Behind a trusted proxy (accept_proxy) it is decided in two steps: on the acceptor whether the proxy may speak for
 * others, and whether there is a place; on the worker, once the proxy has named its client, whether that one may come
 * in.
 */
#ifndef CP_NET_ADMISSION_H
#define CP_NET_ADMISSION_H

#include <stdint.h>

#include "base/defs.h"
#include "net/conn.h"

struct peer;

/*
 * Checks the access list, the limits of daemon and listener, and the one for each source, in this order; with
 * accept_proxy, instead of the first and the last, that the peer is a trusted proxy. CONN_END_NONE: admitted, accepted
 * holds a place in the limits now (given back by admission_release). Else the reason for accepted_reject(). Main
 * thread.
 */
CP_MUST_CHECK enum conn_end admission_decide(struct accepted *accepted, uint64_t daemon_max_connections);

/*
 * The client of an admitted connection is the one that its PROXY header names (or the peer that it has, if that names
 * none). Checks the access list and the limit for each source for it. CONN_END_NONE, or the reason for conn_set_end();
 * accepted->peer is the client in both cases. Once a connection, any thread.
 */
CP_MUST_CHECK enum conn_end admission_readmit(struct accepted *accepted, const struct peer *client);

/* Gives its place back, if it holds one. Any thread. */
void admission_release(struct accepted *accepted);

#endif
