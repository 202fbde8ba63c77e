/* SPDX-License-Identifier: MIT */
/*
 * Tests of conf/check_address: which two addresses can't be listened on at once.
 */
#include "config.h"

#include <check.h>

#include "conf/check.h"
#include "conffiles.h"

/* Two listeners, one a line, with more settings each. */
static const char *
two(const char *first, const char *first_more, const char *second, const char *second_more)
{
	static char text[1024];

	snprintf(text, sizeof(text),
		"listeners: (\n{ name = \"a\"; address = \"%s\"; service = \"echo\"; %s },\n"
		"{ name = \"b\"; address = \"%s\"; service = \"echo\"; %s } );\n",
		first, first_more, second, second_more);
	return text;
}

static void
expect_overlap(const char *first, const char *first_more, const char *second, const char *second_more)
{
	conffiles_expect(two(first, first_more, second, second_more), "main.conf:3: listeners.(1).address: ");
	conffiles_expect(two(second, second_more, first, first_more), "main.conf:3: listeners.(1).address: ");
}

START_TEST(an_address_stands_once)
{
	conffiles_expect(two("tcp:127.0.0.1:80", "", "tcp:127.0.0.1:80", ""),
		"main.conf:3: listeners.(1).address: \"tcp:127.0.0.1:80\" stands twice, first for listener 'a' at "
		"/tmp/");
	expect_overlap("unix:/run/a.sock", "", "unix:/run/a.sock", "");
	expect_overlap("unix:@a", "", "unix:@a", "");
	expect_overlap("systemd:a", "", "systemd:a", "");
	expect_overlap("tcp:localhost:80", "", "tcp:localhost:80", "");
	expect_overlap("tcp:*:80", "reuse_port = true;", "tcp:*:80", "reuse_port = true;");
}
END_TEST

START_TEST(one_listener_names_an_address_once)
{
	conffiles_expect(
		"listeners: ( { name = \"a\"; address = [ \"tcp:*:80\",\n\"tcp:*:80\" ]; service = \"echo\"; } );",
		"main.conf:2: listeners.(0).address: \"tcp:*:80\" stands twice");
}
END_TEST

START_TEST(all_addresses_hold_each_of_them)
{
	conffiles_expect(
		two("tcp:*:80", "", "tcp:10.0.0.1:80", ""), "main.conf:3: listeners.(1).address: \"tcp:10.0.0.1:80\" "
							    "overlaps \"tcp:*:80\" of listener 'a' at /tmp/");
	expect_overlap("tcp:*:80", "", "tcp:[::1]:80", "");
	expect_overlap("tcp:*:80", "", "tcp:localhost:80", "");
	expect_overlap("tcp:*:80", "", "tcp:0.0.0.0:80", "");
	expect_overlap("tcp:0.0.0.0:80", "", "tcp:10.0.0.1:80", "");
	expect_overlap("tcp:[::]:80", "", "tcp:[::1]:80", "");
	expect_overlap("tcp:[::]:80", "ipv6_only = false;", "tcp:10.0.0.1:80", "");
}
END_TEST

START_TEST(other_families_ports_and_kinds_do_not_meet)
{
	conffiles_expect_good(two("tcp:*:80", "", "tcp:*:81", ""));
	conffiles_expect_good(two("tcp:10.0.0.1:80", "", "tcp:10.0.0.2:80", ""));
	conffiles_expect_good(two("tcp:0.0.0.0:80", "", "tcp:[::]:80", ""));
	conffiles_expect_good(two("tcp:0.0.0.0:80", "", "tcp:localhost:80", ""));
	conffiles_expect_good(two("tcp:*:80", "ipv6_only = true;", "tcp:0.0.0.0:80", ""));
	conffiles_expect_good(two("unix:/a", "", "systemd:a", ""));
	conffiles_expect_good(two("unix:/a", "", "unix:@a", ""));
}
END_TEST

START_TEST(port_0_never_meets)
{
	conffiles_expect_good(two("tcp:*:0", "", "tcp:*:0", ""));
	conffiles_expect_good(two("tcp:*:0", "", "tcp:127.0.0.1:0", ""));
}
END_TEST

START_TEST(both_may_share_their_port)
{
	conffiles_expect_good(two("tcp:*:80", "reuse_port = true;", "tcp:10.0.0.1:80", "reuse_port = true;"));
	expect_overlap("tcp:*:80", "reuse_port = true;", "tcp:10.0.0.1:80", "");
}
END_TEST

START_TEST(other_devices_do_not_meet)
{
	conffiles_expect_good(two("tcp:*:80", "bind_to_device = \"a\";", "tcp:10.0.0.1:80", "bind_to_device = \"b\";"));
	expect_overlap("tcp:*:80", "bind_to_device = \"a\";", "tcp:10.0.0.1:80", "bind_to_device = \"a\";");
	expect_overlap("tcp:*:80", "bind_to_device = \"a\";", "tcp:10.0.0.1:80", "");
}
END_TEST

START_TEST(each_address_is_reported_once)
{
	struct conf_errors errors;

	ck_assert_ptr_null(
		conffiles_load("listeners: ( { name = \"a\"; service = \"echo\"; address = [ \"tcp:*:80\",\n"
			       "\"tcp:10.0.0.1:80\",\n\"tcp:10.0.0.1:80\",\n\"unix:/a\",\n\"unix:/a\" ]; } );",
			&errors));
	ck_assert_uint_eq(errors.count, 3);
	ck_assert(conffiles_has_error(&errors, "main.conf:2: listeners.(0).address: \"tcp:10.0.0.1:80\" overlaps"));
	ck_assert(conffiles_has_error(&errors, "main.conf:3: listeners.(0).address: "));
	ck_assert(conffiles_has_error(&errors, "main.conf:5: listeners.(0).address: \"unix:/a\" stands twice"));
	conf_errors_fini(&errors);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("conf/check_address");
	TCase *tc = conffiles_case(suite, "conflicts");

	tcase_add_test(tc, an_address_stands_once);
	tcase_add_test(tc, one_listener_names_an_address_once);
	tcase_add_test(tc, all_addresses_hold_each_of_them);
	tcase_add_test(tc, each_address_is_reported_once);
	tc = conffiles_case(suite, "peace");
	tcase_add_test(tc, other_families_ports_and_kinds_do_not_meet);
	tcase_add_test(tc, port_0_never_meets);
	tcase_add_test(tc, both_may_share_their_port);
	tcase_add_test(tc, other_devices_do_not_meet);
	return conffiles_run(suite);
}
