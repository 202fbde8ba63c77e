/* SPDX-License-Identifier: MIT */
/*
 * Tests of base/slab: slots are zeroed and distinct, chunks come and go with them, and misuse is found.
 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef CP_ASAN
#include <sanitizer/asan_interface.h>
#endif

#include <check.h>

#include "base/mem.h"
#include "base/slab.h"
#include "tests/unit/base/aborts.h"

#define SLOT_BYTES 384
#define MANY 5000

struct slot {
	int number;
	char rest[SLOT_BYTES - sizeof(int)];
};

static struct slab slab;
static struct slot *slots[MANY];
static int visits[MANY];

static void
set_up(void)
{
	mem_fail_after(0);
	slab_init(&slab, sizeof(struct slot));
}

static void
tear_down(void)
{
	slab_fini(&slab);
}

static void
alloc_many(int count)
{
	for (int i = 0; i < count; i++) {
		slots[i] = slab_alloc(&slab);
		ck_assert_ptr_nonnull(slots[i]);
		slots[i]->number = i;
	}
}

static void
free_many(int count)
{
	for (int i = 0; i < count; i++)
		slab_free(slots[i]);
}

static unsigned
count_chunks(void)
{
	struct list *link, *following;
	unsigned count = 0;

	LIST_FOREACH(&slab.chunks, link, following)
		count++;
	return count;
}

static void
count_visit(void *slot, void *arg)
{
	(void)arg;
	visits[((struct slot *)slot)->number]++;
}

static void
count_visit_and_free_every_nth(void *slot, void *arg)
{
	struct slot *visited = slot;

	visits[visited->number]++;
	if (visited->number % *(int *)arg == 0)
		slab_free(visited);
}

static void
free_twice(void *arg)
{
	slab_free(arg);
	slab_free(arg);
}

static void
free_slot(void *arg)
{
	slab_free(arg);
}

static void
finish(void *arg)
{
	slab_fini(arg);
}

static void
init_with_size(void *arg)
{
	struct slab other;

	slab_init(&other, *(size_t *)arg);
}

START_TEST(slots_are_zeroed_also_when_used_again)
{
	static const char zeros[SLOT_BYTES];

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 1000; i++) {
			slots[i] = slab_alloc(&slab);
			ck_assert_int_eq(memcmp(slots[i], zeros, SLOT_BYTES), 0);
			memset(slots[i], 0xa5, SLOT_BYTES);
		}
		free_many(1000);
	}
}
END_TEST

START_TEST(slots_are_aligned_and_do_not_overlap)
{
	alloc_many(MANY);
	for (int i = 0; i < MANY; i++) {
		ck_assert_uint_eq((uintptr_t)slots[i] % 16, 0);
		memset(slots[i]->rest, i & 0xff, sizeof(slots[i]->rest));
	}
	for (int i = 0; i < MANY; i++) {
		ck_assert_int_eq(slots[i]->number, i);
		ck_assert_int_eq(slots[i]->rest[0], (char)(i & 0xff));
		ck_assert_int_eq(slots[i]->rest[sizeof(slots[i]->rest) - 1], (char)(i & 0xff));
	}
	free_many(MANY);
}
END_TEST

START_TEST(every_size_fits_its_chunk)
{
	static const size_t sizes[] = { 1, 8, 16, 17, 100, 128, 1000, 1024, 4096, 8191, SLAB_SLOT_MAX_BYTES };
	static char *kept[MANY];

	for (size_t i = 0; i < CP_COUNT(sizes); i++) {
		struct slab other;

		slab_init(&other, sizes[i]);
		for (int n = 0; n < MANY; n++) {
			kept[n] = slab_alloc(&other);
			memset(kept[n], 0xff, sizes[i]);
			ck_assert_uint_le((uintptr_t)kept[n] % SLAB_CHUNK_BYTES + sizes[i], SLAB_CHUNK_BYTES);
		}
		ck_assert_uint_eq(slab_count(&other), MANY);
		for (int n = 0; n < MANY; n++)
			slab_free(kept[n]);
		slab_fini(&other);
	}
}
END_TEST

START_TEST(count_follows)
{
	ck_assert_uint_eq(slab_count(&slab), 0);
	alloc_many(300);
	ck_assert_uint_eq(slab_count(&slab), 300);
	free_many(299);
	ck_assert_uint_eq(slab_count(&slab), 1);
	slab_free(slots[299]);
	slab_free(NULL);
	ck_assert_uint_eq(slab_count(&slab), 0);
}
END_TEST

START_TEST(a_slot_costs_little_beside_itself)
{
	alloc_many(MANY);
	/* 5000 * 384 bytes are 29.3 chunks. */
	ck_assert_uint_eq(count_chunks(), 30);
	free_many(MANY);
}
END_TEST

START_TEST(one_empty_chunk_is_kept_after_a_burst)
{
	alloc_many(MANY);
	free_many(MANY);
	ck_assert_uint_eq(count_chunks(), 1);
	slots[0] = slab_alloc(&slab);
	ck_assert_uint_eq(count_chunks(), 1);
	slab_free(slots[0]);
	ck_assert_uint_eq(count_chunks(), 1);
}
END_TEST

START_TEST(room_in_chunks_is_used_before_a_new_one)
{
	unsigned chunks;

	alloc_many(MANY);
	chunks = count_chunks();
	for (int i = 0; i < MANY; i += 3)
		slab_free(slots[i]);
	ck_assert_uint_eq(count_chunks(), chunks);
	for (int i = 0; i < MANY; i += 3)
		slots[i] = slab_alloc(&slab);
	ck_assert_uint_eq(count_chunks(), chunks);
	free_many(MANY);
}
END_TEST

START_TEST(random_use_keeps_contents_apart)
{
	unsigned random = 1;

	memset(slots, 0, sizeof(slots));
	for (int round = 0; round < 100000; round++) {
		random = random * 1103515245 + 12345;
		int i = (int)(random >> 8) % MANY;

		if (slots[i] != NULL) {
			ck_assert_int_eq(slots[i]->number, i);
			slab_free(slots[i]);
			slots[i] = NULL;
		} else {
			slots[i] = slab_alloc(&slab);
			ck_assert_int_eq(slots[i]->number, 0);
			slots[i]->number = i;
		}
	}
	free_many(MANY);
	ck_assert_uint_eq(slab_count(&slab), 0);
	ck_assert_uint_eq(count_chunks(), 1);
}
END_TEST

START_TEST(alloc_fails_when_told_to)
{
	mem_fail_after(1);
	ck_assert_ptr_null(slab_alloc(&slab));
	ck_assert_uint_eq(slab_count(&slab), 0);
	alloc_many(10);
	mem_fail_after(2);
	slots[10] = slab_alloc(&slab);
	ck_assert_ptr_nonnull(slots[10]);
	ck_assert_ptr_null(slab_alloc(&slab));
	ck_assert_uint_eq(slab_count(&slab), 11);
	free_many(11);
}
END_TEST

START_TEST(alloc_fails_when_nothing_can_be_mapped)
{
#if !defined(CP_ASAN) && !defined(CP_TSAN)
	struct rlimit before, low;

	ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
	low = before;
	low.rlim_cur = 0;
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &low), 0);
	ck_assert_ptr_null(slab_alloc(&slab));
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
	slots[0] = slab_alloc(&slab);
	ck_assert_ptr_nonnull(slots[0]);
	slab_free(slots[0]);
#endif
}
END_TEST

START_TEST(foreach_visits_each_used_slot_once)
{
	memset(visits, 0, sizeof(visits));
	slab_foreach(&slab, count_visit, NULL);
	alloc_many(1000);
	for (int i = 0; i < 1000; i += 2)
		slab_free(slots[i]);
	slab_foreach(&slab, count_visit, NULL);
	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(visits[i], i % 2);
	for (int i = 1; i < 1000; i += 2)
		slab_free(slots[i]);
}
END_TEST

START_TEST(foreach_lets_fn_free_its_slot)
{
	for (int nth = 3; nth > 0; nth--) {
		memset(visits, 0, sizeof(visits));
		alloc_many(MANY);
		slab_foreach(&slab, count_visit_and_free_every_nth, &nth);
		for (int i = 0; i < MANY; i++) {
			ck_assert_int_eq(visits[i], 1);
			if (i % nth != 0)
				slab_free(slots[i]);
		}
		ck_assert_uint_eq(slab_count(&slab), 0);
		ck_assert_uint_eq(count_chunks(), 1);
	}
}
END_TEST

START_TEST(freeing_twice_aborts)
{
	alloc_many(2);
	ck_assert(aborts_saying(free_twice, slots[1], "in slab_free()"));
	free_many(2);
}
END_TEST

START_TEST(freeing_the_middle_of_a_slot_aborts)
{
	alloc_many(1);
	ck_assert(aborts_saying(free_slot, (char *)slots[0] + 16, "in slab_free()"));
	free_many(1);
}
END_TEST

START_TEST(finishing_with_slots_in_use_aborts)
{
	alloc_many(1);
	ck_assert(aborts_saying(finish, &slab, "slab->count == 0"));
	free_many(1);
}
END_TEST

START_TEST(sizes_out_of_range_abort)
{
	size_t size = 0;

	ck_assert(aborts_saying(init_with_size, &size, "in slab_init()"));
	size = SLAB_SLOT_MAX_BYTES + 1;
	ck_assert(aborts_saying(init_with_size, &size, "in slab_init()"));
}
END_TEST

START_TEST(free_slots_are_poisoned_for_address_sanitizer)
{
#ifdef CP_ASAN
	alloc_many(2);
	ck_assert_ptr_null(__asan_region_is_poisoned(slots[0], sizeof(*slots[0])));
	slab_free(slots[0]);
	ck_assert(__asan_address_is_poisoned(slots[0]));
	ck_assert(__asan_address_is_poisoned((char *)slots[0] + SLOT_BYTES - 1));
	ck_assert(!__asan_address_is_poisoned(slots[1]));
	ck_assert(__asan_address_is_poisoned((char *)slots[1] + SLOT_BYTES));
	slab_free(slots[1]);
#endif
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("base/slab");
	TCase *tc;
	SRunner *runner;
	int failed;

	tc = tcase_create("slots");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, slots_are_zeroed_also_when_used_again);
	tcase_add_test(tc, slots_are_aligned_and_do_not_overlap);
	tcase_add_test(tc, every_size_fits_its_chunk);
	tcase_add_test(tc, count_follows);
	tcase_add_test(tc, random_use_keeps_contents_apart);
	suite_add_tcase(suite, tc);
	tc = tcase_create("chunks");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_slot_costs_little_beside_itself);
	tcase_add_test(tc, one_empty_chunk_is_kept_after_a_burst);
	tcase_add_test(tc, room_in_chunks_is_used_before_a_new_one);
	suite_add_tcase(suite, tc);
	tc = tcase_create("memory");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, alloc_fails_when_told_to);
	tcase_add_test(tc, alloc_fails_when_nothing_can_be_mapped);
	suite_add_tcase(suite, tc);
	tc = tcase_create("foreach");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, foreach_visits_each_used_slot_once);
	tcase_add_test(tc, foreach_lets_fn_free_its_slot);
	suite_add_tcase(suite, tc);
	tc = tcase_create("misuse");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, freeing_twice_aborts);
	tcase_add_test(tc, freeing_the_middle_of_a_slot_aborts);
	tcase_add_test(tc, finishing_with_slots_in_use_aborts);
	tcase_add_test(tc, sizes_out_of_range_abort);
	tcase_add_test(tc, free_slots_are_poisoned_for_address_sanitizer);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
