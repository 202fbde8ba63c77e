/* SPDX-License-Identifier: MIT */
/*
 * exec_wait - exec with wait = true: a program that has the listening socket and accepts by itself, as the wait
 * services of inetd(8) do.
 *
 * One run, from its start to its end; who runs when, and again, is lending.h's. Main thread.
 */
#ifndef CP_SERVICE_EXEC_WAIT_H
#define CP_SERVICE_EXEC_WAIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/defs.h"
#include "program/ending.h"
#include "program/error_lines.h"
#include "program/spawner.h"

struct conf_service;
struct loop;
struct route;

/* Embedded in its owner; zeroed with over set it is an initialised one. */
struct exec_wait {
	/* It has ended, program.result says how, and may be started again. From the loop, not from a call of its own.
	 */
	void (*over)(struct exec_wait *run);
	struct program program;
	struct route *route; /* private: exec_wait.c, down to the end. One reference while it runs; else NULL */
	struct loop *loop;
	struct ending ending;
	uint64_t started_ns;
	struct error_lines errors;
};

/* Does it accept by itself? */
bool exec_has_wait(const struct conf_service *service);

/*
 * Starts the program of route's exec service with socket_fd, borrowed until it has ended, as its standard input and
 * output. Programs expect accept(2) to wait: so does the socket from now on. 0; -errno: it was not started. The log
 * has both, and how it ended.
 */
CP_MUST_CHECK int exec_wait_start(struct exec_wait *run, struct loop *loop, struct route *route, int socket_fd);
bool exec_wait_is_running(const struct exec_wait *run);
/* Tells it to end by SIGTERM, and after its kill_timeout by SIGKILL: its whole process group. over() comes as ever. */
void exec_wait_end(struct exec_wait *run);
/* By SIGKILL now. */
void exec_wait_kill(struct exec_wait *run);

#endif
