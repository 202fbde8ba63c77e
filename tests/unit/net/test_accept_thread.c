/* SPDX-License-Identifier: MIT */
/*
 * accept_thread: what it takes, what it says at the end of a batch.
 *
 * That the daemon waits for none that waits is shown by tests/func/reg-8-shared-socket.py.
 */
#include "config.h"

#include "net/accept_thread.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdutil.h"
#include "engine/loop.h"

static struct loop loop;
static struct accept_thread *thread;
static int listening;
static unsigned taken;
static int clients[80];
static unsigned client_count;
static int descriptors_before;
static uint64_t began_ns;

/* ---- another holder ------------------------------------------------------------------- */

static atomic_bool clears_flag; /* makes the socket blocking after each time that it was set otherwise */
static atomic_bool steals;      /* and takes one client away, just before accept4(2) */
static atomic_int stolen;

static int
real_accept4(int fd, struct sockaddr *sa, socklen_t *length, int flags)
{
	return (int)syscall(SYS_accept4, fd, sa, length, flags);
}

/* The thread's call: what others do with the socket comes between its own steps. */
int
accept4(int fd, struct sockaddr *sa, socklen_t *length, int flags)
{
	int off = 0;

	if (atomic_load(&clears_flag) && ioctl(fd, FIONBIO, &off) < 0)
		return -1;
	if (atomic_exchange(&steals, false))
		atomic_store(&stolen, real_accept4(fd, NULL, NULL, SOCK_CLOEXEC));
	return real_accept4(fd, sa, length, flags);
}

/* ---- set-up --------------------------------------------------------------------------- */

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
	began_ns = clock_now_ns();
	taken = client_count = 0;
	atomic_store(&clears_flag, false);
	atomic_store(&steals, false);
	atomic_store(&stolen, -1);
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
	uint64_t accepted_ns = 0;
	int rc = accept_thread_next(thread, &sa, &length, &accepted_ns);

	if (rc >= 0) {
		ck_assert_uint_ge(accepted_ns, began_ns);
		ck_assert_uint_le(accepted_ns, clock_now_ns());
	}
	return rc;
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

START_TEST(what_was_taken_can_be_had_after_a_recall)
{
	dial();
	dial();
	ask(2);
	dial();
	accept_thread_recall(thread);
	expect_next(2);
	ck_assert(!accept_thread_has_more(thread));
}
END_TEST

/* Looking for more must not wait, whatever the flag says: the main thread has a use for what there is. */
START_TEST(a_blocking_socket_ends_a_batch_too)
{
	atomic_store(&clears_flag, true);
	dial();
	ask(5);
	expect_next(1);
	ck_assert_int_eq(next(), -EAGAIN);
}
END_TEST

/* It waits in accept4(2) when it is stopped: the client that ends this is closed, the next are not its. */
START_TEST(one_that_waits_takes_nobody_after_its_stop)
{
	struct pollfd waiting = {.fd = listening, .events = POLLIN};
	unsigned open_before = (unsigned)fd_count_open();
	int fd;
	char byte;

	atomic_store(&clears_flag, true);
	atomic_store(&steals, true);
	dial();
	accept_thread_ask(thread, 5);
	while ((fd = atomic_load(&stolen)) < 0)
		sched_yield();
	fd_close(&fd);
	accept_thread_stop(&thread);
	dial();
	ck_assert_int_eq(recv(clients[1], &byte, 1, 0), 0);
	dial();
	ck_assert_int_eq(poll(&waiting, 1, -1), 1);
	/* Its descriptor is given back: it is over. */
	while ((unsigned)fd_count_open() != open_before - 1 + client_count)
		sched_yield();
	fd = real_accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	fd_close(&fd);
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
	tcase_add_test(tcase, what_was_taken_can_be_had_after_a_recall);
	tcase_add_test(tcase, a_blocking_socket_ends_a_batch_too);
	tcase_add_test(tcase, one_that_waits_takes_nobody_after_its_stop);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
