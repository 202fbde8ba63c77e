/* SPDX-License-Identifier: MIT */
/*
 * crash.c - a module that ends the daemon in each way there is: in serve(), by command, or in another function of it,
 * by option.
 *
 * Commands, a line each: see commands[]. frame N, deep N: two frames, or as many as it takes, with an array of N bytes.
 */
#include <connpoold/handler.h>

#include <alloca.h>
#include <assert.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct settings {
	char *where;
};

static const struct cp_option options[] = {
	CP_OPT_STRING(struct settings, where, "where", "", "The function that crashes."),
	CP_OPT_END,
};

static int *volatile nowhere;
static volatile int zero;

__attribute__((noinline)) static void
crash_on_null(void)
{
	*nowhere = 1;
}

__attribute__((noinline)) static void
crash_by_division(void)
{
	zero = 7 / zero;
}

__attribute__((noinline)) static void
crash_by_assert(void)
{
	assert(zero == 1);
}

__attribute__((noinline)) static void
crash_by_abort(void)
{
	abort();
}

__attribute__((noinline)) static void
crash_by_trap(void)
{
	__builtin_trap();
}

__attribute__((noinline)) static void
crash_by_exit(void)
{
	exit(zero);
}

__attribute__((noinline)) static void
crash_by_exit_78(void)
{
	exit(78);
}

__attribute__((noinline)) static void
crash_by_quick_exit(void)
{
	quick_exit(3);
}

__attribute__((noinline)) static void
crash_by__exit(void)
{
	_exit(zero);
}

/* Not a crash: a child of the handler's own ends. */
static void
fork_and_exit(void)
{
	pid_t child = fork();

	if (child == 0)
		exit(0);
}

static const struct {
	const char *name;
	void (*fn)(void);
} commands[] = {
	{"null", crash_on_null},
	{"division", crash_by_division},
	{"assert", crash_by_assert},
	{"abort", crash_by_abort},
	{"trap", crash_by_trap},
	{"exit", crash_by_exit},
	{"exit-78", crash_by_exit_78},
	{"quick-exit", crash_by_quick_exit},
	{"_exit", crash_by__exit},
	{"fork", fork_and_exit},
};

/* ---- stacks ------------------------------------------------------------------------- */

/* Touches the far end of the array alone, as code does that was compiled without -fstack-clash-protection. */
#define FRAME(bytes) \
	__attribute__((noinline)) static int frame_of_##bytes(int depth) \
	{ \
		volatile char room[bytes]; \
\
		room[0] = (char)depth; \
		return depth == 0 ? room[0] : frame_of_##bytes(depth - 1) + room[0]; \
	}

FRAME(1000)
FRAME(60000)
FRAME(98304)
FRAME(500000)

__attribute__((noinline)) static int
frame_of_alloca(int bytes)
{
	volatile char *room = alloca((size_t)bytes);

	room[0] = 1;
	return room[0];
}

static int
overflow(const char *kind)
{
	if (strcmp(kind, "recursion") == 0)
		return frame_of_1000(1 << 20);
	if (strcmp(kind, "60000") == 0)
		return frame_of_60000(2);
	if (strcmp(kind, "98304") == 0)
		return frame_of_98304(0);
	if (strcmp(kind, "500000") == 0)
		return frame_of_500000(0);
	return frame_of_alloca(300000 + zero);
}

/* ---- the handler ------------------------------------------------------------------------ */

static void
block_and_crash(void *arg)
{
	(void)arg;
	crash_on_null();
}

static int
serve(struct cp_conn *conn)
{
	const struct settings *settings = cp_state(conn);
	char line[32];
	ssize_t n = cp_read_line(conn, line, sizeof(line));

	if (n <= 0)
		return (int)n;
	line[strcspn(line, "\n")] = '\0';
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(line, commands[i].name) == 0)
			commands[i].fn();
	}
	if (strncmp(line, "overflow ", 9) == 0)
		return cp_printf(conn, "%d\n", overflow(line + 9)) < 0 ? -1 : CP_DONE;
	if (strcmp(line, "blocking") == 0 && cp_blocking(conn, block_and_crash, NULL) < 0)
		return -1;
	if (strcmp(line, "worker") == 0 && cp_worker_state(conn) == NULL)
		return -1;
	return cp_printf(conn, "survived %s\n", settings->where) < 0 ? -1 : CP_DONE;
}

static void
crash_if(const struct settings *settings, const char *where)
{
	if (strcmp(settings->where, where) == 0)
		crash_on_null();
}

static int
configure(const void *data, void **ret_state, struct cp_error *error)
{
	(void)error;
	crash_if(data, "configure");
	*ret_state = (void *)(uintptr_t)data;
	return 0;
}

static void
release(void *state)
{
	crash_if(state, "release");
}

static int
worker_start(void *state, void **ret_data)
{
	crash_if(state, "worker_start");
	*ret_data = state;
	return 0;
}

static void
worker_end(void *data)
{
	crash_if(data, "worker_end");
}

#ifdef CRASH_AT_LOAD
__attribute__((constructor)) static void
crash_at_load(void)
{
	crash_on_null();
}
#endif

const struct cp_handler connpoold_handler = {
	.abi = CP_HANDLER_ABI,
	.name = "crash",
	.serve = serve,
	.options = options,
	.settings_size = sizeof(struct settings),
	.configure = configure,
	.release = release,
	.worker_start = worker_start,
	.worker_end = worker_end,
#ifdef CRASH_AT_TABLE
	.counters = (const char *const *)16,
#endif
};
