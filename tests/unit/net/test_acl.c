/* SPDX-License-Identifier: MIT */
/*
 * test_acl - who may connect: the longest match, and what holds where nothing matches.
 */
#include "config.h"

#include <check.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "net/acl.h"
#include "netfixture.h"

static struct acl *acl;

/* Makes the list of what a config says. */
static void
make(const char *options)
{
	struct conf *conf = fixture_conf("", options);

	acl = acl_new(&conf->listeners[0]->allow, &conf->listeners[0]->deny);
	ck_assert_ptr_nonnull(acl);
	/* It must not need the config any more. */
	conf_unref(&conf);
}

static bool
permits(const char *host)
{
	struct peer peer;

	fixture_peer(&peer, host);
	return acl_permits(acl, &peer);
}

static void
tear_down(void)
{
	acl_free(&acl);
	ck_assert_ptr_null(acl);
}

/* ---- defaults ------------------------------------------------------------------ */

START_TEST(no_list_lets_everybody_in)
{
	ck_assert(permits("192.0.2.1"));
	ck_assert(permits("2001:db8::1"));
	ck_assert(permits(NULL));
}
END_TEST

START_TEST(with_allow_alone_all_others_are_refused)
{
	make("allow = \"10.0.0.0/8\";");
	ck_assert(permits("10.255.0.1"));
	ck_assert(!permits("11.0.0.1"));
	ck_assert(!permits("::1"));
}
END_TEST

START_TEST(with_deny_alone_all_others_are_let_in)
{
	make("deny = [ \"10.0.0.0/8\", \"2001:db8::/32\" ];");
	ck_assert(!permits("10.255.0.1"));
	ck_assert(!permits("2001:db8::7"));
	ck_assert(permits("11.0.0.1"));
	ck_assert(permits("2001:db9::7"));
}
END_TEST

START_TEST(with_both_an_address_that_matches_nothing_is_refused)
{
	make("allow = \"10.0.0.0/8\"; deny = \"10.1.0.0/16\";");
	ck_assert(!permits("192.0.2.1"));
}
END_TEST

START_TEST(unix_clients_are_let_in_whatever_the_list_says)
{
	make("allow = \"10.0.0.0/8\"; deny = [ \"0.0.0.0/0\", \"::/0\" ];");
	ck_assert(permits(NULL));
}
END_TEST

/* ---- longest match ---------------------------------------------------------------- */

START_TEST(the_longest_match_decides_whichever_list_it_is_in)
{
	make("allow = [ \"10.0.0.0/8\", \"10.1.2.0/24\" ]; deny = [ \"10.1.0.0/16\", \"10.1.2.3\" ];");
	ck_assert(permits("10.2.0.1"));
	ck_assert(!permits("10.1.9.9"));
	ck_assert(permits("10.1.2.4"));
	ck_assert(!permits("10.1.2.3"));
}
END_TEST

START_TEST(the_order_in_the_file_does_not_matter)
{
	make("deny = [ \"10.1.2.3\", \"10.1.0.0/16\" ]; allow = [ \"10.1.2.0/24\", \"10.0.0.0/8\" ];");
	ck_assert(permits("10.2.0.1"));
	ck_assert(!permits("10.1.9.9"));
	ck_assert(permits("10.1.2.4"));
	ck_assert(!permits("10.1.2.3"));
}
END_TEST

START_TEST(ipv6_has_its_longest_match_too)
{
	make("allow = [ \"2001:db8::/32\", \"2001:db8:1:1::/64\" ]; deny = \"2001:db8:1::/48\";");
	ck_assert(permits("2001:db8:2::1"));
	ck_assert(!permits("2001:db8:1:2::1"));
	ck_assert(permits("2001:db8:1:1::1"));
}
END_TEST

/* A long IPv6 prefix is no better a match for an IPv4 address than a short IPv4 one. */
START_TEST(the_families_do_not_mix)
{
	make("deny = [ \"::/0\", \"2001:db8::1\" ]; allow = \"0.0.0.0/0\";");
	ck_assert(permits("192.0.2.1"));
	ck_assert(!permits("2001:db8::1"));
	ck_assert(!permits("2001:db8::2"));
}
END_TEST

START_TEST(a_mapped_address_is_judged_as_ipv4)
{
	make("deny = \"::ffff:10.0.0.0/104\";");
	ck_assert(!permits("10.0.0.1"));
	ck_assert(permits("11.0.0.1"));
}
END_TEST

/* ---- memory -------------------------------------------------------------------------- */

START_TEST(no_memory_is_told)
{
	struct conf *conf = fixture_conf("", "allow = \"10.0.0.0/8\";");

	mem_fail_after(1);
	ck_assert_ptr_null(acl_new(&conf->listeners[0]->allow, &conf->listeners[0]->deny));
	conf_unref(&conf);
}
END_TEST

static TCase *
acl_case(Suite *suite, const char *name)
{
	TCase *tc = fixture_case(suite, name);

	tcase_add_checked_fixture(tc, NULL, tear_down);
	return tc;
}

int
main(void)
{
	Suite *suite = suite_create("net/acl");
	TCase *tc = acl_case(suite, "defaults");

	tcase_add_test(tc, no_list_lets_everybody_in);
	tcase_add_test(tc, with_allow_alone_all_others_are_refused);
	tcase_add_test(tc, with_deny_alone_all_others_are_let_in);
	tcase_add_test(tc, with_both_an_address_that_matches_nothing_is_refused);
	tcase_add_test(tc, unix_clients_are_let_in_whatever_the_list_says);
	tc = acl_case(suite, "longest match");
	tcase_add_test(tc, the_longest_match_decides_whichever_list_it_is_in);
	tcase_add_test(tc, the_order_in_the_file_does_not_matter);
	tcase_add_test(tc, ipv6_has_its_longest_match_too);
	tcase_add_test(tc, the_families_do_not_mix);
	tcase_add_test(tc, a_mapped_address_is_judged_as_ipv4);
	tc = acl_case(suite, "memory");
	tcase_add_test(tc, no_memory_is_told);
	return fixture_run(suite);
}
