/* SPDX-License-Identifier: MIT */
/*
 * cidr - networks as access lists name them.
 *
 * Any thread, no allocation. Parsing is for configuration; cidr_contains() is called for each connection. Never looks
 * a name up: a rule that depends on a name server is none.
 */
#include "config.h"

#include "base/cidr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/address.h"
#include "base/errmsg.h"

static unsigned
family_bits(uint16_t family)
{
	return family == AF_INET ? 32 : 128;
}

/* Clears what lies beyond the prefix; true when anything did. */
static bool
clear_host_bits(struct cidr *cidr)
{
	bool cleared = false;

	for (unsigned i = 0; i < family_bits(cidr->family) / 8; i++) {
		unsigned kept = cidr->prefix_bits > i * 8 ? cidr->prefix_bits - i * 8 : 0;
		uint8_t mask = kept >= 8 ? 0xff : (uint8_t)(0xff00u >> kept);

		cleared = cleared || (cidr->bytes[i] & (uint8_t)~mask) != 0;
		cidr->bytes[i] &= mask;
	}
	return cleared;
}

static bool
parse_number(struct cidr *cidr, const char *text)
{
	memset(cidr, 0, sizeof(*cidr));
	cidr->family = AF_INET;
	if (inet_pton(AF_INET, text, cidr->bytes) == 1)
		return true;
	cidr->family = AF_INET6;
	return inet_pton(AF_INET6, text, cidr->bytes) == 1;
}

static int
refuse_network(const char *number, struct errmsg *err)
{
	if (strcmp(number, "*") == 0)
		errmsg_set(err, "for any address write \"0.0.0.0/0\" and \"::/0\"");
	else if (strchr(number, '[') != NULL)
		errmsg_set(err, "a network has no brackets and no port: expected one such as \"2001:db8::/32\"");
	else if (strchr(number, '%') != NULL)
		errmsg_set(err, "a network has no interface: leave out what begins with %%");
	else
		errmsg_set(err, "expected an address or a network in numbers, such as "
			"\"192.0.2.7\", \"10.0.0.0/8\" or \"::1\"");
	return -EINVAL;
}

/* Peers are kept as IPv4 when they come by IPv4-mapped IPv6, so the networks have to be. */
static void
unmap(struct cidr *cidr)
{
	struct in6_addr in6;

	memcpy(&in6, cidr->bytes, sizeof(in6));
	if (cidr->family != AF_INET6 || cidr->prefix_bits < 96 || !IN6_IS_ADDR_V4MAPPED(&in6))
		return;
	cidr->family = AF_INET;
	cidr->prefix_bits = (uint8_t)(cidr->prefix_bits - 96);
	memmove(cidr->bytes, cidr->bytes + 12, 4);
	memset(cidr->bytes + 4, 0, sizeof(cidr->bytes) - 4);
}

/* Digits only, 0 to max; -1 when it is anything else. */
static int
parse_bits(const char *text, int max)
{
	size_t len = strspn(text, "0123456789");
	int bits;

	if (len == 0 || len > 3 || text[len] != '\0')
		return -1;
	bits = atoi(text);
	return bits <= max ? bits : -1;
}

static int
parse_network(struct cidr *cidr, const char *text, struct errmsg *err)
{
	char number[CIDR_TEXT_MAX], meant[CIDR_TEXT_MAX];
	const char *slash = strchr(text, '/');
	size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
	int bits;

	snprintf(number, sizeof(number), "%.*s", (int)(len < sizeof(number) ? len : sizeof(number) - 1), text);
	if (!parse_number(cidr, number))
		return refuse_network(number, err);
	bits = (int)family_bits(cidr->family);
	if (slash != NULL) {
		bits = parse_bits(slash + 1, bits);
		if (bits < 0) {
			errmsg_set(err, "behind the slash is expected a number of bits from 0 to %u",
				family_bits(cidr->family));
			return -EINVAL;
		}
	}
	cidr->prefix_bits = (uint8_t)bits;
	if (clear_host_bits(cidr)) {
		errmsg_set(err, "bits are set behind the first %d: did you mean \"%s\" or the single address \"%s\"?",
			bits, cidr_format(cidr, meant), number);
		return -EINVAL;
	}
	unmap(cidr);
	return 0;
}

int
cidr_parse(struct cidr *cidr, const char *text, struct errmsg *err)
{
	struct cidr parsed;
	int r;

	r = parse_network(&parsed, text, err);
	if (r < 0) {
		errmsg_prefix(err, "network \"%.160s\"", text);
		return r;
	}
	*cidr = parsed;
	return 0;
}

bool
cidr_contains(const struct cidr *cidr, const struct peer *peer)
{
	unsigned whole = cidr->prefix_bits / 8;
	unsigned rest = cidr->prefix_bits % 8;

	if (peer->family != cidr->family || memcmp(cidr->bytes, peer->bytes, whole) != 0)
		return false;
	return rest == 0 || ((cidr->bytes[whole] ^ peer->bytes[whole]) >> (8 - rest)) == 0;
}

const char *
cidr_format(const struct cidr *cidr, char buf[CIDR_TEXT_MAX])
{
	size_t len;

	inet_ntop(cidr->family, cidr->bytes, buf, CIDR_TEXT_MAX);
	len = strlen(buf);
	snprintf(buf + len, CIDR_TEXT_MAX - len, "/%u", (unsigned)cidr->prefix_bits);
	return buf;
}
