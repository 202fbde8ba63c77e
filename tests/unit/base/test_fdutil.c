/* SPDX-License-Identifier: MIT */
/*
 * Tests of base/fdutil: descriptors change hands by emptying the holder, events wake, and the limit is what is said.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <check.h>

#include "base/fdutil.h"
#include "tests/unit/base/aborts.h"

static bool
is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static struct rlimit
read_limit(void)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	return limit;
}

/* For this test's process alone: false when the machine allows less. */
static bool
lower_limit(rlim_t soft, rlim_t hard)
{
	struct rlimit limit = { soft, hard };

	return read_limit().rlim_max >= hard && setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

static void
close_twice(void *arg)
{
	int fd = *(int *)arg;
	int copy = fd;

	fd_close(&fd);
	fd_close(&copy);
}

static void
signal_closed_event(void *arg)
{
	fd_signal_event(*(int *)arg);
}

START_TEST(close_empties_the_holder_and_keeps_errno)
{
	int fd = fd_new_event();
	int copy = fd;

	ck_assert_int_ge(fd, 0);
	errno = EXDEV;
	fd_close(&fd);
	ck_assert_int_eq(errno, EXDEV);
	ck_assert_int_eq(fd, -1);
	ck_assert(!is_open(copy));
	fd_close(&fd);
	ck_assert_int_eq(fd, -1);
}
END_TEST

START_TEST(closing_twice_aborts)
{
	int fd = fd_new_event();

	ck_assert(aborts_saying(close_twice, &fd, "EBADF"));
	fd_close(&fd);
}
END_TEST

START_TEST(take_moves_the_descriptor)
{
	int fd = fd_new_event();
	int holder = fd;

	ck_assert_int_eq(fd_take(&holder), fd);
	ck_assert_int_eq(holder, -1);
	ck_assert(is_open(fd));
	fd_close(&fd);
}
END_TEST

START_TEST(closed_standard_descriptors_are_held)
{
	char byte;

	ck_assert_int_eq(close(STDIN_FILENO), 0);
	ck_assert_int_eq(close(STDERR_FILENO), 0);
	ck_assert_int_eq(fd_hold_standard(), 0);
	ck_assert_int_eq(read(STDIN_FILENO, &byte, 1), 0);
	ck_assert_int_eq(write(STDERR_FILENO, "x", 1), 1);
	ck_assert_int_eq(fd_hold_standard(), 0);
	ck_assert_int_gt(open("/dev/null", O_RDONLY | O_CLOEXEC), STDERR_FILENO);
}
END_TEST

START_TEST(event_is_close_on_exec_and_does_not_block)
{
	int fd = fd_new_event();
	uint64_t value;

	ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	ck_assert_int_eq(read(fd, &value, sizeof(value)), -1);
	ck_assert_int_eq(errno, EAGAIN);
	fd_close(&fd);
}
END_TEST

START_TEST(signals_add_up_until_read)
{
	int fd = fd_new_event();
	uint64_t value = 0;

	for (int i = 0; i < 3; i++)
		fd_signal_event(fd);
	ck_assert_int_eq(read(fd, &value, sizeof(value)), sizeof(value));
	ck_assert_uint_eq(value, 3);
	fd_close(&fd);
}
END_TEST

START_TEST(signal_to_a_full_counter_is_no_error)
{
	int fd = fd_new_event();
	uint64_t value = UINT64_MAX - 1;

	ck_assert_int_eq(write(fd, &value, sizeof(value)), sizeof(value));
	errno = EXDEV;
	fd_signal_event(fd);
	ck_assert_int_eq(errno, EXDEV);
	ck_assert_int_eq(read(fd, &value, sizeof(value)), sizeof(value));
	ck_assert_uint_eq(value, UINT64_MAX - 1);
	fd_close(&fd);
}
END_TEST

START_TEST(signal_to_a_closed_event_aborts)
{
	int fd = fd_new_event();
	int copy = fd;

	fd_close(&fd);
	ck_assert(aborts_saying(signal_closed_event, &copy, "EBADF"));
}
END_TEST

START_TEST(no_event_without_descriptors)
{
	struct rlimit before = read_limit();
	int r;

	ck_assert(lower_limit(0, before.rlim_max));
	r = fd_new_event();
	/* What runs after the test, such as a leak check, opens files. */
	ck_assert(lower_limit(before.rlim_cur, before.rlim_max));
	ck_assert_int_eq(r, -EMFILE);
}
END_TEST

START_TEST(limit_is_left_when_high_enough)
{
	if (!lower_limit(64, 128))
		return;
	ck_assert_uint_eq(fd_raise_limit(10), 64);
	ck_assert_uint_eq(fd_raise_limit(64), 64);
	ck_assert_uint_eq(read_limit().rlim_cur, 64);
}
END_TEST

START_TEST(limit_is_raised_below_the_hard_one)
{
	if (!lower_limit(64, 128))
		return;
	ck_assert_uint_eq(fd_raise_limit(100), 100);
	ck_assert_uint_eq(read_limit().rlim_cur, 100);
	ck_assert_uint_eq(fd_raise_limit(128), 128);
	ck_assert_uint_eq(read_limit().rlim_max, 128);
}
END_TEST

START_TEST(limit_returned_beyond_the_hard_one_is_what_holds)
{
	uint64_t limit;

	if (!lower_limit(64, 128))
		return;
	limit = fd_raise_limit(129);
	ck_assert_uint_eq(read_limit().rlim_cur, limit);
	/* 128 without the privilege, 129 with it. */
	ck_assert(limit == 128 || limit == 129);
	limit = fd_raise_limit(UINT64_MAX);
	ck_assert_uint_ge(limit, 128);
	ck_assert_uint_eq(read_limit().rlim_cur, limit);
}
END_TEST

START_TEST(count_follows_what_is_open)
{
	int before = fd_count_open();
	int fd = fd_new_event();
	int second = fd_new_event();

	ck_assert_int_ge(before, 0);
	ck_assert_int_eq(fd_count_open(), before + 2);
	fd_close(&fd);
	fd_close(&second);
	ck_assert_int_eq(fd_count_open(), before);
}
END_TEST

START_TEST(count_fails_without_descriptors)
{
	struct rlimit before = read_limit();
	int r;

	ck_assert(lower_limit(0, before.rlim_max));
	r = fd_count_open();
	/* What runs after the test, such as a leak check, opens files. */
	ck_assert(lower_limit(before.rlim_cur, before.rlim_max));
	ck_assert_int_eq(r, -EMFILE);
}
END_TEST

/* ---- receiving ---------------------------------------------------------------------- */

static void
send_with_descriptor(int fd, const char *text)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
	struct iovec part = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control.room)};

	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	ck_assert_int_eq(sendmsg(fd, &message, 0), (ssize_t)strlen(text));
}

START_TEST(a_short_read_is_the_rest)
{
	bool is_unix = _i == 1;
	bool is_rest = false;
	char buf[8];
	int ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	ck_assert_int_eq(send(ends[1], "0123456789", 10, 0), 10);
	ck_assert_int_eq(fd_receive(ends[0], is_unix, buf, sizeof(buf), 0, &is_rest), 8);
	ck_assert(!is_rest);
	ck_assert_int_eq(fd_receive(ends[0], is_unix, buf, sizeof(buf), 0, &is_rest), 2);
	ck_assert(is_rest);
	/* The socket itself would block. */
	ck_assert_int_eq(fd_receive(ends[0], is_unix, buf, sizeof(buf), 0, &is_rest), -1);
	ck_assert_int_eq(errno, EAGAIN);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

START_TEST(a_read_that_ends_at_ancillary_data_is_not_the_rest)
{
	int flags = _i == 1 ? MSG_PEEK : 0;
	bool is_rest = true;
	char buf[8];
	int ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	send_with_descriptor(ends[1], "abc");
	send_with_descriptor(ends[1], "def");
	ck_assert_int_eq(fd_receive(ends[0], true, buf, sizeof(buf), flags, &is_rest), 3);
	ck_assert(!is_rest);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("base/fdutil");
	TCase *tc;
	SRunner *runner;
	int failed;

	tc = tcase_create("holder");
	tcase_add_test(tc, close_empties_the_holder_and_keeps_errno);
	tcase_add_test(tc, closing_twice_aborts);
	tcase_add_test(tc, take_moves_the_descriptor);
	suite_add_tcase(suite, tc);
	tc = tcase_create("standard");
	tcase_add_test(tc, closed_standard_descriptors_are_held);
	suite_add_tcase(suite, tc);
	tc = tcase_create("event");
	tcase_add_test(tc, event_is_close_on_exec_and_does_not_block);
	tcase_add_test(tc, signals_add_up_until_read);
	tcase_add_test(tc, signal_to_a_full_counter_is_no_error);
	tcase_add_test(tc, signal_to_a_closed_event_aborts);
	tcase_add_test(tc, no_event_without_descriptors);
	suite_add_tcase(suite, tc);
	tc = tcase_create("limit");
	tcase_add_test(tc, limit_is_left_when_high_enough);
	tcase_add_test(tc, limit_is_raised_below_the_hard_one);
	tcase_add_test(tc, limit_returned_beyond_the_hard_one_is_what_holds);
	suite_add_tcase(suite, tc);
	tc = tcase_create("count");
	tcase_add_test(tc, count_follows_what_is_open);
	tcase_add_test(tc, count_fails_without_descriptors);
	suite_add_tcase(suite, tc);
	tc = tcase_create("receive");
	tcase_add_loop_test(tc, a_short_read_is_the_rest, 0, 2);
	tcase_add_loop_test(tc, a_read_that_ends_at_ancillary_data_is_not_the_rest, 0, 2);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
