/* SPDX-License-Identifier: MIT */
/*
 * Starts the workers, waits for them or for a signal, adds up what they counted. Main thread; the signals that end a
 * run are blocked in all threads and read here from a descriptor, so there is no signal handler.
 */
#include "config.h"

#include "client/bench.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/errmsg.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "client/bench_worker.h"
#include "client/pattern.h"
#include "client/result.h"

/* Standard streams, an epoll and a few more for each thread. */
#define DESCRIPTORS_BESIDES 64

struct bench {
	const struct bench_config *config;
	struct bench_shared shared;
	struct pattern *pattern;       /* owned */
	struct bench_worker **workers; /* owned, as many as threads */
	int signal_fd;
	sigset_t signals;              /* those that signal_fd reads */
	sigset_t old_mask;
};

static int
raise_descriptor_limit(const struct bench_config *config, struct errmsg *err)
{
	uint64_t wanted = config->connections + config->threads + DESCRIPTORS_BESIDES;
	uint64_t limit = fd_raise_limit(wanted);

	if (limit >= wanted)
		return 0;
	errmsg_set(err, "%llu connections need %llu descriptors, and the limit is %llu (ulimit -n)",
		(unsigned long long)config->connections, (unsigned long long)wanted, (unsigned long long)limit);
	return -EMFILE;
}

static void
block_signals(struct bench *bench)
{
	sigset_t all;

	sigfillset(&all);
	CP_PTHREAD(pthread_sigmask(SIG_SETMASK, &all, &bench->old_mask));
	sigemptyset(&bench->signals);
	sigaddset(&bench->signals, SIGINT);
	sigaddset(&bench->signals, SIGTERM);
}

/* Negative errno: half of it may exist; bench_fini() copes. */
static int
bench_init(struct bench *bench, const struct bench_config *config)
{
	bench->config = config;
	bench->shared.config = config;
	atomic_init(&bench->shared.connected, 0);
	gate_init(&bench->shared.gate, (unsigned)config->threads);
	block_signals(bench);
	bench->signal_fd = signalfd(-1, &bench->signals, SFD_CLOEXEC | SFD_NONBLOCK);
	bench->shared.stop_fd = fd_new_event();
	bench->shared.done_fd = fd_new_event();
	bench->pattern = pattern_new();
	bench->shared.pattern = bench->pattern;
	bench->workers = mem_zalloc_array((size_t)config->threads, sizeof(*bench->workers));
	if (bench->signal_fd < 0 || bench->shared.stop_fd < 0 || bench->shared.done_fd < 0)
		return -EMFILE;
	if (bench->pattern == NULL || bench->workers == NULL)
		return -ENOMEM;
	for (uint64_t i = 0; i < config->threads; i++) {
		bench->workers[i] = bench_worker_new(&bench->shared, i);
		if (bench->workers[i] == NULL)
			return -ENOMEM;
	}
	return 0;
}

static void
bench_fini(struct bench *bench)
{
	for (uint64_t i = 0; bench->workers != NULL && i < bench->config->threads; i++)
		bench_worker_free(&bench->workers[i]);
	mem_freep(&bench->workers);
	pattern_free(&bench->pattern);
	fd_close(&bench->shared.done_fd);
	fd_close(&bench->shared.stop_fd);
	fd_close(&bench->signal_fd);
	gate_fini(&bench->shared.gate);
	CP_PTHREAD(pthread_sigmask(SIG_SETMASK, &bench->old_mask, NULL));
}

static int
start_workers(struct bench *bench)
{
	for (uint64_t i = 0; i < bench->config->threads; i++) {
		int r = bench_worker_start(bench->workers[i]);

		if (r < 0) {
			gate_break(&bench->shared.gate);
			fd_signal_event(bench->shared.stop_fd);
			return r;
		}
	}
	return 0;
}

/*
 * The workers keep them all blocked; here only those that are read from the descriptor stay so. In one step: let in for
 * a moment, they would end the process without a report.
 */
static void
unblock_other_signals(const struct bench *bench)
{
	sigset_t mask = bench->old_mask;

	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	CP_PTHREAD(pthread_sigmask(SIG_SETMASK, &mask, NULL));
}

/* Until each worker has said that it is done; a signal makes that soon. */
static void
wait_for_workers(struct bench *bench)
{
	uint64_t done = 0;

	unblock_other_signals(bench);
	while (done < bench->config->threads) {
		struct pollfd pollfds[] = {
			{ .fd = bench->shared.done_fd, .events = POLLIN },
			{ .fd = bench->signal_fd, .events = POLLIN },
		};
		uint64_t more;

		(void)poll(pollfds, CP_COUNT(pollfds), -1);
		if (pollfds[0].revents != 0 &&
			read(bench->shared.done_fd, &more, sizeof(more)) == (ssize_t)sizeof(more))
			done += more;
		if (pollfds[1].revents != 0) {
			struct signalfd_siginfo info;

			(void)!read(bench->signal_fd, &info, sizeof(info));
			fd_close(&bench->signal_fd);
			fd_signal_event(bench->shared.stop_fd);
			/* The second one is to have its usual effect. */
			CP_PTHREAD(pthread_sigmask(SIG_UNBLOCK, &bench->signals, NULL));
		}
	}
}

int
bench_run(const struct bench_config *config, struct result *ret, struct errmsg *err)
{
	struct bench bench = { .signal_fd = -1 };
	int r;

	CP_ASSERT(config->threads >= 1 && config->threads <= config->connections);
	CP_ASSERT(config->size_bytes >= 1 && (config->duration_ms != 0 || config->requests != 0));
	r = raise_descriptor_limit(config, err);
	if (r < 0)
		return r;
	r = bench_init(&bench, config);
	if (r == 0)
		r = start_workers(&bench);
	if (r == 0)
		wait_for_workers(&bench);
	result_init(ret);
	for (uint64_t i = 0; bench.workers != NULL && i < config->threads; i++) {
		if (bench.workers[i] == NULL)
			break;
		bench_worker_join(bench.workers[i]);
		result_merge(ret, bench_worker_result(bench.workers[i]));
	}
	bench_fini(&bench);
	if (r < 0)
		errmsg_set(err, "cannot start: %s", errmsg_errno(-r));
	return r;
}
