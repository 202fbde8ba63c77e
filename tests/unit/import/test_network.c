/* SPDX-License-Identifier: MIT */
/*
 * The notations of only_from, each as the networks that it stands for.
 */
#include "config.h"

#include "import/network.h"

#include <check.h>
#include <errno.h>
#include <string.h>

#include "base/cidr.h"
#include "base/errmsg.h"
#include "import/arena.h"
#include "import/words.h"
#include "rig.h"

static struct arena arena;

static void
check_networks(const char *item, const char *expected)
{
	struct words networks = {0};
	struct errmsg err = {.text = ""};

	ck_assert_msg(network_convert(&arena, &networks, item, &err) == 0, "%s: %s", item, err.text);
	ck_assert_str_eq(words_join(&arena, &networks, " "), expected);
	/* The daemon's own parser takes each. */
	for (size_t i = 0; i < networks.count; i++) {
		struct cidr cidr;

		ck_assert_msg(cidr_parse(&cidr, networks.items[i], &err) == 0, "%s: %s", item, err.text);
	}
	arena_fini(&arena);
}

static void
check_refused(const char *item, const char *why)
{
	struct words networks = {0};
	struct errmsg err = {.text = ""};

	ck_assert_int_eq(network_convert(&arena, &networks, item, &err), -EINVAL);
	ck_assert_uint_eq(networks.count, 0);
	rig_expect(err.text, why);
	arena_fini(&arena);
}

START_TEST(an_address_is_itself)
{
	check_networks("192.0.2.7", "192.0.2.7");
	check_networks("2001:DB8::7", "2001:db8::7");
	check_networks("::1", "::1");
}
END_TEST

START_TEST(zeros_at_the_end_match_anything)
{
	check_networks("10.1.2.0", "10.1.2.0/24");
	check_networks("10.1.0.0", "10.1.0.0/16");
	check_networks("10.0.0.0", "10.0.0.0/8");
	check_networks("0.0.0.0", "0.0.0.0/0");
	check_networks("10.0.0.1", "10.0.0.1");
}
END_TEST

START_TEST(parts_that_are_missing_match_anything)
{
	check_networks("10.1", "10.1.0.0/16");
	check_networks("127.0.0", "127.0.0.0/8");
}
END_TEST

START_TEST(prefixes_lose_host_bits)
{
	check_networks("192.0.2.9/24", "192.0.2.0/24");
	check_networks("10.0.0.0/8", "10.0.0.0/8");
	check_networks("1.2.3.4/32", "1.2.3.4");
	check_networks("0.0.0.0/0", "0.0.0.0/0");
	check_networks("2001:db8::1/46", "2001:db8::/46");
	check_networks("::1/128", "::1");
	check_networks("::/0", "::/0");
}
END_TEST

START_TEST(factors_are_several_networks)
{
	check_networks("10.1.2.{4,5}", "10.1.2.4 10.1.2.5");
	check_networks("10.1.{0,3}", "10.1.0.0/24 10.1.3.0/24");
	check_networks("10.{7}", "10.7.0.0/16");
}
END_TEST

START_TEST(names_are_refused)
{
	check_refused("trusted.example.org", "is a name");
	check_refused(".example.org", "is a name");
	check_refused("localnet", "is a name");
}
END_TEST

START_TEST(what_is_no_address_is_refused)
{
	static const char *const items[] = {
		"",
		"256.1.1.1",
		"1.2.3.4.5",
		"1..2",
		"1.2.3.4/33",
		"1.2.3.4/",
		"1.2.{3,4",
		"1.2.{}",
		"1.2.3.4{5}",
		"1.2.3.4.{5}",
		"1.{2,256}",
		"::1/129",
		"::g",
		"1:2",
		"1.2.3.4/8x",
		"99999999999.1",
	};

	for (size_t i = 0; i < CP_COUNT(items); i++)
		check_refused(items[i], items[i]);
}
END_TEST

static Suite *
network_suite(void)
{
	Suite *suite = suite_create("import/network");
	TCase *tc;

	tc = tcase_create("addresses");
	tcase_add_test(tc, an_address_is_itself);
	tcase_add_test(tc, zeros_at_the_end_match_anything);
	tcase_add_test(tc, parts_that_are_missing_match_anything);
	tcase_add_test(tc, prefixes_lose_host_bits);
	tcase_add_test(tc, factors_are_several_networks);
	suite_add_tcase(suite, tc);
	tc = tcase_create("refusals");
	tcase_add_test(tc, names_are_refused);
	tcase_add_test(tc, what_is_no_address_is_refused);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	return rig_run(network_suite());
}
