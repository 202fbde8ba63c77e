/* SPDX-License-Identifier: MIT */
/*
 * Where a listener listens, and what is set on its sockets.
 */
#include "config.h"

#include "import/convert_parts.h"

#include <check.h>
#include <string.h>

#include "import/arena.h"
#include "rig.h"

START_TEST(the_family_is_written_out)
{
	rig_check_service("", "address = \"tcp:*:39999\";");
	rig_check_service("flags = IPv4", "address = \"tcp:0.0.0.0:39999\";");
	rig_check_service("flags = IPv6", "address = \"tcp:*:39999\";");
	rig_check_service("flags = IPv6\nv6only = yes", "address = \"tcp:[::]:39999\";");
	rig_check_service("v6only = yes", "address = \"tcp:[::]:39999\";");
}
END_TEST

START_TEST(it_may_listen_at_an_address)
{
	rig_check_service("bind = 127.0.0.1", "address = \"tcp:127.0.0.1:39999\";");
	rig_check_service("interface = ::1", "address = \"tcp:[::1]:39999\";");
	rig_check_service("bind = host.example.org", "address = \"tcp:host.example.org:39999\";");
	rig_check_service("bind = 0.0.0.0", "address = \"tcp:0.0.0.0:39999\";");
	rig_check_service("bind = ::\nv6only = yes", "address = \"tcp:[::]:39999\";");
}
END_TEST

START_TEST(what_is_no_address_is_not_served)
{
	rig_check_service("bind = x:y:z", "# - not served: its address is none");
	rig_check_service("bind = a,b/c", "# - not served: its address is none");
	rig_check_service("redirect = x:y:z 80", "# - not served: its server's address is none");
}
END_TEST

START_TEST(inetd_has_several_addresses_and_unix_sockets)
{
	struct rig_result result = rig_import("127.0.0.1,[::1]:39001 stream tcp nowait root /bin/sh\n"
					      "/run/x.sock stream unix nowait root /bin/sh\n"
					      "39002 stream tcp6 nowait root /bin/sh\n",
		false);

	rig_expect(result.text, "address = [ \"tcp:127.0.0.1:39001\", \"tcp:[::1]:39001\" ];");
	rig_expect(result.text, "address = \"unix:/run/x.sock\";");
	rig_expect(result.text, "address = \"tcp:[::]:39002\";");
	rig_free(&result);
}
END_TEST

START_TEST(ports_have_numbers_or_names)
{
	ck_assert_uint_eq(convert_port("80"), 80);
	ck_assert_uint_eq(convert_port("65535"), 65535);
	ck_assert_uint_eq(convert_port("65536"), 0);
	ck_assert_uint_eq(convert_port("99999999999999999999"), 0);
	ck_assert_uint_eq(convert_port("0"), 0);
	ck_assert_uint_eq(convert_port("-1"), 0);
	ck_assert_uint_eq(convert_port("80x"), 0);
	ck_assert_uint_eq(convert_port("no-such-service-here"), 0);
}
END_TEST

START_TEST(flags_are_settings_or_comments)
{
	rig_check_service("flags = NODELAY REUSE", "\t\tno_delay = true;\n");
	rig_check_service("flags = KEEPALIVE", "\t\tkeep_alive = true;\n");
	rig_check_service("flags = NORETRY", "# - flags = NORETRY: NORETRY: ");
	rig_check_service("flags = INTERCEPT", "# - flags = INTERCEPT: INTERCEPT: ");
	rig_check_service("flags = IDONLY", "ident");
	rig_check_service("flags = LABELED", "SELinux");
	rig_check_service("flags = NOSUCH", "there is no flag \"NOSUCH\"");
}
END_TEST

START_TEST(buffers_have_sizes)
{
	struct rig_result result = rig_import("39001 stream tcp,sndbuf=16k,rcvbuf=1m nowait root /bin/sh\n"
					      "39002 stream tcp,sndbuf=x,rcvbuf=99999m nowait root /bin/sh\n"
					      "39003 stream tcp,sndbuf=512,nonsense nowait root /bin/sh\n",
		false);

	rig_expect(result.text, "send_buffer = \"16KiB\";");
	rig_expect(result.text, "receive_buffer = \"1MiB\";");
	rig_expect(result.text, "sndbuf = x: is no size");
	rig_expect(result.text, "rcvbuf = 99999m: is no size");
	rig_expect(result.text, "send_buffer = \"512B\";");
	rig_free(&result);
}
END_TEST

static Suite *
convert_socket_suite(void)
{
	Suite *suite = suite_create("import/convert_socket");
	TCase *tc;

	tc = tcase_create("addresses");
	tcase_add_test(tc, the_family_is_written_out);
	tcase_add_test(tc, it_may_listen_at_an_address);
	tcase_add_test(tc, what_is_no_address_is_not_served);
	tcase_add_test(tc, inetd_has_several_addresses_and_unix_sockets);
	tcase_add_test(tc, ports_have_numbers_or_names);
	suite_add_tcase(suite, tc);
	tc = tcase_create("options");
	tcase_add_test(tc, flags_are_settings_or_comments);
	tcase_add_test(tc, buffers_have_sizes);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	return rig_run(convert_socket_suite());
}
