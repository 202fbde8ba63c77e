/* SPDX-License-Identifier: MIT */
/*
 * test_session_io - the calls of handler.h: what they return, when they wait, and what they leave to be done.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sessionrig.h"

#define MEBIBYTE (1024u * 1024)
#define PRINTF_MAX 4095

static struct served served;
static ssize_t results[8];
static int errors[8];
static unsigned count;
static char input[256];
static char *bulk;

static void
reset_notes(void)
{
	count = 0;
	memset(input, 0, sizeof(input));
}

static ssize_t
note(ssize_t result)
{
	ck_assert_uint_lt(count, 8);
	errors[count] = result < 0 ? errno : 0;
	results[count++] = result;
	return result;
}

/* Bytes that show where they belong. */
static void
fill_bulk(void)
{
	bulk = malloc(MEBIBYTE);
	ck_assert_ptr_nonnull(bulk);
	for (unsigned i = 0; i < MEBIBYTE; i++)
		bulk[i] = (char)(i * 2654435761u >> 24);
}

/* ---- cp_recv ------------------------------------------------------------------------ */

static int
receive_twice(struct cp_conn *conn)
{
	char buf[64];

	for (int i = 0; i < 2; i++) {
		ssize_t n = note(cp_recv(conn, buf, sizeof(buf)));

		if (n > 0)
			strncat(input, buf, (size_t)n);
	}
	return CP_DONE;
}

static const struct cp_handler receives = {.abi = CP_HANDLER_ABI, .name = "receives", .serve = receive_twice};

START_TEST(recv_waits_for_the_first_byte_and_no_longer)
{
	served_open(&served, &receives, "");
	ck_assert_uint_eq(count, 0);
	served_send(&served, "one");
	rig_turn();
	ck_assert_uint_eq(count, 1);
	ck_assert_int_eq(results[0], 3);
	served_send(&served, "two!");
	rig_turn();
	ck_assert_int_eq(results[1], 4);
	ck_assert_str_eq(input, "onetwo!");
	served_close(&served);
	served_finish(&served);
	ck_assert_uint_eq(served.bytes_in, 7);
}
END_TEST

START_TEST(recv_is_0_at_the_end_and_stays_so)
{
	served_open(&served, &receives, "");
	ck_assert_int_eq(shutdown(served.client, SHUT_WR), 0);
	served_finish(&served);
	ck_assert_int_eq(results[0], 0);
	ck_assert_int_eq(results[1], 0);
	served_expect_end(&served, CONN_END_CLIENT);
}
END_TEST

/* Both come as one edge: the second read must not wait for another. */
START_TEST(recv_gives_what_came_before_the_end)
{
	served_open(&served, &receives, "");
	served_send(&served, "last");
	ck_assert_int_eq(shutdown(served.client, SHUT_WR), 0);
	served_finish(&served);
	ck_assert_int_eq(results[0], 4);
	ck_assert_int_eq(results[1], 0);
}
END_TEST

START_TEST(recv_gives_what_came_before_the_end_when_it_fills_the_buffer)
{
	char text[65];

	memset(text, 'x', 64);
	text[64] = '\0';
	served_open(&served, &receives, "");
	served_send(&served, text);
	ck_assert_int_eq(shutdown(served.client, SHUT_WR), 0);
	served_finish(&served);
	ck_assert_int_eq(results[0], 64);
	ck_assert_int_eq(results[1], 0);
}
END_TEST

START_TEST(recv_is_minus_1_after_a_reset)
{
	fixture_open("", "", &receives);
	served_begin_tcp(&served);
	served_reset(&served);
	served_finish(&served);
	ck_assert_int_eq(results[0], -1);
	ck_assert_int_eq(errors[0], ECONNRESET);
}
END_TEST

static void
ignore_event(struct loop *loop, struct watch *watch, uint32_t events)
{
	(void)loop;
	(void)watch;
	(void)events;
}

START_TEST(a_wait_that_cannot_be_had_is_an_error_of_the_call)
{
	static struct watch other = {.fn = ignore_event};
	int ends[2];

	fixture_open("", "", &receives);
	fixture_unix_pair(ends);
	/* Somebody watches it already: the kernel takes it once only. */
	ck_assert_int_eq(loop_add(&rig_sched.loop, &other, ends[0], EPOLLIN | EPOLLET), 0);
	served_begin_on(&served, ends[0], ends[1]);
	ck_assert_int_eq(results[0], -1);
	ck_assert_int_eq(errors[0], EEXIST);
	served_close(&served);
	rig_pass_ms(LINGER_GLANCE_MS);
	ck_assert(served.is_over);
}
END_TEST

/* ---- cp_send -------------------------------------------------------------------------- */

static int
send_bulk(struct cp_conn *conn)
{
	note(cp_send(conn, bulk, MEBIBYTE));
	return CP_DONE;
}

static const struct cp_handler sends_bulk = {.abi = CP_HANDLER_ABI, .name = "bulk", .serve = send_bulk};

static void
shrink_buffer(int fd)
{
	int bytes = 4096;

	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
}

/* The client takes it in odd pieces; all of it arrives in its order. */
static void
take_bulk(void)
{
	unsigned taken = 0;

	while (taken < MEBIBYTE) {
		char buf[3001];
		ssize_t n = served_read(&served, buf, sizeof(buf));

		rig_turn();
		if (n == -EAGAIN)
			continue;
		ck_assert_int_gt(n, 0);
		ck_assert_uint_le(taken + (unsigned)n, MEBIBYTE);
		ck_assert_int_eq(memcmp(buf, bulk + taken, (size_t)n), 0);
		taken += (unsigned)n;
	}
}

static void
serve_bulk(bool over_tcp)
{
	int ends[2];

	fill_bulk();
	fixture_open("", "", &sends_bulk);
	if (over_tcp)
		fixture_tcp_pair(ends);
	else
		fixture_unix_pair(ends);
	shrink_buffer(ends[0]);
	served_begin_on(&served, ends[0], ends[1]);
	ck_assert_uint_eq(count, 0);
	take_bulk();
	ck_assert_int_eq(results[0], MEBIBYTE);
	served_close(&served);
	rig_pass_ms(LINGER_GLANCE_MS);
	served_finish(&served);
	ck_assert_uint_eq(served.bytes_out, MEBIBYTE);
	free(bulk);
}

START_TEST(send_sends_all_through_a_small_buffer)
{
	serve_bulk(_i == 1);
}
END_TEST

START_TEST(send_to_one_that_is_gone_is_minus_1_and_no_signal)
{
	int ends[2];

	fill_bulk();
	fixture_open("", "", &sends_bulk);
	fixture_unix_pair(ends);
	close(ends[1]);
	served_begin_on(&served, ends[0], -1);
	ck_assert_int_eq(results[0], -1);
	ck_assert_int_eq(errors[0], EPIPE);
	rig_pass_ms(LINGER_GLANCE_MS);
	ck_assert(served.is_over);
	free(bulk);
}
END_TEST

START_TEST(send_is_minus_1_when_the_client_goes_in_the_middle)
{
	fill_bulk();
	served_open(&served, &sends_bulk, "");
	ck_assert_uint_eq(count, 0);
	served_close(&served);
	rig_turn();
	ck_assert_int_eq(results[0], -1);
	ck_assert(errors[0] == EPIPE || errors[0] == ECONNRESET);
	rig_pass_ms(LINGER_GLANCE_MS);
	ck_assert(served.is_over);
	ck_assert_uint_gt(served.bytes_out, 0);
	ck_assert_uint_lt(served.bytes_out, MEBIBYTE);
	free(bulk);
}
END_TEST

static int
send_nothing(struct cp_conn *conn)
{
	note(cp_send(conn, "", 0));
	return CP_DONE;
}

static const struct cp_handler sends_nothing = {.abi = CP_HANDLER_ABI, .name = "nothing", .serve = send_nothing};

START_TEST(send_of_nothing_is_0)
{
	served_open(&served, &sends_nothing, "");
	ck_assert_int_eq(results[0], 0);
	served_close(&served);
	rig_pass_ms(LINGER_GLANCE_MS);
	ck_assert_uint_eq(served.bytes_out, 0);
}
END_TEST

static int
answer_the_end(struct cp_conn *conn)
{
	char buf[64];

	while (cp_recv(conn, buf, sizeof(buf)) > 0)
		continue;
	note(cp_send(conn, bulk, MEBIBYTE));
	return CP_DONE;
}

static const struct cp_handler answers_the_end = {
	.abi = CP_HANDLER_ABI, .name = "end", .flags = CP_CLIENT_FIRST, .serve = answer_the_end};

/* It has ended its side and reads on: a half-close is no reason to send less. */
START_TEST(send_goes_on_after_the_client_has_ended_its_side)
{
	fill_bulk();
	served_open(&served, &answers_the_end, "");
	shrink_buffer(served.session->conn.from.fd);
	served_send(&served, "question");
	ck_assert_int_eq(shutdown(served.client, SHUT_WR), 0);
	take_bulk();
	ck_assert_int_eq(results[0], MEBIBYTE);
	served_finish(&served);
	served_expect(&served, "");
	served_expect_end(&served, CONN_END_CLIENT);
	free(bulk);
}
END_TEST

/* ---- cp_printf -------------------------------------------------------------------------- */

static int print_length;

static int
print_some(struct cp_conn *conn)
{
	note(cp_printf(conn, "%*d|%s", print_length - 2, 7, "x"));
	return CP_DONE;
}

static const struct cp_handler prints = {.abi = CP_HANDLER_ABI, .name = "prints", .serve = print_some};

static void
serve_print(int length)
{
	print_length = length;
	served_open(&served, &prints, "");
}

static void
end_print(void)
{
	served_close(&served);
	rig_pass_ms(LINGER_GLANCE_MS);
	ck_assert(served.is_over);
}

START_TEST(printf_formats_and_sends)
{
	serve_print(5);
	ck_assert_int_eq(results[0], 5);
	served_expect(&served, "  7|x");
	end_print();
	ck_assert_uint_eq(served.bytes_out, 5);
}
END_TEST

START_TEST(printf_sends_as_much_as_it_promises)
{
	char buf[2 * PRINTF_MAX];

	serve_print(PRINTF_MAX);
	ck_assert_int_eq(results[0], PRINTF_MAX);
	ck_assert_int_eq(served_read(&served, buf, sizeof(buf)), PRINTF_MAX);
	ck_assert_int_eq(memcmp(buf + PRINTF_MAX - 3, "7|x", 3), 0);
	end_print();
}
END_TEST

START_TEST(printf_of_one_byte_more_is_refused_whole)
{
	serve_print(PRINTF_MAX + 1);
	ck_assert_int_eq(results[0], -1);
	ck_assert_int_eq(errors[0], EMSGSIZE);
	served_expect(&served, "");
	end_print();
	ck_assert_uint_eq(served.bytes_out, 0);
}
END_TEST

/* ---- cp_draining --------------------------------------------------------------------------- */

static bool was_draining[2];

static int
ask_draining(struct cp_conn *conn)
{
	char byte;

	was_draining[0] = cp_draining(conn);
	(void)cp_recv(conn, &byte, 1);
	was_draining[1] = cp_draining(conn);
	return CP_DONE;
}

static const struct cp_handler asks = {.abi = CP_HANDLER_ABI, .name = "asks", .serve = ask_draining};

START_TEST(draining_is_the_daemon_s_stop)
{
	served_open(&served, &asks, "");
	atomic_store(&rig_sched.draining, true);
	served_close(&served);
	served_finish(&served);
	ck_assert(!was_draining[0]);
	ck_assert(was_draining[1]);
}
END_TEST

static TCase *
io_case(Suite *suite, const char *name)
{
	TCase *tc = rig_case(suite, name);

	tcase_add_checked_fixture(tc, reset_notes, NULL);
	return tc;
}

int
main(void)
{
	Suite *suite = suite_create("service/session_io");
	TCase *tc = io_case(suite, "cp_recv");

	tcase_add_test(tc, recv_waits_for_the_first_byte_and_no_longer);
	tcase_add_test(tc, recv_is_0_at_the_end_and_stays_so);
	tcase_add_test(tc, recv_gives_what_came_before_the_end);
	tcase_add_test(tc, recv_gives_what_came_before_the_end_when_it_fills_the_buffer);
	tcase_add_test(tc, recv_is_minus_1_after_a_reset);
	tcase_add_test(tc, a_wait_that_cannot_be_had_is_an_error_of_the_call);
	tc = io_case(suite, "cp_send");
	tcase_add_loop_test(tc, send_sends_all_through_a_small_buffer, 0, 2);
	tcase_add_test(tc, send_to_one_that_is_gone_is_minus_1_and_no_signal);
	tcase_add_test(tc, send_is_minus_1_when_the_client_goes_in_the_middle);
	tcase_add_test(tc, send_of_nothing_is_0);
	tcase_add_test(tc, send_goes_on_after_the_client_has_ended_its_side);
	tc = io_case(suite, "cp_printf");
	tcase_add_test(tc, printf_formats_and_sends);
	tcase_add_test(tc, printf_sends_as_much_as_it_promises);
	tcase_add_test(tc, printf_of_one_byte_more_is_refused_whole);
	tc = io_case(suite, "cp_draining");
	tcase_add_test(tc, draining_is_the_daemon_s_stop);
	return fixture_run(suite);
}
