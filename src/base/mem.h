/* SPDX-License-Identifier: MIT */
/*
 * mem - the heap, with a way for tests to run out of it.
 *
 * Every allocation of the daemon goes through here, so that the branches for "no memory" can be driven.
 * All functions may be called from any thread; memory is returned with mem_free() or mem_freep().
 */
#ifndef CP_BASE_MEM_H
#define CP_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/defs.h"

/* Zeroed memory, owned by the caller; NULL when there is none. size 0 is taken as 1. */
CP_MUST_CHECK void *mem_zalloc(size_t size);
/* Zeroed array; NULL when there is no memory or count * size overflows. */
CP_MUST_CHECK void *mem_zalloc_array(size_t count, size_t size);
/* As realloc(3) for an array; what is new in it is not zeroed. On NULL the old one is untouched. */
CP_MUST_CHECK void *mem_realloc_array(void *ptr, size_t count, size_t size);
/* Owned copy; NULL when out of memory or str is NULL. */
CP_MUST_CHECK char *mem_strdup(const char *str);
/* Owned formatted string; NULL when out of memory. */
CP_MUST_CHECK CP_PRINTF(1, 2) char *mem_printf(const char *fmt, ...);
/* Accepts NULL. */
void mem_free(void *ptr);
/* Frees *holder and sets it to NULL. holder is a pointer to any pointer. */
#define mem_freep(holder) \
	do { \
		mem_free(*(holder)); \
		*(holder) = NULL; \
	} while (0)

/* Tests only: the n-th allocation from now (1 = the next), by any thread, fails; 0: none does. */
void mem_fail_after(unsigned n);

/*
 * For allocators beside the heap (slab.c): counts as one allocation. true: fail, as if there were no memory; errno is
 * ENOMEM then. Any thread; costs a load unless a test has called mem_fail_after().
 */
static inline bool mem_should_fail(void);

/* private: mem.c; how many allocations until the one that fails, 0: none does */
extern unsigned mem_fail_countdown;
bool mem_count_down(void);

static inline bool
mem_should_fail(void)
{
	return __builtin_expect(__atomic_load_n(&mem_fail_countdown, __ATOMIC_RELAXED) != 0, 0) && mem_count_down();
}

#endif
