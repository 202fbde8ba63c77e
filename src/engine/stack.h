/* SPDX-License-Identifier: MIT */
/*
 * stack - memory for fibers: mapped, touched only where used, a guard below each.
 *
 * The guard is MADV_GUARD_INSTALL where the kernel has it (Linux 6.13: no split of the mapping). Where it has not,
 * mprotect(2) for the first STACK_MPROTECT_MAX of the process (a split mapping counts twice against
 * vm.max_map_count) and a canary at the low end beyond that, checked by stack_is_intact() at each switch.
 */
#ifndef CP_ENGINE_STACK_H
#define CP_ENGINE_STACK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/defs.h"

#define STACK_MPROTECT_MAX 16000

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
/* The canary, where that is the guard, still stands. Cheap. */
bool stack_is_intact(const struct stack *stack);
/* address lies in the guard: whoever touched it ran over the end. Async-signal-safe. */
bool stack_guard_contains(const struct stack *stack, const void *address);
/* Which guard the next stack_open() would use; the kernel is asked once. */
enum stack_guard stack_guard_kind(void);

#endif
