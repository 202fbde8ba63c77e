/* SPDX-License-Identifier: MIT */
/*
 * dnsrig - see dnsrig.h.
 *
 * A datagram over loopback is there when sendto(2) has returned, so that a few turns that do not wait settle
 * everything.
 */
#include "config.h"

#include "dnsrig.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "../net/netfixture.h"
#include "base/fdutil.h"

#define MESSAGE_MAX 4096u
#define SETTLE_TURNS 256

struct record {
	char name[80];
	unsigned type;
	uint32_t ttl_s;
	char data[120];
};

struct writer {
	uint8_t *data;
	size_t room;
	size_t used;
	const char *question;
};

struct dnsrig dns;

static struct record records[DNS_RECORDS_MAX];
static size_t record_count;
static struct watch server_watch;

/* ---- the table ------------------------------------------------------------------ */

void
dns_add(const char *name, const char *type, uint32_t ttl_s, const char *data)
{
	struct record *record = &records[record_count++];

	ck_assert_uint_le(record_count, DNS_RECORDS_MAX);
	snprintf(record->name, sizeof(record->name), "%s", name);
	snprintf(record->data, sizeof(record->data), "%s", data);
	record->ttl_s = ttl_s;
	if (strcmp(type, "A") == 0)
		record->type = ns_t_a;
	else if (strcmp(type, "AAAA") == 0)
		record->type = ns_t_aaaa;
	else if (strcmp(type, "SRV") == 0)
		record->type = ns_t_srv;
	else
		record->type = ns_t_cname;
}

void
dns_clear(void)
{
	record_count = 0;
}

/* ---- messages --------------------------------------------------------------------- */

static void
put(struct writer *writer, const void *data, size_t size)
{
	ck_assert_uint_le(writer->used + size, writer->room);
	memcpy(writer->data + writer->used, data, size);
	writer->used += size;
}

static void
put_16(struct writer *writer, unsigned value)
{
	const uint8_t bytes[2] = {(uint8_t)(value >> 8), (uint8_t)value};

	put(writer, bytes, sizeof(bytes));
}

static void
put_name(struct writer *writer, const char *name)
{
	while (*name != '\0' && strcmp(name, ".") != 0) {
		const uint8_t length = (uint8_t)strcspn(name, ".");

		put(writer, &length, 1);
		put(writer, name, length);
		name += length;
		name += *name == '.' ? 1 : 0;
	}
	put(writer, "", 1);
}

static void
put_data(struct writer *writer, const struct record *record)
{
	unsigned priority = 0, weight = 0, port = 0;
	uint8_t address[16];
	char target[120] = "";

	if (record->type == ns_t_a) {
		ck_assert_int_eq(inet_pton(AF_INET, record->data, address), 1);
		put(writer, address, 4);
	} else if (record->type == ns_t_aaaa) {
		ck_assert_int_eq(inet_pton(AF_INET6, record->data, address), 1);
		put(writer, address, 16);
	} else if (record->type == ns_t_cname) {
		put_name(writer, record->data);
	} else {
		ck_assert_int_eq(sscanf(record->data, "%u %u %u %119s", &priority, &weight, &port, target), 4);
		put_16(writer, priority);
		put_16(writer, weight);
		put_16(writer, port);
		put_name(writer, target);
	}
}

static void
put_record(struct writer *writer, const struct record *record)
{
	size_t length_at;
	size_t length;

	/* Where it is the question's name, a pointer to it, so that many records fit a datagram. */
	if (strcasecmp(record->name, writer->question) == 0)
		put_16(writer, 0xc000 | NS_HFIXEDSZ);
	else
		put_name(writer, record->name);
	put_16(writer, record->type);
	put_16(writer, ns_c_in);
	put_16(writer, record->ttl_s >> 16);
	put_16(writer, record->ttl_s & 0xffff);
	length_at = writer->used;
	put_16(writer, 0);
	put_data(writer, record);
	length = writer->used - length_at - 2;
	writer->data[length_at] = (uint8_t)(length >> 8);
	writer->data[length_at + 1] = (uint8_t)length;
}

/* Follows aliases. Returns the number of records written; *ret_exists: the name has some record. */
static unsigned
put_records(struct writer *writer, const char *name, unsigned type, bool *ret_exists)
{
	unsigned written = 0;

	for (size_t i = 0; i < record_count; i++) {
		if (strcasecmp(records[i].name, name) != 0)
			continue;
		*ret_exists = true;
		if (records[i].type != type && records[i].type != ns_t_cname)
			continue;
		put_record(writer, &records[i]);
		written++;
		if (records[i].type == ns_t_cname && type != ns_t_cname)
			written += put_records(writer, records[i].data, type, ret_exists);
	}
	return written;
}

static void
put_header(struct writer *writer, unsigned id, unsigned flags, unsigned answers)
{
	put_16(writer, id);
	put_16(writer, 0x8180 | flags);
	put_16(writer, 1);
	put_16(writer, answers);
	put_16(writer, 0);
	put_16(writer, 0);
}

size_t
dns_answer(uint8_t *message, size_t room, const char *name, unsigned type)
{
	struct writer writer = {.data = message, .room = room, .question = name};
	bool exists = false;
	unsigned count;

	put_header(&writer, 1, 0, 0);
	put_name(&writer, name);
	put_16(&writer, type);
	put_16(&writer, ns_c_in);
	count = put_records(&writer, name, type, &exists);
	message[6] = (uint8_t)(count >> 8);
	message[7] = (uint8_t)count;
	if (!exists)
		message[3] |= ns_r_nxdomain;
	return writer.used;
}

/* ---- the server ---------------------------------------------------------------------- */

/* Reads the question's name; returns its type. */
static unsigned
read_question(const uint8_t *query, size_t size, char name[256])
{
	size_t at = NS_HFIXEDSZ;
	size_t used = 0;

	name[0] = '\0';
	while (at < size && query[at] != 0) {
		ck_assert_uint_lt(used + query[at] + 2, 256);
		ck_assert_uint_lt(at + query[at], size);
		used += (size_t)snprintf(name + used, 256 - used, "%s%.*s", used > 0 ? "." : "", (int)query[at],
			(const char *)query + at + 1);
		at += query[at] + 1u;
	}
	ck_assert_uint_le(at + 5, size);
	return (unsigned)query[at + 1] << 8 | query[at + 2];
}

/* 0: nothing is to be sent. */
static size_t
misbehave(uint8_t *message, size_t size, size_t question_size)
{
	switch (dns.mode) {
	case DNS_ANSWERS:
		return size;
	case DNS_IS_SILENT:
		return 0;
	case DNS_SAYS_SERVFAIL:
		message[3] |= ns_r_servfail;
		message[7] = 0;
		return question_size;
	case DNS_TRUNCATES:
		message[2] |= 0x02;
		message[7] = 0;
		return question_size;
	case DNS_SENDS_GARBAGE:
		message[7] = 3;
		memset(message + question_size, 0xc1, 200);
		return question_size + 200;
	case DNS_CUTS_SHORT:
		return question_size + (size - question_size) / 2;
	case DNS_SENDS_NO_MESSAGE:
		return 7;
	}
	return 0;
}

static void
on_query(struct loop *loop, struct watch *watch, uint32_t events)
{
	struct sockaddr_in from;
	socklen_t length = sizeof(from);
	uint8_t query[512], message[MESSAGE_MAX];
	char name[256];
	ssize_t size;
	unsigned type;
	size_t answer_size;

	(void)loop;
	(void)watch;
	(void)events;
	size = recvfrom(dns.fd, query, sizeof(query), 0, (struct sockaddr *)&from, &length);
	if (size < NS_HFIXEDSZ)
		return;
	dns.queries++;
	type = read_question(query, (size_t)size, name);
	answer_size = dns_answer(message, sizeof(message), name, type);
	memcpy(message, query, 2);
	if (dns.sick_name == NULL || strcasecmp(dns.sick_name, name) == 0)
		answer_size = misbehave(message, answer_size, NS_HFIXEDSZ + strlen(name) + 2 + NS_QFIXEDSZ);
	if (answer_size > 0)
		(void)sendto(dns.fd, message, answer_size, 0, (struct sockaddr *)&from, length);
}

void
dns_settle(void)
{
	for (int i = 0; i < SETTLE_TURNS; i++)
		fixture_turn(&dns.loop);
}

void
dns_advance_ms(uint64_t ms)
{
	for (unsigned i = 0; i < 10; i++) {
		fixture_advance_ms(ms / 10 + (i == 0 ? ms % 10 : 0));
		dns_settle();
	}
}

static void
dns_set_up(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(sin);

	memset(&dns, 0, sizeof(dns));
	record_count = 0;
	ck_assert_int_eq(loop_init(&dns.loop, NULL, NULL), 0);
	dns.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(dns.fd, 0);
	ck_assert_int_eq(bind(dns.fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	ck_assert_int_eq(getsockname(dns.fd, (struct sockaddr *)&sin, &length), 0);
	snprintf(dns.servers, sizeof(dns.servers), "127.0.0.1:%u", ntohs(sin.sin_port));
	server_watch.fn = on_query;
	ck_assert_int_eq(loop_add(&dns.loop, &server_watch, dns.fd, EPOLLIN), 0);
}

static void
dns_tear_down(void)
{
	fd_close(&dns.fd);
	loop_fini(&dns.loop);
}

TCase *
dns_case(Suite *suite, const char *name)
{
	TCase *tc = fixture_case(suite, name);

	tcase_add_checked_fixture(tc, dns_set_up, dns_tear_down);
	return tc;
}
