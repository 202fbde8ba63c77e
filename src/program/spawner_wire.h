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

struct conf;
struct conf_service_type;

/* Most programs that the spawner runs at once. */
#define SPAWNER_PROGRAMS_MAX 32768u
/* Answers that one message carries at most. */
#define SPAWNER_ANSWERS_MAX 16
/* Descriptors that one message carries at most. */
#define WIRE_FDS_MAX 3
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
	int32_t error;        /* LOADED: errno, text says what */
	uint64_t number;      /* LOADED: of the request */
	uint64_t digest;      /* LOADED: program_digest() of what was read */
	uint64_t table;       /* LOADED: its number, never used again for another one */
	int32_t pid;          /* RESTARTED: of the spawner */
	int32_t died_pid;     /* RESTARTED, CANNOT_START: of the one before */
	int32_t died_status;  /* as wait(2) has it */
	uint32_t ended;       /* programs that were ended with it */
	struct errmsg text;   /* LOADED, CANNOT_START: what failed; RESTARTED: why it ended, if that is known */
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
 * or -errno: wire_is_over() says whether that is the end as well.
 */
CP_MUST_CHECK ssize_t wire_receive(
	int fd, void *message, size_t size, int fds[WIRE_FDS_MAX], unsigned *ret_count, bool *ret_cut);
/* Of a result of the two above: the other end is closed. Every other error is a shortage, and passes. */
bool wire_is_over(ssize_t result);
/* A pair of connected packet sockets, close-on-exec. 0 or -errno. */
CP_MUST_CHECK int wire_pair(int ret_fds[2]);

/* ---- the daemon's parts --------------------------------------------------------------------- */

/*
 * Sends the spawner, or the next one, the far end of a new channel; the daemon's end is the caller's. 0; -EAGAIN: to be
 * tried again; -EPIPE: there is no spawner, nor will there be. Any thread.
 */
CP_MUST_CHECK int spawner_open_channel(int *ret_fd);
/* Closes this thread's own; what runs on it is lost, and told so. */
void channel_close_own(void);

/* ---- recipes ------------------------------------------------------------------------------ */

#define RECIPE_RLIMITS_MAX 9
#define RECIPE_GROUPS_MAX 64

struct recipe_limit {
	int resource;
	uint64_t soft;
	uint64_t hard;
};

/* What one program needs to be run: every name is looked up, every string there. */
struct recipe {
	char **argv; /* ends with NULL */
	unsigned argument_count;
	unsigned environment_count;
	char **environment; /* what does not hang on the client */
	char *directory;
	char *chroot; /* NULL: none */
	uint32_t umask;
	int32_t nice;
	bool no_new_privileges;
	bool changes_user;
	uid_t uid;
	gid_t gid;
	int32_t group_count;
	gid_t groups[RECIPE_GROUPS_MAX];
	uint32_t limit_count;
	struct recipe_limit limits[RECIPE_RLIMITS_MAX];
};

/* The recipes of one config, by listener. */
struct cookbook {
	uint64_t digest;
	struct recipe **recipes; /* NULL: it runs none */
	unsigned count;
};

/* Looks up users and groups. Returns owned, or NULL with err saying why. */
CP_MUST_CHECK struct cookbook *cookbook_new(const struct conf *conf, struct errmsg *err);
void cookbook_free(struct cookbook **cookbook);

/* ---- tables --------------------------------------------------------------------------------- */

/* A cookbook as it is written to a descriptor and mapped by another process; read-only there. */
struct recipe_table;

/* Writes it to an empty file, which can be sealed afterwards. The same recipes are the same bytes. 0 or -errno. */
CP_MUST_CHECK int recipe_table_write(const struct cookbook *cookbook, int fd);
/* Maps it; fd stays the caller's. Returns owned; NULL with errno. */
CP_MUST_CHECK struct recipe_table *recipe_table_map(int fd);
void recipe_table_unmap(struct recipe_table **table);
/* NULL: that listener runs none. */
const struct recipe *recipe_table_find(const struct recipe_table *table, uint32_t listener);

/* ---- the client's variables, in the spawner ---------------------------------------------------- */

#define CLIENT_VARIABLES_MAX 16

struct client_environment {
	char text[1024];
	char *items[CLIENT_VARIABLES_MAX];
	unsigned count;
};

/* In the three dialects: UCSPI's TCPREMOTEIP, systemd's REMOTE_ADDR, inetd's REMOTE_HOST. fd is the client's socket. */
void client_environment_make(struct client_environment *environment, const struct peer *peer, int fd);

/* ---- launching, in the spawner ------------------------------------------------------------------- */

/* What is looked at of a file that can't be run. */
#define LAUNCH_LINE_MAX 256u

/*
 * A slot: everything that a child needs until it has left this process's memory. It is the child's until launch_is_over(),
 * whatever becomes of the child meanwhile.
 *
 *   free -> starting   launch_begin()
 *   starting -> over   the kernel clears `word`: the child has become the program, or has ended
 *   over -> free       launch_put()
 */
struct launch {
	struct list link; /* its owner's */
	const struct recipe *recipe;
	int fds[3];
	struct client_environment client;
	uint64_t begun_ns;
	uint32_t program; /* its owner's */
	void *table;      /* its owner's */

	_Atomic int32_t word; /* private: spawner_launch.c, down to the end */
	int32_t step;         /* set by the child */
	int32_t error;
	int32_t line_length;
	char line[LAUNCH_LINE_MAX];
	char **environment; /* ends with NULL */
	unsigned environment_room;
	char *stack;
};

/* Once, before the first: what the programs are to find as it was. */
void launch_init(void);
/* A free slot; NULL when there is no memory for one. */
CP_MUST_CHECK struct launch *launch_get(void);
/* Over, or never begun. */
void launch_put(struct launch **launch);
/*
 * Starts it: recipe, fds and client are set. *ret_pid is set by the kernel before the child runs, so that whoever
 * shares that memory knows of it. 0, or -errno and it is over.
 */
CP_MUST_CHECK int launch_begin(struct launch *launch, _Atomic int32_t *ret_pid);
/* Nothing of this process's memory is in the child's hands any more. */
bool launch_is_over(const struct launch *launch);
/* Once its process was reaped (which clears the slot, if the kernel has not). */
void launch_note_reaped(struct launch *launch);
/* When over: true and how, step, error of the result are set when it did not become the program. */
bool launch_has_failed(const struct launch *launch, struct program_result *ret_result);

/* ---- the spawner's lines ------------------------------------------------------------------------------ */

/* The spawner's end of one channel. */
struct line {
	uint64_t id; /* in epoll's data: never that of another one */
	struct list link;
	int fd;
	unsigned running; /* programs that answer to it */
	struct spawner_answer *owed;
	unsigned owed_count;
	unsigned owed_room;
	struct list owing; /* in the lines' own: it is owed answers and takes them */
	bool is_full;      /* EPOLLOUT tells when it takes more */
	bool is_gone;      /* the thread has closed its end, or the daemon has broken the agreement */
};

struct lines {
	int epoll_fd;
	struct list items; /* of struct line */
	struct list owing; /* of struct line */
	uint64_t owing_since_ns;
	uint64_t last_id;
	bool wants_retry; /* something was refused for want of memory: again after WIRE_RETRY_MS */
};

void lines_init(struct lines *lines, int epoll_fd);
/* Takes over fd, which is closed when there is no memory: the daemon opens another channel then. */
void lines_open(struct lines *lines, int fd);
/* NULL: it is gone. */
struct line *lines_find(const struct lines *lines, uint64_t id);
/* Nobody is there to be told any more. It stays until nothing runs for it. */
void lines_lose(struct lines *lines, struct line *line);
/* True: there is a place for the answer of one program more. */
CP_MUST_CHECK bool lines_reserve(struct lines *lines, struct line *line);
/* Of one for which a place was reserved. */
void lines_answer(struct lines *lines, struct line *line, const struct spawner_answer *answer);
/* Sends what is owed; is_idle: all of it, else what has waited long enough. */
void lines_flush(struct lines *lines, bool is_idle);
/* It takes answers again (EPOLLOUT). */
void lines_resume(struct lines *lines, struct line *line);
/* Tries again what was refused. */
void lines_retry(struct lines *lines);
/* Frees those that are gone and for which nothing runs. */
void lines_sweep(struct lines *lines);

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
	int fd;         /* sealed */
	unsigned loads; /* how often the daemon was told of it, and did not drop it; 0: to be forgotten */
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
void keeper_serve(
	int daemon_fd, int main_fd, const char *conf_path, const struct conf_service_type *types) CP_NORETURN;

#endif
