/* SPDX-License-Identifier: MIT */
/*
 * fuzz_address - addresses and networks: what is taken has a normal form, and that is taken as the same.
 */
#include "config.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/address.h"
#include "base/errmsg.h"
#include "fuzz.h"

static void
check_unix(const struct address *address)
{
	struct sockaddr_un sun;
	socklen_t length = 0;
	int rc = address_to_unix(address, &sun, &length);

	CP_ASSERT(rc == -ENAMETOOLONG || (rc == 0 && length > sizeof(sun.sun_family) && length <= sizeof(sun)));
}

static void
check_address(const char *text, int (*parse)(struct address *, const char *, struct errmsg *))
{
	struct address address, again;
	struct errmsg err = {.text = ""};
	int rc = parse(&address, text, &err);

	if (rc < 0) {
		CP_ASSERT(rc == -EINVAL && err.text[0] != '\0');
		return;
	}
	CP_ASSERT(address.text != NULL && address.host != NULL);
	if (address.kind == ADDRESS_UNIX)
		check_unix(&address);
	CP_ASSERT(parse(&again, address.text, &err) == 0);
	CP_ASSERT(again.kind == address.kind && again.port == address.port);
	CP_ASSERT(strcmp(again.text, address.text) == 0 && strcmp(again.host, address.host) == 0);
	address_fini(&again);
	address_fini(&address);
}

/* The network's own address is in it. */
static void
check_cidr(const char *text)
{
	struct cidr cidr, again;
	struct errmsg err = {.text = ""};
	char written[CIDR_TEXT_MAX];
	struct peer peer = {.port = 0};
	int rc = cidr_parse(&cidr, text, &err);

	if (rc < 0) {
		CP_ASSERT(rc == -EINVAL && err.text[0] != '\0');
		return;
	}
	CP_ASSERT(cidr.family == AF_INET ? cidr.prefix_bits <= 32 : cidr.prefix_bits <= 128);
	CP_ASSERT(cidr_parse(&again, cidr_format(&cidr, written), &err) == 0);
	CP_ASSERT(again.family == cidr.family && again.prefix_bits == cidr.prefix_bits);
	CP_ASSERT(memcmp(again.bytes, cidr.bytes, sizeof(cidr.bytes)) == 0);
	peer.family = cidr.family;
	memcpy(peer.bytes, cidr.bytes, sizeof(peer.bytes));
	CP_ASSERT(cidr_contains(&cidr, &peer));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_string(data, size);

	check_address(text, address_parse);
	check_address(text, address_parse_server);
	check_cidr(text);
	free(text);
	return 0;
}
