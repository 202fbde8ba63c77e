/* SPDX-License-Identifier: MIT */
/*
 * resolve - see resolve.h.
 *
 * This file decides when a name is looked up and what becomes of the answer; one look-up is resolve_lookup.c. A name
 * waits for its timer, or for its turn (LOOKUPS_MAX run at once, so that a thousand names neither take a hundred
 * megabytes nor flood a name server), or is being looked up. Main thread only. What goes wrong is logged here, once an
 * episode, because nobody above is there to be told: the look-up that failed began in a timer.
 */
#include "config.h"

#include "upstream/resolve.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/address.h"
#include "base/assert.h"
#include "base/errmsg.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "engine/loop.h"
#include "upstream/resolve_lookup.h"

#define RESOLVER_MAGIC 0x52736c76u
#define WATCH_MAGIC 0x52776368u
#define LOOKUPS_MAX 32u

struct resolver {
	uint32_t magic;
	struct loop *loop;
	char *servers; /* as c-ares takes them; NULL: the system's */
	unsigned server_count;
	uint64_t timeout_ms;
	uint64_t retry_ms;
	uint64_t min_ttl_ms;
	uint64_t max_ttl_ms;
	bool is_library_open;
	struct list waiting; /* names whose turn is still to come */
	unsigned running;    /* look-ups under way */
	unsigned watches;
};

struct resolver_watch {
	uint32_t magic;
	struct resolver *resolver;
	struct list link; /* in resolver->waiting */
	struct timer timer;
	struct lookup *lookup; /* NULL: none is under way */
	char *name;
	char *label;
	bool is_srv;
	uint16_t port;
	bool is_told;    /* fn has been called */
	bool is_failing; /* an episode that was logged */
	bool is_capped;
	resolved_fn *fn;
	void *arg;

	/* The last good answer; origins[i] is the found.origin of items[i]. */
	struct resolved *items;
	uint64_t *origins;
	size_t count;
};

static void start_waiting(struct resolver *resolver);

/* ---- what is told ----------------------------------------------------------------- */

static void
log_watch(const struct resolver_watch *watch, enum log_level level, const char *text)
{
	struct log_record record;

	log_record_init(&record, level, LOG_EVENT_NONE, "%s: %s", watch->label, text);
	log_record_add(&record, "NAME", "%s", watch->name);
	log_record_commit(&record);
}

/* what: the name, or one of its targets. kept: addresses that it goes on with. */
static void
note_failure(struct resolver_watch *watch, const char *what, const char *cause, size_t kept)
{
	struct errmsg text;

	if (kept > 0)
		errmsg_set(&text, "cannot resolve %s: %s, keeping its last addresses (%zu)", what, cause, kept);
	else
		errmsg_set(&text, "cannot resolve %s: %s, no address known yet", what, cause);
	log_watch(watch, watch->is_failing ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING, text.text);
	watch->is_failing = true;
}

static void
note_success(struct resolver_watch *watch, size_t count)
{
	struct errmsg text;

	if (!watch->is_failing)
		return;
	watch->is_failing = false;
	errmsg_set(&text, "%s resolves again (%zu address%s)", watch->name, count, count == 1 ? "" : "es");
	log_watch(watch, LOG_LEVEL_NOTICE, text.text);
}

static void
note_cap(struct resolver_watch *watch, const struct lookup_answer *answer)
{
	const bool is_capped = answer->set.is_capped || answer->targets_left_out > 0;
	struct errmsg text;

	if (is_capped && !watch->is_capped) {
		errmsg_set(&text, "%s has more servers than are used: %zu address%s of %zu name%s are", watch->name,
			answer->set.count, answer->set.count == 1 ? "" : "es", answer->target_count,
			answer->target_count == 1 ? "" : "s");
		log_watch(watch, LOG_LEVEL_WARNING, text.text);
	}
	watch->is_capped = is_capped;
}

/* ---- answers ----------------------------------------------------------------------- */

/* What is known of a target that could not be resolved this time stays. Returns how many addresses that are. */
static size_t
keep_known(const struct resolver_watch *watch, const struct lookup_target *target, struct found_set *set)
{
	size_t kept = 0;

	for (size_t i = 0; i < watch->count; i++) {
		struct found found = {.resolved = watch->items[i], .origin = watch->origins[i]};

		if (found.origin != target->origin)
			continue;
		found.resolved.weight = target->weight;
		found.resolved.backup = target->backup;
		(void)found_set_add(set, &found);
		kept++;
	}
	return kept;
}

static bool
is_same(const struct resolver_watch *watch, const struct found_set *set)
{
	if (watch->count != set->count)
		return false;
	for (size_t i = 0; i < set->count; i++) {
		if (!resolved_is_equal(&watch->items[i], &set->items[i].resolved))
			return false;
	}
	return true;
}

/* 0 or -ENOMEM; then the old ones stay. */
static int
replace_items(struct resolver_watch *watch, const struct found_set *set)
{
	struct resolved *items = mem_zalloc_array(set->count, sizeof(*items));
	uint64_t *origins = mem_zalloc_array(set->count, sizeof(*origins));

	if (items == NULL || origins == NULL) {
		mem_free(items);
		mem_free(origins);
		return -ENOMEM;
	}
	for (size_t i = 0; i < set->count; i++) {
		items[i] = set->items[i].resolved;
		origins[i] = set->items[i].origin;
	}
	mem_free(watch->items);
	mem_free(watch->origins);
	watch->items = items;
	watch->origins = origins;
	watch->count = set->count;
	return 0;
}

/* The name as a whole, or a target of it: the same thing happened to each, and one line says it. */
static bool
judge_targets(struct resolver_watch *watch, struct lookup_answer *answer)
{
	const struct lookup_target *failed = NULL;
	size_t kept = 0;

	if (answer->cause != NULL) {
		note_failure(watch, watch->name, answer->cause, watch->count);
		return false;
	}
	for (size_t i = 0; i < answer->target_count; i++) {
		const struct lookup_target *target = &answer->targets[i];
		size_t known;

		if (target->cause == NULL)
			continue;
		known = keep_known(watch, target, &answer->set);
		if (failed == NULL)
			kept = known;
		if (failed == NULL)
			failed = target;
	}
	if (failed == NULL) {
		note_success(watch, answer->set.count);
		return true;
	}
	if (answer->set.count == 0)
		kept = watch->count;
	if (watch->is_srv) {
		struct errmsg what;

		errmsg_set(&what, "%.250s of %s", failed->name, watch->name);
		note_failure(watch, what.text, failed->cause, kept);
	} else {
		note_failure(watch, watch->name, failed->cause, kept);
	}
	return false;
}

static uint64_t
ttl_within_bounds(const struct resolver *resolver, uint64_t ttl_ms)
{
	if (ttl_ms > resolver->max_ttl_ms)
		ttl_ms = resolver->max_ttl_ms;
	return ttl_ms < resolver->min_ttl_ms ? resolver->min_ttl_ms : ttl_ms;
}

static void
set_timer(struct resolver_watch *watch, uint64_t delay_ms)
{
	struct loop *loop = watch->resolver->loop;
	const uint64_t now_ms = loop_now_ms(loop);

	/* Not in this very turn again, whatever the settings say; and no sum that wraps. */
	if (delay_ms < 1)
		delay_ms = 1;
	timer_set(&loop->wheel, &watch->timer, delay_ms > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + delay_ms);
}

/* Notes the answer; true: there is another set of addresses than before. */
static bool
take_answer(struct resolver_watch *watch, struct lookup_answer *answer)
{
	const struct resolver *resolver = watch->resolver;
	uint64_t delay_ms = resolver->retry_ms;
	bool is_changed = false;

	if (judge_targets(watch, answer)) {
		delay_ms = ttl_within_bounds(resolver, answer->ttl_ms);
		note_cap(watch, answer);
	}
	if (answer->cause == NULL && answer->set.count > 0)
		is_changed = !is_same(watch, &answer->set);
	if (is_changed && replace_items(watch, &answer->set) < 0) {
		note_failure(watch, watch->name, errmsg_errno(ENOMEM), watch->count);
		delay_ms = resolver->retry_ms;
		is_changed = false;
	}
	set_timer(watch, delay_ms);
	return is_changed;
}

static void
on_answer(void *arg, struct lookup_answer *answer)
{
	struct resolver_watch *watch = CP_CAST(arg, struct resolver_watch, WATCH_MAGIC);
	struct resolver *resolver = watch->resolver;
	const bool is_changed = take_answer(watch, answer);

	CP_CHECK_MAGIC(resolver, RESOLVER_MAGIC);
	lookup_free(&watch->lookup);
	resolver->running--;
	start_waiting(resolver);
	/* That nothing is known is worth knowing too: else everybody would go on to wait for the first answer. */
	if (is_changed || !watch->is_told) {
		watch->is_told = true;
		watch->fn(watch->arg, watch->items, watch->count);
	}
}

/* ---- turns ------------------------------------------------------------------------- */

static void
start(struct resolver_watch *watch)
{
	struct resolver *resolver = watch->resolver;
	const struct lookup_request request = {.name = watch->name,
		.is_srv = watch->is_srv,
		.port = watch->port,
		.servers = resolver->servers,
		.server_count = resolver->server_count,
		.timeout_ms = resolver->timeout_ms};
	struct errmsg err;
	int rc = 0;

	if (!resolver->is_library_open) {
		rc = lookup_library_open(&err);
		resolver->is_library_open = rc == 0;
	}
	if (rc == 0)
		rc = lookup_new(resolver->loop, &request, on_answer, watch, &watch->lookup, &err);
	if (rc == 0) {
		resolver->running++;
		return;
	}
	note_failure(watch, watch->name, err.text, watch->count);
	set_timer(watch, resolver->retry_ms);
}

static void
start_waiting(struct resolver *resolver)
{
	struct list *link;

	while (resolver->running < LOOKUPS_MAX && (link = list_pop_front(&resolver->waiting)) != NULL)
		start(CP_CONTAINER_OF(link, struct resolver_watch, link));
}

static void
enqueue(struct resolver_watch *watch)
{
	list_push_back(&watch->resolver->waiting, &watch->link);
	start_waiting(watch->resolver);
}

static void
on_timer(struct timer *timer)
{
	struct resolver_watch *watch = CP_CONTAINER_OF(timer, struct resolver_watch, timer);

	CP_CHECK_MAGIC(watch, WATCH_MAGIC);
	enqueue(watch);
}

/* ---- life cycle --------------------------------------------------------------------- */

/* 0 with *ret_text NULL when there are none; -ENOMEM. */
static int
join_servers(const struct option_strings *servers, char **ret_text)
{
	char *text = NULL;

	for (size_t i = 0; i < servers->count; i++) {
		char *longer =
			text == NULL ? mem_strdup(servers->items[i]) : mem_printf("%s,%s", text, servers->items[i]);

		mem_free(text);
		if (longer == NULL)
			return -ENOMEM;
		text = longer;
	}
	*ret_text = text;
	return 0;
}

/* Only where servers are given: else c-ares is left alone until there is a name. */
static int
check_servers(struct resolver *resolver, const char *servers, struct errmsg *err)
{
	int rc;

	if (servers == NULL)
		return 0;
	if (!resolver->is_library_open) {
		rc = lookup_library_open(err);
		if (rc < 0)
			return rc;
		resolver->is_library_open = true;
	}
	return lookup_check_servers(servers, err);
}

int
resolver_configure(struct resolver *resolver, const struct conf_resolver *conf, struct errmsg *err)
{
	char *servers = NULL;
	int rc;

	CP_CHECK_MAGIC(resolver, RESOLVER_MAGIC);
	rc = join_servers(&conf->servers, &servers);
	if (rc < 0)
		errmsg_set(err, "%s", errmsg_errno(rc));
	else
		rc = check_servers(resolver, servers, err);
	if (rc < 0) {
		mem_free(servers);
		return rc;
	}
	mem_free(resolver->servers);
	resolver->servers = servers;
	resolver->server_count = (unsigned)conf->servers.count;
	resolver->timeout_ms = conf->timeout_ms;
	resolver->retry_ms = conf->retry_ms;
	resolver->min_ttl_ms = conf->min_ttl_ms;
	resolver->max_ttl_ms = conf->max_ttl_ms;
	return 0;
}

int
resolver_new(struct loop *loop, const struct conf_resolver *conf, struct resolver **ret_resolver, struct errmsg *err)
{
	struct resolver *resolver = mem_zalloc(sizeof(*resolver));
	int rc;

	if (resolver == NULL) {
		errmsg_set(err, "%s", errmsg_errno(ENOMEM));
		return -ENOMEM;
	}
	resolver->magic = RESOLVER_MAGIC;
	resolver->loop = loop;
	list_init(&resolver->waiting);
	rc = resolver_configure(resolver, conf, err);
	if (rc < 0)
		resolver_free(&resolver);
	else
		*ret_resolver = resolver;
	return rc;
}

void
resolver_free(struct resolver **holder)
{
	struct resolver *resolver = *holder;

	if (resolver == NULL)
		return;
	CP_CHECK_MAGIC(resolver, RESOLVER_MAGIC);
	CP_ASSERT(resolver->watches == 0 && resolver->running == 0);
	if (resolver->is_library_open)
		lookup_library_close();
	mem_free(resolver->servers);
	resolver->magic = 0;
	mem_free(resolver);
	*holder = NULL;
}

struct resolver_watch *
resolver_watch(struct resolver *resolver, const struct address *address, const char *label, resolved_fn *fn, void *arg)
{
	struct resolver_watch *watch = mem_zalloc(sizeof(*watch));

	CP_CHECK_MAGIC(resolver, RESOLVER_MAGIC);
	CP_ASSERT(address->kind == ADDRESS_TCP || address->kind == ADDRESS_SRV);
	if (watch == NULL)
		return NULL;
	watch->magic = WATCH_MAGIC;
	watch->resolver = resolver;
	resolver->watches++;
	watch->timer.fn = on_timer;
	watch->is_srv = address->kind == ADDRESS_SRV;
	watch->port = address->port;
	watch->fn = fn;
	watch->arg = arg;
	watch->name = mem_strdup(address->host);
	watch->label = mem_strdup(label);
	if (watch->name == NULL || watch->label == NULL)
		resolver_unwatch(&watch);
	else
		enqueue(watch);
	return watch;
}

void
resolver_unwatch(struct resolver_watch **holder)
{
	struct resolver_watch *watch = *holder;
	struct resolver *resolver;

	if (watch == NULL)
		return;
	CP_CHECK_MAGIC(watch, WATCH_MAGIC);
	resolver = watch->resolver;
	if (watch->lookup != NULL)
		resolver->running--;
	lookup_free(&watch->lookup);
	list_remove(&watch->link);
	timer_clear(&resolver->loop->wheel, &watch->timer);
	mem_free(watch->items);
	mem_free(watch->origins);
	mem_free(watch->name);
	mem_free(watch->label);
	watch->magic = 0;
	mem_free(watch);
	resolver->watches--;
	*holder = NULL;
	start_waiting(resolver);
}
