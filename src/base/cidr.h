/* SPDX-License-Identifier: MIT */
/*
 * cidr - networks as access lists name them, and whether a peer is of one.
 *
 * Any thread, no allocation. IPv4-mapped IPv6 networks become IPv4, as peers do: neither notation gets past the other.
 */
#ifndef CP_BASE_CIDR_H
#define CP_BASE_CIDR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/defs.h"

struct errmsg;
struct peer;

/* Fits every result of cidr_format(), NUL included. */
#define CIDR_TEXT_MAX 64

struct cidr {
	uint16_t family;     /* AF_INET or AF_INET6 */
	uint8_t prefix_bits;
	uint8_t bytes[16];   /* bits beyond the prefix are zero */
};

/* "10.0.0.0/8", "::1", "192.0.2.7"; host bits beyond the prefix are an error. 0 or -EINVAL (err says why). */
CP_MUST_CHECK int cidr_parse(struct cidr *cidr, const char *text, struct errmsg *err);
/* A peer that is neither IPv4 nor IPv6 is in no network. */
bool cidr_contains(const struct cidr *cidr, const struct peer *peer);
/* "10.0.0.0/8"; a single address too has its bits, "::1/128". Returns buf. */
const char *cidr_format(const struct cidr *cidr, char buf[CIDR_TEXT_MAX]);

#endif
