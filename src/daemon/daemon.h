/* SPDX-License-Identifier: MIT */
/*
 * daemon - joins the parts: start, reload, stop, signals, what systemd is told. May include: everything.
 *
 *   STARTING -> SERVING -> DRAINING -> CANCELLED -> STOPPED
 *       |          |  reload: SERVING -> SERVING       |
 *       |          |                     +-------------+ the last connection has ended
 *       +----------+--> STOPPED (a start that failed; never once it serves)
 *
 * Everything here is on the main thread, but for what a pool tells its owner.
 */
#ifndef CP_DAEMON_DAEMON_H
#define CP_DAEMON_DAEMON_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/systemd.h"
#include "daemon/reload.h"
#include "engine/loop.h"
#include "net/acceptor.h"
#include "net/listener.h"
#include "pool/pool.h"

/* Exit codes (daemon_run, and the command line's own); 78 is EX_CONFIG of sysexits(3). */
#define DAEMON_EXIT_OK 0
#define DAEMON_EXIT_FAILURE 1
#define DAEMON_EXIT_USAGE 2
#define DAEMON_EXIT_CONFIG 78

enum daemon_state { DAEMON_STARTING, DAEMON_SERVING, DAEMON_DRAINING, DAEMON_CANCELLED, DAEMON_STOPPED };

struct conf;
struct upstreams;
struct verdicts;

struct daemon {
	enum daemon_state state; /* daemon_set_state() alone writes it */
	int exit_code;
	const char *conf_path; /* borrowed */
	struct loop loop;
	struct acceptor acceptor;
	struct listener_totals totals;
	struct upstreams *upstreams;
	struct verdicts *verdicts;
	struct conf *conf;         /* the generation in force; one reference */
	struct list listeners;     /* of struct listener: those the config names */
	struct list pools;         /* of struct pool: those the config names */
	struct list closing_pools; /* those it no longer names, until their last connection has ended */
	struct list ending_leases; /* of daemon/lending.c: programs told to end, that had a listening socket */
	struct pool_owner pool_owner;
	atomic_bool worker_ended; /* some worker is to be joined */
	bool wants_nap;           /* see daemon.c, NAP */
	atomic_bool napping;
	uint64_t last_listener_number;
	struct reload reload;
	struct systemd_sockets passed; /* by the service manager, and not in use */

	int signal_fd;
	struct watch signal_watch;
	struct timer tick; /* refusals, stalls, status: once a second while anything goes on */
	struct timer watchdog;
	struct timer deadline;  /* of the drain, then of its end */
	uint64_t watchdog_usec; /* 0: nobody wants to know */
	char status[160];       /* for systemd */
	bool status_told;       /* systemd has taken it */
};

/* Serves conf_path until it is told to stop. Returns the exit code; everything was said in the log. */
int daemon_run(const char *conf_path);

/* The one mover of the state. */
void daemon_set_state(struct daemon *daemon, enum daemon_state state);

/* Begins the tick if it is not set: called when something happens. */
void daemon_wake_tick(struct daemon *daemon);

#endif
