/* SPDX-License-Identifier: MIT */
/*
 * assert - for bugs, never for input or I/O; they stay on in release builds.
 *
 * CP_ASSERT is for checks that cost a compare. CP_DEBUG_ASSERT may walk a list; it is compiled out
 * unless configure was given --enable-debug. CP_PTHREAD wraps calls that fail only by a bug of ours.
 *
 * Long-lived objects start with a magic number, set by init and cleared by fini. CP_CHECK_MAGIC opens
 * the functions that take one; CP_CAST turns a void pointer back into one and checks it.
 */
#ifndef CP_BASE_ASSERT_H
#define CP_BASE_ASSERT_H

#include <stdint.h>

#include "base/defs.h"

#define CP_ASSERT(expr) \
	(__builtin_expect(!!(expr), 1) ? (void)0 : assert_failed(#expr, __FILE__, __LINE__, __func__))

#ifdef CP_DEBUG
#define CP_DEBUG_ASSERT(expr) CP_ASSERT(expr)
#else
/* Not evaluated, but what it names counts as used. */
#define CP_DEBUG_ASSERT(expr) ((void)sizeof(!!(expr)))
#endif

#define CP_PTHREAD(call) \
	do { \
		int cp_pthread_error_ = (call); \
		if (__builtin_expect(cp_pthread_error_ != 0, 0)) \
			assert_pthread_failed(#call, cp_pthread_error_, __FILE__, __LINE__); \
	} while (0)

#define CP_CHECK_MAGIC(ptr, number) CP_ASSERT((ptr) != NULL && (ptr)->magic == (number))

/* type must have magic as its first member. */
#define CP_CAST(ptr, type, number) ((type *)assert_magic((ptr), (number), #type, __FILE__, __LINE__))

/* Writes where and what to standard error, without allocating, and aborts. */
CP_NORETURN void assert_failed(const char *expr, const char *file, int line, const char *func);
CP_NORETURN void assert_pthread_failed(const char *call, int error, const char *file, int line);

/* Writes these texts, up to NULL, as one line to standard error and aborts. As async-signal-safe as the others. */
CP_NORETURN void assert_say_and_abort(const char *const *texts);

/* Returns ptr; aborts when it is NULL or its first 32 bits are not number. */
void *assert_magic(void *ptr, uint32_t number, const char *type, const char *file, int line);

#endif
