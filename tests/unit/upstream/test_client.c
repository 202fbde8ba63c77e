/* SPDX-License-Identifier: MIT */
/*
 * test_client - what of a client its upstream uses: a hash of its address, and the header that tells it to a server.
 */
#include "config.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/address.h"
#include "base/errmsg.h"
#include "base/proxy_header.h"
#include "conf/conf.h"
#include "upstream/client.h"
#include "upstream/upstream.h"

/* Written here, because a server is only asked what it wants. */
static int wanted;

int
server_send_proxy(const struct server *server)
{
	ck_assert_ptr_null(server);
	return wanted;
}

static struct sockaddr_storage
address(const char *host, uint16_t port)
{
	struct sockaddr_storage storage = {.ss_family = AF_UNIX};
	struct sockaddr_in *in4 = (struct sockaddr_in *)&storage;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&storage;

	if (host == NULL)
		return storage;
	if (inet_pton(AF_INET, host, &in4->sin_addr) == 1) {
		in4->sin_family = AF_INET;
		in4->sin_port = htons(port);
		return storage;
	}
	ck_assert_int_eq(inet_pton(AF_INET6, host, &in6->sin6_addr), 1);
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	return storage;
}

static uint64_t
hash(const char *host, uint16_t port)
{
	struct sockaddr_storage peer = address(host, port);

	return client_hash(&peer);
}

START_TEST(a_client_has_one_hash_whatever_its_port)
{
	ck_assert_uint_eq(hash("192.0.2.1", 1), hash("192.0.2.1", 65535));
	ck_assert_uint_eq(hash("2001:db8::1", 1), hash("2001:db8::1", 65535));
	ck_assert_uint_ne(hash("192.0.2.1", 1), hash("192.0.2.2", 1));
	ck_assert_uint_ne(hash("2001:db8::1", 1), hash("2001:db8::2", 1));
	ck_assert_uint_eq(hash(NULL, 0), hash(NULL, 0));
}
END_TEST

/* Another program of the same version must send it to the same server: these are the values of all. */
START_TEST(a_hash_is_the_same_in_every_run)
{
	ck_assert_uint_eq(hash("192.0.2.1", 1), UINT64_C(0x803931826a2288ea));
	ck_assert_uint_eq(hash("2001:db8::1", 1), UINT64_C(0x8dec2b2d0b0e530f));
}
END_TEST

/* Neighbours, as the clients of one office are: every bit is set in about half of them. */
START_TEST(neighbours_are_spread_by_every_bit)
{
	unsigned set[64] = {0};

	for (unsigned i = 0; i < 1024; i++) {
		char host[32];
		uint64_t value;

		snprintf(host, sizeof(host), "10.0.%u.%u", i / 256, i % 256);
		value = hash(host, 80);
		for (unsigned bit = 0; bit < 64; bit++)
			set[bit] += (unsigned)(value >> bit) & 1;
	}
	for (unsigned bit = 0; bit < 64; bit++)
		ck_assert_msg(set[bit] > 420 && set[bit] < 604, "bit %u is set in %u of 1024", bit, set[bit]);
}
END_TEST

START_TEST(a_server_that_wants_no_header_gets_none)
{
	struct sockaddr_storage peer = address("192.0.2.1", 1), local = address("192.0.2.2", 2);
	uint8_t buf[CLIENT_HEADER_MAX];

	wanted = CONF_SEND_PROXY_NONE;
	ck_assert_uint_eq(client_make_header(NULL, &peer, &local, buf), 0);
}
END_TEST

START_TEST(version_1_is_a_line)
{
	static const struct {
		const char *peer, *local, *line;
	} rows[] = {
		{"192.0.2.1", "192.0.2.2", "PROXY TCP4 192.0.2.1 192.0.2.2 5000 80\r\n"},
		{"2001:db8::1", "2001:db8::2", "PROXY TCP6 2001:db8::1 2001:db8::2 5000 80\r\n"},
		{NULL, NULL, "PROXY UNKNOWN\r\n"},
	};
	struct sockaddr_storage peer = address(rows[_i].peer, 5000), local = address(rows[_i].local, 80);
	uint8_t buf[CLIENT_HEADER_MAX];

	wanted = CONF_SEND_PROXY_V1;
	ck_assert_uint_eq(client_make_header(NULL, &peer, &local, buf), strlen(rows[_i].line));
	ck_assert_int_eq(memcmp(buf, rows[_i].line, strlen(rows[_i].line)), 0);
}
END_TEST

START_TEST(version_2_says_the_same_as_it_is_read)
{
	static const char *const hosts[][2] = {{"192.0.2.1", "192.0.2.2"}, {"2001:db8::1", "2001:db8::2"}};
	struct sockaddr_storage peer = address(hosts[_i][0], 5000), local = address(hosts[_i][1], 80);
	uint8_t buf[CLIENT_HEADER_MAX];
	struct peer client, destination, expected;
	struct errmsg err;
	size_t length;

	wanted = CONF_SEND_PROXY_V2;
	length = client_make_header(NULL, &peer, &local, buf);
	ck_assert_int_eq(buf[12], 0x21);
	ck_assert_int_eq(proxy_header_parse(buf, length, &client, &destination, &err), (ssize_t)length);
	peer_from_sockaddr(&expected, (const struct sockaddr *)&peer, sizeof(peer));
	ck_assert_int_eq(client.family, expected.family);
	ck_assert_int_eq(client.port, 5000);
	ck_assert_int_eq(memcmp(client.bytes, expected.bytes, sizeof(expected.bytes)), 0);
	ck_assert_int_eq(destination.port, 80);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("upstream/client");
	TCase *tc = tcase_create("client");
	SRunner *runner;
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_test(tc, a_client_has_one_hash_whatever_its_port);
	tcase_add_test(tc, a_hash_is_the_same_in_every_run);
	tcase_add_test(tc, neighbours_are_spread_by_every_bit);
	tcase_add_test(tc, a_server_that_wants_no_header_gets_none);
	tcase_add_loop_test(tc, version_1_is_a_line, 0, 3);
	tcase_add_loop_test(tc, version_2_says_the_same_as_it_is_read, 0, 2);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
