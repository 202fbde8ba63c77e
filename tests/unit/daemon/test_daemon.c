/* SPDX-License-Identifier: MIT */
/*
 * daemon: daemon_run() as a whole, in a process of its own, by its exit codes, its log and its signals.
 *
 * The test waits for lines of its log, never for time to pass.
 */
#include "config.h"

#include "daemon/daemon.h"

#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "daemonrig.h"

#define LOG "log: { target = \"stderr\"; level = \"info\"; };\n"
#define SLOW_DRAIN "daemon: { drain_timeout = \"1h\"; };\n"

static pid_t child;
static FILE *child_log;

/* A name service that never answers, once there is a file "$/slow" (the linker's --wrap). */
struct passwd *__real_getpwnam(const char *name);
struct passwd *__wrap_getpwnam(const char *name);

struct passwd *
__wrap_getpwnam(const char *name)
{
	while (access(daemonrig_expand("$/slow"), F_OK) == 0)
		pause();
	return __real_getpwnam(name);
}

static void
start(const char *text)
{
	int ends[2];

	daemonrig_write(DAEMONRIG_CONF, text);
	ck_assert_int_eq(pipe(ends), 0);
	fflush(NULL);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		/* A test that fails leaves nobody behind. */
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* exit(), not _exit(): the checkers look for leaks there. */
		dup2(ends[1], STDERR_FILENO);
		fd_close(&ends[0]);
		fd_close(&ends[1]);
		exit(daemon_run(daemonrig_expand(DAEMONRIG_CONF)));
	}
	fd_close(&ends[1]);
	child_log = fdopen(ends[0], "re");
	ck_assert_ptr_nonnull(child_log);
}

/* Reads on to the line that has text in it; fails at the end of the log. */
static void
await_line(const char *text)
{
	char line[4096];

	text = daemonrig_expand(text);
	do {
		ck_assert_msg(fgets(line, sizeof(line), child_log) != NULL, "no line with: %s", text);
	} while (strstr(line, text) == NULL);
}

/* The exit code; what the log still holds is thrown away, so that nobody waits for us. */
static int
await_exit(void)
{
	char line[4096];
	int status = -1;

	while (fgets(line, sizeof(line), child_log) != NULL)
		continue;
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	fclose(child_log);
	ck_assert_msg(WIFEXITED(status), "killed by signal %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}

static void
start_well(const char *text)
{
	start(text);
	await_line("notice: connpoold " PACKAGE_VERSION " ready: ");
}

static void
tell(int number)
{
	ck_assert_int_eq(kill(child, number), 0);
}

/* Blocking: the daemon is another process. */
static void
expect_echo(int fd)
{
	char word[8];

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(send(fd, "ping", 4, MSG_NOSIGNAL), 4);
	ck_assert_int_eq(recv(fd, word, sizeof(word), 0), 4);
	ck_assert_mem_eq(word, "ping", 4);
}

static void
expect_end(int fd)
{
	char byte;

	ck_assert_int_le(recv(fd, &byte, 1, 0), 0);
}

/* ---- the start ------------------------------------------------------------------ */

START_TEST(bad_config_ends_with_its_own_code)
{
	start("wrong_key = 1;\n" DAEMONRIG_ONE);
	await_line("error: $/main.conf:1: wrong_key: ");
	ck_assert_int_eq(await_exit(), DAEMON_EXIT_CONFIG);
}
END_TEST

START_TEST(address_that_can_not_be_had_fails_the_start)
{
	start(LOG "listeners: ( { name = \"b\"; address = \"unix:$/no/b.sock\"; service = \"echo\"; } );\n");
	await_line("error: cannot start: listener 'b': ");
	ck_assert_int_eq(await_exit(), DAEMON_EXIT_FAILURE);
}
END_TEST

START_TEST(it_listens_before_it_says_ready)
{
	int fd;

	start_well(LOG DAEMONRIG_ONE);
	fd = daemonrig_connect("$/a.sock");
	expect_echo(fd);
	fd_close(&fd);
	await_line("closed: client (in 4, out 4 bytes");
	tell(SIGTERM);
	ck_assert_int_eq(await_exit(), DAEMON_EXIT_OK);
	ck_assert_int_lt(daemonrig_connect("$/a.sock"), 0);
}
END_TEST

/* ---- reload ------------------------------------------------------------------------ */

START_TEST(hangup_reloads_and_connections_live_on)
{
	int fd;
	int other;

	start_well(LOG DAEMONRIG_ONE);
	fd = daemonrig_connect("$/a.sock");
	expect_echo(fd);
	daemonrig_write(DAEMONRIG_CONF,
		LOG "listeners: ( { name = \"b\"; address = \"unix:$/b.sock\"; service = \"echo\"; } );\n");
	tell(SIGHUP);
	await_line("notice: reloaded: 2 changes");
	expect_echo(fd);
	ck_assert_int_lt(daemonrig_connect("$/a.sock"), 0);
	other = daemonrig_connect("$/b.sock");
	expect_echo(other);
	fd_close(&other);
	fd_close(&fd);
	tell(SIGTERM);
	ck_assert_int_eq(await_exit(), DAEMON_EXIT_OK);
}
END_TEST

START_TEST(removed_pool_ends_with_its_last_connection)
{
	int fd;

	start_well(LOG "pools: { jobs: { workers = 1; }; };\n"
		       "listeners: ( { name = \"a\"; address = \"unix:$/a.sock\"; service = \"echo\"; "
		       "pool = \"jobs\"; } );\n");
	fd = daemonrig_connect("$/a.sock");
	expect_echo(fd);
	daemonrig_write(DAEMONRIG_CONF, LOG DAEMONRIG_ONE);
	tell(SIGHUP);
	await_line("notice: reloaded: ");
	expect_echo(fd);
	fd_close(&fd);
	await_line("closed: client");
	fd = daemonrig_connect("$/a.sock");
	expect_echo(fd);
	fd_close(&fd);
	tell(SIGTERM);
	ck_assert_int_eq(await_exit(), DAEMON_EXIT_OK);
}
END_TEST

START_TEST(bad_reload_changes_nothing)
{
	int fd;

	start_well(LOG DAEMONRIG_ONE);
	daemonrig_write(DAEMONRIG_CONF, "wrong_key = 1;\n");
	tell(SIGHUP);
	await_line("error: reload failed: ");
	fd = daemonrig_connect("$/a.sock");
	expect_echo(fd);
	fd_close(&fd);
	tell(SIGTERM);
	ck_assert_int_eq(await_exit(), DAEMON_EXIT_OK);
}
END_TEST

/* SIGHUP comes before SIGTERM, in whatever turn they are read (signal(7)). */
START_TEST(reload_that_hangs_does_not_hold_up_the_stop)
{
	int fd;

	start_well(LOG DAEMONRIG_ONE);
	daemonrig_write("$/slow", "");
	daemonrig_write(DAEMONRIG_CONF,
		LOG "listeners: ( { name = \"b\"; address = \"unix:$/b.sock\"; service = \"echo\"; "
		    "socket_user = \"root\"; } );\n");
	tell(SIGHUP);
	fd = daemonrig_connect("$/a.sock");
	expect_echo(fd);
	fd_close(&fd);
	tell(SIGTERM);
	await_line("warning: reload failed: the daemon stops");
	await_line("notice: stopped, while a reload still reads its files");
	ck_assert_int_eq(await_exit(), DAEMON_EXIT_OK);
	ck_assert_int_lt(access(daemonrig_expand("$/a.sock"), F_OK), 0);
}
END_TEST

/* ---- stop --------------------------------------------------------------------------- */

START_TEST(idle_daemon_stops_at_once)
{
	start_well(LOG SLOW_DRAIN DAEMONRIG_ONE);
	tell(SIGINT);
	await_line("notice: stopping on SIGINT: 0 connections may end by themselves for 3600000 ms");
	await_line("notice: stopped");
	ck_assert_int_eq(await_exit(), DAEMON_EXIT_OK);
}
END_TEST

START_TEST(drain_refuses_the_new_and_lets_the_old_end)
{
	int fd;

	start_well(LOG SLOW_DRAIN DAEMONRIG_ONE);
	fd = daemonrig_connect("$/a.sock");
	expect_echo(fd);
	tell(SIGTERM);
	await_line("notice: stopping on SIGTERM: 1 connections may");
	/* A reload is too late, and harmless. */
	tell(SIGHUP);
	expect_echo(fd);
	ck_assert_int_lt(daemonrig_connect("$/a.sock"), 0);
	fd_close(&fd);
	await_line("notice: stopped");
	ck_assert_int_eq(await_exit(), DAEMON_EXIT_OK);
}
END_TEST

START_TEST(second_signal_ends_at_once)
{
	int fd;

	start_well(LOG SLOW_DRAIN DAEMONRIG_ONE);
	fd = daemonrig_connect("$/a.sock");
	expect_echo(fd);
	tell(SIGTERM);
	await_line("notice: stopping on SIGTERM: ");
	tell(SIGINT);
	await_line("notice: SIGINT once more: closing 1 connections now");
	await_line("closed: drain");
	expect_end(fd);
	ck_assert_int_eq(await_exit(), DAEMON_EXIT_OK);
	fd_close(&fd);
}
END_TEST

START_TEST(drain_timeout_ends_what_is_left)
{
	int fd;

	start_well(LOG "daemon: { drain_timeout = \"10ms\"; };\n" DAEMONRIG_ONE);
	fd = daemonrig_connect("$/a.sock");
	expect_echo(fd);
	tell(SIGTERM);
	await_line("warning: closing 1 connections that did not end within daemon.drain_timeout");
	expect_end(fd);
	ck_assert_int_eq(await_exit(), DAEMON_EXIT_OK);
	fd_close(&fd);
}
END_TEST

START_TEST(queued_connections_are_rejected_at_the_end_of_the_drain)
{
	int served;
	int waits;

	start_well(LOG SLOW_DRAIN "pools: { jobs: { workers = 1; connections_per_worker = 1; }; };\n"
				  "listeners: ( { name = \"a\"; address = \"unix:$/a.sock\"; service = \"echo\"; "
				  "pool = \"jobs\"; busy_message = \"busy\"; } );\n");
	served = daemonrig_connect("$/a.sock");
	expect_echo(served);
	waits = daemonrig_connect("$/a.sock");
	/* A reload comes after it in the main thread's turn: then it is off the backlog and in the queue. */
	tell(SIGHUP);
	await_line("notice: reloaded: 0 changes");
	tell(SIGHUP);
	await_line("notice: reloaded: 0 changes");
	tell(SIGTERM);
	await_line("notice: stopping on SIGTERM: 2 connections may");
	tell(SIGTERM);
	expect_end(served);
	ck_assert_int_eq(recv(waits, (char[8]){""}, 8, 0), 4);
	ck_assert_int_eq(await_exit(), DAEMON_EXIT_OK);
	fd_close(&served);
	fd_close(&waits);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("daemon/daemon");
	TCase *tcase = daemonrig_case(suite, "start");

	tcase_add_test(tcase, bad_config_ends_with_its_own_code);
	tcase_add_test(tcase, address_that_can_not_be_had_fails_the_start);
	tcase_add_test(tcase, it_listens_before_it_says_ready);
	tcase = daemonrig_case(suite, "reload");
	tcase_add_test(tcase, hangup_reloads_and_connections_live_on);
	tcase_add_test(tcase, removed_pool_ends_with_its_last_connection);
	tcase_add_test(tcase, bad_reload_changes_nothing);
	tcase_add_test(tcase, reload_that_hangs_does_not_hold_up_the_stop);
	tcase = daemonrig_case(suite, "stop");
	tcase_add_test(tcase, idle_daemon_stops_at_once);
	tcase_add_test(tcase, drain_refuses_the_new_and_lets_the_old_end);
	tcase_add_test(tcase, second_signal_ends_at_once);
	tcase_add_test(tcase, drain_timeout_ends_what_is_left);
	tcase_add_test(tcase, queued_connections_are_rejected_at_the_end_of_the_drain);
	return daemonrig_run(suite);
}
