/* SPDX-License-Identifier: MIT */
/*
 * proxy_header.c - reads and writes the first bytes that a proxy sends ahead of its client's.
 *
 * Any thread: works on the caller's memory, never allocates. What it reads comes from the network: nothing beyond size
 * is touched, and no byte of it is ever put into a message.
 */
#include "config.h"

#include "base/proxy_header.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/address.h"
#include "base/assert.h"
#include "base/errmsg.h"

#define V1_MAX 107u
#define V2_FIXED 16u
#define V2_VERSION 0x20u
#define V2_LOCAL 0x0u
#define V2_PROXY 0x1u
#define V2_STREAM 0x1u
#define V2_DATAGRAM 0x2u
#define TLV_HEAD 3u
#define TLV_CRC32C 0x03u

enum v2_family { V2_UNSPECIFIED, V2_INET, V2_INET6, V2_UNIX, V2_FAMILY_COUNT };

static const uint8_t v2_signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

/* Both addresses and both ports, or two paths. */
static const uint16_t v2_address_bytes[V2_FAMILY_COUNT] = {
	[V2_UNSPECIFIED] = 0, [V2_INET] = 2 * (4 + 2), [V2_INET6] = 2 * (16 + 2), [V2_UNIX] = 2 * 108};

static ssize_t
refuse(struct errmsg *err, const char *what)
{
	errmsg_set(err, "%s", what);
	return -EPROTO;
}

/* Through peer_from_sockaddr(), so that there is one place that knows how a peer is kept. */
static void
set_peer(struct peer *peer, int family, const void *bytes, uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	if (family == AF_INET) {
		memcpy(&in.sin_addr, bytes, 4);
		peer_from_sockaddr(peer, (struct sockaddr *)&in, sizeof(in));
	} else {
		memcpy(&in6.sin6_addr, bytes, 16);
		peer_from_sockaddr(peer, (struct sockaddr *)&in6, sizeof(in6));
	}
}

static bool
is_tcp(const struct peer *peer)
{
	return peer->family == AF_INET || peer->family == AF_INET6;
}

/* ---- version 1 --------------------------------------------------------------- */

/* What is left of the line. Each taker gives 1: taken; 0: the bytes end before; -EPROTO: no longer a header. */
struct v1_line {
	const uint8_t *at;
	size_t left;
};

#define V1_FIELD_MAX 46u /* INET6_ADDRSTRLEN: the longest that inet_pton(3) takes, and its NUL */

static int
take_literal(struct v1_line *line, const char *literal)
{
	size_t length = strlen(literal);
	size_t there = line->left < length ? line->left : length;

	if (memcmp(line->at, literal, there) != 0)
		return -EPROTO;
	if (there < length)
		return 0;
	line->at += length;
	line->left -= length;
	return 1;
}

/* Up to stop, which is taken too and not written. Longer than size takes is malformed. */
static int
take_field(struct v1_line *line, const char *accepted, char stop, char *ret_field, size_t size)
{
	size_t length = 0;

	while (length < line->left && line->at[length] != (uint8_t)stop) {
		char c = (char)line->at[length];

		if (c == '\0' || strchr(accepted, c) == NULL || length + 1 >= size)
			return -EPROTO;
		ret_field[length++] = c;
	}
	if (length == line->left)
		return 0;
	ret_field[length] = '\0';
	line->at += length + 1;
	line->left -= length + 1;
	return 1;
}

static int
take_address(struct v1_line *line, int family, uint8_t bytes[16])
{
	const char *accepted = family == AF_INET ? "0123456789." : "0123456789abcdefABCDEF:.";
	char field[V1_FIELD_MAX];
	int rc = take_field(line, accepted, ' ', field, family == AF_INET ? INET_ADDRSTRLEN : sizeof(field));

	/* It takes no leading zeros in IPv4, and no form with fewer than four numbers. */
	if (rc > 0 && inet_pton(family, field, bytes) != 1)
		return -EPROTO;
	return rc;
}

static int
take_port(struct v1_line *line, char stop, uint16_t *ret_port)
{
	char field[sizeof("65535")];
	unsigned port = 0;
	int rc = take_field(line, "0123456789", stop, field, sizeof(field));

	if (rc <= 0)
		return rc;
	for (const char *c = field; *c != '\0'; c++)
		port = port * 10 + (unsigned)(*c - '0');
	if (field[0] == '\0' || (field[0] == '0' && field[1] != '\0') || port > UINT16_MAX)
		return -EPROTO;
	*ret_port = (uint16_t)port;
	return 1;
}

/* "PROXY UNKNOWN" is followed by the end, or by anything up to it, which says nothing. */
static int
take_unknown(struct v1_line *line)
{
	size_t length = 0;

	if (line->left > 0 && line->at[0] != ' ' && line->at[0] != '\r')
		return -EPROTO;
	while (length < line->left && line->at[length] != '\r') {
		if (line->at[length++] == '\n')
			return -EPROTO;
	}
	line->at += length;
	line->left -= length;
	return take_literal(line, "\r\n");
}

static int
take_addresses(struct v1_line *line, int family, struct peer *client, struct peer *destination)
{
	uint8_t from[16], to[16];
	uint16_t from_port, to_port;
	int rc = take_address(line, family, from);

	if (rc > 0)
		rc = take_address(line, family, to);
	if (rc > 0)
		rc = take_port(line, ' ', &from_port);
	if (rc > 0)
		rc = take_port(line, '\r', &to_port);
	if (rc > 0)
		rc = take_literal(line, "\n");
	if (rc > 0) {
		set_peer(client, family, from, from_port);
		set_peer(destination, family, to, to_port);
	}
	return rc;
}

static int
take_line(struct v1_line *line, struct peer *client, struct peer *destination)
{
	int rc = take_literal(line, "PROXY ");

	if (rc <= 0)
		return rc;
	rc = take_literal(line, "UNKNOWN");
	if (rc > 0)
		return take_unknown(line);
	if (rc < 0)
		rc = take_literal(line, "TCP");
	if (rc <= 0)
		return rc;
	rc = take_literal(line, "4 ");
	if (rc > 0)
		return take_addresses(line, AF_INET, client, destination);
	if (rc < 0)
		rc = take_literal(line, "6 ");
	return rc > 0 ? take_addresses(line, AF_INET6, client, destination) : rc;
}

static ssize_t
parse_v1(const uint8_t *bytes, size_t size, struct peer *client, struct peer *destination, struct errmsg *err)
{
	struct v1_line line = {.at = bytes, .left = size < V1_MAX ? size : V1_MAX};
	int rc = take_line(&line, client, destination);

	if (rc > 0)
		return line.at - bytes;
	if (rc == 0 && size < V1_MAX)
		return 0;
	if (rc == 0)
		return refuse(err, "the line of version 1 does not end within 107 bytes");
	if (size >= 6 && memcmp(bytes, "PROXY ", 6) == 0)
		return refuse(err, "the line of version 1 is malformed");
	return refuse(err, "what was sent is not a PROXY header");
}

/* ---- version 2 --------------------------------------------------------------- */

/* CRC-32C (RFC 3720, appendix B.4), bit by bit: headers are short, and few have one. */
static uint32_t
crc32c(uint32_t crc, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (0x82f63b78u & (0u - (crc & 1u)));
	}
	return crc;
}

/* The sum is over the whole header with its own four bytes as zeros. */
static bool
is_sum_right(const uint8_t *bytes, size_t total, size_t sum_at)
{
	static const uint8_t zeros[4];
	uint32_t crc = crc32c(UINT32_MAX, bytes, sum_at);
	uint32_t sent;

	crc = crc32c(crc, zeros, sizeof(zeros));
	crc = ~crc32c(crc, bytes + sum_at + sizeof(zeros), total - sum_at - sizeof(zeros));
	memcpy(&sent, bytes + sum_at, sizeof(sent));
	return crc == ntohl(sent);
}

/* 0, or -EPROTO. */
static ssize_t
check_tlvs(const uint8_t *bytes, size_t at, size_t total, struct errmsg *err)
{
	while (at < total) {
		size_t length;

		if (total - at < TLV_HEAD)
			return refuse(err, "the last extension of version 2 is cut off");
		length = ((size_t)bytes[at + 1] << 8) + bytes[at + 2];
		if (length > total - at - TLV_HEAD)
			return refuse(err, "an extension of version 2 is longer than the header");
		if (bytes[at] == TLV_CRC32C) {
			if (length != sizeof(uint32_t))
				return refuse(err, "the checksum of version 2 is malformed");
			if (!is_sum_right(bytes, total, at + TLV_HEAD))
				return refuse(err, "the checksum of version 2 is wrong");
		}
		at += TLV_HEAD + length;
	}
	return 0;
}

static uint16_t
read_port(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

/* What can be said before the length is there. 0, or -EPROTO. */
static ssize_t
check_v2_start(const uint8_t *bytes, size_t size, struct errmsg *err)
{
	size_t there = size < sizeof(v2_signature) ? size : sizeof(v2_signature);

	if (memcmp(bytes, v2_signature, there) != 0)
		return refuse(err, "what was sent is not a PROXY header");
	if (size > 12 && (bytes[12] & 0xf0u) != V2_VERSION)
		return refuse(err, "its version is neither 1 nor 2");
	if (size > 12 && (bytes[12] & 0x0fu) > V2_PROXY)
		return refuse(err, "the command of version 2 is neither LOCAL nor PROXY");
	if (size > 13 && (bytes[12] & 0x0fu) == V2_PROXY &&
		(bytes[13] >> 4 >= V2_FAMILY_COUNT || (bytes[13] & 0x0fu) > V2_DATAGRAM))
		return refuse(err, "version 2 has no such family or transport");
	return 0;
}

/* The whole header is there and says PROXY. 0, or -EPROTO. */
static ssize_t
read_v2_block(const uint8_t *bytes, size_t total, struct peer *client, struct peer *destination, struct errmsg *err)
{
	const uint8_t *at = bytes + V2_FIXED;
	unsigned family = bytes[13] >> 4;
	ssize_t rc = check_tlvs(bytes, V2_FIXED + v2_address_bytes[family], total, err);

	if (rc < 0)
		return rc;
	if (family == V2_INET) {
		set_peer(client, AF_INET, at, read_port(at + 8));
		set_peer(destination, AF_INET, at + 4, read_port(at + 10));
	} else if (family == V2_INET6) {
		set_peer(client, AF_INET6, at, read_port(at + 32));
		set_peer(destination, AF_INET6, at + 16, read_port(at + 34));
	}
	return 0;
}

static ssize_t
parse_v2(const uint8_t *bytes, size_t size, struct peer *client, struct peer *destination, struct errmsg *err)
{
	ssize_t rc = check_v2_start(bytes, size, err);
	bool is_named;
	size_t total;

	if (rc < 0 || size < V2_FIXED)
		return rc;
	total = V2_FIXED + ((size_t)bytes[14] << 8) + bytes[15];
	if (total > PROXY_HEADER_MAX) {
		errmsg_set(err, "the header has %zu bytes, more than %u", total, PROXY_HEADER_MAX);
		return -EMSGSIZE;
	}
	is_named = (bytes[12] & 0x0fu) == V2_PROXY && bytes[13] >> 4 != V2_UNSPECIFIED && (bytes[13] & 0x0fu) != 0;
	if (is_named && total < V2_FIXED + v2_address_bytes[bytes[13] >> 4])
		return refuse(err, "version 2 has no room for the addresses of its family");
	if (size < total)
		return 0;
	if (is_named)
		rc = read_v2_block(bytes, total, client, destination, err);
	return rc < 0 ? rc : (ssize_t)total;
}

ssize_t
proxy_header_parse(const uint8_t *bytes, size_t size, struct peer *client, struct peer *destination, struct errmsg *err)
{
	struct peer from = {.family = AF_UNSPEC}, to = {.family = AF_UNSPEC};
	ssize_t rc;

	if (size == 0)
		return 0;
	rc = bytes[0] == v2_signature[0] ? parse_v2(bytes, size, &from, &to, err)
					 : parse_v1(bytes, size, &from, &to, err);
	if (rc > 0) {
		*client = from;
		*destination = to;
	}
	return rc;
}

/* ---- making one -------------------------------------------------------------- */

/* Both ends in one family, as both versions want them. */
struct pair {
	int family;
	uint8_t client[16], destination[16];
};

static void
copy_as_inet6(const struct peer *peer, uint8_t bytes[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	memcpy(bytes, peer->bytes, 16);
	if (peer->family != AF_INET)
		return;
	memcpy(bytes, mapped, sizeof(mapped));
	memcpy(bytes + sizeof(mapped), peer->bytes, 4);
}

static void
pair_up(struct pair *pair, const struct peer *client, const struct peer *destination)
{
	memset(pair, 0, sizeof(*pair));
	pair->family = client->family;
	if (is_tcp(destination) && destination->family != client->family) {
		pair->family = AF_INET6;
		copy_as_inet6(client, pair->client);
		copy_as_inet6(destination, pair->destination);
		return;
	}
	memcpy(pair->client, client->bytes, sizeof(pair->client));
	if (is_tcp(destination))
		memcpy(pair->destination, destination->bytes, sizeof(pair->destination));
}

static size_t
make_v1(const struct pair *pair, uint16_t from_port, uint16_t to_port, uint8_t buf[PROXY_HEADER_MADE_MAX])
{
	char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];

	inet_ntop(pair->family, pair->client, from, sizeof(from));
	inet_ntop(pair->family, pair->destination, to, sizeof(to));
	return (size_t)snprintf((char *)buf, PROXY_HEADER_MADE_MAX, "PROXY %s %s %s %u %u\r\n",
		pair->family == AF_INET ? "TCP4" : "TCP6", from, to, from_port, to_port);
}

static size_t
make_v2(const struct pair *pair, uint16_t from_port, uint16_t to_port, uint8_t buf[PROXY_HEADER_MADE_MAX])
{
	size_t width = pair->family == AF_INET ? 4 : 16;
	unsigned family = pair->family == AF_INET ? V2_INET : V2_INET6;
	uint8_t *at = buf + V2_FIXED;

	buf[12] = V2_VERSION | V2_PROXY;
	buf[13] = (uint8_t)(family << 4 | V2_STREAM);
	buf[14] = 0;
	buf[15] = (uint8_t)v2_address_bytes[family];
	memcpy(at, pair->client, width);
	memcpy(at + width, pair->destination, width);
	at += 2 * width;
	*at++ = (uint8_t)(from_port >> 8);
	*at++ = (uint8_t)from_port;
	*at++ = (uint8_t)(to_port >> 8);
	*at++ = (uint8_t)to_port;
	return (size_t)(at - buf);
}

size_t
proxy_header_make(
	int version, const struct peer *client, const struct peer *destination, uint8_t buf[PROXY_HEADER_MADE_MAX])
{
	static const char unknown[] = "PROXY UNKNOWN\r\n";
	uint16_t to_port = is_tcp(destination) ? destination->port : 0;
	struct pair pair;

	CP_ASSERT(version == 1 || version == 2);
	if (version == 2)
		memcpy(buf, v2_signature, sizeof(v2_signature));
	if (is_tcp(client)) {
		pair_up(&pair, client, destination);
		return version == 1 ? make_v1(&pair, client->port, to_port, buf)
				    : make_v2(&pair, client->port, to_port, buf);
	}
	if (version == 1) {
		memcpy(buf, unknown, strlen(unknown));
		return strlen(unknown);
	}
	buf[12] = V2_VERSION | V2_LOCAL;
	memset(buf + 13, 0, 3);
	return V2_FIXED;
}
