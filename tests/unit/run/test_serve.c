/* SPDX-License-Identifier: MIT */
/*
 * test_serve - connections served without a daemon: what is there ends well or not; a signal ends the rest.
 */
#include "config.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <check.h>

#include "base/errmsg.h"
#include "base/fdutil.h"
#include "base/log.h"
#include "run/serve.h"
#include "run/setup.h"
#include "../net/netfixture.h"

static struct setup setup;

static void
open_setup(const char *address)
{
	char path[512];
	struct setup_wish wish = {.module = path, .address = address};
	struct errmsg err = {""};
	const char *folder = getenv("top_builddir");
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	log_configure(LOG_TARGET_STDERR, LOG_LEVEL_ERROR);
	snprintf(path, sizeof(path), "%s/tests/modules/probe-one.so", folder != NULL ? folder : ".");
	ck_assert_msg(setup_init(&setup, &wish, &err) == 0, "%s", err.text);
}

/* Serves a client that has sent text and ended. */
static bool
serve_text(const char *text, char *reply, size_t size)
{
	bool is_good = false;
	int ends[2];
	ssize_t n;

	open_setup(NULL);
	fixture_unix_pair(ends);
	ck_assert_int_eq(send(ends[1], text, strlen(text), 0), (ssize_t)strlen(text));
	ck_assert_int_eq(shutdown(ends[1], SHUT_WR), 0);
	ck_assert_int_eq(serve_stream(&setup, ends[0], &is_good, NULL), 0);
	n = recv(ends[1], reply, size - 1, 0);
	reply[n > 0 ? n : 0] = '\0';
	fd_close(&ends[1]);
	setup_fini(&setup);
	return is_good;
}

START_TEST(a_connection_is_served_to_its_end)
{
	char reply[16];

	ck_assert(serve_text("reply\n", reply, sizeof(reply)));
	ck_assert_str_eq(reply, "one\n");
}
END_TEST

START_TEST(a_handler_that_fails_is_no_good_end)
{
	char reply[16];

	ck_assert(!serve_text("no such command\n", reply, sizeof(reply)));
	ck_assert_str_eq(reply, "");
}
END_TEST

START_TEST(a_signal_ends_a_connection)
{
	bool is_good = true;
	int ends[2];

	open_setup(NULL);
	fixture_unix_pair(ends);
	/* Blocked, it waits for serve_stream(). */
	raise(SIGTERM);
	ck_assert_int_eq(serve_stream(&setup, ends[0], &is_good, NULL), 0);
	ck_assert(!is_good);
	fd_close(&ends[1]);
	setup_fini(&setup);
}
END_TEST

/* Asks once, then has the serving end. */
static void *
ask_and_end(void *arg)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char *reply = arg;
	socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
				       (size_t)snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1,
					       "cp-test-serve-%d", (int)getpid()) +
				       1);

	while (connect(client, (struct sockaddr *)&address, length) < 0)
		sched_yield();
	if (send(client, "reply\n", 6, 0) == 6 && recv(client, reply, 4, MSG_WAITALL) == 4)
		kill(getpid(), SIGINT);
	if (recv(client, reply + 4, 1, 0) != 0)
		reply[0] = '\0';
	close(client);
	return NULL;
}

START_TEST(an_address_is_served_until_a_signal)
{
	char address[64];
	char reply[8] = "";
	pthread_t thread;

	snprintf(address, sizeof(address), "unix:@cp-test-serve-%d", (int)getpid());
	open_setup(address);
	ck_assert_int_eq(pthread_create(&thread, NULL, ask_and_end, reply), 0);
	ck_assert_int_eq(serve_address(&setup, NULL), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_str_eq(reply, "one\n");
	setup_fini(&setup);
}
END_TEST

START_TEST(an_address_that_can_not_be_had_is_said)
{
	struct errmsg err = {""};

	open_setup("unix:/nonexistent/folder/sock");
	ck_assert_int_lt(serve_address(&setup, &err), 0);
	ck_assert_msg(strstr(err.text, "/nonexistent/folder/sock") != NULL, "%s", err.text);
	setup_fini(&setup);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("run/serve");
	TCase *tc = tcase_create("stream");

	suite_add_tcase(suite, tc);
	tcase_add_test(tc, a_connection_is_served_to_its_end);
	tcase_add_test(tc, a_handler_that_fails_is_no_good_end);
	tcase_add_test(tc, a_signal_ends_a_connection);
	tc = tcase_create("address");
	suite_add_tcase(suite, tc);
	tcase_add_test(tc, an_address_is_served_until_a_signal);
	tcase_add_test(tc, an_address_that_can_not_be_had_is_said);
	return fixture_run(suite);
}
