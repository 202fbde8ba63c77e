/* SPDX-License-Identifier: MIT */
/*
 * Looking up, and connecting with every endpoint tried.
 */
#include "config.h"

#include "client/dial.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/errmsg.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "peer_server.h"

static struct errmsg err;

static int
resolve(struct dial *dial, const char *text, int family)
{
	struct address address;
	int r;

	ck_assert_int_eq(address_parse(&address, text, &err), 0);
	r = dial_resolve(dial, &address, family, &err);
	address_fini(&address);
	return r;
}

START_TEST(numbers_resolve_to_themselves)
{
	struct dial dial;

	ck_assert_int_eq(resolve(&dial, "tcp:127.0.0.1:80", AF_UNSPEC), 0);
	ck_assert_uint_eq(dial.count, 1);
	ck_assert_str_eq(dial.endpoints[0].text, "127.0.0.1:80");
	dial_fini(&dial);
	ck_assert_int_eq(resolve(&dial, "tcp:[::1]:80", AF_INET6), 0);
	ck_assert_str_eq(dial.endpoints[0].text, "[::1]:80");
	dial_fini(&dial);
}
END_TEST

START_TEST(a_star_is_this_machine_in_both_families)
{
	struct dial dial;

	ck_assert_int_eq(resolve(&dial, "tcp:*:80", AF_UNSPEC), 0);
	ck_assert_uint_eq(dial.count, 2);
	dial_fini(&dial);
	ck_assert_int_eq(resolve(&dial, "tcp:*:80", AF_INET), 0);
	ck_assert_uint_eq(dial.count, 1);
	ck_assert_str_eq(dial.endpoints[0].text, "127.0.0.1:80");
	dial_fini(&dial);
}
END_TEST

START_TEST(the_wrong_family_is_no_address)
{
	struct dial dial;

	ck_assert_int_eq(resolve(&dial, "tcp:127.0.0.1:80", AF_INET6), -EHOSTUNREACH);
	ck_assert_ptr_nonnull(strstr(err.text, "'127.0.0.1' for IPv6"));
	ck_assert_int_eq(resolve(&dial, "unix:/run/x", AF_INET), -EINVAL);
}
END_TEST

START_TEST(a_unix_path_is_its_own_endpoint)
{
	struct dial dial;

	ck_assert_int_eq(resolve(&dial, "unix:/run/x.sock", AF_UNSPEC), 0);
	ck_assert_uint_eq(dial.count, 1);
	ck_assert_str_eq(dial.endpoints[0].text, "/run/x.sock");
	ck_assert_int_eq(dial.endpoints[0].addr.ss_family, AF_UNIX);
	dial_fini(&dial);
}
END_TEST

START_TEST(no_memory_is_said_so)
{
	struct address address;
	struct dial dial;

	ck_assert_int_eq(address_parse(&address, "tcp:127.0.0.1:80", &err), 0);
	mem_fail_after(1);
	ck_assert_int_eq(dial_resolve(&dial, &address, AF_UNSPEC, &err), -ENOMEM);
	address_fini(&address);
}
END_TEST

START_TEST(what_listens_is_connected_to)
{
	struct peer_server server;
	char back[3];
	int fd = -1;

	peer_server_start(&server, PEER_SERVER_ECHO);
	ck_assert_int_eq(dial_connect(&server.dial, 10000, &fd, &err), 0);
	ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	ck_assert_int_eq(fcntl(fd, F_SETFL, 0), 0);
	ck_assert_int_eq(write(fd, "abc", 3), 3);
	ck_assert_int_eq(recv(fd, back, sizeof(back), MSG_WAITALL), 3);
	fd_close(&fd);
	peer_server_stop(&server);
}
END_TEST

START_TEST(the_second_is_tried_when_the_first_refuses)
{
	struct peer_server server;
	struct dial_endpoint both[2];
	struct dial dial = { .endpoints = both, .count = 2 };
	int fd = -1;

	peer_server_start(&server, PEER_SERVER_ECHO);
	peer_server_refusing_endpoint(&both[0]);
	both[1] = server.dial.endpoints[0];
	ck_assert_int_eq(dial_connect(&dial, 10000, &fd, &err), 0);
	fd_close(&fd);
	peer_server_stop(&server);
}
END_TEST

START_TEST(all_failures_are_named)
{
	struct dial_endpoint both[2];
	struct dial dial = { .endpoints = both, .count = 2 };
	int fd = -1;

	peer_server_refusing_endpoint(&both[0]);
	both[1] = both[0];
	strcpy(both[1].text, "none");
	ck_assert_int_eq(dial_connect(&dial, 10000, &fd, &err), -ECONNREFUSED);
	ck_assert_str_eq(err.text, "cannot connect: nobody: Connection refused; none: Connection refused");
	ck_assert_int_eq(fd, -1);
}
END_TEST

START_TEST(a_full_backlog_times_out)
{
	struct dial_endpoint endpoint = { .len = sizeof(endpoint.addr) };
	struct dial dial = { .endpoints = &endpoint, .count = 1 };
	struct sockaddr_storage any = { .ss_family = AF_UNIX };
	int listen_fd = socket(AF_UNIX, SOCK_STREAM, 0), fd = -1, r;

	ck_assert_int_eq(bind(listen_fd, (struct sockaddr *)&any, sizeof(sa_family_t)), 0);
	ck_assert_int_eq(listen(listen_fd, 0), 0);
	ck_assert_int_eq(getsockname(listen_fd, (struct sockaddr *)&endpoint.addr, &endpoint.len), 0);
	/* Never closed: they stay in the backlog until the test's process ends. */
	while ((r = dial_begin(&endpoint, &fd)) == 0)
		continue;
	ck_assert_int_eq(r, -EAGAIN);
	ck_assert_int_eq(dial_connect(&dial, 5, &fd, &err), -ETIMEDOUT);
	fd_close(&listen_fd);
}
END_TEST

static Suite *
dial_suite(void)
{
	Suite *suite = suite_create("client/dial");
	TCase *tc = tcase_create("names");

	tcase_add_test(tc, numbers_resolve_to_themselves);
	tcase_add_test(tc, a_star_is_this_machine_in_both_families);
	tcase_add_test(tc, the_wrong_family_is_no_address);
	tcase_add_test(tc, a_unix_path_is_its_own_endpoint);
	tcase_add_test(tc, no_memory_is_said_so);
	suite_add_tcase(suite, tc);
	tc = tcase_create("connecting");
	tcase_add_test(tc, what_listens_is_connected_to);
	tcase_add_test(tc, the_second_is_tried_when_the_first_refuses);
	tcase_add_test(tc, all_failures_are_named);
	tcase_add_test(tc, a_full_backlog_times_out);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	SRunner *runner = srunner_create(dial_suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
