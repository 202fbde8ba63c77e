/* SPDX-License-Identifier: MIT */
/*
 * test_exec_wait - one run of a program that has a listening socket: its streams, how it is told to end, what is said.
 */
#include "config.h"

#include "service/exec_wait.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/defs.h"
#include "fakespawner.h"
#include "net/route.h"
#include "service/exec.h"
#include "service/registry.h"
#include "sessionrig.h"

static char path[] = "/bin/server";
static char *argv[] = {path, NULL};
static struct exec_options options;
static struct exec exec;
static struct exec_wait run;
static unsigned overs;
static int listening;

static void
on_over(struct exec_wait *over)
{
	ck_assert_ptr_eq(over, &run);
	ck_assert(!exec_wait_is_running(&run));
	overs++;
}

static void
set_up(void)
{
	fake_reset();
	options = (struct exec_options){.program = {.command = {.items = argv, .count = 1}, .kill_timeout_ms = 5000}};
	exec = (struct exec){.options = &options, .name = {.table = 1}};
	run = (struct exec_wait){.over = on_over};
	overs = 0;
	fixture_open("", "", &exec_handler);
	fixture.route->state.data = &exec;
	listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(listening, 0);
	fixture_capture();
}

static void
tear_down(void)
{
	fake_expect_clean();
	ck_assert_int_eq(close(listening), 0);
}

static void
start(void)
{
	ck_assert_int_eq(exec_wait_start(&run, &rig_sched.loop, fixture.route, listening), 0);
	ck_assert(exec_wait_is_running(&run));
}

static void
expect_logged(const char *text)
{
	const char *captured = fixture_captured();

	ck_assert_msg(strstr(captured, text) != NULL, "not logged: %s\n%s", text, captured);
}

START_TEST(it_has_the_socket_and_may_wait_on_it)
{
	start();
	ck_assert_int_eq(fake.streams[0], listening);
	ck_assert_int_eq(fake.streams[1], listening);
	ck_assert_int_eq(fcntl(listening, F_GETFL) & O_NONBLOCK, 0);
	fake_end(PROGRAM_EXITED, 0);
	ck_assert_uint_eq(overs, 1);
	expect_logged("listener 'web': a client waits, /bin/server gets the socket and accepts by itself");
}
END_TEST

START_TEST(its_end_is_told_with_its_time)
{
	start();
	rig_pass_ms(2500);
	fake_end(PROGRAM_EXITED, 3);
	expect_logged("listener 'web': /bin/server, which accepted by itself for 2.5 s, has ended: exit status 3");
}
END_TEST

START_TEST(what_it_complains_of_is_logged)
{
	start();
	fake_write(2, "oh no\n");
	fake_end(PROGRAM_SIGNALLED, 9);
	expect_logged("listener 'web': stderr: oh no");
}
END_TEST

START_TEST(its_complaints_may_go_nowhere)
{
	options.stderr_to = EXEC_STDERR_NULL;
	start();
	ck_assert_int_eq(fake.streams[2], PROGRAM_STREAM_NULL);
	fake_end(PROGRAM_EXITED, 0);
	(void)fixture_captured();
}
END_TEST

START_TEST(one_that_is_to_end_is_told_so_and_then_killed)
{
	start();
	exec_wait_end(&run);
	exec_wait_end(&run);
	ck_assert_str_eq(fake.signals, "TERM ");
	rig_pass_ms(4999);
	ck_assert_str_eq(fake.signals, "TERM ");
	rig_pass_ms(2);
	ck_assert_str_eq(fake.signals, "TERM KILL ");
	rig_pass_ms(1001);
	ck_assert_str_eq(fake.signals, "TERM KILL KILL ");
	fake_end(PROGRAM_SIGNALLED, 9);
	rig_pass_ms(5000);
	ck_assert_str_eq(fake.signals, "TERM KILL KILL ");
	(void)fixture_captured();
}
END_TEST

START_TEST(killed_is_killed_at_once)
{
	start();
	exec_wait_kill(&run);
	ck_assert_str_eq(fake.signals, "KILL ");
	fake_end(PROGRAM_SIGNALLED, 9);
	(void)fixture_captured();
}
END_TEST

START_TEST(one_that_can_not_be_started_says_why)
{
	fake.start_error = -EPIPE;
	ck_assert_int_eq(exec_wait_start(&run, &rig_sched.loop, fixture.route, listening), -EPIPE);
	ck_assert(!exec_wait_is_running(&run));
	ck_assert_uint_eq(overs, 0);
	expect_logged("has ended: the spawner could not be asked: Broken pipe");
}
END_TEST

START_TEST(without_descriptors_it_is_not_started)
{
	fixture_exhaust_descriptors();
	ck_assert_int_eq(exec_wait_start(&run, &rig_sched.loop, fixture.route, listening), -EMFILE);
	fixture_allow_descriptors();
	ck_assert_uint_eq(fake.starts, 0);
	expect_logged("has ended: cannot give it its standard streams: Too many open files");
}
END_TEST

START_TEST(it_may_be_started_again)
{
	for (unsigned i = 1; i <= 3; i++) {
		start();
		ck_assert_uint_eq(fake.starts, i);
		fake_end(PROGRAM_EXITED, 0);
		ck_assert_uint_eq(overs, i);
	}
	(void)fixture_captured();
}
END_TEST

START_TEST(only_an_exec_that_says_so_waits)
{
	const struct conf_service_type *type = registry_types();
	struct conf_service service;

	while (strcmp(type->name, "exec") != 0)
		type++;
	service = (struct conf_service){.type = type, .group = &type->group, .options = &options};
	ck_assert(!exec_has_wait(&service));
	options.wait = true;
	ck_assert(exec_has_wait(&service));
	service.type = registry_types();
	ck_assert(!exec_has_wait(&service));
	(void)fixture_captured();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("service/exec_wait");
	TCase *tc = rig_case(suite, "run");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, it_has_the_socket_and_may_wait_on_it);
	tcase_add_test(tc, its_end_is_told_with_its_time);
	tcase_add_test(tc, what_it_complains_of_is_logged);
	tcase_add_test(tc, its_complaints_may_go_nowhere);
	tcase_add_test(tc, one_that_is_to_end_is_told_so_and_then_killed);
	tcase_add_test(tc, killed_is_killed_at_once);
	tcase_add_test(tc, one_that_can_not_be_started_says_why);
	tcase_add_test(tc, without_descriptors_it_is_not_started);
	tcase_add_test(tc, it_may_be_started_again);
	tcase_add_test(tc, only_an_exec_that_says_so_waits);
	return fixture_run(suite);
}
