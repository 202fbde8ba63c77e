/* SPDX-License-Identifier: MIT */
/*
 * rude.c - a module that does what none should: it blocks its worker, overflows its stack, miscounts.
 *
 * Commands, a line each: hold (until somebody writes to the pipe that the option names), overflow, and the misuses of
 * calls below.
 */
#include <connpoold/handler.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct settings {
	char *pipe;
	bool misuse;
};

static const struct cp_option options[] = {
	CP_OPT_STRING(struct settings, pipe, "pipe", NULL, "What it waits for."),
	CP_OPT_BOOL(struct settings, misuse, "misuse", "false", "configure() calls what it must not."),
	CP_OPT_END,
};

static const char *const counters[] = {"only", NULL};

static int
hold(struct cp_conn *conn)
{
	const struct settings *settings = cp_state(conn);
	int fd = open(settings->pipe, O_RDONLY | O_CLOEXEC);
	char byte;
	ssize_t n = fd >= 0 ? read(fd, &byte, 1) : -1;

	if (fd >= 0)
		close(fd);
	return n < 0 || cp_printf(conn, "held\n") < 0 ? -1 : CP_DONE;
}

/* Each call needs the one before it, so that no compiler makes a loop of them. */
static int
overflow(int depth)
{
	volatile char room[1024];

	room[depth % (int)sizeof(room)] = (char)depth;
	return depth == 0 ? 0 : overflow(depth - 1) + room[depth % (int)sizeof(room)];
}

/* ---- calls where they must not be made --------------------------------------------------- */

static struct cp_conn *kept;

static void
receive(void *conn)
{
	char byte;

	(void)cp_recv(conn, &byte, 1);
}

static void
ask_worker_state(void *conn)
{
	(void)cp_worker_state(conn);
}

static void
ask_for_its_end(void *conn)
{
	cp_at_end(conn, receive, conn);
}

static void *
send_on_thread(void *conn)
{
	(void)cp_send(conn, "x", 1);
	return NULL;
}

static int
receive_after_relay(struct cp_conn *conn)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0 ||
		cp_relay(conn, ends[0], 4096, 0) != CP_RELAY)
		return -1;
	receive(conn);
	return CP_RELAY;
}

/* The first one keeps its connection, the second one uses it. */
static int
send_to_kept(struct cp_conn *conn)
{
	if (kept != NULL)
		(void)cp_send(kept, "secret\n", 7);
	kept = conn;
	return CP_DONE;
}

static int
say_errors(struct cp_conn *conn)
{
	char byte;
	int zero = cp_recv(conn, &byte, 0) < 0 ? errno : 0;
	int sleep = cp_sleep(conn, -5) < 0 ? errno : 0;
	int wait = cp_wait(conn, -5) < 0 ? errno : 0;
	int fd = cp_wait_fd(conn, 0, 0, -5) < 0 ? errno : 0;
	int all = zero == EINVAL && sleep == EINVAL && wait == EINVAL && fd == EINVAL;

	return cp_printf(conn, "%s\n", all ? "refused" : "taken") < 0 ? -1 : CP_DONE;
}

static int
misuse(struct cp_conn *conn, const char *command)
{
	pthread_t thread;

	if (strcmp(command, "blocking\n") == 0)
		cp_blocking(conn, receive, conn);
	if (strcmp(command, "blocking-state\n") == 0)
		cp_blocking(conn, ask_worker_state, conn);
	if (strcmp(command, "blocking-end\n") == 0)
		cp_blocking(conn, ask_for_its_end, conn);
	if (strcmp(command, "at-end\n") == 0)
		cp_at_end(conn, receive, conn);
	if (strcmp(command, "thread\n") == 0 && pthread_create(&thread, NULL, send_on_thread, conn) == 0)
		pthread_join(thread, NULL);
	if (strcmp(command, "relayed\n") == 0)
		return receive_after_relay(conn);
	if (strcmp(command, "stale\n") == 0)
		return send_to_kept(conn);
	if (strcmp(command, "errors\n") == 0)
		return say_errors(conn);
	if (strcmp(command, "seven\n") == 0)
		return 7;
	if (strcmp(command, "no-relay\n") == 0)
		return CP_RELAY;
	return CP_DONE;
}

static int
configure(const void *settings, void **ret_state, struct cp_error *error)
{
	(void)error;
	*ret_state = (void *)(uintptr_t)settings;
	if (((const struct settings *)settings)->misuse)
		receive(*ret_state);
	return 0;
}

static int
serve(struct cp_conn *conn)
{
	char line[32];
	ssize_t n = cp_read_line(conn, line, sizeof(line));

	if (n <= 0)
		return (int)n;
	if (strcmp(line, "hold\n") == 0)
		return hold(conn);
	if (strcmp(line, "overflow\n") == 0)
		return cp_printf(conn, "%d\n", overflow(1 << 20)) < 0 ? -1 : CP_DONE;
	if (strcmp(line, "miscount\n") == 0)
		cp_count(conn, 1, 1);
	return misuse(conn, line);
}

const struct cp_handler connpoold_handler = {
	.abi = CP_HANDLER_ABI,
	.name = "rude",
	.serve = serve,
	.options = options,
	.settings_size = sizeof(struct settings),
	.configure = configure,
	.counters = counters,
};
