/* SPDX-License-Identifier: MIT */
/*
 * program/spawner_wire - packets and the descriptors that come with them.
 */
#include "config.h"

#include "program/spawner_wire.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdutil.h"

static int ends[2];

static void
set_up(void)
{
	ck_assert_int_eq(wire_pair(ends), 0);
}

static void
tear_down(void)
{
	fd_close(&ends[0]);
	fd_close(&ends[1]);
}

START_TEST(a_packet_brings_its_descriptors)
{
	int sent[2] = {ends[0], ends[1]};
	int fds[WIRE_FDS_MAX];
	int value = 7;
	int got = 0;
	unsigned count;
	bool is_cut;

	ck_assert_int_eq(wire_send(ends[0], &value, sizeof(value), sent, 2), 0);
	ck_assert_int_eq(wire_receive(ends[1], &got, sizeof(got), fds, &count, &is_cut), sizeof(got));
	ck_assert_int_eq(got, 7);
	ck_assert_uint_eq(count, 2);
	ck_assert(!is_cut);
	for (unsigned i = 0; i < count; i++) {
		ck_assert_int_ne(fcntl(fds[i], F_GETFD) & FD_CLOEXEC, 0);
		close(fds[i]);
	}
}
END_TEST

START_TEST(more_descriptors_than_there_is_room_for_are_closed)
{
	int sent[WIRE_FDS_MAX + 1] = {ends[0], ends[0], ends[0], ends[0]};
	char control[CMSG_SPACE(sizeof(sent))] __attribute__((aligned(8))) = {0};
	char letter = 'x';
	struct iovec part = {.iov_base = &letter, .iov_len = 1};
	struct msghdr header = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
	int before = fd_count_open();
	int fds[WIRE_FDS_MAX];
	unsigned count;
	bool is_cut;
	char byte;

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(sent));
	for (unsigned i = 0; i < WIRE_FDS_MAX + 1; i++)
		((int *)(void *)CMSG_DATA(cmsg))[i] = sent[i];
	ck_assert_int_eq(sendmsg(ends[0], &header, 0), 1);
	ck_assert_int_eq(wire_receive(ends[1], &byte, 1, fds, &count, &is_cut), 1);
	ck_assert(is_cut);
	ck_assert_uint_eq(count, WIRE_FDS_MAX);
	for (unsigned i = 0; i < count; i++)
		close(fds[i]);
	ck_assert_int_eq(fd_count_open(), before);
}
END_TEST

START_TEST(nothing_there_and_the_end_are_told_apart)
{
	int fds[WIRE_FDS_MAX];
	unsigned count;
	bool is_cut;
	char byte;

	ck_assert_int_eq(wire_receive(ends[1], &byte, 1, fds, &count, &is_cut), -EAGAIN);
	fd_close(&ends[0]);
	ck_assert_int_eq(wire_receive(ends[1], &byte, 1, fds, &count, &is_cut), 0);
	ck_assert_uint_eq(count, 0);
	ck_assert_int_eq(wire_send(ends[1], "x", 1, NULL, 0), -EPIPE);
}
END_TEST

START_TEST(a_full_socket_does_not_wait)
{
	char bytes[4096] = {0};
	int rc = 0;

	for (int i = 0; i < 10000 && rc == 0; i++)
		rc = wire_send(ends[0], bytes, sizeof(bytes), NULL, 0);
	ck_assert_int_eq(rc, -EAGAIN);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("program/spawner_wire");
	TCase *packets = tcase_create("packets");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(packets, set_up, tear_down);
	tcase_add_test(packets, a_packet_brings_its_descriptors);
	tcase_add_test(packets, more_descriptors_than_there_is_room_for_are_closed);
	tcase_add_test(packets, nothing_there_and_the_end_are_told_apart);
	tcase_add_test(packets, a_full_socket_does_not_wait);
	suite_add_tcase(suite, packets);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
