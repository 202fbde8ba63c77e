/* SPDX-License-Identifier: MIT */
/*
 * test_time - RFC 868: four bytes, and they tell the seconds since 1900.
 */
#include "config.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdint.h>
#include <time.h>

#include "service/services.h"
#include "sessionrig.h"

/* RFC 868: "the time 2,208,988,800 corresponds to 00:00 1 Jan 1970 GMT". */
#define EPOCH 2208988800u

static struct served served;

START_TEST(four_bytes_are_the_time_between_before_and_after)
{
	uint32_t seconds[2];
	uint32_t before, after;

	before = (uint32_t)time(NULL);
	served_open(&served, &time_handler, "");
	after = (uint32_t)time(NULL);
	ck_assert_int_eq(served_read(&served, (char *)seconds, sizeof(seconds)), 4);
	/* Differences, because they wrap. */
	ck_assert_uint_le(ntohl(seconds[0]) - EPOCH - before, after - before);
	served_expect(&served, "");
	served_close(&served);
	rig_pass_ms(LINGER_GLANCE_MS);
	served_expect_end(&served, CONN_END_SERVICE);
	ck_assert_uint_eq(served.bytes_out, 4);
}
END_TEST

START_TEST(a_client_that_is_gone_is_its_reset)
{
	int ends[2];

	fixture_open("", "", &time_handler);
	fixture_unix_pair(ends);
	served = (struct served){.client = ends[1]};
	served_close(&served);
	served_begin_on(&served, ends[0], -1);
	served_expect_end(&served, CONN_END_CLIENT_RESET);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("service/time");
	TCase *tc = rig_case(suite, "time");

	tcase_add_test(tc, four_bytes_are_the_time_between_before_and_after);
	tcase_add_test(tc, a_client_that_is_gone_is_its_reset);
	return fixture_run(suite);
}
