/* SPDX-License-Identifier: MIT */
/*
 * server.c - one server's life and its state machine.
 *
 * Workers report how connects went, the main thread what checks and agents found; each move is made and logged here,
 * under the group's lock (the log never blocks), and lets those go on who wait for it. It never opens or reads a
 * socket.
 */
#include "config.h"

#include "upstream/server.h"

#include <errno.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/errmsg.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/loop.h"
#include "upstream/balance.h"
#include "upstream/group.h"
#include "upstream/upstream.h"

#define PERCENT 100u
#define FAILURE_LOG_INTERVAL_NS CLOCK_NS_PER_S
#define REASON_MAX 128
#define MORE_MAX 64

static _Atomic uint64_t last_number;

/* ---- life --------------------------------------------------------------------------- */

static uint64_t
next_number(void)
{
	return atomic_fetch_add_explicit(&last_number, 1, memory_order_relaxed) + 1;
}

/* What all that is known adds up to. */
static enum server_state
judge(const struct server *server)
{
	if (server->settings.maintenance || server->agent_mode == SERVER_MODE_MAINTENANCE)
		return SERVER_MAINTENANCE;
	if (!server->is_healthy || server->is_agent_down)
		return SERVER_DOWN;
	if (server->agent_mode == SERVER_MODE_DRAIN || server->settings.weight == 0 || server->agent_percent == 0)
		return SERVER_DRAINING;
	return SERVER_UP;
}

struct server *
server_new(struct upstream *upstream, const char *name, const char *origin, const struct server_address *address,
	const struct server_settings *settings)
{
	struct server *server = mem_zalloc(sizeof(*server));

	if (server == NULL)
		return NULL;
	server->name = mem_strdup(name);
	server->origin = mem_strdup(origin);
	if (server->name == NULL || server->origin == NULL) {
		mem_free(server->name);
		mem_free(server->origin);
		mem_free(server);
		return NULL;
	}
	server->magic = SERVER_MAGIC;
	atomic_init(&server->refs, 1);
	server->upstream = upstream;
	server->hash = balance_hash_name(name);
	server->address = *address;
	server->number = next_number();
	server->settings = *settings;
	server->is_healthy = true;
	server->agent_percent = PERCENT;
	server->state = judge(server);
	atomic_init(&server->send_proxy, settings->send_proxy);
	list_init(&server->ready_list);
	return server;
}

void
server_put(struct server *server)
{
	struct list drop;

	CP_CHECK_MAGIC(server, SERVER_MAGIC);
	/* Release, and acquire by the last: it sees what the others did before they let go. */
	if (atomic_fetch_sub_explicit(&server->refs, 1, memory_order_acq_rel) > 1)
		return;
	CP_ASSERT(server->active == 0 && server->starting == 0);
	list_init(&drop);
	list_splice_back(&drop, &server->ready_list);
	server_close_ready(&drop);
	server->magic = 0;
	mem_free(server->name);
	mem_free(server->origin);
	mem_free(server);
}

struct server *
server_ref(struct server *server)
{
	struct upstream *upstream;

	CP_CHECK_MAGIC(server, SERVER_MAGIC);
	atomic_fetch_add_explicit(&server->refs, 1, memory_order_relaxed);
	upstream = upstream_ref(server->upstream);
	CP_ASSERT(upstream == server->upstream);
	return server;
}

void
server_unref(struct server **holder)
{
	struct server *server = *holder;
	struct upstream *upstream;

	*holder = NULL;
	if (server == NULL)
		return;
	CP_CHECK_MAGIC(server, SERVER_MAGIC);
	upstream = server->upstream;
	server_put(server);
	upstream_unref(&upstream);
}

/* ---- looking ------------------------------------------------------------------------- */

enum server_state
server_state(struct server *server)
{
	enum server_state state;

	CP_CHECK_MAGIC(server, SERVER_MAGIC);
	lock_acquire(&server->upstream->lock);
	state = server->state;
	lock_release(&server->upstream->lock);
	return state;
}

bool
server_is_in_doubt(struct server *server)
{
	bool is_in_doubt;

	CP_CHECK_MAGIC(server, SERVER_MAGIC);
	lock_acquire(&server->upstream->lock);
	is_in_doubt = !server->is_healthy || server->checks_failed > 0;
	lock_release(&server->upstream->lock);
	return is_in_doubt;
}

const struct server_address *
server_address(const struct server *server)
{
	return &server->address;
}

const char *
server_name(const struct server *server)
{
	return server->name;
}

const char *
server_group_name(const struct server *server)
{
	return server->upstream->name;
}

bool
server_is_unix(const struct server *server)
{
	return server->address.sa.sa_family == AF_UNIX;
}

int
server_send_proxy(const struct server *server)
{
	return atomic_load_explicit(&server->send_proxy, memory_order_relaxed);
}

uint64_t
server_weight_locked(const struct server *server)
{
	uint64_t weight = server->settings.weight * WEIGHT_UNIT * server->agent_percent / PERCENT;

	return weight > 0 ? weight : 1;
}

uint64_t
server_limit_locked(const struct server *server)
{
	return server->has_agent_limit ? server->agent_limit : server->settings.max_connections;
}

bool
server_has_room_locked(const struct server *server)
{
	uint64_t limit = server_limit_locked(server);

	return limit == 0 || server->active + server->starting < limit;
}

/* ---- moving --------------------------------------------------------------------------- */

static void
log_move_locked(const struct server *server, const char *reason)
{
	static const struct {
		const char *words;
		const char *state;
		enum log_level level;
		enum log_event event;
	} moves[] = {
		[SERVER_UP] = {"is up", "up", LOG_LEVEL_NOTICE, LOG_EVENT_SERVER_UP},
		[SERVER_DOWN] = {"is down", "down", LOG_LEVEL_WARNING, LOG_EVENT_SERVER_DOWN},
		[SERVER_DRAINING] = {"is draining", "draining", LOG_LEVEL_NOTICE, LOG_EVENT_SERVER_DRAINING},
		[SERVER_MAINTENANCE] = {"is in maintenance", "maintenance", LOG_LEVEL_NOTICE,
			LOG_EVENT_SERVER_MAINTENANCE},
	};
	struct log_record record;

	log_record_init(&record, moves[server->state].level, moves[server->state].event,
		"upstream '%s': server %s %s: %s", server->upstream->name, server->name, moves[server->state].words,
		reason);
	log_record_add(&record, "UPSTREAM", "%s", server->upstream->name);
	log_record_add(&record, "SERVER", "%s", server->name);
	log_record_add(&record, "STATE", "%s", moves[server->state].state);
	log_record_add(&record, "REASON", "%s", reason);
	log_record_add(&record, "ACTIVE", "%llu", (unsigned long long)server->active);
	log_record_commit(&record);
}

/* The one place where a state changes. */
static void
move_locked(struct server *server, const char *reason, uint64_t now_ns, struct list *drop)
{
	struct upstream *upstream = server->upstream;
	enum server_state old = server->state;

	server->state = judge(server);
	if (server->state == old)
		return;
	log_move_locked(server, reason);
	if (server->removed)
		return;
	if (server->state == SERVER_UP) {
		/* Whoever has tried it before may try it again. */
		server->number = next_number();
		server->turn = 0;
		server->up_since_ns = now_ns;
	} else {
		server_trim_ready_locked(server, 0, drop);
	}
	upstream_note_up_locked(upstream);
	if (server->state == SERVER_UP)
		upstream_dispatch_locked(upstream, now_ns);
	else if (old == SERVER_UP)
		upstream_sweep_locked(upstream, now_ns);
}

/* A group that is not watched over any more (removed) has nobody to try it again; it stays as it is. */
static void
await_retry_locked(struct server *server, uint64_t now_ns)
{
	server->retry_ns = now_ns + server->upstream->settings.retry_after_ms * CLOCK_NS_PER_MS;
	if (server->upstream->retry_loop != NULL)
		loop_post(server->upstream->retry_loop, server->upstream->retry_task);
}

static void
set_healthy_locked(struct server *server, bool is_healthy, uint64_t now_ns)
{
	server->is_healthy = is_healthy;
	server->checks_passed = 0;
	server->checks_failed = 0;
	server->retry_ns = 0;
	if (is_healthy)
		atomic_store_explicit(&server->failures_in_row, 0, memory_order_relaxed);
	else if (!server->settings.is_checked)
		await_retry_locked(server, now_ns);
	atomic_store_explicit(&server->is_on_probation, false, memory_order_relaxed);
}

static void
note_check_locked(struct server *server, bool is_ok, uint64_t now_ns)
{
	const struct upstream_settings *settings = &server->upstream->settings;

	if (is_ok) {
		server->checks_failed = 0;
		if (!server->is_healthy && ++server->checks_passed >= settings->check_rise)
			set_healthy_locked(server, true, now_ns);
	} else {
		server->checks_passed = 0;
		if (server->is_healthy && ++server->checks_failed >= settings->check_fall)
			set_healthy_locked(server, false, now_ns);
	}
}

static void
note_connect_locked(struct server *server, bool is_ok, uint64_t now_ns)
{
	uint64_t max = server->upstream->settings.max_failures;
	uint64_t failures = is_ok ? 0 : atomic_load_explicit(&server->failures_in_row, memory_order_relaxed) + 1;

	atomic_store_explicit(&server->failures_in_row, failures, memory_order_relaxed);
	if (is_ok)
		atomic_store_explicit(&server->is_on_probation, false, memory_order_relaxed);
	else if (server->is_healthy && max > 0 &&
		 (failures >= max || atomic_load_explicit(&server->is_on_probation, memory_order_relaxed)))
		set_healthy_locked(server, false, now_ns);
}

/* As if its agent had never said anything: there is none any more that could take it back. */
static void
forget_advice_locked(struct server *server)
{
	server->is_agent_down = false;
	server->agent_mode = SERVER_MODE_READY;
	server->agent_percent = PERCENT;
	server->has_agent_limit = false;
}

static void
note_advice_locked(struct server *server, const struct server_advice *advice)
{
	if (advice->has_health)
		server->is_agent_down = !advice->is_up;
	if (advice->has_mode)
		server->agent_mode = advice->mode;
	if (advice->has_weight)
		server->agent_percent = advice->weight_percent;
	if (advice->has_max_connections) {
		server->has_agent_limit = true;
		server->agent_limit = advice->max_connections;
	}
}

void
server_report_locked(struct server *server, enum server_event event, const struct server_advice *advice,
	const char *reason, uint64_t now_ns, struct list *drop)
{
	lock_assert_held(&server->upstream->lock);
	switch (event) {
	case SERVER_CHECK_OK:
	case SERVER_CHECK_FAILED:
		note_check_locked(server, event == SERVER_CHECK_OK, now_ns);
		break;
	case SERVER_CONNECT_OK:
	case SERVER_CONNECT_FAILED:
		note_connect_locked(server, event == SERVER_CONNECT_OK, now_ns);
		break;
	case SERVER_AGENT:
		note_advice_locked(server, advice);
		break;
	case SERVER_RETRY:
		if (server->is_healthy)
			break;
		set_healthy_locked(server, true, now_ns);
		atomic_store_explicit(&server->is_on_probation, true, memory_order_relaxed);
		break;
	}
	move_locked(server, reason, now_ns, drop);
	/* A higher limit is room for those who wait, also without a move. */
	if (event == SERVER_AGENT && !server->removed)
		upstream_dispatch_locked(server->upstream, now_ns);
}

/* What the process or the machine lacks is no fault of the server. */
static bool
is_our_own(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS || error == EADDRNOTAVAIL;
}

/* Log once, at a limited rate: a server that refuses must not fill the log. */
static void
log_failure_locked(struct server *server, int error, uint64_t now_ns)
{
	struct log_record record;
	char more[MORE_MAX] = "";

	if (server->failure_logged_ns != 0 && now_ns - server->failure_logged_ns < FAILURE_LOG_INTERVAL_NS) {
		server->failures_unlogged++;
		return;
	}
	if (server->failures_unlogged > 0)
		snprintf(more, sizeof(more), " (%llu more since the last such line)",
			(unsigned long long)server->failures_unlogged);
	log_record_init(&record, LOG_LEVEL_WARNING, LOG_EVENT_CONNECT_FAILED,
		"upstream '%s': cannot connect to server %s: %s%s", server->upstream->name, server->name,
		errmsg_errno(error), more);
	log_record_add(&record, "UPSTREAM", "%s", server->upstream->name);
	log_record_add(&record, "SERVER", "%s", server->name);
	log_record_add(&record, "ERRNO", "%d", error);
	log_record_add(&record, "UNLOGGED", "%llu", (unsigned long long)server->failures_unlogged);
	log_record_commit(&record);
	server->failure_logged_ns = now_ns;
	server->failures_unlogged = 0;
}

void
server_fail_locked(struct server *server, int error, uint64_t now_ns, struct list *drop)
{
	char reason[REASON_MAX];

	lock_assert_held(&server->upstream->lock);
	atomic_fetch_add_explicit(&server->connects_failed, 1, memory_order_relaxed);
	log_failure_locked(server, error, now_ns);
	snprintf(reason, sizeof(reason), "connect: %s", errmsg_errno(error));
	if (!is_our_own(error))
		server_report_locked(server, SERVER_CONNECT_FAILED, NULL, reason, now_ns, drop);
}

void
server_report(struct server *server, enum server_event event, const struct server_advice *advice, const char *reason)
{
	struct list drop;

	CP_CHECK_MAGIC(server, SERVER_MAGIC);
	CP_ASSERT((event == SERVER_AGENT) == (advice != NULL));
	list_init(&drop);
	lock_acquire(&server->upstream->lock);
	server_report_locked(server, event, advice, reason, clock_now_ns(), &drop);
	lock_release(&server->upstream->lock);
	server_close_ready(&drop);
}

void
server_configure_locked(
	struct server *server, const struct server_settings *settings, uint64_t now_ns, struct list *drop)
{
	uint64_t limit;
	uint64_t keep = settings->ready_connections;

	lock_assert_held(&server->upstream->lock);
	server->settings = *settings;
	atomic_store_explicit(&server->send_proxy, settings->send_proxy, memory_order_relaxed);
	if (!settings->has_agent)
		forget_advice_locked(server);
	limit = server_limit_locked(server);
	if (limit > 0 && keep + server->active > limit)
		keep = limit > server->active ? limit - server->active : 0;
	server_trim_ready_locked(server, keep, drop);
	/* Who brings it up again may have changed: a check, or a try. */
	if (!server->is_healthy && !settings->is_checked && server->retry_ns == 0)
		await_retry_locked(server, now_ns);
	else if (settings->is_checked)
		server->retry_ns = 0;
	move_locked(server, "the config says so", now_ns, drop);
}
