/* SPDX-License-Identifier: MIT */
/*
 * spawner - starts programs for a daemon that has no privileges, and that fork(2) would be slow for.
 *
 * Three processes, split off in this order while there was no thread yet:
 *
 *   daemon   serves the network. It names a program by the config's digest and the listener's index, never by argv
 *   keeper   reads the config file when the daemon has, keeps every generation that is still in use, and forks
 *   spawner  one that knows them. It starts programs, waits for them and says how each ended. When it dies, the keeper
 *            ends what ran under it and forks another
 *
 * Only the keeper and the spawner keep the privileges that the daemon was started with. They take requests over socket
 * pairs: one between daemon and keeper, and a channel for each thread that starts programs, made when it first does, so
 * that an answer comes by that thread's own loop, and no lock is needed. No process is forked before a config names a
 * program, but for the keeper.
 *
 * There is one spawner a process. A thread's channel is closed when the thread ends.
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
 * conf names. 0; -errno: err says why, and nothing has changed. After 0 one of commit and abandon.
 */
CP_MUST_CHECK int spawner_prepare(const struct conf *conf, struct errmsg *err);
void spawner_commit(void);
void spawner_abandon(void);
/* Ends both processes and every program that still runs. */
void spawner_end(void);

/* ---- programs ------------------------------------------------------------------------ */

/* Which program: the one of a listener of a config. The config's programs are known as long as any reference is held.
 */
struct program_name {
	uint64_t digest;
	uint32_t listener;
};

/* Main thread, between spawner_prepare() and its end; listener is the index in that config. */
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
	int signal;   /* to be sent */
	bool is_sent; /* the spawner has the request */
};

/*
 * Starts it. loop is this thread's own; the program must stay where it is until ended() was called, which it is not
 * before this returns. 0; -errno: it was not started, result says so too.
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
