/* SPDX-License-Identifier: MIT */
/*
 * fuzz_proxy_header - PROXY headers: what is taken names clients that can be named again, what is refused was never
 * asked to go on, and where it ends does not depend on what comes behind it.
 */
#include "config.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/address.h"
#include "base/errmsg.h"
#include "base/proxy_header.h"
#include "fuzz.h"

/* Beyond these the prefixes of an input are not all tried: it would be slow, and a line ends before. */
#define PREFIXES_MAX 256u

static void
check_peer(const struct peer *peer)
{
	char text[ADDRESS_TEXT_MAX];

	CP_ASSERT(peer->family == AF_UNSPEC || peer->family == AF_INET || peer->family == AF_INET6);
	CP_ASSERT(strlen(peer_format(peer, text)) > 0);
}

static void
check_made(int version, const struct peer *client, const struct peer *destination)
{
	uint8_t buf[PROXY_HEADER_MADE_MAX];
	struct peer client_read, destination_read;
	struct errmsg err;
	size_t length = proxy_header_make(version, client, destination, buf);

	CP_ASSERT(length > 0 && length <= sizeof(buf));
	CP_ASSERT(proxy_header_parse(buf, length, &client_read, &destination_read, &err) == (ssize_t)length);
	CP_ASSERT(memcmp(&client_read, client, sizeof(*client)) == 0);
	CP_ASSERT(memcmp(&destination_read, destination, sizeof(*destination)) == 0);
}

/* In memory of just this size, so that a checker sees a read beyond it. */
static ssize_t
parse(const uint8_t *data, size_t size, struct peer *client, struct peer *destination)
{
	struct errmsg err = {.text = ""};
	uint8_t *exact = malloc(size > 0 ? size : 1);
	ssize_t rc;

	CP_ASSERT(exact != NULL);
	if (size > 0)
		memcpy(exact, data, size);
	rc = proxy_header_parse(exact, size, client, destination, &err);
	free(exact);
	CP_ASSERT(rc <= (ssize_t)size && (rc >= 0 || ((rc == -EPROTO || rc == -EMSGSIZE) && err.text[0] != '\0')));
	return rc;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct peer client, destination, ignored;
	ssize_t rc = parse(data, size, &client, &destination);
	ssize_t before = 0;

	/* The first answer that is not "more" is the answer, whatever follows. */
	for (size_t part = 0; part < size && part < PREFIXES_MAX && before == 0; part++)
		before = parse(data, part, &ignored, &ignored);
	CP_ASSERT(before == 0 || before == rc);
	if (rc <= 0)
		return 0;
	CP_ASSERT((size_t)rc <= PROXY_HEADER_MAX);
	check_peer(&client);
	check_peer(&destination);
	CP_ASSERT(client.family == AF_UNSPEC ? destination.family == AF_UNSPEC : destination.family != AF_UNSPEC);
	if (client.family == AF_UNSPEC)
		return 0;
	check_made(1, &client, &destination);
	check_made(2, &client, &destination);
	return 0;
}
