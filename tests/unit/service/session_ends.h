/* SPDX-License-Identifier: MIT */
/*
 * session_ends - the second half of service/session's tests: the ends that come from outside.
 */
#ifndef CP_TESTS_UNIT_SERVICE_SESSION_ENDS_H
#define CP_TESTS_UNIT_SERVICE_SESSION_ENDS_H

#include <check.h>

/* The cases "time-outs", "cancelling" and "resets". */
void add_ends(Suite *suite);

#endif
