/* SPDX-License-Identifier: MIT */
/*
 * resolve_srv - see resolve_srv.h.
 *
 * Names are expanded by c-ares, which knows their compression and escapes what is no letter of a name, so that a target
 * can be logged. Called on the main thread by look-ups, and by tests/fuzz/fuzz_srv.c with anything.
 */
#include "config.h"

#include "upstream/resolve_srv.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* More is no answer to take seriously; 64 KiB of crafted names would cost more time than the main thread has. */
#define RECORDS_WALKED_MAX 1024u
/* Priority, weight, port; then the target. */
#define SRV_FIXED_BYTES 6u

struct reader {
	const uint8_t *data;
	size_t size;
	size_t at; /* never beyond size */
};

/* What stands before each record's own data. */
struct record_head {
	unsigned type;
	unsigned class;
	uint32_t ttl_s;
	size_t data_size;
};

static bool
skip(struct reader *reader, size_t bytes)
{
	if (reader->size - reader->at < bytes)
		return false;
	reader->at += bytes;
	return true;
}

static bool
read_16(struct reader *reader, unsigned *ret_value)
{
	const uint8_t *at = reader->data + reader->at;

	if (!skip(reader, 2))
		return false;
	*ret_value = (unsigned)at[0] << 8 | at[1];
	return true;
}

/* 0, -EBADMSG, -ENOMEM; -ENAMETOOLONG when it is well formed but does not fit. ret_name may be NULL. */
static int
read_name(struct reader *reader, char ret_name[SRV_TARGET_MAX])
{
	char *name = NULL;
	long encoded_bytes = 0;
	int rc = 0;
	int status;

	if (reader->at >= reader->size)
		return -EBADMSG;
	status = ares_expand_name(reader->data + reader->at, reader->data, (int)reader->size, &name, &encoded_bytes);
	if (status != ARES_SUCCESS)
		return status == ARES_ENOMEM ? -ENOMEM : -EBADMSG;
	if (encoded_bytes < 1 || !skip(reader, (size_t)encoded_bytes))
		rc = -EBADMSG;
	else if (ret_name != NULL && strlen(name) >= SRV_TARGET_MAX)
		rc = -ENAMETOOLONG;
	else if (ret_name != NULL)
		snprintf(ret_name, SRV_TARGET_MAX, "%s", name);
	ares_free_string(name);
	return rc;
}

static int
read_record_head(struct reader *reader, struct record_head *head)
{
	unsigned high = 0, low = 0, data_size = 0;
	int rc = read_name(reader, NULL);

	if (rc < 0)
		return rc;
	if (!read_16(reader, &head->type) || !read_16(reader, &head->class) || !read_16(reader, &high) ||
		!read_16(reader, &low) || !read_16(reader, &data_size))
		return -EBADMSG;
	/* RFC 2181, 8: with the highest bit set it is to be taken as 0. */
	head->ttl_s = high > 0x7fff ? 0 : (uint32_t)high << 16 | low;
	head->data_size = data_size;
	return reader->size - reader->at < data_size ? -EBADMSG : 0;
}

static int
compare(const struct srv_record *left, const struct srv_record *right)
{
	int order;

	if (left->priority != right->priority)
		return left->priority < right->priority ? -1 : 1;
	if (left->weight != right->weight)
		return left->weight > right->weight ? -1 : 1;
	order = strcasecmp(left->target, right->target);
	return order != 0 ? order : (int)left->port - (int)right->port;
}

/* Keeps those that sort first, so that a shuffled answer gives the same ones. */
static void
insert_sorted(struct srv_answer *answer, const struct srv_record *record)
{
	size_t at = 0;

	while (at < answer->count && compare(&answer->records[at], record) < 0)
		at++;
	if (at < answer->count && compare(&answer->records[at], record) == 0)
		return;
	if (answer->count == SRV_RECORDS_MAX) {
		answer->left_out++;
		if (at == SRV_RECORDS_MAX)
			return;
		answer->count--;
	}
	memmove(&answer->records[at + 1], &answer->records[at], (answer->count - at) * sizeof(*record));
	answer->records[at] = *record;
	answer->count++;
}

static int
take_record(struct reader *reader, size_t data_size, struct srv_answer *answer)
{
	struct srv_record record = {.priority = 0};
	const size_t end = reader->at + data_size;
	unsigned priority = 0, weight = 0, port = 0;
	int rc;

	if (data_size <= SRV_FIXED_BYTES || !read_16(reader, &priority) || !read_16(reader, &weight) ||
		!read_16(reader, &port))
		return -EBADMSG;
	rc = read_name(reader, record.target);
	if (rc < 0 && rc != -ENAMETOOLONG)
		return rc;
	if (reader->at != end)
		return -EBADMSG;
	/* The root as target: "not offered". A name that long and port 0 lead nowhere. */
	if (rc < 0 || record.target[0] == '\0' || port == 0)
		return 0;
	record.priority = (uint16_t)priority;
	record.weight = (uint16_t)weight;
	record.port = (uint16_t)port;
	insert_sorted(answer, &record);
	return 0;
}

static int
walk_answers(struct reader *reader, unsigned records, struct srv_answer *answer)
{
	for (unsigned i = 0; i < records; i++) {
		struct record_head head = {.type = 0};
		int rc = i < RECORDS_WALKED_MAX ? read_record_head(reader, &head) : -EBADMSG;

		if (rc < 0)
			return rc;
		if (head.class != ns_c_in || (head.type != ns_t_srv && head.type != ns_t_cname)) {
			if (!skip(reader, head.data_size))
				return -EBADMSG;
			continue;
		}
		if (head.ttl_s < answer->ttl_s)
			answer->ttl_s = head.ttl_s;
		if (head.type == ns_t_cname)
			rc = skip(reader, head.data_size) ? 0 : -EBADMSG;
		else
			rc = take_record(reader, head.data_size, answer);
		if (rc < 0)
			return rc;
	}
	return answer->count > 0 ? 0 : -ENODATA;
}

int
srv_parse(const uint8_t *data, size_t size, struct srv_answer *answer)
{
	struct reader reader = {.data = data, .size = size};
	unsigned questions = 0, records = 0;

	answer->count = 0;
	answer->left_out = 0;
	answer->ttl_s = UINT32_MAX;
	if (size < NS_HFIXEDSZ || size > INT_MAX)
		return -EBADMSG;
	reader.at = 4;
	if (!read_16(&reader, &questions) || !read_16(&reader, &records) || !skip(&reader, 4))
		return -EBADMSG;
	for (unsigned i = 0; i < questions; i++) {
		int rc = i < RECORDS_WALKED_MAX ? read_name(&reader, NULL) : -EBADMSG;

		if (rc < 0)
			return rc;
		if (!skip(&reader, NS_QFIXEDSZ))
			return -EBADMSG;
	}
	return walk_answers(&reader, records, answer);
}
