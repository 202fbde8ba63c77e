/* SPDX-License-Identifier: MIT */
/*
 * grouprig - a group of servers made by hand, for the tests of upstream/'s core: changed by writing to rig's fields and
 * rig_apply(), as a reload does. Its servers' addresses are those of nobody unless a test writes another.
 */
#ifndef CP_TESTS_UNIT_UPSTREAM_GROUPRIG_H
#define CP_TESTS_UNIT_UPSTREAM_GROUPRIG_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"
#include "upstream/group.h"
#include "upstream/upstream.h"

#define RIG_SERVERS_MAX 16u

struct rig {
	struct upstream *upstream;
	struct upstream_settings settings;
	unsigned count; /* of servers; those not in_group are left out by rig_apply() */
	bool in_group[RIG_SERVERS_MAX];
	struct server *servers[RIG_SERVERS_MAX]; /* one reference each */
	struct server_settings server_settings[RIG_SERVERS_MAX];
	struct server_address addresses[RIG_SERVERS_MAX];
};

/* A client, and how often it was called. */
struct rig_client {
	struct upstream_wish wish;
	unsigned granted;
};

extern struct rig rig;

/* count servers of weight 1 without limits; every wait and limit of the group is off. Not applied yet. */
void rig_begin(unsigned count, int balance);
void rig_apply(void);
/* Holds the test to having given back every place. */
void rig_end(void);

unsigned rig_index(const struct server *server);
struct rig_client rig_client(uint64_t source_hash);
/* Asks now. */
enum upstream_answer rig_ask(struct rig_client *client);
/* Asks for one that must be given; which server's. The place is the client's. */
unsigned rig_take(struct rig_client *client);
/* The same and gives it back. */
unsigned rig_visit(uint64_t source_hash);
/* Reports that many of event. */
void rig_report(unsigned server, enum server_event event, unsigned times);

#endif
