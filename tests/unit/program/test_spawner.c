/* SPDX-License-Identifier: MIT */
/*
 * program/spawner - the real keeper and spawner, asked by this process in the place of the daemon.
 */
#include "config.h"

#include "program/spawner.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/errmsg.h"
#include "base/fdutil.h"
#include "conf/load.h"
#include "engine/loop.h"
#include "service/registry.h"

#define WAIT_S 30

static char path[64];
static struct loop loop;
static unsigned ended;

/* The config's listeners run these scripts, in this order. */
static void
write_config(const char *const *scripts)
{
	FILE *file = fopen(path, "w");

	ck_assert_ptr_nonnull(file);
	fputs("listeners: (", file);
	for (unsigned i = 0; scripts[i] != NULL; i++)
		fprintf(file,
			"%s{ name = \"s%u\"; address = \"tcp:127.0.0.1:%u\"; service = { type = \"exec\"; "
			"command = [ \"/bin/sh\", \"-c\", \"%s\" ]; }; }",
			i > 0 ? ", " : " ", i, 7 + i, scripts[i]);
	fputs(" );\n", file);
	ck_assert_int_eq(fclose(file), 0);
}

static struct conf *
load(void)
{
	struct conf_errors errors = {0};
	struct conf *conf = conf_load(path, registry_types(), &errors);

	ck_assert_msg(conf != NULL, "%s", errors.count > 0 ? errors.items[0].text : "");
	conf_errors_fini(&errors);
	return conf;
}

static void
put_in_force(struct program_name *ret_names, unsigned count)
{
	struct conf *conf = load();
	struct errmsg err = {""};

	ck_assert_msg(spawner_prepare(conf, &err) == 0, "%s", err.text);
	for (unsigned i = 0; i < count; i++)
		ret_names[i] = program_name_ref(i);
	spawner_commit();
	conf_unref(&conf);
}

static void
set_up(void)
{
	int fd;

	strcpy(path, "/tmp/cp-spawner-XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(spawner_begin(path, registry_types_without_code()), 0);
	ck_assert_int_eq(loop_init(&loop, NULL, NULL), 0);
	ck_assert_int_eq(spawner_watch(&loop), 0);
}

static void
tear_down(void)
{
	spawner_end();
	loop_fini(&loop);
	unlink(path);
}

static void
on_ended(struct program *program)
{
	(void)program;
	ended++;
}

static void
turn_until_ended(unsigned count)
{
	uint64_t until_ns = clock_now_ns() + WAIT_S * CLOCK_NS_PER_S;

	while (ended < count && clock_now_ns() < until_ns)
		ck_assert_int_eq(loop_turn(&loop, 100), 0);
	ck_assert_uint_eq(ended, count);
}

static const struct program_streams no_streams = {
	.fds = {PROGRAM_STREAM_NULL, PROGRAM_STREAM_NULL, PROGRAM_STREAM_NULL}};

START_TEST(a_program_runs_and_its_end_is_told)
{
	static const char *const scripts[] = {"exit 3", "kill -KILL $$", NULL};
	struct program programs[2] = {{.ended = on_ended}, {.ended = on_ended}};
	struct program_name names[2];

	write_config(scripts);
	put_in_force(names, 2);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(program_start(&programs[i], &loop, &names[i], &no_streams), 0);
		ck_assert(program_is_running(&programs[i]));
	}
	turn_until_ended(2);
	ck_assert(!program_is_running(&programs[0]));
	ck_assert_int_eq(programs[0].result.how, PROGRAM_EXITED);
	ck_assert_int_eq(programs[0].result.status, 3);
	ck_assert_int_gt(programs[0].result.pid, 0);
	ck_assert_uint_gt(programs[0].result.memory_peak_bytes, 0);
	ck_assert_int_eq(programs[1].result.how, PROGRAM_SIGNALLED);
	ck_assert_int_eq(programs[1].result.status, SIGKILL);
	for (unsigned i = 0; i < 2; i++)
		program_name_unref(&names[i]);
}
END_TEST

START_TEST(its_output_comes_by_the_descriptor_it_was_given)
{
	static const char *const scripts[] = {"echo out; echo err >&2", NULL};
	struct program program = {.ended = on_ended};
	struct program_streams streams = no_streams;
	struct program_name name;
	char text[32] = "";
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	streams.fds[1] = fds[1];
	streams.fds[2] = fds[1];
	write_config(scripts);
	put_in_force(&name, 1);
	ck_assert_int_eq(program_start(&program, &loop, &name, &streams), 0);
	turn_until_ended(1);
	ck_assert_int_eq(read(fds[0], text, sizeof(text) - 1), 8);
	ck_assert_str_eq(text, "out\nerr\n");
	close(fds[0]);
	close(fds[1]);
	program_name_unref(&name);
}
END_TEST

/* Starts the config's only program and waits until it has written a byte. */
static void
start_and_wait_for_a_byte(struct program *program, const char *script, struct program_name *ret_name)
{
	const char *const scripts[] = {script, NULL};
	struct program_streams streams = no_streams;
	struct pollfd pfd = {.events = POLLIN};
	uint64_t until_ns = clock_now_ns() + WAIT_S * CLOCK_NS_PER_S;
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	streams.fds[1] = fds[1];
	write_config(scripts);
	put_in_force(ret_name, 1);
	ck_assert_int_eq(program_start(program, &loop, ret_name, &streams), 0);
	pfd.fd = fds[0];
	while (poll(&pfd, 1, 0) == 0 && clock_now_ns() < until_ns)
		ck_assert_int_eq(loop_turn(&loop, 10), 0);
	ck_assert_int_eq(pfd.revents & POLLIN, POLLIN);
	close(fds[0]);
	close(fds[1]);
}

START_TEST(a_signal_reaches_it)
{
	struct program program = {.ended = on_ended};
	struct program_name name;

	start_and_wait_for_a_byte(&program, "echo; exec sleep 1000", &name);
	program_signal(&program, SIGTERM);
	turn_until_ended(1);
	ck_assert_int_eq(program.result.how, PROGRAM_SIGNALLED);
	ck_assert_int_eq(program.result.status, SIGTERM);
	program_name_unref(&name);
}
END_TEST

START_TEST(one_that_was_not_sent_yet_is_canceled)
{
	static const char *const scripts[] = {"exec sleep 1000", NULL};
	struct program program = {.ended = on_ended};
	struct program_name name;

	write_config(scripts);
	put_in_force(&name, 1);
	/* The first of this thread: there is no channel yet. */
	ck_assert_int_eq(program_start(&program, &loop, &name, &no_streams), 0);
	program_signal(&program, SIGTERM);
	ck_assert(program_is_running(&program));
	turn_until_ended(1);
	ck_assert_int_eq(program.result.how, PROGRAM_NOT_STARTED);
	ck_assert_int_eq(program.result.error, ECANCELED);
	program_name_unref(&name);
}
END_TEST

START_TEST(what_no_config_names_is_not_started)
{
	static const char *const scripts[] = {"exit 0", NULL};
	struct program programs[2] = {{.ended = on_ended}, {.ended = on_ended}};
	struct program_name name;
	struct program_name wrong;

	write_config(scripts);
	put_in_force(&name, 1);
	wrong = (struct program_name){.table = name.table, .listener = 1};
	ck_assert_int_eq(program_start(&programs[0], &loop, &wrong, &no_streams), 0);
	wrong = (struct program_name){.table = name.table + 1, .listener = 0};
	ck_assert_int_eq(program_start(&programs[1], &loop, &wrong, &no_streams), 0);
	turn_until_ended(2);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(programs[i].result.how, PROGRAM_NOT_STARTED);
		ck_assert_int_eq(programs[i].result.step, PROGRAM_STEP_REQUEST);
		ck_assert_int_eq(programs[i].result.error, ENOENT);
	}
	program_name_unref(&name);
}
END_TEST

START_TEST(more_than_a_socket_holds_are_all_started)
{
	enum { COUNT = 1500 };
	static const char *const scripts[] = {":", NULL};
	static struct program programs[COUNT];
	struct program_name name;

	write_config(scripts);
	put_in_force(&name, 1);
	for (unsigned i = 0; i < COUNT; i++) {
		programs[i] = (struct program){.ended = on_ended};
		ck_assert_int_eq(program_start(&programs[i], &loop, &name, &no_streams), 0);
	}
	turn_until_ended(COUNT);
	for (unsigned i = 0; i < COUNT; i++)
		ck_assert_int_eq(programs[i].result.how, PROGRAM_EXITED);
	program_name_unref(&name);
}
END_TEST

START_TEST(a_config_that_changed_meanwhile_is_refused)
{
	static const char *const scripts[] = {"exit 1", NULL};
	static const char *const others[] = {"exit 2", NULL};
	struct errmsg err = {""};
	struct conf *conf;

	write_config(scripts);
	conf = load();
	write_config(others);
	ck_assert_int_lt(spawner_prepare(conf, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "changed"));
	conf_unref(&conf);
}
END_TEST

START_TEST(an_abandoned_config_leaves_the_one_in_force)
{
	static const char *const scripts[] = {"exit 1", NULL};
	static const char *const others[] = {"exit 2", NULL};
	struct program program = {.ended = on_ended};
	struct program_name name;
	struct errmsg err = {""};
	struct conf *conf;

	write_config(scripts);
	put_in_force(&name, 1);
	write_config(others);
	conf = load();
	ck_assert_int_eq(spawner_prepare(conf, &err), 0);
	spawner_abandon();
	ck_assert_int_eq(program_start(&program, &loop, &name, &no_streams), 0);
	turn_until_ended(1);
	ck_assert_int_eq(program.result.status, 1);
	conf_unref(&conf);
	program_name_unref(&name);
}
END_TEST

START_TEST(a_new_program_can_be_started_at_once)
{
	char script[32];
	const char *const scripts[] = {script, NULL};

	for (unsigned i = 1; i < 50; i++) {
		struct program program = {.ended = on_ended};
		struct program_name name;

		snprintf(script, sizeof(script), "exit %u", i);
		write_config(scripts);
		put_in_force(&name, 1);
		ck_assert_int_eq(program_start(&program, &loop, &name, &no_streams), 0);
		turn_until_ended(i);
		ck_assert_int_eq(program.result.how, PROGRAM_EXITED);
		ck_assert_int_eq(program.result.status, (int)i);
		program_name_unref(&name);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("program/spawner");
	TCase *programs = tcase_create("programs");
	TCase *configs = tcase_create("configs");
	SRunner *runner;
	int failed;

	tcase_set_timeout(programs, 2 * WAIT_S);
	tcase_add_checked_fixture(programs, set_up, tear_down);
	tcase_add_test(programs, a_program_runs_and_its_end_is_told);
	tcase_add_test(programs, its_output_comes_by_the_descriptor_it_was_given);
	tcase_add_test(programs, a_signal_reaches_it);
	tcase_add_test(programs, one_that_was_not_sent_yet_is_canceled);
	tcase_add_test(programs, what_no_config_names_is_not_started);
	tcase_add_test(programs, more_than_a_socket_holds_are_all_started);
	suite_add_tcase(suite, programs);
	tcase_set_timeout(configs, 2 * WAIT_S);
	tcase_add_checked_fixture(configs, set_up, tear_down);
	tcase_add_test(configs, a_config_that_changed_meanwhile_is_refused);
	tcase_add_test(configs, an_abandoned_config_leaves_the_one_in_force);
	tcase_add_test(configs, a_new_program_can_be_started_at_once);
	suite_add_tcase(suite, configs);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
