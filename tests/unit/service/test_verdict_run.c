/* SPDX-License-Identifier: MIT */
/*
 * test_verdict_run - one run of a command: what it writes, when it is told to end, what it comes to.
 */
#include "config.h"

#include "service/verdict_run.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/mem.h"
#include "fakespawner.h"
#include "sessionrig.h"

static struct fake_conf conf;
static struct verdict_run run;
static unsigned lates;
static unsigned overs;
static const struct program_name name = {.table = 1};

static void
on_late(struct verdict_run *late)
{
	ck_assert_ptr_eq(late, &run);
	lates++;
}

static void
on_over(struct verdict_run *over)
{
	ck_assert_ptr_eq(over, &run);
	ck_assert_int_eq(run.state, RUN_NONE);
	overs++;
}

static void
set_up(void)
{
	fake_reset();
	fake_conf_init(&conf);
	run = (struct verdict_run){.loop = &rig_sched.loop, .late = on_late, .over = on_over};
	lates = overs = 0;
}

static void
tear_down(void)
{
	verdict_run_clear(&run);
	fake_expect_clean();
}

static void
start(void)
{
	ck_assert_int_eq(verdict_run_start(&run, &conf.options, &name), 0);
	ck_assert_int_eq(run.state, RUN_UNDER_WAY);
}

static void
expect_result(bool is_good, const char *reason, const char *text)
{
	struct verdict_result *result = verdict_run_result(&run);

	ck_assert_ptr_nonnull(result);
	ck_assert_int_eq(result->is_good, is_good);
	ck_assert_str_eq(result->reason, reason);
	ck_assert_uint_eq(result->length, strlen(text));
	ck_assert_str_eq(result->text, text);
	verdict_result_unref(&result);
}

START_TEST(its_streams_are_nothing_and_two_pipes)
{
	start();
	ck_assert_int_eq(fake.streams[0], PROGRAM_STREAM_NULL);
	ck_assert_int_ne(fake.streams[1], fake.streams[2]);
	for (int i = 1; i < 3; i++) {
		ck_assert_int_eq(fcntl(fake.streams[i], F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_WRONLY);
		ck_assert_int_eq(fcntl(fake.streams[i], F_GETFD), FD_CLOEXEC);
	}
	fake_finish("", 0);
	ck_assert_uint_eq(overs, 1);
}
END_TEST

START_TEST(what_it_writes_is_its_text)
{
	start();
	fake_write(1, "one\n");
	fake_write(2, "oops\n");
	rig_turn_some();
	/* And what nobody has looked at yet when it ends. */
	fake_finish("two\n", 0);
	expect_result(true, "exit status 0", "one\ntwo\n");
	ck_assert_uint_eq(run.errors.length, 5);
	ck_assert_mem_eq(run.errors.text, "oops\n", 5);
	ck_assert(!run.output.is_cut);
}
END_TEST

START_TEST(a_status_is_a_reason_where_it_says_nothing)
{
	start();
	fake_finish("out of order\n", 3);
	expect_result(false, "exit status 3", "out of order\n");
	verdict_run_clear(&run);
	start();
	fake_finish("", 3);
	expect_result(false, "exit status 3", "exit status 3\n");
	verdict_run_clear(&run);
	start();
	fake_finish("", 0);
	expect_result(true, "exit status 0", "");
}
END_TEST

START_TEST(half_of_an_output_is_none)
{
	start();
	fake_write(1, "all is");
	fake_end(PROGRAM_SIGNALLED, 11);
	expect_result(false, "signal SEGV", "signal SEGV\n");
}
END_TEST

START_TEST(output_beyond_the_limit_is_read_and_thrown_away)
{
	conf.options.max_output_bytes = 3000;
	start();
	for (int i = 0; i < 1000; i++) {
		/* Ten times what a pipe takes. */
		char block[601] = "";

		memset(block, 'x', sizeof(block) - 1);
		fake_write(1, block);
		rig_turn();
	}
	fake_end(PROGRAM_EXITED, 0);
	ck_assert_uint_eq(run.output.length, 3000);
	ck_assert(run.output.is_cut);
}
END_TEST

START_TEST(without_memory_the_output_is_cut)
{
	start();
	fake_write(1, "text");
	mem_fail_after(1);
	rig_turn_some();
	mem_fail_after(0);
	fake_end(PROGRAM_EXITED, 0);
	ck_assert(run.output.is_cut);
	expect_result(true, "exit status 0", "");
}
END_TEST

START_TEST(one_that_is_late_is_told_to_end_and_then_killed)
{
	start();
	rig_pass_ms(conf.options.timeout_ms - 1);
	ck_assert_uint_eq(lates, 0);
	rig_pass_ms(1);
	ck_assert_uint_eq(lates, 1);
	ck_assert_str_eq(fake.signals, "TERM ");
	expect_result(false, "timed out after 30s", "timed out after 30s\n");
	rig_pass_ms(conf.options.program.kill_timeout_ms - 1);
	ck_assert_str_eq(fake.signals, "TERM ");
	rig_pass_ms(1);
	ck_assert_str_eq(fake.signals, "TERM KILL ");
	ck_assert_uint_eq(overs, 0);
	fake_end(PROGRAM_SIGNALLED, 9);
	ck_assert_uint_eq(overs, 1);
	ck_assert_uint_eq(lates, 1);
	expect_result(false, "timed out after 30s", "timed out after 30s\n");
}
END_TEST

START_TEST(one_that_is_not_wanted_is_told_to_end)
{
	start();
	verdict_run_stop(&run);
	verdict_run_stop(&run);
	ck_assert_str_eq(fake.signals, "TERM ");
	ck_assert(run.is_unwanted);
	fake_end(PROGRAM_SIGNALLED, 15);
	ck_assert_uint_eq(lates, 0);
	ck_assert_uint_eq(overs, 1);
}
END_TEST

START_TEST(one_that_can_not_be_started_says_why)
{
	fake.start_error = -EACCES;
	ck_assert_int_eq(verdict_run_start(&run, &conf.options, &name), -EACCES);
	ck_assert_int_eq(run.state, RUN_NONE);
	ck_assert_uint_eq(overs, 0);
	expect_result(false, "the spawner could not be asked: Permission denied",
		"the spawner could not be asked: Permission denied\n");
}
END_TEST

START_TEST(without_descriptors_it_is_not_started)
{
	fixture_exhaust_descriptors();
	ck_assert_int_eq(verdict_run_start(&run, &conf.options, &name), -EMFILE);
	fixture_allow_descriptors();
	ck_assert_uint_eq(fake.starts, 0);
	expect_result(false, "cannot give it its standard streams: Too many open files",
		"cannot give it its standard streams: Too many open files\n");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("service/verdict_run");
	TCase *tc = rig_case(suite, "run");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, its_streams_are_nothing_and_two_pipes);
	tcase_add_test(tc, what_it_writes_is_its_text);
	tcase_add_test(tc, a_status_is_a_reason_where_it_says_nothing);
	tcase_add_test(tc, half_of_an_output_is_none);
	tcase_add_test(tc, output_beyond_the_limit_is_read_and_thrown_away);
	tcase_add_test(tc, without_memory_the_output_is_cut);
	tcase_add_test(tc, one_that_is_late_is_told_to_end_and_then_killed);
	tcase_add_test(tc, one_that_is_not_wanted_is_told_to_end);
	tcase_add_test(tc, one_that_can_not_be_started_says_why);
	tcase_add_test(tc, without_descriptors_it_is_not_started);
	return fixture_run(suite);
}
