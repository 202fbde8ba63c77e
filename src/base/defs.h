/* SPDX-License-Identifier: MIT */
/*
 * base - what every other folder stands on and what knows nothing of connpoold: assertions, errors
 * as text, locks, memory, lists, descriptors, addresses, clocks, units, the log, systemd.
 * May include: nothing of ours outside this folder.
 *
 * defs.h - attributes and the few macros that have no better home.
 */
#ifndef CP_BASE_DEFS_H
#define CP_BASE_DEFS_H

#include <stddef.h>

/* The result may not be ignored. */
#define CP_MUST_CHECK __attribute__((warn_unused_result))
/* The arguments are checked as printf's are; fmt and first count from 1. */
#define CP_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define CP_NORETURN __attribute__((noreturn))

/* For code that runs where a sanitizer can't follow: on memory that another process uses, too. */
#define CP_NO_SANITIZE __attribute__((no_sanitize("address", "thread", "undefined")))

#define CP_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The structure that has ptr as its member. */
#define CP_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

#endif
