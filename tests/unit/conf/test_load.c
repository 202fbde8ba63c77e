/* SPDX-License-Identifier: MIT */
/*
 * Tests of conf/load: several files, all of their errors at once, and files that are anything but good.
 */
#include "config.h"

#include <check.h>

#include "base/address.h"
#include "base/mem.h"
#include "conffiles.h"

/* Everything that the syntax has. */
static const char rich[] =
	"# a comment\n"
	"daemon: { max_connections = 5000000; drain_timeout = \"10s\"; };\n"
	"log: { target = \"stderr\"; connections = false; };\n"
	"pools: { main: { workers = 2; }; jobs: { queue_full = \"reject\"; stack_size = 0x8000; }; };\n"
	"/* another */\n"
	"upstreams: { u: { balance = \"first\"; servers = ( { address = \"tcp:u.example:80\"; weight = 2; },\n"
	"  { address = \"unix:/run/u\"; backup = true; } ); }; };\n"
	"resolver: { servers = \"192.0.2.53\"; retry = \"1s\"; };\n"
	"listeners: (\n"
	"  { name = \"a\"; address = [ \"tcp:*:0\", \"unix:@a\" ]; service = \"echo\"; allow = \"10.0.0.0/8\"; },\n"
	"  { name = \"b\"; address = \"tcp:[::1]:7007\"; pool = \"jobs\"; // and another\n"
	"    service = { type = \"greet\"; greeting = \"h\\\"i\"; words = ( \"x\", \"y\" ); };\n"
	"    deny = [ \"10.0.0.0/8\", \"::1\" ]; busy_message = \"busy\\n\"; }\n"
	");\n"
	"include_dir = \"conf.d\";\n";

static void
make_folder(const char *name)
{
	ck_assert_int_eq(mkdir(conffiles_path(name), 0700), 0);
}

/* Loads bytes as they are; whatever comes of it must be one of the two. */
static bool
load_bytes(const char *bytes, size_t length)
{
	struct conf_errors errors = {.count = 0};
	FILE *file = fopen(conffiles_path("main.conf"), "w");
	struct conf *conf;
	bool is_good;

	ck_assert_uint_eq(fwrite(bytes, 1, length, file), length);
	ck_assert_int_eq(fclose(file), 0);
	conf = conf_load(conffiles_path("main.conf"), conffiles_types, &errors);
	is_good = conf != NULL;
	ck_assert_int_eq(is_good, errors.count == 0);
	conf_errors_fini(&errors);
	conf_unref(&conf);
	return is_good;
}

START_TEST(every_part_of_a_file_is_read)
{
	struct conf *conf;

	make_folder("conf.d");
	conf = conffiles_load_good(rich);
	ck_assert_uint_eq(conf->daemon.max_connections, 5000000);
	ck_assert_uint_eq(conf->daemon.drain_timeout_ms, 10000);
	ck_assert(!conf->log.connections);
	ck_assert_uint_eq(conf->pool_count, 2);
	ck_assert_uint_eq(conf_find_pool(conf, "jobs")->stack_size_bytes, 32768);
	ck_assert_uint_eq(conf->listener_count, 2);
	ck_assert_uint_eq(conf->listeners[0]->addresses.count, 2);
	ck_assert_str_eq(conf->listeners[1]->busy_message, "busy\n");
	ck_assert_uint_eq(conf->listeners[1]->line, 11);
	ck_assert_uint_eq(conf->upstream_count, 1);
	ck_assert_uint_eq(conf->upstreams[0]->line, 6);
	ck_assert_int_eq(conf->upstreams[0]->balance, CONF_BALANCE_FIRST);
	ck_assert_uint_eq(conf->upstreams[0]->server_count, 2);
	ck_assert_uint_eq(conf->upstreams[0]->servers[0]->weight, 2);
	ck_assert_str_eq(conf->upstreams[0]->servers[1]->address->host, "/run/u");
	ck_assert_uint_eq(conf->upstreams[0]->servers[1]->line, 7);
	ck_assert_str_eq(conf->resolver.servers.items[0], "192.0.2.53");
	ck_assert_uint_eq(conf->resolver.retry_ms, 1000);
	ck_assert_str_eq(conf->path, conffiles_path("main.conf"));
	conf_unref(&conf);
}
END_TEST

START_TEST(main_pool_is_there_when_wanted)
{
	struct conf *conf = conffiles_load_good("pools: { jobs: {}; };\n" CONFFILES_LISTENERS);

	ck_assert_uint_eq(conf->pool_count, 2);
	ck_assert_ptr_null(conf_find_pool(conf, "main")->file);
	conf_unref(&conf);
	conf = conffiles_load_good(
		"pools: { jobs: {}; };\n"
		"listeners: ( { name = \"a\"; address = \"tcp:*:0\"; service = \"echo\"; pool = \"jobs\"; } );");
	ck_assert_uint_eq(conf->pool_count, 1);
	conf_unref(&conf);
}
END_TEST

START_TEST(included_files_add_in_alphabetical_order)
{
	struct conf *conf;

	make_folder("more");
	conffiles_write("more/b.conf",
		"listeners: ( { name = \"b\"; address = \"tcp:*:0\"; service = \"echo\"; pool = \"p\"; } );");
	conffiles_write("more/a.conf",
		"pools: { p: {}; };\nlisteners: ( { name = \"c\"; address = \"tcp:*:0\"; service = \"echo\"; } );");
	conffiles_write("more/.hidden.conf", "nonsense");
	conffiles_write("more/a.conf.bak", "nonsense");
	conf = conffiles_load_good("include_dir = \"more\";\n" CONFFILES_LISTENERS);
	ck_assert_uint_eq(conf->file_count, 3);
	ck_assert_str_eq(strrchr(conf->files[1], '/'), "/a.conf");
	ck_assert_str_eq(conf->listeners[0]->name, "a");
	ck_assert_str_eq(conf->listeners[1]->name, "c");
	ck_assert_str_eq(conf->listeners[2]->name, "b");
	ck_assert_ptr_eq(conf->listeners[2]->file, conf->files[2]);
	conf_unref(&conf);
}
END_TEST

START_TEST(included_files_add_upstreams)
{
	struct conf *conf;

	make_folder("more");
	conffiles_write("more/a.conf", "upstreams: { b: { servers = ( { address = \"tcp:b:80\"; } ); }; };");
	conf = conffiles_load_good(
		"include_dir = \"more\";\nupstreams: { a: { servers = ( { address = \"tcp:a:80\"; } ); "
		"}; };\n" CONFFILES_LISTENERS);
	ck_assert_uint_eq(conf->upstream_count, 2);
	ck_assert_ptr_eq(conf_find_upstream(conf, "b")->file, conf->files[1]);
	ck_assert_ptr_eq(conf_find_upstream(conf, "b")->servers[0]->file, conf->files[1]);
	conf_unref(&conf);
	conffiles_write("more/a.conf", "\nupstreams: { a: { servers = ( { address = \"tcp:b:80\"; } ); }; };");
	conffiles_expect("include_dir = \"more\";\nupstreams: { a: { servers = ( { address = \"tcp:a:80\"; } ); }; "
			 "};\n" CONFFILES_LISTENERS,
		"more/a.conf:2: upstreams.a: is a second upstream of that name, the first stands at "
		"/tmp/");
}
END_TEST

START_TEST(folder_may_be_absolute)
{
	char text[512];
	struct conf *conf;

	make_folder("more");
	conffiles_write("more/a.conf", CONFFILES_LISTENERS);
	snprintf(text, sizeof(text), "include_dir = \"%s/more\";\n", conffiles_folder);
	conf = conffiles_load_good(text);
	ck_assert_uint_eq(conf->listener_count, 1);
	conf_unref(&conf);
}
END_TEST

START_TEST(folder_that_is_not_there_is_an_error)
{
	conffiles_expect(
		"include_dir = \"none\";\n" CONFFILES_LISTENERS, "main.conf:1: include_dir: cannot read folder /tmp/");
}
END_TEST

START_TEST(included_files_hold_no_settings_of_the_whole)
{
	struct conf_errors errors;

	make_folder("more");
	conffiles_write("more/a.conf", "daemon: {};\nlog: {};\ninclude_dir = \"x\";\npool: {};\nresolver: {};\n");
	ck_assert_ptr_null(conffiles_load("include_dir = \"more\";\n" CONFFILES_LISTENERS, &errors));
	ck_assert_uint_eq(errors.count, 5);
	ck_assert(conffiles_has_error(&errors, "more/a.conf:5: resolver: belongs into the main file"));
	ck_assert(conffiles_has_error(&errors, "more/a.conf:1: daemon: belongs into the main file"));
	ck_assert(conffiles_has_error(&errors, "more/a.conf:2: log: belongs into the main file"));
	ck_assert(conffiles_has_error(&errors, "more/a.conf:3: include_dir: belongs into the main file"));
	ck_assert(conffiles_has_error(&errors, "more/a.conf:4: pool: unknown option, did you mean 'pools'?"));
	conf_errors_fini(&errors);
}
END_TEST

START_TEST(all_errors_of_all_files_come_in_order)
{
	static const char *const wanted[] = {"main.conf:1: log.level", "main.conf:2: include_dri",
		"main.conf:4: listeners.(0).backlog", "more/a.conf:2: ", "more/b.conf:1: listeners.(0).address",
		"more/c.conf:1: pools.p: is a second pool"};
	struct conf_errors errors;

	make_folder("more");
	conffiles_write("more/a.conf", "pools: {\n p: { ; };");
	conffiles_write("more/b.conf",
		"listeners: ( { name = \"b\"; address = \"tcp:*:80\"; service = \"echo\"; } ); pools: { p: {}; };");
	conffiles_write("more/c.conf", "pools: { p: {}; };");
	ck_assert_ptr_null(conffiles_load("log: { level = 3; };\ninclude_dri = 1; include_dir = \"more\";\n"
					  "listeners: ( { name = \"a\"; address = \"tcp:*:80\"; service = "
					  "\"echo\";\nbacklog = 0; pool = \"q\"; } );",
		&errors));
	for (unsigned i = 0; i < CP_COUNT(wanted); i++)
		ck_assert_msg(strncmp(conffiles_error(&errors, i), wanted[i], strlen(wanted[i])) == 0, "%s",
			conffiles_error(&errors, i));
	ck_assert_uint_eq(errors.count, CP_COUNT(wanted));
	conf_errors_fini(&errors);
}
END_TEST

START_TEST(syntax_error_has_file_and_line)
{
	conffiles_expect("log: {\n level = ;\n};\n" CONFFILES_LISTENERS, "main.conf:2: syntax error, expected");
	conffiles_expect("log: {};\nlog: {};\n" CONFFILES_LISTENERS, "main.conf:2: duplicate setting name");
	conffiles_expect("log: { level = \"info; };\n" CONFFILES_LISTENERS, "main.conf:");
	conffiles_expect("@include \"x\"\n" CONFFILES_LISTENERS, "main.conf:1: @include is not available");
}
END_TEST

START_TEST(sections_of_another_kind_are_reported)
{
	conffiles_expect("listeners: { a: {}; };", "main.conf:1: listeners: is a section, expected a list");
	conffiles_expect("pools = 3;\n" CONFFILES_LISTENERS, "main.conf:1: pools: is a number, expected a section");
	conffiles_expect(
		"pools: { a = 3; };\n" CONFFILES_LISTENERS, "main.conf:1: pools.a: is a number, expected a section");
	conffiles_expect("listeners: ( 3,\n { name = \"a\"; address = \"tcp:*:0\"; service = \"echo\"; } );",
		"main.conf:1: listeners.(0): is a number, expected a section");
}
END_TEST

START_TEST(upstreams_of_another_kind_are_reported)
{
	conffiles_expect(
		"upstreams = 3;\n" CONFFILES_LISTENERS, "main.conf:1: upstreams: is a number, expected a section");
	conffiles_expect("upstreams: { a = 3; };\n" CONFFILES_LISTENERS,
		"main.conf:1: upstreams.a: is a number, expected a section");
	conffiles_expect("upstreams: { a*: { servers = ( { address = \"tcp:a:80\"; } ); }; };\n" CONFFILES_LISTENERS,
		"main.conf:1: upstreams.a*: \"a*\" is not a name");
	conffiles_expect(
		"upstreams: { a: { servers = ( { address = \"tcp:a:80\"; } ); server = 1; }; };\n" CONFFILES_LISTENERS,
		"main.conf:1: upstreams.a.server: unknown option, did you mean 'servers'?");
}
END_TEST

START_TEST(upstream_has_servers)
{
	conffiles_expect("upstreams: {\na: { }; };\n" CONFFILES_LISTENERS,
		"main.conf:2: upstreams.a.servers: is missing, expected at least one server: ( { address = ");
	conffiles_expect("upstreams: { a: {\nservers = ( ); }; };\n" CONFFILES_LISTENERS,
		"main.conf:2: upstreams.a.servers: is empty, expected at least one server");
	conffiles_expect("upstreams: { a: {\nservers = [ \"tcp:a:80\" ]; }; };\n" CONFFILES_LISTENERS,
		"main.conf:2: upstreams.a.servers: is an array, expected at least one server");
	conffiles_expect("upstreams: { a: { servers = (\n\"tcp:a:80\" ); }; };\n" CONFFILES_LISTENERS,
		"main.conf:2: upstreams.a.servers.(0): is a string, expected a section");
	conffiles_expect("upstreams: { a: { servers = (\n{ weight = 1; } ); }; };\n" CONFFILES_LISTENERS,
		"main.conf:2: upstreams.a.servers.(0).address: is missing, expected an address such as \"tcp:");
	conffiles_expect("upstreams: { a: { servers = ( {\naddress = \"tcp:a:0\"; } ); }; };\n" CONFFILES_LISTENERS,
		"main.conf:2: upstreams.a.servers.(0).address: address \"tcp:a:0\": ");
	conffiles_expect("listeners: ( { name = \"a\"; service = \"echo\";\naddress = \"srv:_a._tcp.b\"; } );",
		"main.conf:2: listeners.(0).address: address \"srv:_a._tcp.b\": ");
}
END_TEST

START_TEST(file_that_cannot_be_read_is_an_error)
{
	struct conf_errors errors = {.count = 0};

	ck_assert_ptr_null(conf_load(conffiles_path("none.conf"), conffiles_types, &errors));
	ck_assert_uint_eq(errors.count, 1);
	ck_assert_str_eq(conffiles_error(&errors, 0), "none.conf: cannot open: No such file or directory");
	conf_errors_fini(&errors);
}
END_TEST

START_TEST(file_cut_at_any_byte_is_good_or_has_errors)
{
	unsigned good = 0;

	make_folder("conf.d");
	for (size_t length = 0; length < strlen(rich); length++)
		good += load_bytes(rich, length);
	/* Only from the end of the listeners on. */
	ck_assert_uint_ge(good, 1);
	ck_assert_uint_lt(good, 8);
	ck_assert(load_bytes(rich, strlen(rich)));
}
END_TEST

START_TEST(file_with_any_byte_wrong_is_good_or_has_errors)
{
	static const char wrong[] = {'\0', '\n', '"', '{', ')', '9', '\\', '*', '\xff'};
	char text[sizeof(rich)];
	unsigned good = 0;

	make_folder("conf.d");
	for (size_t i = 0; i < strlen(rich); i++) {
		memcpy(text, rich, sizeof(rich));
		text[i] = wrong[i % sizeof(wrong)];
		good += load_bytes(text, strlen(rich));
	}
	ck_assert_uint_gt(good, 0);
}
END_TEST

START_TEST(many_errors_are_counted_beyond_the_limit)
{
	char text[8192] = CONFFILES_LISTENERS "log: {\n";
	struct conf_errors errors;

	for (unsigned i = 0; i < CONF_ERRORS_MAX + 20; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "no_such_%u = 1;\n", i);
	strcat(text, "};\n");
	ck_assert_ptr_null(conffiles_load(text, &errors));
	ck_assert_uint_eq(errors.count, CONF_ERRORS_MAX);
	ck_assert_uint_eq(errors.more, 20);
	conf_errors_fini(&errors);
}
END_TEST

START_TEST(no_memory_anywhere_is_an_error_and_leaves_nothing)
{
	struct conf_errors errors = {.count = 0};
	struct conf *conf = NULL;
	unsigned n;

	make_folder("conf.d");
	conffiles_write(
		"conf.d/c.conf", "listeners: ( { name = \"c\"; address = \"tcp:*:0\"; service = \"time\"; } );");
	conffiles_write("main.conf", rich);
	for (n = 1; conf == NULL && n < 10000; n++) {
		mem_fail_after(n);
		conf = conf_load(conffiles_path("main.conf"), conffiles_types, &errors);
		mem_fail_after(0);
		if (conf != NULL)
			break;
		ck_assert_uint_eq(errors.count, 1);
		ck_assert_str_eq(errors.items[0].text, "out of memory");
		conf_errors_fini(&errors);
	}
	ck_assert_ptr_nonnull(conf);
	ck_assert_uint_gt(n, 50);
	conf_unref(&conf);
}
END_TEST

START_TEST(no_memory_among_errors_is_an_error_too)
{
	struct conf_errors errors = {.count = 0};

	conffiles_write("main.conf", "log: { level = 1; };\npools: { a*: {}; };\n"
				     "listeners: ( { name = \"a b\"; address = [ \"tcp:*:80\", \"tcp:1.2.3.4:80\", 3 "
				     "]; service = \"x\"; pool = \"y\"; } );");
	for (unsigned n = 1; n < 120; n++) {
		mem_fail_after(n);
		ck_assert_ptr_null(conf_load(conffiles_path("main.conf"), conffiles_types, &errors));
		mem_fail_after(0);
		ck_assert_uint_ge(errors.count, 1);
		conf_errors_fini(&errors);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("conf/load");
	TCase *tc = conffiles_case(suite, "files");

	tcase_add_test(tc, every_part_of_a_file_is_read);
	tcase_add_test(tc, main_pool_is_there_when_wanted);
	tcase_add_test(tc, included_files_add_in_alphabetical_order);
	tcase_add_test(tc, included_files_add_upstreams);
	tcase_add_test(tc, folder_may_be_absolute);
	tcase_add_test(tc, folder_that_is_not_there_is_an_error);
	tcase_add_test(tc, included_files_hold_no_settings_of_the_whole);
	tc = conffiles_case(suite, "errors");
	tcase_add_test(tc, all_errors_of_all_files_come_in_order);
	tcase_add_test(tc, syntax_error_has_file_and_line);
	tcase_add_test(tc, sections_of_another_kind_are_reported);
	tcase_add_test(tc, upstreams_of_another_kind_are_reported);
	tcase_add_test(tc, upstream_has_servers);
	tcase_add_test(tc, file_that_cannot_be_read_is_an_error);
	tcase_add_test(tc, many_errors_are_counted_beyond_the_limit);
	tc = conffiles_case(suite, "garbage");
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, file_cut_at_any_byte_is_good_or_has_errors);
	tcase_add_test(tc, file_with_any_byte_wrong_is_good_or_has_errors);
	tc = conffiles_case(suite, "no memory");
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, no_memory_anywhere_is_an_error_and_leaves_nothing);
	tcase_add_test(tc, no_memory_among_errors_is_an_error_too);
	return conffiles_run(suite);
}
