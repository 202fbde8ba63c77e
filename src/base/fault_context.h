/* SPDX-License-Identifier: MIT */
/*
 * fault_context - the registers of an interrupted thread, for fault.c alone: each processor has other names for them.
 */
#ifndef CP_BASE_FAULT_CONTEXT_H
#define CP_BASE_FAULT_CONTEXT_H

#include <stdint.h>
#include <ucontext.h>

/* Of the third argument of a signal handler. 0: not known for this processor. */
static inline uintptr_t
fault_program_counter(const ucontext_t *context)
{
#if defined(__x86_64__)
	return (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
#elif defined(__i386__)
	return (uintptr_t)context->uc_mcontext.gregs[REG_EIP];
#elif defined(__aarch64__)
	return (uintptr_t)context->uc_mcontext.pc;
#elif defined(__arm__)
	return (uintptr_t)context->uc_mcontext.arm_pc;
#elif defined(__riscv)
	return (uintptr_t)context->uc_mcontext.__gregs[REG_PC];
#else
	(void)context;
	return 0;
#endif
}

static inline uintptr_t
fault_stack_pointer(const ucontext_t *context)
{
#if defined(__x86_64__)
	return (uintptr_t)context->uc_mcontext.gregs[REG_RSP];
#elif defined(__i386__)
	return (uintptr_t)context->uc_mcontext.gregs[REG_ESP];
#elif defined(__aarch64__)
	return (uintptr_t)context->uc_mcontext.sp;
#elif defined(__arm__)
	return (uintptr_t)context->uc_mcontext.arm_sp;
#elif defined(__riscv)
	return (uintptr_t)context->uc_mcontext.__gregs[REG_SP];
#else
	(void)context;
	return 0;
#endif
}

#endif
