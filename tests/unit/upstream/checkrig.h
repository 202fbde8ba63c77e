/* SPDX-License-Identifier: MIT */
/*
 * checkrig - what the tests of probes and checks stand on: a loop, peers with real sockets on loopback, and in place of
 * server.c one server that writes down what is reported of it. On the test's one thread; the clock stands still
 * (netfixture.h).
 */
#ifndef CP_TESTS_UNIT_UPSTREAM_CHECKRIG_H
#define CP_TESTS_UNIT_UPSTREAM_CHECKRIG_H

#include <stdbool.h>
#include <stdint.h>

#include <check.h>

#include "engine/loop.h"
#include "upstream/server.h"

/* In place of server.c's. */
struct server {
	unsigned refs;
	struct server_address address;
	enum server_state state;
	bool is_in_doubt;
	unsigned reports; /* so many came; the rest is about the last one */
	enum server_event event;
	bool has_advice;
	struct server_advice advice;
	char reason[1024];
};

struct checkrig {
	struct loop loop;
	struct server server; /* up, nowhere */
};

extern struct checkrig rig;

/* A case with the rig set up for each test, and taken down: nobody may hold the server any more. */
TCase *rig_case(Suite *suite, const char *name);

/* ---- peers --------------------------------------------------------------------------- */

/* A socket that listens, non-blocking; address is where. */
int rig_listen(struct server_address *ret_address);
int rig_listen_unix(struct server_address *ret_address);
uint16_t rig_port(const struct server_address *address);
/* Nobody listens there. */
void rig_find_closed(struct server_address *ret_address);
/* Turns until somebody has connected; blocking. */
int rig_accept(int listening);
/* Nobody has. */
void rig_expect_nobody(int listening);
void rig_say(int fd, const char *text);
/* Turns until so much was received, and compares it. */
void rig_expect_heard(int fd, const char *text);
/* Turns until the other end has closed in good order; closes too. */
void rig_expect_closed(int *fd);

/* ---- turns ------------------------------------------------------------------------------ */

/* Moves the clock and takes turns that do not wait. */
void rig_advance_ms(uint64_t ms);
/* Turns until the server has so many reports. */
void rig_await_reports(unsigned count);

#endif
