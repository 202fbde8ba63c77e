/* SPDX-License-Identifier: MIT */
/*
 * acceptorrig - an acceptor on a loop that is turned by hand, with a sink that keeps what it is given, for the two
 * halves of net/acceptor's tests: test_acceptor.c (taking connections, pauses) and acceptor_room.c (waiting for room).
 */
#ifndef CP_TESTS_UNIT_NET_ACCEPTORRIG_H
#define CP_TESTS_UNIT_NET_ACCEPTORRIG_H

#include <check.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/loop.h"
#include "net/acceptor.h"
#include "net/socket.h"

#define CLIENTS_MAX 256
#define BUSY "busy_message = \"come again\\n\";"
#define BUSY_TEXT "come again\n"
/* The first pause and the longest, as acceptor.c has them. */
#define BACKOFF_FIRST_MS 10
#define RESERVE_LENT_MS 1000
#define BACKOFF_MAX_MS 500
/* So long without a failure ends an episode. */
#define EPISODE_CLEAR_MS 1000
/* The same of one socket's own faults, and its longest pause. */
#define FAULT_CLEAR_MS 10000
#define PAUSE_MAX_MS 5000

extern struct loop loop;
extern struct acceptor acceptor;
extern struct listen_socket *listening;
extern int clients[CLIENTS_MAX];
extern unsigned client_count;
extern bool room;
extern unsigned room_left; /* so many more, then there is none */
extern unsigned looks_left;
extern struct accepted taken[CLIENTS_MAX];
extern unsigned taken_count;
extern unsigned batches[CLIENTS_MAX]; /* what each flush was told */
extern unsigned batch_count;
extern bool awaited; /* somebody asked for an announcement */
extern const struct acceptor_sink sink;

void turn_until_taken(unsigned count);
void turn_some(void);
void set_up(void);
struct listen_socket *open_socket(void);
void begin(const char *pool, const char *options);
void tear_down(void);
int dial(const struct listen_socket *socket_to);
void dial_many(unsigned count);
struct listen_socket *open_other(void);
void close_other(struct listen_socket **other);
unsigned came_by(const struct listen_socket *socket);
void end_pause(uint64_t ms);

/* acceptor_room.c: the case "room". */
void rig_add_room(Suite *suite);
TCase *acceptor_case(Suite *suite, const char *name);

#endif
