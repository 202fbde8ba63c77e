/* SPDX-License-Identifier: MIT */
/*
 * address - where something listens or connects to, and who a peer is.
 *
 * struct address is the text form "tcp:HOST:PORT", "tcp:[V6]:PORT", "tcp:*:PORT" (IPv4 and IPv6), "unix:PATH",
 * "unix:@ABSTRACT", "systemd:NAME" or "srv:NAME", taken apart. struct peer is a socket's other end in 24 bytes, because
 * every connection keeps one.
 */
#ifndef CP_BASE_ADDRESS_H
#define CP_BASE_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/cidr.h"
#include "base/defs.h"

struct errmsg;

enum address_kind { ADDRESS_TCP, ADDRESS_UNIX, ADDRESS_SYSTEMD, ADDRESS_SRV };

/* Owns its strings. */
struct address {
	enum address_kind kind;
	char *text;      /* as it was written, normalised: equal addresses have equal texts */
	char *host;      /* tcp: name or number without brackets, "*": any; unix: path or "@name"; systemd, srv: name */
	uint16_t port;   /* tcp only, host byte order; 0 = the kernel chooses */
};

/* Fits every result of the format functions, NUL included. */
#define ADDRESS_TEXT_MAX 160

/* A socket's other end. family is AF_UNSPEC (none), AF_INET, AF_INET6 or AF_UNIX (anonymous: no address kept). */
struct peer {
	uint16_t family;
	uint16_t port;      /* host byte order */
	uint32_t scope_id;  /* IPv6 link-local only */
	uint8_t bytes[16];  /* network byte order; IPv4 in the first four. IPv4-mapped IPv6 is kept as IPv4 */
};

/*
 * Takes apart where something listens, which is any form but srv:; *address is written on success only and then owned
 * by the caller (address_fini). 0, -EINVAL (err says what was expected), -ENOMEM.
 */
CP_MUST_CHECK int address_parse(struct address *address, const char *text, struct errmsg *err);
/*
 * The same for a server to connect to: tcp: with a host and a port, unix: or srv:_SERVICE._PROTO.DOMAIN, the name of
 * SRV records (RFC 2782).
 */
CP_MUST_CHECK int address_parse_server(struct address *address, const char *text, struct errmsg *err);
/* Frees what it holds; a zeroed one is accepted. */
void address_fini(struct address *address);

/*
 * Fills a socket address for unix: (path or abstract). 0; -ENAMETOOLONG when longer than sun_path takes.
 * *ret_len is the length that bind(2) and connect(2) want.
 */
struct sockaddr_un;
CP_MUST_CHECK int address_to_unix(const struct address *address, struct sockaddr_un *ret_sun, socklen_t *ret_len);

/* From what accept4(2) or getpeername(2) wrote. */
void peer_from_sockaddr(struct peer *peer, const struct sockaddr *sa, socklen_t len);
/* "192.0.2.1:80", "[2001:db8::1]:80", "unix". Returns buf. */
const char *peer_format(const struct peer *peer, char buf[ADDRESS_TEXT_MAX]);
/* The same without port and brackets. */
const char *peer_format_host(const struct peer *peer, char buf[ADDRESS_TEXT_MAX]);
/* A bound socket as an address text, "tcp:0.0.0.0:7007", "tcp:[::]:7007", "unix:/run/x.sock". Returns buf. */
const char *address_format_socket(int fd, char buf[ADDRESS_TEXT_MAX]);

#endif
