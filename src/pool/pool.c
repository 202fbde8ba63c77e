/* SPDX-License-Identifier: MIT */
/*
 * pool.c - the set of workers: how many there are, whom to wake, when they are all gone.
 *
 * Main thread, but for pool_wake(), which workers call too.
 */
#include "config.h"

#include "pool/pool.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "engine/loop.h"
#include "pool/worker.h"

#define EXPIRE_BATCH 32u

/* ---- whom to wake ------------------------------------------------------------------ */

static struct worker *
find_sleeper_locked(struct pool *pool)
{
	struct worker *best = NULL;
	unsigned fewest = UINT32_MAX;

	lock_assert_held(&pool->lock);
	for (unsigned i = 0; i < pool->slots; i++) {
		struct worker *worker = pool->workers[i];
		unsigned active = atomic_load_explicit(&worker->active, memory_order_relaxed);

		if (active < fewest && loop_is_sleeping(&worker->sched.loop) && worker_has_room(worker)) {
			best = worker;
			fewest = active;
		}
	}
	return best;
}

bool
pool_wake(struct pool *pool)
{
	unsigned wanted = queue_length(&pool->queue);
	bool woke = false;

	if (wanted == 0)
		return false;
	/* The lock keeps the workers from being freed meanwhile; writing an eventfd does not block. */
	lock_acquire(&pool->lock);
	for (struct worker *sleeper; wanted > 0 && (sleeper = find_sleeper_locked(pool)) != NULL; wanted--)
		woke |= loop_wake(&sleeper->sched.loop);
	lock_release(&pool->lock);
	return woke;
}

bool
pool_has_sleeper(struct pool *pool)
{
	/* Only this thread changes the list. */
	for (unsigned i = 0; i < pool->slots; i++) {
		if (loop_is_sleeping(&pool->workers[i]->sched.loop))
			return true;
	}
	return false;
}

bool
pool_is_shared(const struct pool *pool)
{
	return atomic_load_explicit(&pool->connections_per_worker, memory_order_relaxed) > 1;
}

/* ---- submitting ----------------------------------------------------------------------- */

unsigned
pool_room(const struct pool *pool)
{
	return queue_room(&pool->queue);
}

bool
pool_await_room(struct pool *pool)
{
	return queue_await_room(&pool->queue);
}

/* Any thread. */
static void
on_queue_room(void *arg)
{
	const struct pool *pool = arg;

	pool->owner->has_room(pool->owner->arg);
}

/* The connection's first hop: from the acceptor into the queue [main]. */
void
pool_submit(struct pool *pool, struct accepted *accepted)
{
	uint64_t timeout_ms = atomic_load_explicit(&pool->queue_timeout_ms, memory_order_relaxed);
	int rc;

	CP_CHECK_MAGIC(pool, POOL_MAGIC);
	/* Counted before a worker can take it, so that the sum is never short. */
	accepted_enter_queue(accepted);
	rc = queue_push(&pool->queue, accepted);
	if (rc < 0) {
		accepted_leave_queue(accepted);
		accepted_reject(accepted, rc == -ESHUTDOWN ? CONN_END_QUEUE_DRAIN : CONN_END_QUEUE_FULL);
		return;
	}
	if (timeout_ms > 0 && !timer_is_set(&pool->expiry))
		timer_set(&pool->loop->wheel, &pool->expiry, loop_now_ms(pool->loop) + timeout_ms + 1);
}

static void
reject_queued(struct pool *pool, unsigned fair, uint64_t old_ns, enum conn_end why)
{
	struct accepted batch[EXPIRE_BATCH];
	unsigned count;

	do {
		count = queue_pop(&pool->queue, batch, EXPIRE_BATCH, fair, old_ns);
		for (unsigned i = 0; i < count; i++) {
			accepted_leave_queue(&batch[i]);
			accepted_reject(&batch[i], why);
		}
	} while (count == EXPIRE_BATCH);
}

/* For the oldest in the queue, under the time-out that is now in force. */
static void
arm_expiry(struct pool *pool)
{
	uint64_t timeout_ns = atomic_load_explicit(&pool->queue_timeout_ms, memory_order_relaxed) * CLOCK_NS_PER_MS;
	uint64_t oldest_ns = queue_oldest_ns(&pool->queue);

	if (timeout_ns == 0 || oldest_ns == UINT64_MAX)
		timer_clear(&pool->loop->wheel, &pool->expiry);
	else
		timer_set(&pool->loop->wheel, &pool->expiry, (oldest_ns + timeout_ns) / CLOCK_NS_PER_MS + 1);
}

/* When no worker comes to take them out, those that are too old are told so all the same, when their time is up. */
static void
on_expiry(struct timer *timer)
{
	struct pool *pool = CP_CONTAINER_OF(timer, struct pool, expiry);
	uint64_t timeout_ns = atomic_load_explicit(&pool->queue_timeout_ms, memory_order_relaxed) * CLOCK_NS_PER_MS;

	reject_queued(pool, 0, pool->loop->now_ns - timeout_ns, CONN_END_QUEUE_TIMEOUT);
	arm_expiry(pool);
}

/* ---- the number of workers ---------------------------------------------------------------- */

static unsigned
count_running(const struct pool *pool)
{
	unsigned running = 0;

	for (unsigned i = 0; i < pool->slots; i++)
		running += atomic_load(&pool->workers[i]->state) == WORKER_RUNNING;
	return running;
}

static int
add_worker(struct pool *pool, uint64_t stack_bytes)
{
	struct worker **workers = mem_zalloc_array(pool->slots + 1, sizeof(workers[0]));
	struct worker **old = pool->workers;
	struct worker *worker;
	int rc;

	if (workers == NULL)
		return -ENOMEM;
	rc = worker_start(pool, pool->next_number, stack_bytes, &worker);
	if (rc < 0) {
		mem_free(workers);
		return rc;
	}
	pool->next_number++;
	for (unsigned i = 0; i < pool->slots; i++)
		workers[i] = old[i];
	workers[pool->slots] = worker;
	lock_acquire(&pool->lock);
	pool->workers = workers;
	pool->slots++;
	lock_release(&pool->lock);
	mem_free(old);
	return 0;
}

/* Of those that run, the newest go first: the numbers of those that stay are the low ones. */
static void
retire_beyond(struct pool *pool, unsigned keep)
{
	unsigned running = count_running(pool);

	for (unsigned i = pool->slots; i-- > 0 && running > keep;) {
		if (atomic_load(&pool->workers[i]->state) != WORKER_RUNNING)
			continue;
		worker_set_state(pool->workers[i], WORKER_RETIRING);
		running--;
	}
	atomic_store(&pool->worker_count, running);
	/* What they would have taken is for the others. */
	(void)pool_wake(pool);
}

static void
retire_oldest(struct pool *pool, unsigned count)
{
	for (unsigned i = 0; i < pool->slots && count > 0; i++) {
		if (atomic_load(&pool->workers[i]->state) != WORKER_RUNNING)
			continue;
		worker_set_state(pool->workers[i], WORKER_RETIRING);
		count--;
	}
}

bool
pool_reap(struct pool *pool)
{
	for (unsigned i = 0; i < pool->slots;) {
		struct worker *worker = pool->workers[i];

		if (!atomic_load(&worker->ended)) {
			i++;
			continue;
		}
		lock_acquire(&pool->lock);
		pool->slots--;
		for (unsigned k = i; k < pool->slots; k++)
			pool->workers[k] = pool->workers[k + 1];
		lock_release(&pool->lock);
		worker_join(&worker);
	}
	return pool->slots == 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void
take_settings(struct pool *pool, const struct conf_pool *conf)
{
	atomic_store(&pool->connections_per_worker, conf->connections_per_worker);
	atomic_store(&pool->queue_timeout_ms, conf->queue_timeout_ms);
	queue_set_rejects(&pool->queue, conf->queue_full == CONF_QUEUE_REJECT);
	pool->queue_limit = conf->queue_size;
	pool->stack_bytes = conf->stack_size_bytes;
	pool->stall_warning_ms = conf->stall_warning_ms;
}

int
pool_new(const struct conf_pool *conf, const struct pool_tasks *tasks, const struct pool_owner *owner,
	struct loop *loop, struct pool **ret_pool)
{
	struct pool *pool = mem_zalloc(sizeof(*pool));
	int rc = -ENOMEM;

	if (pool == NULL)
		return rc;
	pool->magic = POOL_MAGIC;
	pool->tasks = tasks;
	pool->owner = owner;
	pool->loop = loop;
	pool->expiry.fn = on_expiry;
	lock_init(&pool->lock, LOCK_POOL);
	list_init(&pool->link);
	pool->name = mem_strdup(conf->name);
	if (pool->name != NULL)
		rc = queue_init(&pool->queue, (unsigned)conf->queue_size);
	if (rc == 0) {
		queue_on_room(&pool->queue, on_queue_room, pool);
		take_settings(pool, conf);
		rc = pool_prepare(pool, conf);
	}
	if (rc == 0) {
		pool_commit(pool, conf);
		*ret_pool = pool;
		return 0;
	}
	pool_free(&pool);
	return rc;
}

/* A pool that never came to be has workers that have nothing to finish: they end at once. */
static void
end_workers(struct pool *pool)
{
	retire_beyond(pool, 0);
	while (pool->slots > 0)
		worker_join(&pool->workers[--pool->slots]);
}

void
pool_free(struct pool **holder)
{
	struct pool *pool = *holder;

	*holder = NULL;
	if (pool == NULL)
		return;
	CP_CHECK_MAGIC(pool, POOL_MAGIC);
	CP_ASSERT(atomic_load(&pool->active) == 0);
	end_workers(pool);
	timer_clear(&pool->loop->wheel, &pool->expiry);
	list_remove(&pool->link);
	queue_fini(&pool->queue);
	lock_fini(&pool->lock);
	pool->magic = 0;
	mem_free(pool->workers);
	mem_free(pool->name);
	mem_free(pool);
}

int
pool_prepare(struct pool *pool, const struct conf_pool *conf)
{
	bool replaces_all = conf->stack_size_bytes != pool->stack_bytes;
	unsigned running = replaces_all ? 0 : count_running(pool);
	int rc = 0;

	CP_CHECK_MAGIC(pool, POOL_MAGIC);
	/* The ring grows here, where it may fail; the limit that holds is set by commit. */
	if (conf->queue_size > pool->queue_limit)
		rc = queue_set_limit(&pool->queue, (unsigned)conf->queue_size);
	for (; rc == 0 && running < conf->workers; running++)
		rc = add_worker(pool, conf->stack_size_bytes);
	return rc;
}

void
pool_revert(struct pool *pool)
{
	CP_CHECK_MAGIC(pool, POOL_MAGIC);
	CP_ASSERT(queue_set_limit(&pool->queue, (unsigned)pool->queue_limit) == 0);
	retire_beyond(pool, atomic_load(&pool->worker_count));
}

void
pool_commit(struct pool *pool, const struct conf_pool *conf)
{
	CP_CHECK_MAGIC(pool, POOL_MAGIC);
	if (conf->stack_size_bytes != pool->stack_bytes)
		retire_oldest(pool, atomic_load(&pool->worker_count));
	take_settings(pool, conf);
	/* Those that wait already are judged by the new time-out too. */
	arm_expiry(pool);
	/* Not above the size of the ring, which prepare has seen to: it can't fail. */
	CP_ASSERT(queue_set_limit(&pool->queue, (unsigned)conf->queue_size) == 0);
	retire_beyond(pool, (unsigned)conf->workers);
}

void
pool_close(struct pool *pool, bool draining)
{
	CP_CHECK_MAGIC(pool, POOL_MAGIC);
	queue_close(&pool->queue);
	for (unsigned i = 0; i < pool->slots; i++) {
		if (draining)
			worker_drain(pool->workers[i]);
		worker_set_state(pool->workers[i], WORKER_CLOSING);
	}
}

void
pool_cancel(struct pool *pool)
{
	CP_CHECK_MAGIC(pool, POOL_MAGIC);
	reject_queued(pool, UINT32_MAX, 0, CONN_END_QUEUE_DRAIN);
	for (unsigned i = 0; i < pool->slots; i++)
		worker_cancel(pool->workers[i]);
}

/* ---- watching ------------------------------------------------------------------------------------ */

static uint64_t
held_ns(const struct worker *worker, uint64_t now_ns)
{
	uint64_t since_ns = atomic_load_explicit(&worker->sched.busy_since_ns, memory_order_relaxed);

	return since_ns != 0 && now_ns > since_ns ? now_ns - since_ns : 0;
}

void
pool_report_stalls(
	struct pool *pool, uint64_t now_ns, void (*report)(struct pool *, const struct pool_stall *, void *), void *arg)
{
	/* A classic pool's handlers may block as they like. */
	if (pool->stall_warning_ms == 0 || !pool_is_shared(pool))
		return;
	for (unsigned i = 0; i < pool->slots; i++) {
		struct worker *worker = pool->workers[i];
		uint64_t held = held_ns(worker, now_ns);
		uint64_t since_ns = now_ns - held;
		struct pool_stall stall = {.worker = worker->number, .held_ms = held / CLOCK_NS_PER_MS};

		if (stall.held_ms < pool->stall_warning_ms || worker->stall_logged_ns == since_ns)
			continue;
		worker->stall_logged_ns = since_ns;
		stall.connection = atomic_load_explicit(&worker->sched.busy_connection, memory_order_relaxed);
		stall.listener = atomic_load_explicit(&worker->sched.busy_listener, memory_order_relaxed);
		report(pool, &stall, arg);
	}
}

bool
pool_is_turning(struct pool *pool)
{
	bool all = true;

	/* A classic pool's handlers may block as they like; a thread that has ended answers nobody. */
	if (!pool_is_shared(pool))
		return true;
	for (unsigned i = 0; i < pool->slots; i++)
		all &= atomic_load(&pool->workers[i]->ended) || worker_is_turning(pool->workers[i]);
	return all;
}
