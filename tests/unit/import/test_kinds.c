/* SPDX-License-Identifier: MIT */
/*
 * The table has each attribute once.
 */
#include "config.h"

#include "import/kinds.h"

#include <check.h>
#include <string.h>
#include "rig.h"

START_TEST(each_attribute_stands_once)
{
	for (const struct kind *kind = kind_table(); kind->name != NULL; kind++)
		ck_assert_ptr_eq(kind_find(kind->name), kind);
	ck_assert_ptr_null(kind_find("no_such_attribute"));
}
END_TEST

START_TEST(what_may_stand_in_the_defaults_alone_stands_nowhere_else)
{
	for (const struct kind *kind = kind_table(); kind->name != NULL; kind++)
		ck_assert((kind->flags & KIND_DEFAULTS) == 0 || (kind->flags & KIND_DEFAULT) == 0);
}
END_TEST

START_TEST(lists_are_known_as_such)
{
	ck_assert(kind_find("only_from")->flags & KIND_LIST);
	ck_assert(!(kind_find("server_args")->flags & KIND_LIST));
	ck_assert(!(kind_find("server")->flags & KIND_DEFAULT));
}
END_TEST

static Suite *
kinds_suite(void)
{
	Suite *suite = suite_create("import/kinds");
	TCase *tc;

	tc = tcase_create("table");
	tcase_add_test(tc, each_attribute_stands_once);
	tcase_add_test(tc, what_may_stand_in_the_defaults_alone_stands_nowhere_else);
	tcase_add_test(tc, lists_are_known_as_such);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	return rig_run(kinds_suite());
}
