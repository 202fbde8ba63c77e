/* SPDX-License-Identifier: MIT */
/*
 * test_discard - RFC 863: everything is read, nothing is answered.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <sys/socket.h>

#include "service/services.h"
#include "sessionrig.h"

#define MANY (1024u * 1024)

static struct served served;

START_TEST(everything_is_read_and_nothing_comes_back)
{
	static char block[50000];
	uint64_t sent = 0;
	char byte;

	served_open(&served, &discard_handler, "");
	while (sent < MANY) {
		ssize_t n = send(served.client, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0)
			sent += (uint64_t)n;
		rig_turn();
	}
	ck_assert_int_eq(served_read(&served, &byte, 1), -EAGAIN);
	served_close(&served);
	served_finish(&served);
	served_expect_end(&served, CONN_END_CLIENT);
	ck_assert_uint_eq(served.bytes_in, sent);
	ck_assert_uint_eq(served.bytes_out, 0);
}
END_TEST

START_TEST(an_idle_one_costs_no_stack)
{
	served_open(&served, &discard_handler, "");
	served_send(&served, "hello");
	rig_turn();
	ck_assert_int_eq(served_state(&served), SESSION_PARKED);
	ck_assert_uint_eq(fiber_pool_busy(rig_sched.fibers), 0);
	served_close(&served);
	served_finish(&served);
}
END_TEST

START_TEST(a_half_close_is_answered_with_the_end)
{
	served_open(&served, &discard_handler, "");
	served_send(&served, "all of it");
	ck_assert_int_eq(shutdown(served.client, SHUT_WR), 0);
	served_finish(&served);
	served_expect(&served, "");
	served_expect_end(&served, CONN_END_CLIENT);
	ck_assert_uint_eq(served.bytes_in, 9);
}
END_TEST

START_TEST(a_reset_is_the_client_s)
{
	fixture_open("", "", &discard_handler);
	served_begin_tcp(&served);
	served_reset(&served);
	served_finish(&served);
	served_expect_end(&served, CONN_END_CLIENT_RESET);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("service/discard");
	TCase *tc = rig_case(suite, "discard");

	tcase_add_test(tc, everything_is_read_and_nothing_comes_back);
	tcase_add_test(tc, an_idle_one_costs_no_stack);
	tcase_add_test(tc, a_half_close_is_answered_with_the_end);
	tcase_add_test(tc, a_reset_is_the_client_s);
	return fixture_run(suite);
}
