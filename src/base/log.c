/* SPDX-License-Identifier: MIT */
/*
 * log - composes records, hands them to the logger's thread through a ring a thread, and runs that thread.
 *
 * log_write() and the log_record functions run on any thread: they copy and never block, allocate (but for the ring
 * at a thread's first record) or wait. While the logger does not run (before log_start(), after log_stop()) the caller
 * writes by itself. The rest is the main thread's.
 *
 * LIFE OF A RING: made by its thread's first record and pushed to the list under the list's lock; emptied, and once
 * closed and empty taken off the list and freed, by the reader alone: the logger while it runs, else the main thread
 * in log_stop(). So the reader walks the list without holding the lock while it writes.
 */
#include "config.h"

#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/errmsg.h"
#include "base/fdutil.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/logring.h"
#include "base/logsink.h"

/* sd_journal_sendv(3) and a batch of text; the default of 8 MiB would be mapped for nothing. */
#define LOGGER_STACK (256u * 1024u)
/* How long a thread that writes by itself after the logger's end waits for standard error. */
#define DIRECT_WAIT_NS CLOCK_NS_PER_S
#define REPORT_INTERVAL_NS CLOCK_NS_PER_S

/* Random, made by systemd-id128(1); never changed, never used again. systemd/connpoold.catalog has the same. */
static const char *const event_ids[LOG_EVENT_COUNT] = {
	[LOG_EVENT_STARTED] = "MESSAGE_ID=8360adb0eaca44299933f9b3a7bbbb0d",
	[LOG_EVENT_STOPPING] = "MESSAGE_ID=06d25ab5a22344b395e32d951941151d",
	[LOG_EVENT_STOPPED] = "MESSAGE_ID=129b47b8e6d24f8ebbdeaa44038b2dd2",
	[LOG_EVENT_LISTENING] = "MESSAGE_ID=45d9cee9322a46b89d89702fedeed7b2",
	[LOG_EVENT_CONNECTION_CLOSED] = "MESSAGE_ID=16f915404e584fd1bc7ac49082e1e21b",
	[LOG_EVENT_CONNECTIONS_REFUSED] = "MESSAGE_ID=fad3af0675f34ae4ad560fac675135d8",
	[LOG_EVENT_QUEUE_FULL] = "MESSAGE_ID=4acc3768261b4ee9a592bdb1b83fb532",
	[LOG_EVENT_ACCEPT_PAUSED] = "MESSAGE_ID=bbf3b38fb7ab4d208d76c33de4a6c34f",
	[LOG_EVENT_ACCEPT_RESUMED] = "MESSAGE_ID=9d325e8675204db1b5ddb0c49ac99746",
	[LOG_EVENT_RELOADED] = "MESSAGE_ID=d1b0359f163142d8af532c7cacf30ad8",
	[LOG_EVENT_RELOAD_FAILED] = "MESSAGE_ID=f6869e4bead44856b5d5f4923ee08bac",
	[LOG_EVENT_CONFIG_ERROR] = "MESSAGE_ID=3277545c85e644bc9d4d90402ea6188b",
	[LOG_EVENT_WORKER_STALLED] = "MESSAGE_ID=84271bd7e9bc4fafb2d6a126f79e424c",
	[LOG_EVENT_RECORDS_DROPPED] = "MESSAGE_ID=6c4959f5e2514a6f84abb8ca3ce89bb0",
	[LOG_EVENT_DESCRIPTOR_LIMIT] = "MESSAGE_ID=454fe402ac73497385a027804586a535",
	[LOG_EVENT_DRAIN_TIMEOUT] = "MESSAGE_ID=abe76df09372440a8999a8cf4c4d3233",
	[LOG_EVENT_SERVER_UP] = "MESSAGE_ID=60bf5f5801004114a0dbf694bdd9dacf",
	[LOG_EVENT_SERVER_DOWN] = "MESSAGE_ID=6415ac531d35429c98866a5bf511060d",
	[LOG_EVENT_SERVER_DRAINING] = "MESSAGE_ID=26f256e0b244430699330e26ee1fa123",
	[LOG_EVENT_SERVER_MAINTENANCE] = "MESSAGE_ID=d1d5877101e142d98f99b1e1e3761f3e",
	[LOG_EVENT_UPSTREAM_UP] = "MESSAGE_ID=93be6d59328743c993487524bea9531e",
	[LOG_EVENT_UPSTREAM_DOWN] = "MESSAGE_ID=b688ab623d184e7893a15c9ab69bfb00",
	[LOG_EVENT_CONNECT_FAILED] = "MESSAGE_ID=8605a43b9fa24d2b954c8faf495a50c3",
	[LOG_EVENT_SPAWNER_DIED] = "MESSAGE_ID=818e7e64c60a4b3e876dd1336194f499",
	[LOG_EVENT_PROGRAM_ENDED] = "MESSAGE_ID=65ec3587540745ec86833b48dd1771c0",
};

enum log_state {
	LOG_DIRECT,  /* no logger: who logs, writes */
	LOG_RUNNING, /* records go to rings */
	LOG_DEAD,    /* the logger hangs and was left behind: records are dropped */
};

/* What stands before a record's fields in a ring. */
struct ring_head {
	uint64_t realtime_ns;
	uint32_t level;
	uint32_t event;
};

static struct {
	_Atomic bool configured;  /* relaxed: the main thread is alone when it matters */
	_Atomic int level;        /* relaxed: a record more or less while it changes does no harm */
	_Atomic int state;        /* enum log_state; released by the main thread, acquired by writers */
	_Atomic uint64_t dropped; /* relaxed: a counter */
	/* WAKEUP in log.h: sequentially consistent, with every ring's head and closed. */
	_Atomic bool sleeping;

	pthread_once_t once;
	struct cp_lock lock; /* rank LOCK_LOG; guards the list */
	struct list rings;

	pthread_t thread; /* main thread's, from here on */
	int wake_fd;      /* also the writers', while RUNNING */
	int stop_fd;      /* readable from log_stop() on */
	int done_fd;      /* readable when the logger has ended */
	_Atomic bool was_started;
	struct logsink sink; /* the reader's */
	uint64_t reported;   /* reader's: of dropped, how many were told */
	uint64_t seen;       /* reader's: of dropped, at the last attempt to tell */
	uint64_t report_ns;  /* reader's: when to tell next, at the earliest */
} logger = {.level = LOG_LEVEL_INFO, .once = PTHREAD_ONCE_INIT, .wake_fd = -1, .stop_fd = -1, .done_fd = -1};

/* Fibers stay on their thread, so this holds across their switches. */
static _Thread_local struct logring *own_ring;

static void
init_once(void)
{
	lock_init(&logger.lock, LOCK_LOG);
	list_init(&logger.rings);
}

static uint64_t
realtime_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * CLOCK_NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void
count_dropped(uint64_t count)
{
	atomic_fetch_add_explicit(&logger.dropped, count, memory_order_relaxed);
}

uint64_t
log_dropped(void)
{
	return atomic_load_explicit(&logger.dropped, memory_order_relaxed);
}

bool
log_is_enabled(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&logger.level, memory_order_relaxed);
}

/* ---- a record ------------------------------------------------------------ */

CP_PRINTF(3, 0) static void
add_field(struct log_record *record, const char *name, const char *fmt, va_list args)
{
	size_t room = sizeof(record->data) - record->used;
	char *field = record->data + record->used;
	size_t name_size = strlen(name);
	size_t size;
	int n;

	if (room > LOG_FIELD_MAX)
		room = LOG_FIELD_MAX;
	if (record->fields == LOG_RECORD_FIELDS_MAX || name_size + sizeof("=") > room)
		return;
	memcpy(field, name, name_size);
	field[name_size] = '=';
	size = name_size + 1;
	n = vsnprintf(field + size, room - size, fmt, args);
	if (n < 0)
		n = 0;
	if ((size_t)n >= room - size) {
		/* Cut at the field's limit it is still of use; half a number at the record's end would mislead. */
		if (room < LOG_FIELD_MAX)
			return;
		n = (int)(room - size - 1);
	}
	record->used = (uint16_t)(record->used + size + (size_t)n + 1);
	record->fields++;
}

CP_PRINTF(4, 0) static void
init_record(struct log_record *record, enum log_level level, enum log_event event, const char *fmt, va_list args)
{
	CP_ASSERT((unsigned)event < LOG_EVENT_COUNT);
	record->level = level;
	record->event = event;
	record->used = 0;
	record->fields = 0;
	add_field(record, "MESSAGE", fmt, args);
}

void
log_record_init(struct log_record *record, enum log_level level, enum log_event event, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	init_record(record, level, event, fmt, args);
	va_end(args);
}

void
log_record_add(struct log_record *record, const char *name, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	add_field(record, name, fmt, args);
	va_end(args);
}

void
log_write(enum log_level level, enum log_event event, const char *fmt, ...)
{
	struct log_record record;
	va_list args;

	if (!log_is_enabled(level))
		return;
	va_start(args, fmt);
	init_record(&record, level, event, fmt, args);
	va_end(args);
	log_record_commit(&record);
}

/* ---- writers ------------------------------------------------------------- */

/* The writer's half of WAKEUP: after its store to head (or closed), so one of both sides sees the other's. */
static void
wake_logger(void)
{
	if (atomic_load_explicit(&logger.sleeping, memory_order_seq_cst) &&
		atomic_exchange_explicit(&logger.sleeping, false, memory_order_seq_cst))
		fd_signal_event(logger.wake_fd);
}

/* This thread's ring, made at its first use; NULL: out of memory. */
static struct logring *
get_ring(void)
{
	if (own_ring != NULL)
		return own_ring;
	own_ring = logring_new();
	if (own_ring == NULL)
		return NULL;
	lock_acquire(&logger.lock);
	list_push_back(&logger.rings, &own_ring->link);
	lock_release(&logger.lock);
	return own_ring;
}

static void
push_record(const struct log_record *record)
{
	struct ring_head head = {
		.realtime_ns = realtime_now_ns(), .level = (uint32_t)record->level, .event = (uint32_t)record->event};
	struct logring *ring = get_ring();

	if (ring == NULL || !logring_push(ring, &head, sizeof(head), record->data, record->used))
		count_dropped(1);
	wake_logger();
}

static void
write_directly(const struct log_record *record)
{
	struct logsink_entry entry = {.level = record->level, .message_id = event_ids[record->event],
		.realtime_ns = realtime_now_ns(), .fields = record->data, .size = record->used};
	struct logsink sink;

	/* An error in the configuration has to find the journal before the configuration can say so. */
	if (!atomic_exchange_explicit(&logger.configured, true, memory_order_relaxed))
		logsink_configure(LOG_TARGET_AUTO);
	/* Before the start, standard error is a person's or a pipe of his, and he gets every word. */
	logsink_init(&sink, UINT64_MAX);
	if (atomic_load_explicit(&logger.was_started, memory_order_relaxed))
		atomic_store_explicit(&sink.deadline_ns, clock_now_ns() + DIRECT_WAIT_NS, memory_order_relaxed);
	logsink_add(&sink, &entry);
	logsink_flush(&sink);
	if (sink.dropped != 0)
		count_dropped(sink.dropped);
}

void
log_record_commit(struct log_record *record)
{
	int saved_errno = errno;

	if (!log_is_enabled(record->level))
		return;
	switch ((enum log_state)atomic_load_explicit(&logger.state, memory_order_acquire)) {
	case LOG_DIRECT:
		write_directly(record);
		break;
	case LOG_RUNNING:
		push_record(record);
		break;
	case LOG_DEAD:
		count_dropped(1);
		break;
	}
	errno = saved_errno;
}

void
log_thread_end(void)
{
	struct logring *ring = own_ring;

	if (ring == NULL)
		return;
	own_ring = NULL;
	logring_close(ring);
	/* From here on the ring may be gone. */
	if (atomic_load_explicit(&logger.state, memory_order_acquire) == LOG_RUNNING)
		wake_logger();
}

/* ---- the reader: the logger's thread, or main when that has ended ----------- */

/* The ring after this one; NULL: the first. Only the reader takes rings off the list, so link stays valid. */
static struct logring *
next_ring(struct logring *ring)
{
	struct list *link;

	lock_acquire(&logger.lock);
	link = ring == NULL ? logger.rings.next : ring->link.next;
	lock_release(&logger.lock);
	return link == &logger.rings ? NULL : CP_CONTAINER_OF(link, struct logring, link);
}

static void
release_ring(struct logring *ring)
{
	lock_acquire(&logger.lock);
	list_remove(&ring->link);
	lock_release(&logger.lock);
	logring_free(&ring);
}

static bool
drain_ring(struct logring *ring)
{
	bool some = false;
	size_t size;
	const void *data;

	while ((data = logring_peek(ring, &size)) != NULL) {
		struct logsink_entry entry;
		struct ring_head head;

		memcpy(&head, data, sizeof(head));
		entry = (struct logsink_entry){.level = (enum log_level)head.level, .message_id = event_ids[head.event],
			.realtime_ns = head.realtime_ns, .fields = (const char *)data + sizeof(head),
			.size = size - sizeof(head)};
		logsink_add(&logger.sink, &entry);
		logring_pop(ring);
		some = true;
	}
	return some;
}

/* Writes all that is there. false: there was nothing. */
static bool
drain_rings(void)
{
	struct logring *ring, *following;
	bool some = false;

	for (ring = next_ring(NULL); ring != NULL; ring = following) {
		bool closed = logring_is_closed(ring); /* asked first: then empty means for ever */

		some |= drain_ring(ring);
		following = next_ring(ring);
		if (closed)
			release_ring(ring);
	}
	logsink_flush(&logger.sink);
	if (logger.sink.dropped != 0)
		count_dropped(logger.sink.dropped);
	logger.sink.dropped = 0;
	return some;
}

/* Tells how many records were lost; a report that is lost itself is not counted, or it would never end. */
static void
report_dropped(uint64_t now)
{
	uint64_t dropped = log_dropped();
	unsigned long long count = dropped - logger.reported;
	struct log_record record;
	struct logsink_entry entry;

	logger.seen = dropped;
	logger.report_ns = now + REPORT_INTERVAL_NS;
	if (!log_is_enabled(LOG_LEVEL_WARNING))
		return;
	log_record_init(&record, LOG_LEVEL_WARNING, LOG_EVENT_RECORDS_DROPPED,
		"%llu log records were dropped: the log could not keep up", count);
	log_record_add(&record, "DROPPED", "%llu", count);
	entry = (struct logsink_entry){.level = record.level, .message_id = event_ids[record.event],
		.realtime_ns = realtime_now_ns(), .fields = record.data, .size = record.used};
	logsink_add(&logger.sink, &entry);
	logsink_flush(&logger.sink);
	if (logger.sink.dropped == 0)
		logger.reported = dropped;
	logger.sink.dropped = 0;
}

/* The logger's half of WAKEUP: announce, look once more, sleep. */
static void
sleep_until_woken(void)
{
	struct pollfd fds[2] = {{.fd = logger.wake_fd, .events = POLLIN}, {.fd = logger.stop_fd, .events = POLLIN}};
	int timeout = -1;
	uint64_t count;

	atomic_store_explicit(&logger.sleeping, true, memory_order_seq_cst);
	if (!drain_rings()) {
		if (log_dropped() != logger.seen) {
			uint64_t now = clock_now_ns();

			timeout = logger.report_ns > now ? (int)((logger.report_ns - now) / CLOCK_NS_PER_MS + 1) : 0;
		}
		(void)poll(fds, CP_COUNT(fds), timeout);
	}
	/* Who finds it false leaves the eventfd alone; one who was faster wakes the next sleep for nothing. */
	atomic_store_explicit(&logger.sleeping, false, memory_order_seq_cst);
	if (read(logger.wake_fd, &count, sizeof(count)) < 0)
		CP_ASSERT(errno == EAGAIN || errno == EINTR);
}

static bool
is_stopping(void)
{
	return atomic_load_explicit(&logger.sink.deadline_ns, memory_order_acquire) != UINT64_MAX;
}

static void *
logger_main(void *arg)
{
	sigset_t all;

	(void)arg;
	/* A broken pipe is an error like any other here, whatever the process does about SIGPIPE. */
	sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, NULL);
	(void)pthread_setname_np(pthread_self(), "cp-log");
	for (;;) {
		/* Asked first, so that what was written before log_stop() is written. */
		bool stopping = is_stopping();
		bool some = drain_rings();
		uint64_t now = clock_now_ns();

		if (log_dropped() != logger.seen && (stopping || now >= logger.report_ns))
			report_dropped(now);
		if (stopping && (!some || now >= atomic_load_explicit(&logger.sink.deadline_ns, memory_order_relaxed)))
			break;
		if (!some && !stopping)
			sleep_until_woken();
	}
	fd_signal_event(logger.done_fd);
	return NULL;
}

/* ---- life cycle ---------------------------------------------------------- */

void
log_configure(enum log_target target, enum log_level level)
{
	atomic_store_explicit(&logger.configured, true, memory_order_relaxed);
	logsink_configure(target);
	atomic_store_explicit(&logger.level, (int)level, memory_order_relaxed);
}

static int
open_events(void)
{
	int *fds[] = {&logger.wake_fd, &logger.stop_fd, &logger.done_fd};
	size_t i;

	for (i = 0; i < CP_COUNT(fds); i++) {
		*fds[i] = fd_new_event();
		if (*fds[i] < 0)
			return *fds[i];
	}
	return 0;
}

static void
close_events(void)
{
	fd_close(&logger.wake_fd);
	fd_close(&logger.stop_fd);
	fd_close(&logger.done_fd);
}

int
log_start(void)
{
	pthread_attr_t attr;
	int rc;

	CP_ASSERT(atomic_load_explicit(&logger.state, memory_order_relaxed) != LOG_RUNNING);
	if (atomic_load_explicit(&logger.state, memory_order_relaxed) == LOG_DEAD)
		return -EBUSY;
	CP_PTHREAD(pthread_once(&logger.once, init_once));
	rc = open_events();
	if (rc < 0) {
		close_events();
		return rc;
	}
	logsink_init(&logger.sink, UINT64_MAX);
	logger.sink.interrupt_fd = logger.stop_fd;
	atomic_store_explicit(&logger.sleeping, false, memory_order_relaxed);
	CP_PTHREAD(pthread_attr_init(&attr));
	CP_PTHREAD(pthread_attr_setstacksize(&attr, LOGGER_STACK));
	rc = pthread_create(&logger.thread, &attr, logger_main, NULL);
	CP_PTHREAD(pthread_attr_destroy(&attr));
	if (rc != 0) {
		close_events();
		return -rc;
	}
	atomic_store_explicit(&logger.was_started, true, memory_order_relaxed);
	atomic_store_explicit(&logger.state, LOG_RUNNING, memory_order_release);
	return 0;
}

/* false: not within timeout_ms. */
static bool
wait_for_logger(unsigned timeout_ms)
{
	struct pollfd fd = {.fd = logger.done_fd, .events = POLLIN};
	uint64_t deadline = clock_now_ns() + timeout_ms * CLOCK_NS_PER_MS;

	for (;;) {
		uint64_t now = clock_now_ns();
		int n = poll(&fd, 1, deadline > now ? (int)((deadline - now) / CLOCK_NS_PER_MS + 1) : 0);

		if (n > 0)
			return true;
		if (n == 0 || errno != EINTR)
			return false;
	}
}

void
log_stop(unsigned timeout_ms)
{
	if (atomic_load_explicit(&logger.state, memory_order_relaxed) != LOG_RUNNING)
		return;
	/* A quarter is for giving up in order: what standard error did not take by then is dropped and counted. */
	atomic_store_explicit(&logger.sink.deadline_ns,
		clock_now_ns() + timeout_ms * CLOCK_NS_PER_MS / 4 * 3, memory_order_release);
	fd_signal_event(logger.stop_fd);
	if (!wait_for_logger(timeout_ms)) {
		/* It holds the sink and the rings: they are left to it, and so are the descriptors. */
		atomic_store_explicit(&logger.state, LOG_DEAD, memory_order_release);
		(void)pthread_detach(logger.thread);
		return;
	}
	CP_PTHREAD(pthread_join(logger.thread, NULL));
	atomic_store_explicit(&logger.state, LOG_DIRECT, memory_order_release);
	log_thread_end();
	(void)drain_rings();
	close_events();
}
