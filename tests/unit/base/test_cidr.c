/* SPDX-License-Identifier: MIT */
/*
 * Tests of base/cidr: networks are exact, and neither notation of an address gets past them.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "base/address.h"
#include "base/cidr.h"
#include "base/errmsg.h"

struct example {
	const char *text;
	const char *expected; /* the normalised text, or what the error contains */
};

static struct cidr
network(const char *text)
{
	struct errmsg err;
	struct cidr cidr;

	ck_assert_msg(cidr_parse(&cidr, text, &err) == 0, "%s", err.text);
	return cidr;
}

static bool
contains(const char *text, const char *number)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct cidr cidr = network(text);
	struct peer peer;

	if (inet_pton(AF_INET, number, &in.sin_addr) == 1) {
		peer_from_sockaddr(&peer, (struct sockaddr *)&in, sizeof(in));
	} else {
		ck_assert_int_eq(inet_pton(AF_INET6, number, &in6.sin6_addr), 1);
		peer_from_sockaddr(&peer, (struct sockaddr *)&in6, sizeof(in6));
	}
	return cidr_contains(&cidr, &peer);
}

START_TEST(networks_are_normalised)
{
	static const struct example examples[] = {
		{ "10.0.0.0/8", "10.0.0.0/8" },
		{ "192.0.2.7", "192.0.2.7/32" },
		{ "192.0.2.7/32", "192.0.2.7/32" },
		{ "0.0.0.0/0", "0.0.0.0/0" },
		{ "128.0.0.0/1", "128.0.0.0/1" },
		{ "192.0.2.128/25", "192.0.2.128/25" },
		{ "::1", "::1/128" },
		{ "::/0", "::/0" },
		{ "2001:DB8:0::/32", "2001:db8::/32" },
		{ "2001:db8::1/128", "2001:db8::1/128" },
		{ "::ffff:10.0.0.0/104", "10.0.0.0/8" },
		{ "::ffff:192.0.2.1", "192.0.2.1/32" },
		{ "::ffff:0:0/96", "0.0.0.0/0" },
		{ "fe80::/010", "fe80::/10" },
	};
	char buf[CIDR_TEXT_MAX];

	for (size_t i = 0; i < CP_COUNT(examples); i++) {
		struct cidr cidr = network(examples[i].text);

		ck_assert_str_eq(cidr_format(&cidr, buf), examples[i].expected);
	}
}
END_TEST

START_TEST(other_networks_are_refused)
{
	static const struct example examples[] = {
		{ "", "expected an address or a network in numbers" },
		{ "localhost", "expected an address or a network in numbers" },
		{ "10.0.0/8", "expected an address or a network in numbers" },
		{ "256.0.0.0/8", "expected an address or a network in numbers" },
		{ " 10.0.0.0/8", "expected an address or a network in numbers" },
		{ "unix", "expected an address or a network in numbers" },
		{ "*", "for any address write \"0.0.0.0/0\" and \"::/0\"" },
		{ "[::1]", "no brackets" },
		{ "fe80::1%eth0", "no interface" },
		{ "10.0.0.0/33", "a number of bits from 0 to 32" },
		{ "::/129", "a number of bits from 0 to 128" },
		{ "10.0.0.0/", "a number of bits" },
		{ "10.0.0.0/-1", "a number of bits" },
		{ "10.0.0.0/8 ", "a number of bits" },
		{ "10.0.0.0/8/8", "a number of bits" },
		{ "10.0.0.0/255.0.0.0", "a number of bits" },
		{ "10.0.0.0/4294967304", "a number of bits" },
		{ "10.0.0.1/8", "bits are set behind the first 8: did you mean \"10.0.0.0/8\" or " },
		{ "0.0.0.1/0", "did you mean \"0.0.0.0/0\"" },
		{ "192.0.2.129/25", "did you mean \"192.0.2.128/25\"" },
		{ "192.0.2.1/31", "did you mean \"192.0.2.0/31\"" },
		{ "2001:db8::1/127", "did you mean \"2001:db8::/127\"" },
		{ "::1/0", "did you mean \"::/0\"" },
		{ "::ffff:10.0.0.0/90", "did you mean" },
	};

	for (size_t i = 0; i < CP_COUNT(examples); i++) {
		struct cidr cidr = { .prefix_bits = 99 };
		struct errmsg err = { "" };

		ck_assert_msg(cidr_parse(&cidr, examples[i].text, &err) == -EINVAL, "accepted: %s", examples[i].text);
		ck_assert_msg(strstr(err.text, examples[i].expected) != NULL, "%s", err.text);
		ck_assert_int_eq(strncmp(err.text, "network \"", 9), 0);
		ck_assert_uint_eq(cidr.prefix_bits, 99);
	}
}
END_TEST

START_TEST(network_contains_its_ends_and_no_neighbour)
{
	ck_assert(contains("10.0.0.0/8", "10.0.0.0"));
	ck_assert(contains("10.0.0.0/8", "10.255.255.255"));
	ck_assert(!contains("10.0.0.0/8", "9.255.255.255"));
	ck_assert(!contains("10.0.0.0/8", "11.0.0.0"));
	ck_assert(contains("192.0.2.128/25", "192.0.2.128"));
	ck_assert(!contains("192.0.2.128/25", "192.0.2.127"));
	ck_assert(contains("192.0.2.6/31", "192.0.2.7"));
	ck_assert(!contains("192.0.2.6/31", "192.0.2.8"));
	ck_assert(contains("192.0.2.7", "192.0.2.7"));
	ck_assert(!contains("192.0.2.7", "192.0.2.6"));
	ck_assert(contains("2001:db8::/33", "2001:db8:7fff::1"));
	ck_assert(!contains("2001:db8::/33", "2001:db8:8000::"));
	ck_assert(contains("::1", "::1"));
	ck_assert(!contains("::1", "::2"));
	ck_assert(contains("::/127", "::1"));
	ck_assert(!contains("::/127", "::2"));
}
END_TEST

START_TEST(networks_of_all_contain_their_family)
{
	struct peer local = { .family = AF_UNIX };
	struct peer none = { .family = AF_UNSPEC };
	struct cidr all4 = network("0.0.0.0/0");
	struct cidr all6 = network("::/0");

	ck_assert(contains("0.0.0.0/0", "255.255.255.255"));
	ck_assert(contains("::/0", "ffff::1"));
	ck_assert(!contains("0.0.0.0/0", "::1"));
	ck_assert(!contains("::/0", "192.0.2.1"));
	ck_assert(!cidr_contains(&all4, &local) && !cidr_contains(&all6, &local));
	ck_assert(!cidr_contains(&all4, &none) && !cidr_contains(&all6, &none));
}
END_TEST

START_TEST(mapped_notation_cannot_pass_a_network)
{
	ck_assert(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
	ck_assert(contains("::ffff:10.0.0.0/104", "10.1.2.3"));
	ck_assert(contains("::ffff:0:0/96", "192.0.2.1"));
	ck_assert(!contains("::/0", "::ffff:10.1.2.3"));
	ck_assert(!contains("::/96", "::ffff:10.1.2.3"));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("base/cidr");
	TCase *tc;
	SRunner *runner;
	int failed;

	tc = tcase_create("parse");
	tcase_add_test(tc, networks_are_normalised);
	tcase_add_test(tc, other_networks_are_refused);
	suite_add_tcase(suite, tc);
	tc = tcase_create("contains");
	tcase_add_test(tc, network_contains_its_ends_and_no_neighbour);
	tcase_add_test(tc, networks_of_all_contain_their_family);
	tcase_add_test(tc, mapped_notation_cannot_pass_a_network);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
