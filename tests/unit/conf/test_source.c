/* SPDX-License-Identifier: MIT */
/*
 * Tests of conf/source: what libconfig would let pass is found or mended, and everything else is left as it is.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <check.h>

#include "base/errmsg.h"
#include "base/mem.h"
#include "conf/source.h"
#include "conffiles.h"

static void
expect_safe(const char *text, const char *wanted)
{
	struct errmsg err;
	char *safe = NULL;
	unsigned line = 0;

	ck_assert_int_eq(source_make_safe(text, strlen(text), &safe, &line, &err), 0);
	ck_assert_str_eq(safe, wanted);
	mem_free(safe);
}

static void
expect_fault(const char *text, size_t length, unsigned line, const char *said)
{
	struct errmsg err = {""};
	char *safe = NULL;
	unsigned found = 0;

	ck_assert_int_eq(source_make_safe(text, length, &safe, &found, &err), -EINVAL);
	ck_assert_ptr_null(safe);
	ck_assert_uint_eq(found, line);
	ck_assert_msg(strstr(err.text, said) != NULL, "%s", err.text);
}

START_TEST(plain_text_is_left_as_it_is)
{
	static const char text[] =
		"a = 1; # 99999999999\n// 99999999999\n/* 99999999999 \"\n */ b: { c = \"99999999999\\\"\"; };\n"
		"x9999999999 = 0x7fffffff; y-9999999999 = -2147483647; f = 1.99999999999; g = 1e10;\n";

	expect_safe(text, text);
	expect_safe("", "");
}
END_TEST

START_TEST(large_numbers_are_marked_as_64_bits)
{
	expect_safe("a=2147483647;b=2147483648;", "a=2147483647;b=2147483648L;");
	expect_safe("a=5000000000L;b=5L;", "a=5000000000L;b=5;");
	expect_safe("a=-5000000000;", "a=-5000000000L;");
	expect_safe("a=0xFFFFFFFF", "a=0xFFFFFFFFL");
}
END_TEST

START_TEST(larger_numbers_become_the_largest)
{
	expect_safe("a=9223372036854775808;", "a=9223372036854775807L;");
	expect_safe("a=99999999999999999999999999999;", "a=9223372036854775807L;");
	expect_safe("a=0xFFFFFFFFFFFFFFFF;", "a=9223372036854775807L;");
}
END_TEST

START_TEST(string_without_end_is_found_where_it_begins)
{
	expect_fault("a = 1;\nb = \"x;\nc = 2;\n", 22, 2, "no end");
	expect_fault("a = \"x\\", 7, 1, "no end");
}
END_TEST

START_TEST(comment_without_end_is_found_where_it_begins)
{
	expect_fault("a = 1;\n\n/* b;\nc = 2;\n", 21, 3, "no end");
}
END_TEST

START_TEST(nul_byte_is_found)
{
	expect_fault("a = 1;\n# \0\n", 11, 2, "NUL");
}
END_TEST

START_TEST(include_of_libconfig_is_refused)
{
	expect_fault("a = 1;\n \t@include \"/tmp\"\n", 24, 2, "include_dir");
	expect_safe("# @include \"x\"\n", "# @include \"x\"\n");
	expect_safe("/*\n@include \"x\"\n*/\n", "/*\n@include \"x\"\n*/\n");
}
END_TEST

START_TEST(string_that_stands_alone_is_found)
{
	expect_fault("a = 1;\nb \"x\";\n", 14, 2, "stands alone");
	expect_fault("\"x\"", 3, 1, "stands alone");
	expect_fault("a: {\nb = 1, \"x\" }", 17, 2, "stands alone");
	expect_safe("a: \"x\" # c\n\"y\"; b = [ \"x\", \"y\" ]; c = ( \"x\" \"y\", { d = 1; }, \"z\" );",
		"a: \"x\" # c\n\"y\"; b = [ \"x\", \"y\" ]; c = ( \"x\" \"y\", { d = 1; }, \"z\" );");
}
END_TEST

START_TEST(nesting_has_a_limit)
{
	char text[256] = "a = ";

	memset(text + 4, '(', 64);
	expect_safe(text, text);
	text[4 + 64] = '(';
	expect_fault(text, strlen(text), 1, "sections within sections");
}
END_TEST

START_TEST(file_is_read_whole)
{
	struct errmsg err;
	char *text = NULL;
	size_t length = 0;
	char line[] = "0123456789abcdef\n";
	FILE *file = fopen(conffiles_path("f"), "w");

	for (int i = 0; i < 10000; i++)
		fputs(line, file);
	fclose(file);
	ck_assert_int_eq(source_read(conffiles_path("f"), &text, &length, &err), 0);
	ck_assert_uint_eq(length, 10000 * strlen(line));
	ck_assert_uint_eq(strlen(text), length);
	ck_assert_str_eq(text + length - strlen(line), line);
	mem_free(text);
}
END_TEST

START_TEST(file_that_cannot_be_read_says_why)
{
	struct errmsg err;
	char *text = NULL;
	size_t length = 0;

	ck_assert_int_eq(source_read(conffiles_path("none"), &text, &length, &err), -ENOENT);
	ck_assert_str_eq(err.text, "cannot open: No such file or directory");
	ck_assert_int_eq(source_read(conffiles_folder, &text, &length, &err), -EISDIR);
	ck_assert_str_eq(err.text, "cannot read: Is a directory");
	ck_assert_ptr_null(text);
}
END_TEST

/* Room for the name of the end of a pipe that is to be read, as a shell's process substitution names it. */
static void
open_pipe(int ret_fds[2], char ret_path[32])
{
	ck_assert_int_eq(pipe2(ret_fds, O_CLOEXEC), 0);
	snprintf(ret_path, 32, "/dev/fd/%d", ret_fds[0]);
}

START_TEST(pipe_is_read_to_its_end)
{
	struct errmsg err;
	char *text = NULL;
	size_t length = 0;
	char path[32];
	int fds[2];

	open_pipe(fds, path);
	ck_assert_int_eq(write(fds[1], "a = 1;\n", 7), 7);
	close(fds[1]);
	ck_assert_int_eq(source_read(path, &text, &length, &err), 0);
	ck_assert_str_eq(text, "a = 1;\n");
	mem_free(text);
	close(fds[0]);
}
END_TEST

START_TEST(pipe_that_nobody_ends_is_not_waited_for)
{
	struct errmsg err;
	char *text = NULL;
	size_t length = 0;
	char path[32];
	int fds[2];

	open_pipe(fds, path);
	ck_assert_int_eq(write(fds[1], "a = 1;\n", 7), 7);
	ck_assert_int_eq(source_read(path, &text, &length, &err), -ETIMEDOUT);
	ck_assert_str_eq(err.text, "is a pipe that was not written to its end within 1000 ms");
	ck_assert_ptr_null(text);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

START_TEST(file_without_end_is_too_large)
{
	struct errmsg err;
	char *text = NULL;
	size_t length = 0;

	ck_assert_int_eq(source_read("/dev/zero", &text, &length, &err), -EFBIG);
	ck_assert_msg(strstr(err.text, "too large") != NULL, "%s", err.text);
}
END_TEST

START_TEST(no_memory_leaves_nothing)
{
	struct errmsg err;
	char *text = NULL;
	unsigned line;
	size_t length;

	conffiles_write("f", "a = 1;\n");
	mem_fail_after(1);
	ck_assert_int_eq(source_read(conffiles_path("f"), &text, &length, &err), -ENOMEM);
	mem_fail_after(1);
	ck_assert_int_eq(source_make_safe("a", 1, &text, &line, &err), -ENOMEM);
	mem_fail_after(0);
	ck_assert_ptr_null(text);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("conf/source");
	TCase *tc = conffiles_case(suite, "safe");

	tcase_add_test(tc, plain_text_is_left_as_it_is);
	tcase_add_test(tc, large_numbers_are_marked_as_64_bits);
	tcase_add_test(tc, larger_numbers_become_the_largest);
	tcase_add_test(tc, string_without_end_is_found_where_it_begins);
	tcase_add_test(tc, comment_without_end_is_found_where_it_begins);
	tcase_add_test(tc, nul_byte_is_found);
	tcase_add_test(tc, include_of_libconfig_is_refused);
	tcase_add_test(tc, string_that_stands_alone_is_found);
	tcase_add_test(tc, nesting_has_a_limit);
	tc = conffiles_case(suite, "read");
	tcase_add_test(tc, file_is_read_whole);
	tcase_add_test(tc, file_that_cannot_be_read_says_why);
	tcase_add_test(tc, file_without_end_is_too_large);
	tcase_add_test(tc, pipe_is_read_to_its_end);
	tcase_add_test(tc, pipe_that_nobody_ends_is_not_waited_for);
	tcase_add_test(tc, no_memory_leaves_nothing);
	return conffiles_run(suite);
}
