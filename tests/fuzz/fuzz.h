/* SPDX-License-Identifier: MIT */
/*
 * fuzz - what each target has: one function that takes any bytes, and aborts when what it tests is wrong.
 *
 * Built with --enable-fuzzers (clang) a target is a libFuzzer program. Built otherwise it is a test of `make check`
 * that runs over its seeds in tests/fuzz/corpus/ (seeds.c), so that neither it nor they rot.
 */
#ifndef CP_TESTS_FUZZ_FUZZ_H
#define CP_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

/* The name is libFuzzer's. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The bytes as a string, which ends at the first NUL; owned. */
static inline char *
fuzz_string(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	CP_ASSERT(text != NULL);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

#endif
