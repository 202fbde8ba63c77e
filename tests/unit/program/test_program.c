/* SPDX-License-Identifier: MIT */
/*
 * program/program - configs told apart by their programs, and results for people.
 */
#include "config.h"

#include "program/program.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/load.h"
#include "service/registry.h"

/* A config whose listeners are these; its errors go to *ret_errors, or fail the test when that is NULL. */
static struct conf *
load(const char *listeners, struct conf_errors *ret_errors)
{
	char path[] = "/tmp/cp-program-XXXXXX";
	struct conf_errors errors = {0};
	struct conf *conf;
	FILE *file;

	file = fdopen(mkstemp(path), "w");
	ck_assert_ptr_nonnull(file);
	fprintf(file, "listeners: ( %s );\n", listeners);
	ck_assert_int_eq(fclose(file), 0);
	conf = conf_load(path, registry_types(), &errors);
	unlink(path);
	if (ret_errors != NULL) {
		*ret_errors = errors;
		return conf;
	}
	ck_assert_msg(conf != NULL, "%s", errors.count > 0 ? errors.items[0].text : "");
	conf_errors_fini(&errors);
	return conf;
}

static uint64_t
digest_of(const char *listeners)
{
	struct conf *conf = load(listeners, NULL);
	uint64_t digest = program_digest(conf);

	conf_unref(&conf);
	return digest;
}

#define EXEC(more) \
	"{ name = \"a\"; address = \"tcp:127.0.0.1:7\"; service = { type = \"exec\"; command = [ \"/bin/cat\", " \
	"\"-u\" ]; " more " }; }"
#define ECHO "{ name = \"b\"; address = \"tcp:127.0.0.1:8\"; service = \"echo\"; }"

START_TEST(a_config_without_programs_has_no_digest)
{
	ck_assert_uint_eq(digest_of(ECHO), 0);
}
END_TEST

START_TEST(the_same_programs_have_the_same_digest)
{
	ck_assert_uint_ne(digest_of(EXEC("")), 0);
	ck_assert_uint_eq(digest_of(EXEC("")), digest_of(EXEC("umask = \"0022\"; kill_timeout = 1;")));
	ck_assert_uint_eq(digest_of(EXEC("")), digest_of(EXEC("") ", " ECHO));
}
END_TEST

START_TEST(whatever_changes_a_program_changes_the_digest)
{
	static const char *const others[] = {EXEC("umask = \"0077\";"), EXEC("nice = -1;"),
		EXEC("directory = \"/tmp\";"), EXEC("chroot = \"/tmp\";"), EXEC("user = \"root\";"),
		EXEC("group = \"root\";"), EXEC("groups = \"root\";"), EXEC("environment = \"A=b\";"),
		EXEC("pass_environment = \"A\";"), EXEC("no_new_privileges = false;"), EXEC("limit_cpu = 3;"),
		EXEC("limit_core = \"unlimited\";"), EXEC("limit_open_files = 9;"), ECHO ", " EXEC("")};
	uint64_t plain = digest_of(EXEC(""));

	for (size_t i = 0; i < CP_COUNT(others); i++) {
		ck_assert_msg(digest_of(others[i]) != plain, "not told apart: %s", others[i]);
		for (size_t k = 0; k < i; k++)
			ck_assert_uint_ne(digest_of(others[i]), digest_of(others[k]));
	}
}
END_TEST

START_TEST(limits_have_words)
{
	struct conf *conf = load(EXEC("limit_core = \"unlimited\"; limit_open_files = 9;"), NULL);
	const struct program_options *options = program_of(&conf->listeners[0]->service);

	ck_assert_ptr_nonnull(options);
	ck_assert_uint_eq(options->limit_core, PROGRAM_LIMIT_UNLIMITED);
	ck_assert_uint_eq(options->limit_open_files, 9);
	ck_assert_uint_eq(options->limit_cpu_ms, PROGRAM_LIMIT_INHERIT);
	conf_unref(&conf);
}
END_TEST

START_TEST(every_fault_of_a_section_is_reported)
{
	struct conf_errors errors;
	struct conf *conf = load(EXEC("user = \"nosuchuser\"; group = \"nosuchgroup\"; groups = [ \"nosuchgroup\" ]; "
				      "environment = [ \"A\", \"=b\" ]; pass_environment = \"A=b\"; chroot = \"x\"; "
				      "directory = \"y\";"),
		&errors);

	ck_assert_ptr_null(conf);
	ck_assert_uint_eq(errors.count, 8);
	for (unsigned i = 0; i < errors.count; i++)
		ck_assert_ptr_nonnull(strstr(errors.items[i].text, ":1: listeners.(0).service."));
	conf_errors_fini(&errors);
}
END_TEST

static const char *
explain(int error, const char *line, char text[PROGRAM_TEXT_MAX])
{
	char path[] = "/bin/x";
	char *argv[] = {path};
	struct program_options options = {.command = {.items = argv, .count = 1}};
	struct program_result result = {.how = PROGRAM_NOT_STARTED, .step = PROGRAM_STEP_RUN, .error = error};

	program_explain(&result, line, strlen(line));
	return program_format_result(&result, &options, text);
}

START_TEST(what_is_missing_of_a_file_that_is_there_is_named)
{
	char text[PROGRAM_TEXT_MAX];
	char line[300] = "#!";

	ck_assert_ptr_nonnull(strstr(explain(ENOENT, "#! /bin/pyhton -u\nx", text), "interpreter '/bin/pyhton' that"));
	ck_assert_ptr_nonnull(strstr(explain(ENOENT, "#!/bin/pyhton", text), "interpreter '/bin/pyhton' that"));
	ck_assert_ptr_nonnull(strstr(explain(ENOENT, "#!/bin/sh\r\nx", text), "carriage return"));
	ck_assert_ptr_nonnull(strstr(explain(ENOENT, "\177ELF\1", text), "dynamic loader"));
	ck_assert_ptr_nonnull(strstr(explain(ENOEXEC, "\177ELF\1", text), "Exec format error"));
	ck_assert_ptr_nonnull(strstr(explain(ENOEXEC, "echo", text), "no script"));
	ck_assert_ptr_nonnull(strstr(explain(ENOEXEC, "", text), "no script"));
	ck_assert_ptr_nonnull(strstr(explain(ENOENT, "#!\033[2J\n", text), "'?[2J'"));
	memset(line + 2, 'a', sizeof(line) - 3);
	ck_assert_ptr_nonnull(strstr(explain(ENOENT, line, text), "aaaa' that"));
}
END_TEST

START_TEST(results_are_told_in_words)
{
	char path[] = "/bin/x";
	char *argv[] = {path};
	struct program_options options = {.command = {.items = argv, .count = 1}};
	char text[PROGRAM_TEXT_MAX];
	struct program_result result = {.how = PROGRAM_EXITED, .status = 3};

	ck_assert_str_eq(program_format_result(&result, &options, text), "exit status 3");
	result = (struct program_result){.how = PROGRAM_SIGNALLED, .status = SIGSEGV, .dumped_core = true};
	ck_assert_str_eq(program_format_result(&result, &options, text), "signal SEGV, core dumped");
	result = (struct program_result){.how = PROGRAM_NOT_STARTED, .step = PROGRAM_STEP_RUN, .error = ENOENT};
	ck_assert_str_eq(
		program_format_result(&result, &options, text), "cannot run /bin/x: No such file or directory");
	for (int step = 0; step < PROGRAM_STEP_LATE; step++) {
		result.step = (enum program_step)step;
		options.directory = path;
		options.chroot = path;
		ck_assert_ptr_nonnull(strstr(program_format_result(&result, &options, text), "No such file"));
	}
	result.how = PROGRAM_LOST;
	ck_assert_ptr_nonnull(strstr(program_format_result(&result, &options, text), "spawner"));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("program/program");
	TCase *digest = tcase_create("digest");
	TCase *options = tcase_create("options");
	TCase *result = tcase_create("result");
	SRunner *runner;
	int failed;

	tcase_add_test(digest, a_config_without_programs_has_no_digest);
	tcase_add_test(digest, the_same_programs_have_the_same_digest);
	tcase_add_test(digest, whatever_changes_a_program_changes_the_digest);
	suite_add_tcase(suite, digest);
	tcase_add_test(options, limits_have_words);
	tcase_add_test(options, every_fault_of_a_section_is_reported);
	suite_add_tcase(suite, options);
	tcase_add_test(result, results_are_told_in_words);
	tcase_add_test(result, what_is_missing_of_a_file_that_is_there_is_named);
	suite_add_tcase(suite, result);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
