/* SPDX-License-Identifier: MIT */
/*
 * check_address - two listeners, or one, with one address twice; and "*" against a single address on the same port.
 *
 * The kernel would say EADDRINUSE at the start, or at a reload, to the second of them: better to say it with both lines
 * before anything is touched. Only what is certain is reported: names are not looked up.
 */
#include "config.h"

#include "conf/check.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/mem.h"

enum { FAMILY_4 = 1, FAMILY_6 = 2 };

/* One address with what decides about conflicts. */
struct claim {
	const struct conf_listener *listener;
	const struct address *address;
	size_t element;
	unsigned families; /* tcp: of FAMILY_4 and FAMILY_6 */
	bool is_any;       /* tcp: every local address of these families */
};

static struct claim
make_claim(const struct conf_listener *listener, size_t element)
{
	const struct address *address = &listener->addresses.items[element];
	struct claim claim = {.listener = listener, .address = address, .element = element};
	struct in_addr v4;
	struct in6_addr v6;

	if (address->kind != ADDRESS_TCP)
		return claim;
	if (strcmp(address->host, "*") == 0) {
		claim.is_any = true;
		claim.families = listener->ipv6_only == CONF_IPV6_ONLY_TRUE ? FAMILY_6 : FAMILY_4 | FAMILY_6;
	} else if (inet_pton(AF_INET, address->host, &v4) == 1) {
		claim.is_any = v4.s_addr == htonl(INADDR_ANY);
		claim.families = FAMILY_4;
	} else if (inet_pton(AF_INET6, address->host, &v6) == 1) {
		claim.is_any = IN6_IS_ADDR_UNSPECIFIED(&v6);
		claim.families = FAMILY_6;
		if (claim.is_any && listener->ipv6_only == CONF_IPV6_ONLY_FALSE)
			claim.families |= FAMILY_4;
	} else {
		/* A name may be of either family: only a claim to both is certain to cover it. */
		claim.families = 0;
	}
	return claim;
}

static bool
covers(const struct claim *any, const struct claim *other)
{
	if (!any->is_any)
		return false;
	if (other->families == 0)
		return any->families == (FAMILY_4 | FAMILY_6);
	return (any->families & other->families) != 0;
}

/* Sockets bound to two different interfaces never meet. */
static bool
is_on_other_device(const struct claim *a, const struct claim *b)
{
	const char *x = a->listener->bind_to_device;
	const char *y = b->listener->bind_to_device;

	return x != NULL && y != NULL && strcmp(x, y) != 0;
}

static bool
is_conflict(const struct claim *a, const struct claim *b)
{
	if (a->address->kind != b->address->kind)
		return false;
	if (a->address->kind == ADDRESS_TCP && (a->address->port == 0 || a->address->port != b->address->port))
		return false;
	/* Also with reuse_port: a reload tells sockets apart by their address. */
	if (strcmp(a->address->text, b->address->text) == 0)
		return true;
	if (a->address->kind != ADDRESS_TCP || (a->listener->reuse_port && b->listener->reuse_port))
		return false;
	return !is_on_other_device(a, b) && (covers(a, b) || covers(b, a));
}

static void
report_conflict(struct conf_loading *loading, const struct claim *claim, const struct claim *first)
{
	const struct check_option here = check_find_option(loading, claim->listener, "address", claim->element);
	const struct check_option there = check_find_option(loading, first->listener, "address", first->element);
	const char *name = first->listener->name != NULL ? first->listener->name : "";

	if (strcmp(claim->address->text, first->address->text) == 0)
		check_report(loading, &here,
			"\"%s\" stands twice, first for listener '%s' at %s:%u, expected each address once",
			claim->address->text, name, there.place.file, there.place.line);
	else
		check_report(loading, &here,
			"\"%s\" overlaps \"%s\" of listener '%s' at %s:%u, expected another port or reuse_port = true "
			"in both",
			claim->address->text, first->address->text, name, there.place.file, there.place.line);
}

/* Claims that can meet at all come together, each such group in the order of the files. */
static int
compare_claims(const void *left, const void *right)
{
	const struct claim *a = left;
	const struct claim *b = right;
	const struct address *x = a->address;
	const struct address *y = b->address;
	int order;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	if (x->kind == ADDRESS_TCP && x->port != y->port)
		return x->port < y->port ? -1 : 1;
	order = x->kind == ADDRESS_TCP ? 0 : strcmp(x->text, y->text);
	if (order != 0)
		return order;
	if (a->listener->index != b->listener->index)
		return a->listener->index < b->listener->index ? -1 : 1;
	return a->element < b->element ? -1 : 1;
}

static bool
is_one_group(const struct claim *a, const struct claim *b)
{
	if (a->address->kind != b->address->kind)
		return false;
	if (a->address->kind == ADDRESS_TCP)
		return a->address->port == b->address->port;
	return strcmp(a->address->text, b->address->text) == 0;
}

static void
check_claims(struct conf_loading *loading, struct claim *claims, size_t count)
{
	qsort(claims, count, sizeof(*claims), compare_claims);
	for (size_t start = 0, i = 0; i < count; i++) {
		if (!is_one_group(&claims[start], &claims[i]))
			start = i;
		if (claims[i].address->kind == ADDRESS_TCP && claims[i].address->port == 0)
			continue;
		for (size_t j = start; j < i; j++) {
			if (is_conflict(&claims[i], &claims[j])) {
				report_conflict(loading, &claims[i], &claims[j]);
				break;
			}
		}
	}
}

void
check_addresses(struct conf_loading *loading)
{
	const struct conf *conf = loading->conf;
	struct claim *claims;
	size_t count = 0;

	for (size_t i = 0; i < conf->listener_count; i++)
		count += conf->listeners[i]->addresses.count;
	claims = mem_zalloc_array(count, sizeof(*claims));
	if (claims == NULL) {
		report_no_memory(loading);
		return;
	}
	count = 0;
	for (size_t i = 0; i < conf->listener_count; i++) {
		for (size_t k = 0; k < conf->listeners[i]->addresses.count; k++)
			claims[count++] = make_claim(conf->listeners[i], k);
	}
	check_claims(loading, claims, count);
	mem_free(claims);
}
