/* SPDX-License-Identifier: MIT */
/*
 * logsink - where log records end: the journal, or lines on standard error.
 *
 * A sink is a batch owned by one thread: the logger's, or one on the stack of a thread that writes a record at once.
 * Waiting for standard error is bounded by the sink's deadline, so a reader that stopped reading can delay but never
 * keep its writer.
 */
#ifndef CP_BASE_LOGSINK_H
#define CP_BASE_LOGSINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/log.h"

/* One write(2): what a pipe that polls writable takes without blocking. */
#define LOGSINK_BATCH 4096u

/* A record as the sink wants it. */
struct logsink_entry {
	enum log_level level;
	const char *message_id; /* "MESSAGE_ID=…" or NULL */
	uint64_t realtime_ns;   /* when it was written */
	const char *fields;     /* "NAME=value\0NAME=value\0", MESSAGE= first */
	size_t size;
};

struct logsink {
	/* When waiting for standard error ends: the monotonic clock, UINT64_MAX for never. May be lowered by others. */
	_Atomic uint64_t deadline_ns;
	int interrupt_fd; /* borrowed; readable once deadline_ns has been lowered; -1: none */
	uint64_t dropped; /* records that could not be written */

	unsigned pending; /* private: logsink.c; records in text */
	size_t used;      /* private: logsink.c */
	char text[LOGSINK_BATCH];
};

/* Chooses where records go from now on, for all sinks. Main thread. */
void logsink_configure(enum log_target target);

void logsink_init(struct logsink *sink, uint64_t deadline_ns);
/* Sends it to the journal, or adds it to the batch and writes that when it is full. */
void logsink_add(struct logsink *sink, const struct logsink_entry *entry);
/* Writes what is in the batch. */
void logsink_flush(struct logsink *sink);

#endif
