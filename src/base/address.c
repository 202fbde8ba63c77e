/* SPDX-License-Identifier: MIT */
/*
 * address - where something listens or connects to, and who a peer is.
 *
 * Any thread. Parsing allocates and is for configuration and command lines; everything about peers works on the
 * caller's memory and is called for each connection. Never looks a name up and never touches the file system.
 *
 * One notation for one address: IPv6 goes through inet_ntop(3), IPv4-mapped IPv6 becomes IPv4, names become lower
 * case, ports lose their leading zeros. So two listeners on one address are found by comparing texts.
 */
#include "config.h"

#include "base/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "base/assert.h"
#include "base/errmsg.h"
#include "base/mem.h"

#define EXPECTED "expected tcp:HOST:PORT, tcp:[V6]:PORT, tcp:*:PORT, unix:PATH, unix:@NAME or systemd:NAME"
#define EXPECTED_SERVER "expected tcp:HOST:PORT, tcp:[V6]:PORT, unix:PATH, unix:@NAME or srv:NAME"
#define EXPECTED_SRV "expected srv:_SERVICE._PROTO.DOMAIN, as in srv:_http._tcp.example.com"

/* RFC 1035, 2.3.4. */
#define HOST_NAME_MAX_LEN 253
#define HOST_LABEL_MAX_LEN 63

/* What LISTEN_FDNAMES can carry for one socket (systemd.socket(5), FileDescriptorName=). */
#define FD_NAME_MAX_LEN 255

#define SUN_PATH_MAX_LEN (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)

/* ::ffff:0:0/96, RFC 4291 2.5.5.2. */
static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static const char digits[] = "0123456789";

static bool
is_mapped(const uint8_t bytes[16])
{
	return memcmp(bytes, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

static bool
consists_of(const char *text, size_t len, const char *accepted)
{
	return strspn(text, accepted) >= len;
}

/* ---- text to address --------------------------------------------------------- */

/* Digits only, 0 to max; -1 when it is anything else. */
static int
parse_decimal(const char *text, int max)
{
	int value = 0;

	if (*text == '\0')
		return -1;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		value = value * 10 + (*text - '0');
		if (value > max)
			return -1;
	}
	return value;
}

static bool
is_interface(const char *name)
{
	return name[0] != '\0' && strlen(name) < IF_NAMESIZE && strpbrk(name, "%/:[] ") == NULL;
}

/* Writes the host between brackets as it is spoken of from here on. 0 or -EINVAL. */
static int
normalise_v6(const char *text, char *ret_host, size_t size, struct errmsg *err)
{
	char number[INET6_ADDRSTRLEN];
	const char *scope = strchr(text, '%');
	size_t len = scope != NULL ? (size_t)(scope - text) : strlen(text);
	struct in6_addr in6;

	snprintf(number, sizeof(number), "%.*s", (int)(len < sizeof(number) ? len : sizeof(number)), text);
	if (len >= sizeof(number) || inet_pton(AF_INET6, number, &in6) != 1) {
		errmsg_set(err, "\"%.100s\" is not an IPv6 address; brackets are for these alone, as in tcp:[::1]:80",
			text);
		return -EINVAL;
	}
	if (scope != NULL && !is_interface(scope + 1)) {
		errmsg_set(err, "\"%.100s\": behind %% is expected a network interface, as in tcp:[fe80::1%%eth0]:80",
			text);
		return -EINVAL;
	}
	if (scope != NULL && !IN6_IS_ADDR_LINKLOCAL(&in6) && !IN6_IS_ADDR_MC_LINKLOCAL(&in6)) {
		errmsg_set(err, "only a link-local address (fe80::...) takes a network interface, \"%.100s\"", scope);
		return -EINVAL;
	}
	if (is_mapped(in6.s6_addr))
		inet_ntop(AF_INET, in6.s6_addr + sizeof(mapped_prefix), number, sizeof(number));
	else
		inet_ntop(AF_INET6, &in6, number, sizeof(number));
	snprintf(ret_host, size, "%s%s", number, scope != NULL ? scope : "");
	return 0;
}

static bool
is_label(const char *label, size_t len)
{
	if (len == 0 || len > HOST_LABEL_MAX_LEN || label[0] == '-' || label[len - 1] == '-')
		return false;
	return consists_of(label, len, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");
}

/*
 * A name's last label is never a number: "1.2.3", "0x7f.1" and "300.1.1.1" are IPv4 addresses gone wrong, which
 * getaddrinfo(3) would take for something else than their writer did.
 */
static bool
is_number_gone_wrong(const char *label, size_t len)
{
	if (consists_of(label, len, digits))
		return true;
	return strncasecmp(label, "0x", 2) == 0 && consists_of(label + 2, len - 2, "0123456789abcdefABCDEF");
}

static int
normalise_name(const char *text, char *ret_host, size_t size, struct errmsg *err)
{
	size_t total = strlen(text);
	const char *label = text;
	struct in_addr in;
	size_t len = 0;

	if (inet_pton(AF_INET, text, &in) == 1) {
		inet_ntop(AF_INET, &in, ret_host, (socklen_t)size);
		return 0;
	}
	while (*label != '\0') {
		len = strcspn(label, ".");
		if (!is_label(label, len) || total > HOST_NAME_MAX_LEN) {
			errmsg_set(err, "\"%.100s\" is neither a host name nor an IP address", text);
			return -EINVAL;
		}
		if (label[len] == '\0' || label[len + 1] == '\0')
			break;
		label += len + 1;
	}
	if (is_number_gone_wrong(label, len)) {
		errmsg_set(err, "\"%.100s\" is not an IPv4 address: expected four numbers from 0 to 255", text);
		return -EINVAL;
	}
	for (size_t i = 0; i <= total; i++)
		ret_host[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + ('a' - 'A') : text[i]);
	return 0;
}

/* Brackets forgotten: says how it should have been written, with or without a port at its end. */
static int
refuse_bare_v6(const char *rest, const char *last_colon, struct errmsg *err)
{
	int len = (int)(last_colon - rest);
	char host[INET6_ADDRSTRLEN];
	struct in6_addr in6;

	snprintf(host, sizeof(host), "%.*s", len < INET6_ADDRSTRLEN ? len : 0, rest);
	if (inet_pton(AF_INET6, host, &in6) == 1)
		errmsg_set(err, "an IPv6 address stands in brackets: write tcp:[%s]%.10s", host, last_colon);
	else if (inet_pton(AF_INET6, rest, &in6) == 1)
		errmsg_set(err, "an IPv6 address stands in brackets and a port follows: write tcp:[%.100s]:PORT", rest);
	else
		errmsg_set(err, "too many colons: expected tcp:HOST:PORT, or tcp:[V6]:PORT for IPv6");
	return -EINVAL;
}

static void
refuse_no_host(const char *rest, const char *colon, bool is_server, struct errmsg *err)
{
	if (is_server)
		errmsg_set(err, "the host is missing: expected tcp:HOST:PORT");
	else
		errmsg_set(err, "the host is missing: for any address write tcp:*%s%.10s", colon, rest);
}

/* Cuts "HOST:PORT" in two: *ret_host_len bytes of host from *ret_host on, and the port. */
static int
split_tcp(const char *rest, bool is_server, const char **ret_host, size_t *ret_host_len, const char **ret_port,
	struct errmsg *err)
{
	const char *colon = strrchr(rest, ':');
	const char *end;

	if (strncmp(rest, "//", 2) == 0) {
		errmsg_set(err, "this is no URL: expected tcp:HOST:PORT, without slashes");
		return -EINVAL;
	}
	if (rest[0] == '[') {
		end = strchr(rest, ']');
		if (end == NULL) {
			errmsg_set(err, "the bracket is not closed: expected tcp:[V6]:PORT");
			return -EINVAL;
		}
		if (end[1] != ':') {
			errmsg_set(err, "a colon and the port must follow the bracket: expected tcp:[V6]:PORT");
			return -EINVAL;
		}
		*ret_host = rest + 1;
		*ret_host_len = (size_t)(end - rest - 1);
		*ret_port = end + 2;
		return 0;
	}
	if (colon == NULL) {
		if (*rest != '\0' && consists_of(rest, strlen(rest), digits))
			refuse_no_host(rest, ":", is_server, err);
		else
			errmsg_set(err, "the port is missing: expected tcp:HOST:PORT");
		return -EINVAL;
	}
	if (strchr(rest, ':') != colon)
		return refuse_bare_v6(rest, colon, err);
	if (colon == rest) {
		refuse_no_host(rest, "", is_server, err);
		return -EINVAL;
	}
	*ret_host = rest;
	*ret_host_len = (size_t)(colon - rest);
	*ret_port = colon + 1;
	return 0;
}

static int
parse_tcp(struct address *address, const char *rest, bool is_server, struct errmsg *err)
{
	char text[HOST_NAME_MAX_LEN + 3];
	char host[HOST_NAME_MAX_LEN + 3];
	const char *host_text, *port_text;
	size_t host_len;
	int port, r;

	r = split_tcp(rest, is_server, &host_text, &host_len, &port_text, err);
	if (r < 0)
		return r;
	/* One byte more than a name may have is kept, so that it is found too long. */
	snprintf(text, sizeof(text), "%.*s", host_len < sizeof(text) ? (int)host_len : (int)sizeof(text), host_text);
	if (rest[0] == '[')
		r = normalise_v6(text, host, sizeof(host), err);
	else if (strcmp(text, "*") == 0)
		strcpy(host, "*");
	else
		r = normalise_name(text, host, sizeof(host), err);
	if (r < 0)
		return r;
	if (is_server && strcmp(host, "*") == 0) {
		errmsg_set(err, "a server has one address, and \"*\" is any: expected tcp:HOST:PORT");
		return -EINVAL;
	}
	port = parse_decimal(port_text, UINT16_MAX);
	if (port < is_server) {
		errmsg_set(err, "\"%.40s\" is not a port: expected a number from %d to 65535", port_text, is_server);
		return -EINVAL;
	}
	address->port = (uint16_t)port;
	address->host = mem_strdup(host);
	address->text = mem_printf(strchr(host, ':') != NULL ? "tcp:[%s]:%d" : "tcp:%s:%d", host, port);
	return 0;
}

static int
parse_unix(struct address *address, const char *rest, bool is_server, struct errmsg *err)
{
	size_t len = strlen(rest);

	(void)is_server;
	if (len == 0 || strcmp(rest, "@") == 0) {
		errmsg_set(err, "the %s is missing: expected unix:PATH or unix:@NAME", len == 0 ? "path" : "name");
		return -EINVAL;
	}
	/* An abstract name spends its first byte on the NUL that marks it, a path its last on the NUL that ends it. */
	if (len > SUN_PATH_MAX_LEN + (rest[0] == '@')) {
		errmsg_set(err, "%s is too long for a socket: %zu bytes, at most %zu",
			rest[0] == '@' ? "the name" : "the path", len - (rest[0] == '@'), SUN_PATH_MAX_LEN);
		return -EINVAL;
	}
	address->host = mem_strdup(rest);
	address->text = mem_printf("unix:%s", rest);
	return 0;
}

static int
parse_systemd(struct address *address, const char *rest, bool is_server, struct errmsg *err)
{
	if (is_server) {
		errmsg_set(err, "what the service manager passes is a socket that listens, not one to connect "
				"to; " EXPECTED_SERVER);
		return -EINVAL;
	}
	if (*rest == '\0') {
		errmsg_set(err, "the name is missing: expected systemd:NAME, by a socket unit's FileDescriptorName=");
		return -EINVAL;
	}
	for (const char *p = rest; *p != '\0'; p++) {
		if (*p <= ' ' || *p >= 0x7f || *p == ':' || p - rest >= FD_NAME_MAX_LEN) {
			errmsg_set(err,
				"not a name that a socket unit's FileDescriptorName= can give: at most %d "
				"characters, no colons, blanks or control characters",
				FD_NAME_MAX_LEN);
			return -EINVAL;
		}
	}
	address->host = mem_strdup(rest);
	address->text = mem_printf("systemd:%s", rest);
	return 0;
}

/* RFC 2782: "_SERVICE._PROTO.DOMAIN". */
static int
parse_srv(struct address *address, const char *rest, bool is_server, struct errmsg *err)
{
	char host[HOST_NAME_MAX_LEN + 3];
	const char *dot = strchr(rest, '.');
	const char *domain;
	int r;

	if (!is_server) {
		errmsg_set(err, "srv: names servers to connect to, not where to listen; " EXPECTED);
		return -EINVAL;
	}
	if (strchr(rest, ':') != NULL) {
		errmsg_set(err, "the port comes with the records; " EXPECTED_SRV);
		return -EINVAL;
	}
	domain = dot != NULL ? strchr(dot + 1, '.') : NULL;
	if (rest[0] != '_' || domain == NULL || dot[1] != '_' || domain[1] == '\0') {
		errmsg_set(err, EXPECTED_SRV);
		return -EINVAL;
	}
	r = normalise_name(rest, host, sizeof(host), err);
	if (r < 0)
		return r;
	address->host = mem_strdup(host);
	address->text = mem_printf("srv:%s", host);
	return 0;
}

/* None of the forms: guesses what was meant, as long as the guess is a safe one. */
static int
refuse_unknown(const char *text, bool is_server, struct errmsg *err)
{
	const char *expected = is_server ? EXPECTED_SERVER : EXPECTED;
	const char *colon = strrchr(text, ':');

	if (strncmp(text, "udp:", 4) == 0)
		errmsg_set(err, "datagram %s (udp:) are not supported by this version; %s",
			is_server ? "servers" : "listeners", expected);
	else if (text[0] == '/' || text[0] == '@')
		errmsg_set(err, "%s; did you mean unix:%.120s?", expected, text);
	else if (!is_server && parse_decimal(text, UINT16_MAX) >= 0)
		errmsg_set(err, "%s; did you mean tcp:*:%.10s?", expected, text);
	else if (is_server && text[0] == '_')
		errmsg_set(err, "%s; did you mean srv:%.120s?", expected, text);
	else if (colon != NULL && colon != text && strchr(text, ':') == colon &&
		 parse_decimal(colon + 1, UINT16_MAX) >= 0)
		errmsg_set(err, "%s; did you mean tcp:%.120s?", expected, text);
	else
		errmsg_set(err, "%s", expected);
	return -EINVAL;
}

static int
parse(struct address *address, const char *text, bool is_server, struct errmsg *err)
{
	static const struct form {
		const char *prefix;
		enum address_kind kind;
		int (*parse)(struct address *address, const char *rest, bool is_server, struct errmsg *err);
	} forms[] = {
		{"tcp:", ADDRESS_TCP, parse_tcp},
		{"unix:", ADDRESS_UNIX, parse_unix},
		{"systemd:", ADDRESS_SYSTEMD, parse_systemd},
		{"srv:", ADDRESS_SRV, parse_srv},
	};
	struct address parsed = {.kind = ADDRESS_TCP};
	size_t i = 0;
	int r;

	while (i < CP_COUNT(forms) && strncmp(text, forms[i].prefix, strlen(forms[i].prefix)) != 0)
		i++;
	if (i == CP_COUNT(forms)) {
		r = refuse_unknown(text, is_server, err);
	} else {
		parsed.kind = forms[i].kind;
		r = forms[i].parse(&parsed, text + strlen(forms[i].prefix), is_server, err);
	}
	if (r == 0 && (parsed.host == NULL || parsed.text == NULL)) {
		address_fini(&parsed);
		errmsg_set(err, "out of memory");
		r = -ENOMEM;
	}
	if (r < 0) {
		errmsg_prefix(err, "address \"%.160s\"", text);
		return r;
	}
	*address = parsed;
	return 0;
}

int
address_parse(struct address *address, const char *text, struct errmsg *err)
{
	return parse(address, text, false, err);
}

int
address_parse_server(struct address *address, const char *text, struct errmsg *err)
{
	return parse(address, text, true, err);
}

void
address_fini(struct address *address)
{
	mem_freep(&address->text);
	mem_freep(&address->host);
}

int
address_to_unix(const struct address *address, struct sockaddr_un *ret_sun, socklen_t *ret_len)
{
	size_t len = strlen(address->host);
	bool is_abstract = address->host[0] == '@';

	CP_ASSERT(address->kind == ADDRESS_UNIX);
	if (len > SUN_PATH_MAX_LEN + is_abstract)
		return -ENAMETOOLONG;
	memset(ret_sun, 0, sizeof(*ret_sun));
	ret_sun->sun_family = AF_UNIX;
	memcpy(ret_sun->sun_path, address->host, len);
	/* An abstract name is as long as it is said to be; a path ends with a NUL that counts. */
	if (is_abstract)
		ret_sun->sun_path[0] = '\0';
	else
		len++;
	*ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	return 0;
}

/* ---- peers ------------------------------------------------------------------- */

static void
peer_from_in6(struct peer *peer, const struct sockaddr_in6 *sin6)
{
	const uint8_t *bytes = sin6->sin6_addr.s6_addr;

	peer->port = ntohs(sin6->sin6_port);
	if (is_mapped(bytes)) {
		peer->family = AF_INET;
		memcpy(peer->bytes, bytes + sizeof(mapped_prefix), 4);
		return;
	}
	peer->family = AF_INET6;
	peer->scope_id = sin6->sin6_scope_id;
	memcpy(peer->bytes, bytes, sizeof(peer->bytes));
}

void
peer_from_sockaddr(struct peer *peer, const struct sockaddr *sa, socklen_t len)
{
	/* Copied, because the caller's may be any struct; zeroed, because peers are compared and hashed as bytes. */
	union {
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} copy = {.in6 = {0}};

	memset(peer, 0, sizeof(*peer));
	peer->family = AF_UNSPEC;
	if (len < sizeof(sa->sa_family))
		return;
	memcpy(&copy, sa, len < sizeof(copy) ? len : sizeof(copy));
	if (sa->sa_family == AF_INET && len >= sizeof(copy.in)) {
		peer->family = AF_INET;
		peer->port = ntohs(copy.in.sin_port);
		memcpy(peer->bytes, &copy.in.sin_addr, 4);
	} else if (sa->sa_family == AF_INET6 && len >= sizeof(copy.in6)) {
		peer_from_in6(peer, &copy.in6);
	} else if (sa->sa_family == AF_UNIX) {
		peer->family = AF_UNIX;
	}
}

/* As inet_ntop(3), which calls printf(3): it is done for every connection that is logged or gets a program. */
static void
format_ipv4(const uint8_t bytes[4], char *out)
{
	for (int i = 0; i < 4; i++) {
		if (bytes[i] >= 100)
			*out++ = (char)('0' + bytes[i] / 100);
		if (bytes[i] >= 10)
			*out++ = (char)('0' + bytes[i] / 10 % 10);
		*out++ = (char)('0' + bytes[i] % 10);
		*out++ = i < 3 ? '.' : '\0';
	}
}

const char *
peer_format_host(const struct peer *peer, char buf[ADDRESS_TEXT_MAX])
{
	size_t len;

	switch (peer->family) {
	case AF_INET:
		format_ipv4(peer->bytes, buf);
		break;
	case AF_INET6:
		inet_ntop(AF_INET6, peer->bytes, buf, ADDRESS_TEXT_MAX);
		len = strlen(buf);
		/* The number and not the interface's name: that would cost a socket and a system call. */
		if (peer->scope_id != 0)
			snprintf(buf + len, ADDRESS_TEXT_MAX - len, "%%%u", (unsigned)peer->scope_id);
		break;
	case AF_UNIX:
		strcpy(buf, "unix");
		break;
	default:
		strcpy(buf, "unknown");
		break;
	}
	return buf;
}

const char *
peer_format(const struct peer *peer, char buf[ADDRESS_TEXT_MAX])
{
	char host[ADDRESS_TEXT_MAX];

	peer_format_host(peer, host);
	if (peer->family == AF_INET)
		snprintf(buf, ADDRESS_TEXT_MAX, "%.50s:%u", host, (unsigned)peer->port);
	else if (peer->family == AF_INET6)
		snprintf(buf, ADDRESS_TEXT_MAX, "[%.100s]:%u", host, (unsigned)peer->port);
	else
		strcpy(buf, host);
	return buf;
}

/* len counts sun_path's bytes; bytes that would break a line of log or a terminal become '?'. */
static void
format_unix(const char *path, size_t len, char buf[ADDRESS_TEXT_MAX])
{
	char *out = buf + sprintf(buf, "unix:");
	bool is_abstract = len > 0 && path[0] == '\0';

	if (is_abstract)
		*out++ = '@';
	for (size_t i = is_abstract; i < len && (is_abstract || path[i] != '\0'); i++) {
		unsigned char c = (unsigned char)path[i];

		*out++ = c < ' ' || c == 0x7f ? '?' : (char)c;
	}
	*out = '\0';
}

const char *
address_format_socket(int fd, char buf[ADDRESS_TEXT_MAX])
{
	struct sockaddr_storage storage;
	struct sockaddr *sa = (struct sockaddr *)&storage;
	socklen_t len = sizeof(storage);
	char text[ADDRESS_TEXT_MAX];
	struct peer peer;

	if (getsockname(fd, sa, &len) < 0)
		return strcpy(buf, "unknown");
	if (sa->sa_family == AF_UNIX) {
		format_unix(((struct sockaddr_un *)sa)->sun_path, len - offsetof(struct sockaddr_un, sun_path), buf);
		return buf;
	}
	peer_from_sockaddr(&peer, sa, len);
	if (peer.family == AF_UNSPEC)
		return strcpy(buf, "unknown");
	snprintf(buf, ADDRESS_TEXT_MAX, "tcp:%.150s", peer_format(&peer, text));
	return buf;
}
