/* SPDX-License-Identifier: MIT */
/*
 * dnsrig - a name server that the tests of upstream/resolve* ask: on the test's own loop, over UDP on 127.0.0.1, with
 * answers from a table that a test changes, and ways to be a bad one.
 *
 * It stands on netfixture: the clock stands still until a test moves it. The checked fixture opens the loop and the
 * server, and the teardown closes both before netfixture counts descriptors.
 */
#ifndef CP_TESTS_UNIT_UPSTREAM_DNSRIG_H
#define CP_TESTS_UNIT_UPSTREAM_DNSRIG_H

#include <stddef.h>
#include <stdint.h>

#include <check.h>

#include "engine/loop.h"

#define DNS_RECORDS_MAX 160u

enum dns_mode {
	DNS_ANSWERS,
	DNS_IS_SILENT,
	DNS_SAYS_SERVFAIL,
	DNS_TRUNCATES,        /* TC without an answer; nobody listens on TCP */
	DNS_SENDS_GARBAGE,    /* a good header and question, then bytes that are no records */
	DNS_CUTS_SHORT,       /* the second half of the answer is missing */
	DNS_SENDS_NO_MESSAGE, /* not even a header */
};

struct dnsrig {
	struct loop loop;
	int fd;
	char servers[64]; /* "127.0.0.1:PORT" */
	unsigned queries; /* that were read */
	enum dns_mode mode;
	const char *sick_name; /* mode is for this name alone; NULL: for all */
};

extern struct dnsrig dns;

/* A case with the checked fixture. */
TCase *dns_case(Suite *suite, const char *name);

/*
 * type and data: "A" "192.0.2.1", "AAAA" "2001:db8::1", "CNAME" "other.example", "SRV" "PRIORITY WEIGHT PORT TARGET".
 * A name that has no record of any type does not exist.
 */
void dns_add(const char *name, const char *type, uint32_t ttl_s, const char *data);
/* Takes all records away. */
void dns_clear(void);

/* As many turns as it takes for everything that was sent to be answered and read. */
void dns_settle(void);
/* Moves the clock and the loop with it, ms by ms where c-ares is to see its time-outs: in steps of a tenth. */
void dns_advance_ms(uint64_t ms);

/* The answer section's bytes, for those that read answers themselves: of all records of name, as the server has them.
 */
size_t dns_answer(uint8_t *message, size_t room, const char *name, unsigned type);

#endif
