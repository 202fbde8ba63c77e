/* SPDX-License-Identifier: MIT */
/*
 * resolve_lookup.h - one look-up of one name, from question to answer or deadline. Private to upstream/resolve.
 *
 *   lookup_new -> asking for SRV -+-> asking for addresses -> done() [from the loop, once] -> lookup_free
 *                 (srv: names)    +-> done() with a cause
 *
 * Each has a c-ares channel of its own, so that it can be given up at any moment and nothing is left of it, its source
 * port is fresh, and it reads /etc/resolv.conf and /etc/hosts as they are now. The channel is some 80 kB while it
 * lasts: the caller bounds how many there are. Main thread only.
 */
#ifndef CP_UPSTREAM_RESOLVE_LOOKUP_H
#define CP_UPSTREAM_RESOLVE_LOOKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"
#include "upstream/resolve_set.h"

struct errmsg;
struct loop;
struct lookup;

/* What has addresses of its own: the name itself, or one target of its SRV records. */
struct lookup_target {
	struct lookup *lookup; /* private: resolve_lookup.c */
	const char *name;
	uint64_t origin;   /* 0 for the name itself, else a number that stands for target and port */
	const char *cause; /* why it has no addresses; NULL: it has */
	unsigned weight;
	uint16_t port;
	bool backup;
};

struct lookup_answer {
	const char *cause; /* why there are no targets at all; NULL: there are */
	struct lookup_target *targets;
	size_t target_count;
	size_t targets_left_out;
	struct found_set set; /* what all targets have; the receiver may add to it */
	uint64_t ttl_ms;
};

struct lookup_request {
	const char *name;
	bool is_srv;
	uint16_t port;       /* not for SRV */
	const char *servers; /* "ADDRESS,ADDRESS:PORT"; NULL: the system's */
	unsigned server_count;
	uint64_t timeout_ms; /* for all of it */
};

/* The answer is valid until lookup_free(), which may be called from inside. */
typedef void lookup_done_fn(void *arg, struct lookup_answer *answer);

/*
 * Begins; the name is copied. done is called once, not before this returns. 0; -ENOMEM, -EINVAL (the servers), -EIO,
 * with err.
 */
CP_MUST_CHECK int lookup_new(struct loop *loop, const struct lookup_request *request, lookup_done_fn *done, void *arg,
	struct lookup **ret_lookup, struct errmsg *err);
/* Gives up what is under way. Accepts NULL, nulls the holder. */
void lookup_free(struct lookup **lookup);

/* Before the first and after the last. -ENOMEM or -EIO with err. */
CP_MUST_CHECK int lookup_library_open(struct errmsg *err);
void lookup_library_close(void);
/* Could servers be asked? 0, -EINVAL, -ENOMEM or -EIO with err. The library must be open. */
CP_MUST_CHECK int lookup_check_servers(const char *servers, struct errmsg *err);

#endif
