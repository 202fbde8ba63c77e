/* SPDX-License-Identifier: MIT */
/*
 * rig - what the tests of the import share: a run of a suite, texts as files, and an import of a text.
 */
#ifndef CP_TESTS_UNIT_IMPORT_RIG_H
#define CP_TESTS_UNIT_IMPORT_RIG_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "import/import.h"

static inline int
rig_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}

/* What an import of one text gives: the file and the messages; both are the caller's to free. */
struct rig_result {
	char *text;
	char *messages;
	unsigned errors;
	unsigned warnings;
};

static inline struct rig_result
rig_import(const char *text, bool keep_disabled)
{
	struct rig_result result = {.text = NULL};
	struct import import;
	size_t text_size, message_size;
	FILE *out = open_memstream(&result.text, &text_size);
	FILE *messages = open_memstream(&result.messages, &message_size);

	ck_assert(out != NULL && messages != NULL);
	import_init(&import, messages);
	import_read_text(&import, "in", text, strlen(text));
	import_write(&import, keep_disabled, out);
	result.errors = import.report.errors;
	result.warnings = import.report.warnings;
	import_fini(&import);
	ck_assert_int_eq(fclose(out), 0);
	ck_assert_int_eq(fclose(messages), 0);
	return result;
}

static inline void
rig_free(struct rig_result *result)
{
	free(result->text);
	free(result->messages);
}

#define rig_expect(haystack, needle) \
	ck_assert_msg(strstr(haystack, needle) != NULL, "no \"%s\" in:\n%s", needle, haystack)
#define rig_expect_not(haystack, needle) \
	ck_assert_msg(strstr(haystack, needle) == NULL, "there is \"%s\" in:\n%s", needle, haystack)

/* The attributes of a service of xinetd that listens at port 39999, and those that are given; the file it becomes. */
static inline struct rig_result
rig_import_service(const char *attributes)
{
	char text[4096];

	snprintf(text, sizeof(text),
		"service x\n{\ntype = UNLISTED\nport = 39999\nsocket_type = stream\nwait = no\nuser = root\n"
		"server = /bin/sh\n%s\n}\n",
		attributes);
	return rig_import(text, false);
}

/* Whether such a service becomes a file with that text in it. */
static inline void
rig_check_service(const char *attributes, const char *expected)
{
	struct rig_result result = rig_import_service(attributes);

	rig_expect(result.text, expected);
	rig_free(&result);
}

/* A file of that text in a folder of the test's own, which is made; path is folder/name. */
static inline void
rig_write(const char *folder, const char *name, const char *text, char path[256])
{
	FILE *file;

	snprintf(path, 256, "%s/%s", folder, name);
	file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_ge(fputs(text, file), 0);
	ck_assert_int_eq(fclose(file), 0);
}

#endif
