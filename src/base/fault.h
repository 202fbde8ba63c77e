/* SPDX-License-Identifier: MIT */
/*
 * fault - what a process says before a crash ends it: whose code it ran, and a backtrace.
 *
 *     connpoold: ended by SIGSEGV at address 0x0: listener 'web', service 'kv', module '/usr/lib/…/kv.so',
 *     connection 7, in serve(), last call cp_recv(), thread cp-w00-main          (one line)
 *
 * The one signal handler there is, for SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS and SIGABRT: no signalfd can
 * receive a fault. The signal then takes its course, under whatever was in force before (a core dump, a sanitizer).
 */
#ifndef CP_BASE_FAULT_H
#define CP_BASE_FAULT_H

#include <signal.h>
#include <stdint.h>

#include "base/defs.h"

/* Once a process, before it has threads; twice does no harm. process: "connpoold", "connpoold: keeper". 0 or -errno. */
CP_MUST_CHECK int fault_install(const char *process);
/* After fork(2), in the child. */
void fault_set_process(const char *process);

/* Takes what a fault raises out of a set that is about to be blocked: a blocked fault ends the process in silence. */
void fault_unblock(sigset_t *set);

/*
 * Each thread that runs handlers needs a stack for signals, because a stack overflow leaves no room on its own. 0 or
 * -errno; the thread gives it back itself.
 */
CP_MUST_CHECK int fault_thread_init(void);
void fault_thread_fini(void);

/*
 * May write a line of its own about a fault at this address, with the stack pointer (0: unknown) where it is. On the
 * signal stack; async-signal-safe.
 */
typedef void fault_explain_fn(uintptr_t address, uintptr_t stack_pointer);
void fault_set_explainer(fault_explain_fn *fn);

#endif
