/* SPDX-License-Identifier: MIT */
/*
 * program/spawner_server - a real spawner, with this process in the place of daemon and keeper. Its sendmsg(2) and
 * recvmsg(2) fail when the tests want it to, and its clock is theirs.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "program/spawner_recipe.h"
#include "program/spawner_wire.h"

#define WAIT_MS 30000
#define ATTEMPTS_MAX 1000
#define STEPS 500
#define MANY 40
#define TABLE 7
/* More than the sockets both ways hold, and what is owed. */
#define REQUESTS_MAX 20000u

/* Linked with --wrap of all three. */
ssize_t __wrap_sendmsg(int fd, const struct msghdr *header, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *header, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *header, int flags);
ssize_t __real_recvmsg(int fd, struct msghdr *header, int flags);
int __wrap_clock_gettime(clockid_t id, struct timespec *ret_time);
int __real_clock_gettime(clockid_t id, struct timespec *ret_time);

/* Shared with the spawner. */
struct whims {
	_Atomic int send_error; /* 0: nothing is refused */
	_Atomic int receive_error;
	_Atomic int ahead_s;      /* of the real time */
	_Atomic int closed_reads; /* calls for a descriptor that is none */
};

static struct whims *whims;
static struct spawner_shared *shared;
static bool is_spawner;
static int refusals[2]; /* a pipe: a byte for each call that failed */
static pid_t spawner;
static int main_fd;
static int main_end; /* the spawner's: the keeper has it as well */
static int control_fd;
static int channel;

static char shell[] = "/bin/sh";
static char command[] = "-c";
static char exit_3[] = "exit 3";
static char wait_forever[] = "read line";
static char root[] = "/";
static char slow_directory[STEPS * sizeof("/usr/..")];
static char *no_environment[] = {NULL};
static char *argv_exits[] = {shell, command, exit_3, NULL};
static char *argv_stays[] = {shell, command, wait_forever, NULL};

enum { EXITS, STAYS, SLOW, COUNT };

static bool
is_refused(_Atomic int *error)
{
	errno = atomic_load(error);
	if (!is_spawner || errno == 0)
		return false;
	/* When the pipe is full the test has all that it waits for. */
	(void)!write(refusals[1], "x", 1);
	errno = atomic_load(error);
	return errno != 0;
}

ssize_t
__wrap_sendmsg(int fd, const struct msghdr *header, int flags)
{
	return is_refused(&whims->send_error) ? -1 : __real_sendmsg(fd, header, flags);
}

ssize_t
__wrap_recvmsg(int fd, struct msghdr *header, int flags)
{
	if (is_spawner && fd < 0)
		atomic_fetch_add(&whims->closed_reads, 1);
	return is_refused(&whims->receive_error) ? -1 : __real_recvmsg(fd, header, flags);
}

int
__wrap_clock_gettime(clockid_t id, struct timespec *ret_time)
{
	int rc = __real_clock_gettime(id, ret_time);

	if (is_spawner)
		ret_time->tv_sec += atomic_load(&whims->ahead_s);
	return rc;
}

/* ---- around it ------------------------------------------------------------------------------ */

static void *
share(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert(memory != MAP_FAILED);
	return memory;
}

static int
write_table(void)
{
	static struct recipe exits = {
		.argv = argv_exits, .argument_count = 3, .environment = no_environment, .directory = root};
	static struct recipe stays = {
		.argv = argv_stays, .argument_count = 3, .environment = no_environment, .directory = root};
	static struct recipe slow = {
		.argv = argv_exits, .argument_count = 3, .environment = no_environment, .directory = slow_directory};
	struct recipe *recipes[COUNT] = {[EXITS] = &exits, [STAYS] = &stays, [SLOW] = &slow};
	struct cookbook book = {.recipes = recipes, .count = COUNT};
	char *text = slow_directory;
	int fd = memfd_create("table", MFD_CLOEXEC);

	for (int i = 0; i < STEPS; i++)
		text = stpcpy(text, "/usr/..");
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(recipe_table_write(&book, fd), 0);
	return fd;
}

static void
serve(int control_end)
{
	struct kept_table table = {.number = TABLE, .fd = write_table()};
	struct list tables;
	sigset_t child;

	is_spawner = true;
	fd_close(&main_fd);
	fd_close(&control_fd);
	list_init(&tables);
	list_push_back(&tables, &table.link);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &child, NULL);
	spawner_serve(main_end, control_end, &tables, shared);
}

static void
wait_for(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	ck_assert_int_eq(poll(&poll_fd, 1, WAIT_MS), 1);
}

static int
send_channel(void)
{
	int fds[2];

	ck_assert_int_eq(wire_pair(fds), 0);
	ck_assert_int_eq(wire_send(main_fd, "x", 1, &fds[1], 1), 0);
	close(fds[1]);
	return fds[0];
}

static void
expect_hello(int fd)
{
	struct spawner_answer hello;

	wait_for(fd);
	ck_assert_int_eq(recv(fd, &hello, sizeof(hello), 0), sizeof(hello));
	ck_assert_uint_eq(hello.id, SPAWNER_HELLO_ID);
}

static int
open_channel(void)
{
	int fd = send_channel();

	expect_hello(fd);
	return fd;
}

static void
set_up(void)
{
	int main_fds[2];
	int control_fds[2];

	whims = share(sizeof(*whims));
	shared = share(sizeof(*shared));
	ck_assert_int_eq(pipe2(refusals, O_CLOEXEC | O_NONBLOCK), 0);
	ck_assert_int_eq(wire_pair(main_fds), 0);
	ck_assert_int_eq(wire_pair(control_fds), 0);
	main_fd = main_fds[0];
	main_end = main_fds[1];
	control_fd = control_fds[0];
	spawner = fork();
	ck_assert_int_ge(spawner, 0);
	if (spawner == 0)
		serve(control_fds[1]);
	close(control_fds[1]);
	channel = open_channel();
}

/* It ends with its daemon, and all that it ran. */
static void
tear_down(void)
{
	int status;

	fd_close(&channel);
	fd_close(&main_fd);
	ck_assert_int_eq(waitpid(spawner, &status, 0), spawner);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s", shared->why.text);
	fd_close(&main_end);
	fd_close(&control_fd);
}

static void
send_start(int fd, uint64_t id, uint32_t listener)
{
	struct spawner_request request = {.verb = SPAWNER_START,
		.id = id,
		.table = TABLE,
		.listener = listener,
		.streams = {-1, -1, -1}};

	ck_assert_int_eq(wire_send(fd, &request, sizeof(request), NULL, 0), 0);
}

static struct spawner_answer
hear(void)
{
	static struct spawner_answer answers[SPAWNER_ANSWERS_MAX];
	static unsigned count;
	static unsigned next;

	if (next == count) {
		ssize_t n;

		wait_for(channel);
		n = recv(channel, answers, sizeof(answers), 0);
		ck_assert_int_gt(n, 0);
		count = (unsigned)((size_t)n / sizeof(answers[0]));
		next = 0;
	}
	return answers[next++];
}

static void
expect_exits(uint64_t id)
{
	struct spawner_answer answer;

	send_start(channel, id, EXITS);
	answer = hear();
	ck_assert_uint_eq(answer.id, id);
	ck_assert_int_eq(answer.result.how, PROGRAM_EXITED);
	ck_assert_int_eq(answer.result.status, 3);
}

static void
expect_refused(const struct spawner_request *request, int error)
{
	struct spawner_answer answer;

	ck_assert_int_eq(wire_send(channel, request, sizeof(*request), NULL, 0), 0);
	answer = hear();
	ck_assert_uint_eq(answer.id, request->id);
	ck_assert_int_eq(answer.result.how, PROGRAM_NOT_STARTED);
	ck_assert_int_eq(answer.result.step, PROGRAM_STEP_REQUEST);
	ck_assert_int_eq(answer.result.error, error);
}

/* Its error; fd -1: without a descriptor. */
static int
ask(enum control_verb verb, uint64_t table, int fd)
{
	static uint64_t last_number;
	struct control_request request = {.verb = verb, .number = ++last_number, .table = table};
	struct control_answer answer;

	ck_assert_int_eq(wire_send(control_fd, &request, sizeof(request), &fd, fd >= 0 ? 1 : 0), 0);
	if (verb == CONTROL_FORGET)
		return 0;
	wait_for(control_fd);
	ck_assert_int_eq(recv(control_fd, &answer, sizeof(answer), 0), sizeof(answer));
	ck_assert_uint_eq(answer.number, request.number);
	return answer.error;
}

static void
wait_for_refusals(unsigned count)
{
	char byte;

	for (unsigned i = 0; i < count; i++) {
		wait_for(refusals[0]);
		ck_assert_int_eq(read(refusals[0], &byte, 1), 1);
	}
}

/* Lets the calls fail until some have. */
static void
refuse(_Atomic int *error, int number)
{
	while (read(refusals[0], &(char[64]){0}, 64) > 0)
		;
	atomic_store(error, number);
}

/* ---- shortages -------------------------------------------------------------------------------- */

START_TEST(answers_that_are_refused_come_later)
{
	static const int errors[] = {ENOBUFS, EAGAIN, ENOMEM};
	static unsigned heard[CP_COUNT(errors) * MANY];

	for (unsigned i = 0; i < CP_COUNT(errors); i++) {
		refuse(&whims->send_error, errors[i]);
		for (unsigned k = 0; k < MANY; k++)
			send_start(channel, i * MANY + k, EXITS);
		wait_for_refusals(3);
		atomic_store(&whims->send_error, 0);
		for (unsigned k = 0; k < MANY; k++) {
			struct spawner_answer answer = hear();

			ck_assert_uint_lt(answer.id, CP_COUNT(heard));
			ck_assert_uint_eq(heard[answer.id]++, 0);
			ck_assert_int_eq(answer.result.status, 3);
		}
	}
}
END_TEST

START_TEST(requests_that_cannot_be_read_stay_where_they_are)
{
	static const int errors[] = {ENOBUFS, ENOMEM, EINTR};

	for (unsigned i = 0; i < CP_COUNT(errors); i++) {
		struct control_request ping = {.verb = CONTROL_PING, .number = 1000 + i};
		struct control_answer answer;
		int other;

		refuse(&whims->receive_error, errors[i]);
		send_start(channel, i, EXITS);
		wait_for_refusals(3);
		atomic_store(&whims->receive_error, 0);
		ck_assert_uint_eq(hear().id, i);
		/* The same of the other two. */
		refuse(&whims->receive_error, errors[i]);
		other = send_channel();
		ck_assert_int_eq(wire_send(control_fd, &ping, sizeof(ping), NULL, 0), 0);
		wait_for_refusals(3);
		atomic_store(&whims->receive_error, 0);
		expect_hello(other);
		wait_for(control_fd);
		ck_assert_int_eq(recv(control_fd, &answer, sizeof(answer), 0), sizeof(answer));
		ck_assert_uint_eq(answer.number, ping.number);
		close(other);
	}
}
END_TEST

/* ---- starts -------------------------------------------------------------------------------------- */

/* 0: there is none of that pid. */
static char
state_of(pid_t pid, char name[32])
{
	char path[64];
	char state = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (file == NULL)
		return 0;
	if (fscanf(file, "%*d (%31[^)]) %c", name, &state) != 2)
		state = 0;
	(void)fclose(file);
	return state;
}

/* True: it was met on its way; else there is nothing left of it. */
static bool
start_and_stop(uint64_t id)
{
	char name[32] = "";
	pid_t pid;
	char state;

	send_start(channel, id, SLOW);
	while ((pid = atomic_load(&shared->pids[0])) == 0) {
		struct pollfd over = {.fd = channel, .events = POLLIN};

		/* It has come and gone before we had a look. */
		if (poll(&over, 1, 0) == 1) {
			ck_assert_uint_eq(hear().id, id);
			return false;
		}
	}
	(void)kill(pid, SIGSTOP);
	do {
		(void)sched_yield();
		state = state_of(pid, name);
	} while (state != 'T' && state != 0 && state != 'Z');
	if (state == 'T' && strcmp(name, "sh") != 0)
		return true;
	if (state == 'T')
		(void)kill(pid, SIGKILL);
	ck_assert_uint_eq(hear().id, id);
	return false;
}

START_TEST(one_that_is_stopped_on_its_way_is_killed)
{
	struct spawner_answer answer;
	uint64_t id = 0;

	while (!start_and_stop(++id))
		ck_assert_uint_lt(id, ATTEMPTS_MAX);
	/* It holds up nobody else, and is given its time. */
	expect_exits(ATTEMPTS_MAX + 1);
	ck_assert_int_gt(shared->pids[0], 0);
	atomic_store(&whims->ahead_s, PROGRAM_START_S + 1);
	ck_assert_int_eq(ask(CONTROL_PING, 0, -1), 0);
	answer = hear();
	ck_assert_uint_eq(answer.id, id);
	ck_assert_int_eq(answer.result.how, PROGRAM_NOT_STARTED);
	ck_assert_int_eq(answer.result.step, PROGRAM_STEP_LATE);
	ck_assert_int_eq(answer.result.error, ETIMEDOUT);
	ck_assert_int_eq(shared->pids[0], 0);
	expect_exits(ATTEMPTS_MAX + 2);
}
END_TEST

START_TEST(what_makes_no_sense_is_answered)
{
	struct spawner_request request = {
		.verb = SPAWNER_START, .id = 1, .table = TABLE, .listener = EXITS, .streams = {-1, -1, -1}};

	request.listener = COUNT;
	expect_refused(&request, ENOENT);
	request.listener = EXITS;
	request.table = TABLE + 1;
	expect_refused(&request, ENOENT);
	request.table = TABLE;
	request.streams[1] = 0;
	expect_refused(&request, EINVAL);
	request.streams[1] = 127;
	expect_refused(&request, EINVAL);
	request.streams[1] = -1;
	request.has_client = true;
	expect_refused(&request, EINVAL);
	expect_exits(2);
}
END_TEST

START_TEST(a_packet_with_nothing_in_it_is_no_end)
{
	struct spawner_request request;
	char byte;
	int other = open_channel();

	/* Not of the main socket: there is a channel to be had after it. */
	ck_assert_int_eq(wire_send(main_fd, &request, 0, NULL, 0), 0);
	close(open_channel());
	/* Of a channel it breaks the agreement, while its descriptor stays open here. */
	ck_assert_int_eq(wire_send(other, &request, 0, NULL, 0), 0);
	wait_for(other);
	ck_assert_int_eq(recv(other, &byte, 1, 0), 0);
	close(other);
	expect_exits(1);
}
END_TEST

/* The keeper has that socket, too, as this process has: nothing must be heard of it once it was closed. */
START_TEST(after_its_daemon_it_waits)
{
	send_start(channel, 1, STAYS);
	while (atomic_load(&shared->pids[0]) == 0)
		(void)sched_yield();
	ck_assert_int_eq(shutdown(main_fd, SHUT_RDWR), 0);
	/* In the turns that these take, and in every other one, it is not to be told of what it has closed. */
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(ask(CONTROL_PING, 0, -1), 0);
	ck_assert_int_eq(atomic_load(&whims->closed_reads), 0);
}
END_TEST

/* Else their answers were in the spawner's memory, without a bound. */
START_TEST(who_takes_no_answers_gets_no_more_to_do)
{
	struct spawner_request request = {
		.verb = SPAWNER_START, .table = TABLE, .listener = COUNT, .streams = {-1, -1, -1}};
	unsigned sent = 0;
	int full_turns = 0;

	while (full_turns < 3) {
		if (wire_send(channel, &request, sizeof(request), NULL, 0) == 0) {
			request.id++;
			full_turns = 0;
			ck_assert_uint_lt(++sent, REQUESTS_MAX);
		} else {
			/* It reads some of each line in such a turn. */
			ck_assert_int_eq(ask(CONTROL_PING, 0, -1), 0);
			full_turns++;
		}
	}
	for (unsigned i = 0; i < sent; i++) {
		struct spawner_answer answer = hear();

		ck_assert_uint_eq(answer.id, i);
		ck_assert_int_eq(answer.result.error, ENOENT);
	}
	expect_exits(sent);
}
END_TEST

/* Its end is heard of all the same, and its programs end with it. */
START_TEST(who_takes_no_answers_may_end)
{
	int other = open_channel();
	struct spawner_request request = {
		.verb = SPAWNER_START, .table = TABLE, .listener = COUNT, .streams = {-1, -1, -1}};
	pid_t pid;

	send_start(other, 1, STAYS);
	while ((pid = atomic_load(&shared->pids[0])) == 0)
		(void)sched_yield();
	for (int full_turns = 0; full_turns < 3;) {
		if (wire_send(other, &request, sizeof(request), NULL, 0) == 0) {
			full_turns = 0;
			ck_assert_uint_lt(request.id++, REQUESTS_MAX);
		} else {
			ck_assert_int_eq(ask(CONTROL_PING, 0, -1), 0);
			full_turns++;
		}
	}
	close(other);
	while (atomic_load(&shared->pids[0]) == pid)
		(void)sched_yield();
	expect_exits(1);
}
END_TEST

START_TEST(a_channel_that_breaks_the_agreement_is_closed_alone)
{
	struct spawner_request strange = {.verb = 4711};
	char byte;
	pid_t pid;

	for (int i = 0; i < 2; i++) {
		int other = open_channel();

		send_start(other, 1, STAYS);
		/* Its one program is the first place's. */
		while ((pid = atomic_load(&shared->pids[0])) == 0)
			(void)sched_yield();
		ck_assert_int_eq(wire_send(other, &strange, i == 0 ? 1 : sizeof(strange), NULL, 0), 0);
		wait_for(other);
		ck_assert_int_eq(recv(other, &byte, 1, 0), 0);
		while (atomic_load(&shared->pids[0]) == pid)
			(void)sched_yield();
		close(other);
		expect_exits(2);
	}
}
END_TEST

/* ---- tables -------------------------------------------------------------------------------------- */

START_TEST(tables_come_and_go)
{
	int good = write_table();
	struct spawner_request request = {
		.verb = SPAWNER_START, .id = 1, .table = TABLE + 1, .listener = EXITS, .streams = {-1, -1, -1}};

	expect_refused(&request, ENOENT);
	ck_assert_int_eq(ask(CONTROL_TABLE, TABLE + 1, good), 0);
	ck_assert_int_eq(wire_send(channel, &request, sizeof(request), NULL, 0), 0);
	ck_assert_int_eq(hear().result.status, 3);
	(void)ask(CONTROL_FORGET, TABLE + 1, -1);
	ck_assert_int_eq(ask(CONTROL_PING, 0, -1), 0);
	expect_refused(&request, ENOENT);
	expect_exits(2);
	close(good);
}
END_TEST

START_TEST(an_answer_to_the_keeper_that_is_refused_comes_later)
{
	struct control_request requests[] = {{.verb = CONTROL_TABLE, .number = 1001, .table = TABLE + 1},
		{.verb = CONTROL_PING, .number = 1002},
		{.verb = CONTROL_PING, .number = 1003}};
	int good = write_table();

	refuse(&whims->send_error, ENOBUFS);
	for (unsigned i = 0; i < CP_COUNT(requests); i++)
		ck_assert_int_eq(
			wire_send(control_fd, &requests[i], sizeof(requests[i]), &good, i == 0 ? 1 : 0), 0);
	wait_for_refusals(3);
	atomic_store(&whims->send_error, 0);
	for (unsigned i = 0; i < CP_COUNT(requests); i++) {
		struct control_answer answer;

		wait_for(control_fd);
		ck_assert_int_eq(recv(control_fd, &answer, sizeof(answer), 0), sizeof(answer));
		ck_assert_uint_eq(answer.number, requests[i].number);
		ck_assert_int_eq(answer.error, 0);
	}
	close(good);
}
END_TEST

START_TEST(a_broken_table_is_refused)
{
	int broken = write_table();

	ck_assert_int_eq(ftruncate(broken, 100), 0);
	ck_assert_int_eq(ask(CONTROL_TABLE, TABLE + 1, broken), EINVAL);
	ck_assert_int_eq(ask(CONTROL_TABLE, TABLE + 1, -1), EMFILE);
	expect_exits(1);
	close(broken);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("program/spawner_server");
	TCase *requests = tcase_create("requests");
	SRunner *runner;
	int failed;

	tcase_set_timeout(requests, 2 * WAIT_MS / 1000);
	tcase_add_checked_fixture(requests, set_up, tear_down);
	tcase_add_test(requests, answers_that_are_refused_come_later);
	tcase_add_test(requests, requests_that_cannot_be_read_stay_where_they_are);
	tcase_add_test(requests, one_that_is_stopped_on_its_way_is_killed);
	tcase_add_test(requests, what_makes_no_sense_is_answered);
	tcase_add_test(requests, a_packet_with_nothing_in_it_is_no_end);
	tcase_add_test(requests, after_its_daemon_it_waits);
	tcase_add_test(requests, who_takes_no_answers_gets_no_more_to_do);
	tcase_add_test(requests, who_takes_no_answers_may_end);
	tcase_add_test(requests, a_channel_that_breaks_the_agreement_is_closed_alone);
	tcase_add_test(requests, tables_come_and_go);
	tcase_add_test(requests, an_answer_to_the_keeper_that_is_refused_comes_later);
	tcase_add_test(requests, a_broken_table_is_refused);
	suite_add_tcase(suite, requests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
