/* SPDX-License-Identifier: MIT */
/*
 * logsink - turns records into journal entries (fields as they are) or into lines of text on standard error.
 *
 * Runs on the logger's thread and, while that does not run, on any. It never gives up on the journal for good: a
 * record that the journal does not take goes to standard error, and the first of such an episode says so.
 * It must not log and must not wait beyond the sink's deadline.
 */
#include "config.h"

#include "base/logsink.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/errmsg.h"
#include "base/systemd.h"

/* What log.c lets a record have, and PRIORITY=, SYSLOG_IDENTIFIER= and MESSAGE_ID=. */
#define FIELDS_MAX (LOG_RECORD_FIELDS_MAX + 3u)
/* The longest line; a longer one is cut. Two fit into a batch. */
#define LINE_MAX_SIZE (LOGSINK_BATCH / 2)
/* A descriptor that polls writable and yet refuses is broken: so many times in a row. */
#define REFUSALS_MAX 3u

/* A longer wait is made of several. */
#define POLL_MAX_MS 60000

#define IDENTIFIER "SYSLOG_IDENTIFIER=" PACKAGE_NAME

static struct {
	_Atomic bool to_journal;
	_Atomic bool stderr_is_journal;
	_Atomic bool journal_failed; /* an episode: its begin has been told */
} sink_global;

void
logsink_configure(enum log_target target)
{
	bool stderr_is_journal = systemd_stderr_is_journal();
	bool journal = target == LOG_TARGET_JOURNAL || (target == LOG_TARGET_AUTO && stderr_is_journal);

	/* Loaded here and not at the first record: by then the process may have given up what it needs for that. */
	if (journal && !systemd_journal_load())
		journal = target == LOG_TARGET_JOURNAL;
	atomic_store_explicit(&sink_global.stderr_is_journal, stderr_is_journal, memory_order_relaxed);
	atomic_store_explicit(&sink_global.journal_failed, false, memory_order_relaxed);
	atomic_store_explicit(&sink_global.to_journal, journal, memory_order_relaxed);
}

void
logsink_init(struct logsink *sink, uint64_t deadline_ns)
{
	atomic_init(&sink->deadline_ns, deadline_ns);
	sink->interrupt_fd = -1;
	sink->dropped = 0;
	sink->pending = 0;
	sink->used = 0;
}

/* ---- standard error ------------------------------------------------------ */

/* Waits until standard error takes a batch. false: not before the deadline. */
static bool
wait_for_stderr(struct logsink *sink)
{
	for (;;) {
		uint64_t deadline = atomic_load_explicit(&sink->deadline_ns, memory_order_acquire);
		struct pollfd fds[2] = {{.fd = STDERR_FILENO, .events = POLLOUT}, {.fd = -1, .events = POLLIN}};
		int timeout = -1;
		int n;

		if (deadline == UINT64_MAX) {
			fds[1].fd = sink->interrupt_fd;
		} else {
			uint64_t now = clock_now_ns();
			uint64_t left = deadline > now ? deadline - now : 0;

			timeout = POLL_MAX_MS;
			if (left / CLOCK_NS_PER_MS < POLL_MAX_MS)
				timeout = (int)((left + CLOCK_NS_PER_MS - 1) / CLOCK_NS_PER_MS);
		}
		n = poll(fds, CP_COUNT(fds), timeout);
		if (n < 0 && errno != EINTR)
			return false;
		/* An error or a hang-up is reported by the write that follows. */
		if (n > 0 && fds[0].revents != 0)
			return true;
		if (n == 0 && timeout != POLL_MAX_MS)
			return false;
	}
}

/* Writes all of it or gives up. */
static bool
write_stderr(struct logsink *sink, const char *text, size_t size)
{
	unsigned refusals = 0;

	while (size > 0) {
		ssize_t n;

		if (!wait_for_stderr(sink))
			return false;
		n = write(STDERR_FILENO, text, size);
		if (n > 0) {
			text += n;
			size -= (size_t)n;
			refusals = 0;
		} else if (n == 0 || (errno != EINTR && errno != EAGAIN) || ++refusals > REFUSALS_MAX) {
			return false;
		}
	}
	return true;
}

void
logsink_flush(struct logsink *sink)
{
	if (sink->used == 0)
		return;
	if (!write_stderr(sink, sink->text, sink->used))
		sink->dropped += sink->pending;
	sink->used = 0;
	sink->pending = 0;
}

static const char *
level_word(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR:
		return "error";
	case LOG_LEVEL_WARNING:
		return "warning";
	case LOG_LEVEL_NOTICE:
		return "notice";
	case LOG_LEVEL_INFO:
		return "info";
	case LOG_LEVEL_DEBUG:
		return "debug";
	}
	return "notice";
}

/* "<6>" where journald reads the stream and knows the time, else "2024-02-29T12:00:00.123Z info: ". */
static size_t
format_prefix(char *line, size_t size, const struct logsink_entry *entry)
{
	time_t seconds = (time_t)(entry->realtime_ns / CLOCK_NS_PER_S);
	unsigned ms = (unsigned)(entry->realtime_ns % CLOCK_NS_PER_S / CLOCK_NS_PER_MS);
	struct tm tm;
	size_t used;

	if (atomic_load_explicit(&sink_global.stderr_is_journal, memory_order_relaxed))
		return (size_t)snprintf(line, size, "<%d>", (int)entry->level);
	gmtime_r(&seconds, &tm);
	used = strftime(line, size, "%Y-%m-%dT%H:%M:%S", &tm);
	return used + (size_t)snprintf(line + used, size - used, ".%03uZ %s: ", ms, level_word(entry->level));
}

/* The message comes in part from files and clients: a control character in it must not begin a line of its own. */
static size_t
format_line(char line[LINE_MAX_SIZE], const struct logsink_entry *entry)
{
	static const char hex[] = "0123456789abcdef";
	const char *message = entry->fields + strlen("MESSAGE=");
	size_t used = format_prefix(line, LINE_MAX_SIZE, entry);

	for (; *message != '\0' && used + strlen("\\x00\n") <= LINE_MAX_SIZE; message++) {
		unsigned char c = (unsigned char)*message;

		if (c >= 0x20 && c != 0x7f) {
			line[used++] = (char)c;
			continue;
		}
		line[used++] = '\\';
		line[used++] = 'x';
		line[used++] = hex[c >> 4];
		line[used++] = hex[c & 15];
	}
	line[used++] = '\n';
	return used;
}

static void
add_line(struct logsink *sink, const struct logsink_entry *entry)
{
	char line[LINE_MAX_SIZE];
	size_t size = format_line(line, entry);

	if (sink->used + size > sizeof(sink->text))
		logsink_flush(sink);
	memcpy(sink->text + sink->used, line, size);
	sink->used += size;
	sink->pending++;
}

/* ---- the journal --------------------------------------------------------- */

/* iovecs are not const; sendmsg(2) only reads them. */
static void
add_field(struct iovec *iov, size_t *count, const char *field, size_t size)
{
	iov[*count].iov_base = (void *)(uintptr_t)field;
	iov[*count].iov_len = size;
	++*count;
}

/* 0 or -errno. */
static int
send_to_journal(const struct logsink_entry *entry)
{
	const char *end = entry->fields + entry->size;
	const char *field;
	struct iovec iov[FIELDS_MAX];
	char priority[] = "PRIORITY=0";
	size_t count = 0;

	priority[sizeof(priority) - 2] = (char)('0' + (int)entry->level);
	for (field = entry->fields; field < end && count < FIELDS_MAX - 3; field += strlen(field) + 1)
		add_field(iov, &count, field, strlen(field));
	add_field(iov, &count, priority, sizeof(priority) - 1);
	add_field(iov, &count, IDENTIFIER, sizeof(IDENTIFIER) - 1);
	if (entry->message_id != NULL)
		add_field(iov, &count, entry->message_id, strlen(entry->message_id));
	return systemd_journal_sendv(iov, (int)count);
}

/* Once an episode: why records turn up on standard error. */
static void
tell_journal_failed(struct logsink *sink, const struct logsink_entry *entry, int error)
{
	char fields[LOG_FIELD_MAX];
	struct logsink_entry notice = {
		.level = LOG_LEVEL_WARNING, .realtime_ns = entry->realtime_ns, .fields = fields};

	if (atomic_exchange_explicit(&sink_global.journal_failed, true, memory_order_relaxed))
		return;
	snprintf(fields, sizeof(fields), "MESSAGE=cannot write to the journal: %s; using standard error",
		errmsg_errno(error));
	add_line(sink, &notice);
}

void
logsink_add(struct logsink *sink, const struct logsink_entry *entry)
{
	int rc;

	if (atomic_load_explicit(&sink_global.to_journal, memory_order_relaxed)) {
		rc = send_to_journal(entry);
		if (rc == 0) {
			atomic_store_explicit(&sink_global.journal_failed, false, memory_order_relaxed);
			return;
		}
		tell_journal_failed(sink, entry, -rc);
	}
	add_line(sink, entry);
}
