/* SPDX-License-Identifier: MIT */
/*
 * callnotes.c - see callnotes.h.
 */
#include "config.h"

#include "callnotes.h"

#include <check.h>
#include <errno.h>

ssize_t note_results[NOTES_MAX];
int note_errors[NOTES_MAX];
unsigned note_count;

void
notes_reset(void)
{
	note_count = 0;
}

ssize_t
note(ssize_t result)
{
	ck_assert_uint_lt(note_count, NOTES_MAX);
	note_errors[note_count] = result < 0 ? errno : 0;
	note_results[note_count++] = result;
	return result;
}

void
expect_note(unsigned i, ssize_t result, int error)
{
	ck_assert_uint_gt(note_count, i);
	ck_assert_int_eq(note_results[i], result);
	ck_assert_int_eq(note_errors[i], error);
}
