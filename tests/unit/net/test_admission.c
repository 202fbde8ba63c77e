/* SPDX-License-Identifier: MIT */
/*
 * test_admission - the limits: in which order they are asked, and that every place taken is given back.
 */
#include "config.h"

#include <check.h>
#include <string.h>
#include <sys/socket.h>

#include "base/defs.h"
#include "base/mem.h"
#include "net/admission.h"
#include "net/route.h"
#include "net/sources.h"
#include "netfixture.h"

#define NO_LIMIT UINT64_MAX

static uint64_t
held(void)
{
	ck_assert_uint_eq(atomic_load(&fixture.listener->held), atomic_load(&fixture.totals.held));
	return atomic_load(&fixture.listener->held);
}

/* A connection that has no socket: admission looks at none. It counts on no sum. */
static void
arrive(struct accepted *accepted, const char *host)
{
	fixture_accept(accepted, -1, host);
	atomic_fetch_sub(&fixture.listener->counters.accepted, 1);
}

static enum conn_end
decide(struct accepted *accepted, const char *host, uint64_t daemon_max)
{
	arrive(accepted, host);
	return admission_decide(accepted, daemon_max);
}

static void
leave(struct accepted *accepted)
{
	admission_release(accepted);
	route_unref(&accepted->route);
}

/* ---- each limit -------------------------------------------------------------------- */

START_TEST(without_limits_everybody_is_admitted)
{
	struct accepted some[3];

	fixture_open("", "", NULL);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(decide(&some[i], "192.0.2.1", NO_LIMIT), CONN_END_NONE);
		ck_assert(some[i].admitted);
		ck_assert_uint_eq(held(), i + 1);
	}
	ck_assert_uint_eq(sources_count(fixture.listener->sources), 0);
	for (unsigned i = 0; i < 3; i++)
		leave(&some[i]);
	ck_assert_uint_eq(held(), 0);
}
END_TEST

START_TEST(the_access_list_refuses)
{
	struct accepted accepted;

	fixture_open("", "deny = \"192.0.2.0/24\";", NULL);
	ck_assert_int_eq(decide(&accepted, "192.0.2.1", NO_LIMIT), CONN_END_REFUSED_ACCESS);
	ck_assert(!accepted.admitted);
	ck_assert_uint_eq(held(), 0);
	leave(&accepted);
}
END_TEST

START_TEST(the_daemon_s_limit_refuses_and_lifts_by_itself)
{
	struct accepted first, second;

	fixture_open("", "", NULL);
	ck_assert_int_eq(decide(&first, "192.0.2.1", 1), CONN_END_NONE);
	ck_assert_int_eq(decide(&second, "192.0.2.2", 1), CONN_END_REFUSED_LIMIT);
	leave(&second);
	ck_assert_uint_eq(held(), 1);
	leave(&first);
	ck_assert_int_eq(decide(&second, "192.0.2.2", 1), CONN_END_NONE);
	leave(&second);
}
END_TEST

START_TEST(the_daemon_s_limit_counts_other_listeners_too)
{
	struct accepted accepted;

	fixture_open("", "", NULL);
	atomic_store(&fixture.totals.held, 5);
	ck_assert_int_eq(decide(&accepted, "192.0.2.1", 5), CONN_END_REFUSED_LIMIT);
	leave(&accepted);
	ck_assert_int_eq(decide(&accepted, "192.0.2.1", 6), CONN_END_NONE);
	leave(&accepted);
	ck_assert_uint_eq(atomic_exchange(&fixture.totals.held, 0), 5);
}
END_TEST

START_TEST(the_listener_s_limit_refuses_and_lifts_by_itself)
{
	struct accepted some[2], more;

	fixture_open("", "max_connections = 2;", NULL);
	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(decide(&some[i], "192.0.2.1", NO_LIMIT), CONN_END_NONE);
	ck_assert_int_eq(decide(&more, "192.0.2.1", NO_LIMIT), CONN_END_REFUSED_LIMIT);
	leave(&more);
	leave(&some[0]);
	ck_assert_int_eq(decide(&more, "192.0.2.1", NO_LIMIT), CONN_END_NONE);
	leave(&more);
	leave(&some[1]);
}
END_TEST

START_TEST(the_limit_a_source_refuses_and_lifts_by_itself)
{
	struct accepted first, second, other;

	fixture_open("", "max_per_source = 1;", NULL);
	ck_assert_int_eq(decide(&first, "192.0.2.1", NO_LIMIT), CONN_END_NONE);
	ck_assert_int_eq(decide(&second, "192.0.2.1", NO_LIMIT), CONN_END_REFUSED_SOURCE);
	leave(&second);
	ck_assert_int_eq(decide(&other, "2001:db8::1", NO_LIMIT), CONN_END_NONE);
	ck_assert_uint_eq(held(), 2);
	leave(&first);
	ck_assert_int_eq(decide(&second, "192.0.2.1", NO_LIMIT), CONN_END_NONE);
	leave(&second);
	leave(&other);
	ck_assert_uint_eq(sources_count(fixture.listener->sources), 0);
}
END_TEST

START_TEST(unix_clients_are_not_counted_by_source)
{
	struct accepted some[3];

	fixture_open("", "max_per_source = 1;", NULL);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(decide(&some[i], NULL, NO_LIMIT), CONN_END_NONE);
	ck_assert_uint_eq(sources_count(fixture.listener->sources), 0);
	for (unsigned i = 0; i < 3; i++)
		leave(&some[i]);
}
END_TEST

/* ---- order and release ----------------------------------------------------------------- */

START_TEST(who_may_not_come_in_is_told_so_whatever_is_full)
{
	struct accepted accepted;

	fixture_open("", "deny = \"192.0.2.0/24\"; max_connections = 1; max_per_source = 1;", NULL);
	ck_assert_int_eq(decide(&accepted, "192.0.2.1", 0), CONN_END_REFUSED_ACCESS);
	leave(&accepted);
}
END_TEST

START_TEST(a_full_listener_does_not_count_its_sources)
{
	struct accepted first, second;

	fixture_open("", "max_connections = 1; max_per_source = 5;", NULL);
	ck_assert_int_eq(decide(&first, "192.0.2.1", NO_LIMIT), CONN_END_NONE);
	ck_assert_int_eq(decide(&second, "192.0.2.2", NO_LIMIT), CONN_END_REFUSED_LIMIT);
	ck_assert_uint_eq(sources_count(fixture.listener->sources), 1);
	leave(&second);
	leave(&first);
}
END_TEST

START_TEST(no_memory_for_its_source_refuses_it_and_takes_no_place)
{
	struct accepted accepted;

	fixture_open("", "max_per_source = 1;", NULL);
	arrive(&accepted, "192.0.2.1");
	mem_fail_after(1);
	ck_assert_int_eq(admission_decide(&accepted, NO_LIMIT), CONN_END_REFUSED_MEMORY);
	ck_assert_uint_eq(held(), 0);
	leave(&accepted);
	ck_assert_int_eq(decide(&accepted, "192.0.2.1", NO_LIMIT), CONN_END_NONE);
	leave(&accepted);
}
END_TEST

START_TEST(a_place_is_given_back_once)
{
	struct accepted first, second;

	fixture_open("", "max_per_source = 2;", NULL);
	ck_assert_int_eq(decide(&first, "192.0.2.1", NO_LIMIT), CONN_END_NONE);
	ck_assert_int_eq(decide(&second, "192.0.2.1", NO_LIMIT), CONN_END_NONE);
	admission_release(&first);
	admission_release(&first);
	ck_assert_uint_eq(held(), 1);
	leave(&first);
	leave(&second);
}
END_TEST

/* A reload switches max_per_source on or off while connections are open: each goes by the rule it came in under. */
START_TEST(it_leaves_by_the_rule_it_came_in_under)
{
	struct accepted old, new;
	struct route *route;

	fixture_open("", "", NULL);
	ck_assert_int_eq(decide(&old, "192.0.2.1", NO_LIMIT), CONN_END_NONE);
	route = fixture_route("", "max_per_source = 1;");
	arrive(&new, "192.0.2.1");
	route_unref(&new.route);
	new.route = route;
	ck_assert_int_eq(admission_decide(&new, NO_LIMIT), CONN_END_NONE);
	leave(&old);
	ck_assert_uint_eq(sources_count(fixture.listener->sources), 1);
	leave(&new);
	ck_assert_uint_eq(sources_count(fixture.listener->sources), 0);
}
END_TEST

/* ---- behind a proxy ------------------------------------------------------------------ */

#define BEHIND "accept_proxy = true; trusted_proxies = [ \"192.0.2.0/24\", \"2001:db8::/32\" ];"

static enum conn_end
readmit(struct accepted *accepted, const char *host)
{
	struct peer client;
	enum conn_end refusal;

	fixture_peer(&client, host);
	refusal = admission_readmit(accepted, &client);
	ck_assert_mem_eq(&accepted->peer, &client, sizeof(client));
	return refusal;
}

START_TEST(only_a_trusted_proxy_may_speak_for_others)
{
	static const char *const trusted[] = {"192.0.2.255", "2001:db8::1", NULL};
	static const char *const others[] = {"192.0.3.1", "2001:db9::1", "::1"};
	struct accepted accepted;
	const char *text;

	fixture_open("", BEHIND, NULL);
	for (unsigned i = 0; i < CP_COUNT(trusted); i++) {
		ck_assert_int_eq(decide(&accepted, trusted[i], NO_LIMIT), CONN_END_NONE);
		leave(&accepted);
	}
	fixture_capture();
	for (unsigned i = 0; i < CP_COUNT(others); i++) {
		ck_assert_int_eq(decide(&accepted, others[i], NO_LIMIT), CONN_END_REFUSED_PROXY);
		leave(&accepted);
	}
	text = fixture_captured();
	ck_assert_msg(strstr(text, "192.0.3.1:4711, which should be a trusted proxy: it is not one of trusted_proxies"),
		"%s", text);
	ck_assert_uint_eq(fixture_count(text, "\n"), 1);
	ck_assert_uint_eq(held(), 0);
}
END_TEST

START_TEST(without_trusted_proxies_only_a_unix_socket_s_are_trusted)
{
	struct accepted accepted;

	fixture_open("", "address = \"unix:/run/web.sock\"; accept_proxy = true;", NULL);
	ck_assert_int_eq(decide(&accepted, NULL, NO_LIMIT), CONN_END_NONE);
	leave(&accepted);
	ck_assert_int_eq(decide(&accepted, "127.0.0.1", NO_LIMIT), CONN_END_REFUSED_PROXY);
	leave(&accepted);
	arrive(&accepted, "127.0.0.1");
	accepted.peer.family = AF_UNSPEC;
	ck_assert_int_eq(admission_decide(&accepted, NO_LIMIT), CONN_END_REFUSED_PROXY);
	leave(&accepted);
}
END_TEST

START_TEST(the_proxy_s_own_address_is_neither_looked_up_nor_counted)
{
	struct accepted first, second, third;

	fixture_open("", BEHIND "deny = \"192.0.2.1\"; max_per_source = 1; max_connections = 2;", NULL);
	ck_assert_int_eq(decide(&first, "192.0.2.1", NO_LIMIT), CONN_END_NONE);
	ck_assert_int_eq(decide(&second, "192.0.2.1", NO_LIMIT), CONN_END_NONE);
	ck_assert_uint_eq(sources_count(fixture.listener->sources), 0);
	ck_assert_int_eq(decide(&third, "192.0.2.1", NO_LIMIT), CONN_END_REFUSED_LIMIT);
	leave(&third);
	leave(&first);
	ck_assert_int_eq(decide(&third, "192.0.2.1", 1), CONN_END_REFUSED_LIMIT);
	leave(&third);
	leave(&second);
}
END_TEST

START_TEST(the_client_that_is_named_is_looked_up)
{
	struct accepted accepted;

	fixture_open("", BEHIND "allow = \"198.51.100.0/24\";", NULL);
	ck_assert_int_eq(decide(&accepted, "192.0.2.1", NO_LIMIT), CONN_END_NONE);
	ck_assert_int_eq(readmit(&accepted, "198.51.100.1"), CONN_END_NONE);
	ck_assert_uint_eq(held(), 1);
	leave(&accepted);
	ck_assert_int_eq(decide(&accepted, "192.0.2.1", NO_LIMIT), CONN_END_NONE);
	ck_assert_int_eq(readmit(&accepted, "203.0.113.1"), CONN_END_REFUSED_ACCESS);
	leave(&accepted);
	ck_assert_uint_eq(held(), 0);
}
END_TEST

START_TEST(the_client_that_is_named_is_counted_and_given_back)
{
	struct accepted first, second, other;

	fixture_open("", BEHIND "max_per_source = 1;", NULL);
	ck_assert_int_eq(decide(&first, "192.0.2.1", NO_LIMIT), CONN_END_NONE);
	ck_assert_int_eq(readmit(&first, "203.0.113.1"), CONN_END_NONE);
	ck_assert_int_eq(decide(&second, "192.0.2.1", NO_LIMIT), CONN_END_NONE);
	ck_assert_int_eq(readmit(&second, "203.0.113.1"), CONN_END_REFUSED_SOURCE);
	/* It took no place of that address, and gives none back. */
	leave(&second);
	ck_assert_int_eq(decide(&second, "192.0.2.1", NO_LIMIT), CONN_END_NONE);
	ck_assert_int_eq(readmit(&second, "203.0.113.1"), CONN_END_REFUSED_SOURCE);
	ck_assert_int_eq(decide(&other, "192.0.2.1", NO_LIMIT), CONN_END_NONE);
	ck_assert_int_eq(readmit(&other, "203.0.113.2"), CONN_END_NONE);
	ck_assert_uint_eq(sources_count(fixture.listener->sources), 2);
	leave(&second);
	leave(&first);
	leave(&other);
	ck_assert_uint_eq(sources_count(fixture.listener->sources), 0);
}
END_TEST

START_TEST(no_memory_for_the_client_that_is_named_refuses_it)
{
	struct accepted accepted;

	fixture_open("", BEHIND "max_per_source = 1;", NULL);
	ck_assert_int_eq(decide(&accepted, "192.0.2.1", NO_LIMIT), CONN_END_NONE);
	mem_fail_after(1);
	ck_assert_int_eq(readmit(&accepted, "203.0.113.1"), CONN_END_REFUSED_MEMORY);
	leave(&accepted);
	ck_assert_uint_eq(held(), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("net/admission");
	TCase *tc = fixture_case(suite, "limits");

	tcase_add_test(tc, without_limits_everybody_is_admitted);
	tcase_add_test(tc, the_access_list_refuses);
	tcase_add_test(tc, the_daemon_s_limit_refuses_and_lifts_by_itself);
	tcase_add_test(tc, the_daemon_s_limit_counts_other_listeners_too);
	tcase_add_test(tc, the_listener_s_limit_refuses_and_lifts_by_itself);
	tcase_add_test(tc, the_limit_a_source_refuses_and_lifts_by_itself);
	tcase_add_test(tc, unix_clients_are_not_counted_by_source);
	tc = fixture_case(suite, "order and release");
	tcase_add_test(tc, who_may_not_come_in_is_told_so_whatever_is_full);
	tcase_add_test(tc, a_full_listener_does_not_count_its_sources);
	tcase_add_test(tc, no_memory_for_its_source_refuses_it_and_takes_no_place);
	tcase_add_test(tc, a_place_is_given_back_once);
	tcase_add_test(tc, it_leaves_by_the_rule_it_came_in_under);
	tc = fixture_case(suite, "behind a proxy");
	tcase_add_test(tc, only_a_trusted_proxy_may_speak_for_others);
	tcase_add_test(tc, without_trusted_proxies_only_a_unix_socket_s_are_trusted);
	tcase_add_test(tc, the_proxy_s_own_address_is_neither_looked_up_nor_counted);
	tcase_add_test(tc, the_client_that_is_named_is_looked_up);
	tcase_add_test(tc, the_client_that_is_named_is_counted_and_given_back);
	tcase_add_test(tc, no_memory_for_the_client_that_is_named_refuses_it);
	return fixture_run(suite);
}
