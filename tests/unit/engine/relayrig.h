/* SPDX-License-Identifier: MIT */
/*
 * relayrig - one relay between two pairs of sockets, its descriptors watched as a worker watches them: by edges, each
 * told once. The test is the client and the server.
 *
 * The program is linked with --wrap=splice,--wrap=pipe2: relayrig.c counts them and lets them fail.
 */
#ifndef CP_TESTS_UNIT_ENGINE_RELAYRIG_H
#define CP_TESTS_UNIT_ENGINE_RELAYRIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <check.h>

#include "engine/relay.h"

enum rig_kind { RIG_TCP, RIG_UNIX, RIG_KINDS };

struct rig {
	enum rig_kind kind;
	struct relay *relay;
	int fds[2];   /* the relay's, by enum relay_side */
	int peers[2]; /* the test's; -1: closed */
	int epoll_fd;
	enum relay_progress progress; /* of the last run */
};

extern struct relay_pool rig_pool;
extern uint64_t rig_now_ms;
extern unsigned rig_splices;     /* calls since the test began */
extern bool rig_splice_is_inval; /* they fail with EINVAL */
extern bool rig_has_no_pipes;    /* pipe2() fails with EMFILE */

/* Every case has these: no relay may be left, and no descriptor. */
TCase *rig_case(Suite *suite, const char *name);

void rig_open(struct rig *rig, enum rig_kind kind, uint32_t limit);
/* Closes what is open. */
void rig_close(struct rig *rig);
/* What it reads from, and what is written to it, goes through as little kernel memory as there can be. */
void rig_shrink(struct rig *rig);

/* Hears what epoll says, waiting at most so long, and runs the relay. */
void rig_turn(struct rig *rig, int wait_ms);
/* Turns until nothing is to do any more. */
void rig_settle(struct rig *rig);
/* Turns until it is over. */
void rig_expect_over(struct rig *rig);

void rig_send(struct rig *rig, enum relay_side side, const char *text);
/* Turns until the peer has read exactly that. */
void rig_expect(struct rig *rig, enum relay_side side, const char *text);
/* Turns until the peer has read the end, and nothing before it. */
void rig_expect_end(struct rig *rig, enum relay_side side);
void rig_end(struct rig *rig, enum relay_side side);
void rig_reset(struct rig *rig, enum relay_side side);

/* Bytes on their way from one side, by their place in the stream. */
struct stream {
	enum relay_side from;
	size_t length;
	size_t sent;
	size_t taken;
};

/* As much as goes without turning; 0: nothing did. */
size_t stream_send(const struct rig *rig, struct stream *stream);
/* At most so much of what has arrived, each byte checked. */
size_t stream_take(const struct rig *rig, struct stream *stream, size_t size);
/* Sends until nobody takes any more, or all is sent; holds the relay to its limit all the while. */
void stream_fill(struct rig *rig, struct stream *stream);
/* Takes, and sends what is left, until all has arrived. */
void stream_finish(struct rig *rig, struct stream *stream);

#endif
