/* SPDX-License-Identifier: MIT */
/*
 * program/spawner_launch - children that become programs, that do not, and that are stopped on the way.
 */
#include "config.h"

#include "program/spawner_launch.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "base/mem.h"
#include "program/program.h"
#include "program/spawner_recipe.h"

/* More than there are free slots kept. */
#define MANY 100
#define ATTEMPTS_MAX 1000
#define STEPS 500

/* No const, as argv has none. */
static char shell[] = "/bin/sh";
static char command[] = "-c";
static char exit_3[] = "exit 3";
static char tell[] = "read line; echo \"$WHO $WHERE $line $PWD\"; test -z \"$HOME\"";
static char missing[] = "/nonexistent";
static char root[] = "/";
static char usr[] = "/usr";
static char who[] = "WHO=recipe";
static char where[] = "WHERE=client";

static char folder[64];
static char *argv[] = {shell, command, exit_3, NULL};
static char *environment[] = {who, NULL};
static char slow_directory[STEPS * sizeof("/usr/..")];
static struct recipe recipe;
static int null_fd;
static int dumpable;
static volatile int faults;

static void
set_up(void)
{
	strcpy(folder, "/tmp/cp-launch-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(null_fd, 0);
	recipe = (struct recipe){.argv = argv,
		.argument_count = 3,
		.environment = environment,
		.environment_count = 1,
		.directory = root,
		.umask = 0022};
	argv[0] = shell;
	argv[2] = exit_3;
	launch_init();
	dumpable = prctl(PR_GET_DUMPABLE);
	/* Else no leak checker can look at this process. */
	ck_assert_int_eq(prctl(PR_SET_DUMPABLE, 1), 0);
}

static void
tear_down(void)
{
	fd_close(&null_fd);
	ck_assert_int_eq(rmdir(folder), 0);
}

static struct launch *
get(void)
{
	struct launch *launch = launch_get();

	ck_assert_ptr_nonnull(launch);
	launch->recipe = &recipe;
	launch->client.count = 0;
	for (int i = 0; i < 3; i++)
		launch->fds[i] = null_fd;
	return launch;
}

static pid_t
begin(struct launch *launch)
{
	_Atomic int32_t pid = 0;

	ck_assert_int_eq(launch_begin(launch, &pid), 0);
	/* Set by the kernel before anything else. */
	ck_assert_int_gt(pid, 0);
	return pid;
}

static int
end(struct launch *launch, pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	launch_note_reaped(launch);
	ck_assert(launch_is_over(launch));
	return status;
}

/* Runs the recipe, which does not become the program. */
static struct program_result
run_failing(void)
{
	struct launch *launch = get();
	struct program_result result = {0};
	int status = end(launch, begin(launch));

	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 127);
	ck_assert(launch_has_failed(launch, &result));
	ck_assert_int_eq(result.how, PROGRAM_NOT_STARTED);
	launch_put(&launch);
	ck_assert_ptr_null(launch);
	return result;
}

static void
expect_step(enum program_step step, int error)
{
	struct program_result result = run_failing();

	ck_assert_int_eq(result.step, step);
	/* Without the privilege it takes, that comes first. */
	if (geteuid() == 0 || error == ENOENT)
		ck_assert_int_eq(result.error, error);
	else
		ck_assert_int_eq(result.error, EPERM);
}

START_TEST(a_child_becomes_the_program)
{
	struct launch *launch = get();
	struct program_result unused;
	int status = end(launch, begin(launch));

	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 3);
	ck_assert(!launch_has_failed(launch, &unused));
	launch_put(&launch);
}
END_TEST

START_TEST(it_has_its_variables_and_those_of_its_client)
{
	struct launch *launch = get();
	char text[64] = "";
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	argv[2] = tell;
	recipe.directory = usr;
	launch->client.items[0] = where;
	launch->client.count = 1;
	launch->fds[1] = fds[1];
	ck_assert_int_eq(WEXITSTATUS(end(launch, begin(launch))), 0);
	ck_assert_int_gt(read(fds[0], text, sizeof(text) - 1), 0);
	ck_assert_str_eq(text, "recipe client  /usr\n");
	launch_put(&launch);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

START_TEST(the_step_that_failed_is_named)
{
	struct launch *launch = get();
	struct program_result result;

	launch->fds[1] = -1;
	(void)end(launch, begin(launch));
	ck_assert(launch_has_failed(launch, &result));
	ck_assert_int_eq(result.step, PROGRAM_STEP_STREAMS);
	ck_assert_int_eq(result.error, EBADF);
	launch_put(&launch);

	recipe.directory = missing;
	expect_step(PROGRAM_STEP_DIRECTORY, ENOENT);
	recipe.directory = root;
	recipe.chroot = missing;
	/* The name is looked up first, for whoever asks. */
	expect_step(PROGRAM_STEP_CHROOT, ENOENT);
	recipe.chroot = NULL;
	recipe.changes_user = true;
	recipe.group_count = 1 << 20;
	expect_step(PROGRAM_STEP_USER, EINVAL);
	recipe.changes_user = false;
	argv[0] = missing;
	expect_step(PROGRAM_STEP_RUN, ENOENT);
}
END_TEST

START_TEST(a_limit_that_makes_no_sense_is_named)
{
	struct program_result result;

	recipe.limit_count = 1;
	recipe.limits[0] = (struct recipe_limit){.resource = 4711, .soft = 1, .hard = 1};
	result = run_failing();
	ck_assert_int_eq(result.step, PROGRAM_STEP_LIMITS);
	ck_assert_int_eq(result.error, EINVAL);
}
END_TEST

START_TEST(what_cannot_be_run_is_looked_at)
{
	static const struct {
		const char *text;
		enum program_reason reason;
		const char *interpreter;
	} files[] = {
		{"#!/nonexistent/sh -x\n", PROGRAM_REASON_INTERPRETER, "/nonexistent/sh"},
		{"#!/bin/sh\r\n", PROGRAM_REASON_CARRIAGE_RETURN, "/bin/sh"},
		{"echo up\n", PROGRAM_REASON_FORMAT, ""},
	};
	char path[80];

	snprintf(path, sizeof(path), "%s/x", folder);
	argv[0] = path;
	for (unsigned i = 0; i < CP_COUNT(files); i++) {
		FILE *file = fopen(path, "we");
		struct program_result result;

		ck_assert_ptr_nonnull(file);
		fputs(files[i].text, file);
		ck_assert_int_eq(fchmod(fileno(file), 0755), 0);
		ck_assert_int_eq(fclose(file), 0);
		result = run_failing();
		ck_assert_int_eq(result.step, PROGRAM_STEP_RUN);
		ck_assert_int_eq(result.reason, files[i].reason);
		ck_assert_str_eq(result.interpreter, files[i].interpreter);
	}
	/* A pipe is not waited for. */
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkfifo(path, 0755), 0);
	ck_assert_int_eq(run_failing().error, EACCES);
	ck_assert_int_eq(unlink(path), 0);
}
END_TEST

START_TEST(slots_are_used_again)
{
	struct launch *first = get();
	struct launch *kept = first;
	struct launch *many[MANY];

	(void)end(first, begin(first));
	launch_put(&first);
	/* And what the last one came to is forgotten. */
	argv[0] = missing;
	(void)run_failing();
	argv[0] = shell;
	ck_assert_ptr_eq(launch_get(), kept);
	kept->recipe = &recipe;
	(void)end(kept, begin(kept));
	ck_assert(!launch_has_failed(kept, &(struct program_result){0}));
	launch_put(&kept);
	for (unsigned i = 0; i < MANY; i++)
		many[i] = get();
	for (unsigned i = 0; i < MANY; i++) {
		for (unsigned other = 0; other < i; other++)
			ck_assert_ptr_ne(many[i], many[other]);
	}
	for (unsigned i = 0; i < MANY; i++)
		launch_put(&many[i]);
}
END_TEST

START_TEST(many_at_once_do_not_meet)
{
	static pid_t pids[MANY];
	static struct launch *launches[MANY];

	for (unsigned i = 0; i < MANY; i++) {
		launches[i] = get();
		pids[i] = begin(launches[i]);
	}
	for (unsigned i = MANY; i-- > 0;)
		ck_assert_int_eq(WEXITSTATUS(end(launches[i], pids[i])), 3);
	for (unsigned i = 0; i < MANY; i++) {
		ck_assert(!launch_has_failed(launches[i], &(struct program_result){0}));
		launch_put(&launches[i]);
	}
}
END_TEST

/* A long way to go, at the end of which most are met. */
static pid_t
begin_and_stop(struct launch *launch)
{
	char *text = slow_directory;

	for (int i = 0; i < STEPS; i++)
		text = stpcpy(text, "/usr/..");
	recipe.directory = slow_directory;
	for (int i = 0; i < ATTEMPTS_MAX; i++) {
		pid_t pid = begin(launch);
		int status;

		ck_assert_int_eq(kill(pid, SIGSTOP), 0);
		ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
		if (WIFSTOPPED(status) && !launch_is_over(launch))
			return pid;
		if (WIFSTOPPED(status)) {
			ck_assert_int_eq(kill(pid, SIGKILL), 0);
			ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
		}
		launch_note_reaped(launch);
	}
	ck_abort_msg("none was met on its way");
}

START_TEST(one_that_is_stopped_holds_its_slot_alone)
{
	struct launch *stopped = get();
	pid_t pid = begin_and_stop(stopped);
	struct launch *other;

	recipe.directory = root;
	other = get();
	ck_assert_ptr_ne(other, stopped);
	ck_assert_int_eq(WEXITSTATUS(end(other, begin(other))), 3);
	launch_put(&other);
	ck_assert(!launch_is_over(stopped));
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(WTERMSIG(end(stopped, pid)), SIGKILL);
	/* It failed at no step. */
	ck_assert(!launch_has_failed(stopped, &(struct program_result){0}));
	launch_put(&stopped);
}
END_TEST

/* With privileges, that is: without, there is nothing to guard. */
START_TEST(no_user_can_trace_one_on_its_way)
{
	ck_assert_int_eq(dumpable, geteuid() == 0 ? 0 : 1);
}
END_TEST

static void
on_fault(int number)
{
	(void)number;
	/* A child would leave it in this process's memory. */
	faults++;
}

static bool
catches(pid_t pid, int number)
{
	unsigned long long caught = 0;
	char path[64];
	char line[128];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file) != NULL && sscanf(line, "SigCgt: %llx", &caught) != 1)
		;
	(void)fclose(file);
	return (caught >> (number - 1) & 1) != 0;
}

/* On its way still, and past where it gives up the handlers; a step at a time. */
static pid_t
begin_and_stop_without_handlers(struct launch *launch)
{
	for (int i = 0; i < ATTEMPTS_MAX; i++) {
		pid_t pid = begin_and_stop(launch);
		int status = 0;

		while (!launch_is_over(launch) && catches(pid, SIGTRAP)) {
			ck_assert_int_eq(kill(pid, SIGCONT), 0);
			ck_assert_int_eq(kill(pid, SIGSTOP), 0);
			ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
			if (!WIFSTOPPED(status))
				break;
		}
		if (!launch_is_over(launch))
			return pid;
		if (status == 0 || WIFSTOPPED(status)) {
			ck_assert_int_eq(kill(pid, SIGKILL), 0);
			ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
		}
	}
	ck_abort_msg("none gave up the handlers");
}

START_TEST(handlers_of_this_process_do_not_run_in_it)
{
	struct sigaction action = {.sa_handler = on_fault};
	struct launch *launch = get();
	int status;
	pid_t pid;

	ck_assert_int_eq(sigaction(SIGTRAP, &action, NULL), 0);
	pid = begin_and_stop_without_handlers(launch);
	ck_assert_int_eq(kill(pid, SIGTRAP), 0);
	ck_assert_int_eq(kill(pid, SIGCONT), 0);
	status = end(launch, pid);
	ck_assert_int_eq(faults, 0);
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGTRAP);
	launch_put(&launch);
}
END_TEST

START_TEST(without_memory_nothing_begins)
{
	struct launch *launch;
	_Atomic int32_t pid = 0;

	mem_fail_after(1);
	ck_assert_ptr_null(launch_get());
	mem_fail_after(0);
	launch = get();
	mem_fail_after(1);
	ck_assert_int_eq(launch_begin(launch, &pid), -ENOMEM);
	mem_fail_after(0);
	ck_assert_int_eq(pid, 0);
	ck_assert(launch_is_over(launch));
	ck_assert_int_eq(WEXITSTATUS(end(launch, begin(launch))), 3);
	launch_put(&launch);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("program/spawner_launch");
	TCase *launches = tcase_create("launches");
	SRunner *runner;
	int failed;

	tcase_set_timeout(launches, 60);
	tcase_add_checked_fixture(launches, set_up, tear_down);
	tcase_add_test(launches, a_child_becomes_the_program);
	tcase_add_test(launches, it_has_its_variables_and_those_of_its_client);
	tcase_add_test(launches, the_step_that_failed_is_named);
	tcase_add_test(launches, a_limit_that_makes_no_sense_is_named);
	tcase_add_test(launches, what_cannot_be_run_is_looked_at);
	tcase_add_test(launches, slots_are_used_again);
	tcase_add_test(launches, many_at_once_do_not_meet);
	tcase_add_test(launches, one_that_is_stopped_holds_its_slot_alone);
	tcase_add_test(launches, no_user_can_trace_one_on_its_way);
	tcase_add_test(launches, handlers_of_this_process_do_not_run_in_it);
	tcase_add_test(launches, without_memory_nothing_begins);
	suite_add_tcase(suite, launches);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
