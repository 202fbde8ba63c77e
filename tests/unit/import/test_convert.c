/* SPDX-License-Identifier: MIT */
/*
 * What a service becomes as a whole, and attributes that have no equal.
 */
#include "config.h"

#include "import/convert.h"

#include <check.h>
#include <string.h>

#include "import/plan.h"
#include "rig.h"

/* That attributes make a service one without an equal, and why. */
static void
check_foreign(const char *text, const char *why)
{
	struct rig_result result = rig_import(text, false);

	rig_expect(result.text, "# - not imported: ");
	rig_expect(result.text, why);
	rig_expect(result.text, "became listeners: 0;");
	/* And that nothing is left. */
	ck_assert_uint_eq(result.warnings, 2);
	rig_free(&result);
}

START_TEST(the_small_services_are_our_own)
{
	static const char *const names[] = {"echo", "discard", "daytime", "time", "chargen"};

	for (size_t i = 0; i < CP_COUNT(names); i++) {
		char text[200], expected[64];
		struct rig_result result;

		snprintf(text, sizeof(text),
			"service %s\n{\ntype = INTERNAL UNLISTED\nport = 39001\nid = %s-stream\n"
			"socket_type = stream\nprotocol = tcp\nwait = no\nuser = root\n}\n",
			names[i], names[i]);
		result = rig_import(text, false);
		snprintf(expected, sizeof(expected), "name = \"%s-stream\";", names[i]);
		rig_expect(result.text, expected);
		snprintf(expected, sizeof(expected), "\t\tservice = \"%s\";\n", names[i]);
		rig_expect(result.text, expected);
		ck_assert_uint_eq(result.warnings + result.errors, 0);
		rig_free(&result);
	}
}
END_TEST

START_TEST(what_connpoold_has_not_is_a_comment)
{
	check_foreign("service rstatd\n{\ntype = RPC\nrpc_version = 2-4\nserver = /x\n}\n", "Sun RPC");
	check_foreign("service x\n{\ntype = TCPMUX\nserver = /x\n}\n", "tcpmux");
	check_foreign("service tcpmux\n{\ntype = INTERNAL\n}\n", "tcpmux");
	check_foreign("service tftp\n{\nsocket_type = dgram\nserver = /x\n}\n", "datagrams");
	check_foreign("service x\n{\nprotocol = udp\nserver = /x\n}\n", "datagrams");
	check_foreign("service x\n{\nsocket_type = raw\nserver = /x\n}\n", "type raw");
	check_foreign("service x\n{\nsocket_type = stream\nprotocol = sctp\nserver = /x\n}\n", "protocol sctp");
	check_foreign("service servers\n{\ntype = INTERNAL UNLISTED\nport = 9099\n}\n", "no such service is built in");
	check_foreign("service telnet\n{\nflags = SENSOR\nserver = /x\n}\n", "sensors");
	check_foreign("service no-such-service-here\n{\nserver = /bin/sh\n}\n", "port is not known");
}
END_TEST

START_TEST(a_redirect_is_a_proxy)
{
	rig_check_service("redirect = 10.0.0.9 80", "\tx: { servers = ( { address = \"tcp:10.0.0.9:80\"; } ); };");
	rig_check_service("redirect = 10.0.0.9 80", "\t\t\ttype = \"proxy\";\n\t\t\tupstream = \"x\";\n\t\t};");
	rig_check_service("redirect = 2001:db8::1 6443", "address = \"tcp:[2001:db8::1]:6443\"");
	rig_check_service("redirect = www.example.org 80", "address = \"tcp:www.example.org:80\"");
	rig_check_service("redirect = 10.0.0.9", "not imported");
}
END_TEST

START_TEST(a_service_that_is_switched_off_is_left_out)
{
	rig_check_service("disable = yes", "Switched off");
	rig_check_service("disable = no", "became listeners: 1;");
}
END_TEST

START_TEST(ids_decide_what_the_defaults_switch_off)
{
	static const char body[] = "service a\n{\nid = one\ntype = UNLISTED\nport = 39001\nserver = /bin/sh\n}\n"
				   "service a\n{\nid = two\ntype = UNLISTED\nport = 39002\nserver = /bin/sh\n}\n";
	char text[600];
	struct rig_result result;

	snprintf(text, sizeof(text), "defaults\n{\ndisabled = one a\n}\n%s", body);
	result = rig_import(text, false);
	rig_expect(result.text, "name = \"two\"");
	rig_expect_not(result.text, "name = \"one\"");
	rig_free(&result);
	snprintf(text, sizeof(text), "defaults\n{\nenabled = one\n}\n%s", body);
	result = rig_import(text, false);
	rig_expect(result.text, "name = \"one\"");
	rig_expect_not(result.text, "name = \"two\"");
	rig_free(&result);
}
END_TEST

START_TEST(a_program_that_accepts_by_itself_has_no_limits)
{
	struct rig_result result =
		rig_import("service x\n{\ntype = UNLISTED\nport = 39001\nwait = yes\nserver = /bin/sh\ninstances = 4\n"
			   "flags = KEEPALIVE\nonly_from = 10.0.0.0\n}\n",
			false);

	rig_expect(result.text, "\t\t\twait = true;\n");
	rig_expect(result.text, "became listeners: 1; listeners in comments: 0;");
	rig_expect_not(result.text, "max_connections =");
	rig_expect_not(result.text, "keep_alive =");
	rig_expect_not(result.text, "\t\tallow =");
	rig_free(&result);
}
END_TEST

START_TEST(an_attribute_without_an_equal_is_a_comment_with_a_reason)
{
	static const char *const attributes[] = {
		"access_times = 2:00-9:00",
		"cps = 50 10",
		"max_load = 2.5",
		"banner = /etc/motd",
		"banner_success = /etc/motd",
		"libwrap = x",
		"log_type = SYSLOG daemon",
		"mdns = no",
		"deny_time = 60",
		"rlimit_rss = 8M",
	};

	for (size_t i = 0; i < CP_COUNT(attributes); i++) {
		char expected[100];

		snprintf(expected, sizeof(expected), "\t# - %s: ", attributes[i]);
		rig_check_service(attributes[i], expected);
	}
}
END_TEST

START_TEST(an_unknown_attribute_is_a_comment_and_a_warning)
{
	struct rig_result result = rig_import_service("nonsense = 1 2");

	rig_expect(result.text, "# - nonsense = 1 2: there is no such attribute");
	rig_expect(result.messages, "in:9: warning: nonsense: there is no such attribute");
	ck_assert_uint_eq(result.warnings, 1);
	rig_free(&result);
}
END_TEST

START_TEST(names_for_what_inetd_says_are_no_attributes)
{
	rig_check_service("sndbuf =", "# - sndbuf =: there is no such attribute");
	rig_check_service("path = /run/x", "# - path = /run/x: there is no such attribute");
	rig_check_service("path = /run/x", "address = \"tcp:*:39999\";");
}
END_TEST

START_TEST(what_the_defaults_say_to_all_is_said_once)
{
	struct rig_result result = rig_import("defaults\n{\ncps = 25 30\n}\n"
					      "service a\n{\ntype = UNLISTED\nport = 39001\nserver = /bin/sh\n}\n"
					      "service b\n{\ntype = UNLISTED\nport = 39002\nserver = /bin/sh\n}\n",
		false);

	rig_expect(result.text, "# - cps = 25 30: ");
	ck_assert_ptr_null(strstr(strstr(result.text, "cps = 25 30") + 1, "cps = 25 30"));
	ck_assert_uint_eq(result.warnings, 1);
	rig_free(&result);
}
END_TEST

static Suite *
convert_suite(void)
{
	Suite *suite = suite_create("import/convert");
	TCase *tc;

	tc = tcase_create("services");
	tcase_add_test(tc, the_small_services_are_our_own);
	tcase_add_test(tc, what_connpoold_has_not_is_a_comment);
	tcase_add_test(tc, a_redirect_is_a_proxy);
	tcase_add_test(tc, a_service_that_is_switched_off_is_left_out);
	tcase_add_test(tc, ids_decide_what_the_defaults_switch_off);
	tcase_add_test(tc, a_program_that_accepts_by_itself_has_no_limits);
	suite_add_tcase(suite, tc);
	tc = tcase_create("attributes");
	tcase_add_test(tc, an_attribute_without_an_equal_is_a_comment_with_a_reason);
	tcase_add_test(tc, an_unknown_attribute_is_a_comment_and_a_warning);
	tcase_add_test(tc, names_for_what_inetd_says_are_no_attributes);
	tcase_add_test(tc, what_the_defaults_say_to_all_is_said_once);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	return rig_run(convert_suite());
}
