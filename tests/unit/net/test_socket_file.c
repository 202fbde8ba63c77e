/* SPDX-License-Identifier: MIT */
/*
 * test_socket_file - which file is ours, and what is done to others: nothing.
 *
 * What needs root is left out where that is not to be had.
 */
#include "config.h"

#include "net/socket_file.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "netfixture.h"
#include "socketrig.h"

static struct socket_file file;
static struct sockaddr_un sun;
static int fd;

static void
set_up(void)
{
	sun = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", fixture_path("x.sock"));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(fd, 0);
	file = (struct socket_file){.fd = -1};
}

static void
tear_down(void)
{
	socket_file_remove(&file);
	fd_close(&fd);
}

static void
bind_file(void)
{
	ck_assert_int_eq(socket_file_bind(&file, fd, &sun, sizeof(sun)), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
}

static struct stat
stat_of(const char *path)
{
	struct stat st;

	ck_assert_int_eq(lstat(path, &st), 0);
	return st;
}

static void
set(mode_t mode)
{
	bool is_owner;

	ck_assert_int_eq(socket_file_set(&file, mode, (uid_t)-1, (gid_t)-1, &is_owner), 0);
}

/* ---- ours ------------------------------------------------------------------------- */

START_TEST(nobody_may_connect_before_the_mode_is_set)
{
	mode_t mask = umask(0);

	bind_file();
	umask(mask);
	ck_assert_uint_eq(stat_of(sun.sun_path).st_mode, S_IFSOCK);
	set(0666);
	ck_assert_uint_eq(stat_of(sun.sun_path).st_mode, S_IFSOCK | 0666);
	ck_assert_int_eq(socket_file_look(&file), SOCKET_FILE_OURS);
	socket_file_remove(&file);
	ck_assert(!rig_exists(sun.sun_path));
	socket_file_remove(&file);
}
END_TEST

START_TEST(its_mode_is_set_wherever_it_is)
{
	char moved[128];

	bind_file();
	snprintf(moved, sizeof(moved), "%s", fixture_path("moved"));
	ck_assert_int_eq(rename(sun.sun_path, moved), 0);
	ck_assert_int_eq(symlink("moved", sun.sun_path), 0);
	ck_assert_int_eq(socket_file_look(&file), SOCKET_FILE_FOREIGN);
	set(0640);
	ck_assert_uint_eq(stat_of(moved).st_mode, S_IFSOCK | 0640);
	socket_file_remove(&file);
	ck_assert(rig_exists(sun.sun_path));
	ck_assert(rig_exists(moved));
}
END_TEST

START_TEST(one_that_was_removed_is_gone_and_may_be_made_again)
{
	int second = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct socket_file again;

	bind_file();
	ck_assert_int_eq(unlink(sun.sun_path), 0);
	ck_assert_int_eq(socket_file_look(&file), SOCKET_FILE_GONE);
	set(0600);
	ck_assert_int_eq(socket_file_bind(&again, second, &sun, sizeof(sun)), 0);
	/* Inodes are not used again while their socket lives. */
	ck_assert_int_eq(socket_file_look(&file), SOCKET_FILE_FOREIGN);
	socket_file_remove(&file);
	ck_assert_int_eq(socket_file_look(&again), SOCKET_FILE_OURS);
	socket_file_remove(&again);
	ck_assert(!rig_exists(sun.sun_path));
	fd_close(&second);
}
END_TEST

START_TEST(a_folder_that_may_not_be_searched_hides_nothing)
{
	if (geteuid() != 0)
		return;
	bind_file();
	ck_assert_int_eq(chmod(fixture.folder, 0700), 0);
	ck_assert_int_eq(seteuid(65534), 0);
	ck_assert_int_eq(socket_file_look(&file), SOCKET_FILE_OURS);
	ck_assert_int_eq(seteuid(0), 0);
	ck_assert_int_eq(unlink(sun.sun_path), 0);
	ck_assert_int_eq(seteuid(65534), 0);
	ck_assert_int_eq(socket_file_look(&file), SOCKET_FILE_GONE);
	ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

START_TEST(without_descriptors_it_is_looked_at_and_removed)
{
	bind_file();
	fixture_exhaust_descriptors();
	ck_assert_int_eq(socket_file_look(&file), SOCKET_FILE_OURS);
	socket_file_remove(&file);
	fixture_allow_descriptors();
	ck_assert(!rig_exists(sun.sun_path));
}
END_TEST

START_TEST(without_a_descriptor_for_it_none_is_made)
{
	fixture_exhaust_descriptors();
	ck_assert_int_eq(socket_file_bind(&file, fd, &sun, sizeof(sun)), -EMFILE);
	fixture_allow_descriptors();
	ck_assert(!rig_exists(sun.sun_path));
}
END_TEST

/* ---- others' ------------------------------------------------------------------------- */

START_TEST(only_a_socket_that_nobody_listens_on_is_cleared)
{
	int other = rig_occupy(sun.sun_path);

	ck_assert_int_eq(socket_file_clear(sun.sun_path), -EADDRINUSE);
	ck_assert_str_eq(socket_file_describe(sun.sun_path), "another program's socket");
	fd_close(&other);
	ck_assert_str_eq(socket_file_describe(sun.sun_path), "a socket that nobody listens on");
	ck_assert_int_eq(socket_file_clear(sun.sun_path), 0);
	ck_assert(!rig_exists(sun.sun_path));
	ck_assert_int_eq(socket_file_clear(sun.sun_path), 0);
}
END_TEST

START_TEST(a_link_to_a_stale_socket_is_not_followed)
{
	char target[128];
	int other;

	snprintf(target, sizeof(target), "%s", fixture_path("target"));
	other = rig_occupy(target);
	fd_close(&other);
	ck_assert_int_eq(symlink(target, sun.sun_path), 0);
	ck_assert_int_eq(socket_file_bind(&file, fd, &sun, sizeof(sun)), -EADDRINUSE);
	ck_assert_int_eq(socket_file_clear(sun.sun_path), -EEXIST);
	ck_assert(rig_exists(target) && rig_exists(sun.sun_path));
	ck_assert_int_eq(unlink(target), 0);
	/* bind(2) does not make what a link points to. */
	ck_assert_int_eq(socket_file_bind(&file, fd, &sun, sizeof(sun)), -EADDRINUSE);
	ck_assert(!rig_exists(target));
}
END_TEST

START_TEST(each_kind_of_file_has_a_name)
{
	int plain = open(sun.sun_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	fd_close(&plain);
	ck_assert_str_eq(socket_file_describe(sun.sun_path), "a regular file");
	ck_assert_int_eq(unlink(sun.sun_path), 0);
	ck_assert_int_eq(mkfifo(sun.sun_path, 0600), 0);
	ck_assert_str_eq(socket_file_describe(sun.sun_path), "a FIFO");
	ck_assert_int_eq(socket_file_clear(sun.sun_path), -EEXIST);
	ck_assert_str_eq(socket_file_describe("/"), "a directory");
	ck_assert_str_eq(socket_file_describe("/dev/null"), "a device");
	ck_assert_str_eq(socket_file_describe("/proc/self/exe"), "a symbolic link");
	ck_assert_str_eq(socket_file_describe("/nowhere/at/all"), "something");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("net/socket_file");
	TCase *tc = fixture_case(suite, "ours");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, nobody_may_connect_before_the_mode_is_set);
	tcase_add_test(tc, its_mode_is_set_wherever_it_is);
	tcase_add_test(tc, one_that_was_removed_is_gone_and_may_be_made_again);
	tcase_add_test(tc, a_folder_that_may_not_be_searched_hides_nothing);
	tcase_add_test(tc, without_descriptors_it_is_looked_at_and_removed);
	tcase_add_test(tc, without_a_descriptor_for_it_none_is_made);
	tc = fixture_case(suite, "others");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, only_a_socket_that_nobody_listens_on_is_cleared);
	tcase_add_test(tc, a_link_to_a_stale_socket_is_not_followed);
	tcase_add_test(tc, each_kind_of_file_has_a_name);
	return fixture_run(suite);
}
