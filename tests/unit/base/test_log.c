/* SPDX-License-Identifier: MIT */
/*
 * log: levels, records and their limits, and that writers never wait: with the logger off, on, stuck and gone.
 *
 * Standard error is a file or a pipe of the test's; the old one is put back.
 */
#include "config.h"

#include "base/log.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "base/logring.h"

static int old_stderr;
static int output; /* a file: what standard error got */

static void
replace_stderr(int fd)
{
	fflush(stderr);
	ck_assert_int_ge(dup3(fd, STDERR_FILENO, 0), 0);
}

static void
set_up(void)
{
	signal(SIGPIPE, SIG_IGN);
	unsetenv("JOURNAL_STREAM");
	old_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
	ck_assert_int_ge(old_stderr, 0);
	output = memfd_create("stderr", MFD_CLOEXEC);
	ck_assert_int_ge(output, 0);
	replace_stderr(output);
	log_configure(LOG_TARGET_STDERR, LOG_LEVEL_INFO);
}

static void
tear_down(void)
{
	replace_stderr(old_stderr);
	fd_close(&old_stderr);
	fd_close(&output);
}

/* Owned text of all output so far. */
static char *
read_output(void)
{
	off_t size = lseek(output, 0, SEEK_END);
	char *text;

	ck_assert_int_ge(size, 0);
	text = malloc((size_t)size + 1);
	ck_assert_ptr_nonnull(text);
	ck_assert_int_eq(pread(output, text, (size_t)size, 0), size);
	text[size] = '\0';
	return text;
}

static unsigned
count_in_output(const char *needle)
{
	char *text = read_output();
	unsigned count = 0;
	const char *at;

	for (at = text; (at = strstr(at, needle)) != NULL; at++)
		count++;
	free(text);
	return count;
}

/* ---- records ------------------------------------------------------------- */

START_TEST(less_important_levels_are_not_written)
{
	log_configure(LOG_TARGET_STDERR, LOG_LEVEL_WARNING);
	ck_assert(log_is_enabled(LOG_LEVEL_ERROR));
	ck_assert(log_is_enabled(LOG_LEVEL_WARNING));
	ck_assert(!log_is_enabled(LOG_LEVEL_NOTICE));
	log_warning(LOG_EVENT_NONE, "seen %d", 1);
	log_notice(LOG_EVENT_NONE, "unseen %d", 2);
	log_debug(LOG_EVENT_NONE, "unseen %d", 3);
	ck_assert_uint_eq(count_in_output(" warning: seen 1\n"), 1);
	ck_assert_uint_eq(count_in_output("\n"), 1);
}
END_TEST

START_TEST(record_keeps_its_fields_in_order)
{
	static const char expected[] = "MESSAGE=closed 7\0CLIENT=192.0.2.1:5\0BYTES_IN=42";
	struct log_record record;

	log_record_init(&record, LOG_LEVEL_INFO, LOG_EVENT_CONNECTION_CLOSED, "closed %d", 7);
	log_record_add(&record, "CLIENT", "%s:%d", "192.0.2.1", 5);
	log_record_add(&record, "BYTES_IN", "%u", 42u);
	ck_assert_uint_eq(record.used, sizeof(expected));
	ck_assert_mem_eq(record.data, expected, sizeof(expected));
}
END_TEST

START_TEST(long_field_is_cut)
{
	struct log_record record;
	char longest[4000];

	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	log_record_init(&record, LOG_LEVEL_INFO, LOG_EVENT_NONE, "%s", longest);
	ck_assert_uint_eq(record.used, LOG_FIELD_MAX);
	ck_assert_uint_eq(strlen(record.data), LOG_FIELD_MAX - 1);
}
END_TEST

START_TEST(field_without_room_is_left_out_whole)
{
	struct log_record record;
	char half[900];
	uint16_t used;

	memset(half, 'x', sizeof(half) - 1);
	half[sizeof(half) - 1] = '\0';
	log_record_init(&record, LOG_LEVEL_INFO, LOG_EVENT_NONE, "%s", half);
	log_record_add(&record, "A", "%s", half);
	used = record.used;
	log_record_add(&record, "B", "%s", half);
	ck_assert_uint_eq(record.used, used);
	log_record_add(&record, "C", "%d", 1);
	ck_assert_str_eq(record.data + used, "C=1");
}
END_TEST

START_TEST(fields_beyond_the_most_are_left_out)
{
	struct log_record record;
	unsigned i;

	log_record_init(&record, LOG_LEVEL_INFO, LOG_EVENT_NONE, "m");
	for (i = 1; i < 2 * LOG_RECORD_FIELDS_MAX; i++)
		log_record_add(&record, "N", "%u", i);
	ck_assert_uint_eq(record.fields, LOG_RECORD_FIELDS_MAX);
}
END_TEST

START_TEST(errno_survives_a_record)
{
	errno = ENOTTY;
	log_info(LOG_EVENT_NONE, "one");
	ck_assert_int_eq(errno, ENOTTY);
}
END_TEST

/* ---- life ---------------------------------------------------------------- */

START_TEST(records_are_written_at_once_while_no_logger_runs)
{
	log_info(LOG_EVENT_NONE, "before");
	ck_assert_uint_eq(count_in_output("info: before\n"), 1);
	ck_assert_int_eq(log_start(), 0);
	log_stop(10000);
	log_info(LOG_EVENT_NONE, "after");
	ck_assert_uint_eq(count_in_output("info: after\n"), 1);
}
END_TEST

START_TEST(stop_writes_all_that_was_logged)
{
	unsigned i;

	ck_assert_int_eq(log_start(), 0);
	for (i = 0; i < 100; i++)
		log_info(LOG_EVENT_NONE, "record %u", i);
	log_stop(10000);
	ck_assert_uint_eq(count_in_output("info: record "), 100);
	ck_assert_uint_eq(log_dropped(), 0);
}
END_TEST

START_TEST(log_can_start_again)
{
	unsigned i;

	for (i = 0; i < 3; i++) {
		ck_assert_int_eq(log_start(), 0);
		log_info(LOG_EVENT_NONE, "round %u", i);
		log_stop(10000);
	}
	ck_assert_uint_eq(count_in_output("info: round "), 3);
}
END_TEST

START_TEST(stop_without_start_does_nothing)
{
	log_stop(10000);
	log_thread_end();
}
END_TEST

/* ---- threads ------------------------------------------------------------- */

#define THREADS 8
#define THREAD_RECORDS 200

static void *
log_many(void *arg)
{
	unsigned thread = *(unsigned *)arg;
	unsigned i;

	for (i = 0; i < THREAD_RECORDS; i++)
		log_info(LOG_EVENT_NONE, "thread %u record %u.", thread, i);
	log_thread_end();
	return NULL;
}

/* Each thread's records, in the order in which it wrote them; of all threads together the order is free. */
static void
check_thread_order(const char *text)
{
	unsigned next[THREADS] = {0};
	unsigned thread, record;
	const char *at;

	for (at = text; (at = strstr(at, "thread ")) != NULL; at++) {
		ck_assert_int_eq(sscanf(at, "thread %u record %u.", &thread, &record), 2);
		ck_assert_uint_lt(thread, THREADS);
		ck_assert_uint_eq(record, next[thread]);
		next[thread]++;
	}
	for (thread = 0; thread < THREADS; thread++)
		ck_assert_uint_eq(next[thread], THREAD_RECORDS);
}

START_TEST(records_of_a_thread_keep_their_order)
{
	pthread_t threads[THREADS];
	unsigned numbers[THREADS];
	unsigned i;
	char *text;

	ck_assert_int_eq(log_start(), 0);
	for (i = 0; i < THREADS; i++) {
		numbers[i] = i;
		ck_assert_int_eq(pthread_create(&threads[i], NULL, log_many, &numbers[i]), 0);
	}
	for (i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	log_stop(10000);
	ck_assert_uint_eq(log_dropped(), 0);
	text = read_output();
	check_thread_order(text);
	free(text);
}
END_TEST

static void *
log_one(void *arg)
{
	(void)arg;
	log_info(LOG_EVENT_NONE, "one");
	log_thread_end();
	return NULL;
}

/* Pages of memory that may be written: not what malloc keeps aside for a thread. */
static unsigned long
mapped_pages(void)
{
	unsigned long pages = 0;
	FILE *statm = fopen("/proc/self/statm", "re");

	ck_assert_ptr_nonnull(statm);
	ck_assert_int_eq(fscanf(statm, "%*u %*u %*u %*u %*u %lu", &pages), 1);
	fclose(statm);
	return pages;
}

START_TEST(rings_of_ended_threads_are_given_back)
{
	unsigned long before;
	pthread_t thread;
	unsigned i;

	ck_assert_int_eq(log_start(), 0);
	before = 0;
	for (i = 0; i <= 500; i++) {
		ck_assert_int_eq(pthread_create(&thread, NULL, log_one, NULL), 0);
		ck_assert_int_eq(pthread_join(thread, NULL), 0);
		/* The stack that the first thread leaves serves the others too. */
		if (i == 0)
			before = mapped_pages();
	}
	log_stop(10000);
	ck_assert_uint_eq(count_in_output("info: one\n"), 501);
	/* 500 rings are more than that at 64 KiB each. A sanitizer maps as it likes. */
	if (getenv("SANITIZERS") == NULL || strcmp(getenv("SANITIZERS"), "no") == 0)
		ck_assert_uint_lt(mapped_pages(), before + 4000);
}
END_TEST

/* ---- overload ------------------------------------------------------------ */

/* More records than a ring takes, whatever is in them. */
#define OVERLOAD (LOGRING_SIZE / 32)

/* A pipe that nobody reads, as standard error; returns its reading end. */
static int
block_stderr(void)
{
	char zeros[4096] = {0};
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	while (write(ends[1], zeros, sizeof(zeros)) > 0)
		;
	ck_assert_int_eq(fcntl(ends[1], F_SETFL, 0), 0);
	replace_stderr(ends[1]);
	fd_close(&ends[1]);
	return ends[0];
}

START_TEST(blocked_stderr_stops_neither_writers_nor_the_stop)
{
	int reader = block_stderr();
	unsigned i;

	ck_assert_int_eq(log_start(), 0);
	for (i = 0; i < 5000; i++)
		log_info(LOG_EVENT_NONE, "record %u", i);
	log_stop(400);
	ck_assert_uint_eq(log_dropped(), 5000);
	fd_close(&reader);
}
END_TEST

START_TEST(sleeping_logger_is_woken_by_a_record)
{
	int ends[2];
	unsigned i;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	replace_stderr(ends[1]);
	fd_close(&ends[1]);
	ck_assert_int_eq(log_start(), 0);
	/* Nothing but the record itself brings the line; between two, the logger falls asleep, or is about to. */
	for (i = 0; i < 20000; i++) {
		char text[256];
		volatile unsigned pause;
		ssize_t n = 0;

		for (pause = i % 1000; pause > 0; pause--)
			;
		log_info(LOG_EVENT_NONE, "record %u", i);
		while (n == 0 || text[n - 1] != '\n') {
			ssize_t got = read(ends[0], text + n, sizeof(text) - (size_t)n);

			ck_assert_int_gt(got, 0);
			n += got;
		}
	}
	log_stop(10000);
	fd_close(&ends[0]);
}
END_TEST

START_TEST(broken_stderr_drops_and_counts)
{
	int reader = block_stderr();
	unsigned i;

	fd_close(&reader);
	ck_assert_int_eq(log_start(), 0);
	for (i = 0; i < 10; i++)
		log_info(LOG_EVENT_NONE, "record %u", i);
	log_stop(10000);
	ck_assert_uint_eq(log_dropped(), 10);
}
END_TEST

/* Copies the pipe to the file until its writers are gone. */
static void *
unblock(void *arg)
{
	int reader = *(int *)arg;
	char text[4096];
	ssize_t n;

	(void)fcntl(reader, F_SETFL, 0);
	while ((n = read(reader, text, sizeof(text))) > 0) {
		char *zeros;

		/* What filled the pipe is nobody's record. */
		for (zeros = text; zeros < text + n && *zeros == '\0'; zeros++)
			;
		if (write(output, zeros, (size_t)(text + n - zeros)) < 0)
			return NULL;
	}
	return arg;
}

START_TEST(what_was_dropped_is_told)
{
	int reader = block_stderr();
	pthread_t thread;
	char expected[128];
	unsigned i;

	ck_assert_int_eq(log_start(), 0);
	for (i = 0; i < OVERLOAD; i++)
		log_info(LOG_EVENT_NONE, "record %u", i);
	ck_assert_uint_gt(log_dropped(), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, unblock, &reader), 0);
	log_stop(10000);
	replace_stderr(output); /* the pipe's last writer goes */
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	snprintf(expected, sizeof(expected), " warning: %llu log records were dropped",
		(unsigned long long)log_dropped());
	ck_assert_uint_eq(count_in_output(expected), 1);
	ck_assert_uint_eq(count_in_output("info: record "), OVERLOAD - log_dropped());
	fd_close(&reader);
}
END_TEST

static void
add_case(Suite *suite, const char *name, const TTest *const *tests, size_t count)
{
	TCase *tcase = tcase_create(name);
	size_t i;

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 60);
	for (i = 0; i < count; i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
}

int
main(void)
{
	const TTest *const records[] = {less_important_levels_are_not_written, record_keeps_its_fields_in_order,
		long_field_is_cut, field_without_room_is_left_out_whole, fields_beyond_the_most_are_left_out,
		errno_survives_a_record};
	const TTest *const life[] = {records_are_written_at_once_while_no_logger_runs, stop_writes_all_that_was_logged,
		log_can_start_again, stop_without_start_does_nothing};
	const TTest *const threads[] = {records_of_a_thread_keep_their_order,
		rings_of_ended_threads_are_given_back, sleeping_logger_is_woken_by_a_record};
	const TTest *const overload[] = {blocked_stderr_stops_neither_writers_nor_the_stop,
		broken_stderr_drops_and_counts, what_was_dropped_is_told};
	Suite *suite = suite_create("base/log");
	SRunner *runner = srunner_create(suite);
	int failed;

	add_case(suite, "records", records, CP_COUNT(records));
	add_case(suite, "life", life, CP_COUNT(life));
	add_case(suite, "threads", threads, CP_COUNT(threads));
	add_case(suite, "overload", overload, CP_COUNT(overload));
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
