/* SPDX-License-Identifier: MIT */
/*
 * socket - one listening socket: opened from an address, or received from systemd, kept over reloads.
 *
 * Main thread only.
 */
#ifndef CP_NET_SOCKET_H
#define CP_NET_SOCKET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/defs.h"
#include "base/list.h"
#include "engine/loop.h"
#include "engine/timer.h"
#include "net/socket_file.h"

struct accept_thread;
struct acceptor;
struct address;
struct conf_listener;
struct errmsg;
struct lease;
struct listener;
struct pool;
struct route;
struct systemd_sockets;

#define LISTEN_SOCKET_MAGIC 0x6c736f63

struct listen_socket {
	uint32_t magic;
	struct watch watch;        /* private: acceptor.c, down to the blank line */
	struct acceptor *acceptor; /* borrowed; set while watched */
	struct list acceptor_link; /* watched: in its list */
	bool polled;               /* asked for events */
	bool is_lent;              /* a program has it, or waits for its turn: it is not polled */
	unsigned expect;           /* connections the next batch probably has */
	unsigned full_batches;     /* in a row that were as large as expected */
	struct accept_thread *thread; /* owned; accepts in the acceptor's place. NULL: nobody else holds the socket */
	struct route *asked_for;   /* one reference while its thread was asked, or holds some; else NULL */
	bool has_turn;             /* its thread was asked for its share of room: that is not to be waited for again */
	struct list waiting_link;  /* waits for room: in the acceptor's list */
	const struct pool *waits_for; /* while it waits: the pool that it asked; compared only */
	struct timer pause;        /* set: it failed, and is not polled meanwhile */
	struct timer fault_clear;  /* set: its faults are over if there is none until then */
	uint64_t pause_ms;
	uint64_t failing_since_ns; /* 0: nothing is wrong with it */

	int fd;
	char *key;                 /* the address as configured: what a reload recognises it by */
	struct listener *listener; /* borrowed; whom its connections belong to. NULL: not yet committed */
	struct list link;          /* in listener->sockets */
	struct lease *lease;       /* of daemon/lending.c; NULL: it was never to be lent */
	bool is_planned;           /* a generation that is being prepared has it */
	bool is_tcp;
	bool is_broken;    /* shut down for good: a reload opens another one in its place */
	bool is_inherited; /* from systemd: the file of a Unix socket is not ours to remove */
	struct sockaddr_storage bound; /* what it was bound to, with the port that the kernel chose */
	socklen_t bound_length;
	bool is_orphan;          /* its file was removed, another socket has its address: its backlog is served */
	struct socket_file file; /* of a Unix socket that we bound; none for any other */
};

/*
 * Opens, binds and listens as rule says; address is one of rule's. systemd:NAME takes the descriptor out of sockets.
 * Returns owned. NULL: err says which listener, which address, why and what to do.
 */
CP_MUST_CHECK struct listen_socket *listen_socket_open(const struct conf_listener *rule, const struct address *address,
	struct systemd_sockets *sockets, struct errmsg *err);
/*
 * Closes and frees, removes the file of a Unix socket that is ours. It must not be watched. Accepts NULL, nulls the
 * holder.
 */
void listen_socket_free(struct listen_socket **socket);

/*
 * For a socket that a reload keeps: can clients still come to it? 1: yes. 0: its file was removed, another one is to be
 * opened in its place. -EEXIST: something else is where its file was, and err says what and what to do.
 */
CP_MUST_CHECK int listen_socket_look(
	const struct listen_socket *socket, const struct conf_listener *rule, struct errmsg *err);

/*
 * Sets on the live socket what rule says and a live socket can take. 0, or -errno with err naming the option; what was
 * set before stays set.
 */
CP_MUST_CHECK int listen_socket_apply(
	struct listen_socket *socket, const struct conf_listener *rule, struct errmsg *err);

/*
 * accept4(2) failed on it. Another process that has it may have shut it down: a TCP socket then listens again on the
 * same address, with nothing lost but its backlog. A Unix socket can't (is_broken is set).
 */
enum listen_repair { LISTEN_NOT_BROKEN, LISTEN_REPAIRED, LISTEN_NEEDS_RELOAD };
enum listen_repair listen_socket_repair(struct listen_socket *socket, const struct conf_listener *rule);

#endif
