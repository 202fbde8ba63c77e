/* SPDX-License-Identifier: MIT */
/*
 * program/spawner_line - answers reach the daemon in their order, whatever its socket says of them; sendmsg(2) fails
 * when the tests want it to.
 */
#include "config.h"

#include "program/spawner_line.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "base/mem.h"
#include "program/spawner_wire.h"

/* Linked with --wrap=sendmsg. */
ssize_t __wrap_sendmsg(int fd, const struct msghdr *header, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *header, int flags);

static int refused_with; /* 0: nothing is refused */
static unsigned sends;

ssize_t
__wrap_sendmsg(int fd, const struct msghdr *header, int flags)
{
	sends++;
	if (refused_with == 0)
		return __real_sendmsg(fd, header, flags);
	errno = refused_with;
	return -1;
}

static struct lines lines;
static struct line *line;
static int daemon_fd;
static uint64_t answered; /* ids given so far */
static uint64_t heard;    /* and received */

/* What came in one message. */
static unsigned
hear(void)
{
	struct spawner_answer answers[SPAWNER_ANSWERS_MAX];
	int fds[WIRE_FDS_MAX];
	unsigned count;
	bool is_cut;
	ssize_t n = wire_receive(daemon_fd, answers, sizeof(answers), fds, &count, &is_cut);

	if (n == -EAGAIN)
		return 0;
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(n % (ssize_t)sizeof(answers[0]), 0);
	for (unsigned i = 0; i < (size_t)n / sizeof(answers[0]); i++)
		ck_assert_uint_eq(answers[i].id, heard++);
	return (unsigned)((size_t)n / sizeof(answers[0]));
}

static void
hear_all(void)
{
	while (hear() > 0)
		;
	ck_assert_uint_eq(heard, answered);
}

static void
expect_end(void)
{
	char byte;

	ck_assert_int_eq(recv(daemon_fd, &byte, 1, MSG_DONTWAIT), 0);
}

static void
answer(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct spawner_answer message = {.id = answered};

		ck_assert(lines_reserve(&lines, line));
		lines_answer(&lines, line, &message);
		answered++;
	}
}

static uint32_t
events_of_line(void)
{
	struct epoll_event event = {0};

	return epoll_wait(lines.epoll_fd, &event, 1, 0) == 1 && event.data.u64 == line->id ? event.events : 0;
}

static void
open_line(void)
{
	int fds[2];

	ck_assert_int_eq(wire_pair(fds), 0);
	daemon_fd = fds[0];
	lines_open(&lines, fds[1]);
}

static void
set_up(void)
{
	struct spawner_answer hello;

	lines_init(&lines, epoll_create1(EPOLL_CLOEXEC));
	ck_assert_int_ge(lines.epoll_fd, 0);
	open_line();
	line = lines_find(&lines, lines.last_id);
	ck_assert_ptr_nonnull(line);
	ck_assert_int_eq(recv(daemon_fd, &hello, sizeof(hello), MSG_DONTWAIT), sizeof(hello));
	ck_assert_uint_eq(hello.id, SPAWNER_HELLO_ID);
	answered = 0;
	heard = 0;
	sends = 0;
}

static void
tear_down(void)
{
	struct list *link;
	struct list *following;

	LIST_FOREACH (&lines.items, link, following) {
		struct line *each = CP_CONTAINER_OF(link, struct line, link);

		each->running = 0;
		lines_lose(&lines, each);
	}
	lines_sweep(&lines);
	ck_assert(list_is_empty(&lines.items));
	fd_close(&daemon_fd);
	fd_close(&lines.epoll_fd);
}

START_TEST(answers_go_together_when_there_is_nothing_else_to_do)
{
	answer(3);
	ck_assert_uint_eq(sends, 0);
	lines_flush(&lines, true);
	ck_assert_uint_eq(sends, 1);
	ck_assert_uint_eq(hear(), 3);
	lines_flush(&lines, true);
	ck_assert_uint_eq(sends, 1);
}
END_TEST

START_TEST(a_busy_spawner_holds_none_back_for_long)
{
	answer(1);
	lines.owing_since_ns = 0;
	lines_flush(&lines, false);
	ck_assert_uint_eq(hear(), 1);
	answer(SPAWNER_ANSWERS_MAX);
	ck_assert_uint_eq(hear(), SPAWNER_ANSWERS_MAX);
}
END_TEST

START_TEST(a_full_socket_keeps_them_until_it_takes_more)
{
	refused_with = EAGAIN;
	answer(SPAWNER_ANSWERS_MAX);
	ck_assert(line->is_full);
	ck_assert(!lines.wants_retry);
	ck_assert_uint_eq(sends, 1);
	/* Those that follow do not try again. */
	answer(5);
	lines_flush(&lines, true);
	lines_retry(&lines);
	ck_assert_uint_eq(sends, 1);
	ck_assert_uint_eq(hear(), 0);
	refused_with = 0;
	ck_assert_uint_ne(events_of_line() & EPOLLOUT, 0);
	lines_resume(&lines, line);
	ck_assert(!line->is_full);
	ck_assert_uint_eq(events_of_line() & EPOLLOUT, 0);
	hear_all();
}
END_TEST

START_TEST(a_socket_that_is_full_for_real_loses_none)
{
	while (!line->is_full)
		answer(1);
	answer(100);
	while (line->is_full) {
		ck_assert_uint_gt(hear(), 0);
		if ((events_of_line() & EPOLLOUT) != 0)
			lines_resume(&lines, line);
	}
	lines_flush(&lines, true);
	hear_all();
}
END_TEST

START_TEST(a_shortage_of_the_kernel_is_tried_again)
{
	static const int shortages[] = {ENOBUFS, ENOMEM, ETOOMANYREFS};

	for (unsigned i = 0; i < CP_COUNT(shortages); i++) {
		refused_with = shortages[i];
		answer(40);
		lines_flush(&lines, true);
		ck_assert(lines.wants_retry);
		for (int turn = 0; turn < 3; turn++) {
			lines_retry(&lines);
			ck_assert(lines.wants_retry);
			ck_assert(!line->is_gone);
			ck_assert_uint_eq(hear(), 0);
		}
		refused_with = 0;
		lines_retry(&lines);
		ck_assert(!lines.wants_retry);
		hear_all();
	}
}
END_TEST

START_TEST(without_memory_no_place_is_promised)
{
	line->running = SPAWNER_ANSWERS_MAX;
	mem_fail_after(1);
	ck_assert(!lines_reserve(&lines, line));
	ck_assert(lines.wants_retry);
	ck_assert(!line->is_gone);
	mem_fail_after(0);
	ck_assert(lines_reserve(&lines, line));
	/* All that run, and one more, are answered without any memory. */
	ck_assert_uint_ge(line->owed_room, line->running + 1);
	refused_with = ENOBUFS;
	for (unsigned i = line->running + 1; i > 0; i--) {
		struct spawner_answer message = {.id = answered++};

		mem_fail_after(1);
		lines_answer(&lines, line, &message);
		mem_fail_after(0);
	}
	refused_with = 0;
	lines_flush(&lines, true);
	lines_retry(&lines);
	hear_all();
}
END_TEST

START_TEST(one_whose_daemon_has_closed_is_gone)
{
	fd_close(&daemon_fd);
	answer(1);
	lines_flush(&lines, true);
	ck_assert(line->is_gone);
	ck_assert_ptr_null(lines_find(&lines, line->id));
	ck_assert(!lines.wants_retry);
	ck_assert(list_is_empty(&lines.owing));
}
END_TEST

START_TEST(one_that_is_gone_stays_while_something_runs_for_it)
{
	struct spawner_answer message = {.id = 0};
	uint64_t id = line->id;

	line->running = 1;
	answer(2);
	lines_lose(&lines, line);
	expect_end();
	lines_answer(&lines, line, &message);
	lines_flush(&lines, true);
	lines_resume(&lines, line);
	lines_retry(&lines);
	ck_assert_uint_eq(sends, 0);
	ck_assert_uint_eq(line->owed_count, 0);
	lines_sweep(&lines);
	ck_assert(!list_is_empty(&lines.items));
	ck_assert_ptr_null(lines_find(&lines, id));
	line->running = 0;
	lines_sweep(&lines);
	ck_assert(list_is_empty(&lines.items));
}
END_TEST

START_TEST(one_that_cannot_be_greeted_is_closed)
{
	int kept = fd_take(&daemon_fd);

	refused_with = ENOBUFS;
	open_line();
	refused_with = 0;
	expect_end();
	ck_assert_ptr_null(lines_find(&lines, lines.last_id));
	fd_close(&daemon_fd);
	mem_fail_after(1);
	open_line();
	mem_fail_after(0);
	expect_end();
	ck_assert_ptr_null(lines_find(&lines, lines.last_id));
	fd_close(&daemon_fd);
	daemon_fd = kept;
	ck_assert_ptr_eq(lines_find(&lines, line->id), line);
}
END_TEST

START_TEST(no_two_have_the_same_id)
{
	int kept = fd_take(&daemon_fd);
	uint64_t id = line->id;

	lines_lose(&lines, line);
	lines_sweep(&lines);
	open_line();
	ck_assert_uint_ne(lines.last_id, id);
	ck_assert_ptr_null(lines_find(&lines, id));
	ck_assert_ptr_nonnull(lines_find(&lines, lines.last_id));
	close(kept);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("program/spawner_line");
	TCase *answers = tcase_create("answers");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(answers, set_up, tear_down);
	tcase_add_test(answers, answers_go_together_when_there_is_nothing_else_to_do);
	tcase_add_test(answers, a_busy_spawner_holds_none_back_for_long);
	tcase_add_test(answers, a_full_socket_keeps_them_until_it_takes_more);
	tcase_add_test(answers, a_socket_that_is_full_for_real_loses_none);
	tcase_add_test(answers, a_shortage_of_the_kernel_is_tried_again);
	tcase_add_test(answers, without_memory_no_place_is_promised);
	tcase_add_test(answers, one_whose_daemon_has_closed_is_gone);
	tcase_add_test(answers, one_that_is_gone_stays_while_something_runs_for_it);
	tcase_add_test(answers, one_that_cannot_be_greeted_is_closed);
	tcase_add_test(answers, no_two_have_the_same_id);
	suite_add_tcase(suite, answers);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
