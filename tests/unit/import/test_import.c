/* SPDX-License-Identifier: MIT */
/*
 * From files to a file.
 */
#include "config.h"

#include "import/import.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "rig.h"

static char folder[64];
static char conf[256];
static char inetd_conf[256];

static void
setup(void)
{
	strcpy(folder, "/tmp/cp-import-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	rig_write(folder, "xinetd.conf", "service a\n{\ntype = UNLISTED\nport = 39001\nserver = /bin/sh\n}\n", conf);
	rig_write(folder, "inetd.conf", "39001 stream tcp nowait root /bin/sh\n39002 stream tcp nowait root /bin/sh\n",
		inetd_conf);
}

static void
teardown(void)
{
	ck_assert_int_eq(unlink(conf), 0);
	ck_assert_int_eq(unlink(inetd_conf), 0);
	ck_assert_int_eq(rmdir(folder), 0);
}

START_TEST(a_folder_is_read_as_that_of_the_system)
{
	struct import import;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	setup();
	import_init(&import, NULL);
	ck_assert_int_eq(import_read_folder(&import, folder), 0);
	ck_assert_uint_eq(import.entries.count, 3);
	import_write(&import, false, out);
	ck_assert_int_eq(fclose(out), 0);
	rig_expect(text, conf);
	rig_expect(text, inetd_conf);
	rig_expect(text, "name = \"a\"");
	rig_expect(text, "name = \"39002\"");
	rig_expect(text, "# - not served: listener 'a' has its address, or one that takes it in");
	free(text);
	import_fini(&import);
	teardown();
}
END_TEST

START_TEST(a_folder_without_such_files_is_not_enough)
{
	struct import import;

	import_init(&import, NULL);
	ck_assert_int_eq(import_read_folder(&import, "/nonexistent"), -ENOENT);
	ck_assert_uint_eq(import.report.errors, 0);
	import_fini(&import);
}
END_TEST

START_TEST(a_folder_that_was_included_is_not_read_again)
{
	char inner[80], path[256], text[300];
	struct import import;

	setup();
	snprintf(inner, sizeof(inner), "%s/xinetd.d", folder);
	ck_assert_int_eq(mkdir(inner, 0700), 0);
	rig_write(inner, "b", "service b\n{\ntype = UNLISTED\nport = 39005\nserver = /bin/sh\n}\n", path);
	snprintf(text, sizeof(text), "includedir %s//\n", inner);
	rig_write(folder, "xinetd.conf", text, conf);
	import_init(&import, NULL);
	ck_assert_int_eq(import_read_folder(&import, folder), 0);
	ck_assert_uint_eq(import.entries.count, 3);
	ck_assert_uint_eq(import.report.errors, 0);
	import_fini(&import);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(rmdir(inner), 0);
	teardown();
}
END_TEST

START_TEST(a_file_that_is_not_there_is_an_error)
{
	struct import import;

	import_init(&import, NULL);
	ck_assert_int_eq(import_read(&import, "/nonexistent/file"), -ENOENT);
	import_fini(&import);
}
END_TEST

START_TEST(what_has_no_place_in_the_defaults_is_reported)
{
	struct rig_result result = rig_import("defaults\n{\nserver = /x\nnonsense = 1\n}\n", false);

	rig_expect(result.messages, "in:3: warning: server: has no place");
	rig_expect(result.messages, "in:4: warning: nonsense: there is no such attribute");
	ck_assert_uint_eq(result.warnings, 3);
	rig_free(&result);
}
END_TEST

START_TEST(nothing_to_serve_is_said)
{
	struct rig_result result = rig_import("# nothing\n", false);

	rig_expect(result.messages, "connpoold-import: warning: nothing is left to serve");
	rig_expect(result.text, "There is nothing to serve yet");
	rig_free(&result);
}
END_TEST

static Suite *
import_suite(void)
{
	Suite *suite = suite_create("import/import");
	TCase *tc;

	tc = tcase_create("files");
	tcase_add_test(tc, a_folder_is_read_as_that_of_the_system);
	tcase_add_test(tc, a_folder_without_such_files_is_not_enough);
	tcase_add_test(tc, a_folder_that_was_included_is_not_read_again);
	tcase_add_test(tc, a_file_that_is_not_there_is_an_error);
	suite_add_tcase(suite, tc);
	tc = tcase_create("defaults");
	tcase_add_test(tc, what_has_no_place_in_the_defaults_is_reported);
	tcase_add_test(tc, nothing_to_serve_is_said);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	return rig_run(import_suite());
}
