/* SPDX-License-Identifier: MIT */
/*
 * Settings in their order, and a state that only goes one way.
 */
#include "config.h"

#include "import/plan.h"

#include <check.h>
#include <string.h>

#include "import/arena.h"
#include "rig.h"

static struct arena arena;

START_TEST(settings_keep_their_order)
{
	struct plan plan = {.name = "x"};

	plan_set(&arena, &plan.settings, "b", "%d", 1);
	plan_set(&arena, &plan.settings, "a", "\"%s\"", "two");
	ck_assert_str_eq(plan.settings->key, "b");
	ck_assert_str_eq(plan_get(plan.settings, "a"), "\"two\"");
	ck_assert_ptr_null(plan_get(plan.settings, "c"));
	plan_set(&arena, &plan.settings, "b", "%d", 3);
	ck_assert_str_eq(plan.settings->value, "3");
	ck_assert_ptr_null(plan.settings->next->next);
	plan_note(&arena, &plan, "%s: why", "cps");
	ck_assert_str_eq(plan.notes.items[0], "cps: why");
	arena_fini(&arena);
}
END_TEST

START_TEST(the_first_reason_of_the_furthest_state_stays)
{
	struct plan plan = {.name = "x"};

	plan_demote(&arena, &plan, PLAN_INACTIVE, "one");
	plan_demote(&arena, &plan, PLAN_INACTIVE, "two");
	ck_assert_str_eq(plan.reason, "one");
	plan_demote(&arena, &plan, PLAN_DISABLED, "three");
	plan_demote(&arena, &plan, PLAN_INACTIVE, "four");
	ck_assert_int_eq(plan.state, PLAN_DISABLED);
	ck_assert_str_eq(plan.reason, "three");
	ck_assert(!plan.is_foreign);
	arena_fini(&arena);
}
END_TEST

START_TEST(a_disabled_one_may_be_foreign_too)
{
	struct plan plan = {.name = "x"};

	plan_demote(&arena, &plan, PLAN_DISABLED, "off");
	plan_demote(&arena, &plan, PLAN_FOREIGN, "udp");
	ck_assert_int_eq(plan.state, PLAN_DISABLED);
	ck_assert_str_eq(plan.reason, "off");
	ck_assert(plan.is_foreign);
	arena_fini(&arena);
}
END_TEST

static Suite *
plan_suite(void)
{
	Suite *suite = suite_create("import/plan");
	TCase *tc;

	tc = tcase_create("settings");
	tcase_add_test(tc, settings_keep_their_order);
	suite_add_tcase(suite, tc);
	tc = tcase_create("states");
	tcase_add_test(tc, the_first_reason_of_the_furthest_state_stays);
	tcase_add_test(tc, a_disabled_one_may_be_foreign_too);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	return rig_run(plan_suite());
}
