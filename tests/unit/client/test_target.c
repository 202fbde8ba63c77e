/* SPDX-License-Identifier: MIT */
/*
 * The short forms of an address, and those to which nobody can connect.
 */
#include "config.h"

#include "client/target.h"

#include <check.h>
#include <errno.h>
#include <string.h>

#include "base/address.h"
#include "base/errmsg.h"
#include "base/mem.h"

static void
check_target(const char *text, enum address_kind kind, const char *host, unsigned port)
{
	struct address address;
	struct errmsg err = { .text = "" };

	ck_assert_msg(target_parse(&address, text, &err) == 0, "\"%s\": %s", text, err.text);
	ck_assert_int_eq(address.kind, kind);
	ck_assert_str_eq(address.host, host);
	ck_assert_uint_eq(address.port, port);
	address_fini(&address);
}

START_TEST(full_addresses_are_taken_as_they_are)
{
	check_target("tcp:localhost:80", ADDRESS_TCP, "localhost", 80);
	check_target("tcp:[::1]:7", ADDRESS_TCP, "::1", 7);
	check_target("tcp:*:7007", ADDRESS_TCP, "*", 7007);
	check_target("unix:/run/x.sock", ADDRESS_UNIX, "/run/x.sock", 0);
	check_target("unix:@x", ADDRESS_UNIX, "@x", 0);
}
END_TEST

START_TEST(host_and_port_are_tcp)
{
	check_target("localhost:80", ADDRESS_TCP, "localhost", 80);
	check_target("192.0.2.1:65535", ADDRESS_TCP, "192.0.2.1", 65535);
	check_target("[::1]:80", ADDRESS_TCP, "::1", 80);
}
END_TEST

START_TEST(a_path_or_an_at_sign_is_unix)
{
	check_target("/run/x.sock", ADDRESS_UNIX, "/run/x.sock", 0);
	check_target("@abstract", ADDRESS_UNIX, "@abstract", 0);
}
END_TEST

START_TEST(what_nobody_can_connect_to_is_refused)
{
	static const char *const texts[] = {
		"systemd:echo", "tcp:localhost:0", "localhost:0", "localhost", "", ":80", "udp:a:1",
	};

	for (size_t i = 0; i < CP_COUNT(texts); i++) {
		struct address address;
		struct errmsg err = { .text = "" };

		ck_assert_msg(target_parse(&address, texts[i], &err) == -EINVAL, "\"%s\" taken", texts[i]);
		ck_assert_uint_gt(strlen(err.text), 0);
	}
}
END_TEST

START_TEST(no_memory_is_said_so)
{
	struct address address;
	struct errmsg err = { .text = "" };

	mem_fail_after(1);
	ck_assert_int_eq(target_parse(&address, "localhost:80", &err), -ENOMEM);
	ck_assert_str_eq(err.text, "no memory");
}
END_TEST

static Suite *
target_suite(void)
{
	Suite *suite = suite_create("client/target");
	TCase *tc = tcase_create("forms");

	tcase_add_test(tc, full_addresses_are_taken_as_they_are);
	tcase_add_test(tc, host_and_port_are_tcp);
	tcase_add_test(tc, a_path_or_an_at_sign_is_unix);
	suite_add_tcase(suite, tc);
	tc = tcase_create("refusals");
	tcase_add_test(tc, what_nobody_can_connect_to_is_refused);
	tcase_add_test(tc, no_memory_is_said_so);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	SRunner *runner = srunner_create(target_suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
