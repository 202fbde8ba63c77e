/* SPDX-License-Identifier: MIT */
/*
 * refusals.c - compares the counters with what was last logged, so that whoever rejects only counts.
 */
#include "config.h"

#include "net/refusals.h"

#include <stdio.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/listener.h"

#define SUMMARY_MAX 512

/* Fills "refused-source 12, queue-full 3" and marks it as logged; the number of connections in it. */
static uint64_t
summarise(struct listener *listener, char text[SUMMARY_MAX])
{
	uint64_t sum = 0;
	size_t used = 0;

	text[0] = '\0';
	for (int end = CONN_END_FIRST_REJECTED; end < CONN_END_COUNT; end++) {
		uint64_t now = atomic_load_explicit(&listener->counters.rejected[end], memory_order_relaxed);
		uint64_t fresh = now - listener->refusals_logged[end];

		if (fresh == 0)
			continue;
		listener->refusals_logged[end] = now;
		if (used < SUMMARY_MAX)
			used += (size_t)snprintf(text + used, SUMMARY_MAX - used, "%s%s %llu", sum > 0 ? ", " : "",
				conn_end_word((enum conn_end)end), (unsigned long long)fresh);
		sum += fresh;
	}
	return sum;
}

static bool
has_unlogged(const struct listener *listener)
{
	for (int end = CONN_END_FIRST_REJECTED; end < CONN_END_COUNT; end++) {
		if (atomic_load_explicit(&listener->counters.rejected[end], memory_order_relaxed) !=
			listener->refusals_logged[end])
			return true;
	}
	return false;
}

static void
log_summary(struct listener *listener)
{
	struct log_record record;
	char summary[SUMMARY_MAX];
	uint64_t sum = summarise(listener, summary);

	log_record_init(&record, LOG_LEVEL_NOTICE, LOG_EVENT_CONNECTIONS_REFUSED,
		"listener '%s': refused %llu connection%s: %s", listener->name, (unsigned long long)sum,
		sum == 1 ? "" : "s", summary);
	log_record_add(&record, "LISTENER", "%s", listener->name);
	log_record_add(&record, "REFUSED", "%llu", (unsigned long long)sum);
	log_record_commit(&record);
}

bool
refusals_log(struct listener *listener, uint64_t now_ns)
{
	if (!has_unlogged(listener))
		return false;
	if (listener->refusals_logged_ns != 0 &&
		now_ns - listener->refusals_logged_ns < REFUSALS_LOG_INTERVAL_MS * CLOCK_NS_PER_MS)
		return true;
	listener->refusals_logged_ns = now_ns;
	log_summary(listener);
	return false;
}

void
refusals_log_rest(struct listener *listener)
{
	if (has_unlogged(listener))
		log_summary(listener);
}

void
refusals_log_proxy(struct listener *listener, const struct peer *proxy, const char *what)
{
	uint64_t now_ns = clock_now_ns();
	uint64_t last_ns = atomic_load_explicit(&listener->proxy_logged_ns, memory_order_relaxed);
	char text[ADDRESS_TEXT_MAX];
	struct log_record record;

	if (last_ns != 0 && now_ns - last_ns < REFUSALS_LOG_INTERVAL_MS * CLOCK_NS_PER_MS)
		return;
	/* Of two threads at once one speaks. */
	if (!atomic_compare_exchange_strong_explicit(
		    &listener->proxy_logged_ns, &last_ns, now_ns, memory_order_relaxed, memory_order_relaxed))
		return;
	peer_format(proxy, text);
	log_record_init(&record, LOG_LEVEL_NOTICE, LOG_EVENT_NONE,
		"listener '%s': refused %s, which should be a trusted proxy: %s", listener->name, text, what);
	log_record_add(&record, "LISTENER", "%s", listener->name);
	log_record_add(&record, "PROXY", "%s", text);
	log_record_commit(&record);
}
