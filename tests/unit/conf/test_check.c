/* SPDX-License-Identifier: MIT */
/*
 * Tests of conf/check: what only shows when all is read.
 */
#include "config.h"

#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <unistd.h>

#include <check.h>

#include "conf/check.h"
#include "conffiles.h"

#define PLAIN(name) "{ name = \"" name "\"; address = \"tcp:*:0\"; service = \"echo\"; }"
#define WITH(setting) "listeners: ( { name = \"a\"; address = \"tcp:*:0\"; service = \"echo\";\n" setting " } );\n"

START_TEST(listener_names_stand_once)
{
	conffiles_expect("listeners: ( " PLAIN("a") ",\n" PLAIN("b") ",\n" PLAIN("a") " );",
		"main.conf:3: listeners.(2).name: is a second listener \"a\", the first stands at /tmp/");
}
END_TEST

START_TEST(pool_that_is_none_is_reported_with_those_there_are)
{
	conffiles_expect("pools: { jobs: {}; };\n" WITH("pool = \"jbos\";"),
		"main.conf:3: listeners.(0).pool: there is no pool \"jbos\", did you mean 'jobs'? expected one of: "
		"main, jobs");
	conffiles_expect(WITH("pool = \"nonsense\";"),
		"main.conf:2: listeners.(0).pool: there is no pool \"nonsense\", expected one of: main");
}
END_TEST

START_TEST(no_listeners_is_nothing_to_serve)
{
	conffiles_expect("", "main.conf: listeners: nothing to serve, expected at least one listener");
	conffiles_expect("listeners: ( );", "main.conf: listeners: nothing to serve");
}
END_TEST

START_TEST(users_and_groups_have_to_exist)
{
	char text[512];

	snprintf(text, sizeof(text), "daemon: { user = \"%s\"; group = \"%s\"; };\n" CONFFILES_LISTENERS,
		getpwuid(0)->pw_name, getgrgid(0)->gr_name);
	conffiles_expect_good(text);
	conffiles_expect("daemon: {\n user = \"no-such-user\"; };\n" CONFFILES_LISTENERS,
		"main.conf:2: daemon.user: there is no user \"no-such-user\"");
	conffiles_expect("daemon: {\n group = \"no-such-group\"; };\n" CONFFILES_LISTENERS,
		"main.conf:2: daemon.group: there is no group \"no-such-group\"");
	conffiles_expect(WITH("socket_user = \"no-such-user\";"),
		"main.conf:2: listeners.(0).socket_user: there is no user \"no-such-user\"");
	conffiles_expect(WITH("socket_group = \"no-such-group\";"),
		"main.conf:2: listeners.(0).socket_group: there is no group \"no-such-group\"");
}
END_TEST

START_TEST(a_network_is_allowed_or_denied)
{
	conffiles_expect_good(WITH("allow = \"10.0.0.0/8\"; deny = [ \"10.0.0.0/9\", \"::/0\" ];"));
	conffiles_expect(WITH("allow = \"10.0.0.0/8\";\ndeny = [ \"::1\",\n\"10.0.0.0/8\" ];"),
		"main.conf:4: listeners.(0).deny: 10.0.0.0/8 stands in allow too (/tmp/");
}
END_TEST

START_TEST(defer_accept_is_whole_seconds)
{
	conffiles_expect_good(WITH("defer_accept = \"2000ms\";"));
	conffiles_expect(WITH("defer_accept = \"1500ms\";"),
		"main.conf:2: listeners.(0).defer_accept: 1500ms is too fine, expected whole seconds");
}
END_TEST

START_TEST(device_names_are_as_long_as_the_kernel_takes)
{
	conffiles_expect_good(WITH("bind_to_device = \"012345678901234\";"));
	conffiles_expect(WITH("bind_to_device = \"0123456789012345\";"), "main.conf:2: listeners.(0).bind_to_device: ");
	conffiles_expect(
		WITH("bind_to_device = \"\";"), "main.conf:2: listeners.(0).bind_to_device: \"\" is no interface");
}
END_TEST

START_TEST(workers_are_one_for_each_cpu)
{
	struct conf *conf = conffiles_load_good(CONFFILES_LISTENERS);
	cpu_set_t set;

	ck_assert_int_eq(sched_getaffinity(0, sizeof(set), &set), 0);
	ck_assert_uint_eq(conf->pools[0]->workers, (unsigned)CPU_COUNT(&set));
	conf_unref(&conf);
	conf = conffiles_load_good("pools: { main: { workers = 7; }; };\n" CONFFILES_LISTENERS);
	ck_assert_uint_eq(conf->pools[0]->workers, 7);
	ck_assert_uint_eq(conf->pools[0]->workers_written, 7);
	conf_unref(&conf);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("conf/check");
	TCase *tc = conffiles_case(suite, "references");

	tcase_add_test(tc, listener_names_stand_once);
	tcase_add_test(tc, pool_that_is_none_is_reported_with_those_there_are);
	tcase_add_test(tc, no_listeners_is_nothing_to_serve);
	tcase_add_test(tc, users_and_groups_have_to_exist);
	tc = conffiles_case(suite, "values");
	tcase_add_test(tc, a_network_is_allowed_or_denied);
	tcase_add_test(tc, defer_accept_is_whole_seconds);
	tcase_add_test(tc, device_names_are_as_long_as_the_kernel_takes);
	tcase_add_test(tc, workers_are_one_for_each_cpu);
	return conffiles_run(suite);
}
