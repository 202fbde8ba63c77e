/* SPDX-License-Identifier: MIT */
/*
 * The schedule of one worker thread, around epoll(7).
 *
 * A connection is in exactly one place: idle (closed or ready, waiting for a request), in flight (counted in in_flight,
 * with a deadline), or pausing. Every request that is begun ends in finish(), as ok or as one error. All time-outs
 * are equal, so a list in the order of starting is in the order of expiry too. Never blocks but in epoll_pwait2(2)
 * and at the gate.
 */
#include "config.h"

#include "client/bench_worker.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/fdutil.h"
#include "base/list.h"
#include "base/mem.h"
#include "client/bench.h"
#include "client/bench_conn.h"
#include "client/dial.h"
#include "client/result.h"

#define SCRATCH_BYTES (64 * 1024)
#define EVENTS_MAX 256
/* Opened ahead at the same time: more would overflow the backlog of most servers, and a lost SYN costs a second. */
#define WARMING_MAX 64
/* A full backlog of a Unix socket signals nothing; look again. */
#define RETRY_NS (1 * CLOCK_NS_PER_MS)
/* In a closed loop, a connection that can't be had is not asked for again at once: that would be a spin. */
#define PAUSE_NS (100 * CLOCK_NS_PER_MS)

enum phase { PHASE_WARMING, PHASE_MEASURING };

struct bench_worker {
	struct bench_shared *shared;
	const struct bench_config *config;
	uint64_t index;
	pthread_t thread;
	bool started;
	bool stopping;         /* stop_fd said so */
	enum phase phase;
	int epoll_fd;
	bool is_coarse;        /* no epoll_pwait2(2) here: a kernel before 5.11, or valgrind */

	struct bench_conn *conns; /* owned */
	uint64_t count;
	uint64_t warmed;       /* connections whose opening ahead has been begun */
	uint64_t in_flight;
	size_t endpoint;       /* the one that worked last */
	struct list idle;
	struct list runnable;  /* in flight, and could go on at once */
	struct list retrying;  /* in flight, waits for a backlog; link_ns says until when */
	struct list pausing;   /* not in flight; link_ns says until when */
	struct list deadlines; /* all in flight */

	uint64_t quota;        /* requests it may begin */
	uint64_t issued;       /* begun so far */
	uint64_t start_ns;
	uint64_t end_ns;       /* nothing that is due from then on is begun */
	bool closed;           /* nothing is begun any more: the time is over */
	uint64_t last_done_ns;
	struct result result;
	unsigned char scratch[SCRATCH_BYTES];
};

static void step(struct bench_worker *worker, struct bench_conn *conn);

/* ---- life of a request -------------------------------------------------------------- */

static void
move_to(struct list *head, struct bench_conn *conn)
{
	list_remove(&conn->link);
	list_push_back(head, &conn->link);
}

static void
move_to_waiting(struct list *head, struct bench_conn *conn, uint64_t delay_ns)
{
	conn->link_ns = clock_now_ns() + delay_ns;
	move_to(head, conn);
}

static void
set_deadline(struct bench_worker *worker, struct bench_conn *conn)
{
	conn->deadline_ns = clock_now_ns() + worker->config->timeout_ms * CLOCK_NS_PER_MS;
	list_remove(&conn->deadline_link);
	list_push_back(&worker->deadlines, &conn->deadline_link);
}

/* Out of flight: error 0 or a positive errno. */
static void
finish(struct bench_worker *worker, struct bench_conn *conn, int error)
{
	uint64_t now_ns = clock_now_ns();
	bool never_connected = conn->state != BENCH_CONN_READY && conn->state != BENCH_CONN_ECHOING;

	list_remove(&conn->deadline_link);
	worker->in_flight--;
	worker->last_done_ns = now_ns;
	if (error == 0) {
		worker->result.ok++;
		if (now_ns <= worker->end_ns)
			worker->result.ok_in_window++;
		histogram_record(&worker->result.latency, now_ns - conn->started_ns);
	} else {
		result_add_error(&worker->result, error);
	}
	if (error != 0 || worker->config->reconnect)
		bench_conn_close(conn);
	if (never_connected && worker->config->rate == 0 && worker->phase == PHASE_MEASURING)
		move_to_waiting(&worker->pausing, conn, PAUSE_NS);
	else
		move_to(&worker->idle, conn);
}

static void
start_echo(struct bench_worker *worker, struct bench_conn *conn)
{
	bench_conn_start(conn, worker->config->size_bytes);
	set_deadline(worker, conn);
	step(worker, conn);
}

static void
connected(struct bench_worker *worker, struct bench_conn *conn)
{
	worker->result.connects++;
	worker->endpoint = conn->endpoint;
	if (conn->started_ns != 0) {
		start_echo(worker, conn);
		return;
	}
	list_remove(&conn->deadline_link);
	worker->in_flight--;
	atomic_fetch_add_explicit(&worker->shared->connected, 1, memory_order_relaxed);
	move_to(&worker->idle, conn);
}

static int
watch(struct bench_worker *worker, struct bench_conn *conn)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = conn };

	return epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, conn->fd, &event) < 0 ? -errno : 0;
}

/* After a failure (negative errno; 0: none yet) tries the next endpoint, until one is under way or all have failed. */
static void
connect_on(struct bench_worker *worker, struct bench_conn *conn, int failure)
{
	const struct dial *dial = worker->config->dial;

	for (;;) {
		int r;

		if (failure != 0) {
			bench_conn_close(conn);
			conn->endpoint = (conn->endpoint + 1) % dial->count;
			if (++conn->tried == dial->count) {
				if (conn->started_ns == 0)
					worker->result.requests++;
				finish(worker, conn, -failure);
				return;
			}
			set_deadline(worker, conn);
		}
		r = bench_conn_open(conn, &dial->endpoints[conn->endpoint]);
		if (r == -EAGAIN) {
			move_to_waiting(&worker->retrying, conn, RETRY_NS);
			return;
		}
		failure = r < 0 && r != -EINPROGRESS ? r : watch(worker, conn);
		if (failure != 0)
			continue;
		if (r == 0)
			connected(worker, conn);
		return;
	}
}

/* started_ns 0: nothing but the connection is wanted. */
static void
begin(struct bench_worker *worker, struct bench_conn *conn, uint64_t started_ns)
{
	list_remove(&conn->link);
	conn->started_ns = started_ns;
	worker->in_flight++;
	if (conn->state == BENCH_CONN_READY) {
		start_echo(worker, conn);
		return;
	}
	conn->endpoint = worker->endpoint;
	conn->tried = 0;
	set_deadline(worker, conn);
	connect_on(worker, conn, 0);
}

static void
step(struct bench_worker *worker, struct bench_conn *conn)
{
	int r = bench_conn_progress(conn, worker->shared->pattern, worker->scratch, sizeof(worker->scratch));

	if (r == BENCH_PROGRESS_AGAIN)
		move_to(&worker->runnable, conn);
	else if (r == BENCH_PROGRESS_CONNECTED)
		connected(worker, conn);
	else if (r == BENCH_PROGRESS_DONE)
		finish(worker, conn, 0);
	else if (r < 0 && conn->state == BENCH_CONN_CONNECTING)
		connect_on(worker, conn, r);
	else if (r < 0)
		finish(worker, conn, -r);
}

/* ---- when ---------------------------------------------------------------------------- */

uint64_t
bench_worker_share(uint64_t total, uint64_t index, uint64_t count)
{
	return total / count + (index < total % count ? 1 : 0);
}

/* The worker's own i-th request is number index + i * threads of the run; quotient and rest, so nothing overflows. */
static uint64_t
due_ns(const struct bench_worker *worker, uint64_t i)
{
	uint64_t number = worker->index + i * worker->config->threads, rate = worker->config->rate;

	return worker->start_ns + number / rate * CLOCK_NS_PER_S + number % rate * CLOCK_NS_PER_S / rate;
}

static bool
is_through(const struct bench_worker *worker, uint64_t now_ns)
{
	return worker->issued >= worker->quota || now_ns >= worker->end_ns;
}

static void
launch(struct bench_worker *worker, uint64_t now_ns)
{
	bool open_loop = worker->config->rate != 0, is_late = now_ns >= worker->end_ns;

	if (worker->phase == PHASE_WARMING) {
		while (worker->warmed < worker->count && worker->in_flight < WARMING_MAX)
			begin(worker, &worker->conns[worker->warmed++], 0);
		return;
	}
	while (!list_is_empty(&worker->idle) && !worker->closed && worker->issued < worker->quota) {
		uint64_t started_ns = open_loop ? due_ns(worker, worker->issued) : clock_now_ns();

		if (open_loop ? started_ns > now_ns || started_ns >= worker->end_ns : is_late)
			break;
		worker->issued++;
		worker->result.requests++;
		begin(worker, CP_CONTAINER_OF(worker->idle.next, struct bench_conn, link), started_ns);
	}
	/* What was due in the last moment went out just now, if a connection was free. It is not to wait for one. */
	worker->closed = is_late;
}

static bool
phase_is_over(const struct bench_worker *worker, uint64_t now_ns)
{
	if (worker->in_flight != 0)
		return false;
	return worker->phase == PHASE_WARMING ? worker->warmed == worker->count : is_through(worker, now_ns);
}

static uint64_t
head_ns(const struct list *head)
{
	return list_is_empty(head) ? UINT64_MAX : CP_CONTAINER_OF(head->next, struct bench_conn, link)->link_ns;
}

static uint64_t
earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* When there will be something to do even if no event comes. */
static uint64_t
next_wake_ns(const struct bench_worker *worker, uint64_t now_ns)
{
	uint64_t wake_ns = earlier(head_ns(&worker->retrying), head_ns(&worker->pausing));

	if (!list_is_empty(&worker->runnable))
		return now_ns;
	if (!list_is_empty(&worker->deadlines)) {
		wake_ns = earlier(wake_ns,
			CP_CONTAINER_OF(worker->deadlines.next, struct bench_conn, deadline_link)->deadline_ns);
	}
	if (worker->phase == PHASE_MEASURING && !is_through(worker, now_ns)) {
		wake_ns = earlier(wake_ns, worker->end_ns);
		if (worker->config->rate != 0 && !list_is_empty(&worker->idle))
			wake_ns = earlier(wake_ns, due_ns(worker, worker->issued));
	}
	return wake_ns;
}

static void
expire(struct bench_worker *worker, uint64_t now_ns)
{
	while (head_ns(&worker->pausing) <= now_ns)
		move_to(&worker->idle, CP_CONTAINER_OF(worker->pausing.next, struct bench_conn, link));
	while (head_ns(&worker->retrying) <= now_ns) {
		struct list *link = list_pop_front(&worker->retrying);

		connect_on(worker, CP_CONTAINER_OF(link, struct bench_conn, link), 0);
	}
	while (!list_is_empty(&worker->deadlines)) {
		struct bench_conn *conn = CP_CONTAINER_OF(worker->deadlines.next, struct bench_conn, deadline_link);

		if (conn->deadline_ns > now_ns)
			return;
		list_remove(&conn->link);
		if (conn->state == BENCH_CONN_ECHOING)
			finish(worker, conn, ETIMEDOUT);
		else
			connect_on(worker, conn, -ETIMEDOUT);
	}
}

/* ---- the thread ------------------------------------------------------------------------- */

/* As epoll_wait(2). Microseconds matter: with a rate, what is late in sending counts as latency. */
static int
wait_ns(struct bench_worker *worker, struct epoll_event events[EVENTS_MAX], uint64_t left_ns)
{
	struct timespec timeout = { .tv_sec = (time_t)(left_ns / CLOCK_NS_PER_S),
		.tv_nsec = (long)(left_ns % CLOCK_NS_PER_S) };
	uint64_t left_ms = left_ns / CLOCK_NS_PER_MS + (left_ns % CLOCK_NS_PER_MS != 0);

	if (!worker->is_coarse) {
		int n = epoll_pwait2(worker->epoll_fd, events, EVENTS_MAX, &timeout, NULL);

		if (n >= 0 || errno != ENOSYS)
			return n;
		worker->is_coarse = true;
	}
	return epoll_wait(worker->epoll_fd, events, EVENTS_MAX, (int)earlier(left_ms, INT_MAX));
}

static void
wait_for_events(struct bench_worker *worker, uint64_t now_ns)
{
	struct epoll_event events[EVENTS_MAX];
	uint64_t wake_ns = next_wake_ns(worker, now_ns);
	int n = wait_ns(worker, events, wake_ns > now_ns ? wake_ns - now_ns : 0);

	CP_ASSERT(n >= 0 || errno == EINTR);
	for (int i = 0; i < n; i++) {
		struct bench_conn *conn = events[i].data.ptr;

		if (conn == NULL) {
			worker->stopping = true;
			continue;
		}
		bench_conn_note_events(conn, events[i].events);
		step(worker, conn);
	}
}

static void
run_again(struct bench_worker *worker)
{
	struct list turn, *link;

	list_init(&turn);
	list_splice_back(&turn, &worker->runnable);
	while ((link = list_pop_front(&turn)) != NULL)
		step(worker, CP_CONTAINER_OF(link, struct bench_conn, link));
}

static void
run_phase(struct bench_worker *worker, enum phase phase)
{
	worker->phase = phase;
	while (!worker->stopping) {
		uint64_t now_ns = clock_now_ns();

		expire(worker, now_ns);
		launch(worker, now_ns);
		if (phase_is_over(worker, now_ns))
			return;
		wait_for_events(worker, now_ns);
		run_again(worker);
	}
}

/* Requests that were due before the given moment, counted from the start, for this worker. */
static uint64_t
count_due(const struct bench_worker *worker, uint64_t span_ns)
{
	unsigned __int128 spanned = (unsigned __int128)span_ns * worker->config->rate + (CLOCK_NS_PER_S - 1);
	uint64_t due = bench_worker_share((uint64_t)(spanned / CLOCK_NS_PER_S), worker->index, worker->config->threads);

	return earlier(due, worker->quota);
}

static void
close_account(struct bench_worker *worker)
{
	uint64_t now_ns = clock_now_ns(), until_ns = earlier(now_ns, worker->end_ns);

	/* All requests through before the time: the run ended with the last answer. */
	if (!worker->stopping && worker->issued >= worker->quota && worker->last_done_ns != 0)
		until_ns = earlier(worker->last_done_ns, worker->end_ns);
	worker->result.window_ns = until_ns > worker->start_ns ? until_ns - worker->start_ns : 0;
	/* Stopped by hand: what is under way has no outcome. */
	worker->result.requests -= worker->in_flight;
	if (worker->config->rate != 0) {
		uint64_t due = count_due(worker, worker->result.window_ns);

		worker->result.not_sent = due > worker->issued ? due - worker->issued : 0;
	}
}

static void
measure(struct bench_worker *worker)
{
	const struct bench_config *config = worker->config;

	/* Nobody there at all: said already, once for each connection. */
	if (!config->reconnect && atomic_load_explicit(&worker->shared->connected, memory_order_relaxed) == 0)
		return;
	if (config->duration_ms != 0)
		worker->end_ns = worker->start_ns + config->duration_ms * CLOCK_NS_PER_MS;
	worker->last_done_ns = 0;
	run_phase(worker, PHASE_MEASURING);
	close_account(worker);
}

static void *
worker_main(void *arg)
{
	struct bench_worker *worker = arg;
	char name[16];

	snprintf(name, sizeof(name), "cp-bench%02u", (unsigned)(worker->index % 100));
	(void)pthread_setname_np(pthread_self(), name);
	if (!worker->config->reconnect)
		run_phase(worker, PHASE_WARMING);
	if (gate_pass(&worker->shared->gate, &worker->start_ns) && !worker->stopping)
		measure(worker);
	fd_signal_event(worker->shared->done_fd);
	return NULL;
}

/* ---- life cycle ---------------------------------------------------------------------------- */

static void
init_lists(struct bench_worker *worker)
{
	list_init(&worker->idle);
	list_init(&worker->runnable);
	list_init(&worker->retrying);
	list_init(&worker->pausing);
	list_init(&worker->deadlines);
}

/* False: no memory, or no descriptor. */
static bool
init_resources(struct bench_worker *worker)
{
	const struct bench_config *config = worker->config;
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };

	worker->count = bench_worker_share(config->connections, worker->index, config->threads);
	worker->conns = mem_zalloc_array(worker->count, sizeof(*worker->conns));
	worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (worker->conns == NULL || worker->epoll_fd < 0)
		return false;
	for (uint64_t i = 0; i < worker->count; i++) {
		bench_conn_init(&worker->conns[i], worker->index + i * config->threads);
		/* Those that are opened ahead become idle when that is done. */
		if (config->reconnect)
			move_to(&worker->idle, &worker->conns[i]);
	}
	return epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, worker->shared->stop_fd, &event) == 0;
}

struct bench_worker *
bench_worker_new(struct bench_shared *shared, uint64_t index)
{
	struct bench_worker *worker = mem_zalloc(sizeof(*worker));
	uint64_t requests;

	if (worker == NULL)
		return NULL;
	worker->shared = shared;
	worker->config = shared->config;
	worker->index = index;
	worker->epoll_fd = -1;
	worker->end_ns = UINT64_MAX;
	requests = worker->config->requests;
	worker->quota = requests == 0 ? UINT64_MAX : bench_worker_share(requests, index, worker->config->threads);
	init_lists(worker);
	result_init(&worker->result);
	if (!init_resources(worker))
		bench_worker_free(&worker);
	return worker;
}

void
bench_worker_free(struct bench_worker **worker)
{
	struct bench_worker *gone = *worker;

	if (gone == NULL)
		return;
	CP_ASSERT(!gone->started);
	for (uint64_t i = 0; gone->conns != NULL && i < gone->count; i++)
		bench_conn_close(&gone->conns[i]);
	mem_freep(&gone->conns);
	fd_close(&gone->epoll_fd);
	mem_freep(worker);
}

int
bench_worker_start(struct bench_worker *worker)
{
	int r = pthread_create(&worker->thread, NULL, worker_main, worker);

	worker->started = r == 0;
	return -r;
}

void
bench_worker_join(struct bench_worker *worker)
{
	if (worker->started)
		CP_PTHREAD(pthread_join(worker->thread, NULL));
	worker->started = false;
}

const struct result *
bench_worker_result(const struct bench_worker *worker)
{
	return &worker->result;
}
