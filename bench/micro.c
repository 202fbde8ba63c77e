/* SPDX-License-Identifier: MIT */
/*
 * micro - nanoseconds of the smallest operations of engine and pool, so that a change that makes one dearer is seen.
 *
 * Not run by `make check`: figures are for a quiet machine and an optimised build. Prints the best of several rounds,
 * one operation a line. The one argument scales the number of operations (default 1).
 */
#include "config.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/defs.h"
#include "conf/conf.h"
#include "engine/fiber.h"
#include "engine/loop.h"
#include "engine/sched.h"
#include "engine/timer.h"
#include "net/listener.h"
#include "net/route.h"
#include "pool/pool.h"
#include "pool/queue.h"

#define ROUNDS 7
#define STACK_BYTES 65536
#define MANY 1000

struct benchmark {
	const char *name;
	uint64_t operations;
	void (*run)(uint64_t operations);
};

static struct fiber_pool *pool;

static void
require(int is_true, const char *what)
{
	if (!is_true) {
		fprintf(stderr, "micro: %s\n", what);
		exit(1);
	}
}

static void
suspend_for_ever(void *arg)
{
	const int *stop = arg;

	while (!*stop)
		fiber_suspend();
}

/* Of so many fibers one after the other, each resumed and suspended. */
static void
switch_among(unsigned count, uint64_t operations)
{
	static struct fiber *fibers[MANY];
	int stop = 0;

	for (unsigned i = 0; i < count; i++)
		require(fiber_run(pool, suspend_for_ever, &stop, &fibers[i]) == 1, "no stack");
	for (uint64_t i = 0, next = 0; i < operations; i++, next = next + 1 < count ? next + 1 : 0)
		require(fiber_resume(fibers[next]) == 1, "a fiber ended");
	stop = 1;
	for (unsigned i = 0; i < count; i++)
		require(fiber_resume(fibers[i]) == 0, "a fiber went on");
}

static void
switch_one(uint64_t operations)
{
	switch_among(1, operations);
}

static void
switch_many(uint64_t operations)
{
	switch_among(MANY, operations);
}

static void
do_nothing(void *arg)
{
	(void)arg;
}

static void
run_pooled(uint64_t operations)
{
	struct fiber *fiber;

	for (uint64_t i = 0; i < operations; i++)
		require(fiber_run(pool, do_nothing, NULL, &fiber) == 0, "no stack");
}

static void
run_unpooled(uint64_t operations)
{
	fiber_pool_trim(pool, 0);
	for (uint64_t i = 0; i < operations; i++) {
		run_pooled(1);
		fiber_pool_trim(pool, 0);
	}
}

static void
ignore_timer(struct timer *timer)
{
	(void)timer;
}

/* As a connection's idle time-out is moved by each message. */
static void
move_timers(uint64_t operations)
{
	static struct timer_wheel wheel;
	static struct timer timers[MANY];

	timer_wheel_init(&wheel, 0);
	for (unsigned i = 0; i < MANY; i++)
		timers[i] = (struct timer){ .fn = ignore_timer };
	for (uint64_t i = 0; i < operations; i++) {
		if (i % MANY == 0)
			timer_wheel_advance(&wheel, i / MANY);
		timer_set(&wheel, &timers[i % MANY], i / MANY + 60000);
	}
}

static void
ignore_task(struct loop *loop, struct task *task)
{
	loop_schedule(loop, task);
}

static void
turn_loop(uint64_t operations)
{
	static struct loop loop;
	struct task task = { .fn = ignore_task };

	require(loop_init(&loop, NULL, NULL) == 0, "no loop");
	loop_schedule(&loop, &task);
	for (uint64_t i = 0; i < operations; i++)
		require(loop_turn(&loop, -1) == 0, "epoll_wait failed");
	loop_fini(&loop);
}

/* ---- queue ------------------------------------------------------------------ */

#define QUEUE_LIMIT 1024
#define POP_MAX 32

static struct queue queue;

static void
push_until_taken(uint64_t id)
{
	struct accepted accepted = { .fd = -1, .id = id };

	while (queue_push(&queue, &accepted) != 0)
		sched_yield();
}

static void
queue_alone(uint64_t operations)
{
	struct accepted item;

	require(queue_init(&queue, QUEUE_LIMIT) == 0, "out of memory");
	for (uint64_t i = 0; i < operations; i++) {
		push_until_taken(i);
		require(queue_pop(&queue, &item, 1, 1, 0) == 1, "the queue lost an entry");
	}
	queue_fini(&queue);
}

/* As a worker takes them, in batches. */
static void *
pop_all(void *arg)
{
	const uint64_t *operations = arg;
	struct accepted items[POP_MAX];

	for (uint64_t taken = 0; taken < *operations;) {
		unsigned count = queue_pop(&queue, items, POP_MAX, POP_MAX, 0);

		taken += count;
		if (count == 0)
			sched_yield();
	}
	return NULL;
}

static void
queue_across(uint64_t operations)
{
	pthread_t thread;

	require(queue_init(&queue, QUEUE_LIMIT) == 0, "out of memory");
	require(pthread_create(&thread, NULL, pop_all, &operations) == 0, "no thread");
	for (uint64_t i = 0; i < operations; i++)
		push_until_taken(i);
	require(pthread_join(thread, NULL) == 0, "no join");
	queue_fini(&queue);
}

/* ---- pool: from the acceptor to the task ----------------------------------------- */

#define BATCH 64

static _Atomic uint64_t started;

/* A connection that is over as soon as it is there; it has no descriptor, so that no system call is measured. */
static void
start_task(struct sched *sched, struct conn *conn)
{
	atomic_fetch_add(&started, 1);
	conn_set_end(conn, CONN_END_SERVICE);
	sched->done(sched, conn);
}

static void
cancel_task(struct sched *sched, struct conn *conn, enum conn_end why)
{
	conn_set_end(conn, why);
	sched->done(sched, conn);
}

static void
ignore_drain(struct sched *sched, struct conn *conn)
{
	(void)sched;
	(void)conn;
}

static void
ignore_news(void *arg)
{
	(void)arg;
}

/* Submits them in batches with one wake-up each, and waits for each batch. */
static void
submit_batches(uint64_t operations, unsigned batch)
{
	static const struct pool_tasks tasks = {
		.task_size = sizeof(struct conn), .start = start_task, .drain = ignore_drain,
		.cancel = cancel_task };
	static const struct pool_owner owner = {
		.has_room = ignore_news, .worker_sleeps = ignore_news, .worker_ended = ignore_news };
	static struct conf conf = { .refs = 1 };
	static struct conf_listener rule;
	static struct listener_totals totals;
	static struct loop loop;
	char name[] = "micro";
	const struct conf_pool settings = { .name = name, .workers = 1, .connections_per_worker = MANY,
		.queue_size = QUEUE_LIMIT, .stack_size_bytes = STACK_BYTES };
	struct listener *listener = listener_new(name, 1, &totals);
	struct route *route;
	struct pool *workers;

	require(listener != NULL, "out of memory");
	route = route_new(&conf, &rule, listener, NULL, NULL);
	require(route != NULL && loop_init(&loop, NULL, NULL) == 0, "out of memory");
	require(pool_new(&settings, &tasks, &owner, &loop, &workers) == 0, "no pool");
	atomic_store(&started, 0);
	for (uint64_t submitted = 0; submitted < operations;) {
		for (unsigned i = 0; i < batch; i++) {
			struct accepted accepted = { .fd = -1, .route = route_ref(route), .accepted_ns = loop.now_ns };

			pool_submit(workers, &accepted);
		}
		(void)pool_wake(workers);
		submitted += batch;
		while (atomic_load(&started) < submitted)
			sched_yield();
	}
	pool_close(workers, false);
	while (!pool_reap(workers))
		sched_yield();
	pool_free(&workers);
	route_unref(&route);
	listener_unref(&listener);
	loop_fini(&loop);
}

static void
hop_one(uint64_t operations)
{
	submit_batches(operations, 1);
}

static void
hop_batch(uint64_t operations)
{
	submit_batches(operations, BATCH);
}

static const struct benchmark benchmarks[] = {
	{ "fiber: resume and suspend (two switches), 1 fiber", 2000000, switch_one },
	{ "fiber: resume and suspend, 1000 fibers in turn", 2000000, switch_many },
	{ "fiber: run an empty function on a pooled fiber", 2000000, run_pooled },
	{ "fiber: the same, with a stack made and freed", 20000, run_unpooled },
	{ "timer: move one of 1000 timers", 2000000, move_timers },
	{ "loop: a turn with one task (one epoll_wait)", 300000, turn_loop },
	{ "queue: push and pop, one thread", 2000000, queue_alone },
	{ "queue: push and pop across two threads", 2000000, queue_across },
	{ "pool: submit to task start, each wakes the worker", 50000, hop_one },
	{ "pool: the same, 64 a wake-up", 1000000, hop_batch },
};

int
main(int argc, char **argv)
{
	const double scale = argc > 1 ? atof(argv[1]) : 1;

	pool = fiber_pool_new(STACK_BYTES, MANY, "micro");
	require(pool != NULL, "out of memory");
	for (size_t i = 0; i < CP_COUNT(benchmarks); i++) {
		const struct benchmark *benchmark = &benchmarks[i];
		const uint64_t operations = (uint64_t)((double)benchmark->operations * scale) + 1;
		uint64_t best_ns = UINT64_MAX;

		for (unsigned round = 0; round < ROUNDS; round++) {
			const uint64_t start_ns = clock_now_ns();

			benchmark->run(operations);
			if (clock_now_ns() - start_ns < best_ns)
				best_ns = clock_now_ns() - start_ns;
		}
		printf("%-55s %9.1f ns\n", benchmark->name, (double)best_ns / (double)operations);
	}
	fiber_pool_free(&pool);
	return 0;
}
