/* SPDX-License-Identifier: MIT */
/*
 * Tests of conf/reader: every way to write a value, and a message with its place for every way to write it wrong.
 */
#include "config.h"

#include <check.h>

#include "base/address.h"
#include "conf/options.h"
#include "conf/reader.h"
#include "conffiles.h"

/* A listener with one more setting; the setting stands on line 2. */
#define WITH(setting) "listeners: ( { name = \"a\"; address = \"tcp:*:0\"; service = \"echo\";\n" setting " } );\n"
#define SERVICE(service) "listeners: ( { name = \"a\"; address = \"tcp:*:0\";\n service = " service "; } );\n"

START_TEST(sizes_and_times_are_numbers_or_have_units)
{
	struct conf *conf = conffiles_load_good(
		WITH("receive_buffer = 8192; send_buffer = \"1MiB\"; idle_timeout = 5; lifetime = \"1500ms\";"));
	const struct conf_listener *listener = conf->listeners[0];

	ck_assert_uint_eq(listener->receive_buffer_bytes, 8192);
	ck_assert_uint_eq(listener->send_buffer_bytes, 1048576);
	ck_assert_uint_eq(listener->idle_timeout_ms, 5000);
	ck_assert_uint_eq(listener->lifetime_ms, 1500);
	conf_unref(&conf);
}
END_TEST

START_TEST(lists_may_be_one_string)
{
	struct conf *conf = conffiles_load_good(WITH("allow = \"10.0.0.0/8\"; deny = [ \"10.1.0.0/16\", \"::1\" ];"));

	ck_assert_uint_eq(conf->listeners[0]->addresses.count, 1);
	ck_assert_uint_eq(conf->listeners[0]->allow.count, 1);
	ck_assert_uint_eq(conf->listeners[0]->deny.count, 2);
	conf_unref(&conf);
	conf = conffiles_load_good(
		"listeners: ( { name = \"a\"; address = ( \"tcp:*:0\", \"systemd:web\" ); service = \"echo\"; } );");
	ck_assert_uint_eq(conf->listeners[0]->addresses.count, 2);
	ck_assert_int_eq(conf->listeners[0]->addresses.items[1].kind, ADDRESS_SYSTEMD);
	conf_unref(&conf);
}
END_TEST

START_TEST(words_may_be_booleans)
{
	struct conf *conf = conffiles_load_good(WITH("ipv6_only = true;"));

	ck_assert_int_eq(conf->listeners[0]->ipv6_only, CONF_IPV6_ONLY_TRUE);
	conf_unref(&conf);
	conffiles_expect(
		WITH("socket_mode = true;"), "main.conf:2: listeners.(0).socket_mode: is a boolean, expected an octal");
}
END_TEST

START_TEST(wrong_types_are_named)
{
	conffiles_expect(WITH("backlog = \"7\";"),
		"main.conf:2: listeners.(0).backlog: is a string, expected a number from 1 to 65535 connections");
	conffiles_expect(
		WITH("no_delay = 1;"), "main.conf:2: listeners.(0).no_delay: is a number, expected true or false");
	conffiles_expect(
		WITH("lifetime = 1.5;"), "main.conf:2: listeners.(0).lifetime: is a fraction, expected a time");
	conffiles_expect(WITH("pool = { };"), "main.conf:2: listeners.(0).pool: is a section, expected a string");
	conffiles_expect(
		WITH("pool = [ \"main\" ];"), "main.conf:2: listeners.(0).pool: is an array, expected a string");
	conffiles_expect(WITH("pool = ( \"main\" );"), "main.conf:2: listeners.(0).pool: is a list, expected a string");
	conffiles_expect(WITH("allow = 3;"), "main.conf:2: listeners.(0).allow: is a number, expected a network");
	conffiles_expect(
		WITH("allow = ( \"::1\",\n 3 );"), "main.conf:3: listeners.(0).allow: is a number, expected a network");
	conffiles_expect("daemon = 3;\n" CONFFILES_LISTENERS, "main.conf:1: daemon: is a number, expected a section");
}
END_TEST

START_TEST(values_out_of_range_are_refused)
{
	conffiles_expect(WITH("backlog = 0;"),
		"main.conf:2: listeners.(0).backlog: 0 is out of range, expected a number from 1");
	conffiles_expect(
		WITH("backlog = 4294967297;"), "main.conf:2: listeners.(0).backlog: 4294967297 is out of range");
	conffiles_expect(WITH("backlog = -1;"), "main.conf:2: listeners.(0).backlog: -1 is out of range");
	conffiles_expect(
		WITH("socket_mode = \"8\";"), "main.conf:2: listeners.(0).socket_mode: \"8\" is not understood");
	conffiles_expect(WITH("allow = [];"), "main.conf:2: listeners.(0).allow: is empty, expected at least one (or");
	conffiles_expect("pools: { main: { stack_size = \"8KiB\"; }; };\n" CONFFILES_LISTENERS,
		"main.conf:1: pools.main.stack_size: \"8KiB\" is out of range, expected a size from 16KiB to 8MiB");
	conffiles_expect("pools: { main: { workers = 1025; }; };\n" CONFFILES_LISTENERS,
		"main.conf:1: pools.main.workers: 1025 is out of range, expected a number from 0 to 1024 threads");
}
END_TEST

START_TEST(unknown_keys_are_reported_with_what_was_meant)
{
	conffiles_expect(
		WITH("back_log = 7;"), "main.conf:2: listeners.(0).back_log: unknown option, did you mean 'backlog'?");
	conffiles_expect(
		"deamon: {};\n" CONFFILES_LISTENERS, "main.conf:1: deamon: unknown option, did you mean 'daemon'?");
	conffiles_expect("log: { colour = true; };\n" CONFFILES_LISTENERS,
		"main.conf:1: log.colour: unknown option, expected one of: target, level, connections");
	conffiles_expect(
		"modules: {};\n" CONFFILES_LISTENERS, "main.conf:1: modules: unknown option, expected one of: ");
}
END_TEST

START_TEST(missing_options_are_reported)
{
	struct conf_errors errors;

	ck_assert_ptr_null(conffiles_load("\nlisteners: ( { } );", &errors));
	ck_assert_uint_eq(errors.count, 3);
	ck_assert_str_eq(conffiles_error(&errors, 0), "main.conf:2: listeners.(0).name: is missing, expected a string");
	ck_assert(conffiles_has_error(&errors, "main.conf:2: listeners.(0).address: is missing, expected an address"));
	ck_assert(conffiles_has_error(&errors, "main.conf:2: listeners.(0).service: is missing, expected a service"));
	conf_errors_fini(&errors);
}
END_TEST

START_TEST(service_may_be_short_or_a_section)
{
	struct conf *conf =
		conffiles_load_good(SERVICE("{ type = \"greet\"; greeting = \"hi\"; words = [ \"a\", \"b\" ]; }"));
	const struct greet *greet = conf->listeners[0]->service.options;

	ck_assert_str_eq(conf->listeners[0]->service.type->name, "greet");
	ck_assert_uint_eq(greet->count, 3);
	ck_assert_str_eq(greet->greeting, "hi");
	ck_assert_uint_eq(greet->words.count, 2);
	conf_unref(&conf);
	conffiles_expect_good(SERVICE("{ type = \"echo\"; }"));
	conffiles_expect_good(SERVICE("\"time\""));
}
END_TEST

START_TEST(service_that_is_none_is_reported)
{
	conffiles_expect(SERVICE("\"ecko\""), "main.conf:2: listeners.(0).service: there is no service \"ecko\", did "
					      "you mean 'echo'? expected one of: echo, time");
	conffiles_expect(SERVICE("{ type = \"nonsense\"; }"),
		"main.conf:2: listeners.(0).service.type: there is no service "
		"\"nonsense\", expected one of: echo, time, greet");
	conffiles_expect(SERVICE("{ }"), "main.conf:2: listeners.(0).service.type: is missing");
	conffiles_expect(SERVICE("{ type = 3; }"), "main.conf:2: listeners.(0).service.type: is a number");
	conffiles_expect(
		SERVICE("3"), "main.conf:2: listeners.(0).service: is a number, expected a service type's name");
}
END_TEST

START_TEST(service_options_are_checked_as_all_others)
{
	conffiles_expect(
		SERVICE("\"greet\""), "main.conf:2: listeners.(0).service.greeting: is missing, expected a string");
	conffiles_expect(SERVICE("{ type = \"greet\"; greeting = \"a\"; count = 10; }"),
		"main.conf:2: listeners.(0).service.count: 10 is out of range, expected a number from 1 to 9 times");
	conffiles_expect(SERVICE("{ type = \"greet\"; greeting = \"a\"; cuont = 1; }"),
		"main.conf:2: listeners.(0).service.cuont: unknown option, did you mean 'count'?");
	conffiles_expect(SERVICE("{ type = \"echo\"; count = 1; }"),
		"main.conf:2: listeners.(0).service.count: unknown option, expected one of: type");
}
END_TEST

START_TEST(options_may_hang_on_the_value_of_one)
{
	conffiles_expect_good(SERVICE("{ type = \"shape\"; radius = 9; kind = \"round\"; }"));
	conffiles_expect_good(SERVICE("{ type = \"shape\"; kind = \"flat\"; }"));
	ck_assert_uint_eq(shape_groups_made, 2);
	conffiles_expect(SERVICE("{ type = \"shape\";\n kind = \"round\";\n radius = 10; }"),
		"main.conf:4: listeners.(0).service.radius: 10 is out of range, expected a number from 1 to 9 ells");
	conffiles_expect(SERVICE("{ type = \"shape\"; kind = \"flat\"; radius = 1; }"),
		"main.conf:2: listeners.(0).service.radius: unknown option, expected one of: type, kind");
	ck_assert_uint_eq(shape_groups, 0);
}
END_TEST

START_TEST(what_others_hang_on_is_reported_alone)
{
	conffiles_expect(SERVICE("{ type = \"shape\";\n kind = \"none\"; radius = 99; }"),
		"main.conf:3: listeners.(0).service.kind: \"none\" is no shape for main.conf");
	conffiles_expect(SERVICE("{ type = \"shape\"; radius = 99; }"),
		"main.conf:2: listeners.(0).service.kind: is missing, expected a string");
	conffiles_expect(SERVICE("{ type = \"shape\"; kind = 1; radius = 99; }"),
		"main.conf:2: listeners.(0).service.kind: is a number, expected a string");
	conffiles_expect(
		SERVICE("\"shape\""), "main.conf:2: listeners.(0).service.kind: is missing, expected a string");
	ck_assert_uint_eq(shape_groups, 0);
}
END_TEST

START_TEST(names_are_letters_digits_and_three_signs)
{
	char text[300];

	conffiles_expect_good("listeners: ( { name = \"a-B_3.x\"; address = \"tcp:*:0\"; service = \"echo\"; } );");
	conffiles_expect("listeners: ( { name = \"a b\"; address = \"tcp:*:0\"; service = \"echo\"; } );",
		"main.conf:1: listeners.(0).name: \"a b\" is not a name");
	conffiles_expect("listeners: ( { name = \"\"; address = \"tcp:*:0\"; service = \"echo\"; } );",
		"main.conf:1: listeners.(0).name: \"\" is not a name");
	conffiles_expect("pools: { a*: {}; };\n" CONFFILES_LISTENERS, "main.conf:1: pools.a*: \"a*\" is not a name");
	snprintf(text, sizeof(text), "listeners: ( { name = \"%064d\"; address = \"tcp:*:0\"; service = \"echo\"; } );",
		1);
	conffiles_expect_good(text);
	snprintf(text, sizeof(text), "listeners: ( { name = \"%065d\"; address = \"tcp:*:0\"; service = \"echo\"; } );",
		1);
	conffiles_expect(text, "main.conf:1: listeners.(0).name: \"000");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("conf/reader");
	TCase *tc = conffiles_case(suite, "values");

	tcase_add_test(tc, sizes_and_times_are_numbers_or_have_units);
	tcase_add_test(tc, lists_may_be_one_string);
	tcase_add_test(tc, words_may_be_booleans);
	tcase_add_test(tc, wrong_types_are_named);
	tcase_add_test(tc, values_out_of_range_are_refused);
	tc = conffiles_case(suite, "keys");
	tcase_add_test(tc, unknown_keys_are_reported_with_what_was_meant);
	tcase_add_test(tc, missing_options_are_reported);
	tcase_add_test(tc, names_are_letters_digits_and_three_signs);
	tc = conffiles_case(suite, "services");
	tcase_add_test(tc, service_may_be_short_or_a_section);
	tcase_add_test(tc, service_that_is_none_is_reported);
	tcase_add_test(tc, service_options_are_checked_as_all_others);
	tcase_add_test(tc, options_may_hang_on_the_value_of_one);
	tcase_add_test(tc, what_others_hang_on_is_reported_alone);
	return conffiles_run(suite);
}
