/* SPDX-License-Identifier: MIT */
/*
 * A sink must never wait and never change what it shares with others.
 */
#include "config.h"

#include "client/sink.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdutil.h"

static char block[100000];
static struct sink sink;
static int ends[2];   /* read here, written by the sink */
static int shared_fd; /* another holder of the open file that the sink was given */

static void
setup_pipe(void)
{
	int fd;

	signal(SIGPIPE, SIG_IGN);
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	shared_fd = dup(ends[1]);
	fd = fd_take(&ends[1]);
	sink_init(&sink, &fd);
	ck_assert_int_eq(fd, -1);
}

static void
setup_socket(void)
{
	int fd;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	shared_fd = dup(ends[1]);
	fd = fd_take(&ends[1]);
	sink_init(&sink, &fd);
}

static void
teardown(void)
{
	sink_fini(&sink);
	fd_close(&ends[0]);
	fd_close(&shared_fd);
}

static size_t
fill(void)
{
	size_t total = 0;
	ssize_t n;

	while ((n = sink_write(&sink, block, sizeof(block))) > 0)
		total += (size_t)n;
	ck_assert_int_eq(n, -EAGAIN);
	return total;
}

static void
check_full_one_takes_more_once_read(void)
{
	ck_assert_uint_gt(fill(), 0);
	ck_assert_int_gt(read(ends[0], block, sizeof(block)), 0);
	ck_assert_uint_gt(fill(), 0);
	ck_assert_int_eq(fcntl(shared_fd, F_GETFL) & O_NONBLOCK, 0);
}

START_TEST(a_full_pipe_says_again_and_stays_blocking_for_others)
{
	ck_assert_int_eq(sink.kind, SINK_DIRECT);
	check_full_one_takes_more_once_read();
}
END_TEST

START_TEST(a_full_socket_says_again_and_stays_blocking_for_others)
{
	ck_assert_int_eq(sink.kind, SINK_SOCKET);
	check_full_one_takes_more_once_read();
}
END_TEST

START_TEST(a_pipe_without_reader_is_a_broken_pipe)
{
	fd_close(&ends[0]);
	ck_assert_int_eq(sink_write(&sink, block, 1), -EPIPE);
}
END_TEST

START_TEST(the_reader_sees_the_end_once_it_is_closed)
{
	fd_close(&shared_fd);
	ck_assert_int_eq(sink_write(&sink, "abc", 3), 3);
	sink_fini(&sink);
	ck_assert_int_eq(read(ends[0], block, sizeof(block)), 3);
	ck_assert_int_eq(read(ends[0], block, sizeof(block)), 0);
}
END_TEST

START_TEST(a_pipe_that_cannot_be_opened_anew_is_written_little_at_a_time)
{
	struct sink careful = { .fd = shared_fd, .kind = SINK_CAREFUL };

	ck_assert_int_eq(sink_write(&careful, block, sizeof(block)), 4096);
}
END_TEST

START_TEST(a_file_keeps_its_offset_and_append)
{
	char path[] = "/tmp/connpool-sink-XXXXXX", back[8] = "";
	int fd = mkstemp(path), other;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(unlink(path), 0);
	other = dup(fd);
	ck_assert_int_eq(write(other, "one ", 4), 4);
	sink_init(&sink, &fd);
	ck_assert_int_eq(sink_write(&sink, "two", 3), 3);
	ck_assert_int_eq(lseek(other, 0, SEEK_CUR), 7);
	ck_assert_int_eq(pread(other, back, 7, 0), 7);
	ck_assert_str_eq(back, "one two");
	sink_fini(&sink);
	fd_close(&other);
}
END_TEST

static Suite *
sink_suite(void)
{
	Suite *suite = suite_create("client/sink");
	TCase *tc = tcase_create("pipe");

	tcase_add_checked_fixture(tc, setup_pipe, teardown);
	tcase_add_test(tc, a_full_pipe_says_again_and_stays_blocking_for_others);
	tcase_add_test(tc, a_pipe_without_reader_is_a_broken_pipe);
	tcase_add_test(tc, the_reader_sees_the_end_once_it_is_closed);
	tcase_add_test(tc, a_pipe_that_cannot_be_opened_anew_is_written_little_at_a_time);
	suite_add_tcase(suite, tc);
	tc = tcase_create("socket");
	tcase_add_checked_fixture(tc, setup_socket, teardown);
	tcase_add_test(tc, a_full_socket_says_again_and_stays_blocking_for_others);
	suite_add_tcase(suite, tc);
	tc = tcase_create("file");
	tcase_add_test(tc, a_file_keeps_its_offset_and_append);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	SRunner *runner = srunner_create(sink_suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
