/* SPDX-License-Identifier: MIT */
/*
 * peer_server - the other side for the client's tests: an echo server that can be made to misbehave.
 *
 * One thread with poll(2), on a port of 127.0.0.1 that the kernel picks. Started and stopped by the test's thread.
 */
#ifndef CP_TESTS_UNIT_CLIENT_PEER_SERVER_H
#define CP_TESTS_UNIT_CLIENT_PEER_SERVER_H

#include <pthread.h>

#include "client/dial.h"

enum peer_server_mode {
	PEER_SERVER_ECHO,
	PEER_SERVER_CORRUPT, /* flips a bit of all that it sends back */
	PEER_SERVER_RESET,   /* resets on the first bytes */
	PEER_SERVER_CLOSE,   /* closes, after having read, instead of an answer */
	PEER_SERVER_SILENT,  /* reads and says nothing */
	PEER_SERVER_SHORT,   /* answers with half and closes */
	PEER_SERVER_LONG,    /* answers with a byte more */
};

struct peer_server {
	enum peer_server_mode mode;
	int listen_fd;
	int stop_fd;
	pthread_t thread;
	struct dial dial; /* one endpoint: where it listens */
};

void peer_server_start(struct peer_server *server, enum peer_server_mode mode);
/* Closes all its connections. */
void peer_server_stop(struct peer_server *server);

/* An endpoint at which nobody listens. */
void peer_server_refusing_endpoint(struct dial_endpoint *ret);

#endif
