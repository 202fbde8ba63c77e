/* SPDX-License-Identifier: MIT */
/*
 * logring: order, bounds, wrapping, what it leaves resident, and a writer and a reader at the same time.
 */
#include "config.h"

#include "base/logring.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct logring *ring;

static void
set_up(void)
{
	ring = logring_new();
	ck_assert_ptr_nonnull(ring);
}

static void
tear_down(void)
{
	logring_free(&ring);
	ck_assert_ptr_null(ring);
}

/* A record that says who it is: its number, and then bytes that follow from it. */
static bool
push_number(unsigned number, size_t size)
{
	unsigned char body[LOGRING_RECORD_MAX];

	memset(body, (int)(number & 0xff), sizeof(body));
	return logring_push(ring, &number, sizeof(number), body, size - sizeof(number));
}

static void
expect_number(unsigned number, size_t size)
{
	size_t got = 0;
	const unsigned char *data = logring_peek(ring, &got);
	unsigned char body[LOGRING_RECORD_MAX];
	unsigned stored;

	ck_assert_ptr_nonnull(data);
	ck_assert_uint_eq(got, size);
	memcpy(&stored, data, sizeof(stored));
	ck_assert_uint_eq(stored, number);
	memset(body, (int)(number & 0xff), sizeof(body));
	ck_assert_mem_eq(data + sizeof(stored), body, size - sizeof(stored));
	logring_pop(ring);
}

/* Pages of the ring that are in memory. */
static unsigned
count_resident(void)
{
	unsigned char pages[sizeof(struct logring) / 4096 + 1];
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	unsigned count = 0;
	size_t i;

	ck_assert_int_eq(mincore(ring, sizeof(*ring), pages), 0);
	for (i = 0; i < (sizeof(*ring) + page - 1) / page; i++)
		count += pages[i] & 1;
	return count;
}

START_TEST(new_ring_is_empty)
{
	size_t size;

	ck_assert_ptr_null(logring_peek(ring, &size));
	ck_assert(!logring_is_closed(ring));
}
END_TEST

START_TEST(record_comes_out_as_it_went_in)
{
	const char *data;
	size_t size;

	ck_assert(logring_push(ring, "abc", 3, "defgh", 5));
	ck_assert(logring_push(ring, "x", 1, NULL, 0));
	data = logring_peek(ring, &size);
	ck_assert_uint_eq(size, 8);
	ck_assert_mem_eq(data, "abcdefgh", 8);
	logring_pop(ring);
	data = logring_peek(ring, &size);
	ck_assert_uint_eq(size, 1);
	ck_assert_int_eq(data[0], 'x');
	logring_pop(ring);
	ck_assert_ptr_null(logring_peek(ring, &size));
}
END_TEST

START_TEST(push_fails_when_full_and_keeps_what_was_there)
{
	unsigned pushed = 0;
	unsigned i;
	size_t size;

	while (push_number(pushed, 1000))
		pushed++;
	ck_assert_uint_eq(pushed, LOGRING_SIZE / 1008);
	ck_assert(!push_number(pushed, 1000));
	for (i = 0; i < pushed; i++)
		expect_number(i, 1000);
	ck_assert_ptr_null(logring_peek(ring, &size));
}
END_TEST

/* So many of 1016 bytes take a block's room. */
#define BLOCK_RECORDS 65u

START_TEST(room_of_popped_records_takes_others)
{
	unsigned pushed = 0;
	unsigned popped;
	unsigned again;

	while (push_number(pushed, 1016))
		pushed++;
	for (popped = 0; popped < pushed / 2; popped++)
		expect_number(popped, 1016);
	for (again = 0; push_number(pushed + again, 1016); again++)
		continue;
	ck_assert_uint_gt(again, 0);
	ck_assert_uint_le(again, popped);
	/* Room is given back in blocks: what has not filled one is still out. */
	ck_assert_uint_ge(again + BLOCK_RECORDS, popped);
	for (; popped < pushed + again; popped++)
		expect_number(popped, 1016);
}
END_TEST

START_TEST(records_of_all_sizes_survive_many_laps)
{
	unsigned first = 0, next = 0;
	size_t sizes[64];
	unsigned seed = 1;

	while (first < 20000) {
		size_t size;

		seed = seed * 1103515245u + 12345u;
		size = sizeof(unsigned) + (seed >> 8) % (LOGRING_RECORD_MAX - sizeof(unsigned) + 1);
		/* Bursts that fill it and pauses that empty it, so that both ways of wrapping are taken. */
		if (next - first < 64 && (seed >> 24) % 4 != 0 && push_number(next, size)) {
			sizes[next++ % 64] = size;
			continue;
		}
		while (first != next && (seed >> 28) != 0) {
			expect_number(first, sizes[first % 64]);
			first++;
			seed = seed * 1103515245u + 12345u;
		}
	}
}
END_TEST

/* What a block takes, and the ring's own page. */
#define BLOCK_PAGES_MAX 17u

START_TEST(new_ring_costs_a_page)
{
	ck_assert_uint_le(count_resident(), 1);
}
END_TEST

START_TEST(quiet_writer_stays_within_a_block)
{
	unsigned i;

	for (i = 0; i < 10000; i++) {
		ck_assert(push_number(i, 300));
		expect_number(i, 300);
	}
	ck_assert_uint_le(count_resident(), BLOCK_PAGES_MAX);
}
END_TEST

START_TEST(memory_of_a_burst_is_given_back)
{
	unsigned pushed = 0;
	unsigned i;

	while (push_number(pushed, 300))
		pushed++;
	ck_assert_uint_ge(count_resident(), 100);
	for (i = 0; i < pushed; i++)
		expect_number(i, 300);
	for (i = 0; i < 30; i++) {
		ck_assert(push_number(i, 300));
		expect_number(i, 300);
	}
	ck_assert_uint_le(count_resident(), BLOCK_PAGES_MAX);
}
END_TEST

START_TEST(burst_after_quiet_has_all_the_room)
{
	unsigned fresh = 0;
	unsigned after = 0;
	unsigned i;

	while (push_number(fresh, 300))
		fresh++;
	for (i = 0; i < fresh; i++)
		expect_number(i, 300);
	for (i = 0; i < 10; i++) {
		ck_assert(push_number(i, 300));
		expect_number(i, 300);
	}
	while (push_number(after, 300))
		after++;
	/* But for the block that the quiet time has begun, of eight. */
	ck_assert_uint_ge(after, fresh - fresh / 8 - 1);
}
END_TEST

START_TEST(closed_ring_still_gives_its_records)
{
	ck_assert(push_number(7, 100));
	logring_close(ring);
	ck_assert(logring_is_closed(ring));
	expect_number(7, 100);
}
END_TEST

#define THREAD_RECORDS 100000u

static void *
write_many(void *arg)
{
	unsigned i;

	(void)arg;
	for (i = 0; i < THREAD_RECORDS; i++)
		while (!push_number(i, 8 + i % 200))
			sched_yield();
	logring_close(ring);
	return NULL;
}

START_TEST(reader_beside_a_writer_gets_each_record_once_in_order)
{
	pthread_t writer;
	unsigned expected = 0;
	size_t size;

	ck_assert_int_eq(pthread_create(&writer, NULL, write_many, NULL), 0);
	for (;;) {
		bool closed = logring_is_closed(ring);

		while (logring_peek(ring, &size) != NULL) {
			expect_number(expected, 8 + expected % 200);
			expected++;
		}
		if (closed)
			break;
		sched_yield();
	}
	ck_assert_uint_eq(expected, THREAD_RECORDS);
	ck_assert_int_eq(pthread_join(writer, NULL), 0);
}
END_TEST

static void
add_case(Suite *suite, const char *name, const TTest *const *tests, size_t count)
{
	TCase *tcase = tcase_create(name);
	size_t i;

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 60);
	for (i = 0; i < count; i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
}

int
main(void)
{
	const TTest *const records[] = {new_ring_is_empty, record_comes_out_as_it_went_in,
		push_fails_when_full_and_keeps_what_was_there, room_of_popped_records_takes_others,
		records_of_all_sizes_survive_many_laps, closed_ring_still_gives_its_records};
	const TTest *const memory[] = {
		new_ring_costs_a_page, quiet_writer_stays_within_a_block, memory_of_a_burst_is_given_back,
		burst_after_quiet_has_all_the_room};
	const TTest *const threads[] = {reader_beside_a_writer_gets_each_record_once_in_order};
	Suite *suite = suite_create("base/logring");
	SRunner *runner = srunner_create(suite);
	int failed;

	add_case(suite, "records", records, CP_COUNT(records));
	add_case(suite, "memory", memory, CP_COUNT(memory));
	add_case(suite, "threads", threads, CP_COUNT(threads));
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
