/* SPDX-License-Identifier: MIT */
/*
 * The columns of inetd.conf, in all their dialects.
 */
#include "config.h"

#include "import/inetd.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/defs.h"
#include "import/arena.h"
#include "import/entry.h"
#include "import/lines.h"
#include "import/report.h"
#include "rig.h"

static struct arena arena;
static struct report report;
static struct entries entries;

static void
parse(const char *text)
{
	struct words lines = {0};

	entries = (struct entries){.first = NULL};
	report = (struct report){.out = NULL};
	lines_split(&arena, &lines, text, strlen(text));
	inetd_parse(&arena, &report, &entries, "f", &lines);
}

/* What one line becomes, its name first. */
static void
check_line(const char *line, const char *expected)
{
	struct words found = {0};

	parse(line);
	ck_assert_msg(report.errors == 0 && entries.count == 1, "%s: %u errors", line, report.errors);
	words_add(&arena, &found, entries.first->name);
	for (const struct attribute *a = entries.first->attributes; a != NULL; a = a->next)
		words_add(&arena, &found, arena_printf(&arena, "%s=%s", a->name, words_join(&arena, &a->values, ",")));
	ck_assert_str_eq(words_join(&arena, &found, " "), expected);
	arena_fini(&arena);
}

START_TEST(a_line_has_six_columns_and_arguments)
{
	check_line("ftp stream tcp nowait root /usr/sbin/ftpd",
		"ftp socket_type=stream protocol=tcp wait=no user=root server=/usr/sbin/ftpd");
	check_line("ftp\tstream tcp nowait root /bin/sh sh -c 'a b'",
		"ftp socket_type=stream protocol=tcp wait=no user=root server=/bin/sh server_args=sh,-c,a b "
		"flags=NAMEINARGS");
	check_line("echo dgram udp wait root internal",
		"echo socket_type=dgram protocol=udp wait=yes user=root type=INTERNAL");
}
END_TEST

START_TEST(the_service_may_have_addresses)
{
	check_line("127.0.0.1:ftp stream tcp nowait root /x",
		"ftp socket_type=stream protocol=tcp bind=127.0.0.1 wait=no user=root server=/x");
	check_line("[::1],10.0.0.1:21 stream tcp nowait root /x",
		"21 socket_type=stream protocol=tcp bind=::1,10.0.0.1 wait=no user=root server=/x");
	check_line(
		"*:ftp stream tcp nowait root /x", "ftp socket_type=stream protocol=tcp wait=no user=root server=/x");
}
END_TEST

START_TEST(a_host_alone_counts_from_there_on)
{
	parse("a stream tcp nowait root /x\n127.0.0.1:\nb stream tcp nowait root /x\n*:\nc stream tcp nowait root "
	      "/x\n");
	ck_assert_uint_eq(report.errors, 0);
	ck_assert_uint_eq(entries.count, 3);
	ck_assert_ptr_null(entry_find(entries.first, "bind"));
	ck_assert_str_eq(entry_value(entries.first->next, "bind"), "127.0.0.1");
	ck_assert_ptr_null(entry_find(entries.first->next->next, "bind"));
	arena_fini(&arena);
}
END_TEST

START_TEST(the_protocol_has_families_and_options)
{
	check_line("x stream tcp4 nowait root /x",
		"x socket_type=stream flags=IPv4 protocol=tcp wait=no user=root server=/x");
	check_line("x stream tcp6 nowait root /x",
		"x socket_type=stream flags=IPv6 v6only=yes protocol=tcp wait=no user=root server=/x");
	check_line("x stream tcp46 nowait root /x", "x socket_type=stream protocol=tcp wait=no user=root server=/x");
	check_line("x stream tcp,sndbuf=16k,rcvbuf=1m nowait root /x",
		"x socket_type=stream protocol=tcp sndbuf=16k rcvbuf=1m wait=no user=root server=/x");
	check_line("rstatd/2-4 dgram rpc/udp wait root /x",
		"rstatd/2-4 socket_type=dgram type=RPC protocol=udp wait=yes user=root server=/x");
	check_line("/run/x stream unix nowait root /x",
		"/run/x socket_type=stream path=/run/x wait=no user=root server=/x");
	check_line("tcpmux/+date stream tcp nowait root /x",
		"tcpmux/+date socket_type=stream type=TCPMUX protocol=tcp wait=no user=root server=/x");
}
END_TEST

START_TEST(nowait_may_have_limits)
{
	check_line("x stream tcp nowait.40 root /x",
		"x socket_type=stream protocol=tcp wait=no max-per-minute=40 user=root server=/x");
	check_line("x stream tcp nowait/10/30/5 root /x", "x socket_type=stream protocol=tcp wait=no instances=10 "
							  "max-per-source-per-minute=30 per_source=5 user=root "
							  "server=/x");
	check_line("x stream tcp nowait/0 root /x", "x socket_type=stream protocol=tcp wait=no user=root server=/x");
}
END_TEST

START_TEST(the_user_may_have_a_group)
{
	check_line("x stream tcp nowait a.b /x", "x socket_type=stream protocol=tcp wait=no user=a group=b server=/x");
	check_line("x stream tcp nowait a:b /x", "x socket_type=stream protocol=tcp wait=no user=a group=b server=/x");
	check_line(
		"x stream tcp nowait a.c:b /x", "x socket_type=stream protocol=tcp wait=no user=a.c group=b server=/x");
	check_line("x stream tcp nowait a/daemon /x",
		"x socket_type=stream protocol=tcp wait=no user=a class=daemon server=/x");
}
END_TEST

START_TEST(comments_and_empty_lines_are_nothing)
{
	parse("# x\n\n   \n\t# y\n");
	ck_assert_uint_eq(report.errors, 0);
	ck_assert_uint_eq(entries.count, 0);
	arena_fini(&arena);
}
END_TEST

START_TEST(a_line_goes_on_where_the_next_begins_with_a_blank)
{
	check_line("x stream tcp nowait root\n\t/bin/echo echo a\n  b\n",
		"x socket_type=stream protocol=tcp wait=no user=root server=/bin/echo server_args=echo,a,b "
		"flags=NAMEINARGS");
}
END_TEST

START_TEST(what_update_inetd_switched_off_is_disabled)
{
	check_line("#<off># x\tstream tcp nowait root /x",
		"x socket_type=stream protocol=tcp wait=no user=root server=/x disable=yes");
}
END_TEST

START_TEST(what_is_wrong_is_reported_and_the_rest_is_read)
{
	static const char *const lines[] = {
		"ftp stream tcp nowait root\n",
		"ftp stream tcp perhaps root /x\n",
		"ftp stream tcp nowait root /x 'y\n",
	};

	for (size_t i = 0; i < CP_COUNT(lines); i++) {
		parse(arena_printf(&arena, "%sx stream tcp nowait root /x\n", lines[i]));
		ck_assert_uint_eq(report.errors, 1);
		ck_assert_uint_ge(entries.count, 1);
		arena_fini(&arena);
	}
}
END_TEST

static Suite *
inetd_suite(void)
{
	Suite *suite = suite_create("import/inetd");
	TCase *tc;

	tc = tcase_create("columns");
	tcase_add_test(tc, a_line_has_six_columns_and_arguments);
	tcase_add_test(tc, the_service_may_have_addresses);
	tcase_add_test(tc, a_host_alone_counts_from_there_on);
	tcase_add_test(tc, the_protocol_has_families_and_options);
	tcase_add_test(tc, nowait_may_have_limits);
	tcase_add_test(tc, the_user_may_have_a_group);
	suite_add_tcase(suite, tc);
	tc = tcase_create("lines");
	tcase_add_test(tc, comments_and_empty_lines_are_nothing);
	tcase_add_test(tc, a_line_goes_on_where_the_next_begins_with_a_blank);
	tcase_add_test(tc, what_update_inetd_switched_off_is_disabled);
	tcase_add_test(tc, what_is_wrong_is_reported_and_the_rest_is_read);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	return rig_run(inetd_suite());
}
