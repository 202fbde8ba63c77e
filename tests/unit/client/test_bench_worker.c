/* SPDX-License-Identifier: MIT */
/*
 * One worker against a server that does right or wrong: every request has its outcome in the account.
 */
#include "config.h"

#include "client/bench_worker.h"

#include <check.h>

#include "base/fdutil.h"
#include "base/mem.h"
#include "client/bench.h"
#include "client/pattern.h"
#include "client/result.h"
#include "peer_server.h"

static struct peer_server server;
static struct bench_config config;
static struct bench_shared shared;
static struct pattern *pattern;
static struct bench_worker *worker;

static void
setup(void)
{
	pattern = pattern_new();
	ck_assert_ptr_nonnull(pattern);
	config = (struct bench_config){ .connections = 4, .threads = 1, .size_bytes = 100, .requests = 40,
		.timeout_ms = 10000 };
	shared = (struct bench_shared){ .config = &config, .pattern = pattern };
	shared.stop_fd = fd_new_event();
	shared.done_fd = fd_new_event();
	ck_assert_int_ge(shared.stop_fd, 0);
	ck_assert_int_ge(shared.done_fd, 0);
	gate_init(&shared.gate, 1);
}

static void
teardown(void)
{
	bench_worker_free(&worker);
	gate_fini(&shared.gate);
	fd_close(&shared.stop_fd);
	fd_close(&shared.done_fd);
	pattern_free(&pattern);
}

static const struct result *
run(enum peer_server_mode mode)
{
	peer_server_start(&server, mode);
	config.dial = &server.dial;
	worker = bench_worker_new(&shared, 0);
	ck_assert_ptr_nonnull(worker);
	ck_assert_int_eq(bench_worker_start(worker), 0);
	bench_worker_join(worker);
	peer_server_stop(&server);
	return bench_worker_result(worker);
}

static void
check_all_failed(enum peer_server_mode mode, enum result_error kind)
{
	const struct result *result = run(mode);

	ck_assert_uint_eq(result->requests, 40);
	ck_assert_uint_eq(result->ok, 0);
	ck_assert_uint_eq(result->errors[kind], 40);
	ck_assert_uint_eq(histogram_count(&result->latency), 0);
}

START_TEST(shares_add_up)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < 7; i++)
		sum += bench_worker_share(100, i, 7);
	ck_assert_uint_eq(sum, 100);
	ck_assert_uint_eq(bench_worker_share(100, 0, 7), 15);
	ck_assert_uint_eq(bench_worker_share(100, 6, 7), 14);
	ck_assert_uint_eq(bench_worker_share(3, 5, 7), 0);
}
END_TEST

START_TEST(connections_are_kept)
{
	const struct result *result = run(PEER_SERVER_ECHO);

	ck_assert_uint_eq(result->requests, 40);
	ck_assert_uint_eq(result->ok, 40);
	ck_assert_uint_eq(result->connects, 4);
	ck_assert_uint_eq(histogram_count(&result->latency), 40);
	ck_assert_uint_gt(result->window_ns, 0);
}
END_TEST

START_TEST(reconnecting_opens_one_for_each_request)
{
	const struct result *result;

	config.reconnect = true;
	result = run(PEER_SERVER_ECHO);
	ck_assert_uint_eq(result->ok, 40);
	ck_assert_uint_eq(result->connects, 40);
}
END_TEST

START_TEST(requests_larger_than_all_buffers_make_the_round)
{
	const struct result *result;

	config.size_bytes = 5000000;
	config.requests = 4;
	config.connections = 2;
	result = run(PEER_SERVER_ECHO);
	ck_assert_uint_eq(result->ok, 4);
}
END_TEST

START_TEST(a_rate_sends_what_is_due_and_counts_what_is_not_sent)
{
	const struct result *result;

	/* One connection to a server that never answers: the first request takes it for longer than the run. */
	config = (struct bench_config){ .connections = 1, .threads = 1, .size_bytes = 100, .rate = 1000,
		.duration_ms = 50, .timeout_ms = 100 };
	result = run(PEER_SERVER_SILENT);
	ck_assert_uint_eq(result->requests, 1);
	ck_assert_uint_eq(result->errors[RESULT_TIMED_OUT], 1);
	ck_assert_uint_eq(result->not_sent, 49);
	ck_assert_uint_eq(result->window_ns, 50000000);
}
END_TEST

START_TEST(a_rate_ends_with_its_requests)
{
	const struct result *result;

	config.rate = 2000;
	result = run(PEER_SERVER_ECHO);
	ck_assert_uint_eq(result->ok, 40);
	ck_assert_uint_eq(result->not_sent, 0);
	/* The 40th is due 39/2000 s after the start, and is not sent before. */
	ck_assert_uint_ge(result->window_ns, 39 * 500000);
}
END_TEST

START_TEST(each_misbehaviour_has_its_count)
{
	static const struct {
		enum peer_server_mode mode;
		enum result_error kind;
	} cases[] = {
		{ PEER_SERVER_CORRUPT, RESULT_CORRUPTED },
		{ PEER_SERVER_LONG, RESULT_CORRUPTED },
		{ PEER_SERVER_RESET, RESULT_RESET },
		{ PEER_SERVER_CLOSE, RESULT_CLOSED_EARLY },
		{ PEER_SERVER_SHORT, RESULT_CLOSED_EARLY },
	};

	check_all_failed(cases[_i].mode, cases[_i].kind);
}
END_TEST

START_TEST(silence_times_out)
{
	config.timeout_ms = 20;
	config.requests = 8;
	ck_assert_uint_eq(run(PEER_SERVER_SILENT)->errors[RESULT_TIMED_OUT], 8);
}
END_TEST

START_TEST(the_next_endpoint_is_tried_and_remembered)
{
	struct dial_endpoint both[2];
	struct dial dial = { .endpoints = both, .count = 2 };

	config.reconnect = true;
	peer_server_start(&server, PEER_SERVER_ECHO);
	peer_server_refusing_endpoint(&both[0]);
	both[1] = server.dial.endpoints[0];
	config.dial = &dial;
	worker = bench_worker_new(&shared, 0);
	ck_assert_ptr_nonnull(worker);
	ck_assert_int_eq(bench_worker_start(worker), 0);
	bench_worker_join(worker);
	ck_assert_uint_eq(bench_worker_result(worker)->ok, 40);
	peer_server_stop(&server);
}
END_TEST

START_TEST(when_nobody_is_there_it_ends_at_once)
{
	struct dial_endpoint nobody;
	struct dial dial = { .endpoints = &nobody, .count = 1 };

	peer_server_refusing_endpoint(&nobody);
	config.dial = &dial;
	config.requests = 0;
	config.duration_ms = 3600 * 1000;
	worker = bench_worker_new(&shared, 0);
	ck_assert_ptr_nonnull(worker);
	ck_assert_int_eq(bench_worker_start(worker), 0);
	bench_worker_join(worker);
	ck_assert_uint_eq(bench_worker_result(worker)->requests, 4);
	ck_assert_uint_eq(bench_worker_result(worker)->errors[RESULT_REFUSED], 4);
}
END_TEST

START_TEST(stopping_leaves_out_what_is_under_way)
{
	const struct result *result;

	config.requests = 0;
	config.duration_ms = 3600 * 1000;
	peer_server_start(&server, PEER_SERVER_SILENT);
	config.dial = &server.dial;
	worker = bench_worker_new(&shared, 0);
	ck_assert_ptr_nonnull(worker);
	ck_assert_int_eq(bench_worker_start(worker), 0);
	fd_signal_event(shared.stop_fd);
	bench_worker_join(worker);
	result = bench_worker_result(worker);
	ck_assert_uint_eq(result->requests, 0);
	ck_assert_uint_eq(result_error_sum(result), 0);
	peer_server_stop(&server);
}
END_TEST

START_TEST(no_memory_is_null)
{
	config.dial = &server.dial;
	for (unsigned n = 1; n <= 2; n++) {
		mem_fail_after(n);
		ck_assert_ptr_null(bench_worker_new(&shared, 0));
	}
}
END_TEST

static Suite *
bench_worker_suite(void)
{
	Suite *suite = suite_create("client/bench_worker");
	TCase *tc = tcase_create("work");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, shares_add_up);
	tcase_add_test(tc, connections_are_kept);
	tcase_add_test(tc, reconnecting_opens_one_for_each_request);
	tcase_add_test(tc, requests_larger_than_all_buffers_make_the_round);
	tcase_add_test(tc, the_next_endpoint_is_tried_and_remembered);
	suite_add_tcase(suite, tc);
	tc = tcase_create("rate");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_rate_sends_what_is_due_and_counts_what_is_not_sent);
	tcase_add_test(tc, a_rate_ends_with_its_requests);
	suite_add_tcase(suite, tc);
	tc = tcase_create("failures");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, each_misbehaviour_has_its_count, 0, 5);
	tcase_add_test(tc, silence_times_out);
	tcase_add_test(tc, when_nobody_is_there_it_ends_at_once);
	tcase_add_test(tc, stopping_leaves_out_what_is_under_way);
	tcase_add_test(tc, no_memory_is_null);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	SRunner *runner = srunner_create(bench_worker_suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
