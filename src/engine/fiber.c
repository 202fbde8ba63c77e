/* SPDX-License-Identifier: MIT */
/*
 * fiber - see fiber.h.
 *
 * A fiber's stack carries its struct fiber at the top, then the frame of trampoline(), which runs one function after
 * the other and never returns. makecontext(3) is used once, to get onto a new stack; from then on both sides only save
 * their registers (sigsetjmp without the signal mask) and jump to the other's.
 *
 * On worker threads; everything that a switch needs is the thread's own.
 */

/*
 * The longjmp of _FORTIFY_SOURCE takes a jump to another stack for an attack. Undone here rather than by a compiler
 * flag, because a user's CPPFLAGS come after all of ours.
 */
#undef _FORTIFY_SOURCE
#include "config.h"

#include "engine/fiber.h"

#include <errno.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fault.h"
#include "base/mem.h"
#include "engine/sanitize.h"
#include "engine/stack.h"

#define FIBER_MAGIC 0x46696272u
#define FIBER_POOL_MAGIC 0x46705f6cu

/*
 * Stacks begin at pages, and what all of them use most would fall into the same few sets of the cache: with a thousand
 * fibers in turn a switch cost twice as much. So their tops are staggered within the page.
 */
#define STAGGER_STEPS 4
#define STAGGER_BYTES 512

/* One side of a switch. */
struct context {
	sigjmp_buf env;
	struct sanitize sanitize;
};

struct fiber {
	uint32_t magic;
	fiber_fn *fn;         /* what it runs; NULL: it is idle, and entering it ends it */
	void *arg;
	struct fiber_pool *pool;
	struct fiber *next;   /* idle ones */
	const char *low;      /* the frame that an idle one waits in */
	const void *thread;   /* whose it is: &thread_context there */
	cxx_globals_fn *cxx;  /* NULL: it has no state of C++ */
	struct cxx_globals other; /* while it runs, the thread's own; while it does not, the fiber's */
	struct stack stack;
	struct context context;
};

struct fiber_pool {
	uint32_t magic;
	unsigned keep;
	unsigned busy_count;
	unsigned idle_count;
	unsigned made_count;     /* wraps */
	struct fiber *idle;      /* last in, first out: its stack is in the cache */
	size_t stack_bytes;
	char *overflow_text;     /* composed ahead, because it is written by a signal handler */
	size_t overflow_length;
};

static _Thread_local struct context thread_context;
static _Thread_local struct fiber *current;

/* ---- switching -------------------------------------------------------------- */

/*
 * Returns when somebody switches back to from. A macro, because a function that uses setjmp cannot be inlined, and
 * every return on a stack just jumped to costs a mispredicted branch: the processor expects the other stack's caller.
 * For the same reason those that use it return to the caller of this file directly.
 */
#define SWITCH_CONTEXT(from, to) \
	do { \
		if (sigsetjmp((from)->env, 0) == 0) { \
			sanitize_leave(&(from)->sanitize, &(to)->sanitize, false); \
			siglongjmp((to)->env, 1); \
		} \
		sanitize_arrive(&(from)->sanitize, NULL); \
	} while (0)

/* The outermost frame of every fiber. */
static void
trampoline(void)
{
	struct fiber *fiber = current;

	sanitize_arrive(&fiber->context.sanitize, &thread_context.sanitize);
	fiber->low = __builtin_frame_address(0);
	for (;;) {
		SWITCH_CONTEXT(&fiber->context, &thread_context);
		if (fiber->fn == NULL)
			break;
		fiber->fn(fiber->arg);
		fiber->fn = NULL;
	}
	sanitize_leave(&fiber->context.sanitize, &thread_context.sanitize, true);
	siglongjmp(thread_context.env, 1);
}

/* Takes a new fiber to where idle ones wait. */
static __attribute__((noinline)) void
start(struct fiber *fiber)
{
	ucontext_t context;

	CP_ASSERT(getcontext(&context) == 0);
	context.uc_stack.ss_sp = fiber->stack.base;
	context.uc_stack.ss_size = (size_t)((char *)fiber - fiber->stack.base);
	context.uc_link = NULL;
	makecontext(&context, trampoline, 0);
	current = fiber;
	if (sigsetjmp(thread_context.env, 0) == 0) {
		sanitize_leave(&thread_context.sanitize, &fiber->context.sanitize, false);
		setcontext(&context);
		CP_ASSERT(!"setcontext returned");
	}
	sanitize_arrive(&thread_context.sanitize, NULL);
	current = NULL;
}

static void
write_overflow_text(const struct fiber_pool *pool)
{
	ssize_t ignored = write(STDERR_FILENO, pool->overflow_text, pool->overflow_length);

	(void)ignored;
}

static CP_NORETURN __attribute__((cold)) void
abort_for_overflow(const struct fiber *fiber)
{
	write_overflow_text(fiber->pool);
	abort();
}

/* ---- fibers ------------------------------------------------------------------- */

static struct fiber *
fiber_new(struct fiber_pool *pool)
{
	struct stack stack;
	struct fiber *fiber;
	char *top;

	if (stack_open(&stack, pool->stack_bytes) != 0)
		return NULL;
	top = stack.base + stack.bytes - sizeof(struct fiber);
	top -= (uintptr_t)top % 64 + pool->made_count++ % STAGGER_STEPS * STAGGER_BYTES;
	fiber = (struct fiber *)(void *)top; /* zeroed, as all new mappings */
	fiber->magic = FIBER_MAGIC;
	fiber->pool = pool;
	fiber->thread = &thread_context;
	fiber->stack = stack;
	sanitize_init_thread(&thread_context.sanitize);
	sanitize_init_fiber(&fiber->context.sanitize, stack.base, (size_t)(top - stack.base));
	start(fiber);
	return fiber;
}

/* Idle ones only. Lets it end, so that what the sanitizers keep for it is freed. */
static __attribute__((noinline)) void
fiber_free(struct fiber *fiber)
{
	struct stack stack;

	CP_ASSERT(fiber->fn == NULL && fiber->thread == &thread_context);
	current = fiber;
	SWITCH_CONTEXT(&thread_context, &fiber->context);
	current = NULL;
	fiber->magic = 0;
	sanitize_fini_fiber(&fiber->context.sanitize);
	stack = fiber->stack;
	stack_close(&stack);
}

/* Its function has returned. */
static inline void
put_idle(struct fiber_pool *pool, struct fiber *fiber)
{
	pool->busy_count--;
	if (__builtin_expect(pool->idle_count >= pool->keep, 0)) {
		fiber_free(fiber);
		return;
	}
	fiber->next = pool->idle;
	pool->idle = fiber;
	pool->idle_count++;
}

static inline struct fiber *
pop_idle(struct fiber_pool *pool)
{
	struct fiber *fiber = pool->idle;

	pool->idle = fiber->next;
	pool->idle_count--;
	return fiber;
}

static __attribute__((noinline)) void
swap_cxx(struct fiber *fiber)
{
	struct cxx_globals *globals = fiber->cxx();
	struct cxx_globals before = *globals;

	*globals = fiber->other;
	fiber->other = before;
}

/* Runs it until it leaves its stack again. 0 or 1, as fiber_run(); ret_fiber may be NULL. */
static int
go_on(struct fiber *fiber, struct fiber **ret_fiber)
{
	CP_ASSERT(fiber->thread == &thread_context);
	current = fiber;
	if (__builtin_expect(fiber->cxx != NULL, 0))
		swap_cxx(fiber);
	SWITCH_CONTEXT(&thread_context, &fiber->context);
	current = NULL;
	if (__builtin_expect(!stack_is_intact(&fiber->stack), 0))
		abort_for_overflow(fiber);
	if (__builtin_expect(fiber->cxx != NULL, 0))
		swap_cxx(fiber);
	if (fiber->fn == NULL) {
		fiber->cxx = NULL;
		put_idle(fiber->pool, fiber);
		return 0;
	}
	if (ret_fiber != NULL)
		*ret_fiber = fiber;
	return 1;
}

int
fiber_run(struct fiber_pool *pool, fiber_fn *fn, void *arg, struct fiber **ret_fiber)
{
	struct fiber *fiber;

	CP_CHECK_MAGIC(pool, FIBER_POOL_MAGIC);
	CP_ASSERT(current == NULL && fn != NULL);
	fiber = pool->idle != NULL ? pop_idle(pool) : fiber_new(pool);
	if (fiber == NULL)
		return -ENOMEM;
	fiber->fn = fn;
	fiber->arg = arg;
	pool->busy_count++;
	return go_on(fiber, ret_fiber);
}

int
fiber_resume(struct fiber *fiber)
{
	CP_CHECK_MAGIC(fiber, FIBER_MAGIC);
	CP_ASSERT(current == NULL && fiber->fn != NULL);
	return go_on(fiber, NULL);
}

void
fiber_suspend(void)
{
	struct fiber *fiber = current;

	CP_ASSERT(fiber != NULL);
	SWITCH_CONTEXT(&fiber->context, &thread_context);
}

void
fiber_set_cxx(cxx_globals_fn *cxx)
{
	struct fiber *fiber = current;

	CP_ASSERT(fiber != NULL && fiber->cxx == NULL);
	if (cxx == NULL)
		return;
	fiber->other = (struct cxx_globals){0};
	fiber->cxx = cxx;
	swap_cxx(fiber);
}

struct fiber *
fiber_current(void)
{
	return current;
}

/* ---- pool --------------------------------------------------------------------- */

struct fiber_pool *
fiber_pool_new(size_t stack_bytes, unsigned keep, const char *label)
{
	struct fiber_pool *pool = mem_zalloc(sizeof(*pool));

	if (pool == NULL)
		return NULL;
	pool->magic = FIBER_POOL_MAGIC;
	pool->stack_bytes = stack_bytes;
	pool->keep = keep;
	pool->overflow_text = mem_printf(
		"connpoold: stack overflow in a fiber of pool '%s': raise its stack_size (now %zu bytes)\n",
		label, stack_bytes);
	if (pool->overflow_text == NULL) {
		fiber_pool_free(&pool);
		return NULL;
	}
	pool->overflow_length = strlen(pool->overflow_text);
	return pool;
}

void
fiber_pool_free(struct fiber_pool **holder)
{
	struct fiber_pool *pool = *holder;

	if (pool == NULL)
		return;
	CP_CHECK_MAGIC(pool, FIBER_POOL_MAGIC);
	CP_ASSERT(pool->busy_count == 0);
	while (pool->idle != NULL)
		fiber_free(pop_idle(pool));
	pool->magic = 0;
	mem_free(pool->overflow_text);
	mem_freep(holder);
}

void
fiber_pool_trim(struct fiber_pool *pool, unsigned keep_now)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);

	CP_CHECK_MAGIC(pool, FIBER_POOL_MAGIC);
	CP_ASSERT(current == NULL);
	while (pool->idle_count > keep_now)
		fiber_free(pop_idle(pool));
	/* One page below the frame it waits in is for the frames that this one calls. */
	for (struct fiber *fiber = pool->idle; fiber != NULL; fiber = fiber->next) {
		if (fiber->low >= fiber->stack.base + page)
			stack_release_below(&fiber->stack, fiber->low - page);
	}
}

unsigned
fiber_pool_busy(const struct fiber_pool *pool)
{
	return pool->busy_count;
}

unsigned
fiber_pool_idle(const struct fiber_pool *pool)
{
	return pool->idle_count;
}

/* ---- faults ------------------------------------------------------------------- */

/* On the thread's signal stack: the fiber's own is full. */
static void
explain_fault(uintptr_t address, uintptr_t stack_pointer)
{
	if (current == NULL)
		return;
	if (stack_guard_contains(&current->stack, (const void *)address) ||
		stack_is_overrun_by(&current->stack, stack_pointer))
		write_overflow_text(current->pool);
}

void
fiber_explain_faults(void)
{
	fault_set_explainer(explain_fault);
}
