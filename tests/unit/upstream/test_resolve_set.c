/* SPDX-License-Identifier: MIT */
/*
 * test_resolve_set - sets of addresses: their order, doubles, and what stays of too many.
 */
#include "config.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "../net/netfixture.h"
#include "base/address.h"
#include "upstream/resolve_set.h"

static struct found_set set;

static struct found
make(const char *host, uint16_t port, unsigned weight, bool backup)
{
	struct found found = {.origin = 7};
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

	found.resolved.weight = weight;
	found.resolved.backup = backup;
	if (inet_pton(AF_INET, host, &v4.sin_addr) == 1)
		ck_assert(server_address_set(&found.resolved.address, (const struct sockaddr *)&v4, sizeof(v4), port));
	else if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1)
		ck_assert(server_address_set(&found.resolved.address, (const struct sockaddr *)&v6, sizeof(v6), port));
	else
		ck_abort_msg("%s is no address", host);
	return found;
}

static bool
add(const char *host, uint16_t port, unsigned weight, bool backup)
{
	const struct found found = make(host, port, weight, backup);

	return found_set_add(&set, &found);
}

static const char *
text_at(size_t i)
{
	static char text[ADDRESS_TEXT_MAX];
	const struct server_address *address = &set.items[i].resolved.address;
	struct peer peer;

	ck_assert_uint_lt(i, set.count);
	peer_from_sockaddr(&peer, &address->sa, address->length);
	return peer_format(&peer, text);
}

static void
empty_set(void)
{
	memset(&set, 0, sizeof(set));
}

START_TEST(addresses_are_sorted_with_backups_last)
{
	ck_assert(add("192.0.2.9", 80, 1, false));
	ck_assert(add("192.0.2.1", 80, 1, true));
	ck_assert(add("2001:db8::1", 80, 1, false));
	ck_assert(add("192.0.2.2", 81, 1, false));
	ck_assert(add("192.0.2.2", 80, 1, false));
	ck_assert_uint_eq(set.count, 5);
	ck_assert_str_eq(text_at(0), "192.0.2.2:80");
	ck_assert_str_eq(text_at(1), "192.0.2.2:81");
	ck_assert_str_eq(text_at(2), "192.0.2.9:80");
	ck_assert_str_eq(text_at(3), "[2001:db8::1]:80");
	ck_assert_str_eq(text_at(4), "192.0.2.1:80");
	ck_assert(set.items[4].resolved.backup);
}
END_TEST

START_TEST(of_doubles_the_better_one_stays)
{
	ck_assert(add("192.0.2.1", 80, 3, true));
	ck_assert(!add("192.0.2.1", 80, 2, true));
	ck_assert(add("192.0.2.1", 80, 4, true));
	ck_assert(add("192.0.2.1", 80, 1, false));
	ck_assert(!add("192.0.2.1", 80, 9, true));
	ck_assert_uint_eq(set.count, 1);
	ck_assert_uint_eq(set.items[0].resolved.weight, 1);
	ck_assert(!set.items[0].resolved.backup);
	ck_assert(!set.is_capped);
}
END_TEST

START_TEST(too_many_in_any_order_leave_the_same_ones)
{
	char host[32];

	for (unsigned order = 0; order < 2; order++) {
		empty_set();
		for (unsigned i = 0; i < 100; i++) {
			snprintf(host, sizeof(host), "192.0.2.%u", order == 0 ? i : 99 - i);
			(void)add(host, 80, 1, false);
		}
		ck_assert(set.is_capped);
		ck_assert_uint_eq(set.count, RESOLVED_MAX);
		ck_assert_str_eq(text_at(0), "192.0.2.0:80");
		ck_assert_str_eq(text_at(RESOLVED_MAX - 1), "192.0.2.63:80");
	}
}
END_TEST

START_TEST(a_primary_takes_the_place_of_a_backup)
{
	char host[32];

	for (unsigned i = 0; i < RESOLVED_MAX; i++) {
		snprintf(host, sizeof(host), "192.0.2.%u", i);
		ck_assert(add(host, 80, 1, true));
	}
	ck_assert(!set.is_capped);
	ck_assert(add("198.51.100.1", 80, 1, false));
	ck_assert(set.is_capped);
	ck_assert_uint_eq(set.count, RESOLVED_MAX);
	ck_assert_str_eq(text_at(0), "198.51.100.1:80");
	ck_assert_str_eq(text_at(RESOLVED_MAX - 1), "192.0.2.62:80");
}
END_TEST

START_TEST(equal_are_those_alike_in_all)
{
	const struct found one = make("192.0.2.1", 80, 1, false);
	const struct found same = make("192.0.2.1", 80, 1, false);
	const struct found others[] = {make("192.0.2.2", 80, 1, false), make("192.0.2.1", 81, 1, false),
		make("192.0.2.1", 80, 2, false), make("192.0.2.1", 80, 1, true), make("2001:db8::1", 80, 1, false)};

	ck_assert(resolved_is_equal(&one.resolved, &same.resolved));
	for (size_t i = 0; i < CP_COUNT(others); i++)
		ck_assert(!resolved_is_equal(&one.resolved, &others[i].resolved));
}
END_TEST

START_TEST(only_whole_ip_addresses_are_taken)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	struct sockaddr other = {.sa_family = AF_UNIX};
	struct server_address address;

	ck_assert(!server_address_set(&address, &other, sizeof(other), 80));
	ck_assert(!server_address_set(&address, (const struct sockaddr *)&v6, sizeof(v6) - 1, 80));
	ck_assert(server_address_set(&address, (const struct sockaddr *)&v6, sizeof(v6), 80));
	ck_assert_uint_eq(address.length, sizeof(v6));
}
END_TEST

static Suite *
make_suite(void)
{
	Suite *suite = suite_create("upstream/resolve_set");
	TCase *tc = tcase_create("set");

	tcase_add_checked_fixture(tc, empty_set, NULL);
	suite_add_tcase(suite, tc);
	tcase_add_test(tc, addresses_are_sorted_with_backups_last);
	tcase_add_test(tc, of_doubles_the_better_one_stays);
	tcase_add_test(tc, too_many_in_any_order_leave_the_same_ones);
	tcase_add_test(tc, a_primary_takes_the_place_of_a_backup);
	tcase_add_test(tc, equal_are_those_alike_in_all);
	tcase_add_test(tc, only_whole_ip_addresses_are_taken);
	return suite;
}

int
main(void)
{
	return fixture_run(make_suite());
}
