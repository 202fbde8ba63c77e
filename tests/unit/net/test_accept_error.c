/* SPDX-License-Identifier: MIT */
/*
 * Tests of net/accept_error: who has to pause for which error.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>

#include <check.h>

#include "base/defs.h"
#include "net/accept_error.h"

START_TEST(an_error_of_one_connection_pauses_nobody)
{
	static const int errors[] = {EINTR, ECONNABORTED, EPROTO, EPERM, ENETDOWN, EHOSTUNREACH, ETIMEDOUT};

	for (size_t i = 0; i < CP_COUNT(errors); i++)
		ck_assert_int_eq(accept_error_kind(errors[i]), ACCEPT_ERROR_OF_CONNECTION);
}
END_TEST

START_TEST(a_shortage_concerns_every_socket)
{
	static const int errors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM};

	for (size_t i = 0; i < CP_COUNT(errors); i++)
		ck_assert_int_eq(accept_error_kind(errors[i]), ACCEPT_ERROR_OF_SHORTAGE);
}
END_TEST

START_TEST(any_other_is_of_the_socket_alone)
{
	static const int errors[] = {EINVAL, EBADF, ENOTSOCK, EFAULT, EIO};

	for (size_t i = 0; i < CP_COUNT(errors); i++)
		ck_assert_int_eq(accept_error_kind(errors[i]), ACCEPT_ERROR_OF_SOCKET);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("net/accept_error");
	TCase *tc = tcase_create("kinds");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, an_error_of_one_connection_pauses_nobody);
	tcase_add_test(tc, a_shortage_concerns_every_socket);
	tcase_add_test(tc, any_other_is_of_the_socket_alone);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
