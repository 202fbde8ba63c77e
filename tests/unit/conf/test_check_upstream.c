/* SPDX-License-Identifier: MIT */
/*
 * Tests of conf/check_upstream: what upstreams, the resolver and listeners behind proxies may not say.
 */
#include "config.h"

#include <check.h>

#include "conf/check.h"
#include "conffiles.h"

/* A file with one upstream: its options on line 1, its servers from line 2 on. */
#define UPSTREAM(options, servers) \
	"upstreams: { web: { " options "\nservers = ( " servers " ); }; };\n" CONFFILES_LISTENERS
#define LISTENER(address, more) \
	"listeners: ( { name = \"a\"; address = \"" address "\"; service = \"echo\";\n" more " } );\n"
#define ONE "{ address = \"tcp:10.0.0.1:80\"; }"
#define SOCKET "{ address = \"unix:/run/x\"; }"

START_TEST(a_server_stands_once_in_an_upstream)
{
	conffiles_expect_good(UPSTREAM("", ONE ", { address = \"tcp:10.0.0.1:81\"; }"));
	conffiles_expect(UPSTREAM("", ONE ", { address = \"tcp:10.0.0.2:80\"; },\n{ address = \"tcp:10.0.0.1:080\"; }"),
		"main.conf:3: upstreams.web.servers.(2).address: \"tcp:10.0.0.1:80\" stands twice, first at /tmp/");
	conffiles_expect_good(
		"upstreams: { a: { servers = ( " ONE " ); }; b: { servers = ( " ONE " ); }; };\n" CONFFILES_LISTENERS);
}
END_TEST

START_TEST(a_third_one_is_reported_too)
{
	struct conf_errors errors;

	ck_assert_ptr_null(conffiles_load(UPSTREAM("", ONE ",\n" ONE ",\n" ONE), &errors));
	ck_assert_uint_eq(errors.count, 2);
	ck_assert(conffiles_has_error(&errors, "main.conf:3: upstreams.web.servers.(1).address: "));
	ck_assert(conffiles_has_error(&errors, "main.conf:4: upstreams.web.servers.(2).address: "));
	ck_assert(conffiles_has_error(&errors, "main.conf:2, expected each server once"));
	conf_errors_fini(&errors);
}
END_TEST

START_TEST(servers_may_all_be_backup)
{
	conffiles_expect_good(UPSTREAM("", "{ address = \"tcp:10.0.0.1:80\"; backup = true; }"));
}
END_TEST

START_TEST(checks_have_to_be_made_for_their_options_to_count)
{
	conffiles_expect_good(UPSTREAM("check = \"connect\"; check_send = \"x\"; check_expect = \"y\"; check_port = 8;"
				       "agent_port = 9; agent_send = \"z\";",
		ONE));
	conffiles_expect(UPSTREAM("check_send = \"x\";", ONE),
		"main.conf:1: upstreams.web.check_send: has no use by itself, expected check = \"connect\" with it");
	conffiles_expect(UPSTREAM("check_expect = \"x\";", ONE), "main.conf:1: upstreams.web.check_expect: has no use");
	conffiles_expect(UPSTREAM("check_port = 8;", ONE), "main.conf:1: upstreams.web.check_port: has no use");
	conffiles_expect(UPSTREAM("agent_send = \"x\";", ONE),
		"main.conf:1: upstreams.web.agent_send: has no use by itself, expected an agent_port with it");
}
END_TEST

START_TEST(unix_servers_have_no_ports)
{
	conffiles_expect_good(UPSTREAM("check = \"connect\";", SOCKET));
	conffiles_expect(UPSTREAM("agent_port = 9;", ONE ",\n" SOCKET),
		"main.conf:3: upstreams.web.servers.(1).address: \"unix:/run/x\" has no port for an agent");
	conffiles_expect(UPSTREAM("check = \"connect\"; check_port = 9;", SOCKET),
		"main.conf:2: upstreams.web.servers.(0).address: \"unix:/run/x\" is checked at its own socket");
}
END_TEST

START_TEST(ready_connections_are_within_max_connections)
{
	conffiles_expect_good(UPSTREAM("", "{ address = \"tcp:a:1\"; max_connections = 5; ready_connections = 5; }"));
	conffiles_expect_good(UPSTREAM("", "{ address = \"tcp:a:1\"; ready_connections = 5; }"));
	conffiles_expect(UPSTREAM("", "{ address = \"tcp:a:1\"; max_connections = 5;\nready_connections = 6; }"),
		"main.conf:3: upstreams.web.servers.(0).ready_connections: 6 are more than max_connections, expected "
		"0 to 5");
}
END_TEST

START_TEST(name_servers_are_numbers)
{
	conffiles_expect_good("resolver: { servers = [ \"192.0.2.1\", \"192.0.2.1:5353\", \"::1\", \"[::1]:53\" ]; "
			      "};\n" CONFFILES_LISTENERS);
	conffiles_expect("resolver: { servers = [ \"192.0.2.1\",\n\"dns.example.com\" ]; };\n" CONFFILES_LISTENERS,
		"main.conf:2: resolver.servers: \"dns.example.com\" is no name server, expected ADDRESS");
	conffiles_expect("resolver: { servers = \"dns.example.com:53\"; };\n" CONFFILES_LISTENERS,
		"main.conf:1: resolver.servers: \"dns.example.com:53\" is no name server");
	conffiles_expect("resolver: { servers = \"192.0.2.1:0\"; };\n" CONFFILES_LISTENERS,
		"main.conf:1: resolver.servers: \"192.0.2.1:0\" is no name server");
}
END_TEST

START_TEST(min_ttl_is_at_most_max_ttl)
{
	conffiles_expect_good("resolver: { min_ttl = 60; max_ttl = 60; };\n" CONFFILES_LISTENERS);
	conffiles_expect("resolver: {\nmin_ttl = 61;\nmax_ttl = 60; };\n" CONFFILES_LISTENERS,
		"main.conf:2: resolver.min_ttl: \"61s\" is more than max_ttl, expected \"1min\" at most");
	conffiles_expect("resolver: {\nmax_ttl = \"500ms\"; };\n" CONFFILES_LISTENERS,
		"main.conf:2: resolver.min_ttl: \"1s\" is more than max_ttl, expected \"500ms\" at most");
}
END_TEST

/* A listener that forwards to "wbe", where "web" is meant. */
static const char wrong_name[] = "listeners: ( { name = \"a\"; address = \"tcp:*:0\";\n"
				 "service = { type = \"forward\";\nupstream = \"wbe\"; }; } );\n";

START_TEST(upstream_that_is_none_is_reported_with_those_there_are)
{
	char text[512];

	conffiles_expect_good("upstreams: { wbe: { servers = ( " ONE " ); }; };\n"
			      "listeners: ( { name = \"a\"; address = \"tcp:*:0\"; service = { type = \"forward\"; "
			      "upstream = \"wbe\"; }; } );");
	snprintf(text, sizeof(text),
		"%supstreams: { web: { servers = ( " ONE " ); }; x: { servers = ( " ONE " ); }; };", wrong_name);
	conffiles_expect(text,
		"main.conf:3: listeners.(0).service.upstream: there is no upstream \"wbe\", did you mean 'web'? "
		"expected one of: web, x");
	snprintf(text, sizeof(text), "%supstreams: { other: { servers = ( " ONE " ); }; };", wrong_name);
	conffiles_expect(text,
		"main.conf:3: listeners.(0).service.upstream: there is no upstream \"wbe\", expected one of: other");
	conffiles_expect(wrong_name,
		"main.conf:3: listeners.(0).service.upstream: there is no upstream \"wbe\", expected a section "
		"upstreams: { wbe: ");
}
END_TEST

START_TEST(unread_files_may_hold_the_upstream)
{
	char text[512];
	struct conf_errors errors;

	ck_assert_int_eq(mkdir(conffiles_path("d"), 0700), 0);
	conffiles_write("d/a.conf", "upstreams: { broken");
	snprintf(text, sizeof(text), "include_dir = \"d\";\n%s", wrong_name);
	ck_assert_ptr_null(conffiles_load(text, &errors));
	ck_assert_uint_eq(errors.count, 1);
	ck_assert(!conffiles_has_error(&errors, "there is no upstream"));
	conf_errors_fini(&errors);
}
END_TEST

START_TEST(proxies_are_trusted_by_name_of_their_network)
{
	conffiles_expect_good(LISTENER("tcp:*:0", "accept_proxy = true; trusted_proxies = \"10.0.0.0/8\";"));
	conffiles_expect(LISTENER("tcp:*:0", "accept_proxy = true;"),
		"main.conf:2: listeners.(0).accept_proxy: anybody could claim any address at \"tcp:*:0\", expected "
		"trusted_proxies = [ \"NETWORK\", … ]");
	conffiles_expect(LISTENER("tcp:*:0", "trusted_proxies = \"::1\";"),
		"main.conf:2: listeners.(0).trusted_proxies: has no use by itself, expected accept_proxy = true");
}
END_TEST

START_TEST(unix_sockets_need_no_trust)
{
	conffiles_expect_good(LISTENER("unix:/run/x", "accept_proxy = true;"));
	conffiles_expect_good(LISTENER("systemd:x", "accept_proxy = true;"));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("conf/check_upstream");
	TCase *tc = conffiles_case(suite, "upstreams");

	tcase_add_test(tc, a_server_stands_once_in_an_upstream);
	tcase_add_test(tc, a_third_one_is_reported_too);
	tcase_add_test(tc, servers_may_all_be_backup);
	tcase_add_test(tc, checks_have_to_be_made_for_their_options_to_count);
	tcase_add_test(tc, unix_servers_have_no_ports);
	tcase_add_test(tc, ready_connections_are_within_max_connections);
	tc = conffiles_case(suite, "resolver");
	tcase_add_test(tc, name_servers_are_numbers);
	tcase_add_test(tc, min_ttl_is_at_most_max_ttl);
	tc = conffiles_case(suite, "listeners");
	tcase_add_test(tc, upstream_that_is_none_is_reported_with_those_there_are);
	tcase_add_test(tc, unread_files_may_hold_the_upstream);
	tcase_add_test(tc, proxies_are_trusted_by_name_of_their_network);
	tcase_add_test(tc, unix_sockets_need_no_trust);
	return conffiles_run(suite);
}
