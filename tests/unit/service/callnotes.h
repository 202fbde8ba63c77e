/* SPDX-License-Identifier: MIT */
/*
 * callnotes - what the calls of a handler gave: noted by the handler, looked at by the test. One thread.
 */
#ifndef CP_TESTS_UNIT_SERVICE_CALLNOTES_H
#define CP_TESTS_UNIT_SERVICE_CALLNOTES_H

#include <sys/types.h>

#define NOTES_MAX 64

extern ssize_t note_results[NOTES_MAX];
extern int note_errors[NOTES_MAX]; /* errno of those that failed */
extern unsigned note_count;

void notes_reset(void);
/* Returns result. */
ssize_t note(ssize_t result);
/* There is an i-th note, and it is so. */
void expect_note(unsigned i, ssize_t result, int error);

#endif
