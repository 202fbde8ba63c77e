/* SPDX-License-Identifier: MIT */
/*
 * netfixture - what the tests of net/ and service/ stand on: a config read from a text, a listener and a route made of
 * it, connected pairs of sockets, what was written to standard error, and a clock that stands still until a test moves
 * it.
 *
 * fixture_setup and fixture_teardown are the checked fixture of every case; the teardown holds each test to giving back
 * its descriptors and its references. The clock is the process's CLOCK_MONOTONIC: netfixture.c stands before libc's.
 */
#ifndef CP_TESTS_UNIT_NET_NETFIXTURE_H
#define CP_TESTS_UNIT_NET_NETFIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#include <check.h>

#include "net/conn.h"
#include "net/listener.h"

struct conf;
struct cp_handler;
struct loop;
struct route;

struct netfixture {
	char folder[32]; /* for sockets with a path */
	struct conf *conf;
	struct listener_totals totals;
	struct listener *listener;
	struct route *route;
	int descriptors; /* before the test */
};

extern struct netfixture fixture;

void fixture_setup(void);
void fixture_teardown(void);

/*
 * A config whose pool "main" and whose one listener "web" say what is given; the address is tcp:127.0.0.1:0 unless
 * listener begins with one. Owned.
 */
struct conf *fixture_conf(const char *pool, const char *listener);
/* The same with fixture.conf, .listener and .route made of it. handler may be NULL where none is called. */
void fixture_open(const char *pool, const char *listener, const struct cp_handler *handler);
/* Another route of fixture.listener by another config. Owned. */
struct route *fixture_route(const char *pool, const char *listener);
/* A path in the folder; borrowed until the next call. */
const char *fixture_path(const char *name);

/* ---- connections ----------------------------------------------------------- */

/* ends[0] is the server's, non-blocking; ends[1] the client's, blocking. */
void fixture_unix_pair(int ends[2]);
/* Over loopback. */
void fixture_tcp_pair(int ends[2]);
/* fd as accepted on fixture.route, from the peer given as text ("192.0.2.1", "::1"; NULL: a Unix client); counted. */
void fixture_accept(struct accepted *accepted, int fd, const char *host);
void fixture_peer(struct peer *peer, const char *host);
/* accepted = queued + active + closed + rejected. */
void fixture_check_sums(const struct listener *listener);
/* Reads until the end of the stream; the length, or -errno. */
int fixture_read_all(int fd, char *buf, unsigned size);

/* The other end has not reset the connection: with a reset, what was sent before can be lost on its way. */
void fixture_expect_no_reset(int fd);

/* ---- time and turns --------------------------------------------------------- */

void fixture_advance_ms(uint64_t ms);
uint64_t fixture_now_ns(void);
/* One turn that does not wait. */
void fixture_turn(struct loop *loop);
/* Turns until done(arg); fails when it never is. */
void fixture_turn_until(struct loop *loop, bool (*done)(void *arg), void *arg);

/* ---- running out ------------------------------------------------------------- */

/* No further descriptor can be opened, until the other call. */
void fixture_exhaust_descriptors(void);
void fixture_allow_descriptors(void);

/* ---- what is said ------------------------------------------------------------ */

void fixture_capture(void);
/* Ends it; what was written to standard error, borrowed until the next call. */
const char *fixture_captured(void);
/* How often part stands in text. */
unsigned fixture_count(const char *text, const char *part);

/* Every program's main(): runs and frees the suite. */
int fixture_run(Suite *suite);
/* A case with the checked fixture. */
TCase *fixture_case(Suite *suite, const char *name);

#endif
