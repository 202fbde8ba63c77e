/* SPDX-License-Identifier: MIT */
/*
 * log - structured records that never make their writer wait.
 *
 * Each thread writes into a bounded ring of its own; one logger thread takes the records out and sends them to
 * journald (sd_journal_sendv(3)) or to standard error. A full ring drops the record and counts it; the logger
 * reports what was dropped. Before log_start() and after log_stop() records are written at once by the caller.
 *
 * WAKEUP: a writer signals the logger's eventfd only when the logger has announced that it sleeps; the logger
 * announces it, then looks at every ring once more, then sleeps (sequentially consistent on both sides).
 */
#ifndef CP_BASE_LOG_H
#define CP_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/defs.h"

/* The values are those of syslog(3), as journald's PRIORITY= wants them. */
enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_NOTICE = 5,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7,
};

enum log_target { LOG_TARGET_AUTO, LOG_TARGET_JOURNAL, LOG_TARGET_STDERR };

/*
 * What happened, as a number that never changes: the records of one kind share a MESSAGE_ID= in the journal, and the
 * catalog (systemd/connpoold.catalog) explains those that want explaining. One row each in log.c.
 */
enum log_event {
	LOG_EVENT_NONE,               /* no MESSAGE_ID */
	LOG_EVENT_STARTED,
	LOG_EVENT_STOPPING,
	LOG_EVENT_STOPPED,
	LOG_EVENT_LISTENING,
	LOG_EVENT_CONNECTION_CLOSED,
	LOG_EVENT_CONNECTIONS_REFUSED,
	LOG_EVENT_QUEUE_FULL,
	LOG_EVENT_ACCEPT_PAUSED,
	LOG_EVENT_ACCEPT_RESUMED,
	LOG_EVENT_RELOADED,
	LOG_EVENT_RELOAD_FAILED,
	LOG_EVENT_CONFIG_ERROR,
	LOG_EVENT_WORKER_STALLED,
	LOG_EVENT_RECORDS_DROPPED,
	LOG_EVENT_DESCRIPTOR_LIMIT,
	LOG_EVENT_DRAIN_TIMEOUT,
	LOG_EVENT_SERVER_UP,
	LOG_EVENT_SERVER_DOWN,
	LOG_EVENT_SERVER_DRAINING,
	LOG_EVENT_SERVER_MAINTENANCE,
	LOG_EVENT_UPSTREAM_UP,
	LOG_EVENT_UPSTREAM_DOWN,
	LOG_EVENT_CONNECT_FAILED,
	LOG_EVENT_SPAWNER_DIED,
	LOG_EVENT_PROGRAM_ENDED,
	LOG_EVENT_COUNT
};

/* Longest text of one field "NAME=value", NUL included; a longer one is cut. */
#define LOG_FIELD_MAX 1024
/* Most fields of one record, MESSAGE= included. */
#define LOG_RECORD_FIELDS_MAX 32

/* A record being written: on the writer's stack, no allocation. Fields beyond its room are left out. */
struct log_record {
	enum log_level level; /* private: log.c, all of it */
	enum log_event event;
	uint16_t used;
	uint16_t fields;
	char data[2048]; /* "NAME=value\0NAME=value\0", MESSAGE= first */
};

/* May a record of this level be written? A cheap relaxed load: ask before composing one. */
bool log_is_enabled(enum log_level level);

/* ---- one-liners, any thread ------------------------------------------------ */

CP_PRINTF(3, 4) void log_write(enum log_level level, enum log_event event, const char *fmt, ...);
#define log_error(event, ...) log_write(LOG_LEVEL_ERROR, (event), __VA_ARGS__)
#define log_warning(event, ...) log_write(LOG_LEVEL_WARNING, (event), __VA_ARGS__)
#define log_notice(event, ...) log_write(LOG_LEVEL_NOTICE, (event), __VA_ARGS__)
#define log_info(event, ...) log_write(LOG_LEVEL_INFO, (event), __VA_ARGS__)
#define log_debug(event, ...) \
	do { \
		if (log_is_enabled(LOG_LEVEL_DEBUG)) \
			log_write(LOG_LEVEL_DEBUG, (event), __VA_ARGS__); \
	} while (0)

/* ---- with fields of one's own, any thread ------------------------------------ */

/* Starts a record with its MESSAGE=. */
CP_PRINTF(4, 5)
void log_record_init(struct log_record *record, enum log_level level, enum log_event event, const char *fmt, ...);
/* Adds name=value; name is upper case, as journald wants it (systemd.journal-fields(7)). */
CP_PRINTF(3, 4) void log_record_add(struct log_record *record, const char *name, const char *fmt, ...);
/* Hands it to the logger; never blocks, may drop and count. The record may be reused after. */
void log_record_commit(struct log_record *record);

/* ---- life cycle, main thread ------------------------------------------------- */

/*
 * AUTO: the journal when standard error is connected to it, else standard error. May be called again at any time. Until
 * it is called, it is AUTO and LOG_LEVEL_INFO.
 */
void log_configure(enum log_target target, enum log_level level);
/* Starts the logger thread (signals blocked by the caller). 0 or -errno. */
CP_MUST_CHECK int log_start(void);
/*
 * Waits until what is in the rings is written, at most timeout_ms, then joins the thread if it came to an end. If it
 * did not (the journal hangs), it is left behind, and this process logs no more: what comes after counts as dropped.
 * What other threads write while this runs may be lost: let them end first.
 */
void log_stop(unsigned timeout_ms);

/* A thread that logs and ends calls this last, so that its ring is given back once it is empty. */
void log_thread_end(void);

/* Records dropped since the start: a ring was full, or neither the journal nor standard error took them. */
uint64_t log_dropped(void);

#endif
