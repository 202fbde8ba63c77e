/* SPDX-License-Identifier: MIT */
/*
 * test_route - what a route holds on to, and that it lets go of it.
 */
#include "config.h"

#include <check.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "connpoold/handler.h"
#include "net/acl.h"
#include "net/route.h"
#include "netfixture.h"

static const struct cp_handler handler = {.abi = CP_HANDLER_ABI, .name = "echo"};

/* ---- life ------------------------------------------------------------------------ */

START_TEST(it_joins_what_it_was_given)
{
	fixture_open("", "", &handler);
	ck_assert_uint_eq(fixture.route->magic, ROUTE_MAGIC);
	ck_assert_ptr_eq(fixture.route->conf, fixture.conf);
	ck_assert_ptr_eq(fixture.route->rule, fixture.conf->listeners[0]);
	ck_assert_ptr_eq(fixture.route->listener, fixture.listener);
	ck_assert_ptr_eq(fixture.route->handler, &handler);
	ck_assert_ptr_null(fixture.route->pool);
}
END_TEST

START_TEST(it_keeps_its_config_and_its_listener)
{
	struct route *route;

	fixture_open("", "", &handler);
	route = route_ref(fixture.route);
	fixture.listener->route = NULL;
	route_unref(&fixture.route);
	listener_unref(&fixture.listener);
	conf_unref(&fixture.conf);
	ck_assert_str_eq(route->rule->name, "web");
	ck_assert_str_eq(route->listener->name, "web");
	route_unref(&route);
	ck_assert_ptr_null(route);
}
END_TEST

START_TEST(it_gives_its_references_back)
{
	struct route *route;

	fixture_open("", "", &handler);
	route = route_new(fixture.conf, fixture.conf->listeners[0], fixture.listener, &handler, NULL);
	ck_assert_ptr_nonnull(route);
	ck_assert_uint_eq(atomic_load(&fixture.conf->refs), 3);
	ck_assert_uint_eq(atomic_load(&fixture.listener->refs), 3);
	route_unref(&route);
	ck_assert_uint_eq(atomic_load(&fixture.conf->refs), 2);
	ck_assert_uint_eq(atomic_load(&fixture.listener->refs), 2);
}
END_TEST

START_TEST(no_reference_is_none_to_give_back)
{
	struct route *route = NULL;

	route_unref(&route);
	ck_assert_ptr_null(route);
}
END_TEST

/* ---- access list ---------------------------------------------------------------------- */

START_TEST(without_allow_and_deny_it_has_no_list)
{
	fixture_open("", "", NULL);
	ck_assert_ptr_null(fixture.route->acl);
}
END_TEST

START_TEST(either_of_them_makes_one)
{
	struct route *other;
	struct peer peer;

	fixture_peer(&peer, "192.0.2.1");
	fixture_open("", "allow = \"10.0.0.0/8\";", NULL);
	ck_assert_ptr_nonnull(fixture.route->acl);
	ck_assert(!acl_permits(fixture.route->acl, &peer));
	other = fixture_route("", "deny = \"10.0.0.0/8\";");
	ck_assert_ptr_nonnull(other->acl);
	ck_assert(acl_permits(other->acl, &peer));
	route_unref(&other);
}
END_TEST

/* ---- memory -------------------------------------------------------------------------------- */

START_TEST(no_memory_is_told_and_holds_on_to_nothing)
{
	fixture_open("", "allow = \"10.0.0.0/8\";", NULL);
	for (unsigned n = 1; n <= 2; n++) {
		mem_fail_after(n);
		ck_assert_ptr_null(route_new(fixture.conf, fixture.conf->listeners[0], fixture.listener, NULL, NULL));
	}
	ck_assert_uint_eq(atomic_load(&fixture.conf->refs), 2);
	ck_assert_uint_eq(atomic_load(&fixture.listener->refs), 2);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("net/route");
	TCase *tc = fixture_case(suite, "life");

	tcase_add_test(tc, it_joins_what_it_was_given);
	tcase_add_test(tc, it_keeps_its_config_and_its_listener);
	tcase_add_test(tc, it_gives_its_references_back);
	tcase_add_test(tc, no_reference_is_none_to_give_back);
	tc = fixture_case(suite, "access list");
	tcase_add_test(tc, without_allow_and_deny_it_has_no_list);
	tcase_add_test(tc, either_of_them_makes_one);
	tc = fixture_case(suite, "memory");
	tcase_add_test(tc, no_memory_is_told_and_holds_on_to_nothing);
	return fixture_run(suite);
}
