/* SPDX-License-Identifier: MIT */
/*
 * Tests of conf/diff: each change is one line that says when it takes effect.
 */
#include "config.h"

#include <errno.h>

#include <check.h>

#include "base/mem.h"
#include "conf/diff.h"
#include "conffiles.h"

#define LISTENER(name, more) "{ name = \"" name "\"; address = \"tcp:*:0\"; service = \"echo\"; " more " }"

/* Compares two files and wants these lines, ended by NULL. */
static void
expect_lines(const char *before_text, const char *after_text, const char *const *wanted)
{
	struct conf *before = conffiles_load_good(before_text);
	struct conf *after = conffiles_load_good(after_text);
	struct conf_diff diff;
	size_t i;

	ck_assert_int_eq(conf_diff_init(&diff, before, after), 0);
	for (i = 0; i < diff.count && wanted[i] != NULL; i++)
		ck_assert_str_eq(diff.lines[i], wanted[i]);
	ck_assert_msg(i == diff.count, "more: %s", diff.lines[i]);
	ck_assert_msg(wanted[i] == NULL, "missing: %s", wanted[i]);
	conf_diff_fini(&diff);
	conf_unref(&before);
	conf_unref(&after);
}

START_TEST(same_files_differ_in_nothing)
{
	static const char text[] = "pools: { main: { workers = 2; }; };\nlisteners: ( " LISTENER(
		"a", "allow = [ \"::1\", \"10.0.0.0/8\" ];") ", { name = \"g\"; address = \"tcp:*:0\"; service = { "
							     "type = \"greet\"; greeting = \"x\"; }; } );";

	expect_lines(text, text, (const char *const[]){NULL});
	/* The same said in another way. */
	expect_lines("daemon: { drain_timeout = \"60s\"; };\n" CONFFILES_LISTENERS,
		CONFFILES_LISTENERS "daemon: { drain_timeout = \"1min\"; };\n", (const char *const[]){NULL});
}
END_TEST

START_TEST(parts_are_added_and_removed_by_name)
{
	expect_lines("pools: { main: {}; p: {}; };\nlisteners: ( " LISTENER("a", "") "," LISTENER("b", "") " );",
		"pools: { q: {}; main: {}; };\nlisteners: ( " LISTENER("c", "") "," LISTENER("a", "") " );",
		(const char *const[]){
			"pool 'q': added", "pool 'p': removed", "listener 'c': added", "listener 'b': removed", NULL});
}
END_TEST

START_TEST(changed_values_are_shown)
{
	expect_lines("daemon: { drain_timeout = 30; };\npools: { main: { workers = 2; }; };\nlisteners: ( " LISTENER(
			     "a", "") " );",
		"daemon: { drain_timeout = 10; max_connections = 9; };\npools: { main: { workers = 4; }; "
		"};\nlisteners: ( " LISTENER("a", "backlog = 5; allow = \"::1\";") " );",
		(const char *const[]){"daemon.max_connections: 100000 -> 9", "daemon.drain_timeout: \"30s\" -> \"10s\"",
			"pool 'main': workers 2 -> 4", "listener 'a': backlog 4096 -> 5",
			"listener 'a': allow none -> \"::1/128\", for new connections", NULL});
}
END_TEST

#define UPSTREAM(options, servers) "upstreams: { web: { " options " servers = ( " servers " ); }; };\n"
#define SERVER(address, more) "{ address = \"" address "\"; " more " }"

START_TEST(upstreams_are_compared_by_name_and_servers_by_address)
{
	expect_lines(UPSTREAM("", SERVER("tcp:a:1", "") "," SERVER("tcp:b:1", "")) CONFFILES_LISTENERS,
		UPSTREAM("retries = 5;", SERVER("tcp:c:1", "") "," SERVER(
						 "tcp:A:01", "weight = 2; send_proxy = \"v1\";")) CONFFILES_LISTENERS,
		(const char *const[]){"upstream 'web': retries 2 -> 5", "upstream 'web': server tcp:c:1 added",
			"upstream 'web': server tcp:a:1 weight 1 -> 2",
			"upstream 'web': server tcp:a:1 send_proxy \"none\" -> \"v1\", for new connections",
			"upstream 'web': server tcp:b:1 removed", NULL});
	expect_lines(UPSTREAM("", SERVER("tcp:a:1", "")) CONFFILES_LISTENERS,
		"upstreams: { other: { servers = ( { address = \"tcp:a:1\"; } ); }; };\n" CONFFILES_LISTENERS,
		(const char *const[]){"upstream 'other': added", "upstream 'web': removed", NULL});
}
END_TEST

START_TEST(resolver_is_compared)
{
	expect_lines(CONFFILES_LISTENERS, "resolver: { servers = \"::1\"; retry = 1; };\n" CONFFILES_LISTENERS,
		(const char *const[]){"resolver.servers: none -> \"::1\"", "resolver.retry: \"5s\" -> \"1s\"", NULL});
}
END_TEST

START_TEST(what_waits_says_so)
{
	expect_lines(CONFFILES_LISTENERS,
		"daemon: { user = \"root\"; };\nlisteners: ( " LISTENER("a", "reuse_port = true;") " );",
		(const char *const[]){"daemon.user: none -> \"root\", takes effect at the next restart",
			"listener 'a': reuse_port false -> true, open sockets keep the old value", NULL});
}
END_TEST

START_TEST(services_are_compared_by_their_options)
{
	expect_lines("listeners: ( { name = \"a\"; address = \"tcp:*:0\"; service = { type = \"greet\"; greeting = "
		     "\"x\"; }; } );",
		"listeners: ( { name = \"a\"; address = \"tcp:*:0\"; service = { type = \"greet\"; greeting = \"y\"; "
		"}; } );",
		(const char *const[]){"listener 'a': service { type = \"greet\"; count = 3; greeting = \"x\"; } -> "
				      "{ type = \"greet\"; count = 3; greeting = \"y\"; }, for new connections",
			NULL});
	expect_lines("listeners: ( { name = \"a\"; address = \"tcp:*:0\"; service = \"time\"; } );",
		CONFFILES_LISTENERS,
		(const char *const[]){"listener 'a': service \"time\" -> \"echo\", for new connections", NULL});
}
END_TEST

#define SHAPE \
	"listeners: ( { name = \"a\"; address = \"tcp:*:0\"; service = { type = \"shape\"; kind = \"flat\"; }; } );"

START_TEST(a_service_that_stands_on_something_else_has_changed)
{
	expect_lines(SHAPE, SHAPE, (const char *const[]){"listener 'a': service changed, for new connections", NULL});
}
END_TEST

START_TEST(long_values_are_left_out)
{
	char text[512];

	snprintf(text, sizeof(text), "listeners: ( " LISTENER("a", "busy_message = \"%0200d\";") " );", 0);
	expect_lines(CONFFILES_LISTENERS, text,
		(const char *const[]){"listener 'a': busy_message changed, for new connections", NULL});
}
END_TEST

START_TEST(no_memory_leaves_no_lines)
{
	struct conf *before = conffiles_load_good(
		UPSTREAM("", SERVER("tcp:a:1", "") "," SERVER(
				     "tcp:b:1", "")) "pools: { main: {}; p: {}; };\nlisteners: ( " LISTENER("a",
			"") "," LISTENER("b", "") " );");
	struct conf *after = conffiles_load_good(
		UPSTREAM("", SERVER("tcp:a:1", "weight = 2;") "," SERVER("tcp:c:1",
				     "")) "pools: { main: { workers = 9; }; q: {}; };\nlisteners: ( " LISTENER("a",
			"backlog = 1;") "," LISTENER("c", "") " );");
	struct conf_diff diff;
	int r = -ENOMEM;
	unsigned n;

	for (n = 1; r == -ENOMEM && n < 100; n++) {
		mem_fail_after(n);
		r = conf_diff_init(&diff, before, after);
		mem_fail_after(0);
		ck_assert(r == 0 || (diff.count == 0 && diff.lines == NULL));
	}
	ck_assert_int_eq(r, 0);
	ck_assert_uint_gt(n, 9);
	ck_assert_uint_eq(diff.count, 9);
	conf_diff_fini(&diff);
	conf_unref(&before);
	conf_unref(&after);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("conf/diff");
	TCase *tc = conffiles_case(suite, "lines");

	tcase_add_test(tc, same_files_differ_in_nothing);
	tcase_add_test(tc, parts_are_added_and_removed_by_name);
	tcase_add_test(tc, changed_values_are_shown);
	tcase_add_test(tc, upstreams_are_compared_by_name_and_servers_by_address);
	tcase_add_test(tc, resolver_is_compared);
	tcase_add_test(tc, what_waits_says_so);
	tcase_add_test(tc, services_are_compared_by_their_options);
	tcase_add_test(tc, a_service_that_stands_on_something_else_has_changed);
	tcase_add_test(tc, long_values_are_left_out);
	tc = conffiles_case(suite, "no memory");
	tcase_add_test(tc, no_memory_leaves_no_lines);
	return conffiles_run(suite);
}
