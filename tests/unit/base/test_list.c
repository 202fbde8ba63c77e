/* SPDX-License-Identifier: MIT */
/*
 * Tests of base/list: order, removal from anywhere, and splicing.
 */
#include "config.h"

#include <stdlib.h>

#include <check.h>

#include "base/defs.h"
#include "base/list.h"

struct item {
	int number;
	struct list link;
};

static struct list head;
static struct item items[4];

static void
set_up(void)
{
	list_init(&head);
	for (int i = 0; i < 4; i++) {
		items[i] = (struct item){ .number = i };
		list_push_back(&head, &items[i].link);
	}
}

static void
tear_down(void)
{
}

static int
number_of(struct list *link)
{
	return CP_CONTAINER_OF(link, struct item, link)->number;
}

/* The numbers in order as decimal digits behind a 1. Both directions must agree. */
static int
read_list(struct list *from)
{
	struct list *link, *following;
	int forward = 1;
	int count = 0;

	LIST_FOREACH(from, link, following) {
		forward = forward * 10 + number_of(link);
		ck_assert_ptr_eq(link->next->prev, link);
		ck_assert_ptr_eq(link->prev->next, link);
		ck_assert_int_lt(++count, 100);
	}
	return forward;
}

START_TEST(new_head_is_empty)
{
	struct list other;

	list_init(&other);
	ck_assert(list_is_empty(&other));
	ck_assert_ptr_null(list_pop_front(&other));
	ck_assert_int_eq(read_list(&other), 1);
}
END_TEST

START_TEST(push_back_keeps_order)
{
	ck_assert(!list_is_empty(&head));
	ck_assert_int_eq(read_list(&head), 10123);
}
END_TEST

START_TEST(pop_front_takes_the_oldest)
{
	for (int i = 0; i < 4; i++) {
		struct list *link = list_pop_front(&head);

		ck_assert_int_eq(number_of(link), i);
		ck_assert(!list_is_linked(link));
	}
	ck_assert(list_is_empty(&head));
}
END_TEST

START_TEST(remove_takes_from_anywhere)
{
	list_remove(&items[1].link);
	ck_assert_int_eq(read_list(&head), 1023);
	list_remove(&items[3].link);
	ck_assert_int_eq(read_list(&head), 102);
	list_remove(&items[0].link);
	list_remove(&items[2].link);
	ck_assert(list_is_empty(&head));
	list_push_back(&head, &items[1].link);
	ck_assert_int_eq(read_list(&head), 11);
}
END_TEST

START_TEST(remove_of_an_unlinked_one_does_nothing)
{
	struct item zeroed = { .number = 0 };

	list_remove(&zeroed.link);
	ck_assert(!list_is_linked(&zeroed.link));
	list_remove(&items[1].link);
	list_remove(&items[1].link);
	ck_assert_int_eq(read_list(&head), 1023);
}
END_TEST

START_TEST(linked_tells_whether_it_is_in_a_list)
{
	struct item zeroed = { .number = 0 };

	ck_assert(!list_is_linked(&zeroed.link));
	list_init(&zeroed.link);
	ck_assert(!list_is_linked(&zeroed.link));
	ck_assert(list_is_linked(&items[0].link));
	list_remove(&items[0].link);
	ck_assert(!list_is_linked(&items[0].link));
}
END_TEST

START_TEST(splice_appends_everything_and_leaves_nothing)
{
	struct list to;

	list_init(&to);
	list_push_back(&to, list_pop_front(&head));
	list_splice_back(&to, &head);
	ck_assert_int_eq(read_list(&to), 10123);
	ck_assert(list_is_empty(&head));
	list_splice_back(&to, &head);
	ck_assert_int_eq(read_list(&to), 10123);
	list_splice_back(&head, &to);
	ck_assert_int_eq(read_list(&head), 10123);
	ck_assert(list_is_empty(&to));
}
END_TEST

START_TEST(foreach_may_remove_the_current_one)
{
	struct list *link, *following;
	int visited = 0;

	LIST_FOREACH(&head, link, following) {
		visited++;
		if (number_of(link) != 2)
			list_remove(link);
	}
	ck_assert_int_eq(visited, 4);
	ck_assert_int_eq(read_list(&head), 12);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("base/list");
	TCase *tc;
	SRunner *runner;
	int failed;

	tc = tcase_create("order");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, new_head_is_empty);
	tcase_add_test(tc, push_back_keeps_order);
	tcase_add_test(tc, pop_front_takes_the_oldest);
	suite_add_tcase(suite, tc);
	tc = tcase_create("removal");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, remove_takes_from_anywhere);
	tcase_add_test(tc, remove_of_an_unlinked_one_does_nothing);
	tcase_add_test(tc, linked_tells_whether_it_is_in_a_list);
	tcase_add_test(tc, foreach_may_remove_the_current_one);
	suite_add_tcase(suite, tc);
	tc = tcase_create("splice");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, splice_appends_everything_and_leaves_nothing);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
