/* SPDX-License-Identifier: MIT */
/*
 * A run on several threads, added up; and runs that can't start or are cut short.
 */
#include "config.h"

#include "client/bench.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/errmsg.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "client/result.h"
#include "peer_server.h"

static struct errmsg err;
static struct peer_server server;
static struct bench_config config;
static struct result result;

static void
setup(void)
{
	peer_server_start(&server, PEER_SERVER_ECHO);
	config = (struct bench_config){ .dial = &server.dial, .connections = 7, .threads = 3, .size_bytes = 64,
		.requests = 100, .timeout_ms = 10000 };
}

static void
teardown(void)
{
	peer_server_stop(&server);
}

START_TEST(threads_share_connections_and_requests)
{
	ck_assert_int_eq(bench_run(&config, &result, &err), 0);
	ck_assert_uint_eq(result.requests, 100);
	ck_assert_uint_eq(result.ok, 100);
	ck_assert_uint_eq(result.connects, 7);
	ck_assert_uint_eq(histogram_count(&result.latency), 100);
}
END_TEST

START_TEST(no_descriptor_and_no_signal_mask_is_left_behind)
{
	int before = fd_count_open();
	sigset_t mask;

	ck_assert_int_eq(bench_run(&config, &result, &err), 0);
	ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, NULL, &mask), 0);
	ck_assert_int_eq(sigismember(&mask, SIGINT), 0);
	/* The server may still have to see the last end of file: count what is not his. */
	peer_server_stop(&server);
	ck_assert_int_eq(fd_count_open(), before - 2);
	peer_server_start(&server, PEER_SERVER_ECHO);
}
END_TEST

START_TEST(a_signal_ends_it_with_an_account)
{
	sigset_t signals;

	config.requests = 0;
	config.duration_ms = 3600 * 1000;
	/* Blocked, it waits for the run to read it from its descriptor. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, &signals, NULL), 0);
	ck_assert_int_eq(kill(getpid(), SIGINT), 0);
	ck_assert_int_eq(bench_run(&config, &result, &err), 0);
	ck_assert_uint_eq(result.requests, result.ok + result_error_sum(&result));
	ck_assert_uint_eq(result_error_sum(&result), 0);
	ck_assert_int_eq(pthread_sigmask(SIG_UNBLOCK, &signals, NULL), 0);
}
END_TEST

START_TEST(no_memory_is_said_so)
{
	int before = fd_count_open();

	for (unsigned n = 1; n <= 8; n++) {
		mem_fail_after(n);
		ck_assert_int_eq(bench_run(&config, &result, &err), -ENOMEM);
		ck_assert_str_eq(err.text, "cannot start: Cannot allocate memory");
	}
	ck_assert_int_eq(fd_count_open(), before);
}
END_TEST

START_TEST(more_connections_than_descriptors_are_refused_before_the_start)
{
	config.connections = 1ull << 40;
	config.threads = 1;
	ck_assert_int_eq(bench_run(&config, &result, &err), -EMFILE);
	ck_assert_ptr_nonnull(strstr(err.text, "ulimit -n"));
}
END_TEST

static Suite *
bench_suite(void)
{
	Suite *suite = suite_create("client/bench");
	TCase *tc = tcase_create("run");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, threads_share_connections_and_requests);
	tcase_add_test(tc, no_descriptor_and_no_signal_mask_is_left_behind);
	tcase_add_test(tc, a_signal_ends_it_with_an_account);
	suite_add_tcase(suite, tc);
	tc = tcase_create("refusals");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, no_memory_is_said_so);
	tcase_add_test(tc, more_connections_than_descriptors_are_refused_before_the_start);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	SRunner *runner = srunner_create(bench_suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
