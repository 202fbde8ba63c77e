/* SPDX-License-Identifier: MIT */
/*
 * Who may connect, how often, and what is said about it.
 */
#include "config.h"

#include "import/convert_parts.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "rig.h"

START_TEST(lists_are_taken_over)
{
	rig_check_service("only_from = 10.1.0.0 ::1", "allow = [ \"10.1.0.0/16\", \"::1\" ];");
	rig_check_service("no_access = 10.1.{2,3}", "deny = [ \"10.1.2.0/24\", \"10.1.3.0/24\" ];");
	rig_check_service("only_from = 10.0.0.0\nno_access = 10.0.0.9",
		"allow = [ \"10.0.0.0/8\" ];\n\t\tdeny = [ \"10.0.0.9\" ];");
}
END_TEST

START_TEST(what_stands_in_both_lists_is_denied)
{
	struct rig_result result =
		rig_import_service("only_from = 10.0.0.0/24 127.0.0.1\nno_access = 10.0.0.9/24 10.0.0.7/24");

	rig_expect(result.text, "allow = [ \"127.0.0.1\" ];\n\t\tdeny = [ \"10.0.0.0/24\"");
	rig_expect(result.text, "10.0.0.0/24 stands in no_access too, so it is denied");
	rig_free(&result);
	rig_check_service("only_from = ::1\nno_access = ::1", "\t\tdeny = [ \"::1\", \"0.0.0.0/0\", \"::/0\" ];");
}
END_TEST

START_TEST(an_empty_list_lets_nobody_in)
{
	rig_check_service("only_from =", "\t\tdeny = [ \"0.0.0.0/0\", \"::/0\" ];");
}
END_TEST

START_TEST(names_never_open_a_listener)
{
	struct rig_result result = rig_import_service("only_from = trusted.example.org");

	rig_expect(result.text, "\t\tdeny = [ \"0.0.0.0/0\", \"::/0\" ];");
	rig_expect(result.messages, "in:9: warning: only_from: \"trusted.example.org\" is a name");
	rig_free(&result);
	rig_check_service("only_from = trusted.example.org 10.0.0.1", "allow = [ \"10.0.0.1\" ];");
	rig_check_service(
		"only_from = trusted.example.org\nno_access = 0.0.0.0", "deny = [ \"0.0.0.0/0\", \"::/0\" ];");
}
END_TEST

START_TEST(numbers_of_connections_are_taken_over)
{
	rig_check_service("instances = 50", "max_connections = 50;");
	rig_check_service("per_source = 3", "max_per_source = 3;");
	rig_check_service("instances = -1", "expected a number");
	rig_check_service("per_source = many", "expected a number");
}
END_TEST

START_TEST(no_limit_is_not_written)
{
	struct rig_result result = rig_import_service("instances = UNLIMITED\nper_source = UNLIMITED");

	rig_expect_not(result.text, "max_connections =");
	rig_expect_not(result.text, "max_per_source =");
	rig_free(&result);
}
END_TEST

START_TEST(the_text_for_refused_clients_is_taken_over)
{
	char folder[] = "/tmp/cp-access-XXXXXX", path[256], attributes[300];

	ck_assert_ptr_nonnull(mkdtemp(folder));
	rig_write(folder, "busy", "Sorry,\n\"full\".\n", path);
	snprintf(attributes, sizeof(attributes), "banner_fail = %s", path);
	rig_check_service(attributes, "busy_message = \"Sorry,\\n\\\"full\\\".\\n\";");
	rig_write(folder, "busy", "", path);
	rig_check_service(attributes, "a message has at least a byte");
	ck_assert_int_eq(unlink(path), 0);
	rig_check_service(attributes, "cannot read the file: No such file");
	ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

START_TEST(what_is_logged_is_a_comment_where_it_differs)
{
	rig_check_service("log_on_failure += USERID", "ident (RFC 1413) is not asked");
	rig_check_service("log_on_success =", "log.connections = false");
}
END_TEST

static Suite *
convert_access_suite(void)
{
	Suite *suite = suite_create("import/convert_access");
	TCase *tc;

	tc = tcase_create("lists");
	tcase_add_test(tc, lists_are_taken_over);
	tcase_add_test(tc, what_stands_in_both_lists_is_denied);
	tcase_add_test(tc, an_empty_list_lets_nobody_in);
	tcase_add_test(tc, names_never_open_a_listener);
	suite_add_tcase(suite, tc);
	tc = tcase_create("limits");
	tcase_add_test(tc, numbers_of_connections_are_taken_over);
	tcase_add_test(tc, no_limit_is_not_written);
	suite_add_tcase(suite, tc);
	tc = tcase_create("texts");
	tcase_add_test(tc, the_text_for_refused_clients_is_taken_over);
	tcase_add_test(tc, what_is_logged_is_a_comment_where_it_differs);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	return rig_run(convert_access_suite());
}
