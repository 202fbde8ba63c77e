/* SPDX-License-Identifier: MIT */
/*
 * test_verdict - who asks, who waits, how long an answer is good; what a reload does with it.
 */
#include "config.h"

#include "service/verdict.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>

#include "base/defs.h"
#include "base/mem.h"
#include "fakespawner.h"
#include "sessionrig.h"

#define CROWD 100
#define THREADS 4
#define ROUNDS 200

struct asker {
	struct verdict_wish wish;
	unsigned readies;
};

static struct fake_conf conf;
static struct verdicts *verdicts;
static struct verdict_share *share;
static struct asker asker;

static void
on_ready(struct verdict_wish *wish)
{
	CP_CONTAINER_OF(wish, struct asker, wish)->readies++;
}

/* True: there was an answer at once. */
static bool
ask(struct asker *who)
{
	verdict_result_unref(&who->wish.result);
	*who = (struct asker){.wish.ready = on_ready};
	return verdict_ask(share, &who->wish);
}

static void
expect_answer(struct asker *who, const char *text)
{
	ck_assert_uint_le(who->readies, 1);
	ck_assert_ptr_nonnull(who->wish.result);
	ck_assert_str_eq(who->wish.result->text, text);
	verdict_result_unref(&who->wish.result);
}

static void
set_up(void)
{
	fake_reset();
	fake_conf_init(&conf);
	asker = (struct asker){0};
	verdicts = verdicts_new(&rig_sched.loop);
	ck_assert_ptr_nonnull(verdicts);
	share = NULL;
}

static void
join(void)
{
	share = verdict_join(verdicts, &conf.conf, &conf.listener);
	ck_assert_ptr_nonnull(share);
}

static void
tear_down(void)
{
	verdict_result_unref(&asker.wish.result);
	verdict_leave(&share);
	rig_turn_some();
	fake_expect_clean();
	verdicts_free(&verdicts);
	ck_assert_uint_eq(atomic_load(&conf.conf.refs), 1);
}

/* A run that ends so, for whoever asks first. */
static void
run_once(const char *output, int status)
{
	ck_assert(!ask(&asker));
	rig_turn_some();
	fake_finish(output, status);
	verdict_withdraw(share, &asker.wish);
	verdict_result_unref(&asker.wish.result);
	rig_turn_some();
}

/* ---- asking ------------------------------------------------------------------------------- */

START_TEST(a_crowd_costs_one_run)
{
	static struct asker crowd[CROWD];

	join();
	for (unsigned i = 0; i < CROWD; i++) {
		ck_assert(!ask(&crowd[i]));
		rig_turn();
	}
	ck_assert_uint_eq(crowd[0].readies, 0);
	fake_finish("well\n", 0);
	for (unsigned i = 0; i < CROWD; i++) {
		ck_assert_uint_eq(crowd[i].readies, 1);
		ck_assert(crowd[i].wish.result->is_good);
		expect_answer(&crowd[i], "well\n");
	}
	rig_turn_some();
	ck_assert_uint_eq(fake.starts, 1);
}
END_TEST

START_TEST(an_answer_is_good_for_its_age)
{
	join();
	run_once("one\n", 0);
	rig_pass_ms(conf.options.max_age_ms - 1);
	ck_assert(ask(&asker));
	ck_assert_uint_eq(asker.readies, 0);
	expect_answer(&asker, "one\n");
	rig_pass_ms(1);
	run_once("two\n", 1);
	ck_assert_uint_eq(fake.starts, 2);
	ck_assert(ask(&asker));
	ck_assert(!asker.wish.result->is_good);
	ck_assert_str_eq(asker.wish.result->reason, "exit status 1");
	expect_answer(&asker, "two\n");
}
END_TEST

START_TEST(without_an_age_each_run_answers_who_waits)
{
	conf.options.max_age_ms = 0;
	join();
	run_once("one\n", 0);
	run_once("two\n", 0);
	ck_assert_uint_eq(fake.starts, 2);
}
END_TEST

START_TEST(who_withdraws_hears_no_more)
{
	struct asker other = {0};

	join();
	ck_assert(!ask(&asker));
	ck_assert(!ask(&other));
	rig_turn_some();
	verdict_withdraw(share, &asker.wish);
	fake_finish("well\n", 0);
	ck_assert_uint_eq(asker.readies, 0);
	ck_assert_ptr_null(asker.wish.result);
	expect_answer(&other, "well\n");
}
END_TEST

START_TEST(a_run_that_can_not_be_had_is_an_answer_too)
{
	fake.start_error = -EACCES;
	join();
	ck_assert(!ask(&asker));
	rig_turn_some();
	ck_assert_uint_eq(asker.readies, 1);
	ck_assert(!asker.wish.result->is_good);
	expect_answer(&asker, "the spawner could not be asked: Permission denied\n");
	ck_assert(ask(&asker));
	expect_answer(&asker, "the spawner could not be asked: Permission denied\n");
	ck_assert_uint_eq(fake.starts, 1);
}
END_TEST

START_TEST(without_memory_who_waits_is_told_so)
{
	join();
	ck_assert(!ask(&asker));
	rig_turn_some();
	fake_write(1, "well\n");
	rig_turn_some();
	mem_fail_after(1);
	fake_end(PROGRAM_EXITED, 0);
	mem_fail_after(0);
	ck_assert_uint_eq(asker.readies, 1);
	ck_assert_ptr_null(asker.wish.result);
	rig_turn_some();
	run_once("well\n", 0);
}
END_TEST

START_TEST(joining_without_memory_leaves_nothing)
{
	for (unsigned n = 1; n <= 3; n++) {
		mem_fail_after(n);
		ck_assert_ptr_null(verdict_join(verdicts, &conf.conf, &conf.listener));
		mem_fail_after(0);
		ck_assert_uint_eq(atomic_load(&conf.conf.refs), 1);
	}
	join();
}
END_TEST

/* ---- time ----------------------------------------------------------------------------------- */

START_TEST(a_late_run_is_answered_for_and_ends_by_itself)
{
	struct asker other = {0};

	conf.options.max_age_ms = 0;
	join();
	ck_assert(!ask(&asker));
	rig_turn_some();
	rig_pass_ms(conf.options.timeout_ms);
	expect_answer(&asker, "timed out after 30s\n");
	/* Until it has ended that is how things are, and there is no other run. */
	rig_pass_ms(conf.options.program.kill_timeout_ms * 2);
	ck_assert_str_eq(fake.signals, "TERM KILL ");
	ck_assert(ask(&other));
	expect_answer(&other, "timed out after 30s\n");
	ck_assert_uint_eq(fake.starts, 1);
	fake_end(PROGRAM_SIGNALLED, 9);
	rig_turn_some();
	run_once("well\n", 0);
}
END_TEST

START_TEST(an_interval_runs_it_unasked)
{
	conf.options.interval_ms = 15000;
	join();
	ck_assert_uint_eq(fake.starts, 0);
	rig_turn_some();
	ck_assert_uint_eq(fake.starts, 1);
	fake_finish("one\n", 0);
	ck_assert(ask(&asker));
	expect_answer(&asker, "one\n");
	rig_pass_ms(14999);
	ck_assert_uint_eq(fake.starts, 1);
	rig_pass_ms(1);
	ck_assert_uint_eq(fake.starts, 2);
	/* Whoever comes now waits for it; the next turn of the timer finds it still running. */
	ck_assert(!ask(&asker));
	rig_pass_ms(15000);
	ck_assert_uint_eq(fake.starts, 2);
	fake_finish("two\n", 0);
	expect_answer(&asker, "two\n");
	rig_pass_ms(15000);
	ck_assert_uint_eq(fake.starts, 3);
	fake_finish("three\n", 0);
}
END_TEST

START_TEST(a_run_lost_with_the_spawner_is_had_again_once)
{
	join();
	ck_assert(!ask(&asker));
	rig_turn_some();
	fake_end(PROGRAM_LOST, 0);
	ck_assert_uint_eq(asker.readies, 0);
	rig_turn_some();
	ck_assert_uint_eq(fake.starts, 2);
	fake_end(PROGRAM_LOST, 0);
	expect_answer(&asker, "the spawner died, and it was ended\n");
	rig_turn_some();
	ck_assert_uint_eq(fake.starts, 2);
}
END_TEST

/* ---- reload --------------------------------------------------------------------------------------- */

START_TEST(the_same_section_keeps_the_answer)
{
	struct fake_conf next;
	struct verdict_share *old;

	join();
	run_once("one\n", 0);
	old = share;
	fake_conf_init(&next);
	share = verdict_join(verdicts, &next.conf, &next.listener);
	verdict_leave(&old);
	rig_turn_some();
	ck_assert_uint_eq(atomic_load(&conf.conf.refs), 1);
	ck_assert_ptr_eq(verdict_options(share), &next.options);
	ck_assert(ask(&asker));
	expect_answer(&asker, "one\n");
	verdict_leave(&share);
	rig_turn_some();
	ck_assert_uint_eq(atomic_load(&next.conf.refs), 1);
}
END_TEST

START_TEST(the_same_section_keeps_the_run)
{
	struct fake_conf next;
	struct verdict_share *old;

	join();
	ck_assert(!ask(&asker));
	rig_turn_some();
	verdict_withdraw(share, &asker.wish);
	old = share;
	fake_conf_init(&next);
	share = verdict_join(verdicts, &next.conf, &next.listener);
	verdict_leave(&old);
	rig_turn_some();
	ck_assert_str_eq(fake.signals, "");
	ck_assert(!ask(&asker));
	/* The run is by the old config, which lives as long. */
	ck_assert_uint_eq(atomic_load(&conf.conf.refs), 2);
	fake_finish("one\n", 0);
	ck_assert_uint_eq(atomic_load(&conf.conf.refs), 1);
	expect_answer(&asker, "one\n");
	ck_assert_uint_eq(fake.starts, 1);
	verdict_leave(&share);
	rig_turn_some();
}
END_TEST

START_TEST(another_section_or_listener_begins_anew)
{
	struct fake_conf next[2];
	struct verdict_share *others[2];
	char name[] = "other";

	join();
	run_once("one\n", 0);
	fake_conf_init(&next[0]);
	next[0].options.max_age_ms++;
	fake_conf_init(&next[1]);
	next[1].listener.name = name;
	for (unsigned i = 0; i < 2; i++) {
		struct verdict_wish wish = {.ready = on_ready};

		others[i] = verdict_join(verdicts, &next[i].conf, &next[i].listener);
		ck_assert(!verdict_ask(others[i], &wish));
		verdict_withdraw(others[i], &wish);
		verdict_leave(&others[i]);
		rig_turn_some();
		ck_assert_uint_eq(atomic_load(&next[i].conf.refs), 1);
	}
	ck_assert_uint_eq(fake.starts, 0 + 1);
}
END_TEST

START_TEST(the_last_one_that_leaves_ends_the_run)
{
	join();
	ck_assert(!ask(&asker));
	rig_turn_some();
	verdict_withdraw(share, &asker.wish);
	verdict_leave(&share);
	ck_assert_str_eq(fake.signals, "");
	rig_turn_some();
	ck_assert_str_eq(fake.signals, "TERM ");
	/* Its answer would be none of the command's own. */
	fake_end(PROGRAM_SIGNALLED, 15);
	rig_turn_some();
}
END_TEST

START_TEST(a_plan_that_is_given_up_runs_nothing)
{
	conf.options.interval_ms = 1000;
	join();
	verdict_leave(&share);
	rig_turn_some();
	rig_pass_ms(5000);
	ck_assert_uint_eq(fake.starts, 0);
}
END_TEST

START_TEST(the_table_ends_what_the_loop_did_not_get_to)
{
	conf.options.interval_ms = 1000;
	join();
	verdict_leave(&share);
	verdicts_free(&verdicts);
	rig_turn_some();
}
END_TEST

/* ---- between a run's result and its end ----------------------------------------------------- */

static struct verdict_share *leaving;
static struct asker late_asker;

static void
leave(void)
{
	fake.on_start = NULL;
	verdict_leave(&leaving);
}

static void
ask_late(void)
{
	fake.on_name_unref = NULL;
	fake.start_error = 0;
	ck_assert(!ask(&late_asker));
}

/* The run has the last reference to its config, and gives it back when its result is out. */
START_TEST(one_who_asks_as_a_run_ends_that_could_not_start_gets_another)
{
	struct fake_conf other;

	fake_conf_init(&other);
	conf.options.max_age_ms = other.options.max_age_ms = 0;
	join();
	leaving = verdict_join(verdicts, &other.conf, &other.listener);
	fake.start_error = -EACCES;
	fake.on_start = leave;
	fake.on_name_unref = ask_late;
	ck_assert(!ask(&asker));
	rig_turn_some();
	expect_answer(&asker, "the spawner could not be asked: Permission denied\n");
	ck_assert_uint_eq(atomic_load(&other.conf.refs), 1);
	ck_assert_msg(fake.on_name_unref == NULL && fake.running != NULL, "the late one waits, and nothing runs");
	fake_finish("well\n", 0);
	expect_answer(&late_asker, "well\n");
}
END_TEST

/* ---- the log ------------------------------------------------------------------------------------------- */

START_TEST(changes_are_told_once)
{
	const char *said;

	conf.options.max_age_ms = 0;
	join();
	fixture_capture();
	run_once("fine\n", 0);
	run_once("disk \1 full\nand more\n", 2);
	run_once("disk full\n", 2);
	run_once("fine\n", 0);
	said = fixture_captured();
	ck_assert_msg(fixture_count(said, "\n") == 3, "%s", said);
	ck_assert_uint_eq(fixture_count(said, "listener 'health': check is bad: exit status 2: disk ? full\n"), 1);
	ck_assert_uint_eq(fixture_count(said, " info: listener 'health': check is good\n"), 1);
	ck_assert_uint_eq(fixture_count(said, " notice: listener 'health': check is good\n"), 1);
}
END_TEST

START_TEST(what_it_writes_to_standard_error_is_logged)
{
	const char *said;
	char flood[601] = "";

	join();
	ck_assert(!ask(&asker));
	rig_turn_some();
	fixture_capture();
	fake_write(2, "first\nsecond\n");
	memset(flood, 'x', sizeof(flood) - 1);
	for (int i = 0; i < 10; i++)
		fake_write(2, flood);
	conf.options.max_output_bytes = 4;
	fake_finish("well", 0);
	said = fixture_captured();
	ck_assert_uint_eq(fixture_count(said, "listener 'health': check: first\n"), 1);
	ck_assert_uint_eq(fixture_count(said, "listener 'health': check: second\n"), 1);
	ck_assert_uint_eq(fixture_count(said, "left out"), 1);
	ck_assert_uint_eq(fixture_count(said, "max_output"), 0);
	rig_turn_some();
}
END_TEST

START_TEST(output_that_was_cut_is_logged)
{
	conf.options.max_output_bytes = 4096;
	join();
	ck_assert(!ask(&asker));
	rig_turn_some();
	fixture_capture();
	for (int i = 0; i < 513; i++)
		fake_write(1, "8 bytes\n");
	fake_finish("", 0);
	ck_assert_uint_eq(fixture_count(fixture_captured(), "was cut at max_output, 4KiB\n"), 1);
	ck_assert_uint_eq(asker.wish.result->length, 4096);
	rig_turn_some();
}
END_TEST

/* ---- threads ------------------------------------------------------------------------------------------------ */

struct thread_asker {
	struct verdict_wish wish;
	sem_t ready;
	pthread_t thread;
	bool is_over;
};

static void
on_thread_ready(struct verdict_wish *wish)
{
	sem_post(&CP_CONTAINER_OF(wish, struct thread_asker, wish)->ready);
}

static void *
ask_again_and_again(void *arg)
{
	struct thread_asker *who = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		bool is_impatient = i % 3 == 0;

		who->wish = (struct verdict_wish){.ready = on_thread_ready};
		if (!verdict_ask(share, &who->wish) && !is_impatient)
			sem_wait(&who->ready);
		verdict_withdraw(share, &who->wish);
		if (is_impatient)
			while (sem_trywait(&who->ready) == 0)
				continue;
		ck_assert(is_impatient || who->wish.result != NULL);
		verdict_result_unref(&who->wish.result);
	}
	__atomic_store_n(&who->is_over, true, __ATOMIC_RELEASE);
	loop_wake(&rig_sched.loop);
	return NULL;
}

/* Runs it until every thread has had its answers. */
static void
serve_threads(void)
{
	static struct thread_asker askers[THREADS];
	unsigned over = 0;

	conf.options.max_age_ms = 0;
	join();
	for (unsigned i = 0; i < THREADS; i++) {
		sem_init(&askers[i].ready, 0, 0);
		ck_assert_int_eq(pthread_create(&askers[i].thread, NULL, ask_again_and_again, &askers[i]), 0);
	}
	while (over < THREADS) {
		ck_assert_int_eq(loop_turn(&rig_sched.loop, 10), 0);
		if (fake.running != NULL)
			fake_finish("well\n", 0);
		over = 0;
		for (unsigned i = 0; i < THREADS; i++)
			over += __atomic_load_n(&askers[i].is_over, __ATOMIC_ACQUIRE);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		ck_assert_int_eq(pthread_join(askers[i].thread, NULL), 0);
		sem_destroy(&askers[i].ready);
	}
	/* Of those that nobody waits for any more. */
	rig_turn_some();
	if (fake.running != NULL)
		fake_finish("", 0);
}

START_TEST(threads_ask_while_another_runs_it)
{
	serve_threads();
}
END_TEST

START_TEST(threads_ask_while_no_run_can_start)
{
	fake.start_error = -EMFILE;
	serve_threads();
}
END_TEST

static TCase *
verdict_case(Suite *suite, const char *name)
{
	TCase *tc = rig_case(suite, name);

	tcase_add_checked_fixture(tc, set_up, tear_down);
	return tc;
}

int
main(void)
{
	Suite *suite = suite_create("service/verdict");
	TCase *tc = verdict_case(suite, "asking");

	tcase_add_test(tc, a_crowd_costs_one_run);
	tcase_add_test(tc, an_answer_is_good_for_its_age);
	tcase_add_test(tc, without_an_age_each_run_answers_who_waits);
	tcase_add_test(tc, who_withdraws_hears_no_more);
	tcase_add_test(tc, a_run_that_can_not_be_had_is_an_answer_too);
	tcase_add_test(tc, without_memory_who_waits_is_told_so);
	tcase_add_test(tc, joining_without_memory_leaves_nothing);
	tc = verdict_case(suite, "time");
	tcase_add_test(tc, a_late_run_is_answered_for_and_ends_by_itself);
	tcase_add_test(tc, an_interval_runs_it_unasked);
	tcase_add_test(tc, a_run_lost_with_the_spawner_is_had_again_once);
	tc = verdict_case(suite, "end");
	tcase_add_test(tc, one_who_asks_as_a_run_ends_that_could_not_start_gets_another);
	tc = verdict_case(suite, "reload");
	tcase_add_test(tc, the_same_section_keeps_the_answer);
	tcase_add_test(tc, the_same_section_keeps_the_run);
	tcase_add_test(tc, another_section_or_listener_begins_anew);
	tcase_add_test(tc, the_last_one_that_leaves_ends_the_run);
	tcase_add_test(tc, a_plan_that_is_given_up_runs_nothing);
	tcase_add_test(tc, the_table_ends_what_the_loop_did_not_get_to);
	tc = verdict_case(suite, "log");
	tcase_add_test(tc, changes_are_told_once);
	tcase_add_test(tc, what_it_writes_to_standard_error_is_logged);
	tcase_add_test(tc, output_that_was_cut_is_logged);
	tc = verdict_case(suite, "threads");
	tcase_add_test(tc, threads_ask_while_another_runs_it);
	tcase_add_test(tc, threads_ask_while_no_run_can_start);
	return fixture_run(suite);
}
