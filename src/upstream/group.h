/* SPDX-License-Identifier: MIT */
/*
 * group.h - the bodies of struct upstream and struct server, and what their files call of each other. Private to
 * upstream/.
 *
 * LIFE: a group's array holds one count of each of its servers; who is outside (a place, a check) holds one by
 * server_ref(), and by that one of the group too. So there is no circle: when a group's count is zero nobody outside
 * knows any of its servers, and a server that was removed lives until its last place is given back.
 *
 * PLACES AND READY CONNECTIONS: `active` counts places, `ready` the connections kept connected ahead of need, and
 * `starting` those on their way to the list. A place is given out while active + starting < max_connections, a ready
 * connection is begun while active + ready + starting < max_connections and nobody waits. Who has a place connects by
 * taking a ready connection, and opens one only if there is none. From that follows that the sockets open to the
 * server are never more than max_connections: an opened one finds ready == 0 and is one of at most `active`, a taken
 * one was counted before.
 */
#ifndef CP_UPSTREAM_GROUP_H
#define CP_UPSTREAM_GROUP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/lock.h"
#include "upstream/server.h"

struct check;
struct loop;
struct task;
struct upstream;
struct upstream_wish;

#define UPSTREAM_MAGIC 0x75707374
#define SERVER_MAGIC 0x73727672

/* A weight of 1 is this, so that slow start can make it less. */
#define WEIGHT_UNIT 256u

/* As the config has them; copied, because a group outlives its config. Read conf.h for what they mean. */
struct upstream_settings {
	int balance;
	uint64_t connect_timeout_ms;
	uint64_t retries;
	uint64_t queue_size;
	uint64_t queue_timeout_ms;
	uint64_t wait_for_upstream_ms;
	uint64_t slow_start_ms;
	uint64_t max_failures;
	uint64_t retry_after_ms;
	uint64_t check_rise;
	uint64_t check_fall;
	unsigned names_pending; /* names without an answer so far */
};

struct server_settings {
	uint64_t weight;
	bool backup;
	bool maintenance;
	bool is_checked; /* only its checks bring it up again */
	bool has_agent;  /* what its agent said counts */
	uint64_t max_connections;
	uint64_t ready_connections;
	int send_proxy;
};

struct server {
	uint32_t magic;
	atomic_uint refs;
	struct upstream *upstream; /* fixed down to the blank line */
	char *name;
	char *origin; /* the line of the config that it is from: a name may stand for several */
	uint64_t hash;
	struct server_address address;

	/* Guarded by the group's lock. */
	enum server_state state;
	uint64_t number; /* in wish->tried; another each time it comes up, so that it may be tried again */
	struct server_settings settings;
	bool removed;
	bool is_healthy;    /* what checks and connects say */
	bool is_agent_down; /* what the agent says, down to the blank line */
	bool has_agent_limit;
	enum server_mode agent_mode;
	unsigned agent_percent;
	uint64_t agent_limit;

	uint64_t retry_ns;      /* DOWN without checks: when to try again; else 0 */
	uint64_t up_since_ns;   /* slow start counts from here; 0: it was up from the start */
	uint64_t checks_passed; /* in a row */
	uint64_t checks_failed;
	int64_t turn; /* private: balance.c */
	uint64_t active;
	uint64_t ready;
	uint64_t starting;
	struct list ready_list; /* struct ready (server_ready.c), newest last */
	uint64_t failure_logged_ns;
	uint64_t failures_unlogged;

	/* Relaxed: counted without the lock, and compared with zero to spare it. */
	_Atomic uint64_t failures_in_row; /* of connects; changed under the lock */
	atomic_bool is_on_probation;      /* one failure takes it down; changed under the lock */
	_Atomic uint64_t connects;
	_Atomic uint64_t connects_failed;
	_Atomic int send_proxy;

	struct check *check; /* main thread, upstreams.c, down to the end */
	struct check *next_check;
	uint64_t plan; /* the last that has it */
	bool is_new;   /* of a plan that is not applied yet */
	bool is_check_wanted;
};

struct upstream {
	uint32_t magic;
	atomic_uint refs;
	char *name;                          /* fixed */
	_Atomic uint64_t connect_timeout_ms; /* relaxed: the setting of this moment */

	struct cp_lock lock; /* LOCK_UPSTREAM; guards the fields down to the end, and the servers' */
	struct upstream_settings settings;
	struct server **servers;
	size_t server_count;
	struct list waiting; /* wishes, by ticket */
	uint64_t waiting_count;
	uint64_t last_ticket;
	uint64_t random;
	struct loop *retry_loop; /* where retry_task is posted when a server has a retry_ns; NULL: nobody watches */
	struct task *retry_task;
	bool has_up;
	bool had_up; /* ever */
	uint64_t queue_timeouts;
	uint64_t refused_full;
	uint64_t refused_down;
};

/* ---- upstream.c ---------------------------------------------------------------------- */

/* A group without servers. NULL when out of memory. */
CP_MUST_CHECK struct upstream *upstream_new(const char *name);
/* Lets everybody ask again who waits and may have a place now, in order. Call when a place may have become free. */
void upstream_dispatch_locked(struct upstream *upstream, uint64_t now_ns);
/*
 * The same after a server has ceased to be up: whoever waits for nothing any more is called too, without a place, and
 * asks again.
 */
void upstream_sweep_locked(struct upstream *upstream, uint64_t now_ns);
/* Call when a server has come up or ceased to be: keeps has_up, and logs when that moves. */
void upstream_note_up_locked(struct upstream *upstream);

/* What apply switches a group to. The array is owned; settings[i] belongs to servers[i]. */
struct upstream_change {
	struct upstream_settings settings;
	struct server **servers; /* one count each of those that are new; the group's moves for the others */
	struct server_settings *server_settings;
	size_t count;
};

/* Takes the arrays and counts of change. Can't fail. Main thread. */
void upstream_apply(struct upstream *upstream, struct upstream_change *change, uint64_t now_ns);
/* SERVER_RETRY for servers whose time has come. When the next one's comes; UINT64_MAX: none waits for it. */
uint64_t upstream_retry(struct upstream *upstream, uint64_t now_ns);

/* ---- server.c ------------------------------------------------------------------------ */

/* With one count, the array's; without a place in a group's array yet. NULL when out of memory. */
CP_MUST_CHECK struct server *server_new(struct upstream *upstream, const char *name, const char *origin,
	const struct server_address *address, const struct server_settings *settings);
/* Gives back the array's count. */
void server_put(struct server *server);
/*
 * New settings; moves the state if they say so. Ready connections too many are put in drop, for server_close_ready()
 * without the lock.
 */
void server_configure_locked(
	struct server *server, const struct server_settings *settings, uint64_t now_ns, struct list *drop);
/* server_report() for who has the lock. */
void server_report_locked(struct server *server, enum server_event event, const struct server_advice *advice,
	const char *reason, uint64_t now_ns, struct list *drop);
/* A connect failed with a positive errno: counted, logged at a limited rate, reported unless the fault is ours. */
void server_fail_locked(struct server *server, int error, uint64_t now_ns, struct list *drop);
/* Configured weight and the agent's share of it, in WEIGHT_UNITs. */
uint64_t server_weight_locked(const struct server *server);
uint64_t server_limit_locked(const struct server *server);
/* There is room for one more place. */
bool server_has_room_locked(const struct server *server);

/* ---- server_ready.c ------------------------------------------------------------------ */

/* Keeps ready connections: drops dead ones, begins what is missing. True: it keeps some. Main thread. */
bool server_tend_ready(struct server *server, uint64_t now_ns);
/* Moves all but the newest `keep` out of the server's list. */
void server_trim_ready_locked(struct server *server, uint64_t keep, struct list *drop);
/* Closes what is in the list. */
void server_close_ready(struct list *drop);

#endif
