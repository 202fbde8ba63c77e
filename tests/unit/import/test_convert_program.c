/* SPDX-License-Identifier: MIT */
/*
 * What is run, as whom, and under which limits.
 */
#include "config.h"

#include "import/convert_parts.h"

#include <check.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>

#include "import/arena.h"
#include "rig.h"

START_TEST(the_program_stands_before_its_arguments)
{
	rig_check_service("", "command = [ \"/bin/sh\" ];");
	rig_check_service("server_args = -c \"a b\"", "command = [ \"/bin/sh\", \"-c\", \"\\\"a\", \"b\\\"\" ];");
	rig_check_service("flags = NAMEINARGS\nserver_args = sh -c x", "command = [ \"/bin/sh\", \"-c\", \"x\" ];");
}
END_TEST

START_TEST(another_name_for_the_program_is_a_comment)
{
	rig_check_service("flags = NAMEINARGS\nserver_args = -sh", "not \"-sh\"");
}
END_TEST

START_TEST(tcpd_is_left_out)
{
	struct rig_result result = rig_import("39001 stream tcp nowait root /usr/sbin/tcpd /bin/sh -c x\n"
					      "39002 stream tcp nowait root /usr/sbin/tcpd in.nosuchd -l\n",
		false);

	rig_expect(result.text, "command = [ \"/bin/sh\", \"-c\", \"x\" ];");
	rig_expect(result.text, "command = [ \"/usr/sbin/in.nosuchd\", \"-l\" ];");
	rig_expect(result.messages, "in:1: warning: '39001' loses tcpd");
	rig_free(&result);
}
END_TEST

START_TEST(a_program_that_is_not_there_is_not_served)
{
	struct rig_result result = rig_import("39001 stream tcp nowait root /nonexistent/x\n"
					      "39002 stream tcp nowait root relative\n"
					      "39003 stream tcp nowait root /etc/passwd\n",
		false);

	rig_expect(result.text, "# - not served: its program /nonexistent/x is not there");
	rig_expect(result.text, "# - not served: its program \"relative\" has no absolute path");
	rig_expect(result.text, "# - not served: its program /etc/passwd can not be run");
	rig_expect(result.text, "became listeners: 0;");
	rig_free(&result);
}
END_TEST

START_TEST(a_service_without_a_program_is_an_error)
{
	struct rig_result result = rig_import("service x\n{\ntype = UNLISTED\nport = 39001\n}\n", false);

	ck_assert_uint_eq(result.errors, 1);
	rig_expect(result.messages, "in:1: error: service 'x' has no server");
	rig_free(&result);
}
END_TEST

START_TEST(user_and_group_are_names)
{
	struct rig_result result = rig_import("39001 stream tcp nowait 0 /bin/sh\n"
					      "39002 stream tcp nowait root.0 /bin/sh\n",
		false);

	rig_expect(result.text, "user = \"root\";\n\t\t};");
	rig_expect(result.text, "user = \"root\";\n\t\t\tgroup = \"root\";");
	rig_free(&result);
}
END_TEST

START_TEST(a_user_or_group_that_is_not_there_is_not_served)
{
	struct rig_result result = rig_import("39001 stream tcp nowait no-such-user /bin/sh\n"
					      "39002 stream tcp nowait root:no-such-group /bin/sh\n",
		false);

	rig_expect(result.text, "# - not served: its user \"no-such-user\" is not there");
	rig_expect(result.text, "# - not served: its group \"no-such-group\" is not there");
	rig_free(&result);
}
END_TEST

/* A user of this machine in more than one group, or NULL. */
static const struct passwd *
find_member(void)
{
	const struct passwd *user;

	setpwent();
	while ((user = getpwent()) != NULL) {
		gid_t groups[64];
		int count = CP_COUNT(groups);

		if (getgrouplist(user->pw_name, user->pw_gid, groups, &count) > 1)
			break;
	}
	endpwent();
	return user;
}

START_TEST(further_groups_are_taken_away_unless_asked_for)
{
	const struct passwd *user = find_member();
	char text[300];
	struct rig_result result;

	/* A machine where nobody is in two groups has nothing to show. */
	if (user == NULL)
		return;
	snprintf(text, sizeof(text), "service x\n{\ntype = UNLISTED\nport = 39001\nuser = %s\nserver = /bin/sh\n}\n",
		user->pw_name);
	result = rig_import(text, false);
	rig_expect(result.text, "groups = [ ");
	rig_free(&result);
	snprintf(text, sizeof(text),
		"service x\n{\ntype = UNLISTED\nport = 39001\nuser = %s\ngroups = yes\nserver = /bin/sh\n}\n",
		user->pw_name);
	result = rig_import(text, false);
	rig_expect_not(result.text, "groups = [ ");
	rig_free(&result);
}
END_TEST

START_TEST(the_environment_is_taken_over)
{
	rig_check_service("env = A=1 B=\"2\"\nenv += C=3", "environment = [ \"A=1\", \"B=\\\"2\\\"\", \"C=3\" ];");
	rig_check_service("env = A", "\"A\" is no variable");
	rig_check_service("passenv = PATH LANG", "pass_environment = [ \"PATH\", \"LANG\" ];");
	rig_check_service("passenv =", "became listeners: 1;");
}
END_TEST

START_TEST(umask_and_nice_are_numbers)
{
	rig_check_service("umask = 27", "umask = \"0027\";");
	rig_check_service("umask = 8", "expected a number");
	rig_check_service("umask = 1000", "expected a number");
	rig_check_service("nice = -5", "nice = -5;");
	rig_check_service("nice = 25", "expected a number from -20 to 19");
	rig_check_service("nice = 1x", "expected a number");
}
END_TEST

START_TEST(limits_have_their_units)
{
	rig_check_service("rlimit_as = 8M", "limit_address_space = \"8MiB\";");
	rig_check_service("rlimit_data = 64K", "limit_data = \"64KiB\";");
	rig_check_service("rlimit_stack = 65536", "limit_stack = \"65536B\";");
	rig_check_service("rlimit_cpu = 20", "limit_cpu = \"20s\";");
	rig_check_service("rlimit_files = 64", "limit_open_files = 64;");
	rig_check_service("rlimit_as = 8G", "expected a number of bytes");
	rig_check_service("rlimit_cpu = 0", "expected a number");
}
END_TEST

START_TEST(no_limit_is_not_written)
{
	struct rig_result result = rig_import_service("rlimit_as = UNLIMITED\nrlimit_cpu = UNLIMITED");

	rig_expect_not(result.text, "limit_");
	ck_assert_uint_eq(result.warnings, 0);
	rig_free(&result);
}
END_TEST

static Suite *
convert_program_suite(void)
{
	Suite *suite = suite_create("import/convert_program");
	TCase *tc;

	tc = tcase_create("command");
	tcase_add_test(tc, the_program_stands_before_its_arguments);
	tcase_add_test(tc, another_name_for_the_program_is_a_comment);
	tcase_add_test(tc, tcpd_is_left_out);
	tcase_add_test(tc, a_program_that_is_not_there_is_not_served);
	tcase_add_test(tc, a_service_without_a_program_is_an_error);
	suite_add_tcase(suite, tc);
	tc = tcase_create("user");
	tcase_add_test(tc, user_and_group_are_names);
	tcase_add_test(tc, a_user_or_group_that_is_not_there_is_not_served);
	tcase_add_test(tc, further_groups_are_taken_away_unless_asked_for);
	suite_add_tcase(suite, tc);
	tc = tcase_create("surroundings");
	tcase_add_test(tc, the_environment_is_taken_over);
	tcase_add_test(tc, umask_and_nice_are_numbers);
	tcase_add_test(tc, limits_have_their_units);
	tcase_add_test(tc, no_limit_is_not_written);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	return rig_run(convert_program_suite());
}
