/* SPDX-License-Identifier: MIT */
/*
 * test_resolve_srv - answers with SRV records, good and bad. tests/fuzz/fuzz_srv.c gives it anything.
 */
#include "config.h"

#include <arpa/nameser.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../net/netfixture.h"
#include "dnsrig.h"
#include "upstream/resolve_srv.h"

#define NAME "_db._tcp.example"
#define MESSAGE_MAX 4096u

static uint8_t message[MESSAGE_MAX];
static struct srv_answer answer;

/* From memory of just that size, so that a checker sees a read beyond it. */
static int
parse(size_t size)
{
	uint8_t *exact = malloc(size > 0 ? size : 1);
	int rc;

	ck_assert_ptr_nonnull(exact);
	memcpy(exact, message, size);
	rc = srv_parse(exact, size, &answer);
	free(exact);
	return rc;
}

static size_t
compose(void)
{
	return dns_answer(message, sizeof(message), NAME, ns_t_srv);
}

START_TEST(records_are_sorted_by_priority_and_weight)
{
	dns_add(NAME, "SRV", 300, "20 5 5432 c.example");
	dns_add(NAME, "SRV", 60, "10 0 5433 a.example");
	dns_add(NAME, "SRV", 90, "10 70 5434 b.example");
	ck_assert_int_eq(parse(compose()), 0);
	ck_assert_uint_eq(answer.count, 3);
	ck_assert_str_eq(answer.records[0].target, "b.example");
	ck_assert_uint_eq(answer.records[0].weight, 70);
	ck_assert_uint_eq(answer.records[0].port, 5434);
	ck_assert_str_eq(answer.records[1].target, "a.example");
	ck_assert_str_eq(answer.records[2].target, "c.example");
	ck_assert_uint_eq(answer.records[2].priority, 20);
	ck_assert_uint_eq(answer.ttl_s, 60);
	ck_assert_uint_eq(answer.left_out, 0);
}
END_TEST

START_TEST(the_ttl_of_an_alias_counts)
{
	dns_add(NAME, "CNAME", 7, "_db._tcp.other.example");
	dns_add("_db._tcp.other.example", "SRV", 300, "0 0 1 a.example");
	ck_assert_int_eq(parse(compose()), 0);
	ck_assert_uint_eq(answer.count, 1);
	ck_assert_uint_eq(answer.ttl_s, 7);
}
END_TEST

START_TEST(a_ttl_with_the_highest_bit_set_is_0)
{
	dns_add(NAME, "SRV", 0x80000001u, "0 0 1 a.example");
	ck_assert_int_eq(parse(compose()), 0);
	ck_assert_uint_eq(answer.ttl_s, 0);
}
END_TEST

START_TEST(a_double_counts_once)
{
	dns_add(NAME, "SRV", 60, "0 0 1 a.example");
	dns_add(NAME, "SRV", 60, "0 0 1 A.example");
	dns_add(NAME, "SRV", 60, "0 0 2 a.example");
	ck_assert_int_eq(parse(compose()), 0);
	ck_assert_uint_eq(answer.count, 2);
}
END_TEST

START_TEST(the_root_and_port_0_are_no_servers)
{
	dns_add(NAME, "SRV", 60, "0 0 80 .");
	dns_add(NAME, "SRV", 60, "0 0 0 a.example");
	ck_assert_int_eq(parse(compose()), -ENODATA);
	ck_assert_uint_eq(answer.count, 0);
}
END_TEST

START_TEST(no_records_are_no_data)
{
	ck_assert_int_eq(parse(compose()), -ENODATA);
}
END_TEST

START_TEST(of_too_many_those_of_the_lowest_priority_stay)
{
	char data[64];

	for (unsigned i = 0; i < SRV_RECORDS_MAX + 8; i++) {
		snprintf(data, sizeof(data), "%u 0 80 n%u.example", 100 - i, i);
		dns_add(NAME, "SRV", 60, data);
	}
	ck_assert_int_eq(parse(compose()), 0);
	ck_assert_uint_eq(answer.count, SRV_RECORDS_MAX);
	ck_assert_uint_eq(answer.left_out, 8);
	ck_assert_uint_eq(answer.records[0].priority, 100 - (SRV_RECORDS_MAX + 7));
	ck_assert_uint_eq(answer.records[SRV_RECORDS_MAX - 1].priority, 92);
}
END_TEST

START_TEST(whatever_is_cut_off_is_noticed)
{
	size_t size;

	dns_add(NAME, "SRV", 60, "10 5 80 a.example");
	dns_add(NAME, "SRV", 60, "10 5 80 b.example");
	size = compose();
	for (size_t cut = 0; cut < size; cut++)
		ck_assert_int_eq(parse(cut), -EBADMSG);
	ck_assert_int_eq(parse(size), 0);
}
END_TEST

START_TEST(names_that_point_at_themselves_are_noticed)
{
	size_t size;

	dns_add(NAME, "SRV", 60, "10 5 80 a.example");
	size = compose();
	/* The target becomes a pointer to itself, and its record as long as that makes it. */
	size -= strlen("a.example") + 2;
	message[size - 7] = 8;
	message[size] = (uint8_t)(0xc0 | size >> 8);
	message[size + 1] = (uint8_t)size;
	ck_assert_int_eq(parse(size + 2), -EBADMSG);
}
END_TEST

START_TEST(a_record_longer_than_its_target_is_malformed)
{
	size_t size;

	dns_add(NAME, "SRV", 60, "10 5 80 a.example");
	size = compose();
	message[size - strlen("a.example") - 2 - 7] += 1;
	message[size] = 0;
	ck_assert_int_eq(parse(size + 1), -EBADMSG);
}
END_TEST

START_TEST(records_without_end_are_not_walked)
{
	const size_t size = compose();
	size_t used = size;

	/* 4000 records said, each of them empty: root, type 1, class 1. */
	message[6] = 4000 >> 8;
	message[7] = 4000 & 0xff;
	while (used + 11 <= sizeof(message)) {
		memcpy(message + used, "\0\0\1\0\1\0\0\0\0\0\0", 11);
		used += 11;
	}
	ck_assert_int_eq(parse(used), -EBADMSG);
}
END_TEST

static Suite *
make_suite(void)
{
	Suite *suite = suite_create("upstream/resolve_srv");
	TCase *tc;

	tc = dns_case(suite, "good");
	tcase_add_test(tc, records_are_sorted_by_priority_and_weight);
	tcase_add_test(tc, the_ttl_of_an_alias_counts);
	tcase_add_test(tc, a_ttl_with_the_highest_bit_set_is_0);
	tcase_add_test(tc, a_double_counts_once);
	tcase_add_test(tc, the_root_and_port_0_are_no_servers);
	tcase_add_test(tc, no_records_are_no_data);
	tcase_add_test(tc, of_too_many_those_of_the_lowest_priority_stay);
	tc = dns_case(suite, "bad");
	tcase_add_test(tc, whatever_is_cut_off_is_noticed);
	tcase_add_test(tc, names_that_point_at_themselves_are_noticed);
	tcase_add_test(tc, a_record_longer_than_its_target_is_malformed);
	tcase_add_test(tc, records_without_end_are_not_walked);
	return suite;
}

int
main(void)
{
	return fixture_run(make_suite());
}
