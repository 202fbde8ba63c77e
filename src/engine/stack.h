/* SPDX-License-Identifier: MIT */
/*
 * stack - memory for fibers: mapped, touched only where used, a guard below each.
 *
 * The guard is so large that a frame with a big array does not reach across it into the next stack, also in code that
 * was compiled without -fstack-clash-protection. It is address space, not memory.
 *
 * It is made of the kernel's guard markers (MADV_GUARD_INSTALL, Linux 6.13: no mapping of its own). Where the kernel
 * has none, it is inaccessible memory (PROT_NONE) for the first STACK_MPROTECT_MAX of the process, since each counts
 * twice against vm.max_map_count. Beyond that it is accessible but unused, so that nobody else's memory is written to,
 * and a canary is checked by stack_is_intact() at each switch. The canary is the 64 bytes next below the stack, which
 * must read as zero: so it costs no page as long as nobody runs over it.
 */
#ifndef CP_ENGINE_STACK_H
#define CP_ENGINE_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"

#define STACK_MPROTECT_MAX 16000
/* 32 bits have no addresses for a large one. */
#define STACK_GUARD_BYTES (sizeof(void *) >= 8 ? (size_t)1 << 20 : (size_t)65536)
/* When addresses are short. */
#define STACK_GUARD_BYTES_LEAST 16384

enum stack_guard { STACK_GUARD_MADVISE, STACK_GUARD_MPROTECT, STACK_GUARD_CANARY };

struct stack {
	char *mapping;         /* start of the mapping = start of the guard */
	size_t mapping_bytes;  /* guard included */
	char *base;            /* lowest usable byte */
	size_t bytes;          /* usable */
	enum stack_guard guard;
	unsigned valgrind_id;
};

/* bytes is rounded up to whole pages, the guard comes on top. 0 or -ENOMEM. Any thread. */
CP_MUST_CHECK int stack_open(struct stack *stack, size_t bytes);
/* Accepts a zeroed one; leaves it zeroed. Not while something runs on it. */
void stack_close(struct stack *stack);
/* Gives the whole pages below limit back to the kernel; they read as zero when they are touched again. */
void stack_release_below(const struct stack *stack, const char *limit);
/* address lies in the guard, or up to a page below it: whoever touched it ran over the end. Async-signal-safe. */
bool stack_guard_contains(const struct stack *stack, const void *address);
/* A stack pointer below the end: a frame was begun that has no room. Async-signal-safe. */
bool stack_is_overrun_by(const struct stack *stack, uintptr_t stack_pointer);
/* Which guard the next stack_open() would use; the kernel is asked once. */
enum stack_guard stack_guard_kind(void);

/* private: stack.c */
bool stack_canary_is_intact(const struct stack *stack);

/* The canary, where that is the guard, still stands. Cheap. */
static inline bool
stack_is_intact(const struct stack *stack)
{
	return stack->guard != STACK_GUARD_CANARY || stack_canary_is_intact(stack);
}

/* Tests only: as if the kernel knew no MADV_GUARD_INSTALL and STACK_MPROTECT_MAX were mprotect_max. */
void stack_test_limit_guards(unsigned mprotect_max);
/* Tests only: back to what the kernel has. */
void stack_test_reset_guards(void);

#endif
