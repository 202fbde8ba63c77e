/* SPDX-License-Identifier: MIT */
/*
 * systemd - readiness, status, watchdog and sockets from the service manager (sd_notify(3), sd_listen_fds(3)).
 *
 * Built --without-systemd, or when not started by systemd, every call does nothing and says so by its result.
 * Main thread only, except for systemd_journal_sendv().
 *
 * libsystemd is loaded when something first needs it, not linked: with the libraries that it brings it costs a process
 * some 760 kB of memory (PSS), and most of connpoold's instances, outside systemd, would pay for nothing.
 */
#ifndef CP_BASE_SYSTEMD_H
#define CP_BASE_SYSTEMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"

struct iovec;

/* A socket handed over by the manager (FileDescriptorName=). */
struct systemd_socket {
	int fd;      /* close-on-exec is set; owned by the table until taken: then -1 */
	char *name;  /* owned by the table */
};

struct systemd_sockets {
	struct systemd_socket *items;
	size_t count;
};

/* Reads and unsets LISTEN_FDS and LISTEN_FDNAMES. 0 (count may be 0) or -errno. Caller owns (systemd_sockets_fini). */
CP_MUST_CHECK int systemd_sockets_init(struct systemd_sockets *sockets);
/* Closes what was not taken. */
void systemd_sockets_fini(struct systemd_sockets *sockets);

/*
 * A manager that does not read can hold up the first three for half a second each, and the others not at all.
 */
void systemd_notify_ready(const char *status);
/* RELOADING=1 with MONOTONIC_USEC, as Type=notify-reload and Type=notify want it. */
void systemd_notify_reloading(void);
void systemd_notify_stopping(void);
/* False: the manager's queue is full, say it again later. True also when there is nobody to tell. */
CP_MUST_CHECK bool systemd_notify_status(const char *status);
void systemd_notify_watchdog(void);

/* Microseconds within which the manager wants to hear of us (WATCHDOG_USEC for this process); 0: never. */
uint64_t systemd_watchdog_usec(void);

/* ---- for the log ------------------------------------------------------------- */

/* Standard error is connected to the journal (JOURNAL_STREAM names the very socket). */
bool systemd_stderr_is_journal(void);
/* Gets ready for systemd_journal_sendv(); false: this build or this machine has no way to the journal. */
bool systemd_journal_load(void);
/* Any thread. Sends an entry of count fields, "NAME=value" each. 0 or -errno (-ENOSYS: as systemd_journal_load()). */
CP_MUST_CHECK int systemd_journal_sendv(const struct iovec *fields, int count);

#endif
