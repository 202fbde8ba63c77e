/* SPDX-License-Identifier: MIT */
/*
 * socket_paths.c - the part of net/socket's tests about sockets with a file, and about those that systemd passes.
 *
 * What needs root is left out where that is not to be had.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "base/systemd.h"
#include "conf/conf.h"
#include "net/socket.h"
#include "netfixture.h"
#include "socketrig.h"

#define NOBODY 65534

static struct listen_socket *live_socket;

/* ---- unix: ----------------------------------------------------------------------------------- */

START_TEST(a_path_gets_its_mode_and_is_removed_at_the_end)
{
	struct listen_socket *socket = rig_open_good(rig_unix_options("x.sock", "socket_mode = \"0600\";"));
	struct stat st;

	ck_assert_int_eq(lstat(fixture_path("x.sock"), &st), 0);
	ck_assert(S_ISSOCK(st.st_mode));
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert(!socket->is_tcp);
	ck_assert_int_eq(rig_try_unix(fixture_path("x.sock")), 0);
	listen_socket_free(&socket);
	ck_assert(!rig_exists(fixture_path("x.sock")));
}
END_TEST

START_TEST(a_path_gets_its_owner)
{
	const struct group *group = getgrgid(NOBODY);
	struct listen_socket *socket;
	char options[128];
	struct stat st;

	if (geteuid() != 0 || getpwnam("nobody") == NULL || group == NULL)
		return;
	snprintf(options, sizeof(options), "socket_user = \"nobody\"; socket_group = \"%s\";", group->gr_name);
	socket = rig_open_good(rig_unix_options("x.sock", options));
	ck_assert_int_eq(lstat(fixture_path("x.sock"), &st), 0);
	ck_assert_uint_eq(st.st_uid, getpwnam("nobody")->pw_uid);
	ck_assert_uint_eq(st.st_gid, NOBODY);
	conf_unref(&rig_conf);
	rig_conf = fixture_conf("", rig_unix_options("x.sock", "socket_user = \"root\"; socket_mode = \"0640\";"));
	ck_assert_int_eq(listen_socket_apply(socket, rig_conf->listeners[0], &rig_err), 0);
	ck_assert_int_eq(lstat(fixture_path("x.sock"), &st), 0);
	ck_assert_uint_eq(st.st_uid, 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0640);
	listen_socket_free(&socket);
}
END_TEST

START_TEST(a_stale_socket_is_taken_over)
{
	int fd = rig_occupy(fixture_path("x.sock"));
	struct listen_socket *socket;

	fd_close(&fd);
	ck_assert_int_eq(rig_try_unix(fixture_path("x.sock")), -ECONNREFUSED);
	socket = rig_open_good(rig_unix_options("x.sock", ""));
	ck_assert_int_eq(rig_try_unix(fixture_path("x.sock")), 0);
	listen_socket_free(&socket);
}
END_TEST

START_TEST(a_live_socket_is_not_taken_over)
{
	int fd = rig_occupy(fixture_path("x.sock"));

	rig_expect_failure(
		rig_unix_options("x.sock", ""), "x.sock", "Address already in use; another program listens there");
	ck_assert_int_eq(rig_try_unix(fixture_path("x.sock")), 0);
	fd_close(&fd);
}
END_TEST

/* Its backlog is full: that too is somebody who listens. */
START_TEST(a_busy_socket_is_not_taken_over)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = rig_occupy(fixture_path("x.sock"));
	int clients[8];
	unsigned count = 0;

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", fixture_path("x.sock"));
	do {
		ck_assert_uint_lt(count, 8);
		clients[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	} while (connect(clients[count++], (struct sockaddr *)&sun, sizeof(sun)) == 0);
	ck_assert_int_eq(errno, EAGAIN);
	rig_expect_failure(rig_unix_options("x.sock", ""), "x.sock", "Address already in use");
	ck_assert(rig_exists(fixture_path("x.sock")));
	while (count > 0)
		close(clients[--count]);
	fd_close(&fd);
}
END_TEST

START_TEST(a_file_of_another_kind_is_left_alone)
{
	int fd = open(fixture_path("precious"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	struct stat st;

	ck_assert_int_eq(write(fd, "gold", 4), 4);
	fd_close(&fd);
	rig_expect_failure(rig_unix_options("precious", ""), "precious",
		": a regular file: File exists; it is left alone");
	ck_assert_int_eq(lstat(fixture_path("precious"), &st), 0);
	ck_assert(S_ISREG(st.st_mode));
	ck_assert_int_eq(st.st_size, 4);
}
END_TEST

START_TEST(a_link_is_left_alone_whatever_it_points_to)
{
	char link_path[128];
	int fd = rig_occupy(fixture_path("y.sock"));

	fd_close(&fd);
	snprintf(link_path, sizeof(link_path), "%s", fixture_path("x.sock"));
	ck_assert_int_eq(symlink("y.sock", link_path), 0);
	rig_expect_failure(rig_unix_options("x.sock", ""), "x.sock",
		": a symbolic link: File exists; it is left alone");
	ck_assert(rig_exists(fixture_path("x.sock")));
	ck_assert(rig_exists(fixture_path("y.sock")));
}
END_TEST

/* Somebody else has put his own there since: another start of the daemon, for one. */
START_TEST(only_the_file_that_it_made_is_removed)
{
	struct listen_socket *socket = rig_open_good(rig_unix_options("x.sock", ""));
	int fd;

	ck_assert_int_eq(unlink(fixture_path("x.sock")), 0);
	fd = rig_occupy(fixture_path("x.sock"));
	listen_socket_free(&socket);
	ck_assert_int_eq(rig_try_unix(fixture_path("x.sock")), 0);
	fd_close(&fd);
}
END_TEST

/* A file, and a link to it, in the place of a live socket's file. */
static void
expect_untouched_by_apply(const char *name)
{
	struct stat before;
	struct stat after;

	ck_assert_int_eq(lstat(fixture_path(name), &before), 0);
	ck_assert_int_eq(listen_socket_apply(live_socket, rig_conf->listeners[0], &rig_err), 0);
	ck_assert_int_eq(lstat(fixture_path(name), &after), 0);
	ck_assert_uint_eq(before.st_mode, after.st_mode);
	ck_assert_uint_eq(before.st_uid, after.st_uid);
}

START_TEST(what_replaced_its_file_is_not_changed)
{
	int fd;
	char link_path[128];

	live_socket = rig_open_good(rig_unix_options("x.sock", "socket_mode = \"0666\";"));
	ck_assert_int_eq(listen_socket_look(live_socket, rig_conf->listeners[0], &rig_err), 1);
	snprintf(link_path, sizeof(link_path), "%s", fixture_path("x.sock"));
	ck_assert_int_eq(rename(link_path, fixture_path("moved")), 0);
	ck_assert_int_eq(listen_socket_look(live_socket, rig_conf->listeners[0], &rig_err), 0);
	fd = open(fixture_path("precious"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	fd_close(&fd);
	ck_assert_int_eq(symlink("precious", link_path), 0);
	expect_untouched_by_apply("precious");
	ck_assert_int_eq(listen_socket_look(live_socket, rig_conf->listeners[0], &rig_err), -EEXIST);
	ck_assert_msg(strstr(rig_err.text, "x.sock was replaced by a symbolic link; that is left alone") != NULL, "%s",
		rig_err.text);
	ck_assert_int_eq(unlink(link_path), 0);
	ck_assert_int_eq(rename(fixture_path("precious"), link_path), 0);
	expect_untouched_by_apply("x.sock");
	listen_socket_free(&live_socket);
	ck_assert(rig_exists(link_path));
}
END_TEST

START_TEST(an_abstract_name_needs_no_file)
{
	struct listen_socket *socket;
	char options[128], *name = strrchr(fixture.folder, '.');

	snprintf(options, sizeof(options), "address = \"unix:@connpoold%s\";", name);
	socket = rig_open_good(options);
	ck_assert_ptr_null(socket->file.path);
	ck_assert_int_eq(rig_option(socket->fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
	rig_expect_failure(options, name, "Address already in use");
	listen_socket_free(&socket);
	socket = rig_open_good(options);
	listen_socket_free(&socket);
}
END_TEST

/* ---- systemd: ------------------------------------------------------------------------------------ */

static struct systemd_socket passed[3];
static struct systemd_sockets sockets = {.items = passed, .count = 3};

/* "other", then two of "greet"; the first of these is what is given. */
static void
pass_sockets(int kind, bool listening)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	static char other[] = "other", greet[] = "greet";

	for (int i = 0; i < 3; i++) {
		passed[i].name = i == 0 ? other : greet;
		passed[i].fd = socket(AF_INET, (i == 1 ? kind : SOCK_STREAM) | SOCK_CLOEXEC, 0);
		ck_assert_int_eq(bind(passed[i].fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
		if (i != 1 || listening)
			ck_assert_int_eq(listen(passed[i].fd, 1), 0);
	}
}

static void
close_passed(void)
{
	for (int i = 0; i < 3; i++)
		fd_close(&passed[i].fd);
}

START_TEST(sockets_from_systemd_are_taken_by_name_one_after_another)
{
	struct listen_socket *first, *second;
	int fds[2];

	pass_sockets(SOCK_STREAM, true);
	fds[0] = passed[1].fd;
	fds[1] = passed[2].fd;
	first = rig_open("address = \"systemd:greet\";", &sockets);
	ck_assert_msg(first != NULL, "%s", rig_err.text);
	ck_assert_int_eq(first->fd, fds[0]);
	ck_assert_int_eq(passed[1].fd, -1);
	ck_assert(first->is_inherited);
	ck_assert(first->is_tcp);
	ck_assert_int_ne(fcntl(first->fd, F_GETFL) & O_NONBLOCK, 0);
	second = rig_open("address = \"systemd:greet\";", &sockets);
	ck_assert_msg(second != NULL, "%s", rig_err.text);
	ck_assert_int_eq(second->fd, fds[1]);
	ck_assert_ptr_null(rig_open("address = \"systemd:greet\";", &sockets));
	listen_socket_free(&first);
	listen_socket_free(&second);
	close_passed();
}
END_TEST

START_TEST(a_name_that_systemd_did_not_pass_is_told)
{
	const char *said = "listener 'web': cannot listen on systemd:nosuch: systemd passed no socket of that name";

	pass_sockets(SOCK_STREAM, true);
	ck_assert_ptr_null(rig_open("address = \"systemd:nosuch\";", &sockets));
	ck_assert_msg(strstr(rig_err.text, said) != NULL, "%s", rig_err.text);
	ck_assert_msg(strstr(rig_err.text, "folder") == NULL, "%s", rig_err.text);
	ck_assert_ptr_null(rig_open("address = \"systemd:nosuch\";", NULL));
	ck_assert_msg(strstr(rig_err.text, said) != NULL, "%s", rig_err.text);
	close_passed();
}
END_TEST

START_TEST(what_does_not_listen_is_refused_and_not_taken)
{
	pass_sockets(SOCK_STREAM, false);
	ck_assert_ptr_null(rig_open("address = \"systemd:greet\";", &sockets));
	ck_assert_msg(strstr(rig_err.text, "not a listening stream socket") != NULL, "%s", rig_err.text);
	ck_assert_int_ge(passed[1].fd, 0);
	close_passed();
	pass_sockets(SOCK_DGRAM, false);
	ck_assert_ptr_null(rig_open("address = \"systemd:greet\";", &sockets));
	ck_assert_msg(strstr(rig_err.text, "not a listening stream socket") != NULL, "%s", rig_err.text);
	close_passed();
}
END_TEST

START_TEST(a_socket_of_packets_is_refused_though_it_listens)
{
	const struct sockaddr any_name = {.sa_family = AF_UNIX};

	pass_sockets(SOCK_STREAM, true);
	fd_close(&passed[1].fd);
	passed[1].fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(passed[1].fd, &any_name, sizeof(any_name.sa_family)), 0);
	ck_assert_int_eq(listen(passed[1].fd, 1), 0);
	ck_assert_ptr_null(rig_open("address = \"systemd:greet\";", &sockets));
	ck_assert_msg(strstr(rig_err.text, "not a listening stream socket") != NULL, "%s", rig_err.text);
	close_passed();
}
END_TEST

START_TEST(the_file_of_a_socket_from_systemd_is_not_removed)
{
	struct listen_socket *socket;

	pass_sockets(SOCK_STREAM, true);
	close(passed[1].fd);
	passed[1].fd = rig_occupy(fixture_path("x.sock"));
	socket = rig_open("address = \"systemd:greet\"; socket_mode = \"0600\";", &sockets);
	ck_assert_msg(socket != NULL, "%s", rig_err.text);
	ck_assert(!socket->is_tcp);
	ck_assert_int_eq(listen_socket_apply(socket, rig_conf->listeners[0], &rig_err), 0);
	listen_socket_free(&socket);
	ck_assert(rig_exists(fixture_path("x.sock")));
	close_passed();
}
END_TEST

void
rig_add_paths(Suite *suite)
{
	TCase *tc = rig_case(suite, "unix");

	tcase_add_test(tc, a_path_gets_its_mode_and_is_removed_at_the_end);
	tcase_add_test(tc, a_path_gets_its_owner);
	tcase_add_test(tc, a_stale_socket_is_taken_over);
	tcase_add_test(tc, a_live_socket_is_not_taken_over);
	tcase_add_test(tc, a_busy_socket_is_not_taken_over);
	tcase_add_test(tc, a_file_of_another_kind_is_left_alone);
	tcase_add_test(tc, a_link_is_left_alone_whatever_it_points_to);
	tcase_add_test(tc, only_the_file_that_it_made_is_removed);
	tcase_add_test(tc, what_replaced_its_file_is_not_changed);
	tcase_add_test(tc, an_abstract_name_needs_no_file);
	tc = rig_case(suite, "systemd");
	tcase_add_test(tc, sockets_from_systemd_are_taken_by_name_one_after_another);
	tcase_add_test(tc, a_name_that_systemd_did_not_pass_is_told);
	tcase_add_test(tc, what_does_not_listen_is_refused_and_not_taken);
	tcase_add_test(tc, a_socket_of_packets_is_refused_though_it_listens);
	tcase_add_test(tc, the_file_of_a_socket_from_systemd_is_not_removed);
}
