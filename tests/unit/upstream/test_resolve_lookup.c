/* SPDX-License-Identifier: MIT */
/*
 * test_resolve_lookup - one look-up: its answer, its causes, its deadline, and that it can be given up at any moment.
 * What names do over time is in test_resolve.c.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "../net/netfixture.h"
#include "base/errmsg.h"
#include "base/mem.h"
#include "dnsrig.h"
#include "upstream/resolve_lookup.h"

#define TIMEOUT_MS 3000u
#define FDS_MAX 64

static struct lookup *lookup;
static struct lookup_request request;
static struct errmsg err;

/* What done() was told. */
static unsigned calls;
static size_t target_count;
static size_t address_count;
static uint64_t ttl_ms;
static char cause[128];
static char target_cause[128];
static bool frees_inside;

static void
on_done(void *arg, struct lookup_answer *answer)
{
	ck_assert_ptr_eq(arg, &calls);
	calls++;
	target_count = answer->target_count;
	address_count = answer->set.count;
	ttl_ms = answer->ttl_ms;
	snprintf(cause, sizeof(cause), "%s", answer->cause != NULL ? answer->cause : "");
	if (answer->target_count > 0 && answer->targets[0].cause != NULL)
		snprintf(target_cause, sizeof(target_cause), "%s", answer->targets[0].cause);
	if (frees_inside)
		lookup_free(&lookup);
}

static void
open_library(void)
{
	ck_assert_int_eq(lookup_library_open(&err), 0);
	request = (struct lookup_request){
		.name = "db.example", .port = 80, .servers = dns.servers, .server_count = 1, .timeout_ms = TIMEOUT_MS};
	calls = 0;
	frees_inside = true;
	cause[0] = target_cause[0] = err.text[0] = '\0';
}

static void
close_library(void)
{
	mem_fail_after(0);
	lookup_free(&lookup);
	lookup_library_close();
}

static int
begin(void)
{
	return lookup_new(&dns.loop, &request, on_done, &calls, &lookup, &err);
}

START_TEST(a_name_is_its_own_target)
{
	dns_add("db.example", "A", 60, "192.0.2.1");
	dns_add("db.example", "AAAA", 30, "2001:db8::1");
	ck_assert_int_eq(begin(), 0);
	dns_settle();
	ck_assert_uint_eq(calls, 1);
	ck_assert_uint_eq(target_count, 1);
	ck_assert_uint_eq(address_count, 2);
	ck_assert_uint_eq(ttl_ms, 30000);
	ck_assert_str_eq(cause, "");
	ck_assert_ptr_null(lookup);
}
END_TEST

START_TEST(the_answer_holds_until_it_is_freed_and_comes_once)
{
	frees_inside = false;
	dns_add("db.example", "A", 60, "192.0.2.1");
	ck_assert_int_eq(begin(), 0);
	dns_settle();
	dns_advance_ms(2 * TIMEOUT_MS);
	ck_assert_uint_eq(calls, 1);
	lookup_free(&lookup);
	ck_assert_ptr_null(lookup);
}
END_TEST

START_TEST(what_is_no_question_for_a_name_server_lasts_a_minute)
{
	request.name = "192.0.2.1";
	ck_assert_int_eq(begin(), 0);
	ck_assert_uint_eq(calls, 0);
	dns_settle();
	ck_assert_uint_eq(calls, 1);
	ck_assert_uint_eq(ttl_ms, 60000);
	ck_assert_uint_eq(dns.queries, 0);
}
END_TEST

START_TEST(a_target_says_why_it_has_no_addresses)
{
	ck_assert_int_eq(begin(), 0);
	dns_settle();
	ck_assert_uint_eq(calls, 1);
	ck_assert_uint_eq(address_count, 0);
	ck_assert_str_eq(target_cause, "Domain name not found");
}
END_TEST

START_TEST(a_name_that_is_none_is_an_answer_too)
{
	char name[400];

	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	request.name = name;
	request.is_srv = _i != 0;
	ck_assert_int_eq(begin(), 0);
	ck_assert_uint_eq(calls, 0);
	dns_settle();
	ck_assert_uint_eq(calls, 1);
	ck_assert_str_ne(_i != 0 ? cause : target_cause, "");
}
END_TEST

START_TEST(the_deadline_ends_what_the_servers_draw_out)
{
	/* So many dead servers that c-ares would be at it for longer. */
	char text[512] = "";

	for (unsigned i = 0; i < 12; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i > 0 ? "," : "", dns.servers);
	dns.mode = DNS_IS_SILENT;
	request.servers = text;
	request.server_count = 12;
	request.is_srv = _i != 0;
	ck_assert_int_eq(begin(), 0);
	dns_advance_ms(TIMEOUT_MS - 10);
	ck_assert_uint_eq(calls, 0);
	dns_advance_ms(20);
	ck_assert_uint_eq(calls, 1);
	ck_assert_str_eq(_i != 0 ? cause : target_cause, "timed out");
}
END_TEST

START_TEST(a_malformed_answer_has_a_cause)
{
	dns_add("_db._tcp.example", "SRV", 10, "10 1 5432 a.example");
	request.name = "_db._tcp.example";
	request.is_srv = true;
	dns.mode = DNS_SENDS_GARBAGE;
	ck_assert_int_eq(begin(), 0);
	dns_settle();
	ck_assert_uint_eq(calls, 1);
	ck_assert_str_eq(cause, "the answer is malformed");
}
END_TEST

START_TEST(sockets_are_neither_inherited_nor_blocking)
{
	bool was_open[FDS_MAX];
	unsigned opened = 0;

	for (int fd = 0; fd < FDS_MAX; fd++)
		was_open[fd] = fcntl(fd, F_GETFD) >= 0;
	dns.mode = DNS_IS_SILENT;
	ck_assert_int_eq(begin(), 0);
	for (int fd = 0; fd < FDS_MAX; fd++) {
		if (was_open[fd] || fcntl(fd, F_GETFD) < 0)
			continue;
		opened++;
		ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
		ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	}
	ck_assert_uint_ge(opened, 1);
}
END_TEST

START_TEST(servers_that_are_none_are_an_error)
{
	request.servers = "nonsense";
	ck_assert_int_eq(begin(), -EINVAL);
	ck_assert_ptr_null(lookup);
	ck_assert_ptr_nonnull(strstr(err.text, "nonsense"));
	ck_assert_int_eq(lookup_check_servers("nonsense", &err), -EINVAL);
	ck_assert_int_eq(lookup_check_servers("192.0.2.53,[2001:db8::53]:5353", &err), 0);
}
END_TEST

START_TEST(without_servers_those_of_the_system_are_asked)
{
	request.servers = NULL;
	request.server_count = 0;
	ck_assert_int_eq(begin(), 0);
	lookup_free(&lookup);
	ck_assert_uint_eq(calls, 0);
}
END_TEST

START_TEST(no_memory_is_an_error_or_a_cause)
{
	dns_add("_db._tcp.example", "SRV", 10, "10 1 5432 a.example");
	dns_add("a.example", "A", 10, "192.0.2.1");
	request.name = "_db._tcp.example";
	request.is_srv = true;
	for (unsigned n = 1; n <= 6; n++) {
		calls = 0;
		mem_fail_after(n);
		if (begin() == 0) {
			dns_settle();
			dns_advance_ms(TIMEOUT_MS + 10);
			ck_assert_uint_eq(calls, 1);
		} else {
			ck_assert_uint_le(n, 3);
			ck_assert_str_ne(err.text, "");
		}
		mem_fail_after(0);
		ck_assert_ptr_null(lookup);
	}
}
END_TEST

static Suite *
make_suite(void)
{
	Suite *suite = suite_create("upstream/resolve_lookup");
	TCase *tc = dns_case(suite, "look_up");

	tcase_add_checked_fixture(tc, open_library, close_library);
	tcase_add_test(tc, a_name_is_its_own_target);
	tcase_add_test(tc, the_answer_holds_until_it_is_freed_and_comes_once);
	tcase_add_test(tc, what_is_no_question_for_a_name_server_lasts_a_minute);
	tcase_add_test(tc, a_target_says_why_it_has_no_addresses);
	tcase_add_loop_test(tc, a_name_that_is_none_is_an_answer_too, 0, 2);
	tcase_add_loop_test(tc, the_deadline_ends_what_the_servers_draw_out, 0, 2);
	tcase_add_test(tc, a_malformed_answer_has_a_cause);
	tcase_add_test(tc, sockets_are_neither_inherited_nor_blocking);
	tcase_add_test(tc, servers_that_are_none_are_an_error);
	tcase_add_test(tc, without_servers_those_of_the_system_are_asked);
	tcase_add_test(tc, no_memory_is_an_error_or_a_cause);
	return suite;
}

int
main(void)
{
	return fixture_run(make_suite());
}
