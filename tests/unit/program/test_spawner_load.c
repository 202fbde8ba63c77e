/* SPDX-License-Identifier: MIT */
/*
 * program/spawner_load - configs read by a process of its own, which ends as the tests want it to: they know a type of
 * service whose check does that.
 */
#include "config.h"

#include "program/spawner_load.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "conf/conf.h"
#include "program/program.h"
#include "program/spawner_recipe.h"

#define WAIT_MS 30000

static enum { READ_ON, DIE, EXIT, HANG } loader_is_to;
static pid_t test_pid;
static char path[64];
static struct load load;
static int pipe_fds[2] = {-1, -1};
static int *const not_for_loader[] = {&pipe_fds[1], NULL};

static void
check(const void *options, const struct conf_service_checker *checker)
{
	(void)options;
	(void)checker;
	ck_assert_int_ne(getpid(), test_pid);
	if (loader_is_to == DIE)
		(void)raise(SIGKILL);
	if (loader_is_to == EXIT)
		_exit(3);
	while (loader_is_to == HANG)
		(void)pause();
}

struct section {
	struct program_options program;
};

static const struct option rows[] = {PROGRAM_OPTION_ROWS(struct section) OPT_END};
static const struct conf_service_type types[] = {{.name = "exec",
							 .group = {.path = "service exec",
								 .help = "Runs a program.",
								 .options = rows,
								 .size = sizeof(struct section)},
							 .check = check,
							 .runs_program = true},
	{.name = NULL}};

static void
write_config(const char *program)
{
	FILE *file = fopen(path, "w");

	ck_assert_ptr_nonnull(file);
	fprintf(file,
		"listeners: ( { name = \"a\"; address = \"tcp:127.0.0.1:7\"; service = { type = \"exec\"; "
		"command = [ \"%s\" ]; }; } );\n",
		program);
	ck_assert_int_eq(fclose(file), 0);
}

static void
set_up(void)
{
	int fd;

	strcpy(path, "/tmp/cp-load-XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	close(fd);
	write_config("/bin/true");
	test_pid = getpid();
	ck_assert_int_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
	load_init(&load, path, types, not_for_loader);
}

static void
tear_down(void)
{
	struct list *link;
	struct list *following;

	LIST_FOREACH (&load.tables, link, following) {
		struct kept_table *table = CP_CONTAINER_OF(link, struct kept_table, link);

		load_free_table(&table);
	}
	fd_close(&pipe_fds[0]);
	fd_close(&pipe_fds[1]);
	unlink(path);
}

/* Waits for the process that reads; what load_on_reaped() says. */
static bool
reap(struct keeper_news *ret_news)
{
	int status;
	pid_t pid = waitpid(load.pid, &status, 0);

	ck_assert_int_gt(pid, 0);
	*ret_news = (struct keeper_news){0};
	return load_on_reaped(&load, pid, status, ret_news);
}

static void
expect_failed(const struct keeper_news *news, uint64_t number, int error, const char *text)
{
	ck_assert_uint_eq(news->kind, KEEPER_LOADED);
	ck_assert_uint_eq(news->number, number);
	ck_assert_int_eq(news->error, error);
	ck_assert_msg(strstr(news->text.text, text) != NULL, "%s", news->text.text);
	ck_assert_int_eq(load.state, LOAD_NONE);
	ck_assert_int_eq(load.answer_fd, -1);
	ck_assert_int_eq(load.table_fd, -1);
	ck_assert_int_eq(load_wait_ms(&load), -1);
}

/* One that goes well; its table. */
static struct kept_table *
load_well(uint64_t number)
{
	struct keeper_news news;
	struct kept_table *table;

	ck_assert_int_eq(load_begin(&load, number), 0);
	ck_assert_int_eq(load.state, LOAD_READING);
	ck_assert_int_gt(load_wait_ms(&load), 0);
	ck_assert_msg(reap(&news), "%s", news.text.text);
	ck_assert_int_eq(load.state, LOAD_HANDING);
	table = load.table;
	load_finish(&load, &news);
	ck_assert_uint_eq(news.number, number);
	ck_assert_int_eq(news.error, 0);
	ck_assert_uint_eq(news.table, table->number);
	ck_assert_uint_eq(news.digest, table->digest);
	ck_assert_ptr_eq(load_find_table(&load, news.table), table);
	return table;
}

START_TEST(a_config_becomes_a_table)
{
	struct kept_table *table = load_well(7);
	struct recipe_table *recipes = recipe_table_map(table->fd);

	ck_assert_ptr_nonnull(recipes);
	ck_assert_str_eq(recipe_table_find(recipes, 0)->argv[0], "/bin/true");
	recipe_table_unmap(&recipes);
	ck_assert_uint_eq(table->told, 1);
	ck_assert_uint_eq(table->held, 0);
	ck_assert_int_eq(table->state, TABLE_UNSENT);
	/* Nobody changes it any more. */
	ck_assert_int_eq(pwrite(table->fd, "x", 1, 0), -1);
	ck_assert_int_eq(errno, EPERM);
	ck_assert_int_eq(ftruncate(table->fd, 0), -1);
}
END_TEST

START_TEST(the_same_config_is_the_same_table)
{
	struct kept_table *table = load_well(1);

	ck_assert_ptr_eq(load_well(2), table);
	ck_assert_uint_eq(table->told, 2);
	write_config("/bin/false");
	ck_assert_ptr_ne(load_well(3), table);
	ck_assert_uint_eq(table->told, 2);
	ck_assert_ptr_null(load_find_table(&load, 4711));
}
END_TEST

START_TEST(what_is_wrong_with_it_is_said)
{
	struct keeper_news news;

	write_config("no path");
	loader_is_to = READ_ON;
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(load_begin(&load, 5), 0);
	ck_assert(!reap(&news));
	expect_failed(&news, 5, EINVAL, path);
	ck_assert(list_is_empty(&load.tables));
}
END_TEST

START_TEST(a_loader_that_dies_is_said_so)
{
	struct keeper_news news;

	loader_is_to = DIE;
	ck_assert_int_eq(load_begin(&load, 5), 0);
	ck_assert(!reap(&news));
	expect_failed(&news, 5, ECHILD, "was ended by signal 9");
	loader_is_to = EXIT;
	ck_assert_int_eq(load_begin(&load, 6), 0);
	ck_assert(!reap(&news));
	expect_failed(&news, 6, ECHILD, "ended with status 3");
	loader_is_to = READ_ON;
	(void)load_well(7);
}
END_TEST

START_TEST(one_that_is_too_slow_is_ended)
{
	struct keeper_news news = {0};
	pid_t pid;
	int status;

	loader_is_to = HANG;
	ck_assert_int_eq(load_begin(&load, 5), 0);
	pid = load.pid;
	ck_assert(!load_is_late(&load, &news));
	load.until_ns = 0;
	ck_assert_int_eq(load_wait_ms(&load), 0);
	ck_assert(load_is_late(&load, &news));
	expect_failed(&news, 5, ETIMEDOUT, "were not found out within 15 s");
	ck_assert(!load_is_late(&load, &news));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
	/* Nobody waits for what it was. */
	ck_assert(load_on_reaped(&load, pid, status, &news));
	loader_is_to = READ_ON;
	(void)load_well(6);
}
END_TEST

START_TEST(a_spawner_that_does_not_take_it_is_said_so)
{
	struct keeper_news news = {0};
	struct kept_table *table;

	ck_assert_int_eq(load_begin(&load, 5), 0);
	ck_assert(reap(&news));
	table = load.table;
	load.until_ns = 0;
	ck_assert(load_is_late(&load, &news));
	expect_failed(&news, 5, ETIMEDOUT, "the spawner did not take its programs within 15 s");
	ck_assert(!load_needs_table(table));
}
END_TEST

/* Whatever a daemon says that was taken over: what a load holds is not the daemon's to drop. */
START_TEST(what_the_daemon_drops_is_its_own_only)
{
	struct keeper_news news = {0};
	struct kept_table *table;

	ck_assert_int_eq(load_begin(&load, 1), 0);
	ck_assert(reap(&news));
	table = load.table;
	for (int i = 0; i < 3; i++)
		load_drop_table(&load, table->number);
	load_drop_table(&load, table->number + 1);
	ck_assert(load_needs_table(table));
	load_finish(&load, &news);
	ck_assert_uint_eq(table->told, 1);
	/* Once more, by the next load; neither ends the other's. */
	ck_assert_int_eq(load_begin(&load, 2), 0);
	ck_assert(reap(&news));
	ck_assert_ptr_eq(load.table, table);
	for (int i = 0; i < 3; i++)
		load_drop_table(&load, table->number);
	ck_assert_uint_eq(table->told, 0);
	ck_assert(load_needs_table(table));
	load_fail(&load, EPIPE, &news);
	ck_assert_uint_eq(table->told, 0);
	ck_assert(!load_needs_table(table));
}
END_TEST

START_TEST(the_next_load_ends_the_one_under_way)
{
	struct keeper_news news = {0};
	pid_t pid;
	int status;

	loader_is_to = HANG;
	ck_assert_int_eq(load_begin(&load, 1), 0);
	pid = load.pid;
	loader_is_to = READ_ON;
	ck_assert_int_eq(load_begin(&load, 2), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(WTERMSIG(status), SIGKILL);
	ck_assert(load_on_reaped(&load, pid, status, &news));
	ck_assert_int_eq(load.state, LOAD_READING);
	ck_assert(reap(&news));
	ck_assert_int_eq(load.state, LOAD_HANDING);
	load_finish(&load, &news);
	ck_assert_uint_eq(news.number, 2);
}
END_TEST

START_TEST(a_table_that_cannot_be_written_is_said_so)
{
	struct rlimit limit;
	struct keeper_news news;

	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = 64;
	ck_assert(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_int_eq(load_begin(&load, 5), 0);
	ck_assert(!reap(&news));
	expect_failed(&news, 5, EFBIG, "cannot write its programs: File too large");
	ck_assert(list_is_empty(&load.tables));
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}
END_TEST

START_TEST(one_that_hangs_holds_nothing_of_ours)
{
	struct pollfd end = {.fd = pipe_fds[0], .events = POLLIN};
	struct keeper_news news = {0};
	pid_t pid;

	loader_is_to = HANG;
	ck_assert_int_eq(load_begin(&load, 5), 0);
	fd_close(&pipe_fds[1]);
	/* It says nothing of its own when it has closed it: but this end hears it. */
	ck_assert_int_eq(poll(&end, 1, WAIT_MS), 1);
	ck_assert_int_ne(end.revents & POLLHUP, 0);
	pid = load.pid;
	load_fail(&load, EPIPE, &news);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

START_TEST(without_descriptors_it_does_not_begin)
{
	struct rlimit limit;
	struct rlimit none;
	struct keeper_news news = {0};

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	for (rlim_t more = 0; more < 3; more++) {
		int rc;

		/* Both ends of the pipe are the highest there are. */
		none.rlim_cur = (rlim_t)pipe_fds[1] + 1 + more;
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
		rc = load_begin(&load, 5);
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
		ck_assert_int_eq(rc, -EMFILE);
		errmsg_set(&news.text, "no descriptor");
		load_fail(&load, EMFILE, &news);
		expect_failed(&news, 5, EMFILE, "no descriptor");
	}
	(void)load_well(6);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("program/spawner_load");
	TCase *loads = tcase_create("loads");
	SRunner *runner;
	int failed;

	tcase_set_timeout(loads, 60);
	tcase_add_checked_fixture(loads, set_up, tear_down);
	tcase_add_test(loads, a_config_becomes_a_table);
	tcase_add_test(loads, the_same_config_is_the_same_table);
	tcase_add_test(loads, what_is_wrong_with_it_is_said);
	tcase_add_test(loads, a_loader_that_dies_is_said_so);
	tcase_add_test(loads, one_that_is_too_slow_is_ended);
	tcase_add_test(loads, a_spawner_that_does_not_take_it_is_said_so);
	tcase_add_test(loads, what_the_daemon_drops_is_its_own_only);
	tcase_add_test(loads, the_next_load_ends_the_one_under_way);
	tcase_add_test(loads, a_table_that_cannot_be_written_is_said_so);
	tcase_add_test(loads, one_that_hangs_holds_nothing_of_ours);
	tcase_add_test(loads, without_descriptors_it_does_not_begin);
	suite_add_tcase(suite, loads);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
