/* SPDX-License-Identifier: MIT */
/*
 * backtrace - the calls that lead to where a thread is, a line each on standard error.
 *
 *     connpoold:   #0 greet.so+0x1189 (greet_everybody+0x19)
 *
 * The first number is what addr2line(1) takes: `addr2line -fe greet.so 0x1189`. Async-signal-safe once it is prepared.
 */
#ifndef CP_BASE_BACKTRACE_H
#define CP_BASE_BACKTRACE_H

#include <stdint.h>

/* Loads what walks the stack, which must not happen in a signal handler. Once a process. */
void backtrace_prepare(void);

/* Begins at the frame of the program counter, or, where that is 0, at the caller of this. */
void backtrace_write(uintptr_t program_counter);

#endif
