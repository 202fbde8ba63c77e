/* SPDX-License-Identifier: MIT */
/*
 * test_probe - one short connection: each way it can end, and being broken off at each step.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../net/netfixture.h"
#include "base/defs.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "checkrig.h"
#include "upstream/probe.h"

#define TIMEOUT_MS 1000
#define READ_MAX 64
#define LONG_SIZE (8u << 20)

static struct probe probe;
static struct server_address address;
static int listening;

static unsigned ends;
static enum probe_end end;
static char said[1024];          /* why it ended */
static char heard[READ_MAX + 1]; /* what it had read by then */

/* Its own end is the address that it goes to. */
static bool connects_to_itself;
int __real_connect(int fd, const struct sockaddr *sa, socklen_t length);
int __wrap_connect(int fd, const struct sockaddr *sa, socklen_t length);

int
__wrap_connect(int fd, const struct sockaddr *sa, socklen_t length)
{
	if (connects_to_itself)
		ck_assert_int_eq(bind(fd, sa, length), 0);
	return __real_connect(fd, sa, length);
}

static bool
is_enough(struct probe *self)
{
	ck_assert_ptr_eq(self, &probe);
	return memmem(self->input, self->input_size, "OK", 2) != NULL;
}

static void
on_done(struct probe *self, enum probe_end how, const struct errmsg *err)
{
	ck_assert_ptr_eq(self, &probe);
	ck_assert(!probe_is_running(self));
	ends++;
	end = how;
	snprintf(said, sizeof(said), "%s", err->text);
	ck_assert_uint_le(self->input_size, READ_MAX);
	if (self->input_size > 0)
		memcpy(heard, self->input, self->input_size);
	heard[self->input_size] = '\0';
}

static void
set_up_probe(void)
{
	ends = 0;
	connects_to_itself = false;
	listening = rig_listen(&address);
	probe_init(&probe, &rig.loop, is_enough, on_done);
}

static void
tear_down_probe(void)
{
	ck_assert(!probe_is_running(&probe));
	ck_assert_ptr_null(probe.input);
	probe_fini(&probe);
	fd_close(&listening);
}

static void
start(const char *text, size_t read_max)
{
	loop_update_now(&rig.loop);
	probe_start(&probe, &(struct probe_task){
				    .address = &address, .send = text, .read_max = read_max, .timeout_ms = TIMEOUT_MS});
}

static bool
has_ended(void *arg)
{
	(void)arg;
	return ends > 0;
}

static void
expect_end(enum probe_end how)
{
	fixture_turn_until(&rig.loop, has_ended, NULL);
	ck_assert_uint_eq(ends, 1);
	ck_assert_int_eq(end, how);
}

/* ---- connecting ------------------------------------------------------------------------ */

START_TEST(connects_and_closes_politely)
{
	int peer;

	start(NULL, 0);
	expect_end(PROBE_OK);
	peer = rig_accept(listening);
	rig_expect_closed(&peer);
}
END_TEST

START_TEST(connects_to_a_unix_socket)
{
	int peer;

	fd_close(&listening);
	listening = rig_listen_unix(&address);
	start("hi", 0);
	expect_end(PROBE_OK);
	peer = rig_accept(listening);
	rig_expect_heard(peer, "hi");
	rig_expect_closed(&peer);
}
END_TEST

START_TEST(a_refusal_is_told_with_step_and_cause)
{
	rig_find_closed(&address);
	start(NULL, READ_MAX);
	expect_end(PROBE_FAILED);
	ck_assert_str_eq(said, "connect: Connection refused");
}
END_TEST

START_TEST(a_connection_to_itself_is_a_refusal)
{
	rig_find_closed(&address);
	connects_to_itself = true;
	start(NULL, 0);
	expect_end(PROBE_FAILED);
	ck_assert_str_eq(said, "connect: Connection refused");
}
END_TEST

/* Fills the backlog: from then on the kernel does not answer who connects. */
static unsigned
fill_backlog(int fds[], unsigned room)
{
	unsigned count = 0;

	ck_assert_int_eq(listen(listening, 0), 0);
	while (count < room) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		struct pollfd pollfd = {.fd = fd, .events = POLLOUT};

		ck_assert_int_ge(fd, 0);
		ck_assert_int_lt(connect(fd, &address.sa, address.length), 0);
		fds[count++] = fd;
		if (poll(&pollfd, 1, 100) == 0)
			break;
	}
	return count;
}

START_TEST(a_connect_that_hangs_runs_out_of_time)
{
	int fds[16];
	unsigned count = fill_backlog(fds, CP_COUNT(fds));

	start(NULL, 0);
	rig_advance_ms(TIMEOUT_MS - 1);
	ck_assert_uint_eq(ends, 0);
	rig_advance_ms(1);
	expect_end(PROBE_FAILED);
	ck_assert_str_eq(said, "connect: no answer within 1000 ms");
	while (count > 0)
		fd_close(&fds[--count]);
}
END_TEST

/* ---- sending and reading ------------------------------------------------------------------- */

START_TEST(sends_all_of_a_long_text)
{
	char *text = malloc(LONG_SIZE + 1);
	char buf[65536];
	size_t size = 0;
	int peer;

	ck_assert_ptr_nonnull(text);
	memset(text, 'x', LONG_SIZE);
	text[LONG_SIZE] = '\0';
	start(text, 0);
	peer = rig_accept(listening);
	for (ssize_t n = 1; n != 0; size += n > 0 ? (size_t)n : 0) {
		n = recv(peer, buf, sizeof(buf), MSG_DONTWAIT);
		ck_assert(n >= 0 || errno == EAGAIN);
		ck_assert_int_eq(loop_turn(&rig.loop, n < 0 ? 1 : 0), 0);
	}
	ck_assert_uint_eq(size, LONG_SIZE);
	expect_end(PROBE_OK);
	fd_close(&peer);
	free(text);
}
END_TEST

START_TEST(a_text_that_is_not_taken_runs_out_of_time)
{
	char *text = malloc(LONG_SIZE + 1);

	ck_assert_ptr_nonnull(text);
	memset(text, 'x', LONG_SIZE);
	text[LONG_SIZE] = '\0';
	start(text, READ_MAX);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(loop_turn(&rig.loop, 1), 0);
	rig_advance_ms(TIMEOUT_MS);
	expect_end(PROBE_FAILED);
	ck_assert_str_eq(said, "send: no answer within 1000 ms");
	free(text);
}
END_TEST

START_TEST(reads_in_pieces_until_it_is_enough)
{
	int peer;

	start("PING", READ_MAX);
	peer = rig_accept(listening);
	rig_expect_heard(peer, "PING");
	rig_say(peer, "not yet, O");
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(loop_turn(&rig.loop, 1), 0);
	ck_assert_uint_eq(ends, 0);
	rig_say(peer, "K");
	expect_end(PROBE_OK);
	ck_assert_str_eq(heard, "not yet, OK");
	rig_expect_closed(&peer);
}
END_TEST

START_TEST(its_end_can_come_too_early)
{
	int peer;

	start(NULL, READ_MAX);
	peer = rig_accept(listening);
	rig_say(peer, "no");
	fd_close(&peer);
	expect_end(PROBE_ENDED);
	ck_assert_str_eq(heard, "no");
}
END_TEST

START_TEST(no_more_is_read_than_was_asked_for)
{
	char text[READ_MAX + 3];
	int peer;

	memset(text, 'x', READ_MAX);
	memcpy(text + READ_MAX, "OK", 3);
	start(NULL, READ_MAX);
	peer = rig_accept(listening);
	rig_say(peer, text);
	expect_end(PROBE_ENDED);
	ck_assert_uint_eq(strlen(heard), READ_MAX);
	fd_close(&peer);
}
END_TEST

START_TEST(silence_runs_out_of_time)
{
	int peer;

	start(NULL, READ_MAX);
	peer = rig_accept(listening);
	rig_advance_ms(TIMEOUT_MS);
	expect_end(PROBE_LATE);
	ck_assert_str_eq(said, "no answer within 1000 ms");
	rig_expect_closed(&peer);
}
END_TEST

START_TEST(a_reset_while_it_reads_is_told)
{
	const struct linger reset = {.l_onoff = 1, .l_linger = 0};
	int peer;

	start(NULL, READ_MAX);
	peer = rig_accept(listening);
	fixture_turn(&rig.loop);
	ck_assert_int_eq(setsockopt(peer, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	fd_close(&peer);
	expect_end(PROBE_FAILED);
	ck_assert_str_eq(said, "answer: Connection reset by peer");
}
END_TEST

/* ---- running out, breaking off ---------------------------------------------------------------- */

START_TEST(without_a_descriptor_it_is_skipped)
{
	fixture_exhaust_descriptors();
	start(NULL, READ_MAX);
	fixture_allow_descriptors();
	expect_end(PROBE_SKIPPED);
	ck_assert_str_eq(said, "connect: Too many open files");
	rig_expect_nobody(listening);
}
END_TEST

START_TEST(without_memory_it_is_skipped)
{
	mem_fail_after(1);
	start(NULL, READ_MAX);
	expect_end(PROBE_SKIPPED);
	rig_expect_nobody(listening);
}
END_TEST

START_TEST(broken_off_it_says_nothing)
{
	int peer;

	start(NULL, READ_MAX);
	probe_stop(&probe);
	peer = rig_accept(listening);
	rig_expect_closed(&peer);
	start("PING", READ_MAX);
	peer = rig_accept(listening);
	rig_expect_heard(peer, "PING");
	rig_say(peer, "O");
	fixture_turn(&rig.loop);
	rig_say(peer, "K");
	probe_stop(&probe);
	rig_advance_ms(TIMEOUT_MS);
	ck_assert_uint_eq(ends, 0);
	fd_close(&peer);
}
END_TEST

static void
stop_probe(struct loop *loop, struct watch *watch, uint32_t events)
{
	(void)loop;
	(void)watch;
	(void)events;
	probe_stop(&probe);
}

START_TEST(broken_off_in_the_turn_that_has_its_answer_it_says_nothing)
{
	struct watch watch = {.fn = stop_probe};
	int event = fd_new_event();
	int peer;

	ck_assert_int_ge(event, 0);
	ck_assert_int_eq(loop_add(&rig.loop, &watch, event, EPOLLIN), 0);
	start(NULL, READ_MAX);
	peer = rig_accept(listening);
	/* Connected; then found not readable, which takes it off the kernel's list of those that are ready. */
	fixture_turn(&rig.loop);
	fixture_turn(&rig.loop);
	/* Both are ready, in this order, before the loop looks. */
	fd_signal_event(event);
	rig_say(peer, "OK");
	fixture_turn(&rig.loop);
	ck_assert(!probe_is_running(&probe));
	ck_assert_uint_eq(ends, 0);
	loop_remove(&rig.loop, &watch, event);
	fd_close(&event);
	fd_close(&peer);
}
END_TEST

START_TEST(it_can_be_started_again)
{
	int peer;

	for (int i = 0; i < 3; i++) {
		ends = 0;
		start(NULL, i == 1 ? 0 : READ_MAX);
		peer = rig_accept(listening);
		rig_say(peer, "OK");
		expect_end(PROBE_OK);
		fd_close(&peer);
	}
}
END_TEST

static TCase *
probe_case(Suite *suite, const char *name)
{
	TCase *tc = rig_case(suite, name);

	tcase_add_checked_fixture(tc, set_up_probe, tear_down_probe);
	return tc;
}

int
main(void)
{
	Suite *suite = suite_create("upstream/probe");
	TCase *tc;

	tc = probe_case(suite, "connecting");
	tcase_add_test(tc, connects_and_closes_politely);
	tcase_add_test(tc, connects_to_a_unix_socket);
	tcase_add_test(tc, a_refusal_is_told_with_step_and_cause);
	tcase_add_test(tc, a_connection_to_itself_is_a_refusal);
	tcase_add_test(tc, a_connect_that_hangs_runs_out_of_time);
	tc = probe_case(suite, "sending and reading");
	tcase_add_test(tc, sends_all_of_a_long_text);
	tcase_add_test(tc, a_text_that_is_not_taken_runs_out_of_time);
	tcase_add_test(tc, reads_in_pieces_until_it_is_enough);
	tcase_add_test(tc, its_end_can_come_too_early);
	tcase_add_test(tc, no_more_is_read_than_was_asked_for);
	tcase_add_test(tc, silence_runs_out_of_time);
	tcase_add_test(tc, a_reset_while_it_reads_is_told);
	tc = probe_case(suite, "running out, breaking off");
	tcase_add_test(tc, without_a_descriptor_it_is_skipped);
	tcase_add_test(tc, without_memory_it_is_skipped);
	tcase_add_test(tc, broken_off_it_says_nothing);
	tcase_add_test(tc, broken_off_in_the_turn_that_has_its_answer_it_says_nothing);
	tcase_add_test(tc, it_can_be_started_again);
	return fixture_run(suite);
}
