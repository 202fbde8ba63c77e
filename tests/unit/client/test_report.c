/* SPDX-License-Identifier: MIT */
/*
 * The text says what people look for; the JSON can be read back and has the same figures.
 */
#include "config.h"

#include "client/report.h"

#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/errmsg.h"
#include "client/bench.h"
#include "client/result.h"

typedef int print_fn(FILE *out, const char *target, const struct bench_config *config, const struct result *result,
	struct errmsg *err);

static struct errmsg err;
static struct result result;
static struct bench_config config;
static char *text;

static void
setup(void)
{
	config = (struct bench_config){ .connections = 2, .threads = 1, .size_bytes = 1000, .duration_ms = 2000 };
	result_init(&result);
	result.requests = 1002;
	result.ok = result.ok_in_window = 1000;
	result.window_ns = 2000000000;
	result.connects = 2;
	for (unsigned i = 1; i <= 1000; i++)
		histogram_record(&result.latency, i * 1000);
	result_add_error(&result, ECONNRESET);
	result_add_error(&result, ENETUNREACH);
}

static void
teardown(void)
{
	free(text);
	text = NULL;
}

static const char *
print(print_fn *fn)
{
	size_t len;
	FILE *out = open_memstream(&text, &len);

	ck_assert_ptr_nonnull(out);
	ck_assert_int_eq(fn(out, "tcp:a:1", &config, &result, &err), 0);
	ck_assert_int_eq(fclose(out), 0);
	return text;
}

static void
check_has(const char *part)
{
	ck_assert_msg(strstr(text, part) != NULL, "no '%s' in:\n%s", part, text);
}

START_TEST(text_has_counts_rate_and_quantiles)
{
	print(report_print_text);
	check_has("tcp:a:1: 2 connections, 1 thread, 1kB a request, one after the other, 2.000 s\n");
	check_has("1002: 1000 ok, 2 failed\n");
	check_has(" reset 1 other 1 (Network is unreachable)\n");
	check_has("500.0 requests/s, 0.500 MB/s each way\n");
	check_has("min 1.00 us");
	check_has("mean 500 us");
	check_has("max 1.00 ms\n");
	ck_assert_ptr_null(strstr(text, "not sent"));
}
END_TEST

START_TEST(text_says_how_it_was_measured)
{
	config.rate = 500;
	config.reconnect = true;
	result.not_sent = 3;
	print(report_print_text);
	check_has("500 requests a second are due, each on a new connection");
	check_has("not sent  3 ");
}
END_TEST

START_TEST(json_reads_back_and_adds_up)
{
	json_t *root = json_loads(print(report_print_json), 0, NULL), *errors, *latency, *value;
	json_int_t requests, ok, failed, sum = 0;
	const char *key;

	ck_assert_ptr_nonnull(root);
	ck_assert_int_eq(json_unpack(root, "{s:I, s:I, s:I, s:o, s:o}", "requests", &requests, "ok", &ok, "failed",
		&failed, "errors", &errors, "latency_us", &latency), 0);
	json_object_foreach(errors, key, value)
		sum += json_integer_value(value);
	ck_assert_int_eq(sum, failed);
	ck_assert_int_eq(requests, ok + failed);
	ck_assert_uint_eq(json_object_size(errors), RESULT_ERRORS);
	ck_assert(json_real_value(json_object_get(latency, "min")) == 1.0);
	ck_assert(json_real_value(json_object_get(latency, "max")) == 1000.0);
	ck_assert(json_real_value(json_object_get(latency, "p50")) >= 500.0);
	ck_assert(json_real_value(json_object_get(latency, "p99.9")) >= 999.0);
	ck_assert_str_eq(json_string_value(json_object_get(root, "other_error")), "Network is unreachable");
	json_decref(root);
}
END_TEST

START_TEST(a_report_that_cannot_be_written_is_a_failure)
{
	FILE *full = fopen("/dev/full", "w");

	ck_assert_ptr_nonnull(full);
	ck_assert_int_eq(report_print_text(full, "tcp:a:1", &config, &result, &err), -EIO);
	ck_assert_int_eq(report_print_json(full, "tcp:a:1", &config, &result, &err), -EIO);
	(void)fclose(full);
}
END_TEST

static Suite *
report_suite(void)
{
	Suite *suite = suite_create("client/report");
	TCase *tc = tcase_create("text");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, text_has_counts_rate_and_quantiles);
	tcase_add_test(tc, text_says_how_it_was_measured);
	suite_add_tcase(suite, tc);
	tc = tcase_create("json");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, json_reads_back_and_adds_up);
	suite_add_tcase(suite, tc);
	tc = tcase_create("failures");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_report_that_cannot_be_written_is_a_failure);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	SRunner *runner = srunner_create(report_suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
