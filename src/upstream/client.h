/* SPDX-License-Identifier: MIT */
/*
 * client.h - what of a client matters to its upstream: its address decides by source_hash, and is told to servers that
 * want a PROXY header. Pure functions; any thread.
 */
#ifndef CP_UPSTREAM_CLIENT_H
#define CP_UPSTREAM_CLIENT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct server;

#define CLIENT_HEADER_MAX 256u

/* For upstream_wish.source_hash: of the address without its port, the same in every run. Unix clients share one. */
uint64_t client_hash(const struct sockaddr_storage *peer);

/*
 * The header that server is to get before anything else (send_proxy), for a client that came from peer to local. Its
 * length; 0: the server wants none.
 */
size_t client_make_header(const struct server *server, const struct sockaddr_storage *peer,
	const struct sockaddr_storage *local, uint8_t buf[CLIENT_HEADER_MAX]);

#endif
