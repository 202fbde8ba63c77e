/* SPDX-License-Identifier: MIT */
/*
 * systemd: what the manager hears, and what the environment says that it handed over.
 *
 * The manager is a datagram socket of the test's. Where libsystemd is not to be had, the same tests hold the promise
 * that every call does nothing.
 */
#include "config.h"

#include "base/systemd.h"

#include <check.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdutil.h"

#ifdef HAVE_SYSTEMD
static const bool has_systemd = true;
#else
static const bool has_systemd = false;
#endif

static int manager;

static void
clear_environment(void)
{
	static const char *const variables[] = {"NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES",
		"WATCHDOG_PID", "WATCHDOG_USEC", "JOURNAL_STREAM"};
	size_t i;

	for (i = 0; i < CP_COUNT(variables); i++)
		unsetenv(variables[i]);
}

static void
set_up(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t size = sizeof(address);
	char name[128];

	clear_environment();
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(manager, 0);
	/* Bound to no name, the kernel finds an abstract one that nobody has. */
	ck_assert_int_eq(bind(manager, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
	ck_assert_int_eq(getsockname(manager, (struct sockaddr *)&address, &size), 0);
	snprintf(name, sizeof(name), "@%.*s", (int)(size - sizeof(sa_family_t) - 1), address.sun_path + 1);
	setenv("NOTIFY_SOCKET", name, 1);
}

static void
tear_down(void)
{
	fd_close(&manager);
	clear_environment();
}

/* The next message to the manager; "" where there can be none, and then false. */
static bool
receive(char *text, size_t size)
{
	ssize_t n = recv(manager, text, size - 1, 0);

	text[n < 0 ? 0 : n] = '\0';
	if (has_systemd)
		ck_assert_int_gt(n, 0);
	else
		ck_assert_int_lt(n, 0);
	return n > 0;
}

static void
expect_message(const char *expected)
{
	char text[4096];

	if (receive(text, sizeof(text)))
		ck_assert_str_eq(text, expected);
}

START_TEST(ready_carries_the_status)
{
	systemd_notify_ready("serving 3 listeners");
	expect_message("READY=1\nSTATUS=serving 3 listeners");
	systemd_notify_ready(NULL);
	expect_message("READY=1");
}
END_TEST

START_TEST(status_is_one_line)
{
	ck_assert(systemd_notify_status("fine\nREADY=1"));
	expect_message("STATUS=fine");
}
END_TEST

START_TEST(stopping_and_watchdog_are_told)
{
	systemd_notify_stopping();
	expect_message("STOPPING=1");
	systemd_notify_watchdog();
	expect_message("WATCHDOG=1");
}
END_TEST

START_TEST(reloading_carries_the_monotonic_time)
{
	uint64_t before = clock_now_ns() / 1000;
	uint64_t usec = 0;
	char text[4096];

	systemd_notify_reloading();
	if (!receive(text, sizeof(text)))
		return;
	ck_assert_int_eq(sscanf(text, "RELOADING=1\nMONOTONIC_USEC=%" SCNu64, &usec), 1);
	ck_assert_uint_ge(usec, before);
	ck_assert_uint_le(usec, clock_now_ns() / 1000);
}
END_TEST

/* So many that the manager's queue can't take them: the kernel bounds it. */
START_TEST(a_manager_that_does_not_read_holds_nothing_up)
{
	char text[4096];
	int told = 0;

	while (told < 100000 && systemd_notify_status("one more"))
		told++;
	if (!has_systemd)
		return;
	ck_assert_int_lt(told, 100000);
	systemd_notify_watchdog();
	systemd_notify_stopping();
	while (told-- > 0)
		ck_assert(receive(text, sizeof(text)));
	ck_assert_int_lt(recv(manager, text, sizeof(text), 0), 0);
	ck_assert(systemd_notify_status("there again"));
	expect_message("STATUS=there again");
}
END_TEST

START_TEST(a_descriptor_is_kept_for_the_manager)
{
	struct rlimit limit;

	systemd_notify_ready("there");
	expect_message("READY=1\nSTATUS=there");
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = 0;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	systemd_notify_watchdog();
	expect_message("WATCHDOG=1");
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}
END_TEST

START_TEST(nobody_is_told_without_a_manager)
{
	unsetenv("NOTIFY_SOCKET");
	systemd_notify_ready("unheard");
	ck_assert_int_lt(recv(manager, (char[1]){0}, 1, 0), 0);
}
END_TEST

START_TEST(watchdog_is_off_unless_set)
{
	ck_assert_uint_eq(systemd_watchdog_usec(), 0);
}
END_TEST

START_TEST(watchdog_of_this_process_is_known)
{
	char pid[32];

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("WATCHDOG_USEC", "3000000", 1);
	setenv("WATCHDOG_PID", pid, 1);
	ck_assert_uint_eq(systemd_watchdog_usec(), systemd_journal_load() ? 3000000 : 0);
}
END_TEST

START_TEST(watchdog_of_another_process_is_not_ours)
{
	setenv("WATCHDOG_USEC", "3000000", 1);
	setenv("WATCHDOG_PID", "1", 1);
	ck_assert_uint_eq(systemd_watchdog_usec(), 0);
}
END_TEST

/* Exit code of the child below: which of its claims failed. */
static int
take_handed_over(pid_t pid)
{
	struct systemd_sockets sockets;
	char text[32];
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return 1;
	pair[0] = fcntl(pair[0], F_DUPFD, 20);
	pair[1] = fcntl(pair[1], F_DUPFD, 20);
	if (dup2(pair[0], 3) < 0 || dup2(pair[1], 4) < 0)
		return 2;
	snprintf(text, sizeof(text), "%d", (int)pid);
	setenv("LISTEN_PID", text, 1);
	setenv("LISTEN_FDS", "2", 1);
	setenv("LISTEN_FDNAMES", "web:control", 1);
	if (systemd_sockets_init(&sockets) != 0)
		return 3;
	if (pid != getpid() || !systemd_journal_load())
		return sockets.count == 0 ? 0 : 4;
	if (sockets.count != 2 || strcmp(sockets.items[0].name, "web") != 0 ||
		strcmp(sockets.items[1].name, "control") != 0)
		return 5;
	if (sockets.items[0].fd != 3 || sockets.items[1].fd != 4 || (fcntl(3, F_GETFD) & FD_CLOEXEC) == 0)
		return 6;
	if (getenv("LISTEN_FDS") != NULL)
		return 7;
	if (fd_take(&sockets.items[0].fd) != 3)
		return 8;
	systemd_sockets_fini(&sockets);
	/* Taken stays open, not taken is closed. */
	return sockets.count == 0 && fcntl(3, F_GETFD) >= 0 && fcntl(4, F_GETFD) < 0 ? 0 : 9;
}

/* In a child of its own, because descriptors 3 and 4 are the test framework's here. */
static int
run_child(bool ours)
{
	int status = -1;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(take_handed_over(ours ? getpid() : 1));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

START_TEST(sockets_are_taken_by_name)
{
	ck_assert_int_eq(run_child(true), 0);
}
END_TEST

START_TEST(sockets_of_another_process_are_left_alone)
{
	ck_assert_int_eq(run_child(false), 0);
}
END_TEST

START_TEST(no_sockets_is_no_error)
{
	struct systemd_sockets sockets;

	ck_assert_int_eq(systemd_sockets_init(&sockets), 0);
	ck_assert_uint_eq(sockets.count, 0);
	systemd_sockets_fini(&sockets);
}
END_TEST

START_TEST(stderr_is_the_journal_only_if_named)
{
	char stream[64];
	struct stat st;

	ck_assert(!systemd_stderr_is_journal());
	ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	ck_assert(systemd_stderr_is_journal());
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino + 1);
	setenv("JOURNAL_STREAM", stream, 1);
	ck_assert(!systemd_stderr_is_journal());
	setenv("JOURNAL_STREAM", "nonsense", 1);
	ck_assert(!systemd_stderr_is_journal());
}
END_TEST

static void
add_case(Suite *suite, const char *name, const TTest *const *tests, size_t count)
{
	TCase *tcase = tcase_create(name);
	size_t i;

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	for (i = 0; i < count; i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
}

int
main(void)
{
	const TTest *const notify[] = {ready_carries_the_status, status_is_one_line, stopping_and_watchdog_are_told,
		a_manager_that_does_not_read_holds_nothing_up, a_descriptor_is_kept_for_the_manager,
		reloading_carries_the_monotonic_time, nobody_is_told_without_a_manager};
	const TTest *const watchdog[] = {watchdog_is_off_unless_set, watchdog_of_this_process_is_known,
		watchdog_of_another_process_is_not_ours};
	const TTest *const sockets[] = {
		sockets_are_taken_by_name, sockets_of_another_process_are_left_alone, no_sockets_is_no_error};
	const TTest *const journal[] = {stderr_is_the_journal_only_if_named};
	Suite *suite = suite_create("base/systemd");
	SRunner *runner = srunner_create(suite);
	int failed;

	add_case(suite, "notify", notify, CP_COUNT(notify));
	add_case(suite, "watchdog", watchdog, CP_COUNT(watchdog));
	add_case(suite, "sockets", sockets, CP_COUNT(sockets));
	add_case(suite, "journal", journal, CP_COUNT(journal));
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
