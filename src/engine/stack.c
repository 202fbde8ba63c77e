/* SPDX-License-Identifier: MIT */
/*
 * stack - see stack.h.
 *
 * Called by fiber.c on worker threads, once a stack, not once a connection: idle fibers keep theirs. What the kernel
 * refuses is answered by the next best guard, never by a failure: only the mapping itself can fail.
 */
#include "config.h"

#include "engine/stack.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "engine/sanitize.h"

/* Linux 6.13; Debian 12 has older headers than that but may run on a newer kernel. */
#define ADVICE_GUARD_INSTALL 102

#define CANARY_BYTES 64

enum kernel_answer { NOT_ASKED, HAS_GUARDS, HAS_NO_GUARDS };

/* Relaxed: two threads that ask at once get the same answer. */
static atomic_int kernel_answer = NOT_ASKED;
/* Relaxed: a count of mappings, orders nothing. */
static atomic_uint mprotect_count;
static unsigned mprotect_max = STACK_MPROTECT_MAX;

static size_t
page_bytes(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t
round_up(size_t bytes, size_t unit)
{
	return (bytes + unit - 1) / unit * unit;
}

static char *
map(size_t bytes)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
	char *mapping;

	if (mem_should_fail())
		return NULL;
	mapping = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (mapping == MAP_FAILED)
		return NULL;
	/* A huge page would make a touched stack cost 2 MiB. New kernels take MAP_STACK to mean this, old do not. */
	(void)madvise(mapping, bytes, MADV_NOHUGEPAGE);
	return mapping;
}

static bool
kernel_has_guards(void)
{
	int answer = atomic_load_explicit(&kernel_answer, memory_order_relaxed);

	if (answer == NOT_ASKED) {
		const size_t bytes = page_bytes();
		void *page = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (page == MAP_FAILED)
			return false;
		answer = madvise(page, bytes, ADVICE_GUARD_INSTALL) == 0 ? HAS_GUARDS : HAS_NO_GUARDS;
		(void)munmap(page, bytes);
		atomic_store_explicit(&kernel_answer, answer, memory_order_relaxed);
	}
	return answer == HAS_GUARDS;
}

enum stack_guard
stack_guard_kind(void)
{
	if (kernel_has_guards())
		return STACK_GUARD_MADVISE;
	if (atomic_load_explicit(&mprotect_count, memory_order_relaxed) < mprotect_max)
		return STACK_GUARD_MPROTECT;
	return STACK_GUARD_CANARY;
}

static bool
guard_by_mprotect(char *mapping, size_t guard_bytes)
{
	if (atomic_fetch_add_explicit(&mprotect_count, 1, memory_order_relaxed) < mprotect_max &&
		mprotect(mapping, guard_bytes, PROT_NONE) == 0)
		return true;
	atomic_fetch_sub_explicit(&mprotect_count, 1, memory_order_relaxed);
	return false;
}

static enum stack_guard
install_guard(char *mapping, size_t guard_bytes)
{
	/* Fails also where memory is locked (mlockall(2)), on some kernels that have it. */
	if (kernel_has_guards() && madvise(mapping, guard_bytes, ADVICE_GUARD_INSTALL) == 0)
		return STACK_GUARD_MADVISE;
	if (guard_by_mprotect(mapping, guard_bytes))
		return STACK_GUARD_MPROTECT;
	return STACK_GUARD_CANARY;
}

int
stack_open(struct stack *stack, size_t bytes)
{
	const size_t page = page_bytes();
	const size_t guard_bytes = round_up(STACK_GUARD_BYTES, page);
	char *mapping;

	if (bytes > SIZE_MAX / 2)
		return -ENOMEM;
	bytes = round_up(bytes, page);
	mapping = map(guard_bytes + bytes);
	if (mapping == NULL)
		return -ENOMEM;
	stack->mapping = mapping;
	stack->mapping_bytes = guard_bytes + bytes;
	stack->base = mapping + guard_bytes;
	stack->bytes = bytes;
	stack->guard = install_guard(mapping, guard_bytes);
	stack->valgrind_id = sanitize_register_stack(stack->base, bytes);
	return 0;
}

void
stack_close(struct stack *stack)
{
	if (stack->mapping == NULL)
		return;
	sanitize_deregister_stack(stack->valgrind_id);
	sanitize_asan_forget(stack->base, stack->bytes);
	if (stack->guard == STACK_GUARD_MPROTECT)
		atomic_fetch_sub_explicit(&mprotect_count, 1, memory_order_relaxed);
	/*
	 * Cutting a hole into a mapping that the kernel has merged can hit vm.max_map_count. Then at least the memory
	 * goes back; the addresses are lost.
	 */
	if (munmap(stack->mapping, stack->mapping_bytes) != 0)
		(void)madvise(stack->base, stack->bytes, MADV_DONTNEED);
	memset(stack, 0, sizeof(*stack));
}

void
stack_release_below(const struct stack *stack, const char *limit)
{
	const size_t page = page_bytes();

	CP_ASSERT(limit >= stack->base && limit <= stack->base + stack->bytes);
	if ((size_t)(limit - stack->base) >= page)
		(void)madvise(stack->base, (size_t)(limit - stack->base) / page * page, MADV_DONTNEED);
}

bool
stack_canary_is_intact(const struct stack *stack)
{
	const uint64_t *canary = (const uint64_t *)(const void *)(stack->base - CANARY_BYTES);
	uint64_t seen = 0;

	for (size_t i = 0; i < CANARY_BYTES / sizeof(*canary); i++)
		seen |= canary[i];
	return seen == 0;
}

bool
stack_guard_contains(const struct stack *stack, const void *address)
{
	const uintptr_t first = (uintptr_t)stack->mapping - 4096;

	return (uintptr_t)address - first < (uintptr_t)stack->base - first;
}

void
stack_test_limit_guards(unsigned max)
{
	atomic_store_explicit(&kernel_answer, HAS_NO_GUARDS, memory_order_relaxed);
	mprotect_max = max;
}

void
stack_test_reset_guards(void)
{
	atomic_store_explicit(&kernel_answer, NOT_ASKED, memory_order_relaxed);
	mprotect_max = STACK_MPROTECT_MAX;
}
