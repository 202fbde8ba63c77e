/* SPDX-License-Identifier: MIT */
/*
 * Attributes are kept in their order, and found by name.
 */
#include "config.h"

#include "import/entry.h"

#include <check.h>
#include <string.h>

#include "import/arena.h"
#include "rig.h"

static struct arena arena;

START_TEST(attributes_are_found_by_name)
{
	struct entry *entry = entry_new(&arena, ENTRY_XINETD, "x", (struct place){"f", 1});
	struct attribute *flags = entry_add(&arena, entry, "flags", ATTRIBUTE_ADD, (struct place){"f", 2});

	words_split(&arena, &flags->values, "REUSE IPv6");
	entry_set(&arena, entry, "port", "7", (struct place){"f", 3});
	ck_assert_ptr_eq(entry_find(entry, "flags"), flags);
	ck_assert_ptr_null(entry_find(entry, "flag"));
	ck_assert(entry_has(entry, "flags", "IPv6") && !entry_has(entry, "flags", "IPv4"));
	ck_assert(!entry_has(entry, "wait", "yes"));
	ck_assert_str_eq(entry_value(entry, "port"), "7");
	ck_assert_ptr_null(entry_value(entry, "user"));
	ck_assert_str_eq(attribute_format(&arena, flags), "flags += REUSE IPv6");
	arena_fini(&arena);
}
END_TEST

START_TEST(an_attribute_may_have_no_value)
{
	struct entry *entry = entry_new(&arena, ENTRY_XINETD, "x", (struct place){"f", 1});
	const struct attribute *empty = entry_add(&arena, entry, "passenv", ATTRIBUTE_SET, (struct place){"f", 2});

	ck_assert_ptr_null(entry_value(entry, "passenv"));
	ck_assert_str_eq(attribute_format(&arena, empty), "passenv =");
	arena_fini(&arena);
}
END_TEST

START_TEST(entries_keep_their_order)
{
	struct entries entries = {.first = NULL};

	for (unsigned i = 1; i <= 3; i++)
		entries_add(&entries, entry_new(&arena, ENTRY_INETD, "x", (struct place){"f", i}));
	ck_assert_uint_eq(entries.count, 3);
	ck_assert_uint_eq(entries.first->place.line, 1);
	ck_assert_uint_eq(entries.first->next->next->place.line, 3);
	ck_assert_ptr_null(entries.first->next->next->next);
	arena_fini(&arena);
}
END_TEST

static Suite *
entry_suite(void)
{
	Suite *suite = suite_create("import/entry");
	TCase *tc;

	tc = tcase_create("attributes");
	tcase_add_test(tc, attributes_are_found_by_name);
	tcase_add_test(tc, an_attribute_may_have_no_value);
	suite_add_tcase(suite, tc);
	tc = tcase_create("lists");
	tcase_add_test(tc, entries_keep_their_order);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	return rig_run(entry_suite());
}
