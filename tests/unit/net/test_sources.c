/* SPDX-License-Identifier: MIT */
/*
 * test_sources - connections counted by address: the limit, the table that follows what is in it, and no memory.
 */
#include "config.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "net/sources.h"
#include "netfixture.h"

#define MANY 5000u
#define ROUNDS 2000u

static struct sources *sources;

static void
set_up(void)
{
	sources = sources_new();
	ck_assert_ptr_nonnull(sources);
}

static void
tear_down(void)
{
	sources_free(&sources);
	ck_assert_ptr_null(sources);
}

static int
add(const char *host, uint64_t limit)
{
	struct peer peer;

	fixture_peer(&peer, host);
	return sources_add(sources, &peer, limit);
}

static void
take_back(const char *host)
{
	struct peer peer;

	fixture_peer(&peer, host);
	sources_remove(sources, &peer);
}

/* The number-th of many addresses. */
static struct peer
peer_of(uint32_t number)
{
	struct peer peer = {.family = AF_INET, .port = (uint16_t)number};
	uint32_t host = htonl(0x0a000000u + number);

	memcpy(peer.bytes, &host, sizeof(host));
	return peer;
}

/* ---- the limit ------------------------------------------------------------------ */

START_TEST(one_more_than_the_limit_is_refused)
{
	ck_assert_int_eq(add("192.0.2.1", 2), 0);
	ck_assert_int_eq(add("192.0.2.1", 2), 0);
	ck_assert_int_eq(add("192.0.2.1", 2), -EDQUOT);
	ck_assert_int_eq(add("192.0.2.2", 2), 0);
	ck_assert_uint_eq(sources_count(sources), 2);
}
END_TEST

START_TEST(one_taken_back_makes_room_for_one)
{
	ck_assert_int_eq(add("192.0.2.1", 1), 0);
	take_back("192.0.2.1");
	ck_assert_uint_eq(sources_count(sources), 0);
	ck_assert_int_eq(add("192.0.2.1", 1), 0);
	ck_assert_int_eq(add("192.0.2.1", 1), -EDQUOT);
}
END_TEST

START_TEST(a_refused_one_is_not_counted)
{
	ck_assert_int_eq(add("192.0.2.1", 1), 0);
	ck_assert_int_eq(add("192.0.2.1", 1), -EDQUOT);
	ck_assert_int_eq(add("192.0.2.1", 2), 0);
	take_back("192.0.2.1");
	take_back("192.0.2.1");
	ck_assert_uint_eq(sources_count(sources), 0);
}
END_TEST

START_TEST(a_lowered_limit_holds_for_the_next_one)
{
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(add("192.0.2.1", 5), 0);
	ck_assert_int_eq(add("192.0.2.1", 2), -EDQUOT);
}
END_TEST

START_TEST(no_limit_counts_all_the_same)
{
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(add("192.0.2.1", 0), 0);
	ck_assert_uint_eq(sources_count(sources), 1);
	ck_assert_int_eq(add("192.0.2.1", 100), -EDQUOT);
}
END_TEST

START_TEST(the_families_are_told_apart)
{
	/* c000:201:: has the bytes of 192.0.2.1 in front. */
	ck_assert_int_eq(add("192.0.2.1", 1), 0);
	ck_assert_int_eq(add("c000:201::", 1), 0);
	ck_assert_uint_eq(sources_count(sources), 2);
}
END_TEST

START_TEST(ports_are_not_told_apart)
{
	struct peer peer = peer_of(1);

	ck_assert_int_eq(sources_add(sources, &peer, 1), 0);
	peer.port++;
	ck_assert_int_eq(sources_add(sources, &peer, 1), -EDQUOT);
}
END_TEST

/* ---- growth ------------------------------------------------------------------------ */

START_TEST(every_one_of_many_is_found_again_while_the_table_grows_and_shrinks)
{
	for (uint32_t i = 0; i < MANY; i++) {
		struct peer peer = peer_of(i);

		ck_assert_int_eq(sources_add(sources, &peer, 1), 0);
	}
	ck_assert_uint_eq(sources_count(sources), MANY);
	for (uint32_t i = 0; i < MANY; i++) {
		struct peer peer = peer_of(i);

		ck_assert_int_eq(sources_add(sources, &peer, 1), -EDQUOT);
	}
	for (uint32_t i = 0; i < MANY; i++) {
		struct peer peer = peer_of((i * 7) % MANY);

		sources_remove(sources, &peer);
		ck_assert_uint_eq(sources_count(sources), MANY - i - 1);
	}
}
END_TEST

START_TEST(a_table_that_cannot_grow_or_shrink_works_on)
{
	for (uint32_t i = 0; i < MANY; i++) {
		struct peer peer = peer_of(i);

		/* The first allocation is the entry, the second, if there is one, the larger table. */
		mem_fail_after(2);
		ck_assert_int_eq(sources_add(sources, &peer, 1), 0);
	}
	for (uint32_t i = 0; i < MANY; i++) {
		struct peer peer = peer_of(i);

		mem_fail_after(1);
		sources_remove(sources, &peer);
	}
	mem_fail_after(0);
	ck_assert_uint_eq(sources_count(sources), 0);
	ck_assert_int_eq(add("192.0.2.1", 1), 0);
}
END_TEST

START_TEST(what_is_left_in_it_is_freed_with_it)
{
	for (uint32_t i = 0; i < MANY; i++) {
		struct peer peer = peer_of(i);

		ck_assert_int_eq(sources_add(sources, &peer, 0), 0);
	}
}
END_TEST

/* ---- memory -------------------------------------------------------------------------- */

START_TEST(no_memory_for_an_entry_is_told_and_leaves_nothing)
{
	mem_fail_after(1);
	ck_assert_int_eq(add("192.0.2.1", 1), -ENOMEM);
	ck_assert_uint_eq(sources_count(sources), 0);
	ck_assert_int_eq(add("192.0.2.1", 1), 0);
	/* One that is there already needs none. */
	mem_fail_after(1);
	ck_assert_int_eq(add("192.0.2.1", 2), 0);
}
END_TEST

START_TEST(no_memory_for_a_table_is_told)
{
	for (unsigned n = 1; n <= 2; n++) {
		mem_fail_after(n);
		ck_assert_ptr_null(sources_new());
	}
}
END_TEST

/* ---- threads --------------------------------------------------------------------------- */

static void *
remove_all(void *arg)
{
	struct sources *shared = arg;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		struct peer peer = peer_of(i);

		sources_remove(shared, &peer);
	}
	return NULL;
}

START_TEST(one_thread_adds_while_another_takes_back)
{
	pthread_t thread;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		struct peer peer = peer_of(i);

		ck_assert_int_eq(sources_add(sources, &peer, 0), 0);
	}
	ck_assert_int_eq(pthread_create(&thread, NULL, remove_all, sources), 0);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		struct peer peer = peer_of(MANY + i % 10);

		ck_assert_int_eq(sources_add(sources, &peer, 0), 0);
	}
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_uint_eq(sources_count(sources), 10);
}
END_TEST

static TCase *
sources_case(Suite *suite, const char *name)
{
	TCase *tc = fixture_case(suite, name);

	tcase_add_checked_fixture(tc, set_up, tear_down);
	return tc;
}

int
main(void)
{
	Suite *suite = suite_create("net/sources");
	TCase *tc = sources_case(suite, "limit");

	tcase_add_test(tc, one_more_than_the_limit_is_refused);
	tcase_add_test(tc, one_taken_back_makes_room_for_one);
	tcase_add_test(tc, a_refused_one_is_not_counted);
	tcase_add_test(tc, a_lowered_limit_holds_for_the_next_one);
	tcase_add_test(tc, no_limit_counts_all_the_same);
	tcase_add_test(tc, the_families_are_told_apart);
	tcase_add_test(tc, ports_are_not_told_apart);
	tc = sources_case(suite, "growth");
	tcase_add_test(tc, every_one_of_many_is_found_again_while_the_table_grows_and_shrinks);
	tcase_add_test(tc, a_table_that_cannot_grow_or_shrink_works_on);
	tcase_add_test(tc, what_is_left_in_it_is_freed_with_it);
	tc = sources_case(suite, "memory");
	tcase_add_test(tc, no_memory_for_an_entry_is_told_and_leaves_nothing);
	tcase_add_test(tc, no_memory_for_a_table_is_told);
	tc = sources_case(suite, "threads");
	tcase_add_test(tc, one_thread_adds_while_another_takes_back);
	return fixture_run(suite);
}
