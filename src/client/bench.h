/* SPDX-License-Identifier: MIT */
/*
 * bench - load for an echo server, and whether it did its work.
 *
 * A request is: send size bytes, get the same bytes back. Closed loop: each connection sends its next request when
 * it has its answer. Open loop (a rate): requests are due at fixed times, whether the server keeps up or not, and the
 * latency counts from then, so that a stalled server can't hide how long clients waited (coordinated omission).
 */
#ifndef CP_CLIENT_BENCH_H
#define CP_CLIENT_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/defs.h"

struct dial;
struct errmsg;
struct result;

struct bench_config {
	const struct dial *dial; /* borrowed */
	uint64_t connections;    /* >= 1 */
	uint64_t threads;        /* 1 to connections */
	uint64_t rate;           /* requests a second in all; 0: closed loop */
	uint64_t size_bytes;     /* >= 1 */
	uint64_t duration_ms;    /* 0: until the requests are through */
	uint64_t requests;       /* 0: until the time is over */
	uint64_t timeout_ms;     /* for a connection, and for an answer */
	bool reconnect;          /* each request has a connection of its own: connect, echo, close */
};

/*
 * Runs it, on threads of its own, to the end or to the first SIGINT or SIGTERM (a second one ends the process).
 * 0: *ret is what was counted, failed requests included. Negative errno: it could not start, err says why. Main
 * thread.
 */
CP_MUST_CHECK int bench_run(const struct bench_config *config, struct result *ret, struct errmsg *err);

#endif
