/* SPDX-License-Identifier: MIT */
/*
 * inspect: what --check, --dump-config and --help-config print, and their exit codes.
 *
 * Standard output is a file of the test's while they run.
 */
#include "config.h"

#include "daemon/inspect.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "daemonrig.h"

static char printed[1 << 16];

/* Calls inspect with standard output going to fd. */
static int
run_to(int fd, int (*inspect)(const char *path), const char *path)
{
	int old = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
	int exit_code;

	fflush(stdout);
	ck_assert_int_ge(dup2(fd, STDOUT_FILENO), 0);
	exit_code = inspect(daemonrig_expand(path));
	fflush(stdout);
	clearerr(stdout);
	ck_assert_int_ge(dup2(old, STDOUT_FILENO), 0);
	fd_close(&old);
	return exit_code;
}

/* What it printed is in `printed` then. */
static int
run(int (*inspect)(const char *path), const char *path)
{
	int fd = memfd_create("stdout", MFD_CLOEXEC);
	int exit_code = run_to(fd, inspect, path);
	ssize_t n = pread(fd, printed, sizeof(printed) - 1, 0);

	ck_assert_int_ge(n, 0);
	printed[n] = '\0';
	fd_close(&fd);
	return exit_code;
}

static int
check(const char *path)
{
	return inspect_check(path, false);
}

static int
check_strictly(const char *path)
{
	return inspect_check(path, true);
}

static int
options(const char *path)
{
	(void)path;
	return inspect_options();
}

START_TEST(good_config_is_said_to_be_good)
{
	daemonrig_write(DAEMONRIG_CONF, DAEMONRIG_ONE);
	ck_assert_int_eq(run(check, DAEMONRIG_CONF), DAEMON_EXIT_OK);
	ck_assert_str_eq(printed, daemonrig_expand("$/main.conf: the configuration is good\n"));
	ck_assert(!daemonrig_logged("main.conf"));
}
END_TEST

#define BAD "wrong_key = 1;\nlog: { level = \"loud\"; };\n" DAEMONRIG_ONE

#define MISSING \
	"listeners: ( { name = \"a\"; address = \"unix:@x\"; service = { type = \"exec\"; " \
	"command = [ \"/nowhere/x\" ]; }; } );\n"

START_TEST(a_program_that_may_come_yet_is_no_error)
{
	daemonrig_write(DAEMONRIG_CONF, MISSING);
	ck_assert_int_eq(run(check_strictly, DAEMONRIG_CONF), DAEMON_EXIT_OK);
	ck_assert(daemonrig_logged("$/main.conf:1: listener 'a': command: there is no /nowhere/x"));
	ck_assert_int_eq(run(inspect_before_start, DAEMONRIG_CONF), DAEMON_EXIT_OK);
}
END_TEST

START_TEST(a_start_is_strict_and_says_what_is_wrong_alone)
{
	daemonrig_write(DAEMONRIG_CONF, DAEMONRIG_ONE);
	ck_assert_int_eq(run(inspect_before_start, DAEMONRIG_CONF), DAEMON_EXIT_OK);
	ck_assert_str_eq(printed, "");
	daemonrig_write(DAEMONRIG_CONF, "wrong_key = 1;\n" DAEMONRIG_ONE);
	ck_assert_int_eq(run(inspect_before_start, DAEMONRIG_CONF), DAEMON_EXIT_CONFIG);
	ck_assert(daemonrig_logged("$/main.conf:1: wrong_key: "));
}
END_TEST

START_TEST(every_error_goes_to_standard_error)
{
	daemonrig_write(DAEMONRIG_CONF, BAD);
	ck_assert_int_eq(run(check, DAEMONRIG_CONF), DAEMON_EXIT_CONFIG);
	ck_assert_str_eq(printed, "");
	ck_assert(daemonrig_logged("$/main.conf:1: wrong_key: "));
	ck_assert(daemonrig_logged("$/main.conf:2: log.level: "));
}
END_TEST

START_TEST(errors_beyond_those_kept_are_counted)
{
	char text[8192] = "";

	for (unsigned i = 0; i < 105; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "wrong_%u = 1;\n", i);
	strcat(text, DAEMONRIG_ONE);
	daemonrig_write(DAEMONRIG_CONF, text);
	ck_assert_int_eq(run(check, DAEMONRIG_CONF), DAEMON_EXIT_CONFIG);
	ck_assert(daemonrig_logged("$/main.conf: 5 more errors\n"));
}
END_TEST

START_TEST(missing_file_is_a_config_error)
{
	ck_assert_int_eq(run(check, "$/nowhere.conf"), DAEMON_EXIT_CONFIG);
	ck_assert(daemonrig_logged("$/nowhere.conf"));
	ck_assert_int_eq(run(inspect_dump, "$/nowhere.conf"), DAEMON_EXIT_CONFIG);
	ck_assert_str_eq(printed, "");
}
END_TEST

START_TEST(dump_is_whole_and_can_be_read_again)
{
	char first[sizeof(printed)];

	daemonrig_write(DAEMONRIG_CONF, "pools: { main: { queue_timeout = \"1500ms\"; }; };\n" DAEMONRIG_ONE);
	ck_assert_int_eq(run(inspect_dump, DAEMONRIG_CONF), DAEMON_EXIT_OK);
	ck_assert_ptr_nonnull(strstr(printed, "1500ms"));
	/* A default. */
	ck_assert_ptr_nonnull(strstr(printed, "drain_timeout"));
	strcpy(first, printed);
	daemonrig_write("$/again.conf", printed);
	ck_assert_int_eq(run(check, "$/again.conf"), DAEMON_EXIT_OK);
	ck_assert_int_eq(run(inspect_dump, "$/again.conf"), DAEMON_EXIT_OK);
	ck_assert_str_eq(printed, first);
}
END_TEST

START_TEST(options_are_listed)
{
	static const char *const some[] = {
		"max_connections", "connections_per_worker", "reuse_address", "queue_timeout"};

	ck_assert_int_eq(run(options, ""), DAEMON_EXIT_OK);
	for (size_t i = 0; i < CP_COUNT(some); i++)
		ck_assert_msg(strstr(printed, some[i]) != NULL, "%s", some[i]);
}
END_TEST

START_TEST(output_that_is_lost_is_a_failure)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	ck_assert_int_ge(full, 0);
	daemonrig_write(DAEMONRIG_CONF, DAEMONRIG_ONE);
	ck_assert_int_eq(run_to(full, check, DAEMONRIG_CONF), DAEMON_EXIT_FAILURE);
	ck_assert(daemonrig_logged("standard output"));
	ck_assert_int_eq(run_to(full, inspect_dump, DAEMONRIG_CONF), DAEMON_EXIT_FAILURE);
	ck_assert_int_eq(run_to(full, options, ""), DAEMON_EXIT_FAILURE);
	fd_close(&full);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("daemon/inspect");
	TCase *tcase = daemonrig_case(suite, "check");

	tcase_add_test(tcase, good_config_is_said_to_be_good);
	tcase_add_test(tcase, a_program_that_may_come_yet_is_no_error);
	tcase_add_test(tcase, a_start_is_strict_and_says_what_is_wrong_alone);
	tcase_add_test(tcase, every_error_goes_to_standard_error);
	tcase_add_test(tcase, errors_beyond_those_kept_are_counted);
	tcase_add_test(tcase, missing_file_is_a_config_error);
	tcase = daemonrig_case(suite, "print");
	tcase_add_test(tcase, dump_is_whole_and_can_be_read_again);
	tcase_add_test(tcase, options_are_listed);
	tcase_add_test(tcase, output_that_is_lost_is_a_failure);
	return daemonrig_run(suite);
}
