/* SPDX-License-Identifier: MIT */
/*
 * spawner_wire.h - the messages between daemon, keeper and spawner, and what the parts of the keeper and the spawner
 * share; nobody else includes it. THE AGREEMENT is in spawner.h.
 *
 *   spawner.c             the daemon's end of the keeper
 *   spawner_channel.c     programs: the daemon's ends of the channels
 *   spawner_keeper.c      the keeper: watches the spawner, starts it again
 *   spawner_load.c        the keeper: loads configs in a process of its own, keeps the tables
 *   spawner_server.c      the spawner: requests in, children reaped
 *   spawner_line.c        the spawner: its ends of the channels, answers out
 *   spawner_recipe.c      what the config says of a program, made ready to be run
 *   spawner_table.c       the recipes of a config as one piece of memory that processes pass on
 *   spawner_launch.c      from a recipe to a running program
 *   spawner_environment.c the client's variables
 *   needs.c               recipes held against what this process may do, for --check
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
#include "base/list.h"
#include "program/program.h"

struct conf_service_type;

/* Most programs that the spawner runs at once. */
#define SPAWNER_PROGRAMS_MAX 32768u
/* Answers that one message carries at most. */
#define SPAWNER_ANSWERS_MAX 16
/* Descriptors that one message carries at most. */
#define WIRE_FDS_MAX 3
/* How long the spawner has to end, once the daemon has. */
#define KEEPER_END_MS 3000
/* What was refused for want of memory or room is tried again after so long. */
#define WIRE_RETRY_MS 50

/* ---- daemon and keeper ----------------------------------------------------------------- */

enum keeper_verb {
	KEEPER_LOAD, /* read the config; answered by LOADED with the same number, unless another LOAD comes before */
	KEEPER_DROP, /* one load of this table is needed no more */
};

struct keeper_request {
	uint32_t verb;
	uint64_t number; /* LOAD */
	uint64_t table;  /* DROP */
};

enum keeper_news_kind {
	KEEPER_LOADED,       /* answers LOAD: the spawner has the table, or it has failed */
	KEEPER_RESTARTED,    /* the spawner died, and there is another one */
	KEEPER_CANNOT_START, /* it died, and there is none yet: tried again every second; said once */
};

struct keeper_news {
	uint32_t kind;
	int32_t error;       /* LOADED: errno, text says what */
	uint64_t number;     /* LOADED: of the request */
	uint64_t digest;     /* LOADED: program_digest() of what was read */
	uint64_t table;      /* LOADED: its number, never used again for another one */
	int32_t pid;         /* RESTARTED: of the spawner */
	int32_t died_pid;    /* RESTARTED, CANNOT_START: of the one before */
	int32_t died_status; /* as wait(2) has it */
	uint32_t ended;      /* programs that were ended with it */
	struct errmsg text;  /* LOADED, CANNOT_START: what failed; RESTARTED: why it ended, if that is known */
};

/* ---- keeper and spawner ----------------------------------------------------------------- */

enum control_verb {
	CONTROL_TABLE,  /* with its descriptor; answered */
	CONTROL_FORGET, /* the table is needed no more; not answered */
	CONTROL_PING,   /* answered */
};

struct control_request {
	uint32_t verb;
	uint64_t number; /* comes back */
	uint64_t table;
};

struct control_answer {
	uint64_t number;
	int32_t error; /* errno, or 0 */
};

/* ---- daemon and spawner ----------------------------------------------------------------- */

/* On the main socket there is one message only, a byte with a new channel's far end. The rest is on channels. */
enum spawner_verb { SPAWNER_START, SPAWNER_SIGNAL };

struct spawner_request {
	uint32_t verb;
	uint32_t signal; /* SIGNAL */
	uint64_t id;     /* the daemon's; comes back */
	uint64_t table;  /* START, down to the end */
	uint32_t listener;
	int8_t streams[3]; /* index in the descriptors that came along; -1: /dev/null */
	bool has_client;
	struct peer peer;
};

/* The first answer on each channel, alone in its message: the spawner has it. Its id is none of the daemon's. */
#define SPAWNER_HELLO_ID UINT64_MAX

/* One or more of them are a message. */
struct spawner_answer {
	uint64_t id;
	struct program_result result;
};

/* Sends message and descriptors in one packet, without waiting. 0 or -errno. */
CP_MUST_CHECK int wire_send(int fd, const void *message, size_t size, const int *fds, unsigned fd_count);
/*
 * Receives one packet of at most size, without waiting; *ret_count descriptors (close-on-exec) are the caller's.
 * *ret_cut: some were lost, because there is no room for them here: the message is not whole. The size, 0 at the end,
 * or -errno: wire_is_over() says whether that is the end as well. -EBADMSG: a packet with nothing in it, which nobody
 * sends who keeps to the agreement; descriptors may have come with it.
 */
CP_MUST_CHECK ssize_t wire_receive(
	int fd, void *message, size_t size, int fds[WIRE_FDS_MAX], unsigned *ret_count, bool *ret_cut);
/* Of a result of the two above: the other end is closed. Every other error but EBADMSG is a shortage, and passes. */
bool wire_is_over(ssize_t result);
/* A pair of connected packet sockets, close-on-exec. 0 or -errno. */
CP_MUST_CHECK int wire_pair(int ret_fds[2]);

/*
 * Closes one that is in an epoll set: close(2) alone leaves it in there as long as any other process has the same
 * socket, and it says for ever that it has ended. -1 is nothing.
 */
void wire_unwatch(int epoll_fd, int *fd);

/* ---- the daemon's parts --------------------------------------------------------------------- */

/*
 * Sends the spawner, or the next one, the far end of a new channel; the daemon's end is the caller's. 0; -EAGAIN: to be
 * tried again; -EPIPE: there is no spawner, nor will there be. Any thread.
 */
CP_MUST_CHECK int spawner_open_channel(int *ret_fd);
/* Closes this thread's own; what runs on it is lost, and told so. */
void channel_close_own(void);

/* ---- the keeper's tables -------------------------------------------------------------------------------- */

enum table_state {
	TABLE_UNSENT, /* the spawner does not know it */
	TABLE_SENT,   /* it was sent, and not answered */
	TABLE_KNOWN,
};

/* The recipes of one config, kept as long as the daemon may name them. The spawner has them by fork(2), too. */
struct kept_table {
	struct list link;
	uint64_t number;
	uint64_t digest;
	int fd; /* sealed */
	/* It stays while either is above 0; each of the two takes back its own only. */
	unsigned told; /* how often the daemon was told of it, and did not drop it */
	unsigned held; /* by the load that is to be told */
	enum table_state state;
	uint64_t control_number; /* SENT: of the request */
};

/* ---- the processes ----------------------------------------------------------------------------- */

/* Shared by the keeper and one spawner: what the keeper ends when the spawner has died, and why it did. */
struct spawner_shared {
	struct errmsg why;                          /* "" unless it ended by itself */
	_Atomic int32_t pids[SPAWNER_PROGRAMS_MAX]; /* 0: free */
};

/* Serves until the daemon has closed its end. Never returns. */
void spawner_serve(
	int main_fd, int control_fd, const struct list *kept_tables, struct spawner_shared *shared) CP_NORETURN;
/* The keeper: until the daemon has ended. Never returns. */
void keeper_serve(int daemon_fd, int main_fd, const char *conf_path, const struct conf_service_type *types) CP_NORETURN;

#endif
