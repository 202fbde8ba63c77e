/* SPDX-License-Identifier: MIT */
/*
 * accept_thread: what it takes, what it says at the end of a batch.
 *
 * That nobody waits for one that waits is shown by tests/func/reg-8-shared-socket.py.
 */
#include "config.h"

#include "net/accept_thread.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "engine/loop.h"

static struct loop loop;
static struct accept_thread *thread;
static int listening;
static unsigned taken;
static int clients[80];
static unsigned client_count;
static int descriptors_before;

static void
on_taken(void *arg)
{
	ck_assert_ptr_eq(arg, &taken);
	taken++;
}

static void
set_up(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	descriptors_before = fd_count_open();
	taken = client_count = 0;
	ck_assert_int_eq(loop_init(&loop, NULL, NULL), 0);
	listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(listening, (struct sockaddr *)&sin, sizeof(sin)), 0);
	ck_assert_int_eq(listen(listening, 100), 0);
	ck_assert_int_eq(accept_thread_start(listening, 1, &loop, on_taken, &taken, &thread), 0);
}

static void
dial(void)
{
	struct sockaddr_in sin;
	socklen_t length = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(getsockname(listening, (struct sockaddr *)&sin, &length), 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sin, length), 0);
	clients[client_count++] = fd;
}

/* The thread gives everything back, in its own time. */
static void
tear_down(void)
{
	accept_thread_stop(&thread);
	ck_assert_ptr_null(thread);
	while (client_count > 0)
		fd_close(&clients[--client_count]);
	fd_close(&listening);
	loop_fini(&loop);
	while (fd_count_open() != descriptors_before)
		sched_yield();
}

static void
ask(unsigned wanted)
{
	unsigned before = taken;

	accept_thread_ask(thread, wanted);
	while (accept_thread_is_asked(thread))
		ck_assert_int_eq(loop_turn(&loop, -1), 0);
	ck_assert_uint_gt(taken, before);
}

static int
next(void)
{
	struct sockaddr_storage sa;
	socklen_t length;

	return accept_thread_next(thread, &sa, &length);
}

static void
expect_next(unsigned count)
{
	while (count-- > 0) {
		int fd = next();

		ck_assert_int_ge(fd, 0);
		ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
		ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
		fd_close(&fd);
	}
}

START_TEST(a_batch_ends_with_an_empty_backlog)
{
	dial();
	dial();
	ask(5);
	ck_assert(accept_thread_has_more(thread));
	expect_next(2);
	ck_assert_int_eq(next(), -EAGAIN);
	ck_assert(!accept_thread_has_more(thread));
	ck_assert_int_eq(next(), -EINPROGRESS);
}
END_TEST

START_TEST(no_more_are_taken_than_asked_for)
{
	for (unsigned i = 0; i < 70; i++)
		dial();
	ask(3);
	expect_next(3);
	ck_assert_int_eq(next(), -EINPROGRESS);
	ask(100);
	expect_next(ACCEPT_THREAD_MAX);
	ck_assert_int_eq(next(), -EINPROGRESS);
}
END_TEST

START_TEST(an_error_is_told_once)
{
	ck_assert_int_eq(shutdown(listening, SHUT_RDWR), 0);
	ask(1);
	ck_assert_int_eq(next(), -EINVAL);
	ck_assert_int_eq(next(), -EINPROGRESS);
}
END_TEST

START_TEST(options_of_another_holder_are_taken_back)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 3600};
	socklen_t length = sizeof(linger);
	int lowat = 100000;
	int fd;

	ck_assert_int_eq(setsockopt(listening, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	ck_assert_int_eq(setsockopt(listening, SOL_SOCKET, SO_RCVLOWAT, &lowat, sizeof(lowat)), 0);
	dial();
	ask(1);
	fd = next();
	ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &length), 0);
	ck_assert_int_eq(linger.l_onoff, 0);
	length = sizeof(lowat);
	ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &lowat, &length), 0);
	ck_assert_int_eq(lowat, 1);
	fd_close(&fd);
}
END_TEST

START_TEST(what_nobody_came_for_is_closed)
{
	char byte;

	dial();
	ask(1);
	accept_thread_stop(&thread);
	ck_assert_int_eq(recv(clients[0], &byte, 1, 0), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("net/accept_thread");
	TCase *tcase = tcase_create("accept_thread");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, a_batch_ends_with_an_empty_backlog);
	tcase_add_test(tcase, no_more_are_taken_than_asked_for);
	tcase_add_test(tcase, an_error_is_told_once);
	tcase_add_test(tcase, options_of_another_holder_are_taken_back);
	tcase_add_test(tcase, what_nobody_came_for_is_closed);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
