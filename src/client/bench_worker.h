/* SPDX-License-Identifier: MIT */
/*
 * bench_worker - one thread of the bench with its share of connections and requests.
 *
 * It opens its connections first (unless each request opens its own), waits at the gate for the other workers, then
 * works until its requests or the time are through and every answer that is still due has come or timed out.
 */
#ifndef CP_CLIENT_BENCH_WORKER_H
#define CP_CLIENT_BENCH_WORKER_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/defs.h"
#include "client/gate.h"

struct bench_config;
struct bench_worker;
struct pattern;
struct result;

/* What the workers of a run have in common; outlives them. */
struct bench_shared {
	const struct bench_config *config; /* borrowed */
	const struct pattern *pattern;     /* borrowed */
	int stop_fd;                       /* eventfd: readable for ever once all are to stop */
	int done_fd;                       /* eventfd: counts the workers that have ended */
	atomic_ullong connected;           /* connections opened ahead; relaxed, the gate orders it */
	struct gate gate;                  /* of all workers */
};

/* What share of total, dealt out one by one, falls to number index of count. */
uint64_t bench_worker_share(uint64_t total, uint64_t index, uint64_t count);

/* index: 0 to threads - 1. Returns owned with no thread yet; NULL when out of memory. shared is borrowed. */
struct bench_worker *bench_worker_new(struct bench_shared *shared, uint64_t index);
/* The thread must have been joined. Accepts NULL; sets *worker to NULL. */
void bench_worker_free(struct bench_worker **worker);

/* Starts the thread; the caller has blocked all signals. 0 or a negative errno. */
CP_MUST_CHECK int bench_worker_start(struct bench_worker *worker);
/* Waits for its end, if it was started. */
void bench_worker_join(struct bench_worker *worker);
/* Borrowed as long as the worker lives; after bench_worker_join(). */
const struct result *bench_worker_result(const struct bench_worker *worker);

#endif
