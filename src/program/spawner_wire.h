/* SPDX-License-Identifier: MIT */
/*
 * spawner_wire.h - what the daemon, the keeper and the spawner say to each other, and what the parts of the spawner
 * share; nobody else includes it.
 *
 *   spawner.c          the daemon's end of the keeper
 *   spawner_channel.c  programs: the daemon's ends of the channels
 *   spawner_keeper.c   the keeper: loads configs, forks spawners
 *   spawner_server.c   the spawner: requests in, answers out, children reaped
 *   spawner_recipe.c   what the config says of a program, made ready to be run
 *   spawner_launch.c   from a recipe to a running program
 *   needs.c            recipes held against what this process may do, for --check
 *
 * Every message is one packet of a SOCK_SEQPACKET pair, a structure as it lies in memory: all three are one program.
 */
#ifndef CP_PROGRAM_SPAWNER_WIRE_H
#define CP_PROGRAM_SPAWNER_WIRE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/address.h"
#include "base/defs.h"
#include "base/errmsg.h"
#include "program/program.h"

/* Most programs that one spawner runs at once. */
#define SPAWNER_PROGRAMS_MAX 32768u
/* Answers that one message carries at most. */
#define SPAWNER_ANSWERS_MAX 16
/* Descriptors that one message carries at most. */
#define WIRE_FDS_MAX 3

/* ---- daemon and keeper ----------------------------------------------------------------- */

enum keeper_verb {
	KEEPER_LOAD,   /* read the config; answered by LOADED */
	KEEPER_COMMIT, /* what was loaded last is in force: its spawner is started again when it dies */
	KEEPER_DROP,   /* one load of this digest is needed no more */
};

struct keeper_request {
	uint32_t verb;
	uint64_t digest;
};

enum keeper_news_kind {
	KEEPER_LOADED,    /* with a new spawner's socket, when error is 0 */
	KEEPER_RESTARTED, /* likewise */
};

struct keeper_news {
	uint32_t kind;
	int32_t error;       /* LOADED: errno, text says what */
	uint64_t digest;     /* LOADED: what was found */
	int32_t pid;         /* of the spawner */
	int32_t died_pid;    /* RESTARTED: of the one before */
	int32_t died_status; /* as wait(2) has it */
	uint32_t ended;      /* RESTARTED: programs that were ended with it */
	struct errmsg text;
};

/* ---- daemon and spawner ----------------------------------------------------------------- */

/* On a spawner's main socket there is one message only, a byte with a new channel's far end. The rest is on channels.
 */
enum spawner_verb { SPAWNER_START, SPAWNER_SIGNAL };

struct spawner_request {
	uint32_t verb;
	uint32_t signal; /* SIGNAL */
	uint64_t id;     /* the daemon's; comes back */
	uint64_t digest; /* START, down to the end */
	uint32_t listener;
	int8_t streams[3]; /* index in the descriptors that came along; -1: /dev/null */
	bool has_client;
	struct peer peer;
};

/* One or more of them are a message. */
struct spawner_answer {
	uint64_t id;
	struct program_result result;
};

/* Sends message and descriptors in one packet, without waiting. 0 or -errno. */
CP_MUST_CHECK int wire_send(int fd, const void *message, size_t size, const int *fds, unsigned fd_count);
/*
 * Receives one packet of at most size; *ret_count descriptors (close-on-exec) are the caller's, those that did not fit
 * are closed and *ret_cut says so. The size, 0 at the end, or -errno.
 */
CP_MUST_CHECK ssize_t wire_receive(
	int fd, void *message, size_t size, int flags, int fds[WIRE_FDS_MAX], unsigned *ret_count, bool *ret_cut);
/* A pair of connected packet sockets, close-on-exec. 0 or -errno. */
CP_MUST_CHECK int wire_pair(int ret_fds[2]);

/*
 * A new channel to the spawner that serves, whose number is *ret_serial; the daemon's end is the caller's. 0 or -errno.
 * Any thread.
 */
CP_MUST_CHECK int spawner_open_channel(int *ret_fd, unsigned *ret_serial);
/* Of the one that serves: those before it may not know the programs of the config in force. Any thread. */
unsigned spawner_serial(void);
/* Closes this thread's own; what runs on it is lost, and told so. */
void channel_close_own(void);

/* ---- recipes ------------------------------------------------------------------------------ */

struct conf;
struct conf_service_type;
struct recipe;

/* What the programs of one config need to be run, by listener. */
struct cookbook {
	struct cookbook *next;
	uint64_t digest;
	struct conf *conf;       /* one reference */
	struct recipe **recipes; /* by listener; NULL: it runs none */
	unsigned count;
	unsigned loads; /* how often the daemon has asked for it, and not yet dropped it */
};

/*
 * Looks up users and groups. Takes over *conf and nulls it. Returns owned, or NULL with err saying why (*conf
 * untouched).
 */
CP_MUST_CHECK struct cookbook *cookbook_new(struct conf **conf, struct errmsg *err);
void cookbook_free(struct cookbook **cookbook);

#define RECIPE_RLIMITS_MAX 9
#define RECIPE_GROUPS_MAX 64

struct recipe_limit {
	int resource;
	uint64_t soft;
	uint64_t hard;
};

struct recipe {
	const struct program_options *options; /* of the cookbook's conf */
	char **argv;                           /* ends with NULL; the strings are the options' */
	char **environment;                    /* what does not hang on the client */
	unsigned environment_count;
	bool changes_user;
	uid_t uid;
	gid_t gid;
	gid_t groups[RECIPE_GROUPS_MAX];
	int group_count;
	struct recipe_limit limits[RECIPE_RLIMITS_MAX];
	unsigned limit_count;
};

/* ---- launching, in the spawner -------------------------------------------------------------- */

/* A client's variables, and room to say them in. */
#define CLIENT_VARIABLES_MAX 16

struct client_environment {
	char text[1024];
	char *items[CLIENT_VARIABLES_MAX];
	unsigned count;
};

/* In the three dialects: UCSPI's TCPREMOTEIP, systemd's REMOTE_ADDR, inetd's REMOTE_HOST. fd is the client's socket. */
void client_environment_make(struct client_environment *environment, const struct peer *peer, int fd);

struct launch {
	const struct recipe *recipe;
	int fds[3];
	char **environment; /* ends with NULL */
	/* Set by what runs in the child. */
	volatile int error;
	volatile int step;
};

/* Starts it. Its process, leader of a group of its own; or -errno, with launch->step. */
CP_MUST_CHECK pid_t launch_run(struct launch *launch);
/* Once, before the first: what the programs are to find as it was. */
void launch_init(void);

/* ---- the processes ----------------------------------------------------------------------------- */

/* Shared by the keeper and one spawner: what the keeper ends when the spawner has died. */
struct spawner_table {
	_Atomic int32_t pids[SPAWNER_PROGRAMS_MAX]; /* 0: free */
};

/* Serves until the daemon has closed its end. Never returns. */
void spawner_serve(int main_fd, const struct cookbook *cookbooks, struct spawner_table *table) CP_NORETURN;
/* The keeper: until the daemon has ended. Never returns. */
void keeper_serve(int daemon_fd, const char *conf_path, const struct conf_service_type *types) CP_NORETURN;

#endif
