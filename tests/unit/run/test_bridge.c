/* SPDX-License-Identifier: MIT */
/*
 * test_bridge - two descriptors as one socket, and one that is a socket already.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <check.h>

#include "base/fdutil.h"
#include "run/bridge.h"
#include "../net/netfixture.h"

/* The bridge reads in[0] and writes out[1]. */
static int in[2];
static int out[2];
static int fd;
static struct bridge bridge;

static void
set_up(void)
{
	signal(SIGPIPE, SIG_IGN);
	fd = -1;
	ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
}

static void
tear_down(void)
{
	/* The reader may still be at in[0]: that is borrowed for ever. */
	fd_close(&fd);
	fd_close(&in[1]);
	fd_close(&out[0]);
	fd_close(&out[1]);
}

static void
make_blocking(int of)
{
	ck_assert_int_eq(fcntl(of, F_SETFL, fcntl(of, F_GETFL) & ~O_NONBLOCK), 0);
}

START_TEST(pipes_become_a_socket)
{
	char buf[16];

	ck_assert_int_eq(bridge_open(&bridge, in[0], out[1], &fd, NULL), 0);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	make_blocking(fd);
	ck_assert_int_eq(write(in[1], "hello", 5), 5);
	ck_assert_int_eq(recv(fd, buf, 5, MSG_WAITALL), 5);
	ck_assert_int_eq(send(fd, buf, 5, 0), 5);
	ck_assert_int_eq(read(out[0], buf + 5, 5), 5);
	ck_assert_int_eq(memcmp(buf, "hellohello", 10), 0);
	fd_close(&in[1]);
	ck_assert_int_eq(recv(fd, buf, 1, 0), 0);
	fd_close(&fd);
	ck_assert_int_eq(bridge_close(&bridge), 0);
}
END_TEST

START_TEST(what_was_sent_is_written_before_the_end)
{
	char buf[16];

	ck_assert_int_eq(bridge_open(&bridge, in[0], out[1], &fd, NULL), 0);
	ck_assert_int_eq(send(fd, "last words", 10, 0), 10);
	fd_close(&fd);
	ck_assert_int_eq(bridge_close(&bridge), 0);
	ck_assert_int_eq(read(out[0], buf, sizeof(buf)), 10);
	/* So that the reader ends. */
	fd_close(&in[1]);
}
END_TEST

START_TEST(output_that_fails_is_told_to_both_sides)
{
	char byte;

	fd_close(&out[0]);
	ck_assert_int_eq(bridge_open(&bridge, in[0], out[1], &fd, NULL), 0);
	make_blocking(fd);
	ck_assert_int_eq(send(fd, "x", 1, MSG_NOSIGNAL), 1);
	while (send(fd, "x", 1, MSG_NOSIGNAL) == 1)
		;
	ck_assert_int_eq(errno, EPIPE);
	fd_close(&in[1]);
	ck_assert_int_eq(recv(fd, &byte, 1, 0), 0);
	fd_close(&fd);
	ck_assert_int_eq(bridge_close(&bridge), -EIO);
}
END_TEST

START_TEST(a_socket_is_taken_as_it_is)
{
	int ends[2];
	char byte;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	ck_assert_int_eq(bridge_open(&bridge, ends[0], ends[0], &fd, NULL), 0);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	ck_assert_int_eq(send(ends[1], "x", 1, 0), 1);
	ck_assert_int_eq(recv(fd, &byte, 1, 0), 1);
	fd_close(&fd);
	ck_assert_int_eq(bridge_close(&bridge), 0);
	ck_assert_int_eq(fcntl(ends[0], F_GETFL) & O_NONBLOCK, 0);
	fd_close(&ends[0]);
	fd_close(&ends[1]);
}
END_TEST

START_TEST(two_sockets_are_two_descriptors)
{
	int ends[2];
	char byte;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	ck_assert_int_eq(bridge_open(&bridge, in[0], ends[0], &fd, NULL), 0);
	ck_assert_int_eq(send(fd, "x", 1, 0), 1);
	ck_assert_int_eq(recv(ends[1], &byte, 1, 0), 1);
	fd_close(&fd);
	ck_assert_int_eq(bridge_close(&bridge), 0);
	fd_close(&in[1]);
	fd_close(&ends[0]);
	fd_close(&ends[1]);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("run/bridge");
	TCase *tc = tcase_create("copying");

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, pipes_become_a_socket);
	tcase_add_test(tc, what_was_sent_is_written_before_the_end);
	tcase_add_test(tc, output_that_fails_is_told_to_both_sides);
	tcase_add_test(tc, two_sockets_are_two_descriptors);
	tc = tcase_create("sockets");
	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_socket_is_taken_as_it_is);
	return fixture_run(suite);
}
