/* SPDX-License-Identifier: MIT */
/*
 * balance.c - see balance.h.
 *
 * Any thread, under the group's lock: a pass or two over its servers, in integers alone, so that every process and
 * machine chooses alike.
 */
#include "config.h"

#include "upstream/balance.h"

#include "base/assert.h"
#include "base/clock.h"
#include "conf/conf.h"
#include "upstream/group.h"
#include "upstream/upstream.h"

/* Binary places of a logarithm below. */
#define LOG_BITS 24u

/* One choice: who may be chosen. */
struct choice {
	struct upstream *upstream;
	const struct upstream_wish *wish;
	uint64_t now_ns;
	bool backup;
};

/* ---- who may be chosen ----------------------------------------------------------------- */

static bool
is_tried(const struct server *server, const struct upstream_wish *wish)
{
	for (unsigned i = 0; i < wish->tried_count; i++) {
		if (wish->tried[i] == server->number)
			return true;
	}
	return false;
}

static bool
is_usable(const struct choice *choice, const struct server *server)
{
	return server->state == SERVER_UP && server->settings.backup == choice->backup &&
	       !is_tried(server, choice->wish);
}

static bool
is_candidate(const struct choice *choice, const struct server *server)
{
	return is_usable(choice, server) && server_has_room_locked(server);
}

/* Settles on the tier; false: nobody may be chosen now. */
static bool
look_over(struct choice *choice, enum balance_miss *ret_miss)
{
	const struct upstream *upstream = choice->upstream;

	for (int tier = 0; tier < 2; tier++) {
		unsigned usable = 0;

		choice->backup = tier == 1;
		for (size_t i = 0; i < upstream->server_count; i++) {
			if (is_candidate(choice, upstream->servers[i]))
				return true;
			usable += is_usable(choice, upstream->servers[i]);
		}
		if (usable > 0) {
			*ret_miss = BALANCE_FULL;
			return false;
		}
	}
	*ret_miss = upstream->has_up ? BALANCE_TRIED : BALANCE_NONE;
	return false;
}

/* ---- weights ---------------------------------------------------------------------------- */

/* The weight of this moment: at least 1 of WEIGHT_UNIT, so that a server that starts slowly does start. */
static uint64_t
weight_now(const struct choice *choice, struct server *server)
{
	uint64_t weight = server_weight_locked(server);
	uint64_t slow_ns = choice->upstream->settings.slow_start_ms * CLOCK_NS_PER_MS;
	uint64_t up_ns;

	if (server->up_since_ns == 0 || slow_ns == 0)
		return weight;
	up_ns = choice->now_ns > server->up_since_ns ? choice->now_ns - server->up_since_ns : 0;
	if (up_ns >= slow_ns) {
		server->up_since_ns = 0;
		return weight;
	}
	/* In milliseconds, so that no product overflows. */
	weight = weight * (up_ns / CLOCK_NS_PER_MS) / choice->upstream->settings.slow_start_ms;
	return weight > 0 ? weight : 1;
}

/* Less than zero: a has fewer places by weight than b. */
static int
compare_load(const struct choice *choice, struct server *a, struct server *b)
{
	__uint128_t left = (__uint128_t)a->active * weight_now(choice, b);
	__uint128_t right = (__uint128_t)b->active * weight_now(choice, a);

	return left < right ? -1 : left > right;
}

/* ---- the algorithms: at least one server is a candidate ---------------------------------- */

/*
 * Each candidate gains its weight, the one that has most is chosen and pays what all have gained: the sum stays zero,
 * and turns are spread evenly. With least, only those with as few places as least take part.
 */
static struct server *
choose_in_turn(const struct choice *choice, struct server *least)
{
	struct server *best = NULL;
	int64_t sum = 0;

	for (size_t i = 0; i < choice->upstream->server_count; i++) {
		struct server *server = choice->upstream->servers[i];
		int64_t weight;

		if (!is_candidate(choice, server) || (least != NULL && compare_load(choice, server, least) > 0))
			continue;
		weight = (int64_t)weight_now(choice, server);
		server->turn += weight;
		sum += weight;
		if (best == NULL || server->turn > best->turn)
			best = server;
	}
	best->turn -= sum;
	return best;
}

static struct server *
choose_least(const struct choice *choice)
{
	struct server *least = NULL;

	for (size_t i = 0; i < choice->upstream->server_count; i++) {
		struct server *server = choice->upstream->servers[i];

		if (is_candidate(choice, server) && (least == NULL || compare_load(choice, server, least) < 0))
			least = server;
	}
	return choose_in_turn(choice, least);
}

/* A few multiplications that let every bit of the input change half of the output's. */
static uint64_t
mix(uint64_t value)
{
	value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ull;
	value = (value ^ (value >> 27)) * 0x94d049bb133111ebull;
	return value ^ (value >> 31);
}

/* -log2(value / 2^64) with LOG_BITS binary places: bit by bit, a square each, always rounded alike. */
static uint64_t
negative_log2(uint64_t value)
{
	unsigned leading = value == 0 ? 63 : (unsigned)__builtin_clzll(value);
	uint64_t mantissa = value << leading >> 32; /* 1 to 2, with 31 binary places */
	uint64_t fraction = 0;

	for (unsigned i = 0; i < LOG_BITS && value != 0; i++) {
		mantissa = mantissa * mantissa >> 31;
		fraction <<= 1;
		if (mantissa >> 32 != 0) {
			mantissa >>= 1;
			fraction |= 1;
		}
	}
	return ((uint64_t)(leading + 1) << LOG_BITS) - fraction;
}

/*
 * Weighted rendezvous: with u of (0, 1) drawn for each pair of client and server, the lowest -log(u) / weight wins, and
 * does so with a chance in proportion to its weight.
 */
static struct server *
choose_by_source(const struct choice *choice)
{
	struct server *best = NULL;
	uint64_t best_cost = 0;
	uint64_t best_weight = 0;

	for (size_t i = 0; i < choice->upstream->server_count; i++) {
		struct server *server = choice->upstream->servers[i];
		uint64_t cost;
		uint64_t weight;

		if (!is_candidate(choice, server))
			continue;
		cost = negative_log2(mix(mix(choice->wish->source_hash) ^ server->hash));
		weight = server_weight_locked(server);
		if (best == NULL || (__uint128_t)cost * best_weight < (__uint128_t)best_cost * weight) {
			best = server;
			best_cost = cost;
			best_weight = weight;
		}
	}
	return best;
}

/* Draws a candidate other than `but` by weight; NULL: there is no other. */
static struct server *
draw(const struct choice *choice, const struct server *but)
{
	struct upstream *upstream = choice->upstream;
	struct server *drawn = NULL;
	uint64_t sum = 0;
	uint64_t point;

	for (size_t i = 0; i < upstream->server_count; i++) {
		if (upstream->servers[i] != but && is_candidate(choice, upstream->servers[i]))
			sum += weight_now(choice, upstream->servers[i]);
	}
	if (sum == 0)
		return NULL;
	upstream->random += 0x9e3779b97f4a7c15ull;
	point = mix(upstream->random) % sum;
	for (size_t i = 0; i < upstream->server_count; i++) {
		uint64_t weight;

		if (upstream->servers[i] == but || !is_candidate(choice, upstream->servers[i]))
			continue;
		drawn = upstream->servers[i];
		weight = weight_now(choice, drawn);
		if (point < weight)
			break;
		point -= weight;
	}
	return drawn;
}

static struct server *
choose_of_two(const struct choice *choice)
{
	struct server *first = draw(choice, NULL);
	struct server *second = draw(choice, first);

	return second != NULL && compare_load(choice, second, first) < 0 ? second : first;
}

static struct server *
choose_first(const struct choice *choice)
{
	size_t i = 0;

	while (!is_candidate(choice, choice->upstream->servers[i]))
		i++;
	return choice->upstream->servers[i];
}

/* ---- the choice --------------------------------------------------------------------------- */

struct server *
balance_choose_locked(
	struct upstream *upstream, const struct upstream_wish *wish, uint64_t now_ns, enum balance_miss *ret_miss)
{
	struct choice choice = {.upstream = upstream, .wish = wish, .now_ns = now_ns};

	lock_assert_held(&upstream->lock);
	if (!look_over(&choice, ret_miss))
		return NULL;
	switch ((enum conf_balance)upstream->settings.balance) {
	case CONF_BALANCE_LEAST_CONNECTIONS:
		return choose_least(&choice);
	case CONF_BALANCE_SOURCE_HASH:
		return choose_by_source(&choice);
	case CONF_BALANCE_RANDOM_TWO:
		return choose_of_two(&choice);
	case CONF_BALANCE_FIRST:
		return choose_first(&choice);
	case CONF_BALANCE_ROUND_ROBIN:
		break;
	}
	return choose_in_turn(&choice, NULL);
}

uint64_t
balance_hash_name(const char *name)
{
	uint64_t hash = 0xcbf29ce484222325ull;

	for (; *name != '\0'; name++)
		hash = (hash ^ (unsigned char)*name) * 0x100000001b3ull;
	return mix(hash);
}
