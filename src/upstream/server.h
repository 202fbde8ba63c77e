/* SPDX-License-Identifier: MIT */
/*
 * server.h - one server: an address that a group's connections go to, and its health. Private to upstream/.
 *
 *            CHECK_FAILED x fall, CONNECT_FAILED x max_failures, AGENT_DOWN
 *   SERVER_UP <---------------------------------------------------------------> SERVER_DOWN
 *       |       CHECK_OK x rise, AGENT_UP; without checks: after retry_after
 *       +--> SERVER_DRAINING      the agent said "drain", or the weight is 0: its connections live on, no new ones
 *       +--> SERVER_MAINTENANCE   the config or the agent said so: likewise, not checked (but its agent is asked)
 *
 * server_report() is the one mover: it takes what was observed, keeps the counts, moves the state if they say so, and
 * logs the move with its reason.
 */
#ifndef CP_UPSTREAM_SERVER_H
#define CP_UPSTREAM_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/defs.h"
#include "upstream/upstream.h"

struct server;
struct upstream;

enum server_state { SERVER_UP, SERVER_DOWN, SERVER_DRAINING, SERVER_MAINTENANCE };

enum server_event {
	SERVER_CHECK_OK,
	SERVER_CHECK_FAILED,
	SERVER_CONNECT_OK,
	SERVER_CONNECT_FAILED,
	SERVER_AGENT, /* with a struct server_advice */
	SERVER_RETRY, /* retry_after is over: it may be tried again */
};

/* The administrative half of what an agent says. */
enum server_mode { SERVER_MODE_READY, SERVER_MODE_DRAIN, SERVER_MODE_MAINTENANCE };

/*
 * What an agent said; what it did not mention is left as it was. The two halves are kept apart, as HAProxy does: "up"
 * takes back a "down" of the agent's and no "drain", "ready" takes back "drain" and "maint" of the agent's (not the
 * config's) and no "down". The agent goes on being asked in maintenance, or it could never say "ready".
 */
struct server_advice {
	bool has_health;
	bool has_mode;
	bool has_weight;
	bool has_max_connections;
	bool is_up;               /* has_health: "up"; else "down", "fail", "failed", "stopped" */
	enum server_mode mode;    /* has_mode */
	unsigned weight_percent;  /* of the configured one, at most 10000; 0: as drain does */
	uint64_t max_connections; /* 0: no limit */
};

/* Where one resolved or written server is. */
struct server_address {
	socklen_t length;
	union {
		struct sockaddr sa;
		struct sockaddr_storage storage;
	};
};

/*
 * Something was observed. reason is for the log ("connect: Connection refused", "agent: drain"); advice only with
 * SERVER_AGENT. Takes the group's lock. Any thread.
 */
void server_report(
	struct server *server, enum server_event event, const struct server_advice *advice, const char *reason);

/* Any thread. */
struct server *server_ref(struct server *server);
/* Nulls the holder; the last one frees. Accepts NULL. Any thread. */
void server_unref(struct server **server);

/* A snapshot, for those who check it. */
enum server_state server_state(struct server *server);
/* Checks pass or fail right now but the state has not followed yet, or it is down: check_fast_interval applies. */
bool server_is_in_doubt(struct server *server);
/* Fixed for its life, as server_name() (upstream.h). */
const struct server_address *server_address(const struct server *server);
const char *server_group_name(const struct server *server);

#endif
