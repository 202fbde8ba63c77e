/* SPDX-License-Identifier: MIT */
/*
 * resolve_srv.h - reads the answer to a question for SRV records (RFC 2782). Private to upstream/resolve.
 *
 * The bytes are from the network: every read is checked, the work is bounded, nothing in them is trusted. c-ares has
 * such a reader too, but its results lack the TTL.
 */
#ifndef CP_UPSTREAM_RESOLVE_SRV_H
#define CP_UPSTREAM_RESOLVE_SRV_H

#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"

#define SRV_RECORDS_MAX 32u
/* Of a name as text, NUL included (RFC 1035, 2.3.4). */
#define SRV_TARGET_MAX 256u

struct srv_record {
	uint16_t priority;
	uint16_t weight;
	uint16_t port; /* never 0 */
	char target[SRV_TARGET_MAX];
};

/* Sorted: the lowest priority first, in it the greatest weight, then by name and port. Never a double. */
struct srv_answer {
	struct srv_record records[SRV_RECORDS_MAX];
	size_t count;
	size_t left_out; /* good ones that sorted behind the last */
	uint32_t ttl_s;  /* the smallest of the answer, that of an alias included */
};

/*
 * 0: at least one record. -ENODATA: none that could be used ("." says that the service is not offered), -EBADMSG: the
 * bytes are no answer, -ENOMEM. *answer is written in any case.
 */
CP_MUST_CHECK int srv_parse(const uint8_t *data, size_t size, struct srv_answer *answer);

#endif
