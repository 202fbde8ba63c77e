/* SPDX-License-Identifier: MIT */
/*
 * test_proxy_accept - the header in front of a connection: waited for, taken to its last byte and no further, or
 * refused, and what then stands in counters and log.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/proxy_header.h"
#include "net/admission.h"
#include "net/proxy_accept.h"
#include "net/refusals.h"
#include "net/sources.h"
#include "netfixture.h"

#define BEHIND "accept_proxy = true; trusted_proxies = \"127.0.0.0/8\";"
#define LINE "PROXY TCP4 203.0.113.1 192.0.2.2 5000 80\r\n"

static int ends[2];
static struct conn conn;

/* ends[1] is the proxy's; the connection is on a worker. */
static void
begin_with(const char *options, bool over_unix)
{
	struct accepted accepted;

	fixture_open("", options, NULL);
	if (over_unix)
		fixture_unix_pair(ends);
	else
		fixture_tcp_pair(ends);
	fixture_accept(&accepted, ends[0], over_unix ? NULL : "127.0.0.1");
	ck_assert_int_eq(admission_decide(&accepted, UINT64_MAX), CONN_END_NONE);
	memset(&conn, 0, sizeof(conn));
	conn_open(&conn, &accepted, 0, fixture_now_ns());
	fixture_capture();
}

static void
begin(const char *options)
{
	begin_with(options, false);
}

/* What was logged in all; the record is the last. */
static const char *
finish(void)
{
	conn_set_end(&conn, CONN_END_SERVICE);
	conn_close(&conn, fixture_now_ns());
	fixture_check_sums(fixture.listener);
	close(ends[1]);
	return fixture_captured();
}

/* Sends, and waits until there are as many bytes to be read as there have to be. */
static void
say(const void *bytes, size_t size, size_t pending)
{
	static char scratch[16384];

	ck_assert_int_eq(send(ends[1], bytes, size, MSG_NOSIGNAL), (ssize_t)size);
	while (recv(ends[0], scratch, sizeof(scratch), MSG_PEEK) < (ssize_t)pending)
		continue;
}

static void
say_end(void)
{
	struct pollfd pfd = {.fd = ends[0], .events = POLLRDHUP};

	ck_assert_int_eq(shutdown(ends[1], SHUT_WR), 0);
	ck_assert_int_eq(poll(&pfd, 1, -1), 1);
}

static void
expect_client(const char *text)
{
	char buf[ADDRESS_TEXT_MAX];

	ck_assert_str_eq(peer_format(&conn.from.peer, buf), text);
}

static uint64_t
rejected(enum conn_end why)
{
	return atomic_load(&fixture.listener->counters.rejected[why]);
}

static void
expect_refused(enum conn_end why, const char *said)
{
	const char *text;

	ck_assert_int_eq(conn_read_proxy_header(&conn), -ECANCELED);
	ck_assert_int_eq(conn.end, why);
	text = finish();
	ck_assert_msg(strstr(text, said) != NULL, "%s", text);
	ck_assert_uint_eq(rejected(why), 1);
	ck_assert_uint_eq(atomic_load(&fixture.listener->counters.closed), 0);
}

/* ---- taking ------------------------------------------------------------------ */

START_TEST(the_header_is_taken_to_its_last_byte_and_no_further)
{
	char buf[64];

	begin(BEHIND);
	say(LINE "hello", strlen(LINE "hello"), strlen(LINE "hello"));
	ck_assert_int_eq(conn_read_proxy_header(&conn), 1);
	expect_client("203.0.113.1:5000");
	ck_assert_uint_eq(conn.bytes_in, 0);
	ck_assert_int_eq(recv(ends[0], buf, sizeof(buf), 0), 5);
	ck_assert_mem_eq(buf, "hello", 5);
	finish();
	ck_assert_uint_eq(atomic_load(&fixture.listener->counters.closed), 1);
}
END_TEST

START_TEST(a_header_byte_by_byte_is_waited_for)
{
	begin(BEHIND);
	ck_assert_int_eq(conn_read_proxy_header(&conn), 0);
	for (size_t i = 0; i < strlen(LINE); i++) {
		ck_assert_int_eq(conn_read_proxy_header(&conn), 0);
		expect_client("127.0.0.1:4711");
		say(&LINE[i], 1, i + 1);
	}
	ck_assert_int_eq(conn_read_proxy_header(&conn), 1);
	expect_client("203.0.113.1:5000");
	finish();
}
END_TEST

/* The longest there is, with a byte of the client's behind it. */
START_TEST(a_header_longer_than_the_first_look_is_taken)
{
	static uint8_t bytes[PROXY_HEADER_MAX + 1];
	uint8_t last;

	memcpy(bytes, "\r\n\r\n\0\r\nQUIT\n\x21\x11\x0f\xf0\xcb\0\x71\x01\xc0\0\x02\x02\x13\x88\0\x50\xe0\x0f\xe1", 31);
	bytes[PROXY_HEADER_MAX] = 'x';
	begin(BEHIND);
	say(bytes, 600, 600);
	ck_assert_int_eq(conn_read_proxy_header(&conn), 0);
	say(bytes + 600, sizeof(bytes) - 600, sizeof(bytes));
	ck_assert_int_eq(conn_read_proxy_header(&conn), 1);
	expect_client("203.0.113.1:5000");
	ck_assert_int_eq(recv(ends[0], &last, 1, 0), 1);
	ck_assert_uint_eq(last, 'x');
	finish();
}
END_TEST

START_TEST(a_whole_header_with_the_end_behind_it_is_taken)
{
	begin(BEHIND);
	say(LINE, strlen(LINE), strlen(LINE));
	say_end();
	ck_assert_int_eq(conn_read_proxy_header(&conn), 1);
	finish();
}
END_TEST

START_TEST(the_record_names_client_and_proxy)
{
	struct peer proxy;

	begin(BEHIND);
	proxy = conn.from.peer;
	say(LINE, strlen(LINE), strlen(LINE));
	ck_assert_int_eq(conn_read_proxy_header(&conn), 1);
	ck_assert_mem_eq(&conn.proxied->proxy, &proxy, sizeof(proxy));
	ck_assert_ptr_nonnull(strstr(finish(), "from 203.0.113.1:5000 on listener 'web' closed: service"));
}
END_TEST

START_TEST(a_unix_proxy_s_client_is_the_one_it_names)
{
	begin_with(BEHIND, true);
	say(LINE "x", strlen(LINE) + 1, strlen(LINE) + 1);
	ck_assert_int_eq(conn_read_proxy_header(&conn), 1);
	ck_assert_ptr_nonnull(strstr(finish(), "from 203.0.113.1:5000 on"));
}
END_TEST

/* ---- whom it names ------------------------------------------------------------- */

START_TEST(one_that_names_nobody_leaves_the_proxy_the_client)
{
	static const char *const headers[] = {"PROXY UNKNOWN\r\n", "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"};
	size_t size = _i == 0 ? strlen(headers[0]) : 16;

	begin(BEHIND "max_per_source = 1;");
	say(headers[_i], size, size);
	ck_assert_int_eq(conn_read_proxy_header(&conn), 1);
	expect_client("127.0.0.1:4711");
	ck_assert_uint_eq(sources_count(fixture.listener->sources), 1);
	ck_assert_ptr_nonnull(strstr(finish(), "from 127.0.0.1:4711 on"));
	ck_assert_uint_eq(sources_count(fixture.listener->sources), 0);
}
END_TEST

START_TEST(one_that_names_nobody_is_looked_up_as_the_proxy)
{
	begin(BEHIND "deny = \"127.0.0.1\";");
	say("PROXY UNKNOWN\r\n", 15, 15);
	expect_refused(CONN_END_REFUSED_ACCESS, "from 127.0.0.1:4711 on listener 'web' closed: refused-access");
}
END_TEST

START_TEST(the_named_client_may_be_denied)
{
	begin(BEHIND "deny = \"203.0.113.0/24\";");
	say(LINE, strlen(LINE), strlen(LINE));
	expect_refused(CONN_END_REFUSED_ACCESS, "from 203.0.113.1:5000 on listener 'web' closed: refused-access");
}
END_TEST

START_TEST(the_named_client_may_have_too_many)
{
	struct peer same;

	begin(BEHIND "max_per_source = 1;");
	fixture_peer(&same, "203.0.113.1");
	ck_assert_int_eq(sources_add(fixture.listener->sources, &same, 1), 0);
	say(LINE, strlen(LINE), strlen(LINE));
	expect_refused(CONN_END_REFUSED_SOURCE, "from 203.0.113.1:5000 on listener 'web' closed: refused-source");
	sources_remove(fixture.listener->sources, &same);
}
END_TEST

START_TEST(no_memory_refuses)
{
	begin(BEHIND);
	say(LINE, strlen(LINE), strlen(LINE));
	mem_fail_after(1);
	expect_refused(CONN_END_REFUSED_MEMORY, "closed: refused-memory");
}
END_TEST

/* ---- refusing ------------------------------------------------------------------ */

START_TEST(another_protocol_is_refused_by_its_first_byte)
{
	begin(BEHIND "busy_message = \"later\\n\";");
	say("G", 1, 1);
	expect_refused(CONN_END_REFUSED_PROXY, "listener 'web': refused 127.0.0.1:4711, which should be a trusted "
					       "proxy: what was sent is not a PROXY header");
}
END_TEST

START_TEST(an_end_before_the_header_is_refused)
{
	begin(BEHIND);
	say_end();
	expect_refused(CONN_END_REFUSED_PROXY, "it ended the connection before its PROXY header");
}
END_TEST

START_TEST(an_end_within_the_header_is_refused)
{
	begin_with(BEHIND, _i == 1);
	say(LINE, strlen(LINE) - 1, strlen(LINE) - 1);
	ck_assert_int_eq(conn_read_proxy_header(&conn), 0);
	say_end();
	expect_refused(CONN_END_REFUSED_PROXY, "it ended the connection within its PROXY header");
}
END_TEST

START_TEST(one_that_is_late_is_refused)
{
	const char *text;

	begin(BEHIND);
	say(LINE, 10, 10);
	ck_assert_int_eq(conn_read_proxy_header(&conn), 0);
	conn_refuse_late_proxy(&conn);
	ck_assert_int_eq(conn.end, CONN_END_REFUSED_PROXY);
	text = finish();
	ck_assert_ptr_nonnull(strstr(text, "its PROXY header did not come within proxy_timeout"));
	ck_assert_ptr_nonnull(strstr(text, "closed: refused-proxy"));
	ck_assert_uint_eq(rejected(CONN_END_REFUSED_PROXY), 1);
}
END_TEST

START_TEST(a_refused_one_is_told_nothing)
{
	char buf[64];
	int own;

	begin(BEHIND "busy_message = \"later\\n\";");
	own = dup(ends[1]);
	say("GET / HTTP/1.0\r\n\r\n", 18, 18);
	expect_refused(CONN_END_REFUSED_PROXY, "closed: refused-proxy");
	/* The bytes that nobody read make it a reset. */
	ck_assert_int_eq(fixture_read_all(own, buf, sizeof(buf)), -ECONNRESET);
	close(own);
}
END_TEST

START_TEST(a_reset_is_the_client_s_end)
{
	struct linger reset = {.l_onoff = 1};
	struct pollfd pfd = {.fd = -1, .events = POLLRDHUP};

	begin(BEHIND);
	ck_assert_int_eq(setsockopt(ends[1], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	close(ends[1]);
	pfd.fd = ends[0];
	ck_assert_int_eq(poll(&pfd, 1, -1), 1);
	ck_assert_int_eq(conn_read_proxy_header(&conn), -ECANCELED);
	ck_assert_int_eq(conn.end, CONN_END_CLIENT_RESET);
	ends[1] = dup(ends[0]);
	finish();
	ck_assert_uint_eq(atomic_load(&fixture.listener->counters.closed), 1);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("net/proxy_accept");
	TCase *tc = fixture_case(suite, "taking");

	tcase_add_test(tc, the_header_is_taken_to_its_last_byte_and_no_further);
	tcase_add_test(tc, a_header_byte_by_byte_is_waited_for);
	tcase_add_test(tc, a_header_longer_than_the_first_look_is_taken);
	tcase_add_test(tc, a_whole_header_with_the_end_behind_it_is_taken);
	tcase_add_test(tc, the_record_names_client_and_proxy);
	tcase_add_test(tc, a_unix_proxy_s_client_is_the_one_it_names);
	tc = fixture_case(suite, "whom it names");
	tcase_add_loop_test(tc, one_that_names_nobody_leaves_the_proxy_the_client, 0, 2);
	tcase_add_test(tc, one_that_names_nobody_is_looked_up_as_the_proxy);
	tcase_add_test(tc, the_named_client_may_be_denied);
	tcase_add_test(tc, the_named_client_may_have_too_many);
	tcase_add_test(tc, no_memory_refuses);
	tc = fixture_case(suite, "refusing");
	tcase_add_test(tc, another_protocol_is_refused_by_its_first_byte);
	tcase_add_test(tc, an_end_before_the_header_is_refused);
	tcase_add_loop_test(tc, an_end_within_the_header_is_refused, 0, 2);
	tcase_add_test(tc, one_that_is_late_is_refused);
	tcase_add_test(tc, a_refused_one_is_told_nothing);
	tcase_add_test(tc, a_reset_is_the_client_s_end);
	return fixture_run(suite);
}
