/* SPDX-License-Identifier: MIT */
/*
 * upstream.c - one group: who gets a place, who waits, and in which order.
 *
 * Workers call it from fibers; the main thread applies reloads and retries. Everything is decided under the group's
 * lock in one pass; references are dropped and descriptors closed after it. It never blocks and never calls out but to
 * granted(), which only wakes.
 */
#include "config.h"

#include "upstream/upstream.h"

#include <sys/random.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "upstream/balance.h"
#include "upstream/group.h"

/* See HOLDING. */
#define PAUSE_MS 100u
#define PAUSE_DOUBLINGS 3u

/* ---- life --------------------------------------------------------------------------- */

struct upstream *
upstream_new(const char *name)
{
	struct upstream *upstream = mem_zalloc(sizeof(*upstream));

	if (upstream == NULL)
		return NULL;
	upstream->name = mem_strdup(name);
	if (upstream->name == NULL) {
		mem_free(upstream);
		return NULL;
	}
	upstream->magic = UPSTREAM_MAGIC;
	atomic_init(&upstream->refs, 1);
	lock_init(&upstream->lock, LOCK_UPSTREAM);
	list_init(&upstream->waiting);
	/* Without random bytes (a very early boot) random_two draws what it drew last time. */
	if (getrandom(&upstream->random, sizeof(upstream->random), GRND_NONBLOCK) < 0)
		upstream->random = 1;
	return upstream;
}

struct upstream *
upstream_ref(struct upstream *upstream)
{
	CP_CHECK_MAGIC(upstream, UPSTREAM_MAGIC);
	atomic_fetch_add_explicit(&upstream->refs, 1, memory_order_relaxed);
	return upstream;
}

void
upstream_unref(struct upstream **holder)
{
	struct upstream *upstream = *holder;

	*holder = NULL;
	if (upstream == NULL)
		return;
	CP_CHECK_MAGIC(upstream, UPSTREAM_MAGIC);
	/* Release, and acquire by the last: it sees what the others did before they let go. */
	if (atomic_fetch_sub_explicit(&upstream->refs, 1, memory_order_acq_rel) > 1)
		return;
	CP_ASSERT(list_is_empty(&upstream->waiting));
	for (size_t i = 0; i < upstream->server_count; i++)
		server_put(upstream->servers[i]);
	upstream->magic = 0;
	lock_fini(&upstream->lock);
	mem_free(upstream->servers);
	mem_free(upstream->name);
	mem_free(upstream);
}

const char *
upstream_name(const struct upstream *upstream)
{
	return upstream->name;
}

uint64_t
upstream_connect_timeout_ms(const struct upstream *upstream)
{
	return atomic_load_explicit(&upstream->connect_timeout_ms, memory_order_relaxed);
}

/* ---- the queue ------------------------------------------------------------------------ */

/* By ticket: who has waited before, and asks again, comes to where it was. Nearly always that is the end. */
static void
enqueue_locked(struct upstream *upstream, struct upstream_wish *wish)
{
	struct list *after = upstream->waiting.prev;

	if (wish->ticket == 0)
		wish->ticket = ++upstream->last_ticket;
	while (after != &upstream->waiting && CP_CONTAINER_OF(after, struct upstream_wish, link)->ticket > wish->ticket)
		after = after->prev;
	/* Before what follows `after`, which may be the head. */
	list_push_back(after->next, &wish->link);
	upstream->waiting_count++;
	if (wish->queued != NULL)
		wish->queued(wish);
}

static void
dequeue_locked(struct upstream *upstream, struct upstream_wish *wish)
{
	CP_ASSERT(upstream->waiting_count > 0);
	list_remove(&wish->link);
	upstream->waiting_count--;
}

static void
grant_locked(struct upstream_wish *wish, struct server *server)
{
	/* A limit that a reload has lowered is kept from here on: no place is given out above it. */
	CP_ASSERT(server_has_room_locked(server));
	server->active++;
	wish->server = server_ref(server);
}

static bool
has_room_anywhere_locked(const struct upstream *upstream)
{
	for (size_t i = 0; i < upstream->server_count; i++) {
		if (upstream->servers[i]->state == SERVER_UP && server_has_room_locked(upstream->servers[i]))
			return true;
	}
	return false;
}

void
upstream_dispatch_locked(struct upstream *upstream, uint64_t now_ns)
{
	struct list *link;
	struct list *following;

	lock_assert_held(&upstream->lock);
	LIST_FOREACH (&upstream->waiting, link, following) {
		struct upstream_wish *wish = CP_CONTAINER_OF(link, struct upstream_wish, link);
		enum balance_miss miss;
		struct server *server;

		if (!has_room_anywhere_locked(upstream))
			return;
		/* None: it has tried all that have room, and waits on for another. */
		server = balance_choose_locked(upstream, wish, now_ns, &miss);
		if (server == NULL)
			continue;
		dequeue_locked(upstream, wish);
		grant_locked(wish, server);
		wish->granted(wish);
	}
}

void
upstream_sweep_locked(struct upstream *upstream, uint64_t now_ns)
{
	struct list *link;
	struct list *following;

	upstream_dispatch_locked(upstream, now_ns);
	LIST_FOREACH (&upstream->waiting, link, following) {
		struct upstream_wish *wish = CP_CONTAINER_OF(link, struct upstream_wish, link);
		enum balance_miss miss = BALANCE_FULL;

		if (balance_choose_locked(upstream, wish, now_ns, &miss) != NULL || miss == BALANCE_FULL)
			continue;
		/* Held already, and still for the same reason. */
		if (miss == BALANCE_NONE && wish->hold_end_ns != 0)
			continue;
		dequeue_locked(upstream, wish);
		wish->granted(wish);
	}
}

/* ---- asking --------------------------------------------------------------------------- */

/* How long from now_ns to end_ns; rounded up, so that end_ns has passed when it is over. */
static uint64_t
left_ms(uint64_t end_ns, uint64_t now_ns)
{
	return end_ns == UINT64_MAX ? UINT64_MAX : (end_ns - now_ns + CLOCK_NS_PER_MS - 1) / CLOCK_NS_PER_MS;
}

static enum upstream_answer
queue_locked(struct upstream *upstream, struct upstream_wish *wish, uint64_t now_ns)
{
	const struct upstream_settings *settings = &upstream->settings;

	if (wish->queue_end_ns == 0) {
		if (upstream->waiting_count >= settings->queue_size) {
			upstream->refused_full++;
			return UPSTREAM_FULL;
		}
		wish->queue_end_ns = settings->queue_timeout_ms == 0
					     ? UINT64_MAX
					     : now_ns + settings->queue_timeout_ms * CLOCK_NS_PER_MS;
	} else if (now_ns >= wish->queue_end_ns) {
		upstream->queue_timeouts++;
		return UPSTREAM_FULL;
	}
	wish->wait_ms = left_ms(wish->queue_end_ns, now_ns);
	enqueue_locked(upstream, wish);
	return UPSTREAM_QUEUED;
}

/* Names that nobody has answered for yet are waited for as long as for a connect. */
static uint64_t
hold_ms_locked(const struct upstream *upstream)
{
	const struct upstream_settings *settings = &upstream->settings;

	if (settings->names_pending > 0 && settings->connect_timeout_ms > settings->wait_for_upstream_ms)
		return settings->connect_timeout_ms;
	return settings->wait_for_upstream_ms;
}

static bool
may_hold_locked(const struct upstream *upstream, struct upstream_wish *wish, uint64_t now_ns)
{
	uint64_t hold_ms = hold_ms_locked(upstream);

	if (wish->hold_end_ns == 0) {
		if (hold_ms == 0)
			return false;
		wish->hold_end_ns = now_ns + hold_ms * CLOCK_NS_PER_MS;
	}
	return now_ns < wish->hold_end_ns;
}

/* See HOLDING. It is not in the queue meanwhile. */
static enum upstream_answer
pause_locked(struct upstream_wish *wish, uint64_t now_ns)
{
	uint64_t pause_ms = PAUSE_MS << (wish->pauses < PAUSE_DOUBLINGS ? wish->pauses : PAUSE_DOUBLINGS);
	uint64_t rest_ms = left_ms(wish->hold_end_ns, now_ns);

	wish->pauses++;
	wish->must_pause = false;
	wish->tries = 0;
	wish->tried_count = 0;
	wish->wait_ms = pause_ms < rest_ms ? pause_ms : rest_ms;
	return UPSTREAM_WAITING;
}

static enum upstream_answer
hold_locked(struct upstream *upstream, struct upstream_wish *wish, enum balance_miss miss, uint64_t now_ns)
{
	if (!may_hold_locked(upstream, wish, now_ns)) {
		upstream->refused_down++;
		return UPSTREAM_DOWN;
	}
	if (miss == BALANCE_TRIED)
		return pause_locked(wish, now_ns);
	wish->wait_ms = left_ms(wish->hold_end_ns, now_ns);
	enqueue_locked(upstream, wish);
	return UPSTREAM_WAITING;
}

static enum upstream_answer
take_locked(struct upstream *upstream, struct upstream_wish *wish, uint64_t now_ns)
{
	enum balance_miss miss = BALANCE_TRIED;
	struct server *server = NULL;

	/*
	 * Whoever waits could not use the room that there is (every event that makes room dispatches at once), so a
	 * newcomer who finds some overtakes nobody.
	 */
	if (!wish->must_pause)
		server = balance_choose_locked(upstream, wish, now_ns, &miss);
	if (server != NULL) {
		grant_locked(wish, server);
		return UPSTREAM_TAKEN;
	}
	return miss == BALANCE_FULL ? queue_locked(upstream, wish, now_ns) : hold_locked(upstream, wish, miss, now_ns);
}

enum upstream_answer
upstream_take(struct upstream *upstream, struct upstream_wish *wish, uint64_t now_ns)
{
	enum upstream_answer answer;

	CP_CHECK_MAGIC(upstream, UPSTREAM_MAGIC);
	CP_ASSERT(wish->server == NULL && !list_is_linked(&wish->link));
	lock_acquire(&upstream->lock);
	answer = take_locked(upstream, wish, now_ns);
	lock_release(&upstream->lock);
	return answer;
}

bool
upstream_cancel(struct upstream *upstream, struct upstream_wish *wish)
{
	CP_CHECK_MAGIC(upstream, UPSTREAM_MAGIC);
	lock_acquire(&upstream->lock);
	if (list_is_linked(&wish->link))
		dequeue_locked(upstream, wish);
	lock_release(&upstream->lock);
	return wish->server != NULL;
}

/* ---- how it went ------------------------------------------------------------------------ */

void
upstream_connected(struct upstream *upstream, const struct upstream_wish *wish)
{
	struct server *server = wish->server;

	CP_CHECK_MAGIC(upstream, UPSTREAM_MAGIC);
	atomic_fetch_add_explicit(&server->connects, 1, memory_order_relaxed);
	if (atomic_load_explicit(&server->failures_in_row, memory_order_relaxed) > 0 ||
		atomic_load_explicit(&server->is_on_probation, memory_order_relaxed))
		server_report(server, SERVER_CONNECT_OK, NULL, "connected");
}

static bool
failed_locked(struct upstream *upstream, struct upstream_wish *wish, int error, uint64_t now_ns, struct list *drop)
{
	struct server *server = wish->server;

	/* Noted before it may get another number: then it may be tried again, for it has been down. */
	if (wish->tried_count < UPSTREAM_TRIED_MAX)
		wish->tried[wish->tried_count++] = server->number;
	wish->tries++;
	CP_ASSERT(server->active > 0);
	server->active--;
	server_fail_locked(server, error, now_ns, drop);
	upstream_dispatch_locked(upstream, now_ns);
	if (wish->tries <= upstream->settings.retries)
		return true;
	wish->must_pause = true;
	return may_hold_locked(upstream, wish, now_ns);
}

bool
upstream_failed(struct upstream *upstream, struct upstream_wish *wish, int error, uint64_t now_ns)
{
	struct list drop;
	bool may_try;

	CP_CHECK_MAGIC(upstream, UPSTREAM_MAGIC);
	CP_ASSERT(wish->server != NULL && error > 0);
	list_init(&drop);
	lock_acquire(&upstream->lock);
	may_try = failed_locked(upstream, wish, error, now_ns, &drop);
	lock_release(&upstream->lock);
	server_close_ready(&drop);
	server_unref(&wish->server);
	return may_try;
}

void
server_leave(struct server **holder)
{
	struct server *server = *holder;
	struct upstream *upstream;

	if (server == NULL)
		return;
	CP_CHECK_MAGIC(server, SERVER_MAGIC);
	upstream = server->upstream;
	lock_acquire(&upstream->lock);
	CP_ASSERT(server->active > 0);
	server->active--;
	/* The clock is read only where somebody waits. */
	if (!list_is_empty(&upstream->waiting) && !server->removed)
		upstream_dispatch_locked(upstream, clock_now_ns());
	lock_release(&upstream->lock);
	server_unref(holder);
}

/* ---- the main thread's ------------------------------------------------------------------ */

/* Is any up? Says so when the last one goes and when the first comes back. */
void
upstream_note_up_locked(struct upstream *upstream)
{
	struct log_record record;
	bool has_up = false;

	lock_assert_held(&upstream->lock);
	for (size_t i = 0; i < upstream->server_count; i++)
		has_up |= upstream->servers[i]->state == SERVER_UP;
	if (has_up == upstream->has_up)
		return;
	upstream->has_up = has_up;
	if (has_up && !upstream->had_up) {
		upstream->had_up = true;
		return;
	}
	if (has_up)
		log_record_init(&record, LOG_LEVEL_NOTICE, LOG_EVENT_UPSTREAM_UP, "upstream '%s': has a server again",
			upstream->name);
	else
		log_record_init(&record, LOG_LEVEL_WARNING, LOG_EVENT_UPSTREAM_DOWN, "upstream '%s': no server left",
			upstream->name);
	log_record_add(&record, "UPSTREAM", "%s", upstream->name);
	log_record_commit(&record);
}

/* Puts the new servers in the place of the old ones, of which those that are not among them are marked as removed. */
static void
swap_servers_locked(struct upstream *upstream, struct upstream_change *change, uint64_t now_ns)
{
	struct server **old = upstream->servers;
	size_t old_count = upstream->server_count;

	for (size_t i = 0; i < old_count; i++)
		old[i]->removed = true;
	for (size_t i = 0; i < change->count; i++) {
		struct server *server = change->servers[i];

		/* One that comes to a group at work is cold; at the start all are alike. */
		if (!server->removed && upstream->had_up)
			server->up_since_ns = now_ns;
		server->removed = false;
	}
	upstream->servers = change->servers;
	upstream->server_count = change->count;
	change->servers = old;
	change->count = old_count;
}

void
upstream_apply(struct upstream *upstream, struct upstream_change *change, uint64_t now_ns)
{
	struct list drop;

	CP_CHECK_MAGIC(upstream, UPSTREAM_MAGIC);
	list_init(&drop);
	atomic_store_explicit(&upstream->connect_timeout_ms, change->settings.connect_timeout_ms, memory_order_relaxed);
	lock_acquire(&upstream->lock);
	upstream->settings = change->settings;
	swap_servers_locked(upstream, change, now_ns);
	for (size_t i = 0; i < upstream->server_count; i++)
		server_configure_locked(upstream->servers[i], &change->server_settings[i], now_ns, &drop);
	for (size_t i = 0; i < change->count; i++) {
		if (!change->servers[i]->removed)
			continue;
		change->servers[i]->retry_ns = 0;
		server_trim_ready_locked(change->servers[i], 0, &drop);
	}
	upstream_note_up_locked(upstream);
	upstream_sweep_locked(upstream, now_ns);
	lock_release(&upstream->lock);
	server_close_ready(&drop);
	/* Only this thread writes `removed`. */
	for (size_t i = 0; i < change->count; i++) {
		if (change->servers[i]->removed)
			server_put(change->servers[i]);
	}
	mem_freep(&change->servers);
	mem_freep(&change->server_settings);
}

uint64_t
upstream_retry(struct upstream *upstream, uint64_t now_ns)
{
	uint64_t next_ns = UINT64_MAX;
	struct list drop;

	list_init(&drop);
	lock_acquire(&upstream->lock);
	for (size_t i = 0; i < upstream->server_count; i++) {
		struct server *server = upstream->servers[i];

		if (server->retry_ns == 0)
			continue;
		if (server->retry_ns <= now_ns)
			server_report_locked(server, SERVER_RETRY, NULL, "it may be tried again", now_ns, &drop);
		else if (server->retry_ns < next_ns)
			next_ns = server->retry_ns;
	}
	lock_release(&upstream->lock);
	server_close_ready(&drop);
	return next_ns;
}
