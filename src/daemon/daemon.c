/* SPDX-License-Identifier: MIT */
/*
 * daemon.c - the main thread: start, the loop, signals, stop; and the joint between the acceptor and the pools.
 */
#include "config.h"

#include "daemon/daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/errmsg.h"
#include "base/fdutil.h"
#include "base/log.h"
#include "conf/conf.h"
#include "daemon/lending.h"
#include "daemon/reload.h"
#include "daemon/watch.h"
#include "engine/fiber.h"
#include "net/refusals.h"
#include "net/route.h"
#include "net/socket.h"
#include "program/program.h"
#include "program/spawner.h"
#include "service/blocking.h"
#include "service/registry.h"
#include "service/verdict.h"
#include "upstream/upstreams.h"

/* After the drain: handlers that were told to end and do not are left behind with the process. */
#define CANCEL_GRACE_MS 5000u
/* The longest that the acceptor looks away while every worker is busy. */
#define NAP_MS 1
/* How often those that run at the end are told so again. */
#define CHECKS_TURN_MS 100
/* For what is in the log's rings. */
#define LOG_STOP_MS 3000u

void
daemon_set_state(struct daemon *daemon, enum daemon_state state)
{
	/* It only goes forward. */
	CP_ASSERT(state > daemon->state);
	daemon->state = state;
	watch_tell_status(daemon);
}

/* ---- between acceptor and pools ---------------------------------------------------------- */

static unsigned
sink_room(struct route *route)
{
	return pool_room(route->pool);
}

static bool
sink_await_room(struct route *route)
{
	return pool_await_room(route->pool);
}

static void
sink_submit(struct accepted *accepted)
{
	pool_submit(accepted->route->pool, accepted);
}

static void
sink_flush(struct route *route, unsigned taken)
{
	struct daemon *daemon = CP_CONTAINER_OF(route->pool->loop, struct daemon, loop);

	bool woke = pool_wake(route->pool);

	/* Programs have their own time: their worker sleeps again at once, and the nap would be over. */
	daemon->wants_nap =
		pool_is_shared(route->pool) && (!woke || taken > 1) && program_of(&route->rule->service) == NULL;
	daemon_wake_tick(daemon);
}

static const struct acceptor_sink acceptor_sink = {
	.room = sink_room,
	.await_room = sink_await_room,
	.submit = sink_submit,
	.flush = sink_flush,
	.lend = lending_begin};

/* Any thread. */
static void
on_pool_has_room(void *arg)
{
	struct daemon *daemon = arg;

	acceptor_signal_room(&daemon->acceptor);
}

/* Any thread. */
static void
on_worker_sleeps(void *arg)
{
	struct daemon *daemon = arg;

	if (atomic_load(&daemon->napping))
		loop_wake(&daemon->loop);
}

/* Any thread. */
static void
on_worker_ended(void *arg)
{
	struct daemon *daemon = arg;

	atomic_store(&daemon->worker_ended, true);
	loop_wake(&daemon->loop);
}

static bool
some_worker_sleeps(const struct daemon *daemon)
{
	struct list *link;
	struct list *following;

	LIST_FOREACH (&daemon->pools, link, following) {
		if (pool_has_sleeper(CP_CONTAINER_OF(link, struct pool, link)))
			return true;
	}
	return false;
}

static bool
has_work(struct loop *loop, void *arg)
{
	const struct daemon *daemon = arg;

	(void)loop;
	return acceptor_has_work(&daemon->acceptor) || atomic_load(&daemon->worker_ended) ||
	       (atomic_load(&daemon->napping) && some_worker_sleeps(daemon));
}

/*
 * NAP: connections came in, several at a time or while workers had others to serve, and now every worker is busy.
 * Accepting the next one at once would interrupt a worker, where they share a core, for a connection that has to wait
 * for it all the same. So the acceptor looks away until a worker has nothing to do, or for NAP_MS, and then takes what
 * has piled up in one batch. No lost wake-up: the worker announces that it sleeps and then looks at `napping`; this
 * thread sets `napping` and then looks for sleepers (has_work), all sequentially consistent.
 */
static void
nap(struct daemon *daemon)
{
	daemon->wants_nap = false;
	atomic_store(&daemon->napping, true);
	loop_nap(&daemon->loop, NAP_MS);
	atomic_store(&daemon->napping, false);
}

/* ---- stopping ---------------------------------------------------------------------------------- */

static void
close_listeners(struct daemon *daemon)
{
	struct list *link;

	while ((link = list_pop_front(&daemon->listeners)) != NULL) {
		struct listener *listener = CP_CONTAINER_OF(link, struct listener, link);
		struct list *socket_link;

		while ((socket_link = list_pop_front(&listener->sockets)) != NULL) {
			struct listen_socket *sock = CP_CONTAINER_OF(socket_link, struct listen_socket, link);

			acceptor_remove(&daemon->acceptor, sock);
			lending_end(sock);
			listen_socket_free(&sock);
		}
		refusals_log_rest(listener);
		route_unref(&listener->route);
		listener_unref(&listener);
	}
}

static void
cancel_connections(struct daemon *daemon)
{
	struct list *link;
	struct list *following;

	LIST_FOREACH (&daemon->closing_pools, link, following)
		pool_cancel(CP_CONTAINER_OF(link, struct pool, link));
	lending_kill(daemon);
	timer_set(&daemon->loop.wheel, &daemon->deadline, loop_now_ms(&daemon->loop) + CANCEL_GRACE_MS);
	daemon_set_state(daemon, DAEMON_CANCELLED);
}

static void
on_deadline(struct timer *timer)
{
	struct daemon *daemon = CP_CONTAINER_OF(timer, struct daemon, deadline);
	uint64_t held = atomic_load_explicit(&daemon->totals.held, memory_order_relaxed);

	if (daemon->state == DAEMON_DRAINING) {
		log_warning(LOG_EVENT_DRAIN_TIMEOUT,
			"closing %" PRIu64 " connections that did not end within daemon.drain_timeout", held);
		cancel_connections(daemon);
		return;
	}
	/* Their threads are inside a handler and will not come back; nothing that they use may be freed. */
	log_error(LOG_EVENT_STOPPED, "stopped, leaving %" PRIu64 " connections whose handlers did not return", held);
	log_stop(LOG_STOP_MS);
	_exit(DAEMON_EXIT_FAILURE);
}

static void
begin_stop(struct daemon *daemon, const char *reason)
{
	struct list *link;
	struct list *following;
	uint64_t drain_ms = daemon->conf->daemon.drain_timeout_ms;

	/* First: who reads that it stops must find that it has. */
	close_listeners(daemon);
	reload_abandon(daemon);
	systemd_notify_stopping();
	log_notice(LOG_EVENT_STOPPING,
		"stopping on %s: %" PRIu64 " connections may end by themselves for %" PRIu64 " ms", reason,
		atomic_load_explicit(&daemon->totals.held, memory_order_relaxed), drain_ms);
	list_splice_back(&daemon->closing_pools, &daemon->pools);
	LIST_FOREACH (&daemon->closing_pools, link, following)
		pool_close(CP_CONTAINER_OF(link, struct pool, link), true);
	timer_set(&daemon->loop.wheel, &daemon->deadline, loop_now_ms(&daemon->loop) + drain_ms);
	daemon_set_state(daemon, DAEMON_DRAINING);
	/* With no worker busy there is nothing to wait for, and nobody who would tell. */
	atomic_store(&daemon->worker_ended, true);
}

/* Joins the threads that have ended, and ends when the last one has, and the programs that had listening sockets. */
static void
reap_workers(struct daemon *daemon)
{
	struct list *link;
	struct list *following;

	if (!atomic_load(&daemon->worker_ended))
		return;
	atomic_store(&daemon->worker_ended, false);
	LIST_FOREACH (&daemon->pools, link, following)
		(void)pool_reap(CP_CONTAINER_OF(link, struct pool, link));
	LIST_FOREACH (&daemon->closing_pools, link, following) {
		struct pool *pool = CP_CONTAINER_OF(link, struct pool, link);

		if (pool_reap(pool))
			pool_free(&pool);
	}
	if (daemon->state >= DAEMON_DRAINING && list_is_empty(&daemon->closing_pools) &&
		list_is_empty(&daemon->ending_leases)) {
		/* What is left to do (end_checks) has a bound of its own. */
		timer_clear(&daemon->loop.wheel, &daemon->deadline);
		daemon_set_state(daemon, DAEMON_STOPPED);
	}
}

/* ---- signals -------------------------------------------------------------------------------------- */

static void
on_stop_signal(struct daemon *daemon, int number)
{
	const char *name = number == SIGTERM ? "SIGTERM" : "SIGINT";

	if (daemon->state == DAEMON_SERVING) {
		begin_stop(daemon, name);
	} else if (daemon->state == DAEMON_DRAINING) {
		log_notice(LOG_EVENT_STOPPING, "%s once more: closing %" PRIu64 " connections now", name,
			atomic_load_explicit(&daemon->totals.held, memory_order_relaxed));
		cancel_connections(daemon);
	}
}

static void
on_signal(struct loop *loop, struct watch *watch, uint32_t events)
{
	struct daemon *daemon = CP_CONTAINER_OF(watch, struct daemon, signal_watch);
	struct signalfd_siginfo info;

	(void)loop;
	(void)events;
	while (read(daemon->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo != SIGHUP)
			on_stop_signal(daemon, (int)info.ssi_signo);
		else if (daemon->state == DAEMON_SERVING)
			reload_request(daemon);
	}
}

/*
 * Blocked here, before any thread is there to inherit another mask. SIGPIPE too: a closed descriptor is an error of the
 * call that writes to it, not of the process.
 */
static int
open_signals(struct daemon *daemon)
{
	sigset_t watched;
	sigset_t blocked;

	sigemptyset(&watched);
	sigaddset(&watched, SIGHUP);
	sigaddset(&watched, SIGTERM);
	sigaddset(&watched, SIGINT);
	blocked = watched;
	sigaddset(&blocked, SIGPIPE);
	CP_PTHREAD(pthread_sigmask(SIG_BLOCK, &blocked, NULL));
	daemon->signal_fd = signalfd(-1, &watched, SFD_NONBLOCK | SFD_CLOEXEC);
	if (daemon->signal_fd < 0)
		return -errno;
	daemon->signal_watch.fn = on_signal;
	return loop_add(&daemon->loop, &daemon->signal_watch, daemon->signal_fd, EPOLLIN);
}

/* ---- life ------------------------------------------------------------------------------------------ */

static int
open_engine(struct daemon *daemon)
{
	/* Before there is anything that the spawner should not have. */
	int rc = spawner_begin(daemon->conf_path, registry_types_without_code());

	if (rc == 0)
		rc = loop_init(&daemon->loop, has_work, daemon);
	/* A nap of no time opens what naps need: later there may be no descriptor for it, or somebody counts them. */
	if (rc == 0)
		loop_nap(&daemon->loop, 0);
	if (rc == 0)
		rc = open_signals(daemon);
	if (rc == 0)
		rc = acceptor_init(&daemon->acceptor, &daemon->loop, &acceptor_sink, &daemon->totals);
	if (rc == 0)
		rc = spawner_watch(&daemon->loop);
	if (rc == 0)
		rc = systemd_sockets_init(&daemon->passed);
	if (rc == 0) {
		daemon->upstreams = upstreams_new(&daemon->loop);
		daemon->verdicts = verdicts_new(&daemon->loop);
		rc = daemon->upstreams != NULL && daemon->verdicts != NULL ? 0 : -ENOMEM;
	}
	if (rc < 0)
		log_error(LOG_EVENT_NONE, "cannot start: %s", errmsg_errno(-rc));
	return rc;
}

/* Ready line first: who waits for it may connect. */
static void
begin_serving(struct daemon *daemon)
{
	daemon_set_state(daemon, DAEMON_SERVING);
	systemd_notify_ready(daemon->status);
	watch_begin(daemon);
	log_notice(LOG_EVENT_STARTED, "connpoold %s ready: %zu listeners, %zu pools", PACKAGE_VERSION,
		daemon->conf->listener_count, daemon->conf->pool_count);
}

static void
serve(struct daemon *daemon)
{
	while (daemon->state < DAEMON_STOPPED) {
		int rc = loop_turn(&daemon->loop, -1);

		if (rc < 0)
			log_error(LOG_EVENT_NONE, "epoll_wait: %s", errmsg_errno(-rc));
		acceptor_resume(&daemon->acceptor);
		reap_workers(daemon);
		if (daemon->wants_nap)
			nap(daemon);
	}
}

/* Nobody asks any more: commands that did not end of their own accord meanwhile are killed. */
static void
end_checks(struct daemon *daemon)
{
	uint64_t until_ms = loop_now_ms(&daemon->loop) + CANCEL_GRACE_MS;

	while (!verdicts_end(daemon->verdicts)) {
		if (loop_now_ms(&daemon->loop) < until_ms && loop_turn(&daemon->loop, CHECKS_TURN_MS) == 0)
			continue;
		log_error(LOG_EVENT_STOPPED, "stopped, leaving a check's command that does not end");
		log_stop(LOG_STOP_MS);
		_exit(DAEMON_EXIT_FAILURE);
	}
}

/* A name service may keep the thread of a dropped reload for long: it is left behind, as nothing is lost with it. */
static void
end_reload_thread(struct daemon *daemon)
{
	uint64_t until_ms = loop_now_ms(&daemon->loop) + CANCEL_GRACE_MS;

	while (!reload_is_over(daemon)) {
		if (loop_now_ms(&daemon->loop) < until_ms && loop_turn(&daemon->loop, CHECKS_TURN_MS) == 0)
			continue;
		log_notice(LOG_EVENT_STOPPED, "stopped, while a reload still reads its files");
		log_stop(LOG_STOP_MS);
		_exit(DAEMON_EXIT_OK);
	}
}

static void
close_all(struct daemon *daemon)
{
	/* No connection is left, and with it no call on a helper thread. */
	blocking_stop();
	upstreams_free(&daemon->upstreams);
	verdicts_free(&daemon->verdicts);
	conf_unref(&daemon->conf);
	systemd_sockets_fini(&daemon->passed);
	acceptor_fini(&daemon->acceptor);
	spawner_end();
	fd_close(&daemon->signal_fd);
	loop_fini(&daemon->loop);
}

int
daemon_run(const char *conf_path)
{
	struct daemon daemon = {.conf_path = conf_path, .signal_fd = -1};
	int exit_code = DAEMON_EXIT_FAILURE;

	daemon.pool_owner = (struct pool_owner){.has_room = on_pool_has_room,
		.worker_sleeps = on_worker_sleeps,
		.worker_ended = on_worker_ended,
		.arg = &daemon};
	daemon.deadline.fn = on_deadline;
	fiber_explain_faults();
	list_init(&daemon.listeners);
	list_init(&daemon.pools);
	list_init(&daemon.closing_pools);
	list_init(&daemon.ending_leases);
	if (open_engine(&daemon) == 0)
		exit_code = reload_start(&daemon);
	if (exit_code == DAEMON_EXIT_OK) {
		begin_serving(&daemon);
		serve(&daemon);
		end_checks(&daemon);
		end_reload_thread(&daemon);
		log_notice(LOG_EVENT_STOPPED, "stopped");
	}
	close_all(&daemon);
	log_stop(LOG_STOP_MS);
	return exit_code;
}
