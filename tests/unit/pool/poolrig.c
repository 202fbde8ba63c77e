/* SPDX-License-Identifier: MIT */
/*
 * poolrig - see poolrig.h.
 *
 * Tasks run on the workers, everything that begins with rig_ on the test's thread.
 */
#include "config.h"

#include "poolrig.h"

#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdutil.h"
#include "base/log.h"
#include "threads.h"

#define TIMEOUT_S 60

struct rig_task {
	struct conn conn;
	struct sched *sched;
	struct watch watch;
	struct fiber *fiber;
	bool lingers;
};

struct rig rig;

/* ---- tasks [workers] ------------------------------------------------------- */

static void
note(unsigned *counter)
{
	pthread_mutex_lock(&rig.mutex);
	(*counter)++;
	pthread_cond_broadcast(&rig.changed);
	pthread_mutex_unlock(&rig.mutex);
}

static void
finish(struct rig_task *task, enum conn_end why)
{
	struct sched *sched = task->sched;

	if (task->watch.fn != NULL)
		loop_remove(&sched->loop, &task->watch, task->conn.from.fd);
	if (task->fiber != NULL)
		ck_assert_int_eq(fiber_resume(task->fiber), 0);
	if (task->lingers)
		sched_end_linger(sched);
	conn_set_end(&task->conn, why);
	pthread_mutex_lock(&rig.mutex);
	rig.running--;
	pthread_mutex_unlock(&rig.mutex);
	sched->done(sched, task);
	/* Only now: who waits for it finds it accounted. */
	note(&rig.done);
}

static void
on_client(struct loop *loop, struct watch *watch, uint32_t events)
{
	(void)loop;
	(void)events;
	finish(CP_CONTAINER_OF(watch, struct rig_task, watch), CONN_END_CLIENT);
}

static void
suspend_once(void *arg)
{
	(void)arg;
	fiber_suspend();
}

static enum rig_kind
note_start(const struct conn *conn)
{
	enum rig_kind kind;

	pthread_mutex_lock(&rig.mutex);
	rig.worker_of[conn->from.id] = conn->worker;
	rig.started_on[conn->worker]++;
	rig.running++;
	if (rig.running > rig.most_running)
		rig.most_running = rig.running;
	kind = rig.kinds[conn->from.id];
	pthread_mutex_unlock(&rig.mutex);
	return kind;
}

static void
wait_for_release(const struct rig_task *task)
{
	pthread_mutex_lock(&rig.mutex);
	while (!rig.released[task->conn.from.id])
		pthread_cond_wait(&rig.changed, &rig.mutex);
	pthread_mutex_unlock(&rig.mutex);
}

static void
start_task(struct sched *sched, struct conn *conn)
{
	struct rig_task *task = (struct rig_task *)conn;
	enum rig_kind kind = note_start(conn);

	task->sched = sched;
	if (kind == RIG_LINGER) {
		task->lingers = true;
		sched_begin_linger(sched);
	}
	if (kind == RIG_FIBER)
		ck_assert_int_eq(fiber_run(sched->fibers, suspend_once, NULL, &task->fiber), 1);
	if (kind == RIG_BLOCK) {
		sched_enter(sched, conn->from.id, RIG_LISTENER);
		note(&rig.started);
		wait_for_release(task);
		sched_leave(sched);
	}
	if (kind == RIG_QUICK) {
		note(&rig.started);
		finish(task, CONN_END_SERVICE);
		return;
	}
	task->watch.fn = on_client;
	ck_assert_int_eq(loop_add(&sched->loop, &task->watch, conn->from.fd, EPOLLIN), 0);
	if (kind != RIG_BLOCK)
		note(&rig.started);
}

static void
drain_task(struct sched *sched, struct conn *conn)
{
	(void)sched;
	(void)conn;
	note(&rig.drained);
}

static void
cancel_task(struct sched *sched, struct conn *conn, enum conn_end why)
{
	(void)sched;
	note(&rig.cancelled);
	finish((struct rig_task *)conn, why);
}

const struct pool_tasks rig_tasks = {
	.task_size = sizeof(struct rig_task), .start = start_task, .drain = drain_task, .cancel = cancel_task};

/* ---- the owner's hooks [any thread] ------------------------------------------ */

static void
on_room(void *arg)
{
	(void)arg;
	note(&rig.rooms);
}

static void
on_sleep(void *arg)
{
	(void)arg;
	note(&rig.sleeps);
}

static void
on_end(void *arg)
{
	(void)arg;
	note(&rig.ended);
}

/* ---- waiting --------------------------------------------------------------------- */

unsigned
rig_read(const unsigned *counter)
{
	unsigned value;

	pthread_mutex_lock(&rig.mutex);
	value = *counter;
	pthread_mutex_unlock(&rig.mutex);
	return value;
}

void
rig_await(const unsigned *counter, unsigned wanted)
{
	pthread_mutex_lock(&rig.mutex);
	while (*counter < wanted)
		pthread_cond_wait(&rig.changed, &rig.mutex);
	pthread_mutex_unlock(&rig.mutex);
}

static bool
all_sleep(void)
{
	for (unsigned i = 0; i < rig.pool->slots; i++) {
		if (!loop_is_sleeping(&rig.pool->workers[i]->sched.loop))
			return false;
	}
	return true;
}

void
rig_await_sleep(void)
{
	ck_assert_uint_eq(queue_length(&rig.pool->queue), 0);
	while (!all_sleep())
		sched_yield();
}

void
rig_reap_until(unsigned left)
{
	for (;;) {
		unsigned seen = rig_read(&rig.ended);

		(void)pool_reap(rig.pool);
		ck_assert_uint_ge(rig.pool->slots, left);
		if (rig.pool->slots == left)
			return;
		rig_await(&rig.ended, seen + 1);
	}
}

/* ---- connections --------------------------------------------------------------------- */

unsigned
rig_submit(enum rig_kind kind, uint64_t accepted_ns)
{
	struct accepted accepted = {.route = route_ref(rig.route), .id = ++rig.last_id};
	int pair[2];

	ck_assert_uint_lt(rig.last_id, RIG_MAX);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	accepted.fd = pair[0];
	accepted.peer.family = AF_UNIX;
	accepted.accepted_ns = accepted_ns != 0 ? accepted_ns : clock_now_ns();
	rig.clients[rig.last_id] = pair[1];
	pthread_mutex_lock(&rig.mutex);
	rig.kinds[rig.last_id] = kind;
	pthread_mutex_unlock(&rig.mutex);
	atomic_fetch_add(&rig.listener->counters.accepted, 1);
	pool_submit(rig.pool, &accepted);
	ck_assert_int_eq(accepted.fd, -1);
	ck_assert_ptr_null(accepted.route);
	return rig.last_id;
}

unsigned
rig_serve(enum rig_kind kind)
{
	unsigned started = rig_read(&rig.started);
	/* However slow this machine is, no queue_timeout is over. */
	unsigned id = rig_submit(kind, RIG_FRESH);

	(void)pool_wake(rig.pool);
	rig_await(&rig.started, started + 1);
	return id;
}

void
rig_close_client(unsigned id)
{
	fd_close(&rig.clients[id]);
}

void
rig_release(unsigned id)
{
	pthread_mutex_lock(&rig.mutex);
	rig.released[id] = true;
	pthread_cond_broadcast(&rig.changed);
	pthread_mutex_unlock(&rig.mutex);
}

uint64_t
rig_rejected(enum conn_end why)
{
	return atomic_load(&rig.listener->counters.rejected[why]);
}

/* ---- life -------------------------------------------------------------------------------- */

void
rig_setup(void)
{
	memset(&rig, 0, sizeof(rig));
	/* What they refuse is counted here; nobody needs to read it. */
	log_configure(LOG_TARGET_STDERR, LOG_LEVEL_ERROR);
	rig.threads_before = threads_begin();
	rig.descriptors_before = fd_count_open();
	pthread_mutex_init(&rig.mutex, NULL);
	pthread_cond_init(&rig.changed, NULL);
	memset(rig.clients, -1, sizeof(rig.clients));
	memcpy(rig.pool_name, "test", sizeof("test"));
	ck_assert_int_eq(loop_init(&rig.loop, NULL, NULL), 0);
	atomic_init(&rig.conf.refs, 1);
	rig.settings = (struct conf_pool){.name = rig.pool_name,
		.workers = 1,
		.connections_per_worker = 100,
		.queue_size = 64,
		.queue_full = CONF_QUEUE_WAIT,
		.stack_size_bytes = 65536,
		.stall_warning_ms = 1000};
	rig.listener = listener_new("rig", RIG_LISTENER, &rig.totals);
	rig.route = route_new(&rig.conf, &rig.rule, rig.listener, NULL, NULL);
	ck_assert(rig.listener != NULL && rig.route != NULL);
	rig.owner = (struct pool_owner){.has_room = on_room, .worker_sleeps = on_sleep, .worker_ended = on_end};
}

void
rig_new_pool(void)
{
	ck_assert_int_eq(pool_new(&rig.settings, &rig_tasks, &rig.owner, &rig.loop, &rig.pool), 0);
}

void
rig_reload(void)
{
	ck_assert_int_eq(pool_prepare(rig.pool, &rig.settings), 0);
	pool_commit(rig.pool, &rig.settings);
}

void
rig_end_pool(void)
{
	if (rig.pool == NULL)
		return;
	pool_close(rig.pool, false);
	for (unsigned id = 1; id <= rig.last_id; id++) {
		rig_close_client(id);
		rig_release(id);
	}
	rig_reap_until(0);
	ck_assert(pool_reap(rig.pool));
	pool_free(&rig.pool);
	ck_assert_ptr_null(rig.pool);
}

static void
expect_accounted(void)
{
	struct listener_counters *counters = &rig.listener->counters;

	ck_assert_uint_eq(atomic_load(&counters->queued), 0);
	ck_assert_uint_eq(atomic_load(&counters->active), 0);
	ck_assert_uint_eq(
		atomic_load(&counters->accepted), atomic_load(&counters->closed) + listener_rejected(rig.listener));
	ck_assert_uint_eq(rig.started, atomic_load(&counters->closed));
	ck_assert_uint_eq(rig.running, 0);
}

void
rig_teardown(void)
{
	rig_end_pool();
	expect_accounted();
	route_unref(&rig.route);
	listener_unref(&rig.listener);
	ck_assert_uint_eq(atomic_load(&rig.conf.refs), 1);
	loop_fini(&rig.loop);
	for (unsigned id = 1; id <= rig.last_id; id++)
		rig_close_client(id);
	threads_await(rig.threads_before);
	ck_assert_int_eq(fd_count_open(), rig.descriptors_before);
	pthread_cond_destroy(&rig.changed);
	pthread_mutex_destroy(&rig.mutex);
}

TCase *
rig_case(Suite *suite, const char *name)
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, rig_setup, rig_teardown);
	tcase_set_timeout(tcase, TIMEOUT_S);
	suite_add_tcase(suite, tcase);
	return tcase;
}

int
rig_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
