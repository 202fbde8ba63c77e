/* SPDX-License-Identifier: MIT */
/*
 * client.c - see client.h.
 */
#include "config.h"

#include "upstream/client.h"

#include <netinet/in.h>

#include "base/address.h"
#include "base/proxy_header.h"
#include "conf/conf.h"
#include "upstream/upstream.h"

_Static_assert(CLIENT_HEADER_MAX >= PROXY_HEADER_MADE_MAX, "room for every header");

/* FNV-1a, then the finalizer of MurmurHash3, because the high bits are used as well as the low ones. */
static uint64_t
hash_bytes(const uint8_t *bytes, size_t size)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3u;
	hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdu;
	hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53u;
	return hash ^ (hash >> 33);
}

uint64_t
client_hash(const struct sockaddr_storage *peer)
{
	switch (peer->ss_family) {
	case AF_INET: {
		const struct sockaddr_in *in4 = (const struct sockaddr_in *)peer;

		return hash_bytes((const uint8_t *)&in4->sin_addr, sizeof(in4->sin_addr));
	}
	case AF_INET6: {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)peer;

		return hash_bytes((const uint8_t *)&in6->sin6_addr, sizeof(in6->sin6_addr));
	}
	default:
		return hash_bytes(NULL, 0);
	}
}

size_t
client_make_header(const struct server *server, const struct sockaddr_storage *peer,
	const struct sockaddr_storage *local, uint8_t buf[CLIENT_HEADER_MAX])
{
	int wanted = server_send_proxy(server);
	struct peer client;
	struct peer destination;

	if (wanted == CONF_SEND_PROXY_NONE)
		return 0;
	peer_from_sockaddr(&client, (const struct sockaddr *)peer, sizeof(*peer));
	peer_from_sockaddr(&destination, (const struct sockaddr *)local, sizeof(*local));
	return proxy_header_make(wanted == CONF_SEND_PROXY_V1 ? 1 : 2, &client, &destination, buf);
}
