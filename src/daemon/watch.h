/* SPDX-License-Identifier: MIT */
/*
 * watch - what the daemon looks at once a second while anything goes on: refusals, stalls, the status that systemd
 * shows; and the watchdog, which is fed only while the acceptor and every shared worker turn.
 */
#ifndef CP_DAEMON_WATCH_H
#define CP_DAEMON_WATCH_H

struct daemon;

/* Sets up tick and watchdog; the acceptor's thread is the one that runs them. */
void watch_begin(struct daemon *daemon);
/* Composes daemon->status from the counters and tells systemd if it has changed. */
void watch_tell_status(struct daemon *daemon);

#endif
