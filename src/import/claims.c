/* SPDX-License-Identifier: MIT */
/*
 * claims - the rule that `connpoold --check` has, on the addresses that an import writes: without reuse_port or
 * devices.
 */
#include "config.h"

#include "import/claims.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>

#include "base/address.h"
#include "import/arena.h"
#include "import/plan.h"

enum { FAMILY_4 = 1, FAMILY_6 = 2, FAMILY_BOTH = 3 };

struct claim {
	struct claim *next;
	const struct plan *plan;
	const char *text;
	unsigned port; /* 0: a Unix socket */
	unsigned families;
	bool is_any;
};

static void
set_families(struct claim *claim, const char *host)
{
	struct in6_addr v6;
	struct in_addr v4;

	if (strcmp(host, "*") == 0) {
		claim->families = FAMILY_BOTH;
		claim->is_any = true;
	} else if (inet_pton(AF_INET, host, &v4) == 1) {
		claim->families = FAMILY_4;
		claim->is_any = v4.s_addr == htonl(INADDR_ANY);
	} else if (inet_pton(AF_INET6, host, &v6) == 1) {
		claim->families = FAMILY_6;
		claim->is_any = IN6_IS_ADDR_UNSPECIFIED(&v6);
	}
}

static struct claim *
make_claim(struct arena *arena, const struct plan *plan, const char *text)
{
	struct claim *claim = arena_alloc(arena, sizeof(*claim));
	struct address address = {.text = NULL};

	claim->plan = plan;
	claim->text = text;
	if (address_parse(&address, text, NULL) < 0)
		return claim;
	claim->text = arena_strdup(arena, address.text);
	if (address.kind == ADDRESS_TCP) {
		claim->port = address.port;
		set_families(claim, address.host);
	}
	address_fini(&address);
	return claim;
}

/* A name may be of either family: only one that takes both is certain to cover it. */
static bool
covers(const struct claim *any, const struct claim *other)
{
	if (!any->is_any)
		return false;
	return other->families == 0 ? any->families == FAMILY_BOTH : (any->families & other->families) != 0;
}

static const struct claim *
find_conflict(const struct claims *claims, const struct claim *claim)
{
	for (const struct claim *other = claims->first; other != NULL; other = other->next) {
		if (strcmp(other->text, claim->text) == 0)
			return other;
		if (claim->port != 0 && claim->port == other->port && (covers(claim, other) || covers(other, claim)))
			return other;
	}
	return NULL;
}

const struct plan *
claims_take(struct arena *arena, struct claims *claims, const struct plan *plan)
{
	struct claims with = *claims;

	for (size_t i = 0; i < plan->addresses.count; i++) {
		struct claim *claim = make_claim(arena, plan, plan->addresses.items[i]);
		const struct claim *conflict = find_conflict(&with, claim);

		if (conflict != NULL)
			return conflict->plan;
		claim->next = with.first;
		with.first = claim;
	}
	*claims = with;
	return NULL;
}
