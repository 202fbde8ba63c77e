/* SPDX-License-Identifier: MIT */
/*
 * spawner - starts programs for a daemon that has no privileges, and that fork(2) would be slow for.
 *
 * THE AGREEMENT. Three processes, split off in this order while there was no thread yet:
 *
 *   daemon   serves the network. It names a program by the number of a table and the listener's index, never by argv
 *   keeper   has the config read for the daemon, keeps what it says of programs as numbered tables, watches the spawner
 *            and starts it again
 *   spawner  has every table in use, from the moment it is forked. It starts programs, waits for them and says how each
 *            ended. There is one, for as long as it lives: a reload gives it a table more
 *
 * Only the last two keep the privileges that the daemon was started with. What connects them, each a pair of packet
 * sockets made once, but for control and channels:
 *
 *   keeper   daemon - keeper    LOAD n -> LOADED n: a table, which the spawner has; DROP: not needed any more.
 *                               An answer with another number than the last one's is late: its table is dropped
 *   main     daemon - spawner   the far end of a channel. The keeper holds the spawner's end for the next one, so what
 *                               nobody has read when a spawner dies waits for its successor
 *   channel  thread - spawner   HELLO: the spawner has it. Then START -> one answer when it has ended, SIGNAL.
 *                               Closed by the spawner's death: what had been sent by it is lost with its programs
 *   control  keeper - spawner   TABLE -> answer, FORGET; PING -> answer: without one the spawner is killed
 *
 * Who decides: the keeper alone says that a spawner is dead (it reaps it) and starts one; the spawner alone says that a
 * program has ended; the daemon alone says that a table is not needed. No other conclusion is drawn from a closed
 * socket. No shortage (ENOBUFS, EMFILE, a full socket) is taken for an end: what was refused is sent again, for a
 * bounded time. The daemon receives no descriptor from anybody. tests/model/spawner.pml is this agreement as a model.
 *
 * No process but the keeper is forked before a config names a program. A thread's channel is closed when it ends.
 */
#ifndef CP_PROGRAM_SPAWNER_H
#define CP_PROGRAM_SPAWNER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/defs.h"
#include "base/list.h"
#include "program/program.h"

struct channel;
struct conf;
struct conf_service_type;
struct errmsg;
struct loop;

/* ---- main thread --------------------------------------------------------------------- */

/* Forks the keeper: before there is any thread, or any descriptor that programs must not have. 0 or -errno. */
CP_MUST_CHECK int spawner_begin(const char *conf_path, const struct conf_service_type *types);
/* From now on the loop hears of a spawner that died, and says so in the log. 0 or -errno. */
CP_MUST_CHECK int spawner_watch(struct loop *loop);
/*
 * Part of the transaction between two configs: the keeper reads the files, and must find the same programs in them as
 * conf names. 0: done; 1: ready(arg) will say so, on the loop; -errno: err says why, and nothing has changed. When it
 * has succeeded one of commit and abandon; abandon also ends one that is under way, and ready() is not called then.
 */
typedef void spawner_ready_fn(void *arg, int rc, const struct errmsg *err);
CP_MUST_CHECK int spawner_prepare_begin(
	const struct conf *conf, spawner_ready_fn *ready, void *arg, struct errmsg *err);
/* The same, but it waits: for the start. 0 or -errno. */
CP_MUST_CHECK int spawner_prepare(const struct conf *conf, struct errmsg *err);
void spawner_commit(void);
void spawner_abandon(void);
/* Ends both processes and every program that still runs. */
void spawner_end(void);

/* ---- programs ------------------------------------------------------------------------ */

/* Which program: the one of a listener of a config. The config's table is there as long as any reference is held. */
struct program_name {
	uint64_t table; /* 0: none */
	uint32_t listener;
};

/* Main thread, when it is prepared and before the end of that; listener is the index in that config. */
struct program_name program_name_ref(unsigned listener);
/* Any thread. */
void program_name_unref(struct program_name *name);

/* Where its standard streams come from. */
#define PROGRAM_STREAM_NULL (-1) /* /dev/null */

struct program_streams {
	int fds[3];       /* borrowed until it has ended; the same may stand more than once */
	bool has_client;  /* fds[0] is a client's connection: the environment says whose */
	struct peer peer; /* with has_client: it is called so */
};

/* One run, embedded in its owner; zeroed memory with ended set is an initialised one. */
struct program {
	/* On the loop's thread, not on a fiber: result is set, and the program its owner's again. */
	void (*ended)(struct program *program);
	struct program_result result;

	struct list link; /* private: spawner.c, down to the end */
	struct channel *channel;
	struct program_name name;
	struct program_streams streams;
	uint64_t id;
	uint64_t send_until_ms; /* then it has failed */
	bool is_sent;           /* the spawner has the request, or will find it */
	bool is_canceled;
};

/*
 * Starts it. loop is this thread's own; the program must stay where it is until ended() was called, which it is not
 * before this returns. A spawner that has died is waited for, for some seconds. 0; -ENOMEM: it was not started, result
 * says so too.
 */
CP_MUST_CHECK int program_start(struct program *program, struct loop *loop, const struct program_name *name,
	const struct program_streams *streams);
/*
 * Sends signal to its whole process group; ended() comes as ever. Nothing when it does not run. It may get lost when
 * the spawner is busy: say it again until it has ended.
 */
void program_signal(struct program *program, int signal);
bool program_is_running(const struct program *program);

#endif
