/* SPDX-License-Identifier: MIT */
/*
 * test_socket - listening sockets of every kind, their options, and what is said when it fails; socket_paths.c has the
 * rest.
 *
 * What needs root, or its absence, or IPv6, is left out where that is not to be had.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "net/socket.h"
#include "netfixture.h"
#include "socketrig.h"

#define NOBODY 65534

static uint16_t
port_of(const struct listen_socket *socket)
{
	struct sockaddr_in6 sin6;
	socklen_t length = sizeof(sin6);

	ck_assert_int_eq(getsockname(socket->fd, (struct sockaddr *)&sin6, &length), 0);
	return ntohs(sin6.sin6_port);
}

static uint32_t
scope_of(const struct listen_socket *socket)
{
	struct sockaddr_in6 sin6;
	socklen_t length = sizeof(sin6);

	ck_assert_int_eq(getsockname(socket->fd, (struct sockaddr *)&sin6, &length), 0);
	return sin6.sin6_scope_id;
}

static bool
has_ipv6(void)
{
	return rig_try_tcp(AF_INET6, 1) == -ECONNREFUSED;
}

/* ---- tcp: -------------------------------------------------------------------------- */

START_TEST(port_0_is_chosen_by_the_kernel)
{
	struct listen_socket *socket = rig_open_good("address = \"tcp:127.0.0.1:0\";");

	ck_assert_uint_ne(port_of(socket), 0);
	ck_assert_int_eq(rig_try_tcp(AF_INET, port_of(socket)), 0);
	ck_assert(socket->is_tcp);
	ck_assert(!socket->is_inherited);
	ck_assert_str_eq(socket->key, "tcp:127.0.0.1:0");
	ck_assert_int_ne(fcntl(socket->fd, F_GETFD) & FD_CLOEXEC, 0);
	ck_assert_int_ne(fcntl(socket->fd, F_GETFL) & O_NONBLOCK, 0);
	listen_socket_free(&socket);
	ck_assert_ptr_null(socket);
	listen_socket_free(&socket);
}
END_TEST

START_TEST(a_star_takes_both_families)
{
	struct listen_socket *socket = rig_open_good("address = \"tcp:*:0\";");

	ck_assert_int_eq(rig_try_tcp(AF_INET, port_of(socket)), 0);
	if (has_ipv6())
		ck_assert_int_eq(rig_try_tcp(AF_INET6, port_of(socket)), 0);
	listen_socket_free(&socket);
}
END_TEST

START_TEST(a_star_with_ipv6_only_leaves_ipv4_alone)
{
	struct listen_socket *socket;

	if (!has_ipv6())
		return;
	socket = rig_open_good("address = \"tcp:*:0\"; ipv6_only = \"true\";");
	ck_assert_int_eq(rig_try_tcp(AF_INET, port_of(socket)), -ECONNREFUSED);
	ck_assert_int_eq(rig_try_tcp(AF_INET6, port_of(socket)), 0);
	listen_socket_free(&socket);
}
END_TEST

START_TEST(an_ipv6_address_is_ipv6_alone_unless_told_otherwise)
{
	struct listen_socket *socket;

	if (!has_ipv6())
		return;
	socket = rig_open_good("address = \"tcp:[::]:0\";");
	ck_assert_int_eq(rig_try_tcp(AF_INET, port_of(socket)), -ECONNREFUSED);
	ck_assert_int_eq(rig_try_tcp(AF_INET6, port_of(socket)), 0);
	listen_socket_free(&socket);
	socket = rig_open_good("address = \"tcp:[::]:0\"; ipv6_only = \"false\";");
	ck_assert_int_eq(rig_try_tcp(AF_INET, port_of(socket)), 0);
	listen_socket_free(&socket);
}
END_TEST

START_TEST(ipv4_and_ipv6_can_have_the_same_port)
{
	struct listen_socket *v4, *v6;
	char options[64];

	if (!has_ipv6())
		return;
	v4 = rig_open_good("address = \"tcp:0.0.0.0:0\";");
	snprintf(options, sizeof(options), "address = \"tcp:[::]:%u\";", port_of(v4));
	v6 = rig_open_good(options);
	listen_socket_free(&v4);
	listen_socket_free(&v6);
}
END_TEST

START_TEST(a_zone_is_an_interface_s_name_or_number)
{
	struct listen_socket *socket;

	if (!has_ipv6())
		return;
	socket = rig_open_good("address = \"tcp:[fe80::1%lo]:0\"; free_bind = true;");
	ck_assert_uint_eq(scope_of(socket), if_nametoindex("lo"));
	listen_socket_free(&socket);
	socket = rig_open_good("address = \"tcp:[fe80::1%1]:0\"; free_bind = true;");
	ck_assert_uint_eq(scope_of(socket), 1);
	listen_socket_free(&socket);
}
END_TEST

/* ---- options ------------------------------------------------------------------------- */

START_TEST(the_options_are_set_before_the_first_connection)
{
	struct listen_socket *socket =
		rig_open_good("keep_alive = true; no_delay = true; defer_accept = 7; fast_open = 5;"
			      "receive_buffer = \"32KiB\"; send_buffer = \"48KiB\";"
			      "reuse_address = true; reuse_port = true; free_bind = true;");

	ck_assert_int_eq(rig_option(socket->fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	ck_assert_int_ne(rig_option(socket->fd, IPPROTO_TCP, TCP_NODELAY), 0);
	ck_assert_int_ge(rig_option(socket->fd, IPPROTO_TCP, TCP_DEFER_ACCEPT), 7);
	ck_assert_int_eq(rig_option(socket->fd, IPPROTO_TCP, TCP_FASTOPEN), 5);
	/* The kernel doubles them for its own needs (socket(7)). */
	ck_assert_int_eq(rig_option(socket->fd, SOL_SOCKET, SO_RCVBUF), 2 * 32 * 1024);
	ck_assert_int_eq(rig_option(socket->fd, SOL_SOCKET, SO_SNDBUF), 2 * 48 * 1024);
	ck_assert_int_eq(rig_option(socket->fd, SOL_SOCKET, SO_REUSEADDR), 1);
	ck_assert_int_eq(rig_option(socket->fd, SOL_SOCKET, SO_REUSEPORT), 1);
	ck_assert_int_eq(rig_option(socket->fd, IPPROTO_IP, IP_FREEBIND), 1);
	listen_socket_free(&socket);
}
END_TEST

START_TEST(unset_options_leave_the_kernel_s_defaults)
{
	int plain = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct listen_socket *socket = rig_open_good("reuse_address = false; no_delay = false;");

	ck_assert_int_eq(rig_option(socket->fd, SOL_SOCKET, SO_RCVBUF), rig_option(plain, SOL_SOCKET, SO_RCVBUF));
	ck_assert_int_eq(rig_option(socket->fd, SOL_SOCKET, SO_SNDBUF), rig_option(plain, SOL_SOCKET, SO_SNDBUF));
	ck_assert_int_eq(rig_option(socket->fd, SOL_SOCKET, SO_REUSEADDR), 0);
	ck_assert_int_eq(rig_option(socket->fd, SOL_SOCKET, SO_REUSEPORT), 0);
	ck_assert_int_eq(rig_option(socket->fd, IPPROTO_TCP, TCP_NODELAY), 0);
	listen_socket_free(&socket);
	close(plain);
}
END_TEST

START_TEST(bind_to_device_holds_the_socket_to_an_interface)
{
	struct listen_socket *socket = rig_open_good("bind_to_device = \"lo\";");
	char name[64] = "";
	socklen_t length = sizeof(name);

	ck_assert_int_eq(getsockopt(socket->fd, SOL_SOCKET, SO_BINDTODEVICE, name, &length), 0);
	ck_assert_str_eq(name, "lo");
	listen_socket_free(&socket);
}
END_TEST

START_TEST(what_can_be_changed_on_a_live_socket_is)
{
	struct listen_socket *socket = rig_open_good("keep_alive = true; no_delay = true; defer_accept = 7;");
	uint16_t port = port_of(socket);

	conf_unref(&rig_conf);
	rig_conf = fixture_conf("", "keep_alive = false; no_delay = false; send_buffer = \"48KiB\"; backlog = 7;");
	ck_assert_int_eq(listen_socket_apply(socket, rig_conf->listeners[0], &rig_err), 0);
	ck_assert_int_eq(rig_option(socket->fd, SOL_SOCKET, SO_KEEPALIVE), 0);
	ck_assert_int_eq(rig_option(socket->fd, IPPROTO_TCP, TCP_NODELAY), 0);
	ck_assert_int_eq(rig_option(socket->fd, IPPROTO_TCP, TCP_DEFER_ACCEPT), 0);
	ck_assert_int_eq(rig_option(socket->fd, SOL_SOCKET, SO_SNDBUF), 2 * 48 * 1024);
	ck_assert_uint_eq(port_of(socket), port);
	ck_assert_int_eq(rig_try_tcp(AF_INET, port), 0);
	listen_socket_free(&socket);
}
END_TEST

/* ---- messages --------------------------------------------------------------------------- */

START_TEST(an_address_in_use_is_named_and_ss_recommended)
{
	struct listen_socket *first = rig_open_good("address = \"tcp:127.0.0.1:0\";");
	char options[64], address[32];

	snprintf(address, sizeof(address), "tcp:127.0.0.1:%u", port_of(first));
	snprintf(options, sizeof(options), "address = \"%s\";", address);
	rig_expect_failure(options, address, "Address already in use; another program listens there");
	ck_assert_ptr_nonnull(strstr(rig_err.text, "ss -lnp"));
	listen_socket_free(&first);
	first = rig_open_good(options);
	listen_socket_free(&first);
}
END_TEST

START_TEST(an_address_of_another_machine_is_named_and_free_bind_takes_it)
{
	struct listen_socket *socket;

	rig_expect_failure("address = \"tcp:192.0.2.1:0\";", "tcp:192.0.2.1:0", "free_bind = true");
	socket = rig_open_good("address = \"tcp:192.0.2.1:0\"; free_bind = true;");
	listen_socket_free(&socket);
}
END_TEST

START_TEST(a_name_is_not_looked_up)
{
	rig_expect_failure("address = \"tcp:localhost:0\";", "tcp:localhost:0", "the host must be a number or '*'");
}
END_TEST

START_TEST(an_interface_that_is_not_there_is_named)
{
	rig_expect_failure("bind_to_device = \"nosuch0\";", "tcp:127.0.0.1:0", "bind_to_device");
}
END_TEST

/* Runs as nobody for a moment; false: can't. */
static bool
become_nobody(void)
{
	return geteuid() != 0 || seteuid(NOBODY) == 0;
}

static void
become_root_again(void)
{
	if (getuid() == 0)
		ck_assert_int_eq(seteuid(0), 0);
}

START_TEST(a_low_port_without_the_capability_says_who_may)
{
	struct listen_socket *socket;
	char first[8] = "";
	int fd = open("/proc/sys/net/ipv4/ip_unprivileged_port_start", O_RDONLY | O_CLOEXEC);
	bool is_low = fd >= 0 && read(fd, first, sizeof(first) - 1) > 0 && strcmp(first, "1024\n") == 0;

	fd_close(&fd);
	rig_conf = fixture_conf("", "address = \"tcp:127.0.0.1:7\";");
	if (!is_low || !become_nobody())
		return;
	socket = rig_open_conf(NULL);
	become_root_again();
	ck_assert_ptr_null(socket);
	ck_assert_msg(strstr(rig_err.text, "listener 'web': cannot listen on tcp:127.0.0.1:7: bind: Permission denied; "
					   "ports below 1024 need CAP_NET_BIND_SERVICE") != NULL,
		"%s", rig_err.text);
}
END_TEST

START_TEST(a_folder_that_may_not_be_written_says_so)
{
	struct listen_socket *socket;

	rig_conf = fixture_conf("", rig_unix_options("x.sock", ""));
	ck_assert_int_eq(chmod(fixture.folder, 0555), 0);
	if (become_nobody()) {
		socket = rig_open_conf(NULL);
		become_root_again();
		ck_assert_ptr_null(socket);
		ck_assert_msg(strstr(rig_err.text, "Permission denied; the folder must be writable") != NULL, "%s",
			rig_err.text);
	}
	ck_assert_int_eq(chmod(fixture.folder, 0700), 0);
}
END_TEST

START_TEST(a_folder_that_is_not_there_says_so)
{
	rig_expect_failure(rig_unix_options("missing/x.sock", ""), "missing/x.sock", "; the folder does not exist");
}
END_TEST

START_TEST(an_owner_that_cannot_be_given_says_who_could)
{
	struct listen_socket *socket;

	rig_conf = fixture_conf("", rig_unix_options("x.sock", "socket_user = \"root\";"));
	ck_assert_int_eq(chmod(fixture.folder, 0777), 0);
	if (!become_nobody())
		return;
	socket = rig_open_conf(NULL);
	become_root_again();
	ck_assert_ptr_null(socket);
	ck_assert_msg(strstr(rig_err.text, "socket_user, socket_group: Operation not permitted; only root may") != NULL,
		"%s", rig_err.text);
	ck_assert(!rig_exists(fixture_path("x.sock")));
}
END_TEST

START_TEST(what_cannot_be_changed_is_named)
{
	struct listen_socket *socket = rig_open_good(rig_unix_options("x.sock", "socket_mode = \"0600\";"));
	int rc;

	/* What is as it should be needs no right to change it. */
	if (become_nobody())
		ck_assert_int_eq(listen_socket_apply(socket, rig_conf->listeners[0], &rig_err), 0);
	become_root_again();
	conf_unref(&rig_conf);
	rig_conf = fixture_conf("", rig_unix_options("x.sock", "socket_mode = \"0640\";"));
	if (getuid() == 0 && become_nobody()) {
		rc = listen_socket_apply(socket, rig_conf->listeners[0], &rig_err);
		become_root_again();
		ck_assert_int_eq(rc, -EPERM);
		ck_assert_msg(strstr(rig_err.text, "listener 'web': cannot set socket_mode on unix:") != NULL, "%s",
			rig_err.text);
	}
	listen_socket_free(&socket);
}
END_TEST

START_TEST(no_descriptor_left_says_which_limit)
{
	struct listen_socket *socket;

	rig_conf = fixture_conf("", "");
	fixture_exhaust_descriptors();
	socket = rig_open_conf(NULL);
	fixture_allow_descriptors();
	ck_assert_ptr_null(socket);
	ck_assert_msg(
		strstr(rig_err.text, "Too many open files; raise the limit of open files") != NULL, "%s", rig_err.text);
}
END_TEST

START_TEST(no_memory_leaves_nothing_behind)
{
	struct listen_socket *socket = NULL;
	unsigned n = 1;

	rig_conf = fixture_conf("", rig_unix_options("x.sock", ""));
	for (; socket == NULL; n++) {
		ck_assert_uint_lt(n, 10);
		mem_fail_after(n);
		socket = rig_open_conf(NULL);
		if (socket == NULL) {
			ck_assert_msg(strstr(rig_err.text, "Cannot allocate memory") != NULL, "%s", rig_err.text);
			ck_assert(!rig_exists(fixture_path("x.sock")));
		}
	}
	mem_fail_after(0);
	ck_assert_uint_gt(n, 3);
	listen_socket_free(&socket);
}
END_TEST

static void
add_tcp(Suite *suite)
{
	TCase *tc = rig_case(suite, "tcp");

	tcase_add_test(tc, port_0_is_chosen_by_the_kernel);
	tcase_add_test(tc, a_star_takes_both_families);
	tcase_add_test(tc, a_star_with_ipv6_only_leaves_ipv4_alone);
	tcase_add_test(tc, an_ipv6_address_is_ipv6_alone_unless_told_otherwise);
	tcase_add_test(tc, ipv4_and_ipv6_can_have_the_same_port);
	tcase_add_test(tc, a_zone_is_an_interface_s_name_or_number);
	tc = rig_case(suite, "options");
	tcase_add_test(tc, the_options_are_set_before_the_first_connection);
	tcase_add_test(tc, unset_options_leave_the_kernel_s_defaults);
	tcase_add_test(tc, bind_to_device_holds_the_socket_to_an_interface);
	tcase_add_test(tc, what_can_be_changed_on_a_live_socket_is);
}

static void
add_messages(Suite *suite)
{
	TCase *tc = rig_case(suite, "messages");

	tcase_add_test(tc, an_address_in_use_is_named_and_ss_recommended);
	tcase_add_test(tc, an_address_of_another_machine_is_named_and_free_bind_takes_it);
	tcase_add_test(tc, a_name_is_not_looked_up);
	tcase_add_test(tc, an_interface_that_is_not_there_is_named);
	tcase_add_test(tc, a_low_port_without_the_capability_says_who_may);
	tcase_add_test(tc, a_folder_that_may_not_be_written_says_so);
	tcase_add_test(tc, a_folder_that_is_not_there_says_so);
	tcase_add_test(tc, an_owner_that_cannot_be_given_says_who_could);
	tcase_add_test(tc, what_cannot_be_changed_is_named);
	tcase_add_test(tc, no_descriptor_left_says_which_limit);
	tcase_add_test(tc, no_memory_leaves_nothing_behind);
}

int
main(void)
{
	Suite *suite = suite_create("net/socket");

	add_tcp(suite);
	add_messages(suite);
	rig_add_paths(suite);
	return fixture_run(suite);
}
