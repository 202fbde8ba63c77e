/* SPDX-License-Identifier: MIT */
/*
 * test_refusals - one line a second at most, and every refusal in one of them.
 */
#include "config.h"

#include <check.h>
#include <string.h>

#include "base/clock.h"
#include "net/refusals.h"
#include "netfixture.h"

#define SECOND_NS CLOCK_NS_PER_S

static struct listener *listener;

static void
set_up(void)
{
	static struct listener_totals totals;

	listener = listener_new("web", 1, &totals);
	ck_assert_ptr_nonnull(listener);
	fixture_capture();
}

static void
tear_down(void)
{
	listener_unref(&listener);
}

static void
refuse(enum conn_end why, uint64_t count)
{
	atomic_fetch_add(&listener->counters.accepted, count);
	atomic_fetch_add(&listener->counters.rejected[why], count);
}

START_TEST(nothing_refused_says_nothing)
{
	ck_assert(!refusals_log(listener, SECOND_NS));
	ck_assert_str_eq(fixture_captured(), "");
}
END_TEST

START_TEST(the_first_is_told_at_once)
{
	const char *text;

	refuse(CONN_END_REFUSED_ACCESS, 1);
	ck_assert(!refusals_log(listener, SECOND_NS));
	text = fixture_captured();
	ck_assert_msg(strstr(text, "listener 'web': refused 1 connection: refused-access 1") != NULL, "%s", text);
}
END_TEST

START_TEST(what_follows_within_the_interval_waits)
{
	refuse(CONN_END_QUEUE_FULL, 1);
	ck_assert(!refusals_log(listener, SECOND_NS));
	refuse(CONN_END_QUEUE_FULL, 10);
	ck_assert(refusals_log(listener, 2 * SECOND_NS - 1));
	ck_assert_uint_eq(fixture_count(fixture_captured(), "refused"), 1);
}
END_TEST

START_TEST(what_waited_is_told_when_the_interval_is_over)
{
	const char *text;

	refuse(CONN_END_QUEUE_FULL, 1);
	ck_assert(!refusals_log(listener, SECOND_NS));
	refuse(CONN_END_QUEUE_FULL, 10);
	ck_assert(refusals_log(listener, SECOND_NS + 1));
	refuse(CONN_END_REFUSED_SOURCE, 3);
	ck_assert(!refusals_log(listener, 2 * SECOND_NS));
	text = fixture_captured();
	ck_assert_msg(strstr(text, "refused 13 connections: refused-source 3, queue-full 10") != NULL, "%s", text);
	ck_assert_uint_eq(fixture_count(text, "listener 'web'"), 2);
}
END_TEST

START_TEST(nothing_is_told_twice)
{
	refuse(CONN_END_REFUSED_LIMIT, 5);
	ck_assert(!refusals_log(listener, SECOND_NS));
	ck_assert(!refusals_log(listener, 3 * SECOND_NS));
	ck_assert_uint_eq(fixture_count(fixture_captured(), "listener 'web'"), 1);
}
END_TEST

START_TEST(the_rest_is_told_at_once_whatever_was_told_before)
{
	const char *text;

	refuse(CONN_END_QUEUE_FULL, 1);
	ck_assert(!refusals_log(listener, SECOND_NS));
	refuse(CONN_END_QUEUE_DRAIN, 2);
	refusals_log_rest(listener);
	refusals_log_rest(listener);
	text = fixture_captured();
	ck_assert_msg(strstr(text, "refused 2 connections: queue-drain 2") != NULL, "%s", text);
	ck_assert_uint_eq(fixture_count(text, "listener 'web'"), 2);
}
END_TEST

START_TEST(the_last_user_of_a_listener_tells_the_rest)
{
	const char *text;

	refuse(CONN_END_QUEUE_RESET, 3);
	listener_unref(&listener);
	text = fixture_captured();
	ck_assert_msg(strstr(text, "listener 'web': refused 3 connections: queue-reset 3") != NULL, "%s", text);
}
END_TEST

START_TEST(every_reason_fits_into_a_line)
{
	const char *text;

	for (int end = CONN_END_FIRST_REJECTED; end < CONN_END_COUNT; end++)
		refuse((enum conn_end)end, UINT64_MAX / 16);
	ck_assert(!refusals_log(listener, SECOND_NS));
	text = fixture_captured();
	for (int end = CONN_END_FIRST_REJECTED; end < CONN_END_COUNT; end++)
		ck_assert_msg(strstr(text, conn_end_word((enum conn_end)end)) != NULL, "%s", text);
}
END_TEST

START_TEST(a_proxy_s_fault_is_told_once_an_interval)
{
	const char *text;
	struct peer proxy;

	fixture_peer(&proxy, "192.0.2.1");
	refusals_log_proxy(listener, &proxy, "it said nothing");
	refusals_log_proxy(listener, &proxy, "it said too much");
	fixture_advance_ms(REFUSALS_LOG_INTERVAL_MS - 1);
	refusals_log_proxy(listener, &proxy, "it said too much");
	fixture_advance_ms(1);
	refusals_log_proxy(listener, &proxy, "it said it again");
	text = fixture_captured();
	ck_assert_msg(strstr(text, "listener 'web': refused 192.0.2.1:4711, which should be a trusted proxy: "
				   "it said nothing\n") != NULL,
		"%s", text);
	ck_assert_uint_eq(fixture_count(text, "refused"), 2);
	ck_assert_uint_eq(fixture_count(text, "it said it again"), 1);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("net/refusals");
	TCase *tc = fixture_case(suite, "rate");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, nothing_refused_says_nothing);
	tcase_add_test(tc, the_first_is_told_at_once);
	tcase_add_test(tc, what_follows_within_the_interval_waits);
	tcase_add_test(tc, what_waited_is_told_when_the_interval_is_over);
	tcase_add_test(tc, nothing_is_told_twice);
	tcase_add_test(tc, the_rest_is_told_at_once_whatever_was_told_before);
	tcase_add_test(tc, the_last_user_of_a_listener_tells_the_rest);
	tcase_add_test(tc, every_reason_fits_into_a_line);
	tcase_add_test(tc, a_proxy_s_fault_is_told_once_an_interval);
	return fixture_run(suite);
}
