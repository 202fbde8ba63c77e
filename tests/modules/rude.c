/* SPDX-License-Identifier: MIT */
/*
 * rude.c - a module that does what none should: it blocks its worker, overflows its stack, miscounts.
 *
 * Commands, a line each: hold (until somebody writes to the pipe that the option names), overflow, miscount.
 */
#include <connpoold/handler.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct settings {
	char *pipe;
};

static const struct cp_option options[] = {
	CP_OPT_STRING(struct settings, pipe, "pipe", NULL, "What it waits for."),
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
	return CP_DONE;
}

const struct cp_handler connpoold_handler = {
	.abi = CP_HANDLER_ABI,
	.name = "rude",
	.serve = serve,
	.options = options,
	.settings_size = sizeof(struct settings),
	.counters = counters,
};
