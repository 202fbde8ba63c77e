/* SPDX-License-Identifier: MIT */
/*
 * test_chargen - RFC 864: the lines, in their order, for as long as they are read.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <string.h>

#include "service/services.h"
#include "sessionrig.h"

#define LINE_CHARS 72
#define LINE_BYTES (LINE_CHARS + 2)
#define ROUND_LINES 95

static struct served served;
static char text[2 * ROUND_LINES * LINE_BYTES];

/* Reads until the buffer is full. */
static void
read_text(void)
{
	size_t used = 0;

	while (used < sizeof(text)) {
		ssize_t n = served_read(&served, text + used, sizeof(text) - used);

		rig_turn();
		if (n == -EAGAIN)
			continue;
		ck_assert_int_gt(n, 0);
		used += (size_t)n;
	}
}

static const char *
line(unsigned number)
{
	return text + (size_t)number * LINE_BYTES;
}

START_TEST(the_first_lines_are_those_of_the_rfc)
{
	const char *first = " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg\r\n";
	const char *second = "!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefgh\r\n";

	served_open(&served, &chargen_handler, "");
	read_text();
	ck_assert_int_eq(memcmp(line(0), first, LINE_BYTES), 0);
	ck_assert_int_eq(memcmp(line(1), second, LINE_BYTES), 0);
	served_close(&served);
	served_finish(&served);
}
END_TEST

START_TEST(each_line_begins_one_character_later_all_the_way_round)
{
	served_open(&served, &chargen_handler, "");
	read_text();
	for (unsigned i = 0; i < 2 * ROUND_LINES; i++) {
		ck_assert_int_eq(line(i)[0], ' ' + (int)(i % ROUND_LINES));
		for (unsigned k = 0; k < LINE_CHARS; k++)
			ck_assert_int_eq(line(i)[k], ' ' + (int)((i + k) % ROUND_LINES));
		ck_assert_int_eq(memcmp(line(i) + LINE_CHARS, "\r\n", 2), 0);
	}
	served_close(&served);
	served_finish(&served);
}
END_TEST

START_TEST(a_client_that_has_had_enough_ends_it)
{
	served_open(&served, &chargen_handler, "");
	rig_turn_some();
	served_close(&served);
	served_finish(&served);
	served_expect_end(&served, CONN_END_CLIENT_RESET);
}
END_TEST

START_TEST(a_client_that_stops_reading_has_its_send_timeout)
{
	served_open(&served, &chargen_handler, "send_timeout = \"3s\";");
	rig_turn_some();
	ck_assert_int_eq(served_state(&served), SESSION_WAITING);
	rig_pass_ms(3000);
	served_expect_end(&served, CONN_END_SEND_TIMEOUT);
}
END_TEST

/* It has no end of its own: a stop is one. */
START_TEST(a_stop_ends_it_after_a_whole_round)
{
	char buf[8192];
	uint64_t taken = 0;

	served_open(&served, &chargen_handler, "");
	atomic_store(&rig_sched.draining, true);
	while (!served.is_over) {
		ssize_t n = served_read(&served, buf, sizeof(buf));

		if (n > 0)
			taken += (uint64_t)n;
		rig_turn();
		if (n != 0)
			continue;
		served_close(&served);
		rig_pass_ms(LINGER_GLANCE_MS);
	}
	served_expect_end(&served, CONN_END_SERVICE);
	ck_assert_uint_eq(taken, served.bytes_out);
	ck_assert_uint_eq(taken % (ROUND_LINES * LINE_BYTES), 0);
}
END_TEST

START_TEST(it_lets_others_run_while_its_client_reads)
{
	static struct served other;

	served_open(&served, &chargen_handler, "");
	served_begin(&other);
	for (int i = 0; i < 50; i++) {
		char buf[65536];

		(void)served_read(&served, buf, sizeof(buf));
		(void)served_read(&other, buf, sizeof(buf));
		rig_turn();
	}
	ck_assert_uint_gt(other.session->conn.bytes_out, 0);
	ck_assert_uint_le(served.session->conn.bytes_out, 4 * other.session->conn.bytes_out);
	served_close(&served);
	served_close(&other);
	served_finish(&served);
	served_finish(&other);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("service/chargen");
	TCase *tc = rig_case(suite, "chargen");

	tcase_add_test(tc, the_first_lines_are_those_of_the_rfc);
	tcase_add_test(tc, each_line_begins_one_character_later_all_the_way_round);
	tcase_add_test(tc, a_client_that_has_had_enough_ends_it);
	tcase_add_test(tc, a_client_that_stops_reading_has_its_send_timeout);
	tcase_add_test(tc, a_stop_ends_it_after_a_whole_round);
	tcase_add_test(tc, it_lets_others_run_while_its_client_reads);
	return fixture_run(suite);
}
