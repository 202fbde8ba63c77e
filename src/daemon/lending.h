/* SPDX-License-Identifier: MIT */
/*
 * lending - listening sockets whose clients are accepted by a program: exec with wait = true.
 *
 * A program is started when a client waits, and has the socket until it ends; then the next client has it started
 * again. A reload that keeps the listener's address and its wait = true keeps the program too. Main thread.
 *
 *   not lent --(a client waits)--> runs --(it ended)--> not lent
 *                                   |  \--(it failed, or was over at once)--> pauses --> not lent
 *                                   +--(its listener is gone, or waits no more; the daemon stops)--> ends
 */
#ifndef CP_DAEMON_LENDING_H
#define CP_DAEMON_LENDING_H

#include "base/defs.h"

struct daemon;
struct listen_socket;

/* Makes what lending it takes, once: before a config that does is committed. 0 or -ENOMEM. */
CP_MUST_CHECK int lending_prepare(struct daemon *daemon, struct listen_socket *socket);
/* A client waits on it, and it is lent: starts its program (acceptor_sink.lend). */
void lending_begin(struct listen_socket *socket);
/* It is about to be closed: a program that has it is told to end. Accepts any socket. */
void lending_end(struct listen_socket *socket);
/* A new config is in force, by which it is lent too: nobody waits for a pause that was for the old one. */
void lending_renew(struct listen_socket *socket);
/* It is not lent any more: a program that has it is told to end, and we are to accept. Accepts any socket. */
void lending_take_back(struct listen_socket *socket);
/* Kills those that were told to end, and have not. */
void lending_kill(struct daemon *daemon);

#endif
