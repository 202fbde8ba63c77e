/* SPDX-License-Identifier: MIT */
/*
 * sessionrig - sessions on a bare scheduler: no worker, no thread, turned by hand, under netfixture's standing clock.
 *
 * rig_case() makes a case with the fixture, the scheduler, and a teardown that holds every session to having ended and
 * given everything back.
 */
#ifndef CP_TESTS_UNIT_SERVICE_SESSIONRIG_H
#define CP_TESTS_UNIT_SERVICE_SESSIONRIG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <check.h>

#include "../net/netfixture.h"
#include "connpoold/handler.h"
#include "engine/sched.h"
#include "service/session.h"

/* As session.c has them. */
#define LINGER_MS 2000
#define LINGER_GLANCE_MS 4
#define LINGER_BYTES_MAX (1u << 20)
#define BUDGET_CALLS 16

/* A connection being served, and what became of it. */
struct served {
	struct session *session; /* NULL: over */
	int client;              /* -1: closed */
	bool is_over;
	enum conn_end end;
	uint64_t bytes_in;
	uint64_t bytes_out;
};

extern struct sched rig_sched;

/* ---- serving ---------------------------------------------------------------- */

/* Begins one on fixture.route, over a pair of Unix sockets: what one end does the other sees at once. */
void served_begin(struct served *served);
/* Over loopback, where there are resets. */
void served_begin_tcp(struct served *served);
/* On any descriptors; client may be -1. */
void served_begin_on(struct served *served, int fd, int client);
/* fixture_open() of the handler with options, and one connection. */
void served_open(struct served *served, const struct cp_handler *handler, const char *options);

/* A blocking send of the client. */
void served_send(const struct served *served, const char *text);
/* The client closes; over loopback with a reset where that is asked for. */
void served_close(struct served *served);
void served_reset(struct served *served);
/* The client closes; what lingers ends. */
void served_close_and_finish(struct served *served);
/* The pool has it end, because the daemon stops. */
void served_cancel(struct served *served);
/* What the client can read now, without waiting; the length, 0 at the end, or -errno. */
ssize_t served_read(const struct served *served, char *buf, size_t size);
/* That is exactly text. */
void served_expect(const struct served *served, const char *text);

enum session_state served_state(const struct served *served);
/* It is over and has ended so. */
void served_expect_end(const struct served *served, enum conn_end end);
/* Turns until it is over. */
void served_finish(struct served *served);

/* ---- turning ----------------------------------------------------------------- */

void rig_turn(void);
/* So many turns, for what should show in some of them, or not at all. */
void rig_turn_some(void);
/* Moves the clock and turns. */
void rig_pass_ms(uint64_t ms);

TCase *rig_case(Suite *suite, const char *name);

#endif
