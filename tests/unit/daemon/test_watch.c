/* SPDX-License-Identifier: MIT */
/*
 * watch: the status line, the tick that goes on only while there is reason to, stalls in the log, and whom the watchdog
 * is fed for.
 *
 * The loop's clock is moved by hand. A worker is made to look held by what it would have noted itself.
 */
#include "config.h"

#include "daemon/watch.h"

#include <stdio.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdutil.h"
#include "base/systemd.h"
#include "daemonrig.h"
#include "engine/timer.h"
#include "pool/worker.h"

#define TICK_NS (1001 * CLOCK_NS_PER_MS)

static void
begin(const char *text)
{
	daemonrig_apply(text);
	daemonrig.state = DAEMON_SERVING;
	watch_begin(&daemonrig);
	daemonrig_forget_log();
}

static void
advance(uint64_t ns)
{
	daemonrig.loop.now_ns += ns;
	timer_wheel_advance(&daemonrig.loop.wheel, loop_now_ms(&daemonrig.loop));
}

static void
expect_message(const char *expected)
{
	char text[1024];

	if (systemd_journal_load()) {
		ck_assert(daemonrig_receive(text, sizeof(text)));
		ck_assert_str_eq(text, expected);
	}
}

static void
expect_no_message(void)
{
	char text[1024];

	ck_assert_msg(!daemonrig_receive(text, sizeof(text)), "%s", text);
}

/* ---- status ------------------------------------------------------------------------ */

START_TEST(status_counts_listeners_connections_and_queue)
{
	int client;

	begin(DAEMONRIG_ONE);
	watch_tell_status(&daemonrig);
	ck_assert_str_eq(daemonrig.status, "serving: 1 listener, 0 connections, 0 queued");
	expect_message("STATUS=serving: 1 listener, 0 connections, 0 queued");
	client = daemonrig_connect("$/a.sock");
	daemonrig_echo_on(client);
	watch_tell_status(&daemonrig);
	expect_message("STATUS=serving: 1 listener, 1 connection, 0 queued");
	fd_close(&client);
}
END_TEST

START_TEST(queued_connections_of_closing_pools_count)
{
	struct pool *pool;
	int clients[3];

	begin("pools: { jobs: { workers = 1; connections_per_worker = 1; }; };\n"
	      "listeners: ( { name = \"a\"; address = \"unix:$/a.sock\"; service = \"echo\"; pool = \"jobs\"; } );\n");
	pool = daemonrig_pool("jobs");
	for (unsigned i = 0; i < CP_COUNT(clients); i++)
		clients[i] = daemonrig_connect("$/a.sock");
	daemonrig_echo_on(clients[0]);
	while (queue_length(&pool->queue) < 2)
		daemonrig_turn();
	daemonrig_apply("listeners: ( { name = \"z\"; address = \"unix:$/z.sock\"; service = \"echo\"; } );\n");
	watch_tell_status(&daemonrig);
	ck_assert_str_eq(daemonrig.status, "serving: 1 listener, 3 connections, 2 queued");
	for (unsigned i = 0; i < CP_COUNT(clients); i++)
		fd_close(&clients[i]);
}
END_TEST

START_TEST(status_is_told_only_when_it_changes)
{
	begin(DAEMONRIG_ONE);
	watch_tell_status(&daemonrig);
	expect_message("STATUS=serving: 1 listener, 0 connections, 0 queued");
	watch_tell_status(&daemonrig);
	expect_no_message();
}
END_TEST

START_TEST(every_state_has_its_word)
{
	static const char *const words[] = {"serving: ", "draining: ", "closing what is left: ", "stopped: "};

	daemonrig_apply("listeners: ( " DAEMONRIG_A ", { name = \"b\"; address = \"unix:$/b.sock\"; "
			"service = \"echo\"; } );\n");
	watch_tell_status(&daemonrig);
	ck_assert_str_eq(daemonrig.status, "starting: 2 listeners, 0 connections, 0 queued");
	for (unsigned i = 0; i < CP_COUNT(words); i++) {
		/* It tells of itself. */
		daemon_set_state(&daemonrig, DAEMON_SERVING + i);
		ck_assert_int_eq(strncmp(daemonrig.status, words[i], strlen(words[i])), 0);
	}
}
END_TEST

START_TEST(without_a_config_there_are_no_listeners)
{
	watch_tell_status(&daemonrig);
	ck_assert_str_eq(daemonrig.status, "starting: 0 listeners, 0 connections, 0 queued");
}
END_TEST

/* ---- the tick ----------------------------------------------------------------------------- */

START_TEST(idle_daemon_does_not_tick)
{
	begin(DAEMONRIG_ONE);
	ck_assert(!timer_is_set(&daemonrig.tick));
	ck_assert(!timer_is_set(&daemonrig.watchdog));
	daemon_wake_tick(&daemonrig);
	ck_assert(timer_is_set(&daemonrig.tick));
	/* Where there is no manager, nothing is left to tell. */
	daemonrig.status_told = true;
	advance(TICK_NS);
	advance(TICK_NS);
	ck_assert_int_eq(timer_is_set(&daemonrig.tick), !daemonrig.status_told);
}
END_TEST

START_TEST(tick_goes_on_while_somebody_is_there)
{
	int client;

	begin(DAEMONRIG_ONE);
	client = daemonrig_connect("$/a.sock");
	daemonrig_echo_on(client);
	daemon_wake_tick(&daemonrig);
	for (unsigned i = 0; i < 3; i++) {
		advance(TICK_NS);
		ck_assert(timer_is_set(&daemonrig.tick));
	}
	ck_assert_str_eq(daemonrig.status, "serving: 1 listener, 1 connection, 0 queued");
	fd_close(&client);
}
END_TEST

START_TEST(waking_the_tick_does_not_put_it_off)
{
	begin(DAEMONRIG_ONE);
	daemon_wake_tick(&daemonrig);
	advance(TICK_NS / 2);
	daemon_wake_tick(&daemonrig);
	advance(TICK_NS / 2 + CLOCK_NS_PER_MS);
	ck_assert_str_eq(daemonrig.status, "serving: 1 listener, 0 connections, 0 queued");
}
END_TEST

/* ---- stalls ------------------------------------------------------------------------------------ */

#define ONE_WORKER "pools: { main: { workers = 1; }; };\n" DAEMONRIG_ONE

/* As the worker does around a task; it sleeps, and will not contradict. 0 ms: not held. */
static void
hold_worker(uint64_t ms, uint64_t listener)
{
	struct sched *sched = &daemonrig_pool("main")->workers[0]->sched;

	atomic_store(&sched->busy_connection, 4711);
	atomic_store(&sched->busy_listener, listener);
	atomic_store(&sched->busy_since_ns, ms > 0 ? clock_now_ns() - ms * CLOCK_NS_PER_MS : 0);
}

START_TEST(stall_is_logged_once_by_listener_and_service)
{
	begin(ONE_WORKER);
	hold_worker(5000, daemonrig_listener("a")->number);
	daemon_wake_tick(&daemonrig);
	advance(TICK_NS);
	ck_assert(daemonrig_logged("warning: pool 'main': worker 0 has been held for "));
	ck_assert(daemonrig_logged(" by connection 4711 (listener 'a', service 'echo'): "));
	daemonrig_forget_log();
	daemon_wake_tick(&daemonrig);
	advance(TICK_NS);
	ck_assert(!daemonrig_logged("held"));
	hold_worker(0, 0);
}
END_TEST

START_TEST(stall_by_a_connection_of_a_removed_listener_is_logged)
{
	begin(ONE_WORKER);
	hold_worker(5000, 99);
	daemon_wake_tick(&daemonrig);
	advance(TICK_NS);
	ck_assert(daemonrig_logged(" (listener '(removed)', service '?'): "));
	hold_worker(0, 0);
}
END_TEST

/* ---- the watchdog ------------------------------------------------------------------------------- */

/* Wants to hear of us within 6 s: is told every 2 s. */
static void
begin_with_watchdog(void)
{
	char pid[32];

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("WATCHDOG_USEC", "6000000", 1);
	setenv("WATCHDOG_PID", pid, 1);
	begin(ONE_WORKER);
}

static struct worker *
only_worker(void)
{
	return daemonrig_pool("main")->workers[0];
}

static void
await_answer(void)
{
	while (atomic_load(&only_worker()->answered) != atomic_load(&only_worker()->asked))
		sched_yield();
}

START_TEST(watchdog_is_fed_at_once_and_then_in_time)
{
	begin_with_watchdog();
	expect_message("WATCHDOG=1");
	for (unsigned i = 0; i < 3; i++) {
		await_answer();
		expect_no_message();
		advance(2001 * CLOCK_NS_PER_MS);
		expect_message("WATCHDOG=1");
	}
}
END_TEST

START_TEST(watchdog_is_not_fed_while_a_worker_does_not_turn)
{
	begin_with_watchdog();
	expect_message("WATCHDOG=1");
	await_answer();
	while (!loop_is_sleeping(&only_worker()->sched.loop))
		sched_yield();
	/* Asked without being woken, it sleeps on and does not answer. */
	atomic_fetch_add(&only_worker()->asked, 1);
	advance(2001 * CLOCK_NS_PER_MS);
	expect_no_message();
	advance(2001 * CLOCK_NS_PER_MS);
	expect_no_message();
	loop_wake(&only_worker()->sched.loop);
	await_answer();
	advance(2001 * CLOCK_NS_PER_MS);
	expect_message("WATCHDOG=1");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("daemon/watch");
	TCase *tcase = daemonrig_case(suite, "status");

	tcase_add_test(tcase, status_counts_listeners_connections_and_queue);
	tcase_add_test(tcase, queued_connections_of_closing_pools_count);
	tcase_add_test(tcase, status_is_told_only_when_it_changes);
	tcase_add_test(tcase, every_state_has_its_word);
	tcase_add_test(tcase, without_a_config_there_are_no_listeners);
	tcase = daemonrig_case(suite, "tick");
	tcase_add_test(tcase, idle_daemon_does_not_tick);
	tcase_add_test(tcase, tick_goes_on_while_somebody_is_there);
	tcase_add_test(tcase, waking_the_tick_does_not_put_it_off);
	tcase = daemonrig_case(suite, "stalls");
	tcase_add_test(tcase, stall_is_logged_once_by_listener_and_service);
	tcase_add_test(tcase, stall_by_a_connection_of_a_removed_listener_is_logged);
	tcase = daemonrig_case(suite, "watchdog");
	tcase_add_test(tcase, watchdog_is_fed_at_once_and_then_in_time);
	tcase_add_test(tcase, watchdog_is_not_fed_while_a_worker_does_not_turn);
	return daemonrig_run(suite);
}
