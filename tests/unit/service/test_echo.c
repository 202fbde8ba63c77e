/* SPDX-License-Identifier: MIT */
/*
 * test_echo - RFC 862: every byte comes back, in order, to the last.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "service/services.h"
#include "sessionrig.h"

#define MANY (1024u * 1024)

static struct served served;

START_TEST(what_is_sent_comes_back)
{
	served_open(&served, &echo_handler, "");
	served_send(&served, "hello");
	rig_turn();
	served_expect(&served, "hello");
	served_send(&served, "world");
	rig_turn();
	served_expect(&served, "world");
	served_close(&served);
	served_finish(&served);
	served_expect_end(&served, CONN_END_CLIENT);
	ck_assert_uint_eq(served.bytes_in, 10);
	ck_assert_uint_eq(served.bytes_out, 10);
}
END_TEST

START_TEST(between_two_lines_it_costs_no_stack)
{
	served_open(&served, &echo_handler, "");
	rig_turn();
	ck_assert_int_eq(served_state(&served), SESSION_PARKED);
	served_send(&served, "hello");
	rig_turn();
	ck_assert_int_eq(served_state(&served), SESSION_PARKED);
	ck_assert_uint_eq(fiber_pool_busy(rig_sched.fibers), 0);
	served_close(&served);
	served_finish(&served);
}
END_TEST

START_TEST(a_half_close_gets_the_rest_and_then_the_end)
{
	served_open(&served, &echo_handler, "");
	served_send(&served, "the rest");
	ck_assert_int_eq(shutdown(served.client, SHUT_WR), 0);
	served_finish(&served);
	served_expect(&served, "the rest");
	served_expect(&served, "");
	served_expect_end(&served, CONN_END_CLIENT);
}
END_TEST

/* Sends what fits, reads what is there, compares, until all has come back. */
static void
echo_many(char *bytes)
{
	unsigned sent = 0, taken = 0;

	while (taken < MANY) {
		char buf[5000];
		ssize_t n;

		if (sent < MANY) {
			n = send(served.client, bytes + sent, MANY - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
			if (n > 0)
				sent += (unsigned)n;
		}
		rig_turn();
		n = served_read(&served, buf, sizeof(buf));
		if (n == -EAGAIN)
			continue;
		ck_assert_int_gt(n, 0);
		ck_assert_int_eq(memcmp(buf, bytes + taken, (size_t)n), 0);
		taken += (unsigned)n;
	}
}

START_TEST(many_bytes_come_back_whole)
{
	char *bytes = malloc(MANY);

	ck_assert_ptr_nonnull(bytes);
	for (unsigned i = 0; i < MANY; i++)
		bytes[i] = (char)(i * 2654435761u >> 24);
	fixture_open("", "", &echo_handler);
	if (_i == 0)
		served_begin(&served);
	else
		served_begin_tcp(&served);
	echo_many(bytes);
	served_close(&served);
	served_finish(&served);
	ck_assert_uint_eq(served.bytes_in, MANY);
	ck_assert_uint_eq(served.bytes_out, MANY);
	free(bytes);
}
END_TEST

/* It stops reading when it can't send: what the client does not take piles up in the kernel's buffers, not here. */
START_TEST(a_client_that_takes_nothing_back_is_not_read_on)
{
	static char block[16 * 1024];
	unsigned blocked = 0;

	served_open(&served, &echo_handler, "send_timeout = \"3s\";");
	while (blocked < 10) {
		if (send(served.client, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			blocked++;
		rig_turn();
	}
	ck_assert_int_eq(served_state(&served), SESSION_WAITING);
	rig_pass_ms(3000);
	served_expect_end(&served, CONN_END_SEND_TIMEOUT);
}
END_TEST

START_TEST(a_reset_is_the_client_s)
{
	fixture_open("", "", &echo_handler);
	served_begin_tcp(&served);
	served_reset(&served);
	served_finish(&served);
	served_expect_end(&served, CONN_END_CLIENT_RESET);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("service/echo");
	TCase *tc = rig_case(suite, "echo");

	tcase_add_test(tc, what_is_sent_comes_back);
	tcase_add_test(tc, between_two_lines_it_costs_no_stack);
	tcase_add_test(tc, a_half_close_gets_the_rest_and_then_the_end);
	tcase_add_loop_test(tc, many_bytes_come_back_whole, 0, 2);
	tcase_add_test(tc, a_client_that_takes_nothing_back_is_not_read_on);
	tcase_add_test(tc, a_reset_is_the_client_s);
	return fixture_run(suite);
}
