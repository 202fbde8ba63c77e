/* SPDX-License-Identifier: MIT */
/*
 * No two listeners get one address.
 */
#include "config.h"

#include "import/claims.h"

#include <check.h>
#include <string.h>

#include "base/defs.h"
#include "import/arena.h"
#include "import/plan.h"
#include "rig.h"

static struct arena arena;

/* Whether the second is in the way of the first. */
static void
check_conflict(const char *first, const char *second, bool expected)
{
	struct claims claims = {.first = NULL};
	struct plan a = {.name = "a"}, b = {.name = "b"};

	words_split(&arena, &a.addresses, first);
	words_split(&arena, &b.addresses, second);
	ck_assert_ptr_null(claims_take(&arena, &claims, &a));
	ck_assert_msg((claims_take(&arena, &claims, &b) == &a) == expected, "%s and %s", first, second);
	arena_fini(&arena);
}

START_TEST(the_same_address_is_in_the_way)
{
	check_conflict("tcp:127.0.0.1:80", "tcp:127.0.0.1:80", true);
	check_conflict("tcp:*:80", "tcp:*:80", true);
	check_conflict("unix:/run/x", "unix:/run/x", true);
	check_conflict("tcp:host:80", "tcp:host:80", true);
	check_conflict("tcp:127.0.0.1:80 tcp:127.0.0.2:80", "tcp:127.0.0.3:80 tcp:127.0.0.2:80", true);
}
END_TEST

START_TEST(an_address_that_takes_another_in_is_in_the_way)
{
	check_conflict("tcp:*:80", "tcp:127.0.0.1:80", true);
	check_conflict("tcp:127.0.0.1:80", "tcp:*:80", true);
	check_conflict("tcp:0.0.0.0:80", "tcp:*:80", true);
	check_conflict("tcp:*:80", "tcp:[::]:80", true);
	check_conflict("tcp:*:80", "tcp:host:80", true);
	check_conflict("tcp:[::]:80", "tcp:[::1]:80", true);
}
END_TEST

START_TEST(others_are_not)
{
	check_conflict("tcp:*:80", "tcp:*:81", false);
	check_conflict("tcp:0.0.0.0:80", "tcp:[::]:80", false);
	check_conflict("tcp:127.0.0.1:80", "tcp:127.0.0.2:80", false);
	check_conflict("tcp:0.0.0.0:80", "tcp:host:80", false);
	check_conflict("unix:/run/x", "unix:/run/y", false);
}
END_TEST

START_TEST(one_that_is_in_the_way_takes_nothing)
{
	struct claims claims = {.first = NULL};
	struct plan a = {.name = "a"}, b = {.name = "b"}, c = {.name = "c"};

	words_add(&arena, &a.addresses, "tcp:*:80");
	words_split(&arena, &b.addresses, "tcp:*:81 tcp:*:80");
	words_add(&arena, &c.addresses, "tcp:*:81");
	ck_assert_ptr_null(claims_take(&arena, &claims, &a));
	ck_assert_ptr_eq(claims_take(&arena, &claims, &b), &a);
	ck_assert_ptr_null(claims_take(&arena, &claims, &c));
	arena_fini(&arena);
}
END_TEST

static Suite *
claims_suite(void)
{
	Suite *suite = suite_create("import/claims");
	TCase *tc;

	tc = tcase_create("conflicts");
	tcase_add_test(tc, the_same_address_is_in_the_way);
	tcase_add_test(tc, an_address_that_takes_another_in_is_in_the_way);
	tcase_add_test(tc, others_are_not);
	tcase_add_test(tc, one_that_is_in_the_way_takes_nothing);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	return rig_run(claims_suite());
}
