/* SPDX-License-Identifier: MIT */
/*
 * logsink: the form of a line, batches, and what a standard error that blocks, breaks or is full does to its writer.
 *
 * Each test gives itself a standard error of its own and puts the old one back.
 */
#include "config.h"

#include "base/logsink.h"

#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdutil.h"

/* 2024-02-29 12:34:56.789 UTC */
#define MOMENT_NS 1709210096789000000ull
#define MOMENT "2024-02-29T12:34:56.789Z "

static int old_stderr;
static int reader; /* the other end of standard error */
static struct logsink sink;

static void
replace_stderr(int fd)
{
	fflush(stderr);
	ck_assert_int_ge(dup3(fd, STDERR_FILENO, 0), 0);
}

static void
set_up(void)
{
	int ends[2];

	signal(SIGPIPE, SIG_IGN);
	unsetenv("JOURNAL_STREAM");
	old_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
	ck_assert_int_ge(old_stderr, 0);
	/* Keeps the bounds of what was written at once. */
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	reader = ends[0];
	replace_stderr(ends[1]);
	fd_close(&ends[1]);
	logsink_configure(LOG_TARGET_STDERR);
	logsink_init(&sink, UINT64_MAX);
}

static void
tear_down(void)
{
	replace_stderr(old_stderr);
	fd_close(&old_stderr);
	fd_close(&reader);
}

/* A pipe that holds no more, as standard error. */
static void
set_up_full_pipe(void)
{
	char zeros[4096] = {0};
	int ends[2];

	set_up();
	fd_close(&reader);
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	while (write(ends[1], zeros, sizeof(zeros)) > 0)
		;
	ck_assert_int_eq(fcntl(ends[1], F_SETFL, 0), 0);
	reader = ends[0];
	replace_stderr(ends[1]);
	fd_close(&ends[1]);
}

static void
add_fields(enum log_level level, const char *fields, size_t size)
{
	struct logsink_entry entry = {.level = level, .realtime_ns = MOMENT_NS, .fields = fields, .size = size};

	logsink_add(&sink, &entry);
}

static void
add_message(enum log_level level, const char *message)
{
	char fields[2 * LOG_FIELD_MAX];
	int n = snprintf(fields, sizeof(fields), "MESSAGE=%s", message);

	add_fields(level, fields, (size_t)n + 1);
}

static void
expect_written(const char *expected)
{
	char text[2 * LOGSINK_BATCH];
	ssize_t n = recv(reader, text, sizeof(text) - 1, MSG_DONTWAIT);

	ck_assert_int_gt(n, 0);
	text[n] = '\0';
	ck_assert_str_eq(text, expected);
}

START_TEST(line_has_time_level_and_message)
{
	add_message(LOG_LEVEL_ERROR, "no room");
	logsink_flush(&sink);
	expect_written(MOMENT "error: no room\n");
}
END_TEST

START_TEST(other_fields_are_not_for_people)
{
	static const char fields[] = "MESSAGE=closed\0CLIENT=192.0.2.1";

	add_fields(LOG_LEVEL_INFO, fields, sizeof(fields));
	logsink_flush(&sink);
	expect_written(MOMENT "info: closed\n");
}
END_TEST

START_TEST(control_characters_do_not_begin_a_line)
{
	add_message(LOG_LEVEL_NOTICE, "a\nb\tc\x7f\xc3\xa4");
	logsink_flush(&sink);
	expect_written(MOMENT "notice: a\\x0ab\\x09c\\x7f\xc3\xa4\n");
}
END_TEST

START_TEST(long_message_is_cut_and_ends_its_line)
{
	char message[LOG_FIELD_MAX];
	char text[2 * LOGSINK_BATCH];
	ssize_t n;

	memset(message, '\n', sizeof(message) - 1);
	message[sizeof(message) - 1] = '\0';
	add_message(LOG_LEVEL_DEBUG, message);
	logsink_flush(&sink);
	n = recv(reader, text, sizeof(text), MSG_DONTWAIT);
	ck_assert_int_gt(n, 1024);
	ck_assert_int_le(n, LOGSINK_BATCH / 2);
	ck_assert_ptr_eq(memchr(text, '\n', (size_t)n), text + n - 1);
}
END_TEST

/* As systemd sets it for a service whose standard error it has connected to the journal. */
static void
name_stderr_in_environment(void)
{
	char stream[64];
	struct stat st;

	ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	logsink_configure(LOG_TARGET_STDERR);
}

START_TEST(stream_of_the_journal_gets_priorities)
{
	name_stderr_in_environment();
	add_message(LOG_LEVEL_WARNING, "late");
	logsink_flush(&sink);
	expect_written("<4>late\n");
}
END_TEST

START_TEST(stream_of_somebody_else_gets_lines)
{
	setenv("JOURNAL_STREAM", "1:1", 1);
	logsink_configure(LOG_TARGET_STDERR);
	add_message(LOG_LEVEL_WARNING, "late");
	logsink_flush(&sink);
	expect_written(MOMENT "warning: late\n");
}
END_TEST

START_TEST(batch_is_one_write)
{
	add_message(LOG_LEVEL_INFO, "one");
	add_message(LOG_LEVEL_INFO, "two");
	ck_assert_int_lt(recv(reader, (char[1]){0}, 1, MSG_DONTWAIT), 0);
	logsink_flush(&sink);
	expect_written(MOMENT "info: one\n" MOMENT "info: two\n");
	logsink_flush(&sink);
	ck_assert_int_lt(recv(reader, (char[1]){0}, 1, MSG_DONTWAIT), 0);
}
END_TEST

START_TEST(full_batch_is_written_by_itself)
{
	char text[2 * LOGSINK_BATCH];
	unsigned i;
	ssize_t n;

	for (i = 0; i < 200; i++)
		add_message(LOG_LEVEL_INFO, "a message of a common length");
	logsink_flush(&sink);
	for (i = 0; (n = recv(reader, text, sizeof(text), MSG_DONTWAIT)) > 0; i += (unsigned)n) {
		ck_assert_int_le(n, LOGSINK_BATCH);
		ck_assert_int_eq(text[n - 1], '\n');
	}
	ck_assert_uint_eq(i, 200 * strlen(MOMENT "info: a message of a common length\n"));
	ck_assert_uint_eq(sink.dropped, 0);
}
END_TEST

START_TEST(blocked_stderr_drops_at_the_deadline)
{
	atomic_store(&sink.deadline_ns, clock_now_ns());
	add_message(LOG_LEVEL_INFO, "one");
	add_message(LOG_LEVEL_INFO, "two");
	logsink_flush(&sink);
	ck_assert_uint_eq(sink.dropped, 2);
}
END_TEST

static void *
lower_deadline(void *arg)
{
	(void)arg;
	atomic_store(&sink.deadline_ns, clock_now_ns());
	fd_signal_event(sink.interrupt_fd);
	return NULL;
}

START_TEST(lowered_deadline_ends_a_wait_for_ever)
{
	pthread_t thread;
	int event = fd_new_event();

	ck_assert_int_ge(event, 0);
	sink.interrupt_fd = event;
	add_message(LOG_LEVEL_INFO, "one");
	ck_assert_int_eq(pthread_create(&thread, NULL, lower_deadline, NULL), 0);
	logsink_flush(&sink);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_uint_eq(sink.dropped, 1);
	fd_close(&event);
}
END_TEST

START_TEST(broken_pipe_drops)
{
	fd_close(&reader);
	add_message(LOG_LEVEL_INFO, "one");
	logsink_flush(&sink);
	ck_assert_uint_eq(sink.dropped, 1);
}
END_TEST

START_TEST(full_disk_drops)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	ck_assert_int_ge(full, 0);
	replace_stderr(full);
	fd_close(&full);
	add_message(LOG_LEVEL_INFO, "one");
	add_message(LOG_LEVEL_INFO, "two");
	logsink_flush(&sink);
	ck_assert_uint_eq(sink.dropped, 2);
}
END_TEST

START_TEST(closed_stderr_drops)
{
	close(STDERR_FILENO);
	add_message(LOG_LEVEL_INFO, "one");
	logsink_flush(&sink);
	ck_assert_uint_eq(sink.dropped, 1);
}
END_TEST

START_TEST(records_go_to_stderr_when_there_is_no_journal)
{
	char text[2 * LOGSINK_BATCH];
	ssize_t n;

	/* Where there is one, records must not be sprinkled over it: tests/systemd/ has its own. */
	if (access("/run/systemd/journal/socket", F_OK) == 0)
		return;
	logsink_configure(LOG_TARGET_JOURNAL);
	add_message(LOG_LEVEL_INFO, "one");
	add_message(LOG_LEVEL_INFO, "two");
	logsink_flush(&sink);
	n = recv(reader, text, sizeof(text) - 1, MSG_DONTWAIT);
	ck_assert_int_gt(n, 0);
	text[n] = '\0';
	ck_assert_ptr_nonnull(strstr(text, "warning: cannot write to the journal: "));
	ck_assert_ptr_nonnull(strstr(text, "info: one\n"));
	ck_assert_ptr_nonnull(strstr(text, "info: two\n"));
	/* The reason, once. */
	ck_assert_ptr_null(strstr(strstr(text, "cannot write") + 1, "cannot write"));
}
END_TEST

static void
add_case(Suite *suite, const char *name, void (*start)(void), const TTest *const *tests, size_t count)
{
	TCase *tcase = tcase_create(name);
	size_t i;

	tcase_add_checked_fixture(tcase, start, tear_down);
	for (i = 0; i < count; i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
}

int
main(void)
{
	const TTest *const lines[] = {line_has_time_level_and_message, other_fields_are_not_for_people,
		control_characters_do_not_begin_a_line, long_message_is_cut_and_ends_its_line,
		stream_of_the_journal_gets_priorities, stream_of_somebody_else_gets_lines};
	const TTest *const batches[] = {batch_is_one_write, full_batch_is_written_by_itself};
	const TTest *const blocked[] = {blocked_stderr_drops_at_the_deadline, lowered_deadline_ends_a_wait_for_ever};
	const TTest *const broken[] = {broken_pipe_drops, full_disk_drops, closed_stderr_drops};
	const TTest *const journal[] = {records_go_to_stderr_when_there_is_no_journal};
	Suite *suite = suite_create("base/logsink");
	SRunner *runner = srunner_create(suite);
	int failed;

	add_case(suite, "lines", set_up, lines, CP_COUNT(lines));
	add_case(suite, "batches", set_up, batches, CP_COUNT(batches));
	add_case(suite, "blocked", set_up_full_pipe, blocked, CP_COUNT(blocked));
	add_case(suite, "broken", set_up, broken, CP_COUNT(broken));
	add_case(suite, "journal", set_up, journal, CP_COUNT(journal));
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
