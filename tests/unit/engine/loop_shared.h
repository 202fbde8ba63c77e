/* SPDX-License-Identifier: MIT */
/*
 * loop_shared.h - the part of test_loop that is about descriptors which others hold too. It has a loop of its own.
 */
#ifndef CP_TESTS_UNIT_ENGINE_LOOP_SHARED_H
#define CP_TESTS_UNIT_ENGINE_LOOP_SHARED_H

#include <check.h>

TCase *loop_shared_case(void);

#endif
