/* SPDX-License-Identifier: MIT */
/*
 * test_resolve - watched names: first answers, changes, failures, SRV records, ends. The name server is dnsrig's, and
 * the clock stands still unless a test moves it.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../net/netfixture.h"
#include "base/address.h"
#include "base/clock.h"
#include "base/errmsg.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "dnsrig.h"
#include "upstream/resolve.h"

#define TIMEOUT_MS 3000u
#define RETRY_MS 5000u
#define MIN_TTL_MS 1000u
#define MAX_TTL_MS 600000u
#define MANY 100

/* What a watch was told last: "192.0.2.1:80 192.0.2.2:80*7+" is two, of which one has the weight 7 and is a backup. */
struct seen {
	struct resolver_watch *watch;
	unsigned calls;     /* with addresses */
	bool knows_of_none; /* the first look-up failed */
	size_t count;
	char text[4096];
};

static struct resolver *resolver;
static struct conf_resolver conf;
static char *servers[2];
static struct seen web;

static void
on_resolved(void *arg, const struct resolved *items, size_t count)
{
	struct seen *seen = arg;
	size_t used = 0;

	seen->count = count;
	seen->text[0] = '\0';
	if (count == 0) {
		ck_assert(!seen->knows_of_none && seen->calls == 0);
		seen->knows_of_none = true;
		return;
	}
	seen->calls++;
	ck_assert_uint_le(count, RESOLVED_MAX);
	for (size_t i = 0; i < count; i++) {
		char text[ADDRESS_TEXT_MAX];
		struct peer peer;

		peer_from_sockaddr(&peer, &items[i].address.sa, items[i].address.length);
		used += (size_t)snprintf(seen->text + used, sizeof(seen->text) - used, "%s%s", i > 0 ? " " : "",
			peer_format(&peer, text));
		if (items[i].weight != 1)
			used += (size_t)snprintf(seen->text + used, sizeof(seen->text) - used, "*%u", items[i].weight);
		used += (size_t)snprintf(
			seen->text + used, sizeof(seen->text) - used, "%s", items[i].backup ? "+" : "");
	}
}

static void
open_resolver(void)
{
	struct errmsg err;

	servers[0] = dns.servers;
	conf = (struct conf_resolver){.servers = {.items = servers, .count = 1},
		.timeout_ms = TIMEOUT_MS,
		.retry_ms = RETRY_MS,
		.min_ttl_ms = MIN_TTL_MS,
		.max_ttl_ms = MAX_TTL_MS};
	ck_assert_int_eq(resolver_new(&dns.loop, &conf, &resolver, &err), 0);
	memset(&web, 0, sizeof(web));
}

static void
close_resolver(void)
{
	mem_fail_after(0);
	resolver_unwatch(&web.watch);
	resolver_free(&resolver);
}

static void
watch(struct seen *seen, enum address_kind kind, const char *host, uint16_t port)
{
	char name[300];
	const struct address address = {.kind = kind, .host = name, .port = port};

	snprintf(name, sizeof(name), "%s", host);
	seen->watch = resolver_watch(resolver, &address, "upstream 'web'", on_resolved, seen);
	ck_assert_ptr_nonnull(seen->watch);
}

static void
watch_web(void)
{
	watch(&web, ADDRESS_TCP, "db.example", 80);
	ck_assert_uint_eq(web.calls, 0);
	dns_settle();
}

static void
watch_srv(void)
{
	watch(&web, ADDRESS_SRV, "_db._tcp.example", 0);
	dns_settle();
}

/* ---- answers ----------------------------------------------------------------------- */

START_TEST(all_addresses_of_a_name_are_told)
{
	dns_add("db.example", "AAAA", 60, "2001:db8::1");
	dns_add("db.example", "A", 60, "192.0.2.2");
	dns_add("db.example", "A", 60, "192.0.2.1");
	watch_web();
	ck_assert_uint_eq(web.calls, 1);
	ck_assert_str_eq(web.text, "192.0.2.1:80 192.0.2.2:80 [2001:db8::1]:80");
}
END_TEST

START_TEST(an_alias_is_followed)
{
	dns_add("db.example", "CNAME", 60, "host.example");
	dns_add("host.example", "A", 60, "192.0.2.9");
	watch_web();
	ck_assert_str_eq(web.text, "192.0.2.9:80");
}
END_TEST

START_TEST(a_name_is_looked_up_again_when_its_ttl_is_over)
{
	dns_add("db.example", "A", 300, "192.0.2.1");
	dns_add("db.example", "A", 60, "192.0.2.2");
	watch_web();
	ck_assert_uint_eq(dns.queries, 2);
	dns_advance_ms(59900);
	ck_assert_uint_eq(dns.queries, 2);
	dns_advance_ms(200);
	ck_assert_uint_eq(dns.queries, 4);
	ck_assert_uint_eq(web.calls, 1);
}
END_TEST

START_TEST(the_ttl_is_held_within_its_bounds)
{
	dns_add("db.example", "A", 0, "192.0.2.1");
	watch_web();
	dns_advance_ms(MIN_TTL_MS - 10);
	ck_assert_uint_eq(dns.queries, 2);
	dns_clear();
	dns_add("db.example", "A", 1000000, "192.0.2.1");
	dns_advance_ms(20);
	ck_assert_uint_eq(dns.queries, 4);
	dns_advance_ms(MAX_TTL_MS - 100);
	ck_assert_uint_eq(dns.queries, 4);
	dns_advance_ms(200);
	ck_assert_uint_eq(dns.queries, 6);
}
END_TEST

START_TEST(only_changes_are_told)
{
	dns_add("db.example", "A", 10, "192.0.2.1");
	dns_add("db.example", "A", 10, "192.0.2.2");
	watch_web();
	dns_clear();
	dns_add("db.example", "A", 20, "192.0.2.2");
	dns_add("db.example", "A", 20, "192.0.2.1");
	dns_advance_ms(11000);
	ck_assert_uint_eq(dns.queries, 4);
	ck_assert_uint_eq(web.calls, 1);
	dns_clear();
	dns_add("db.example", "A", 20, "192.0.2.2");
	dns_add("db.example", "A", 20, "192.0.2.3");
	dns_advance_ms(21000);
	ck_assert_uint_eq(web.calls, 2);
	ck_assert_str_eq(web.text, "192.0.2.2:80 192.0.2.3:80");
}
END_TEST

START_TEST(a_number_needs_no_name_server)
{
	watch(&web, ADDRESS_TCP, "192.0.2.7", 81);
	ck_assert_uint_eq(web.calls, 0);
	dns_settle();
	ck_assert_str_eq(web.text, "192.0.2.7:81");
	resolver_unwatch(&web.watch);
	watch(&web, ADDRESS_TCP, "2001:db8::7", 81);
	dns_settle();
	ck_assert_str_eq(web.text, "[2001:db8::7]:81");
	dns_advance_ms(59000);
	ck_assert_uint_eq(web.calls, 2);
	ck_assert_uint_eq(dns.queries, 0);
}
END_TEST

START_TEST(too_many_addresses_are_capped_and_that_is_said_once)
{
	char address[32];
	const char *log;

	for (unsigned i = 0; i < 70; i++) {
		snprintf(address, sizeof(address), "192.0.2.%u", 70 - i);
		dns_add("db.example", "A", 10, address);
	}
	fixture_capture();
	watch_web();
	dns_advance_ms(11000);
	log = fixture_captured();
	ck_assert_uint_eq(dns.queries, 4);
	ck_assert_uint_eq(web.count, RESOLVED_MAX);
	ck_assert_uint_eq(web.calls, 1);
	ck_assert_uint_eq(
		fixture_count(log, "upstream 'web': db.example has more servers than are used: 64 addresses"), 1);
	ck_assert_ptr_nonnull(strstr(web.text, "192.0.2.64:80"));
	ck_assert_ptr_null(strstr(web.text, "192.0.2.65:80"));
}
END_TEST

/* ---- failures ------------------------------------------------------------------------ */

START_TEST(a_failure_keeps_the_last_addresses_and_is_said_once)
{
	const char *log;

	dns_add("db.example", "A", 10, "192.0.2.1");
	dns_add("db.example", "A", 10, "192.0.2.2");
	fixture_capture();
	watch_web();
	dns.mode = (enum dns_mode)_i;
	dns_advance_ms(11000);
	dns_advance_ms(3 * (RETRY_MS + TIMEOUT_MS));
	dns.mode = DNS_ANSWERS;
	dns_advance_ms(RETRY_MS + TIMEOUT_MS);
	dns_advance_ms(11000);
	log = fixture_captured();
	ck_assert_uint_eq(web.calls, 1);
	ck_assert_str_eq(web.text, "192.0.2.1:80 192.0.2.2:80");
	ck_assert_uint_eq(fixture_count(log, "upstream 'web': cannot resolve db.example: "), 1);
	ck_assert_uint_eq(fixture_count(log, ", keeping its last addresses (2)"), 1);
	ck_assert_uint_eq(fixture_count(log, "upstream 'web': db.example resolves again (2 addresses)"), 1);
}
END_TEST

START_TEST(a_name_that_is_gone_keeps_its_last_addresses)
{
	const char *log;

	dns_add("db.example", "A", 10, "192.0.2.1");
	fixture_capture();
	watch_web();
	dns_clear();
	dns_advance_ms(11000);
	log = fixture_captured();
	ck_assert_uint_eq(web.calls, 1);
	ck_assert_uint_eq(fixture_count(log, ", keeping its last addresses (1)"), 1);
}
END_TEST

START_TEST(a_name_without_addresses_is_a_failure)
{
	const char *log;

	dns_add("db.example", "SRV", 10, "0 0 1 a.example");
	fixture_capture();
	watch_web();
	log = fixture_captured();
	ck_assert(web.knows_of_none);
	ck_assert_uint_eq(web.calls, 0);
	ck_assert_uint_eq(fixture_count(log, ", no address known yet"), 1);
}
END_TEST

START_TEST(a_failed_name_is_tried_again_after_retry)
{
	unsigned queries;

	watch_web();
	ck_assert(web.knows_of_none);
	queries = dns.queries;
	dns_add("db.example", "A", 10, "192.0.2.1");
	dns_advance_ms(RETRY_MS - 100);
	ck_assert_uint_eq(dns.queries, queries);
	dns_advance_ms(200);
	ck_assert_uint_eq(web.calls, 1);
}
END_TEST

START_TEST(silence_ends_at_the_timeout)
{
	const char *log;

	dns.mode = DNS_IS_SILENT;
	fixture_capture();
	watch_web();
	dns_advance_ms(TIMEOUT_MS / 2);
	/* Asked again in good time: a datagram may get lost. */
	ck_assert_uint_eq(dns.queries, 4);
	dns_advance_ms(TIMEOUT_MS / 2 + 10);
	log = fixture_captured();
	ck_assert_uint_eq(fixture_count(log, "cannot resolve db.example: "), 1);
	ck_assert_uint_eq(fixture_count(log, ", no address known yet"), 1);
}
END_TEST

START_TEST(no_descriptor_is_the_cause_that_is_told)
{
	const char *log;

	fixture_capture();
	fixture_exhaust_descriptors();
	watch_web();
	fixture_allow_descriptors();
	log = fixture_captured();
	ck_assert_uint_eq(fixture_count(log, "cannot resolve db.example: "), 1);
	dns_add("db.example", "A", 10, "192.0.2.1");
	dns_advance_ms(RETRY_MS + 10);
	ck_assert_uint_eq(web.calls, 1);
}
END_TEST

START_TEST(no_memory_fails_a_watch_or_a_look_up_and_passes)
{
	char host[] = "db.example";
	const struct address address = {.kind = ADDRESS_TCP, .host = host, .port = 80};
	struct resolver_watch *made = NULL;

	dns_add("db.example", "A", 10, "192.0.2.1");
	for (unsigned n = 1; n < 12; n++) {
		mem_fail_after(n);
		made = resolver_watch(resolver, &address, "upstream 'web'", on_resolved, &web);
		dns_settle();
		mem_fail_after(0);
		ck_assert(made != NULL || n <= 3);
		if (made != NULL)
			dns_advance_ms(RETRY_MS + TIMEOUT_MS);
		ck_assert_uint_eq(web.calls, made != NULL ? 1 : 0);
		resolver_unwatch(&made);
		web.knows_of_none = false;
		web.calls = 0;
	}
}
END_TEST

/* ---- SRV ------------------------------------------------------------------------------- */

START_TEST(srv_records_give_ports_weights_and_backups)
{
	dns_add("_db._tcp.example", "SRV", 60, "10 7 5432 a.example");
	dns_add("_db._tcp.example", "SRV", 60, "10 0 5433 b.example");
	dns_add("_db._tcp.example", "SRV", 60, "20 1 5434 c.example");
	dns_add("a.example", "A", 60, "192.0.2.1");
	dns_add("a.example", "AAAA", 60, "2001:db8::1");
	dns_add("b.example", "A", 60, "192.0.2.2");
	dns_add("c.example", "A", 60, "192.0.2.3");
	watch_srv();
	ck_assert_uint_eq(web.calls, 1);
	ck_assert_str_eq(web.text, "192.0.2.1:5432*7 192.0.2.2:5433 [2001:db8::1]:5432*7 192.0.2.3:5434+");
}
END_TEST

START_TEST(the_smallest_ttl_of_records_and_targets_counts)
{
	dns_add("_db._tcp.example", "SRV", 60, "10 1 5432 a.example");
	dns_add("a.example", "A", 20, "192.0.2.1");
	watch_srv();
	dns_clear();
	dns_add("_db._tcp.example", "SRV", 10, "10 1 5432 a.example");
	dns_add("a.example", "A", 60, "192.0.2.2");
	dns_advance_ms(20100);
	ck_assert_uint_eq(web.calls, 2);
	dns_clear();
	dns_add("_db._tcp.example", "SRV", 10, "10 2 5432 a.example");
	dns_add("a.example", "A", 60, "192.0.2.2");
	dns_advance_ms(10100);
	ck_assert_uint_eq(web.calls, 3);
	ck_assert_str_eq(web.text, "192.0.2.2:5432*2");
}
END_TEST

START_TEST(a_target_that_fails_keeps_its_own_last_addresses)
{
	const char *log;

	dns_add("_db._tcp.example", "SRV", 10, "10 1 5432 a.example");
	dns_add("_db._tcp.example", "SRV", 10, "10 1 5432 b.example");
	dns_add("a.example", "A", 60, "192.0.2.1");
	dns_add("b.example", "A", 60, "192.0.2.2");
	fixture_capture();
	watch_srv();
	dns_clear();
	dns_add("_db._tcp.example", "SRV", 10, "10 1 5432 a.example");
	dns_add("_db._tcp.example", "SRV", 10, "10 5 5432 b.example");
	dns_add("a.example", "A", 60, "192.0.2.7");
	dns_advance_ms(10100);
	log = fixture_captured();
	ck_assert_uint_eq(web.calls, 2);
	ck_assert_str_eq(web.text, "192.0.2.2:5432*5 192.0.2.7:5432");
	ck_assert_uint_eq(fixture_count(log, "cannot resolve b.example of _db._tcp.example: "), 1);
	ck_assert_uint_eq(fixture_count(log, ", keeping its last addresses (1)"), 1);
}
END_TEST

START_TEST(a_silent_target_does_not_hold_up_the_others_for_ever)
{
	dns_add("_db._tcp.example", "SRV", 10, "10 1 5432 a.example");
	dns_add("_db._tcp.example", "SRV", 10, "10 1 5432 b.example");
	dns_add("a.example", "A", 60, "192.0.2.1");
	dns.mode = DNS_IS_SILENT;
	dns.sick_name = "b.example";
	watch_srv();
	ck_assert_uint_eq(web.calls, 0);
	dns_advance_ms(TIMEOUT_MS + 10);
	ck_assert_uint_eq(web.calls, 1);
	ck_assert_str_eq(web.text, "192.0.2.1:5432");
}
END_TEST

START_TEST(srv_records_that_fail_keep_all)
{
	const char *log;

	dns_add("_db._tcp.example", "SRV", 10, "10 1 5432 a.example");
	dns_add("a.example", "A", 60, "192.0.2.1");
	fixture_capture();
	watch_srv();
	dns.mode = (enum dns_mode)_i;
	dns.sick_name = "_db._tcp.example";
	dns_advance_ms(10100);
	dns_advance_ms(TIMEOUT_MS + 10);
	log = fixture_captured();
	ck_assert_uint_eq(web.calls, 1);
	ck_assert_uint_eq(fixture_count(log, "cannot resolve _db._tcp.example: "), 1);
	ck_assert_uint_eq(fixture_count(log, ", keeping its last addresses (1)"), 1);
}
END_TEST

START_TEST(a_service_that_is_not_offered_is_a_failure)
{
	const char *log;

	dns_add("_db._tcp.example", "SRV", 10, "0 0 0 .");
	fixture_capture();
	watch_srv();
	log = fixture_captured();
	ck_assert_uint_eq(web.calls, 0);
	ck_assert_uint_eq(fixture_count(log, "its SRV records name no server, no address known yet"), 1);
}
END_TEST

START_TEST(too_many_targets_are_capped_and_that_is_said)
{
	char text[80];
	const char *log;

	for (unsigned i = 0; i < 36; i++) {
		snprintf(text, sizeof(text), "%u 1 80 n%u.example", i, i);
		dns_add("_db._tcp.example", "SRV", 10, text);
		snprintf(text, sizeof(text), "n%u.example", i);
		dns_add(text, "A", 10, "192.0.2.1");
	}
	fixture_capture();
	watch_srv();
	log = fixture_captured();
	ck_assert_str_eq(web.text, "192.0.2.1:80");
	ck_assert_uint_eq(fixture_count(log, "more servers than are used: 1 address of 32 names are"), 1);
}
END_TEST

/* ---- ends ------------------------------------------------------------------------------- */

START_TEST(a_watch_can_end_at_any_moment_of_a_look_up)
{
	dns_add("_db._tcp.example", "SRV", 10, "10 1 5432 a.example");
	dns_add("a.example", "A", 60, "192.0.2.1");
	for (int turns = 0; turns < 12; turns++) {
		watch(&web, ADDRESS_SRV, "_db._tcp.example", 0);
		for (int i = 0; i < turns; i++)
			fixture_turn(&dns.loop);
		resolver_unwatch(&web.watch);
		ck_assert_ptr_null(web.watch);
		dns_settle();
	}
	ck_assert_uint_ge(web.calls, 1);
	ck_assert_uint_lt(web.calls, 12);
}
END_TEST

START_TEST(many_names_take_turns)
{
	static struct seen many[MANY];
	char name[32], address[32];
	const int descriptors = fd_count_open();

	for (unsigned i = 0; i < MANY; i++) {
		memset(&many[i], 0, sizeof(many[i]));
		snprintf(name, sizeof(name), "n%u.example", i);
		snprintf(address, sizeof(address), "192.0.2.%u", i);
		dns_add(name, "A", 60, address);
		watch(&many[i], ADDRESS_TCP, name, 80);
	}
	ck_assert_int_le(fd_count_open(), descriptors + 40);
	for (unsigned i = 0; i < 20; i++)
		dns_settle();
	for (unsigned i = 0; i < MANY; i++)
		ck_assert_uint_eq(many[i].calls, 1);
	ck_assert_str_eq(many[MANY - 1].text, "192.0.2.99:80");
	ck_assert_int_eq(fd_count_open(), descriptors);
	for (unsigned i = 0; i < MANY; i++)
		resolver_unwatch(&many[i].watch);
}
END_TEST

START_TEST(many_watches_end_while_they_wait_for_their_turn)
{
	static struct seen many[MANY];

	dns.mode = DNS_IS_SILENT;
	for (unsigned i = 0; i < MANY; i++)
		watch(&many[i], ADDRESS_TCP, "db.example", 80);
	dns_settle();
	for (unsigned i = 0; i < MANY; i++)
		resolver_unwatch(&many[i].watch);
}
END_TEST

/* ---- settings ----------------------------------------------------------------------------- */

START_TEST(nothing_is_opened_before_the_first_watch)
{
	const int descriptors = fd_count_open();
	struct resolver *other;
	struct errmsg err;

	ck_assert_int_eq(resolver_new(&dns.loop, &conf, &other, &err), 0);
	dns_settle();
	ck_assert_int_eq(fd_count_open(), descriptors);
	resolver_free(&other);
	ck_assert_ptr_null(other);
	resolver_free(&other);
}
END_TEST

START_TEST(changed_settings_hold_for_the_next_look_up)
{
	struct errmsg err;

	dns_add("db.example", "A", 1000, "192.0.2.1");
	servers[0] = (char[]){"127.0.0.1:9"};
	conf.retry_ms = 1000;
	ck_assert_int_eq(resolver_configure(resolver, &conf, &err), 0);
	watch_web();
	ck_assert_uint_eq(web.calls, 0);
	servers[0] = dns.servers;
	servers[1] = (char[]){"[::1]:9"};
	conf.servers.count = 2;
	conf.max_ttl_ms = 10000;
	ck_assert_int_eq(resolver_configure(resolver, &conf, &err), 0);
	dns_advance_ms(TIMEOUT_MS + 1100);
	ck_assert_uint_eq(web.calls, 1);
	ck_assert_uint_eq(dns.queries, 2);
	dns_advance_ms(10100);
	ck_assert_uint_eq(dns.queries, 4);
}
END_TEST

START_TEST(bad_servers_are_an_error_and_change_nothing)
{
	struct errmsg err = {.text = ""};

	servers[0] = (char[]){"not an address"};
	ck_assert_int_eq(resolver_configure(resolver, &conf, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "not an address"));
	dns_add("db.example", "A", 1000, "192.0.2.1");
	watch_web();
	ck_assert_uint_eq(web.calls, 1);
}
END_TEST

START_TEST(no_memory_for_settings_is_an_error)
{
	struct resolver *other;
	struct errmsg err = {.text = ""};

	for (unsigned n = 1; n <= 2; n++) {
		mem_fail_after(n);
		ck_assert_int_eq(resolver_new(&dns.loop, &conf, &other, &err), -ENOMEM);
		ck_assert_str_ne(err.text, "");
	}
}
END_TEST

static TCase *
add_case(Suite *suite, const char *name)
{
	TCase *tc = dns_case(suite, name);

	tcase_add_checked_fixture(tc, open_resolver, close_resolver);
	return tc;
}

static void
add_answers(Suite *suite)
{
	TCase *tc = add_case(suite, "answers");

	tcase_add_test(tc, all_addresses_of_a_name_are_told);
	tcase_add_test(tc, an_alias_is_followed);
	tcase_add_test(tc, a_name_is_looked_up_again_when_its_ttl_is_over);
	tcase_add_test(tc, the_ttl_is_held_within_its_bounds);
	tcase_add_test(tc, only_changes_are_told);
	tcase_add_test(tc, a_number_needs_no_name_server);
	tcase_add_test(tc, too_many_addresses_are_capped_and_that_is_said_once);
	tc = add_case(suite, "failures");
	tcase_add_loop_test(
		tc, a_failure_keeps_the_last_addresses_and_is_said_once, DNS_IS_SILENT, DNS_SENDS_NO_MESSAGE + 1);
	tcase_add_test(tc, a_name_that_is_gone_keeps_its_last_addresses);
	tcase_add_test(tc, a_name_without_addresses_is_a_failure);
	tcase_add_test(tc, a_failed_name_is_tried_again_after_retry);
	tcase_add_test(tc, silence_ends_at_the_timeout);
	tcase_add_test(tc, no_descriptor_is_the_cause_that_is_told);
	tcase_add_test(tc, no_memory_fails_a_watch_or_a_look_up_and_passes);
}

static Suite *
make_suite(void)
{
	Suite *suite = suite_create("upstream/resolve");
	TCase *tc;

	add_answers(suite);
	tc = add_case(suite, "srv");
	tcase_add_test(tc, srv_records_give_ports_weights_and_backups);
	tcase_add_test(tc, the_smallest_ttl_of_records_and_targets_counts);
	tcase_add_test(tc, a_target_that_fails_keeps_its_own_last_addresses);
	tcase_add_test(tc, a_silent_target_does_not_hold_up_the_others_for_ever);
	tcase_add_loop_test(tc, srv_records_that_fail_keep_all, DNS_IS_SILENT, DNS_SENDS_NO_MESSAGE + 1);
	tcase_add_test(tc, a_service_that_is_not_offered_is_a_failure);
	tcase_add_test(tc, too_many_targets_are_capped_and_that_is_said);
	tc = add_case(suite, "ends");
	tcase_add_test(tc, a_watch_can_end_at_any_moment_of_a_look_up);
	tcase_add_test(tc, many_names_take_turns);
	tcase_add_test(tc, many_watches_end_while_they_wait_for_their_turn);
	tc = add_case(suite, "settings");
	tcase_add_test(tc, nothing_is_opened_before_the_first_watch);
	tcase_add_test(tc, changed_settings_hold_for_the_next_look_up);
	tcase_add_test(tc, bad_servers_are_an_error_and_change_nothing);
	tcase_add_test(tc, no_memory_for_settings_is_an_error);
	return suite;
}

int
main(void)
{
	return fixture_run(make_suite());
}
