/* SPDX-License-Identifier: MIT */
/*
 * The syntax of xinetd.conf, what is wrong with it, and the files that it includes.
 */
#include "config.h"

#include "import/xinetd.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "import/arena.h"
#include "import/entry.h"
#include "import/lines.h"
#include "import/report.h"
#include "rig.h"

static struct arena arena;
static struct report report;
static struct entries entries;
static struct xinetd_reader reader;
static char *messages;
static size_t messages_size;

static void
setup(void)
{
	entries = (struct entries){.first = NULL};
	report = (struct report){.out = open_memstream(&messages, &messages_size)};
	reader = (struct xinetd_reader){.arena = &arena, .report = &report, .entries = &entries};
}

static void
parse(const char *text)
{
	struct words lines = {0};

	setup();
	lines_split(&arena, &lines, text, strlen(text));
	xinetd_parse(&reader, "f", &lines);
	ck_assert_int_eq(fflush(report.out), 0);
}

static void
teardown(void)
{
	ck_assert_int_eq(fclose(report.out), 0);
	free(messages);
	arena_fini(&arena);
}

static void
check_attribute(const struct attribute *attribute, const char *expected, unsigned line)
{
	ck_assert_ptr_nonnull(attribute);
	ck_assert_str_eq(attribute_format(&arena, attribute), expected);
	ck_assert_uint_eq(attribute->place.line, line);
}

/* Errors: at least one, and it is at that line. */
static void
check_error(const char *text, const char *expected)
{
	parse(text);
	ck_assert_msg(report.errors > 0, "taken: %s", text);
	rig_expect(messages, expected);
	teardown();
}

START_TEST(a_service_has_its_attributes)
{
	const struct attribute *a;

	parse("# comment\n\nservice ftp\n{\n\tport = 21\n only_from += a  b\n\t# no\n\tonly_from -= a\n\tpassenv "
	      "=\n}\n");
	ck_assert_uint_eq(report.errors, 0);
	ck_assert_uint_eq(entries.count, 1);
	ck_assert_str_eq(entries.first->name, "ftp");
	ck_assert_uint_eq(entries.first->place.line, 3);
	a = entries.first->attributes;
	check_attribute(a, "port = 21", 5);
	check_attribute(a = a->next, "only_from += a b", 6);
	check_attribute(a = a->next, "only_from -= a", 8);
	check_attribute(a = a->next, "passenv =", 9);
	ck_assert_ptr_null(a->next);
	teardown();
}
END_TEST

START_TEST(blanks_around_the_operator_are_not_needed)
{
	const struct attribute *a;

	parse("service x {\nport=21\nenv+=A=1 B=-2\nlog-type =x\nuser= -=\n}\n");
	ck_assert_uint_eq(report.errors, 0);
	a = entries.first->attributes;
	check_attribute(a, "port = 21", 2);
	check_attribute(a = a->next, "env += A=1 B=-2", 3);
	check_attribute(a = a->next, "log-type = x", 4);
	check_attribute(a->next, "user = -=", 5);
	teardown();
}
END_TEST

START_TEST(the_section_defaults_stands_apart)
{
	parse("defaults\n{\ninstances = 3\n}\nservice x\n{\n}\n");
	ck_assert_uint_eq(report.errors, 0);
	ck_assert_uint_eq(entries.count, 1);
	check_attribute(entries.defaults->attributes, "instances = 3", 3);
	teardown();
}
END_TEST

START_TEST(what_is_wrong_is_reported_with_its_line)
{
	check_error("service x\n{\nport 7\n}\n", "f:3: error: expected an attribute");
	check_error("service x\n{\n= 7\n}\n", "f:3: error:");
	check_error("service\n{\n}\n", "f:1: error: expected 'service NAME'");
	check_error("service a b\n{\n}\n", "f:1: error:");
	check_error("service a\nport = 7\n{\n}\n", "f:2: error: expected '{'");
	check_error("{\n}\n", "f:1: error: '{' without");
	check_error("}\n", "f:1: error: '}' without");
	check_error("service x\n{\nport = 7\n", "f:3: error: the file ends");
	check_error("nonsense\n", "f:1: error:");
	check_error("defaults\n{\n}\ndefaults\n{\n}\n", "f:4: error: a second section 'defaults', after f:1");
	check_error("include /nonexistent/file\n", "f:1: error: cannot read \"/nonexistent/file\": No such file");
	check_error("includedir /nonexistent\n", "f:1: error: cannot read \"/nonexistent\": No such file");
}
END_TEST

START_TEST(the_rest_is_read)
{
	parse("service a\n{\nbad\nport = 7\n}\nwrong\n{\nport = 9\n}\nservice b\n{\nport = 8\n}\n");
	ck_assert_uint_eq(entries.count, 2);
	check_attribute(entries.first->attributes, "port = 7", 4);
	check_attribute(entries.first->next->attributes, "port = 8", 12);
	teardown();
}
END_TEST

START_TEST(a_folder_is_read_as_xinetd_reads_it)
{
	static const char *const names[] = {"zeta", "Alpha", "b.rpmsave", "c~", "beta"};
	char folder[] = "/tmp/cp-xinetd-XXXXXX", path[256], deeper[64];

	ck_assert_ptr_nonnull(mkdtemp(folder));
	for (size_t i = 0; i < CP_COUNT(names); i++)
		rig_write(folder, names[i], "service x\n{\n}\n", path);
	snprintf(deeper, sizeof(deeper), "%s/deeper", folder);
	ck_assert_int_eq(mkdir(deeper, 0700), 0);
	setup();
	ck_assert_int_eq(xinetd_read_folder(&reader, folder), 0);
	ck_assert_uint_eq(report.errors, 0);
	ck_assert_uint_eq(entries.count, 3);
	rig_expect(reader.files.items[0], "/Alpha");
	rig_expect(reader.files.items[1], "/beta");
	rig_expect(reader.files.items[2], "/zeta");
	ck_assert_int_eq(rmdir(deeper), 0);
	for (size_t i = 0; i < CP_COUNT(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		ck_assert_int_eq(unlink(path), 0);
	}
	ck_assert_int_eq(rmdir(folder), 0);
	teardown();
}
END_TEST

START_TEST(files_that_include_each_other_are_read_once)
{
	char folder[] = "/tmp/cp-xinetd-XXXXXX", path[256], text[300];

	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(text, sizeof(text), "service x\n{\n}\nincludedir %s\ninclude %s/a\n", folder, folder);
	rig_write(folder, "a", text, path);
	setup();
	ck_assert_int_eq(xinetd_read(&reader, path), 0);
	ck_assert_uint_eq(entries.count, 1);
	ck_assert_uint_eq(report.errors, 2);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(rmdir(folder), 0);
	teardown();
}
END_TEST

START_TEST(the_syntax_is_told_by_the_first_line)
{
	static const struct {
		const char *text;
		bool expected;
	} rows[] = {
		{"# x\n\n  service y\n", true},
		{"defaults\n", true},
		{"defaults{\n", true},
		{"includedir /x\n", true},
		{"servicex stream tcp nowait root /x\n", false},
		{"ftp stream tcp nowait root /x\nservice y\n", false},
		{"# only\n", false},
		{"", false},
	};

	for (size_t i = 0; i < CP_COUNT(rows); i++) {
		struct words lines = {0};

		lines_split(&arena, &lines, rows[i].text, strlen(rows[i].text));
		ck_assert_msg(xinetd_is_syntax(&lines) == rows[i].expected, "%s", rows[i].text);
	}
	arena_fini(&arena);
}
END_TEST

static Suite *
xinetd_suite(void)
{
	Suite *suite = suite_create("import/xinetd");
	TCase *tc;

	tc = tcase_create("syntax");
	tcase_add_test(tc, a_service_has_its_attributes);
	tcase_add_test(tc, blanks_around_the_operator_are_not_needed);
	tcase_add_test(tc, the_section_defaults_stands_apart);
	suite_add_tcase(suite, tc);
	tc = tcase_create("errors");
	tcase_add_test(tc, what_is_wrong_is_reported_with_its_line);
	tcase_add_test(tc, the_rest_is_read);
	suite_add_tcase(suite, tc);
	tc = tcase_create("files");
	tcase_add_test(tc, a_folder_is_read_as_xinetd_reads_it);
	tcase_add_test(tc, files_that_include_each_other_are_read_once);
	tcase_add_test(tc, the_syntax_is_told_by_the_first_line);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	return rig_run(xinetd_suite());
}
