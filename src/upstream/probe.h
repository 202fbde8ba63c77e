/* SPDX-License-Identifier: MIT */
/*
 * probe.h - one short connection with a deadline: connects, sends a text, reads until its owner has seen enough,
 * closes. What check.c asks servers and agents with. Private to upstream/.
 *
 *            probe_start             connected              all sent
 *   (idle) --------------> CONNECT ------------> SEND ------------------> READ ----> done(), (idle)
 *                             |  no text: at once  |  nothing to read: done()  |
 *                             +--------------------+---------------------------+--> done(): failed, out of time
 *
 * Main thread's loop only; never blocks. Memory for what is read and the descriptor are held only while it runs.
 */
#ifndef CP_UPSTREAM_PROBE_H
#define CP_UPSTREAM_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/errmsg.h"
#include "engine/loop.h"
#include "engine/timer.h"

struct probe;
struct server_address;

enum probe_end {
	PROBE_OK,      /* all was done; if it reads, is_enough() said so */
	PROBE_ENDED,   /* the other side ended, or read_max bytes were read, before it was enough */
	PROBE_LATE,    /* it was reading when its time was over */
	PROBE_FAILED,  /* a step failed, or its time was over before it could read; err says which, and why */
	PROBE_SKIPPED, /* no descriptor or memory for it here: says nothing about the other side; err says what */
};

/* What has been read so far is in probe->input: is it enough? */
typedef bool probe_is_enough_fn(struct probe *probe);
/*
 * It is over and the descriptor closed; probe->input is there until this returns. May be called from inside
 * probe_start(). It may neither start nor stop the probe.
 */
typedef void probe_done_fn(struct probe *probe, enum probe_end end, const struct errmsg *err);

/* What to do. */
struct probe_task {
	const struct server_address *address; /* used by probe_start() alone */
	const char *send;                     /* NULL: nothing; borrowed while it runs */
	size_t read_max;                      /* 0: nothing is read */
	uint64_t timeout_ms;                  /* of it all */
};

struct probe {
	uint32_t magic; /* private: probe.c, down to the end unless said otherwise */
	struct loop *loop;
	probe_is_enough_fn *is_enough;
	probe_done_fn *done;
	struct watch watch;
	struct timer deadline;
	int fd; /* -1: idle */
	int step;
	const char *unsent;
	uint64_t timeout_ms;
	size_t input_max;
	size_t input_size; /* public to read */
	char *input;       /* public to read */
};

/* is_enough may be NULL for one that never reads. */
void probe_init(struct probe *probe, struct loop *loop, probe_is_enough_fn *is_enough, probe_done_fn *done);
/* Breaks off what runs, without done(). Accepts a zeroed one. */
void probe_fini(struct probe *probe);

/* It must be idle. done() follows, once, unless it is stopped. */
void probe_start(struct probe *probe, const struct probe_task *task);
/* Breaks off, without done(). Does nothing when idle. */
void probe_stop(struct probe *probe);
bool probe_is_running(const struct probe *probe);

#endif
