/* SPDX-License-Identifier: MIT */
/*
 * Both directions, each of their ends, and that neither holds the other up. The peer is the other end of a socket
 * pair, in a thread where it has to act while the relay runs. A deadlock is found by Check's time-out.
 */
#include "config.h"

#include "client/relay.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/errmsg.h"
#include "base/fdutil.h"
#include "base/mem.h"

#define MUCH (1 << 20)

static struct errmsg err;
static int sockets[2]; /* the relay's, the peer's */
static int input[2];   /* the relay's, the test's */
static int output[2];  /* the test's, the relay's */
static char much[MUCH];
static char back[MUCH + 1];

static void
setup(void)
{
	signal(SIGPIPE, SIG_IGN);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
	ck_assert_int_eq(fcntl(sockets[0], F_SETFL, O_NONBLOCK), 0);
	ck_assert_int_eq(pipe2(input, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(output, O_CLOEXEC), 0);
	for (size_t i = 0; i < MUCH; i++)
		much[i] = (char)(i * 7 + i / 4099);
}

static void
teardown(void)
{
	fd_close(&sockets[1]);
	fd_close(&input[0]);
	fd_close(&input[1]);
	fd_close(&output[0]);
	ck_assert_int_eq(sockets[0], -1);
	ck_assert_int_eq(output[1], -1);
}

static int
run_text(const char *text)
{
	struct relay_config config = { .input = -1, .text = text, .text_len = strlen(text) };

	return relay_run(&config, &sockets[0], &output[1], &err);
}

static int
run_input(uint64_t idle_timeout_ms)
{
	struct relay_config config = { .input = input[0], .idle_timeout_ms = idle_timeout_ms };

	return relay_run(&config, &sockets[0], &output[1], &err);
}

static void
put(int fd, const char *text)
{
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* All up to the end of file. */
static size_t
drain(int fd)
{
	size_t total = 0;
	ssize_t n;

	while ((n = read(fd, back + total, sizeof(back) - 1 - total)) > 0)
		total += (size_t)n;
	ck_assert_int_eq(n, 0);
	back[total] = '\0';
	return total;
}

START_TEST(text_goes_out_and_the_answer_comes_in)
{
	put(sockets[1], "answer");
	ck_assert_int_eq(shutdown(sockets[1], SHUT_WR), 0);
	ck_assert_int_eq(run_text("question"), 0);
	drain(sockets[1]);
	ck_assert_str_eq(back, "question");
	drain(output[0]);
	ck_assert_str_eq(back, "answer");
}
END_TEST

static void *
answer_after_the_end(void *arg)
{
	(void)arg;
	drain(sockets[1]);
	put(sockets[1], "got: ");
	put(sockets[1], back);
	fd_close(&sockets[1]);
	return NULL;
}

START_TEST(the_end_of_input_reaches_the_peer_who_may_still_answer)
{
	pthread_t peer;

	ck_assert_int_eq(pthread_create(&peer, NULL, answer_after_the_end, NULL), 0);
	put(input[1], "lines");
	fd_close(&input[1]);
	ck_assert_int_eq(run_input(0), 0);
	ck_assert_int_eq(pthread_join(peer, NULL), 0);
	drain(output[0]);
	ck_assert_str_eq(back, "got: lines");
}
END_TEST

static void *
write_after_output_has_ended(void *arg)
{
	(void)arg;
	/* The end of the output shows that the relay has seen the peer's end; only now is there input. */
	ck_assert_uint_eq(drain(output[0]), 0);
	put(input[1], "late");
	fd_close(&input[1]);
	return NULL;
}

START_TEST(input_goes_on_after_the_peers_end)
{
	pthread_t writer;

	ck_assert_int_eq(pthread_create(&writer, NULL, write_after_output_has_ended, NULL), 0);
	ck_assert_int_eq(shutdown(sockets[1], SHUT_WR), 0);
	ck_assert_int_eq(run_input(0), 0);
	ck_assert_int_eq(pthread_join(writer, NULL), 0);
	drain(sockets[1]);
	ck_assert_str_eq(back, "late");
}
END_TEST

START_TEST(a_peer_that_has_hung_up_ends_it_though_input_stays_open)
{
	put(sockets[1], "bye");
	fd_close(&sockets[1]);
	ck_assert_int_eq(run_input(0), 0);
	drain(output[0]);
	ck_assert_str_eq(back, "bye");
}
END_TEST

static void *
write_much(void *arg)
{
	(void)arg;
	ck_assert_int_eq(write(input[1], much, MUCH), MUCH);
	fd_close(&input[1]);
	return NULL;
}

static void *
flood_then_read(void *arg)
{
	size_t flooded = 0;
	ssize_t n;

	(void)arg;
	/* Far more than the output takes, and nobody reads the output yet. */
	while (flooded < MUCH && (n = send(sockets[1], much + flooded, MUCH - flooded, MSG_DONTWAIT)) > 0)
		flooded += (size_t)n;
	ck_assert_uint_eq(drain(sockets[1]), MUCH);
	ck_assert_mem_eq(back, much, MUCH);
	ck_assert_int_eq(shutdown(sockets[1], SHUT_WR), 0);
	ck_assert_uint_eq(drain(output[0]), flooded);
	ck_assert_mem_eq(back, much, flooded);
	return NULL;
}

START_TEST(stuck_output_does_not_hold_up_sending)
{
	pthread_t peer, writer;

	ck_assert_int_eq(pthread_create(&peer, NULL, flood_then_read, NULL), 0);
	ck_assert_int_eq(pthread_create(&writer, NULL, write_much, NULL), 0);
	ck_assert_int_eq(run_input(0), 0);
	ck_assert_int_eq(pthread_join(writer, NULL), 0);
	ck_assert_int_eq(pthread_join(peer, NULL), 0);
}
END_TEST

START_TEST(what_a_peer_said_before_it_left_is_written)
{
	put(sockets[1], "sorry");
	fd_close(&sockets[1]);
	ck_assert_int_eq(run_text("question"), -EPIPE);
	ck_assert_ptr_nonnull(strstr(err.text, "before it had been sent everything"));
	drain(output[0]);
	ck_assert_str_eq(back, "sorry");
}
END_TEST

START_TEST(a_reset_is_a_failure)
{
	put(sockets[0], "never read");
	fd_close(&sockets[1]);
	ck_assert_int_eq(run_text(""), -ECONNRESET);
}
END_TEST

START_TEST(output_that_nobody_reads_ends_it)
{
	fd_close(&output[0]);
	ck_assert_int_eq(run_input(0), -EPIPE);
	ck_assert_ptr_nonnull(strstr(err.text, "standard output"));
}
END_TEST

START_TEST(too_long_an_idle_time_ends_it)
{
	ck_assert_int_eq(run_input(1), -ETIMEDOUT);
}
END_TEST

START_TEST(no_memory_is_said_so)
{
	for (unsigned n = 1; n <= 2; n++) {
		int fd = dup(sockets[0]), out = dup(output[1]);
		struct relay_config config = { .input = input[0] };

		mem_fail_after(n);
		ck_assert_int_eq(relay_run(&config, &fd, &out, &err), -ENOMEM);
		ck_assert_int_eq(fd, -1);
		ck_assert_int_eq(out, -1);
	}
	fd_close(&sockets[0]);
	fd_close(&output[1]);
}
END_TEST

static Suite *
relay_suite(void)
{
	Suite *suite = suite_create("client/relay");
	TCase *tc = tcase_create("ends");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, text_goes_out_and_the_answer_comes_in);
	tcase_add_test(tc, the_end_of_input_reaches_the_peer_who_may_still_answer);
	tcase_add_test(tc, input_goes_on_after_the_peers_end);
	tcase_add_test(tc, a_peer_that_has_hung_up_ends_it_though_input_stays_open);
	suite_add_tcase(suite, tc);
	tc = tcase_create("stuck");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, stuck_output_does_not_hold_up_sending);
	suite_add_tcase(suite, tc);
	tc = tcase_create("failures");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, what_a_peer_said_before_it_left_is_written);
	tcase_add_test(tc, a_reset_is_a_failure);
	tcase_add_test(tc, output_that_nobody_reads_ends_it);
	tcase_add_test(tc, too_long_an_idle_time_ends_it);
	tcase_add_test(tc, no_memory_is_said_so);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	SRunner *runner = srunner_create(relay_suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
