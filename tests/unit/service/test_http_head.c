/* SPDX-License-Identifier: MIT */
/*
 * test_http_head - what is the head of a request, and where it ends.
 */
#include "config.h"

#include "service/http_head.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/defs.h"

static struct http_head head;

static enum http_head_state
feed(const char *text)
{
	head = (struct http_head){0};
	return http_head_feed(&head, text, strlen(text));
}

START_TEST(a_request_is_whole_at_its_empty_line)
{
	static const char text[] = "GET /health?a=b HTTP/1.1\r\nHost: a\r\nX-Empty:\r\n\r\n";

	ck_assert_int_eq(feed(text), HTTP_HEAD_WHOLE);
	ck_assert_str_eq(head.method, "GET");
	for (size_t size = 0; size < sizeof(text) - 1; size++) {
		head = (struct http_head){0};
		ck_assert_int_eq(http_head_feed(&head, text, size), HTTP_HEAD_PARTIAL);
	}
}
END_TEST

START_TEST(it_may_come_byte_by_byte)
{
	static const char text[] = "HEAD / HTTP/1.0\r\nHost: a\r\n\r\n";

	head = (struct http_head){0};
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		ck_assert_int_eq(head.state, HTTP_HEAD_PARTIAL);
		http_head_feed(&head, text + i, 1);
	}
	ck_assert_int_eq(head.state, HTTP_HEAD_WHOLE);
	ck_assert_str_eq(head.method, "HEAD");
}
END_TEST

START_TEST(what_is_behind_it_is_left_alone)
{
	ck_assert_int_eq(feed("GET / HTTP/1.1\r\n\r\n\1\2\3"), HTTP_HEAD_WHOLE);
	ck_assert_uint_eq(head.size, strlen("GET / HTTP/1.1\r\n\r\n"));
	ck_assert_int_eq(http_head_feed(&head, "\1", 1), HTTP_HEAD_WHOLE);
}
END_TEST

START_TEST(heads_written_by_hand_are_taken)
{
	static const char *const texts[] = {
		"GET / HTTP/1.0\n\n",
		"\r\n\r\nGET / HTTP/1.1\r\n\r\n",
		"OPTIONS * HTTP/1.0\r\nX: \t caf\xc3\xa9 \r\n\r\n",
		"GET http://a/ HTTP/1.1\nHost: a\n\n",
	};

	for (size_t i = 0; i < CP_COUNT(texts); i++)
		ck_assert_msg(feed(texts[i]) == HTTP_HEAD_WHOLE, "%s", texts[i]);
}
END_TEST

START_TEST(anything_else_is_bad)
{
	static const char *const texts[] = {
		"\x16\x03\x01\x02", /* TLS */
		" GET / HTTP/1.1\r\n",
		"GET  / HTTP/1.1\r\n",
		"GET /a b HTTP/1.1\r\n",
		"GET /\r\n",
		"GET / HTTP/2.0\r\n",
		"GET / http/1.1\r\n",
		"GET / HTTP/1.\r\n",
		"GET / HTTP/1.1 \r\n",
		"GET / HTTP/1.11\r\n",
		"GET / HTTP/1.1\rX",
		"G(T / HTTP/1.1\r\n",
		"GET / HTTP/1.1\r\n folded: b\r\n",
		"GET / HTTP/1.1\r\nno colon\r\n",
		"GET / HTTP/1.1\r\nName : a\r\n",
		"GET / HTTP/1.1\r\n: a\r\n",
		"GET / HTTP/1.1\r\na: \1\r\n",
		"GET / HTTP/1.1\r\n\rX",
		"GET /\x7f HTTP/1.1\r\n",
	};

	for (size_t i = 0; i < CP_COUNT(texts); i++)
		ck_assert_msg(feed(texts[i]) == HTTP_HEAD_BAD, "%s", texts[i]);
}
END_TEST

START_TEST(a_nul_is_bad_wherever_it_stands)
{
	static const char text[] = "GET / HTTP/1.1\r\na: b\r\n\r\n";

	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		char bad[sizeof(text)];

		memcpy(bad, text, sizeof(text));
		bad[i] = '\0';
		head = (struct http_head){0};
		ck_assert_int_eq(http_head_feed(&head, bad, sizeof(text) - 1), HTTP_HEAD_BAD);
	}
}
END_TEST

START_TEST(a_head_without_an_end_is_too_large)
{
	static const char start[] = "GET / HTTP/1.1\r\na: ";

	ck_assert_int_eq(feed(start), HTTP_HEAD_PARTIAL);
	for (size_t i = sizeof(start) - 1; i < HTTP_HEAD_MAX - 1; i++)
		ck_assert_int_eq(http_head_feed(&head, "x", 1), HTTP_HEAD_PARTIAL);
	ck_assert_int_eq(http_head_feed(&head, "x", 1), HTTP_HEAD_TOO_LARGE);
	ck_assert_int_eq(http_head_feed(&head, "\r\n\r\n", 4), HTTP_HEAD_TOO_LARGE);
}
END_TEST

START_TEST(a_long_method_is_cut)
{
	ck_assert_int_eq(feed("ABCDEFGHIJKLMNOPQRSTUVWXYZ / HTTP/1.1\r\n\r\n"), HTTP_HEAD_WHOLE);
	ck_assert_str_eq(head.method, "ABCDEFGHIJKLMNO");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("service/http_head");
	TCase *tc = tcase_create("head");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tc, a_request_is_whole_at_its_empty_line);
	tcase_add_test(tc, it_may_come_byte_by_byte);
	tcase_add_test(tc, what_is_behind_it_is_left_alone);
	tcase_add_test(tc, heads_written_by_hand_are_taken);
	tcase_add_test(tc, anything_else_is_bad);
	tcase_add_test(tc, a_nul_is_bad_wherever_it_stands);
	tcase_add_test(tc, a_head_without_an_end_is_too_large);
	tcase_add_test(tc, a_long_method_is_cut);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
