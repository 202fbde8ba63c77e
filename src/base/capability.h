/* SPDX-License-Identifier: MIT */
/*
 * capability - what a process may do beyond its user (capabilities(7)), asked and given up by the bare system calls.
 */
#ifndef CP_BASE_CAPABILITY_H
#define CP_BASE_CAPABILITY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/defs.h"

#define CAPABILITY_BIT(number) (UINT64_C(1) << (number))

/* Those in force in this thread, a bit each: CAPABILITY_BIT(CAP_SETUID) of <linux/capability.h>. */
uint64_t capability_effective(void);
/* Gives these up for good, in every set; before there are threads. 0 or -errno. */
CP_MUST_CHECK int capability_drop(uint64_t bits);
/* What this thread's process becomes or starts by execve(2) gets none by inheritance; its own stay. 0 or -errno. */
CP_MUST_CHECK int capability_withhold(void);

#endif
