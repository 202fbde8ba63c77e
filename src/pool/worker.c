/* SPDX-License-Identifier: MIT */
/*
 * worker.c - the worker's thread: take from the queue, run a turn of the loop, and again.
 *
 * It must never wait but in its loop. What it does to a connection is the task's business (pool->tasks).
 */
#include "config.h"

#include "pool/worker.h"

#include <errno.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/errmsg.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "pool/pool.h"

#define TAKE_MAX 32u
#define IDLE_FIBERS_KEPT 64u
/* Of the thread itself; handlers run on fibers. Sanitizers want more than plain code does. */
#define THREAD_STACK_BYTES (512u * 1024)
/* A connection that has waited this long is looked at before it is served: its client may be gone. */
#define RESET_CHECK_NS (10 * CLOCK_NS_PER_MS)
/* With no connection for this long, a worker gives the memory of its idle fibers back. */
#define TRIM_AFTER_MS 500u
/* Clients that only have to close hold no room, but not without bound. */
#define LINGERING_MAX 1024u

/* ---- taking from the queue ------------------------------------------------------- */

/* Exact on its own thread. Seen from another one the two counts need not be of one moment. */
static uint64_t
room_of(const struct worker *worker)
{
	uint64_t limit = atomic_load_explicit(&worker->pool->connections_per_worker, memory_order_relaxed);
	unsigned active = atomic_load_explicit(&worker->active, memory_order_relaxed);
	unsigned lingering = atomic_load_explicit(&worker->sched.lingering, memory_order_relaxed);
	unsigned held;

	if (lingering > LINGERING_MAX)
		lingering = LINGERING_MAX;
	held = active > lingering ? active - lingering : 0;
	return held < limit ? limit - held : 0;
}

bool
worker_has_room(const struct worker *worker)
{
	return atomic_load(&worker->state) != WORKER_RETIRING && room_of(worker) > 0;
}

/* See pool.h, SPREAD. */
static unsigned
fair_share_of(const struct worker *worker, unsigned queued)
{
	const struct pool *pool = worker->pool;
	uint64_t all = atomic_load_explicit(&pool->active, memory_order_relaxed) + queued;
	unsigned workers = atomic_load_explicit(&pool->worker_count, memory_order_relaxed);
	unsigned active = atomic_load_explicit(&worker->active, memory_order_relaxed);
	uint64_t share = workers > 0 ? (all + workers - 1) / workers : all;

	return share > active ? (unsigned)(share - active) : 0;
}

/* CONN_END_NONE: it is still worth a worker. */
static enum conn_end
judge_queued(const struct worker *worker, const struct accepted *accepted, uint64_t now_ns)
{
	uint64_t timeout_ms = atomic_load_explicit(&worker->pool->queue_timeout_ms, memory_order_relaxed);
	uint64_t waited_ns = now_ns > accepted->accepted_ns ? now_ns - accepted->accepted_ns : 0;

	if (timeout_ms > 0 && waited_ns > timeout_ms * CLOCK_NS_PER_MS)
		return CONN_END_QUEUE_TIMEOUT;
	if (waited_ns > RESET_CHECK_NS && accepted_is_reset(accepted))
		return CONN_END_QUEUE_RESET;
	return CONN_END_NONE;
}

/* The connection's second hop: out of the queue, onto this worker [worker]. */
static void
worker_serve(struct worker *worker, struct accepted *accepted)
{
	struct pool *pool = worker->pool;
	uint64_t now_ns = worker->sched.loop.now_ns;
	enum conn_end why = judge_queued(worker, accepted, now_ns);
	struct conn *conn;

	accepted_leave_queue(accepted);
	if (why != CONN_END_NONE) {
		accepted_reject(accepted, why);
		return;
	}
	conn = slab_alloc(&worker->conns);
	if (conn == NULL) {
		accepted_reject(accepted, CONN_END_REFUSED_MEMORY);
		return;
	}
	conn_open(conn, accepted, (uint16_t)worker->number,
		now_ns > accepted->accepted_ns ? now_ns : accepted->accepted_ns);
	atomic_store_explicit(
		&worker->active, atomic_load_explicit(&worker->active, memory_order_relaxed) + 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&pool->active, 1, memory_order_relaxed);
	pool->tasks->start(&worker->sched, conn);
}

/* Takes its share out of the queue [worker]. */
static void
worker_take(struct worker *worker)
{
	struct pool *pool = worker->pool;
	struct accepted batch[TAKE_MAX];
	unsigned queued = queue_length(&pool->queue);
	uint64_t room = room_of(worker);
	uint64_t now_ns;
	unsigned count;

	worker->declined = false;
	if (queued == 0 || room == 0 || atomic_load(&worker->state) == WORKER_RETIRING)
		return;
	loop_update_now(&worker->sched.loop);
	now_ns = worker->sched.loop.now_ns;
	count = queue_pop(&pool->queue, batch, room < TAKE_MAX ? (unsigned)room : TAKE_MAX,
		fair_share_of(worker, queued), now_ns - POOL_FAIR_WAIT_MS * CLOCK_NS_PER_MS);
	for (unsigned i = 0; i < count; i++)
		worker_serve(worker, &batch[i]);
	if (queue_length(&pool->queue) > 0 && count < TAKE_MAX && room_of(worker) > 0) {
		worker->declined = true;
		(void)pool_wake(pool);
	}
}

/* ---- the tasks' end ---------------------------------------------------------------- */

/* The last hop: accounted, closed, forgotten [worker]. */
static void
worker_on_done(struct sched *sched, void *task)
{
	struct worker *worker = CP_CONTAINER_OF(sched, struct worker, sched);
	struct conn *conn = task;

	unsigned active = atomic_load_explicit(&worker->active, memory_order_relaxed);

	conn_close(conn, sched->loop.now_ns > conn->started_ns ? sched->loop.now_ns : conn->started_ns);
	slab_free(conn);
	atomic_store_explicit(&worker->active, active - 1, memory_order_relaxed);
	CP_ASSERT(atomic_fetch_sub_explicit(&worker->pool->active, 1, memory_order_relaxed) > 0);
	if (active == 1 && !timer_is_set(&worker->trim))
		timer_set(&sched->loop.wheel, &worker->trim, loop_now_ms(&sched->loop) + TRIM_AFTER_MS);
}

/* A burst is over. In the middle of the next one it would only cost page faults. */
static void
on_trim(struct timer *timer)
{
	struct worker *worker = CP_CONTAINER_OF(timer, struct worker, trim);

	if (atomic_load_explicit(&worker->active, memory_order_relaxed) == 0) {
		fiber_pool_trim(worker->sched.fibers, 1);
		relay_pool_trim(&worker->sched.relays);
	}
}

static void
cancel_task(void *task, void *arg)
{
	struct worker *worker = arg;

	worker->pool->tasks->cancel(&worker->sched, task, CONN_END_DRAIN);
}

static void
drain_task(void *task, void *arg)
{
	struct worker *worker = arg;

	worker->pool->tasks->drain(&worker->sched, task);
}

static bool
has_to_drain(const struct worker *worker)
{
	return !worker->has_drained && atomic_load(&worker->sched.draining);
}

/* ---- the thread ----------------------------------------------------------------------- */

static bool
is_over(const struct worker *worker)
{
	int state = atomic_load(&worker->state);

	if (state == WORKER_RUNNING || atomic_load_explicit(&worker->active, memory_order_relaxed) > 0)
		return false;
	return state == WORKER_RETIRING || queue_length(&worker->pool->queue) == 0;
}

/* See loop.h, WAKEUP: what another thread may have published for us. */
static bool
has_work(struct loop *loop, void *arg)
{
	const struct worker *worker = arg;
	const struct pool *pool = worker->pool;

	(void)loop;
	if (is_over(worker) || atomic_load(&worker->cancelled) || has_to_drain(worker) ||
		atomic_load(&worker->asked) != atomic_load(&worker->answered))
		return true;
	if (!worker->declined && queue_length(&pool->queue) > 0 && room_of(worker) > 0 &&
		atomic_load(&worker->state) != WORKER_RETIRING)
		return true;
	if (pool_is_shared(pool))
		pool->owner->worker_sleeps(pool->owner->arg);
	return false;
}

static void
worker_run(struct worker *worker)
{
	struct loop *loop = &worker->sched.loop;

	while (!is_over(worker)) {
		int rc;

		worker_take(worker);
		rc = loop_turn(loop, worker->declined ? POOL_FAIR_WAIT_MS : -1);
		atomic_store_explicit(&worker->answered, atomic_load_explicit(&worker->asked, memory_order_relaxed),
			memory_order_relaxed);
		if (rc < 0)
			log_error(LOG_EVENT_NONE, "pool '%s': worker %u: epoll_wait: %s", worker->pool->name,
				worker->number, errmsg_errno(-rc));
		if (has_to_drain(worker)) {
			worker->has_drained = true;
			slab_foreach(&worker->conns, drain_task, worker);
		}
		if (atomic_load(&worker->cancelled) && atomic_exchange(&worker->cancelled, false))
			slab_foreach(&worker->conns, cancel_task, worker);
	}
}

static void *
worker_main(void *arg)
{
	struct worker *worker = CP_CAST(arg, struct worker, WORKER_MAGIC);
	struct pool *pool = worker->pool;
	char name[16];

	snprintf(name, sizeof(name), "cp-w%02u-%.7s", worker->number, pool->name);
	(void)pthread_setname_np(pthread_self(), name);
	if (fault_thread_init() < 0)
		log_warning(LOG_EVENT_NONE,
			"pool '%s': worker %u: no memory for a signal stack; a stack overflow will not be explained",
			pool->name, worker->number);
	worker_run(worker);
	/* Fibers are this thread's: they are freed where they ran. */
	fiber_pool_free(&worker->sched.fibers);
	fault_thread_fini();
	log_thread_end();
	atomic_store(&worker->ended, true);
	pool->owner->worker_ended(pool->owner->arg);
	return NULL;
}

/* ---- life, main thread --------------------------------------------------------------- */

static void
worker_free(struct worker **holder)
{
	struct worker *worker = *holder;

	*holder = NULL;
	if (worker == NULL)
		return;
	fiber_pool_free(&worker->sched.fibers);
	relay_pool_fini(&worker->sched.relays);
	loop_fini(&worker->sched.loop);
	slab_fini(&worker->conns);
	worker->magic = 0;
	mem_free(worker);
}

static int
start_thread(struct worker *worker)
{
	pthread_attr_t attr;
	int rc = pthread_attr_init(&attr);

	if (rc != 0)
		return -rc;
	CP_PTHREAD(pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES));
	rc = pthread_create(&worker->thread, &attr, worker_main, worker);
	CP_PTHREAD(pthread_attr_destroy(&attr));
	return -rc;
}

int
worker_start(struct pool *pool, unsigned number, uint64_t stack_bytes, struct worker **ret_worker)
{
	struct worker *worker = mem_zalloc(sizeof(*worker));
	int rc;

	if (worker == NULL)
		return -ENOMEM;
	worker->magic = WORKER_MAGIC;
	worker->number = number;
	worker->pool = pool;
	worker->sched.done = worker_on_done;
	worker->trim.fn = on_trim;
	slab_init(&worker->conns, pool->tasks->task_size);
	rc = loop_init(&worker->sched.loop, has_work, worker);
	if (rc < 0)
		goto fail;
	rc = -ENOMEM;
	worker->sched.fibers = fiber_pool_new(stack_bytes, IDLE_FIBERS_KEPT, pool->name);
	if (worker->sched.fibers == NULL)
		goto fail;
	rc = start_thread(worker);
	if (rc < 0)
		goto fail;
	*ret_worker = worker;
	return 0;
fail:
	worker_free(&worker);
	return rc;
}

void
worker_set_state(struct worker *worker, enum worker_state state)
{
	int now = atomic_load(&worker->state);

	CP_CHECK_MAGIC(worker, WORKER_MAGIC);
	if (now == (int)state || now == WORKER_RETIRING)
		return;
	CP_ASSERT(state != WORKER_RUNNING);
	atomic_store(&worker->state, state);
	loop_wake(&worker->sched.loop);
}

bool
worker_is_turning(struct worker *worker)
{
	uint64_t asked = atomic_load(&worker->asked);

	CP_CHECK_MAGIC(worker, WORKER_MAGIC);
	if (atomic_load(&worker->answered) != asked)
		return false;
	atomic_store(&worker->asked, asked + 1);
	loop_wake(&worker->sched.loop);
	return true;
}

void
worker_drain(struct worker *worker)
{
	CP_CHECK_MAGIC(worker, WORKER_MAGIC);
	atomic_store(&worker->sched.draining, true);
	loop_wake(&worker->sched.loop);
}

void
worker_cancel(struct worker *worker)
{
	CP_CHECK_MAGIC(worker, WORKER_MAGIC);
	atomic_store(&worker->cancelled, true);
	loop_wake(&worker->sched.loop);
}

void
worker_join(struct worker **worker)
{
	CP_CHECK_MAGIC(*worker, WORKER_MAGIC);
	CP_PTHREAD(pthread_join((*worker)->thread, NULL));
	worker_free(worker);
}
