/* SPDX-License-Identifier: MIT */
/*
 * Files become lines, whatever their last one ends with.
 */
#include "config.h"

#include "import/lines.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/errmsg.h"
#include "import/arena.h"
#include "rig.h"

static struct arena arena;

static void
check_lines(const char *text, size_t size, const char *expected)
{
	struct words lines = {0};

	lines_split(&arena, &lines, text, size);
	ck_assert_str_eq(words_join(&arena, &lines, "|"), expected);
	arena_fini(&arena);
}

START_TEST(lines_end_where_they_end)
{
	check_lines("a\nb\n", 4, "a|b");
	check_lines("a\n\nb", 4, "a||b");
	check_lines("", 0, "");
	check_lines("\n", 1, "");
	check_lines("a\0b\nc", 5, "a|c");
}
END_TEST

START_TEST(a_file_is_read_whole)
{
	char folder[] = "/tmp/cp-lines-XXXXXX", path[256];
	struct words lines = {0};
	struct errmsg err = {.text = ""};

	ck_assert_ptr_nonnull(mkdtemp(folder));
	rig_write(folder, "a", "one\ntwo\n", path);
	ck_assert_int_eq(lines_read(&arena, &lines, path, &err), 0);
	ck_assert_str_eq(words_join(&arena, &lines, "|"), "one|two");
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(lines_read(&arena, &lines, path, &err), -ENOENT);
	rig_expect(err.text, "No such file");
	ck_assert_int_eq(lines_read(&arena, &lines, folder, &err), -EISDIR);
	ck_assert_int_eq(rmdir(folder), 0);
	arena_fini(&arena);
}
END_TEST

START_TEST(a_file_without_end_is_refused)
{
	struct words lines = {0};
	struct errmsg err = {.text = ""};

	ck_assert_int_eq(lines_read(&arena, &lines, "/dev/zero", &err), -EFBIG);
	rig_expect(err.text, "too large");
	arena_fini(&arena);
}
END_TEST

static Suite *
lines_suite(void)
{
	Suite *suite = suite_create("import/lines");
	TCase *tc;

	tc = tcase_create("splitting");
	tcase_add_test(tc, lines_end_where_they_end);
	suite_add_tcase(suite, tc);
	tc = tcase_create("files");
	tcase_add_test(tc, a_file_is_read_whole);
	tcase_add_test(tc, a_file_without_end_is_refused);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	return rig_run(lines_suite());
}
