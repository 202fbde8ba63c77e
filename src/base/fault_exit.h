/* SPDX-License-Identifier: MIT */
/*
 * fault_exit - exit(3) and its kin, called by code of a handler: they end the whole server, and are a fault.
 *
 * The line names the caller as fault.h does, with a backtrace; then the process ends at once, without destructors and
 * with what stdio has not written yet lost. The status becomes 1: 0 would look like an intended end,
 * 2 and 78 like a configuration that no restart mends, and the service manager would not restart the server.
 */
#ifndef CP_BASE_FAULT_EXIT_H
#define CP_BASE_FAULT_EXIT_H

/* From now on exit(3), quick_exit(3) and _exit(2) of this process are watched; those of forked children are not. */
void fault_watch_exit(const char *process);
/* The process ends as it means to. Main thread. */
void fault_expect_exit(void);

#endif
