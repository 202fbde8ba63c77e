/* SPDX-License-Identifier: MIT */
/*
 * Tests of base/address: every form is taken apart and normalised, everything else is refused with words that help,
 * and peers mean the same in either notation.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include <check.h>

#include "base/address.h"
#include "base/errmsg.h"
#include "base/mem.h"

struct example {
	const char *text;
	const char *expected; /* the normalised text, or what the error contains */
};

static void
check_accepted(const struct example *examples, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct errmsg err = {""};
		struct address address, again;

		ck_assert_msg(address_parse(&address, examples[i].text, &err) == 0, "%s", err.text);
		ck_assert_str_eq(address.text, examples[i].expected);
		ck_assert_int_eq(address_parse(&again, address.text, NULL), 0);
		ck_assert_str_eq(again.text, address.text);
		ck_assert_str_eq(again.host, address.host);
		ck_assert_uint_eq(again.port, address.port);
		address_fini(&again);
		address_fini(&address);
		ck_assert_ptr_null(address.text);
		address_fini(&address);
	}
}

static void
check_refused(const struct example *examples, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct address address = {.port = 4711};
		struct errmsg err = {""};
		char prefix[64];

		ck_assert_int_eq(address_parse(&address, examples[i].text, &err), -EINVAL);
		ck_assert_msg(strstr(err.text, examples[i].expected) != NULL, "%s", err.text);
		snprintf(prefix, sizeof(prefix), "address \"%.40s", examples[i].text);
		ck_assert_msg(strncmp(err.text, prefix, strlen(prefix)) == 0, "%s", err.text);
		ck_assert_ptr_null(address.text);
		ck_assert_uint_eq(address.port, 4711);
	}
}

static struct address
parse(const char *text)
{
	struct address address;
	struct errmsg err;

	ck_assert_msg(address_parse(&address, text, &err) == 0, "%s", err.text);
	return address;
}

/* count letters between prefix and suffix, in a buffer that the next call overwrites. */
static const char *
make_text(const char *prefix, size_t count, const char *suffix)
{
	static char buf[1200];
	size_t len = strlen(prefix);

	strcpy(buf, prefix);
	memset(buf + len, 'x', count);
	strcpy(buf + len + count, suffix);
	return buf;
}

static struct peer
make_peer(const char *number, uint16_t port, uint32_t scope_id)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_scope_id = scope_id};
	struct peer peer;

	if (inet_pton(AF_INET, number, &in.sin_addr) == 1) {
		peer_from_sockaddr(&peer, (struct sockaddr *)&in, sizeof(in));
	} else {
		ck_assert_int_eq(inet_pton(AF_INET6, number, &in6.sin6_addr), 1);
		peer_from_sockaddr(&peer, (struct sockaddr *)&in6, sizeof(in6));
	}
	return peer;
}

START_TEST(tcp_is_taken_apart)
{
	struct address address = parse("tcp:[2001:DB8::1]:8080");

	ck_assert_int_eq(address.kind, ADDRESS_TCP);
	ck_assert_str_eq(address.host, "2001:db8::1");
	ck_assert_uint_eq(address.port, 8080);
	address_fini(&address);
	address = parse("tcp:*:0");
	ck_assert_str_eq(address.host, "*");
	ck_assert_uint_eq(address.port, 0);
	address_fini(&address);
	address = parse("tcp:web.example.com:65535");
	ck_assert_str_eq(address.host, "web.example.com");
	ck_assert_uint_eq(address.port, 65535);
	address_fini(&address);
}
END_TEST

START_TEST(tcp_is_normalised)
{
	static const struct example examples[] = {
		{"tcp:0.0.0.0:80", "tcp:0.0.0.0:80"},
		{"tcp:192.0.2.255:080", "tcp:192.0.2.255:80"},
		{"tcp:*:00007007", "tcp:*:7007"},
		{"tcp:[::]:80", "tcp:[::]:80"},
		{"tcp:[0:0:0:0:0:0:0:0]:80", "tcp:[::]:80"},
		{"tcp:[2001:0DB8:0:0::00AB]:80", "tcp:[2001:db8::ab]:80"},
		{"tcp:[::ffff:192.0.2.1]:80", "tcp:192.0.2.1:80"},
		{"tcp:[::FFFF:c000:0201]:80", "tcp:192.0.2.1:80"},
		{"tcp:[::192.0.2.1]:80", "tcp:[::192.0.2.1]:80"},
		{"tcp:[fe80::1%eth0]:80", "tcp:[fe80::1%eth0]:80"},
		{"tcp:[FE80:0::1%2]:80", "tcp:[fe80::1%2]:80"},
		{"tcp:[ff02::1%lo]:80", "tcp:[ff02::1%lo]:80"},
		{"tcp:LocalHost:80", "tcp:localhost:80"},
		{"tcp:Web.Example.COM.:80", "tcp:web.example.com.:80"},
		{"tcp:4you.example:80", "tcp:4you.example:80"},
		{"tcp:a:80", "tcp:a:80"},
		{"tcp:my_host-1:80", "tcp:my_host-1:80"},
		{"tcp:xn--bcher-kva.example:80", "tcp:xn--bcher-kva.example:80"},
		{"tcp:1.2.3.4.example:80", "tcp:1.2.3.4.example:80"},
	};

	check_accepted(examples, CP_COUNT(examples));
}
END_TEST

START_TEST(port_is_a_number_from_0_to_65535)
{
	static const struct example examples[] = {
		{"tcp:*:65536", "\"65536\" is not a port: expected a number from 0 to 65535"},
		{"tcp:*:99999999999999999999999999", "is not a port"},
		{"tcp:*:4294967376", "is not a port"},
		{"tcp:*:-1", "is not a port"},
		{"tcp:*:+1", "is not a port"},
		{"tcp:*:0x50", "is not a port"},
		{"tcp:*: 80", "is not a port"},
		{"tcp:*:80 ", "is not a port"},
		{"tcp:*:http", "\"http\" is not a port"},
		{"tcp:*:", "\"\" is not a port"},
		{"tcp:[::1]:", "\"\" is not a port"},
		{"tcp:[::1]:80]", "is not a port"},
	};

	check_refused(examples, CP_COUNT(examples));
}
END_TEST

START_TEST(missing_parts_are_named)
{
	static const struct example examples[] = {
		{"tcp:", "the port is missing: expected tcp:HOST:PORT"},
		{"tcp:localhost", "the port is missing"},
		{"tcp:*", "the port is missing"},
		{"tcp:192.0.2.1", "the port is missing"},
		{"tcp:80", "the host is missing: for any address write tcp:*:80"},
		{"tcp::80", "the host is missing: for any address write tcp:*:80"},
		{"tcp:[::1]", "a colon and the port must follow the bracket"},
		{"tcp:[::1]80", "a colon and the port must follow the bracket"},
		{"tcp:[::1", "the bracket is not closed"},
		{"tcp:[::1:80", "the bracket is not closed"},
	};

	check_refused(examples, CP_COUNT(examples));
}
END_TEST

START_TEST(ipv6_without_brackets_is_explained)
{
	static const struct example examples[] = {
		{"tcp:::1:80", "an IPv6 address stands in brackets: write tcp:[::1]:80"},
		{"tcp:2001:db8::1:8080", "write tcp:[2001:db8::1]:8080"},
		{"tcp:fe80::1", "write tcp:[fe80::1]:PORT"},
		{"tcp:1:2:3:4:5:6:7:8", "and a port follows: write tcp:[1:2:3:4:5:6:7:8]:PORT"},
		{"tcp:host:80:90", "too many colons"},
		{"tcp:host::80", "too many colons"},
	};

	check_refused(examples, CP_COUNT(examples));
}
END_TEST

START_TEST(brackets_are_for_ipv6_alone)
{
	static const struct example examples[] = {
		{"tcp:[]:80", "\"\" is not an IPv6 address"},
		{"tcp:[*]:80", "\"*\" is not an IPv6 address"},
		{"tcp:[192.0.2.1]:80", "is not an IPv6 address; brackets are for these alone"},
		{"tcp:[localhost]:80", "is not an IPv6 address"},
		{"tcp:[12345::1]:80", "is not an IPv6 address"},
		{"tcp:[1::2::3]:80", "is not an IPv6 address"},
		{"tcp:[::1/64]:80", "is not an IPv6 address"},
		{"tcp:[[::1]]:80", "a colon and the port must follow"},
		{"tcp:[0000000000000000000000000000000000000000000000000000000000001]:80", "is not an IPv6 address"},
	};

	check_refused(examples, CP_COUNT(examples));
}
END_TEST

START_TEST(interface_is_for_link_local_addresses_alone)
{
	static const struct example examples[] = {
		{"tcp:[fe80::1%]:80", "is expected a network interface"},
		{"tcp:[fe80::1%a%b]:80", "is expected a network interface"},
		{"tcp:[fe80::1%eth0/64]:80", "is expected a network interface"},
		{"tcp:[fe80::1%0123456789abcdef]:80", "is expected a network interface"},
		{"tcp:[2001:db8::1%eth0]:80", "only a link-local address (fe80::...) takes a network interface"},
		{"tcp:[::1%lo]:80", "only a link-local address"},
		{"tcp:[::ffff:192.0.2.1%lo]:80", "only a link-local address"},
	};

	check_refused(examples, CP_COUNT(examples));
}
END_TEST

START_TEST(host_that_is_neither_name_nor_number_is_refused)
{
	static const struct example examples[] = {
		{"tcp:256.0.0.1:80", "is not an IPv4 address: expected four numbers from 0 to 255"},
		{"tcp:1.2.3:80", "is not an IPv4 address"},
		{"tcp:1.2.3.4.5:80", "is not an IPv4 address"},
		{"tcp:127.1:80", "is not an IPv4 address"},
		{"tcp:2130706433:80", "is not an IPv4 address"},
		{"tcp:0x7f000001:80", "is not an IPv4 address"},
		{"tcp:0x7F.0.0.0x1:80", "is not an IPv4 address"},
		{"tcp:010.0.0.1:80", "is not an IPv4 address"},
		{"tcp:192.0.2.1.:80", "is not an IPv4 address"},
		{"tcp:.:80", "neither a host name nor an IP address"},
		{"tcp:.a:80", "neither a host name nor an IP address"},
		{"tcp:a..b:80", "neither a host name nor an IP address"},
		{"tcp:-a:80", "neither a host name nor an IP address"},
		{"tcp:a-.b:80", "neither a host name nor an IP address"},
		{"tcp:a b:80", "neither a host name nor an IP address"},
		{"tcp: a:80", "neither a host name nor an IP address"},
		{"tcp://host:80", "without slashes"},
		{"tcp:b\xc3\xbc"
		 "cher:80",
			"neither a host name nor an IP address"},
		{"tcp:**:80", "neither a host name nor an IP address"},
		{"tcp:10.0.0.0/8:80", "neither a host name nor an IP address"},
	};

	check_refused(examples, CP_COUNT(examples));
}
END_TEST

START_TEST(host_names_have_limits)
{
	struct address address;
	char name[400] = "tcp:";

	address = parse(make_text("tcp:", 63, ":80"));
	ck_assert_uint_eq(strlen(address.host), 63);
	address_fini(&address);
	ck_assert_int_eq(address_parse(&address, make_text("tcp:", 64, ":80"), NULL), -EINVAL);
	ck_assert_int_eq(address_parse(&address, make_text("tcp:", 1000, ":80"), NULL), -EINVAL);
	/* 126 labels of one letter and a last one of one or two: 253 and 254 bytes. */
	for (int i = 0; i < 126; i++)
		strcat(name, "a.");
	strcat(name, "a:80");
	address = parse(name);
	ck_assert_uint_eq(strlen(address.host), 253);
	address_fini(&address);
	strcpy(name + strlen(name) - 3, "a:80");
	ck_assert_int_eq(address_parse(&address, name, NULL), -EINVAL);
	strcpy(name + strlen(name) - 3, "aaaaaaaaaaaaaaaaa:80");
	ck_assert_int_eq(address_parse(&address, name, NULL), -EINVAL);
}
END_TEST

START_TEST(unix_paths_are_kept_as_they_are)
{
	static const struct example examples[] = {
		{"unix:/run/x.sock", "unix:/run/x.sock"},
		{"unix:/run//./X y:z.sock", "unix:/run//./X y:z.sock"},
		{"unix:relative", "unix:relative"},
		{"unix:@name", "unix:@name"},
		{"unix:@@", "unix:@@"},
		{"unix:@/a:b", "unix:@/a:b"},
	};
	struct address address = parse("unix:@Name");

	ck_assert_int_eq(address.kind, ADDRESS_UNIX);
	ck_assert_str_eq(address.host, "@Name");
	address_fini(&address);
	check_accepted(examples, CP_COUNT(examples));
}
END_TEST

START_TEST(unix_paths_have_limits)
{
	static const struct example empty[] = {
		{"unix:", "the path is missing: expected unix:PATH or unix:@NAME"},
		{"unix:@", "the name is missing"},
	};
	struct address address;
	struct example too_long = {NULL, "the path is too long for a socket: 108 bytes, at most 107"};

	check_refused(empty, CP_COUNT(empty));
	address = parse(make_text("unix:/", 106, ""));
	ck_assert_uint_eq(strlen(address.host), 107);
	address_fini(&address);
	too_long.text = make_text("unix:/", 107, "");
	check_refused(&too_long, 1);
	address = parse(make_text("unix:@", 107, ""));
	ck_assert_uint_eq(strlen(address.host), 108);
	address_fini(&address);
	too_long = (struct example){make_text("unix:@", 108, ""), "the name is too long for a socket: 108 bytes"};
	check_refused(&too_long, 1);
}
END_TEST

START_TEST(systemd_names_are_those_of_file_descriptors)
{
	static const struct example accepted[] = {
		{"systemd:greet", "systemd:greet"},
		{"systemd:connpoold.socket", "systemd:connpoold.socket"},
		{"systemd:A-b_9@x", "systemd:A-b_9@x"},
	};
	static const struct example refused[] = {
		{"systemd:", "the name is missing: expected systemd:NAME"},
		{"systemd:a:b", "FileDescriptorName="},
		{"systemd:a b", "FileDescriptorName="},
		{"systemd:a\n", "FileDescriptorName="},
		{"systemd:\xc3\xbc", "FileDescriptorName="},
		{"systemd:\x7f", "FileDescriptorName="},
	};
	struct address address = parse(make_text("systemd:", 255, ""));

	ck_assert_int_eq(address.kind, ADDRESS_SYSTEMD);
	ck_assert_uint_eq(strlen(address.host), 255);
	address_fini(&address);
	check_accepted(accepted, CP_COUNT(accepted));
	check_refused(refused, CP_COUNT(refused));
	ck_assert_int_eq(address_parse(&address, make_text("systemd:", 256, ""), NULL), -EINVAL);
}
END_TEST

/* As check_accepted and check_refused, for what is connected to. */
static void
check_server(const char *text, const char *normal, const char *error)
{
	struct errmsg err = {""};
	struct address address;
	int r = address_parse_server(&address, text, &err);

	if (normal == NULL) {
		ck_assert_int_eq(r, -EINVAL);
		ck_assert_msg(strstr(err.text, error) != NULL, "%s", err.text);
		return;
	}
	ck_assert_msg(r == 0, "%s", err.text);
	ck_assert_str_eq(address.text, normal);
	address_fini(&address);
}

START_TEST(servers_have_a_host_and_a_port)
{
	check_server("tcp:Web.Example.com:080", "tcp:web.example.com:80", NULL);
	check_server("tcp:[0::1]:65535", "tcp:[::1]:65535", NULL);
	check_server("unix:/run/x", "unix:/run/x", NULL);
	check_server("unix:@x", "unix:@x", NULL);
	check_server("tcp:*:80", NULL, "a server has one address, and \"*\" is any: expected tcp:HOST:PORT");
	check_server("tcp:a:0", NULL, "\"0\" is not a port: expected a number from 1 to 65535");
	check_server("tcp:80", NULL, "the host is missing: expected tcp:HOST:PORT");
	check_server("tcp::80", NULL, "the host is missing: expected tcp:HOST:PORT");
	check_server("systemd:x", NULL, "a socket that listens, not one to connect to; expected tcp:HOST:PORT");
}
END_TEST

START_TEST(servers_of_unknown_form_are_told_what_was_expected)
{
	check_server("", NULL, "expected tcp:HOST:PORT, tcp:[V6]:PORT, unix:PATH, unix:@NAME or srv:NAME");
	check_server("80", NULL, "or srv:NAME");
	check_server("web:80", NULL, "did you mean tcp:web:80?");
	check_server("/run/x", NULL, "did you mean unix:/run/x?");
	check_server("_http._tcp.a", NULL, "did you mean srv:_http._tcp.a?");
	check_server("udp:a:53", NULL, "datagram servers (udp:) are not supported");
}
END_TEST

START_TEST(srv_names_have_a_service_and_a_protocol)
{
	struct address address;

	ck_assert_int_eq(address_parse_server(&address, "srv:_Http._TCP.Example.com.", NULL), 0);
	ck_assert_int_eq(address.kind, ADDRESS_SRV);
	ck_assert_str_eq(address.host, "_http._tcp.example.com.");
	ck_assert_str_eq(address.text, "srv:_http._tcp.example.com.");
	ck_assert_uint_eq(address.port, 0);
	address_fini(&address);
	check_server("srv:", NULL, "expected srv:_SERVICE._PROTO.DOMAIN");
	check_server("srv:example.com", NULL, "expected srv:_SERVICE._PROTO.DOMAIN");
	check_server("srv:_http.example.com", NULL, "expected srv:_SERVICE._PROTO.DOMAIN");
	check_server("srv:_http._tcp", NULL, "expected srv:_SERVICE._PROTO.DOMAIN");
	check_server("srv:_http._tcp.", NULL, "expected srv:_SERVICE._PROTO.DOMAIN");
	check_server("srv:_http._tcp.a b", NULL, "is neither a host name nor an IP address");
	check_server("srv:_http._tcp.1", NULL, "is not an IPv4 address");
	check_server("srv:_http._tcp.a:80", NULL, "the port comes with the records");
}
END_TEST

START_TEST(nobody_listens_at_srv_records)
{
	static const struct example refused[] = {
		{"srv:_http._tcp.a", "names servers to connect to, not where to listen; expected tcp:HOST:PORT"},
	};

	check_refused(refused, CP_COUNT(refused));
}
END_TEST

START_TEST(unknown_forms_are_told_what_was_expected)
{
	static const struct example examples[] = {
		{"", "expected tcp:HOST:PORT, tcp:[V6]:PORT, tcp:*:PORT, unix:PATH, unix:@NAME or systemd:NAME"},
		{":", "expected tcp:HOST:PORT"},
		{"tcp", "expected tcp:HOST:PORT"},
		{"TCP:*:80", "expected tcp:HOST:PORT"},
		{" tcp:*:80", "expected tcp:HOST:PORT"},
		{"tcp4:*:80", "expected tcp:HOST:PORT"},
		{"80", "did you mean tcp:*:80?"},
		{"localhost:80", "did you mean tcp:localhost:80?"},
		{"*:80", "did you mean tcp:*:80?"},
		{"/run/x.sock", "did you mean unix:/run/x.sock?"},
		{"@x", "did you mean unix:@x?"},
		{"udp:*:53", "datagram listeners (udp:) are not supported by this version"},
		{"udp:", "datagram listeners (udp:) are not supported by this version"},
	};

	check_refused(examples, CP_COUNT(examples));
}
END_TEST

START_TEST(long_garbage_is_cut_in_the_message)
{
	struct address address;
	struct errmsg err;

	ck_assert_int_eq(address_parse(&address, make_text("/", 1100, ""), &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "expected tcp:HOST:PORT"));
	ck_assert_uint_lt(strlen(err.text), 500);
}
END_TEST

START_TEST(every_failed_allocation_is_reported_and_leaks_nothing)
{
	static const char *const texts[] = {"tcp:*:80", "unix:/x", "systemd:x"};
	struct address address;
	struct errmsg err;

	for (size_t i = 0; i < CP_COUNT(texts); i++) {
		for (unsigned n = 1; n <= 2; n++) {
			mem_fail_after(n);
			ck_assert_int_eq(address_parse(&address, texts[i], &err), -ENOMEM);
			ck_assert_ptr_nonnull(strstr(err.text, "out of memory"));
		}
		mem_fail_after(3);
		address = parse(texts[i]);
		mem_fail_after(0);
		address_fini(&address);
	}
}
END_TEST

START_TEST(unix_path_becomes_a_socket_address)
{
	struct address address = parse("unix:/run/x");
	struct sockaddr_un sun;
	socklen_t len;

	ck_assert_int_eq(address_to_unix(&address, &sun, &len), 0);
	ck_assert_int_eq(sun.sun_family, AF_UNIX);
	ck_assert_str_eq(sun.sun_path, "/run/x");
	ck_assert_uint_eq(len, offsetof(struct sockaddr_un, sun_path) + 7);
	address_fini(&address);
	address = parse("unix:@ab");
	ck_assert_int_eq(address_to_unix(&address, &sun, &len), 0);
	ck_assert_int_eq(memcmp(sun.sun_path, "\0ab", 4), 0);
	ck_assert_uint_eq(len, offsetof(struct sockaddr_un, sun_path) + 3);
	address_fini(&address);
}
END_TEST

START_TEST(longest_unix_addresses_fit)
{
	struct address address = parse(make_text("unix:@", 107, ""));
	struct sockaddr_un sun;
	socklen_t len;

	ck_assert_int_eq(address_to_unix(&address, &sun, &len), 0);
	ck_assert_uint_eq(len, sizeof(sun));
	address_fini(&address);
	address = parse(make_text("unix:/", 106, ""));
	ck_assert_int_eq(address_to_unix(&address, &sun, &len), 0);
	ck_assert_uint_eq(len, sizeof(sun));
	mem_free(address.host);
	address.host = mem_strdup(make_text("/", 107, ""));
	ck_assert_int_eq(address_to_unix(&address, &sun, &len), -ENAMETOOLONG);
	mem_free(address.host);
	address.host = mem_strdup(make_text("@", 108, ""));
	ck_assert_int_eq(address_to_unix(&address, &sun, &len), -ENAMETOOLONG);
	address_fini(&address);
}
END_TEST

START_TEST(peers_are_formatted)
{
	char buf[ADDRESS_TEXT_MAX];
	struct peer peer = make_peer("192.0.2.1", 80, 0);

	ck_assert_str_eq(peer_format(&peer, buf), "192.0.2.1:80");
	ck_assert_str_eq(peer_format_host(&peer, buf), "192.0.2.1");
	peer = make_peer("2001:db8::1", 65535, 0);
	ck_assert_str_eq(peer_format(&peer, buf), "[2001:db8::1]:65535");
	ck_assert_str_eq(peer_format_host(&peer, buf), "2001:db8::1");
	peer = make_peer("fe80::1", 1, 4294967295u);
	ck_assert_str_eq(peer_format(&peer, buf), "[fe80::1%4294967295]:1");
	ck_assert_str_eq(peer_format_host(&peer, buf), "fe80::1%4294967295");
	ck_assert_uint_eq(sizeof(struct peer), 24);
}
END_TEST

START_TEST(every_number_of_an_ipv4_peer_is_formatted)
{
	for (unsigned i = 0; i < 256; i++) {
		char buf[ADDRESS_TEXT_MAX];
		char expected[INET_ADDRSTRLEN];
		struct peer peer = {.family = AF_INET};

		for (unsigned k = 0; k < 4; k++)
			peer.bytes[k] = (uint8_t)(i + k * 85);
		ck_assert_ptr_nonnull(inet_ntop(AF_INET, peer.bytes, expected, sizeof(expected)));
		ck_assert_str_eq(peer_format_host(&peer, buf), expected);
	}
}
END_TEST

START_TEST(mapped_peers_are_ipv4)
{
	struct peer mapped = make_peer("::ffff:192.0.2.1", 80, 0);
	struct peer plain = make_peer("192.0.2.1", 80, 0);
	struct peer compatible = make_peer("::192.0.2.1", 80, 0);

	ck_assert_int_eq(memcmp(&mapped, &plain, sizeof(mapped)), 0);
	ck_assert_uint_eq(mapped.family, AF_INET);
	ck_assert_uint_eq(compatible.family, AF_INET6);
}
END_TEST

START_TEST(other_peers_have_a_word)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	char buf[ADDRESS_TEXT_MAX];
	struct peer peer;

	peer_from_sockaddr(&peer, (struct sockaddr *)&sun, sizeof(sun.sun_family));
	ck_assert_uint_eq(peer.family, AF_UNIX);
	ck_assert_str_eq(peer_format(&peer, buf), "unix");
	peer_from_sockaddr(&peer, (struct sockaddr *)&in, sizeof(in) - 1);
	ck_assert_uint_eq(peer.family, AF_UNSPEC);
	ck_assert_str_eq(peer_format(&peer, buf), "unknown");
	peer_from_sockaddr(&peer, (struct sockaddr *)&in6, sizeof(in6) - 1);
	ck_assert_uint_eq(peer.family, AF_UNSPEC);
	peer_from_sockaddr(&peer, (struct sockaddr *)&sun, 0);
	ck_assert_uint_eq(peer.family, AF_UNSPEC);
	ck_assert_str_eq(peer_format_host(&peer, buf), "unknown");
}
END_TEST

START_TEST(bound_sockets_are_formatted)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	char buf[ADDRESS_TEXT_MAX], expected[ADDRESS_TEXT_MAX];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(in);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&in, len), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	snprintf(expected, sizeof(expected), "tcp:127.0.0.1:%u", ntohs(in.sin_port));
	ck_assert_str_eq(address_format_socket(fd, buf), expected);
	close(fd);
	ck_assert_str_eq(address_format_socket(fd, buf), "unknown");
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* A machine may have no IPv6. */
	if (fd >= 0) {
		ck_assert_str_eq(address_format_socket(fd, buf), "tcp:[::]:0");
		close(fd);
	}
}
END_TEST

START_TEST(bound_unix_sockets_are_formatted)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	char buf[ADDRESS_TEXT_MAX], expected[ADDRESS_TEXT_MAX];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int len;

	ck_assert_str_eq(address_format_socket(fd, buf), "unix:");
	len = snprintf(sun.sun_path + 1, sizeof(sun.sun_path) - 1, "cp\ntest_address-%d", (int)getpid()) + 1;
	len += (int)offsetof(struct sockaddr_un, sun_path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, (socklen_t)len), 0);
	snprintf(expected, sizeof(expected), "unix:@cp?test_address-%d", (int)getpid());
	ck_assert_str_eq(address_format_socket(fd, buf), expected);
	close(fd);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("base/address");
	TCase *tc;
	SRunner *runner;
	int failed;

	tc = tcase_create("tcp");
	tcase_add_test(tc, tcp_is_taken_apart);
	tcase_add_test(tc, tcp_is_normalised);
	tcase_add_test(tc, port_is_a_number_from_0_to_65535);
	tcase_add_test(tc, missing_parts_are_named);
	tcase_add_test(tc, ipv6_without_brackets_is_explained);
	tcase_add_test(tc, brackets_are_for_ipv6_alone);
	tcase_add_test(tc, interface_is_for_link_local_addresses_alone);
	tcase_add_test(tc, host_that_is_neither_name_nor_number_is_refused);
	tcase_add_test(tc, host_names_have_limits);
	suite_add_tcase(suite, tc);
	tc = tcase_create("unix");
	tcase_add_test(tc, unix_paths_are_kept_as_they_are);
	tcase_add_test(tc, unix_paths_have_limits);
	tcase_add_test(tc, unix_path_becomes_a_socket_address);
	tcase_add_test(tc, longest_unix_addresses_fit);
	suite_add_tcase(suite, tc);
	tc = tcase_create("forms");
	tcase_add_test(tc, systemd_names_are_those_of_file_descriptors);
	tcase_add_test(tc, servers_have_a_host_and_a_port);
	tcase_add_test(tc, servers_of_unknown_form_are_told_what_was_expected);
	tcase_add_test(tc, srv_names_have_a_service_and_a_protocol);
	tcase_add_test(tc, nobody_listens_at_srv_records);
	tcase_add_test(tc, unknown_forms_are_told_what_was_expected);
	tcase_add_test(tc, long_garbage_is_cut_in_the_message);
	tcase_add_test(tc, every_failed_allocation_is_reported_and_leaks_nothing);
	suite_add_tcase(suite, tc);
	tc = tcase_create("peer");
	tcase_add_test(tc, peers_are_formatted);
	tcase_add_test(tc, every_number_of_an_ipv4_peer_is_formatted);
	tcase_add_test(tc, mapped_peers_are_ipv4);
	tcase_add_test(tc, other_peers_have_a_word);
	tcase_add_test(tc, bound_sockets_are_formatted);
	tcase_add_test(tc, bound_unix_sockets_are_formatted);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
