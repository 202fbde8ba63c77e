/* SPDX-License-Identifier: MIT */
/*
 * fiber - functions that can be left in the middle and gone on with later, on the thread that started them.
 *
 * A fiber is created by makecontext(3) and switched by sigsetjmp(env, 0)/siglongjmp: no system call. Finished
 * fibers keep their stack and wait in their pool for the next function, up to a limit. ASan, TSan and valgrind
 * are told of every switch. Every call on the one thread that owns the pool; fibers may not call each other, only
 * the thread's own stack runs and resumes them.
 */
#ifndef CP_ENGINE_FIBER_H
#define CP_ENGINE_FIBER_H

#include <stddef.h>

#include "base/cxx.h"
#include "base/defs.h"

struct fiber;
struct fiber_pool;

typedef void fiber_fn(void *arg);

/*
 * stack_bytes: of each stack. keep: how many idle fibers are kept for reuse. label (copied) names, in the message of a
 * stack overflow, whose stack_size to raise. Owned; NULL when out of memory.
 */
CP_MUST_CHECK struct fiber_pool *fiber_pool_new(size_t stack_bytes, unsigned keep, const char *label);
/* Frees idle fibers; none may be running or suspended. Accepts NULL, nulls the holder. */
void fiber_pool_free(struct fiber_pool **pool);

/*
 * Runs fn(arg) on a fiber until it returns or suspends. Not from a fiber.
 * 0: it returned. 1: it suspended; *ret_fiber is it, borrowed until it returns. -ENOMEM: no stack, nothing was run.
 */
CP_MUST_CHECK int fiber_run(struct fiber_pool *pool, fiber_fn *fn, void *arg, struct fiber **ret_fiber);
/* Goes on with a suspended one until it returns (0) or suspends again (1). Not from a fiber. */
CP_MUST_CHECK int fiber_resume(struct fiber *fiber);
/* Leaves the running fiber; returns when it is resumed. Only from a fiber. */
void fiber_suspend(void);
/*
 * For code in C++: what its runtime keeps of the thread becomes the running fiber's own, and begins empty, until its
 * function returns. Without this, fibers that wait in catch blocks would get each other's exceptions. NULL: nothing.
 */
void fiber_set_cxx(cxx_globals_fn *cxx);
/* The running one, or NULL on the thread's own stack. */
struct fiber *fiber_current(void);

/*
 * Frees idle fibers beyond keep_now and gives back what the stacks of the others hold deep down: called when a burst is
 * over. Not from a fiber.
 */
void fiber_pool_trim(struct fiber_pool *pool, unsigned keep_now);
/* Fibers that run or are suspended, and idle ones. */
unsigned fiber_pool_busy(const struct fiber_pool *pool);
unsigned fiber_pool_idle(const struct fiber_pool *pool);

/* Once a process: from now on base/fault writes, of a stack overflow, also a line that names the label. */
void fiber_explain_faults(void);

#endif
