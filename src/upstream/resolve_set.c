/* SPDX-License-Identifier: MIT */
/*
 * resolve_set - see resolve_set.h.
 *
 * Insertion into a sorted array: 64 places are few, and an answer has at most some thousand addresses. Called by
 * look-ups on the main thread; never allocates and never looks at the clock.
 */
#include "config.h"

#include "upstream/resolve_set.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static const struct sockaddr_in *
as_v4(const struct server_address *address)
{
	return (const struct sockaddr_in *)(const void *)&address->storage;
}

static const struct sockaddr_in6 *
as_v6(const struct server_address *address)
{
	return (const struct sockaddr_in6 *)(const void *)&address->storage;
}

/* By family, number and port: not by memcmp() of the whole, where padding would count. */
static int
compare_place(const struct server_address *left, const struct server_address *right)
{
	int order;

	if (left->sa.sa_family != right->sa.sa_family)
		return left->sa.sa_family < right->sa.sa_family ? -1 : 1;
	if (left->sa.sa_family == AF_INET) {
		order = memcmp(&as_v4(left)->sin_addr, &as_v4(right)->sin_addr, sizeof(struct in_addr));
		return order != 0 ? order : (int)ntohs(as_v4(left)->sin_port) - (int)ntohs(as_v4(right)->sin_port);
	}
	order = memcmp(&as_v6(left)->sin6_addr, &as_v6(right)->sin6_addr, sizeof(struct in6_addr));
	return order != 0 ? order : (int)ntohs(as_v6(left)->sin6_port) - (int)ntohs(as_v6(right)->sin6_port);
}

static int
compare(const struct resolved *left, const struct resolved *right)
{
	if (left->backup != right->backup)
		return left->backup ? 1 : -1;
	return compare_place(&left->address, &right->address);
}

/* Of one address: is left at least as good an entry for it as right? */
static bool
is_as_good(const struct resolved *left, const struct resolved *right)
{
	if (left->backup != right->backup)
		return !left->backup;
	return left->weight >= right->weight;
}

static void
remove_at(struct found_set *set, size_t at)
{
	set->count--;
	memmove(&set->items[at], &set->items[at + 1], (set->count - at) * sizeof(set->items[0]));
}

static bool
insert_sorted(struct found_set *set, const struct found *found)
{
	size_t at = 0;

	while (at < set->count && compare(&set->items[at].resolved, &found->resolved) < 0)
		at++;
	if (set->count == RESOLVED_MAX) {
		set->is_capped = true;
		if (at == RESOLVED_MAX)
			return false;
		set->count--;
	}
	memmove(&set->items[at + 1], &set->items[at], (set->count - at) * sizeof(set->items[0]));
	set->items[at] = *found;
	set->count++;
	return true;
}

bool
found_set_add(struct found_set *set, const struct found *found)
{
	for (size_t i = 0; i < set->count; i++) {
		const struct resolved *known = &set->items[i].resolved;

		if (compare_place(&known->address, &found->resolved.address) != 0)
			continue;
		if (is_as_good(known, &found->resolved))
			return false;
		remove_at(set, i);
		break;
	}
	return insert_sorted(set, found);
}

bool
resolved_is_equal(const struct resolved *left, const struct resolved *right)
{
	return left->weight == right->weight && compare(left, right) == 0;
}

bool
server_address_set(struct server_address *address, const struct sockaddr *sa, socklen_t length, uint16_t port)
{
	memset(address, 0, sizeof(*address));
	if (sa->sa_family == AF_INET && length >= sizeof(struct sockaddr_in)) {
		struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};

		v4.sin_addr = ((const struct sockaddr_in *)(const void *)sa)->sin_addr;
		address->length = sizeof(v4);
		memcpy(&address->storage, &v4, sizeof(v4));
		return true;
	}
	if (sa->sa_family == AF_INET6 && length >= sizeof(struct sockaddr_in6)) {
		struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

		v6.sin6_addr = ((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
		v6.sin6_scope_id = ((const struct sockaddr_in6 *)(const void *)sa)->sin6_scope_id;
		address->length = sizeof(v6);
		memcpy(&address->storage, &v6, sizeof(v6));
		return true;
	}
	return false;
}
