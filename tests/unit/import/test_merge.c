/* SPDX-License-Identifier: MIT */
/*
 * A service and its defaults, by the rules of xinetd.conf(5).
 */
#include "config.h"

#include "import/merge.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "import/arena.h"
#include "import/entry.h"
#include "rig.h"

static struct arena arena;
static struct report report;

/* "name op values;name op values" */
static struct entry *
make_entry(enum entry_form form, const char *text)
{
	struct entry *entry = entry_new(&arena, form, "x", (struct place){"f", 1});
	char *line, *rest = arena_strdup(&arena, text);

	while ((line = strsep(&rest, ";")) != NULL) {
		struct words words = {0};
		struct attribute *attribute;

		words_split(&arena, &words, line);
		attribute = entry_add(&arena, entry, words.items[0],
			*words.items[1] == '+'   ? ATTRIBUTE_ADD
			: *words.items[1] == '-' ? ATTRIBUTE_REMOVE
						 : ATTRIBUTE_SET,
			(struct place){"f", 2});
		for (size_t i = 2; i < words.count; i++)
			words_add(&arena, &attribute->values, words.items[i]);
	}
	return entry;
}

static void
check_merge(enum entry_form form, const char *service, const char *defaults, const char *expected)
{
	const struct entry *merged = merge_entry(&arena, &report, make_entry(form, service),
		defaults != NULL ? make_entry(ENTRY_XINETD, defaults) : NULL);
	struct words lines = {0};

	for (const struct attribute *a = merged->attributes; a != NULL; a = a->next)
		words_add(&arena, &lines, attribute_format(&arena, a));
	ck_assert_str_eq(words_join(&arena, &lines, ";"), expected);
	arena_fini(&arena);
}

START_TEST(a_set_replaces_the_defaults)
{
	check_merge(ENTRY_XINETD, "only_from = a", "only_from = b", "only_from = a");
	check_merge(ENTRY_XINETD, "only_from =", "only_from = b", "only_from =");
}
END_TEST

START_TEST(further_sets_add)
{
	check_merge(ENTRY_XINETD, "only_from = a;only_from = b", NULL, "only_from = a b");
	check_merge(ENTRY_XINETD, "port = 1", "only_from = b;only_from = c", "port = 1;only_from = b c");
}
END_TEST

START_TEST(adding_and_removing_begin_with_the_defaults)
{
	check_merge(ENTRY_XINETD, "only_from += a", "only_from = b c", "only_from = b c a");
	check_merge(ENTRY_XINETD, "only_from -= c", "only_from = b c", "only_from = b");
	check_merge(ENTRY_XINETD, "only_from += a;only_from -= b", "only_from = b", "only_from = a");
}
END_TEST

START_TEST(a_service_overrides_a_default)
{
	check_merge(ENTRY_XINETD, "instances = 3", "instances = 9", "instances = 3");
	check_merge(ENTRY_XINETD, "port = 3", "instances = 9", "port = 3;instances = 9");
}
END_TEST

START_TEST(only_what_may_be_a_default_is_one)
{
	check_merge(ENTRY_XINETD, "port = 3", "server = /x;enabled = a;nonsense = 1", "port = 3");
}
END_TEST

START_TEST(services_of_inetd_have_no_defaults)
{
	check_merge(ENTRY_INETD, "port = 3", "instances = 9", "port = 3");
}
END_TEST

START_TEST(of_a_value_that_stands_twice_the_first_counts)
{
	report.warnings = 0;
	check_merge(ENTRY_XINETD, "port = 3;port = 4", NULL, "port = 3");
	check_merge(ENTRY_XINETD, "port += 3", NULL, "port = 3");
	ck_assert_uint_eq(report.warnings, 2);
}
END_TEST

START_TEST(what_nobody_knows_is_kept)
{
	check_merge(ENTRY_XINETD, "nonsense = 1 2", NULL, "nonsense = 1 2");
}
END_TEST

static Suite *
merge_suite(void)
{
	Suite *suite = suite_create("import/merge");
	TCase *tc;

	tc = tcase_create("lists");
	tcase_add_test(tc, a_set_replaces_the_defaults);
	tcase_add_test(tc, further_sets_add);
	tcase_add_test(tc, adding_and_removing_begin_with_the_defaults);
	suite_add_tcase(suite, tc);
	tc = tcase_create("values");
	tcase_add_test(tc, a_service_overrides_a_default);
	tcase_add_test(tc, only_what_may_be_a_default_is_one);
	tcase_add_test(tc, services_of_inetd_have_no_defaults);
	tcase_add_test(tc, of_a_value_that_stands_twice_the_first_counts);
	tcase_add_test(tc, what_nobody_knows_is_kept);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	return rig_run(merge_suite());
}
