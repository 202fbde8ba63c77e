/* SPDX-License-Identifier: MIT */
/*
 * Tests of conf/dump: a dump is a config file that says the same, and the help names every option.
 */
#include "config.h"

#include <check.h>

#include "base/address.h"
#include "conf/dump.h"
#include "conf/options.h"
#include "conffiles.h"

static const char rich[] =
	"daemon: { max_connections = 7; drain_timeout = 90; };\n"
	"log: { target = \"stderr\"; level = \"debug\"; };\n"
	"pools: { jobs: { workers = 3; queue_full = \"reject\"; queue_timeout = \"1500ms\"; stack_size = 20000; }; };\n"
	"resolver: { servers = [ \"192.0.2.53\", \"[::1]:5353\" ]; max_ttl = 60; };\n"
	"upstreams: {\n"
	"  a: { check = \"connect\"; check_send = \"PING\\r\\n\"; servers = ( { address = \"tcp:A:080\"; weight = 3; "
	"},\n"
	"    { address = \"unix:@x\"; backup = true; }, { address = \"srv:_a._tcp.b\"; send_proxy = \"v2\"; } ); };\n"
	"  b: { balance = \"first\"; servers = ( { address = \"tcp:[::1]:1\"; } ); }; };\n"
	"listeners: (\n"
	"  { name = \"a\"; address = [ \"tcp:*:0\", \"tcp:[::1]:7007\", \"unix:@a b\", \"systemd:x\" ]; service = "
	"\"echo\";\n"
	"    ipv6_only = false; socket_mode = \"0600\"; allow = [ \"10.0.0.0/8\", \"::1\", \"192.0.2.7\" ];\n"
	"    busy_message = \"\\\\ \\\"busy\\\"\\r\\n\\t\\x01\\x7F é\"; receive_buffer = \"5MB\"; },\n"
	"  { name = \"b\"; address = \"unix:/run/b\"; service = { type = \"greet\"; greeting = \"hi\"; words = \"x\"; "
	"}; pool = \"jobs\"; },\n"
	"  { name = \"c\"; address = \"unix:/run/c\"; accept_proxy = true; service = { type = \"forward\"; upstream = "
	"\"b\"; }; } );\n";

/* Owned by the caller (free). */
static char *
dump(const struct conf *conf)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	conf_dump(conf, out);
	ck_assert_int_eq(fclose(out), 0);
	return text;
}

static char *
help(void)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	conf_help(conffiles_types, out);
	ck_assert_int_eq(fclose(out), 0);
	return text;
}

static void
expect_value(const struct option *row, const void *field, const char *wanted)
{
	char text[64] = "";
	FILE *out = fmemopen(text, sizeof(text), "w");

	conf_dump_value(row, field, out);
	fclose(out);
	ck_assert_str_eq(text, wanted);
}

START_TEST(dump_reads_back_as_the_same_dump)
{
	struct conf *conf;
	char *first;
	char *second;

	conf = conffiles_load_good(rich);
	first = dump(conf);
	conf_unref(&conf);
	conf = conffiles_load_good(first);
	second = dump(conf);
	ck_assert_str_eq(first, second);
	ck_assert_str_eq(conf->listeners[0]->busy_message, "\\ \"busy\"\r\n\t\x01\x7f é");
	ck_assert_str_eq(conf->upstreams[0]->check_send, "PING\r\n");
	ck_assert_uint_eq(conf->upstreams[0]->server_count, 3);
	ck_assert_str_eq(conf->upstreams[0]->servers[0]->address->text, "tcp:a:80");
	conf_unref(&conf);
	free(first);
	free(second);
}
END_TEST

START_TEST(dump_has_defaults_and_what_was_written)
{
	struct conf *conf = conffiles_load_good(CONFFILES_LISTENERS);
	char *text = dump(conf);

	ck_assert_ptr_nonnull(strstr(text, "\tdrain_timeout = \"30s\";\n"));
	ck_assert_ptr_nonnull(strstr(text, "\t\tworkers = 0;\n"));
	ck_assert_ptr_nonnull(strstr(text, "\t\tstack_size = \"64KiB\";\n"));
	ck_assert_ptr_nonnull(strstr(text, "\t\tsocket_mode = \"0666\";\n"));
	ck_assert_ptr_nonnull(strstr(text, "\t\tservice = \"echo\";\n"));
	ck_assert_ptr_null(strstr(text, "user"));
	ck_assert_ptr_null(strstr(text, "none"));
	free(text);
	conf_unref(&conf);
}
END_TEST

START_TEST(dump_of_several_files_is_one_file)
{
	struct conf *conf;
	char *text;

	ck_assert_int_eq(mkdir(conffiles_path("d"), 0700), 0);
	conffiles_write("d/a.conf", "listeners: ( { name = \"z\"; address = \"tcp:*:0\"; service = \"time\"; } );");
	conf = conffiles_load_good("include_dir = \"d\";\n" CONFFILES_LISTENERS);
	text = dump(conf);
	conf_unref(&conf);
	conf = conffiles_load_good(text);
	ck_assert_uint_eq(conf->listener_count, 2);
	ck_assert_uint_eq(conf->file_count, 1);
	conf_unref(&conf);
	free(text);
}
END_TEST

START_TEST(value_that_is_not_set_is_none)
{
	struct conf_daemon daemon = {.user = NULL};
	struct conf_listener listener = {.name = NULL};
	struct conf_server server = {.address = NULL};

	expect_value(option_find(&conf_group_daemon, "user"), &daemon.user, "none");
	expect_value(option_find(&conf_group_listener, "allow"), &listener.allow, "none");
	expect_value(option_find(&conf_group_listener, "service"), &listener.service, "none");
	expect_value(option_find(&conf_group_server, "address"), &server.address, "none");
	expect_value(option_find(&conf_group_listener, "backlog"), &listener.backlog, "0");
}
END_TEST

START_TEST(help_names_every_option)
{
	static const struct option_group *const groups[] = {&conf_group_top, &conf_group_daemon, &conf_group_log,
		&conf_group_resolver, &conf_group_pool, &conf_group_upstream, &conf_group_server, &conf_group_listener};
	char *text = help();

	for (size_t i = 0; i < CP_COUNT(groups); i++) {
		const struct option *row;

		OPTION_FOREACH (groups[i], row) {
			char line[128];

			snprintf(line, sizeof(line), "\noption %s%s%s\n\ttype: ", groups[i]->path, i > 0 ? "." : "",
				row->name);
			ck_assert_msg(strstr(text, line) != NULL, "%s", line);
		}
	}
	free(text);
}
END_TEST

START_TEST(help_says_default_range_and_reload)
{
	char *text = help();

	ck_assert_ptr_nonnull(strstr(text,
		"\noption listeners.().backlog\n\ttype: number\n\tdefault: 4096\n\trange: 1 to 65535 connections\n"
		"\treload: at once\n\thelp: "));
	ck_assert_ptr_nonnull(strstr(text,
		"\noption pools.NAME.queue_full\n\ttype: word\n\tdefault: wait\n\trange: \"wait\" or \"reject\"\n"));
	ck_assert_ptr_nonnull(
		strstr(text, "\noption listeners.().name\n\ttype: string\n\tdefault: required\n\treload: "));
	ck_assert_ptr_nonnull(
		strstr(text, "\noption daemon.user\n\ttype: string\n\tdefault: none\n\treload: restart\n"));
	ck_assert_ptr_nonnull(strstr(text, "\nservice greet: Greets.\n\noption service greet.count\n"));
	free(text);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("conf/dump");
	TCase *tc = conffiles_case(suite, "dump");

	tcase_add_test(tc, dump_reads_back_as_the_same_dump);
	tcase_add_test(tc, dump_has_defaults_and_what_was_written);
	tcase_add_test(tc, dump_of_several_files_is_one_file);
	tcase_add_test(tc, value_that_is_not_set_is_none);
	tc = conffiles_case(suite, "help");
	tcase_add_test(tc, help_names_every_option);
	tcase_add_test(tc, help_says_default_range_and_reload);
	return conffiles_run(suite);
}
