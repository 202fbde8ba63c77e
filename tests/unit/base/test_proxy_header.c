/* SPDX-License-Identifier: MIT */
/*
 * test_proxy_header - what a proxy says about its client: taken when whole, refused as soon as it can't become right.
 */
#include "config.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/defs.h"
#include "base/errmsg.h"
#include "base/proxy_header.h"

#define V1_LINE "PROXY TCP4 192.0.2.1 198.51.100.2 4711 80\r\n"
#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
/* 192.0.2.1:4711 to 198.51.100.2:80, and 2001:db8::1 to ::2 with these ports. */
#define INET_BLOCK "\xc0\x00\x02\x01\xc6\x33\x64\x02\x12\x67\x00\x50"
#define INET6_BLOCK \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01" \
	"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02\x12\x67\x00\x50"
#define BYTES(literal) (const uint8_t *)(literal), sizeof(literal) - 1

struct sample {
	const char *bytes;
	size_t size;
	const char *client; /* NULL: names none */
	const char *destination;
};
#define SAMPLE(literal, client, destination) \
	{ \
		literal, sizeof(literal) - 1, client, destination \
	}

static const struct sample samples[] = {
	SAMPLE(V1_LINE, "192.0.2.1:4711", "198.51.100.2:80"),
	SAMPLE("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535",
		"255.255.255.255:65535"),
	SAMPLE("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", "0.0.0.0:0", "0.0.0.0:0"),
	SAMPLE("PROXY TCP6 2001:db8::1 ::2 4711 80\r\n", "[2001:db8::1]:4711", "[::2]:80"),
	SAMPLE("PROXY TCP6 2001:0DB8:0000:0000:0000:0000:0000:0001 ::2 1 2\r\n", "[2001:db8::1]:1", "[::2]:2"),
	SAMPLE("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c000:202 4711 80\r\n", "192.0.2.1:4711", "192.0.2.2:80"),
	SAMPLE("PROXY UNKNOWN\r\n", NULL, NULL),
	SAMPLE("PROXY UNKNOWN ffff::1 whatever \x01 65535\r\n", NULL, NULL),
	SAMPLE(SIGNATURE "\x21\x11\x00\x0c" INET_BLOCK, "192.0.2.1:4711", "198.51.100.2:80"),
	SAMPLE(SIGNATURE "\x21\x12\x00\x0c" INET_BLOCK, "192.0.2.1:4711", "198.51.100.2:80"),
	SAMPLE(SIGNATURE "\x21\x21\x00\x24" INET6_BLOCK, "[2001:db8::1]:4711", "[::2]:80"),
	/* Extensions: one that is empty, one of two bytes, and a checksum (figured out apart from this code). */
	SAMPLE(SIGNATURE "\x21\x11\x00\x14" INET_BLOCK "\x04\x00\x00\xe0\x00\x02hi", "192.0.2.1:4711",
		"198.51.100.2:80"),
	SAMPLE(SIGNATURE "\x21\x11\x00\x13" INET_BLOCK "\x03\x00\x04\x50\xef\x26\x9e", "192.0.2.1:4711",
		"198.51.100.2:80"),
	/* Unread: LOCAL with a block of no family, UNSPECIFIED as family and as transport. */
	SAMPLE(SIGNATURE "\x20\x00\x00\x00", NULL, NULL),
	SAMPLE(SIGNATURE "\x20\xff\x00\x03\x01\xff\xff", NULL, NULL),
	SAMPLE(SIGNATURE "\x21\x00\x00\x02zz", NULL, NULL),
	SAMPLE(SIGNATURE "\x21\x10\x00\x0c" INET_BLOCK, NULL, NULL),
};

static struct peer client, destination;
static struct errmsg err;

/* Into memory of just this size, so that a checker sees a read beyond it. */
static ssize_t
parse(const uint8_t *bytes, size_t size)
{
	uint8_t *exact = malloc(size > 0 ? size : 1);
	ssize_t rc;

	ck_assert_ptr_nonnull(exact);
	memcpy(exact, bytes, size);
	err.text[0] = '\0';
	rc = proxy_header_parse(exact, size, &client, &destination, &err);
	free(exact);
	ck_assert(rc >= 0 || err.text[0] != '\0');
	ck_assert(rc <= (ssize_t)size);
	return rc;
}

static void
expect_peer(const struct peer *peer, const char *text)
{
	char buf[ADDRESS_TEXT_MAX];

	if (text == NULL)
		ck_assert_int_eq(peer->family, AF_UNSPEC);
	else
		ck_assert_str_eq(peer_format(peer, buf), text);
}

/* ---- taking ------------------------------------------------------------------ */

START_TEST(a_header_gives_its_length_and_both_ends)
{
	const struct sample *sample = &samples[_i];
	uint8_t longer[256];

	ck_assert_int_eq(parse((const uint8_t *)sample->bytes, sample->size), (ssize_t)sample->size);
	expect_peer(&client, sample->client);
	expect_peer(&destination, sample->destination);
	/* The client's own first bytes are none of its business, whatever they are. */
	memset(longer, 0xff, sizeof(longer));
	memcpy(longer, sample->bytes, sample->size);
	ck_assert_int_eq(parse(longer, sizeof(longer)), (ssize_t)sample->size);
	expect_peer(&client, sample->client);
}
END_TEST

START_TEST(every_shorter_part_of_it_asks_for_more_and_writes_nothing)
{
	const struct sample *sample = &samples[_i];

	memset(&client, 0x5a, sizeof(client));
	for (size_t size = 0; size < sample->size; size++)
		ck_assert_int_eq(parse((const uint8_t *)sample->bytes, size), 0);
	ck_assert_uint_eq(client.family, 0x5a5a);
}
END_TEST

/* What is refused stays refused when more comes, and what asks for more is never taken for less. */
START_TEST(a_flipped_bit_in_it_is_judged_alike_at_every_length)
{
	const struct sample *sample = &samples[_i];
	uint8_t bytes[256];

	for (size_t flipped = 0; flipped < sample->size * 8; flipped++) {
		ssize_t whole, rc = 0;

		memcpy(bytes, sample->bytes, sample->size);
		bytes[flipped / 8] ^= (uint8_t)(1u << flipped % 8);
		whole = parse(bytes, sample->size);
		for (size_t size = flipped / 8 + 1; size <= sample->size && rc == 0; size++)
			rc = parse(bytes, size);
		ck_assert_int_eq(rc, whole);
	}
}
END_TEST

START_TEST(any_other_byte_in_it_is_taken_or_refused)
{
	const struct sample *sample = &samples[_i];
	uint8_t bytes[256];

	for (size_t at = 0; at < sample->size; at++) {
		memcpy(bytes, sample->bytes, sample->size);
		for (unsigned value = 0; value < 256; value++) {
			ssize_t rc;

			bytes[at] = (uint8_t)value;
			rc = parse(bytes, sample->size);
			ck_assert(rc >= 0 || rc == -EPROTO || rc == -EMSGSIZE);
		}
	}
}
END_TEST

START_TEST(a_block_of_the_longest_is_taken)
{
	static uint8_t bytes[PROXY_HEADER_MAX + 1];
	size_t tlv = PROXY_HEADER_MAX - 16 - 12 - 3;

	memcpy(bytes, SIGNATURE "\x21\x11\x0f\xf0" INET_BLOCK "\xe0", 29);
	bytes[29] = (uint8_t)(tlv >> 8);
	bytes[30] = (uint8_t)tlv;
	ck_assert_int_eq(parse(bytes, PROXY_HEADER_MAX - 1), 0);
	ck_assert_int_eq(parse(bytes, PROXY_HEADER_MAX), PROXY_HEADER_MAX);
	expect_peer(&client, "192.0.2.1:4711");
	bytes[15]++;
	ck_assert_int_eq(parse(bytes, 16), -EMSGSIZE);
}
END_TEST

START_TEST(a_unix_client_names_none)
{
	uint8_t bytes[16 + 216] = SIGNATURE "\x21\x31\x00\xd8/run/client.sock";

	ck_assert_int_eq(parse(bytes, sizeof(bytes)), sizeof(bytes));
	expect_peer(&client, NULL);
	bytes[15]--;
	ck_assert_int_eq(parse(bytes, sizeof(bytes) - 1), -EPROTO);
}
END_TEST

START_TEST(a_line_of_unknown_may_have_107_bytes)
{
	char line[109];

	memset(line, 'x', sizeof(line));
	memcpy(line, "PROXY UNKNOWN ", 14);
	memcpy(line + 105, "\r\n", 2);
	ck_assert_int_eq(parse((uint8_t *)line, 106), 0);
	ck_assert_int_eq(parse((uint8_t *)line, 107), 107);
	memcpy(line + 105, "x\r\n", 3);
	ck_assert_int_eq(parse((uint8_t *)line, 106), 0);
	ck_assert_int_eq(parse((uint8_t *)line, 107), -EPROTO);
	ck_assert_int_eq(parse((uint8_t *)line, 108), -EPROTO);
}
END_TEST

/* ---- refusing ---------------------------------------------------------------- */

static const struct refusal {
	const char *bytes;
	size_t size;
} refusals[] = {
	/* Refused by its last byte, and by none before. */
	{"G", 1},
	{"PO", 2},
	{"PRI", 3},
	{"\x16", 1},
	{"\0", 1},
	{"p", 1},
	{"PROXY\t", 6},
	{"PROXY  ", 7},
	{"PROXY t", 7},
	{"PROXY TCP5", 10},
	{"PROXY TCP4\t", 11},
	{"PROXY TCP4  ", 12},
	{"PROXY TCP4 1.2.3.4,", 19},
	{"PROXY TCP4 a", 12},
	{"PROXY TCP4 1.2.3 ", 17},
	{"PROXY TCP4 01.2.3.4 ", 20},
	{"PROXY TCP4 1.2.3.256 ", 21},
	{"PROXY TCP4 1.2.3.4  ", 20},
	{"PROXY TCP4 1234567890123456", 27},
	{"PROXY TCP4 1.2.3.4 :", 20},
	{"PROXY TCP4 1.2.3.4 5.6.7.8 01 ", 30},
	{"PROXY TCP4 1.2.3.4 5.6.7.8 65536 ", 33},
	{"PROXY TCP4 1.2.3.4 5.6.7.8 123456", 33},
	{"PROXY TCP4 1.2.3.4 5.6.7.8 +", 28},
	{"PROXY TCP4 1.2.3.4 5.6.7.8 -", 28},
	{"PROXY TCP4 1.2.3.4 5.6.7.8  ", 28},
	{"PROXY TCP4 1.2.3.4 5.6.7.8 1 \r", 30},
	{"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 ", 31},
	{"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n", 31},
	{"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r", 32},
	{"PROXY TCP6 1.2.3.4 ", 19},
	{"PROXY TCP6 ::1%", 15},
	{"PROXY TCP6 [", 12},
	{"PROXY TCP6 ::1::2 ", 18},
	{"PROXY UNKNOWNS", 14},
	{"PROXY UNKNOWN\n", 14},
	{"PROXY UNKNOWN a\n", 16},
	{"PROXY UNKNOWN a\rb", 17},
	{"\r\r", 2},
	{"\r\n\r\n\0\r\nQUIX", 11},
	{SIGNATURE "\x11", 13},
	{SIGNATURE "\x31", 13},
	{SIGNATURE "\x22", 13},
	{SIGNATURE "\x21\x41", 14},
	{SIGNATURE "\x21\x13", 14},
	{SIGNATURE "\x21\x11\x00\x0b", 16},
	{SIGNATURE "\x21\x21\x00\x23", 16},
	/* Extensions: cut off after one and two bytes, too long, a checksum of three bytes, and a wrong one. */
	{SIGNATURE "\x21\x11\x00\x0d" INET_BLOCK "\x04", 29},
	{SIGNATURE "\x21\x11\x00\x0e" INET_BLOCK "\x04\x00", 30},
	{SIGNATURE "\x21\x11\x00\x10" INET_BLOCK "\x04\x00\x02x", 32},
	{SIGNATURE "\x21\x11\x00\x12" INET_BLOCK "\x03\x00\x03xxx", 34},
	{SIGNATURE "\x21\x11\x00\x13" INET_BLOCK "\x03\x00\x04xxxx", 35},
};

START_TEST(what_can_t_become_a_header_is_refused_by_its_first_wrong_byte)
{
	const struct refusal *refusal = &refusals[_i];
	const uint8_t *bytes = (const uint8_t *)refusal->bytes;

	ck_assert_int_eq(parse(bytes, refusal->size - 1), 0);
	ck_assert_int_eq(parse(bytes, refusal->size), -EPROTO);
}
END_TEST

START_TEST(what_was_sent_is_not_repeated_to_the_log)
{
	ck_assert_int_eq(parse(BYTES("GET / HTTP/1.1\r\n")), -EPROTO);
	ck_assert_str_eq(err.text, "what was sent is not a PROXY header");
	ck_assert_int_eq(parse(BYTES("PROXY TCP4 \x1b[2J")), -EPROTO);
	ck_assert_str_eq(err.text, "the line of version 1 is malformed");
}
END_TEST

/* ---- making ------------------------------------------------------------------ */

static void
set_peer(struct peer *peer, const char *host, uint16_t port)
{
	memset(peer, 0, sizeof(*peer));
	if (host == NULL)
		return;
	peer->family = strchr(host, ':') != NULL ? AF_INET6 : AF_INET;
	peer->port = port;
	ck_assert_int_eq(inet_pton(peer->family, host, peer->bytes), 1);
}

/* Makes and parses; what the reader has of the two ends is in client and destination. */
static size_t
round_trip(int version, const char *from, const char *to)
{
	uint8_t buf[PROXY_HEADER_MADE_MAX];
	struct peer a, b;
	size_t length;

	set_peer(&a, from, 4711);
	set_peer(&b, to, 80);
	length = proxy_header_make(version, &a, &b, buf);
	ck_assert_uint_le(length, sizeof(buf));
	ck_assert_int_eq(parse(buf, length), (ssize_t)length);
	return length;
}

START_TEST(what_is_made_is_read_as_it_was_meant)
{
	int version = _i;

	round_trip(version, "192.0.2.1", "198.51.100.2");
	expect_peer(&client, "192.0.2.1:4711");
	expect_peer(&destination, "198.51.100.2:80");
	round_trip(version, "2001:db8:1:2:3:4:5:6", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	expect_peer(&client, "[2001:db8:1:2:3:4:5:6]:4711");
	expect_peer(&destination, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:80");
	round_trip(version, "192.0.2.1", "2001:db8::1");
	expect_peer(&client, "192.0.2.1:4711");
	expect_peer(&destination, "[2001:db8::1]:80");
	round_trip(version, "2001:db8::1", "192.0.2.1");
	expect_peer(&client, "[2001:db8::1]:4711");
	expect_peer(&destination, "192.0.2.1:80");
	round_trip(version, "192.0.2.1", NULL);
	expect_peer(&client, "192.0.2.1:4711");
	expect_peer(&destination, "0.0.0.0:0");
	round_trip(version, "2001:db8::1", NULL);
	expect_peer(&client, "[2001:db8::1]:4711");
	expect_peer(&destination, "[::]:0");
	round_trip(version, NULL, "192.0.2.1");
	expect_peer(&client, NULL);
}
END_TEST

START_TEST(made_bytes_are_those_of_the_specification)
{
	uint8_t buf[PROXY_HEADER_MADE_MAX];
	struct peer a, b, none = {.family = AF_UNIX};

	set_peer(&a, "192.0.2.1", 4711);
	set_peer(&b, "198.51.100.2", 80);
	ck_assert_uint_eq(proxy_header_make(1, &a, &b, buf), strlen(V1_LINE));
	ck_assert_mem_eq(buf, V1_LINE, strlen(V1_LINE));
	ck_assert_uint_eq(proxy_header_make(2, &a, &b, buf), 28);
	ck_assert_mem_eq(buf, SIGNATURE "\x21\x11\x00\x0c" INET_BLOCK, 28);
	ck_assert_uint_eq(proxy_header_make(1, &none, &b, buf), 15);
	ck_assert_mem_eq(buf, "PROXY UNKNOWN\r\n", 15);
	ck_assert_uint_eq(proxy_header_make(2, &none, &b, buf), 16);
	ck_assert_mem_eq(buf, SIGNATURE "\x20\x00\x00\x00", 16);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("base/proxy_header");
	TCase *tc = tcase_create("taking");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, a_header_gives_its_length_and_both_ends, 0, (int)CP_COUNT(samples));
	tcase_add_loop_test(tc, every_shorter_part_of_it_asks_for_more_and_writes_nothing, 0, (int)CP_COUNT(samples));
	tcase_add_loop_test(tc, a_flipped_bit_in_it_is_judged_alike_at_every_length, 0, (int)CP_COUNT(samples));
	tcase_add_loop_test(tc, any_other_byte_in_it_is_taken_or_refused, 0, (int)CP_COUNT(samples));
	tcase_add_test(tc, a_block_of_the_longest_is_taken);
	tcase_add_test(tc, a_unix_client_names_none);
	tcase_add_test(tc, a_line_of_unknown_may_have_107_bytes);
	suite_add_tcase(suite, tc);
	tc = tcase_create("refusing");
	tcase_add_loop_test(
		tc, what_can_t_become_a_header_is_refused_by_its_first_wrong_byte, 0, (int)CP_COUNT(refusals));
	tcase_add_test(tc, what_was_sent_is_not_repeated_to_the_log);
	suite_add_tcase(suite, tc);
	tc = tcase_create("making");
	tcase_add_loop_test(tc, what_is_made_is_read_as_it_was_meant, 1, 3);
	tcase_add_test(tc, made_bytes_are_those_of_the_specification);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
