/* SPDX-License-Identifier: MIT */
/*
 * spawner_launch.h - starts, in the spawner: a client's variables, and the slots that children are started from; nobody
 * else includes it.
 */
#ifndef CP_PROGRAM_SPAWNER_LAUNCH_H
#define CP_PROGRAM_SPAWNER_LAUNCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/defs.h"
#include "base/list.h"

struct program_result;
struct recipe;

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
 * A slot: everything that a child needs until it has left this process's memory. It is the child's until
 * launch_is_over(), whatever becomes of the child meanwhile.
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

#endif
