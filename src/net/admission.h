/* SPDX-License-Identifier: MIT */
/*
 * admission - may this connection come in? Decided on the acceptor, before memory is spent on it.
 */
#ifndef CP_NET_ADMISSION_H
#define CP_NET_ADMISSION_H

#include <stdint.h>

#include "base/defs.h"
#include "net/conn.h"

/*
 * Checks the access list, the limits of daemon and listener, and the one for each source, in this order. CONN_END_NONE:
 * admitted, accepted holds a place in the limits now (given back by admission_release). Else the reason for
 * accepted_reject(). Main thread.
 */
CP_MUST_CHECK enum conn_end admission_decide(struct accepted *accepted, uint64_t daemon_max_connections);

/* Gives its place back, if it holds one. Any thread. */
void admission_release(struct accepted *accepted);

#endif
