/* SPDX-License-Identifier: MIT */
/*
 * program/spawner_environment - who its client is, told to a program in three dialects.
 */
#include "config.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "program/spawner_launch.h"
#include "tests/unit/net/netfixture.h"

static struct client_environment environment;

/* NULL: there is none. It is there once at most. */
static const char *
value_of(const char *name)
{
	size_t length = strlen(name);
	const char *value = NULL;

	for (unsigned i = 0; i < environment.count; i++) {
		if (strncmp(environment.items[i], name, length) != 0 || environment.items[i][length] != '=')
			continue;
		ck_assert_ptr_null(value);
		value = environment.items[i] + length + 1;
	}
	return value;
}

static void
expect_remote(const char *host, const char *port)
{
	ck_assert_pstr_eq(value_of("TCPREMOTEIP"), host);
	ck_assert_pstr_eq(value_of("TCPREMOTEPORT"), port);
	ck_assert_pstr_eq(value_of("REMOTE_ADDR"), host);
	ck_assert_pstr_eq(value_of("REMOTE_PORT"), port);
	ck_assert_pstr_eq(value_of("REMOTE_HOST"), host);
}

static void
expect_number(const char *name, unsigned long number)
{
	char text[32];

	ck_assert_int_lt(snprintf(text, sizeof(text), "%lu", number), (int)sizeof(text));
	ck_assert_pstr_eq(value_of(name), text);
}

START_TEST(a_tcp_client_is_named_in_three_dialects)
{
	struct sockaddr_in local;
	socklen_t length = sizeof(local);
	struct peer peer;
	int ends[2];

	fixture_tcp_pair(ends);
	ck_assert_int_eq(getsockname(ends[0], (struct sockaddr *)&local, &length), 0);
	fixture_peer(&peer, "192.0.2.1");
	client_environment_make(&environment, &peer, ends[0]);
	ck_assert_pstr_eq(value_of("PROTO"), "TCP");
	expect_remote("192.0.2.1", "4711");
	ck_assert_pstr_eq(value_of("TCPLOCALIP"), "127.0.0.1");
	expect_number("TCPLOCALPORT", ntohs(local.sin_port));
	ck_assert_uint_eq(environment.count, 8);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

START_TEST(one_of_ipv6_has_no_brackets)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct peer peer;

	fixture_peer(&peer, "2001:db8::1");
	peer.port = 65535;
	client_environment_make(&environment, &peer, fd);
	expect_remote("2001:db8::1", "65535");
	/* A machine without IPv6 has no such socket. */
	if (fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0) {
		client_environment_make(&environment, &peer, fd);
		ck_assert_pstr_eq(value_of("TCPLOCALIP"), "::");
		ck_assert_pstr_ne(value_of("TCPLOCALPORT"), NULL);
	}
	fd_close(&fd);
}
END_TEST

START_TEST(port_0_is_a_number)
{
	struct peer peer;

	fixture_peer(&peer, "192.0.2.1");
	peer.port = 0;
	client_environment_make(&environment, &peer, -1);
	expect_remote("192.0.2.1", "0");
}
END_TEST

START_TEST(a_unix_client_is_named_by_its_process)
{
	struct peer peer;
	int ends[2];

	fixture_unix_pair(ends);
	fixture_peer(&peer, NULL);
	client_environment_make(&environment, &peer, ends[0]);
	ck_assert_pstr_eq(value_of("PROTO"), "UNIX");
	expect_number("UNIXREMOTEPID", (unsigned long)getpid());
	expect_number("UNIXREMOTEEUID", geteuid());
	expect_number("UNIXREMOTEEGID", getegid());
	ck_assert_uint_eq(environment.count, 4);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

START_TEST(one_that_a_proxy_names_has_an_address_too)
{
	struct peer peer;
	int ends[2];

	fixture_unix_pair(ends);
	fixture_peer(&peer, "192.0.2.9");
	client_environment_make(&environment, &peer, ends[0]);
	ck_assert_pstr_eq(value_of("PROTO"), "UNIX");
	expect_remote("192.0.2.9", "4711");
	ck_assert_ptr_null(value_of("TCPLOCALIP"));
	close(ends[0]);
	close(ends[1]);
}
END_TEST

/* As long as one can be, without a 0 at its end. */
START_TEST(the_longest_path_of_a_socket_is_whole)
{
	struct sockaddr_un local = {.sun_family = AF_UNIX};
	char folder[] = "/tmp/cp-environment-XXXXXX";
	char whole[sizeof(local.sun_path) + 1] = "";
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct peer peer;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	memset(whole, 'x', sizeof(local.sun_path));
	memcpy(whole, folder, strlen(folder));
	whole[strlen(folder)] = '/';
	memcpy(local.sun_path, whole, sizeof(local.sun_path));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&local, sizeof(local)), 0);
	fixture_peer(&peer, NULL);
	client_environment_make(&environment, &peer, fd);
	ck_assert_pstr_eq(value_of("UNIXLOCALPATH"), whole);
	close(fd);
	ck_assert_int_eq(unlink(whole), 0);
	ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

START_TEST(an_abstract_name_is_no_path)
{
	struct sockaddr_un local = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct peer peer;

	/* The kernel picks one. */
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&local, sizeof(sa_family_t)), 0);
	fixture_peer(&peer, NULL);
	client_environment_make(&environment, &peer, fd);
	ck_assert_pstr_eq(value_of("PROTO"), "UNIX");
	ck_assert_ptr_null(value_of("UNIXLOCALPATH"));
	close(fd);
}
END_TEST

/* The daemon says who it is, the spawner takes any descriptor. */
START_TEST(a_descriptor_that_is_no_socket_leaves_out_its_own)
{
	struct peer peer = {.family = 4711};
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	client_environment_make(&environment, &peer, fds[0]);
	ck_assert_uint_eq(environment.count, 1);
	ck_assert_pstr_eq(value_of("PROTO"), "TCP");
	close(fds[0]);
	close(fds[1]);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("program/spawner_environment");
	TCase *clients = fixture_case(suite, "clients");

	tcase_add_test(clients, a_tcp_client_is_named_in_three_dialects);
	tcase_add_test(clients, one_of_ipv6_has_no_brackets);
	tcase_add_test(clients, port_0_is_a_number);
	tcase_add_test(clients, a_unix_client_is_named_by_its_process);
	tcase_add_test(clients, one_that_a_proxy_names_has_an_address_too);
	tcase_add_test(clients, the_longest_path_of_a_socket_is_whole);
	tcase_add_test(clients, an_abstract_name_is_no_path);
	tcase_add_test(clients, a_descriptor_that_is_no_socket_leaves_out_its_own);
	return fixture_run(suite);
}
