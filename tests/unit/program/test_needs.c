/* SPDX-License-Identifier: MIT */
/*
 * program/needs - what is said of a config by a process without privileges. As root, a process of the test's own gives
 * them up first.
 */
#include "config.h"

#include "program/needs.h"

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/defs.h"
#include "conf/conf.h"
#include "conf/load.h"
#include "service/registry.h"

#define NOBODY 65534

static char said[8192];
static int lacks_said;

static void
note(const char *text, bool is_lack)
{
	size_t used = strlen(said);

	ck_assert_int_lt(snprintf(said + used, sizeof(said) - used, "%s\n", text), (int)(sizeof(said) - used));
	lacks_said += is_lack;
}

/* What is said of an exec service with these options; its result. */
static int
examine(const char *options)
{
	char path[] = "/tmp/cp-needs-XXXXXX";
	FILE *file = fdopen(mkstemp(path), "w");
	struct conf_errors errors = {0};
	struct conf *conf;
	int result;

	ck_assert_ptr_nonnull(file);
	fprintf(file,
		"listeners: (\n{ name = \"a\"; address = \"tcp:127.0.0.1:7\";\nservice = { type = \"exec\"; %s }; } "
		");\n",
		options);
	ck_assert_int_eq(fclose(file), 0);
	conf = conf_load(path, registry_types(), &errors);
	unlink(path);
	ck_assert_msg(conf != NULL, "%s", errors.count > 0 ? errors.items[0].text : "");
	said[0] = '\0';
	lacks_said = 0;
	result = needs_examine(conf, note);
	conf_unref(&conf);
	conf_errors_fini(&errors);
	return result;
}

/* The same by a process that is nobody special: 0 when it said just these words of so many lacks. */
static bool
lacks_as_nobody(const char *options, int lacks, const char *words)
{
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		struct rlimit few = {256, 256};

		if (setrlimit(RLIMIT_NOFILE, &few) < 0)
			_exit(2);
		if (geteuid() == 0 && (setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
			_exit(2);
		_exit(examine(options) == lacks && lacks_said == lacks && strstr(said, words) != NULL ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

#define CAT "command = [ \"/bin/cat\" ]; "

START_TEST(a_plain_program_needs_nothing)
{
	ck_assert_int_eq(examine(CAT), 0);
	ck_assert_str_eq(said, "");
}
END_TEST

START_TEST(privileges_are_asked_for_where_they_are_needed)
{
	static const struct {
		const char *options;
		int lacks;
		const char *words;
	} cases[] = {
		{CAT "user = \"root\";", 1, ":2: listener 'a': another user or group needs CAP_SETUID"},
		{CAT "group = \"root\";", 1, "another user or group needs CAP_SETUID"},
		{CAT "chroot = \"/\";", 1, "chroot needs CAP_SYS_CHROOT"},
		{CAT "nice = -20;", 1, "nice below that of connpoold needs CAP_SYS_NICE"},
		{CAT "nice = 19;", 0, ""},
		{CAT "limit_open_files = 8; limit_cpu = 3;", 0, ""},
		{CAT "user = \"root\"; chroot = \"/\"; nice = -20;", 3, "CAP_SYS_CHROOT"},
	};

	for (size_t i = 0; i < CP_COUNT(cases); i++)
		ck_assert_msg(
			lacks_as_nobody(cases[i].options, cases[i].lacks, cases[i].words), "%s", cases[i].options);
}
END_TEST

START_TEST(a_limit_is_raised_by_privilege_alone)
{
	ck_assert(lacks_as_nobody(
		CAT "limit_open_files = 1048576;", 1, "a limit above that of connpoold needs CAP_SYS_RESOURCE"));
}
END_TEST

START_TEST(missing_files_are_said_but_no_lack)
{
	ck_assert_int_eq(examine("command = [ \"/nowhere/x\" ];"), 0);
	ck_assert_ptr_nonnull(strstr(said, "listener 'a': command: there is no /nowhere/x\n"));
	ck_assert_int_eq(examine("command = [ \"/etc/passwd\" ];"), 0);
	ck_assert_ptr_nonnull(strstr(said, "command: /etc/passwd is not executable\n"));
	ck_assert_int_eq(examine(CAT "directory = \"/nowhere\";"), 0);
	ck_assert_ptr_nonnull(strstr(said, "directory: there is no /nowhere\n"));
	ck_assert_int_eq(examine(CAT "directory = \"/bin/cat\";"), 0);
	ck_assert_ptr_nonnull(strstr(said, "directory: /bin/cat is no folder\n"));
	/* Without its root nothing else is to be found. */
	(void)!examine(CAT "chroot = \"/nowhere\";");
	ck_assert_ptr_nonnull(strstr(said, "chroot: there is no /nowhere\n"));
	ck_assert_ptr_null(strstr(said, "command"));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("program/needs");
	TCase *needs = tcase_create("needs");
	SRunner *runner;
	int failed;

	tcase_add_test(needs, a_plain_program_needs_nothing);
	tcase_add_test(needs, privileges_are_asked_for_where_they_are_needed);
	tcase_add_test(needs, a_limit_is_raised_by_privilege_alone);
	tcase_add_test(needs, missing_files_are_said_but_no_lack);
	suite_add_tcase(suite, needs);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
