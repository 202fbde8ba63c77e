/* SPDX-License-Identifier: MIT */
/*
 * test_daytime - RFC 867: one line, and it tells the time.
 */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "service/services.h"
#include "sessionrig.h"

static struct served served;

/* The client has read its line and closes. */
static void
end(void)
{
	served_close(&served);
	rig_pass_ms(LINGER_GLANCE_MS);
	served_expect_end(&served, CONN_END_SERVICE);
}

START_TEST(the_line_is_the_time_between_before_and_after)
{
	time_t before, after, told;
	struct tm tm = {.tm_isdst = -1};
	char line[128];
	ssize_t n;

	before = time(NULL);
	served_open(&served, &daytime_handler, "");
	after = time(NULL);
	n = served_read(&served, line, sizeof(line) - 1);
	ck_assert_int_gt(n, 0);
	line[n] = '\0';
	ck_assert_str_eq(strptime(line, "%a %b %e %H:%M:%S %Y", &tm), "\r\n");
	told = mktime(&tm);
	ck_assert_msg(told >= before && told <= after, "%s", line);
	served_expect(&served, "");
	end();
	ck_assert_uint_eq(served.bytes_out, (uint64_t)n);
}
END_TEST

/* Served in that zone. */
static void
read_line_in(const char *zone, struct served *one, char *line, size_t size)
{
	ck_assert_int_eq(setenv("TZ", zone, 1), 0);
	tzset();
	served_begin(one);
	ck_assert_int_gt(served_read(one, line, size), 0);
	served_close(one);
	rig_pass_ms(LINGER_GLANCE_MS);
	served_expect_end(one, CONN_END_SERVICE);
}

START_TEST(the_time_is_that_of_the_zone)
{
	static struct served east, west;
	char here[128] = "", there[128] = "";

	fixture_open("", "", &daytime_handler);
	read_line_in("AAA-11", &east, here, sizeof(here) - 1);
	read_line_in("BBB+9", &west, there, sizeof(there) - 1);
	/* 20 hours apart: neither the hour nor the line can be the same. */
	ck_assert_str_ne(here, there);
}
END_TEST

START_TEST(a_client_that_talks_gets_its_line_all_the_same)
{
	char line[128];
	int ends[2];

	fixture_open("", "", &daytime_handler);
	fixture_tcp_pair(ends);
	served = (struct served){.client = ends[1]};
	served_send(&served, "what time is it?\n");
	served_begin_on(&served, ends[0], ends[1]);
	rig_pass_ms(LINGER_GLANCE_MS);
	ck_assert_int_gt(fixture_read_all(served.client, line, sizeof(line)), 10);
	served_close(&served);
	served_finish(&served);
	served_expect_end(&served, CONN_END_SERVICE);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("service/daytime");
	TCase *tc = rig_case(suite, "daytime");

	tcase_add_test(tc, the_line_is_the_time_between_before_and_after);
	tcase_add_test(tc, the_time_is_that_of_the_zone);
	tcase_add_test(tc, a_client_that_talks_gets_its_line_all_the_same);
	return fixture_run(suite);
}
