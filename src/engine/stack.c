/* SPDX-License-Identifier: MIT */
/*
 * stack - see stack.h.
 *
 * Called by fiber.c on worker threads, once a stack, not once a connection: idle fibers keep theirs. What the kernel
 * refuses is answered by the next best guard, never by a failure: only the mapping itself can fail.
 *
 * A large guard must not cost memory. Guard markers of the kernel stand in page tables, which the span of addresses
 * needs in any case for the one page of each stack that is touched. Memory that is never accessible is charged to
 * nobody, but it is a mapping of its own.
 */
#include "config.h"

#include "engine/stack.h"

#include <errno.h>
#include <fcntl.h>
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

/* Farther below a stack than the largest frame that anybody would want there, its pointer is on another stack. */
#define OVERRUN_BYTES_MAX (8u << 20)

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

/* NULL: the kernel has no room for it. */
static char *
map(size_t bytes, int protection)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
	char *mapping = mmap(NULL, bytes, protection, flags, -1, 0);

	return mapping != MAP_FAILED ? mapping : NULL;
}

/* vm.overcommit_memory = 2 charges a writable mapping as a whole, whatever its guard leaves of it. */
static bool
kernel_charges_mappings(void)
{
	char mode = '0';
	int fd = open("/proc/sys/vm/overcommit_memory", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	if (read(fd, &mode, 1) != 1)
		mode = '0';
	(void)close(fd);
	return mode == '2';
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
		answer = madvise(page, bytes, ADVICE_GUARD_INSTALL) == 0 && !kernel_charges_mappings() ? HAS_GUARDS
													: HAS_NO_GUARDS;
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

/* A huge page would make a touched stack cost 2 MiB. New kernels take MAP_STACK to mean this, old do not. */
static void
forbid_huge_pages(char *mapping, size_t bytes)
{
	(void)madvise(mapping, bytes, MADV_NOHUGEPAGE);
}

/* All of it is accessible, then the guard is taken away: one mapping, which the kernel joins with its neighbours. */
static char *
map_with_markers(size_t guard_bytes, size_t bytes)
{
	char *mapping = map(guard_bytes + bytes, PROT_READ | PROT_WRITE);

	if (mapping == NULL)
		return NULL;
	forbid_huge_pages(mapping, guard_bytes + bytes);
	/* Fails where memory is locked (mlockall(2)), on some kernels that have it. */
	if (madvise(mapping, guard_bytes, ADVICE_GUARD_INSTALL) == 0)
		return mapping;
	(void)munmap(mapping, guard_bytes + bytes);
	return NULL;
}

/* None of it is accessible, then the stack is made so: two mappings, of which only the second is charged. */
static char *
map_with_mprotect(size_t guard_bytes, size_t bytes)
{
	char *mapping = NULL;

	if (atomic_fetch_add_explicit(&mprotect_count, 1, memory_order_relaxed) < mprotect_max)
		mapping = map(guard_bytes + bytes, PROT_NONE);
	if (mapping != NULL && mprotect(mapping + guard_bytes, bytes, PROT_READ | PROT_WRITE) != 0) {
		(void)munmap(mapping, guard_bytes + bytes);
		mapping = NULL;
	}
	if (mapping == NULL)
		atomic_fetch_sub_explicit(&mprotect_count, 1, memory_order_relaxed);
	else
		forbid_huge_pages(mapping + guard_bytes, bytes);
	return mapping;
}

static char *
map_with_canary(size_t guard_bytes, size_t bytes)
{
	char *mapping = map(guard_bytes + bytes, PROT_READ | PROT_WRITE);

	if (mapping != NULL)
		forbid_huge_pages(mapping, guard_bytes + bytes);
	return mapping;
}

/* The best guard of this size that can be had; NULL: not even the mapping can. */
static char *
map_guarded(size_t guard_bytes, size_t bytes, enum stack_guard *ret_guard)
{
	char *mapping = NULL;

	*ret_guard = STACK_GUARD_MADVISE;
	if (kernel_has_guards())
		mapping = map_with_markers(guard_bytes, bytes);
	if (mapping == NULL) {
		*ret_guard = STACK_GUARD_MPROTECT;
		mapping = map_with_mprotect(guard_bytes, bytes);
	}
	if (mapping == NULL) {
		*ret_guard = STACK_GUARD_CANARY;
		mapping = map_with_canary(guard_bytes, bytes);
	}
	return mapping;
}

int
stack_open(struct stack *stack, size_t bytes)
{
	const size_t page = page_bytes();
	size_t guard_bytes = round_up(STACK_GUARD_BYTES, page);
	char *mapping;

	if (bytes > SIZE_MAX / 2 || mem_should_fail())
		return -ENOMEM;
	bytes = round_up(bytes, page);
	mapping = map_guarded(guard_bytes, bytes, &stack->guard);
	if (mapping == NULL) {
		/* Addresses are short (RLIMIT_AS): better a small guard than a client that is refused. */
		guard_bytes = round_up(STACK_GUARD_BYTES_LEAST, page);
		mapping = map_guarded(guard_bytes, bytes, &stack->guard);
	}
	if (mapping == NULL)
		return -ENOMEM;
	stack->mapping = mapping;
	stack->mapping_bytes = guard_bytes + bytes;
	stack->base = mapping + guard_bytes;
	stack->bytes = bytes;
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

bool
stack_is_overrun_by(const struct stack *stack, uintptr_t stack_pointer)
{
	return (uintptr_t)stack->base - stack_pointer - 1 < OVERRUN_BYTES_MAX;
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
