/* SPDX-License-Identifier: MIT */
/*
 * spawner_line.h - the spawner's ends of the channels; nobody else includes it.
 */
#ifndef CP_PROGRAM_SPAWNER_LINE_H
#define CP_PROGRAM_SPAWNER_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/list.h"

struct spawner_answer;

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
	uint32_t events;   /* that are watched */
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
/*
 * False: it does not take its answers, and gets no more to do until it does. Each request is one answer, and who reads
 * none is not to fill our memory with them; programs that run answer nevertheless.
 */
bool lines_takes_requests(const struct line *line);
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

#endif
