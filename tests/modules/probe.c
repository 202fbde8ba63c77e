/* SPDX-License-Identifier: MIT */
/*
 * probe.c - a module that says what it was told and what was done to it. Built twice, with two answers, as one file and
 * the one that replaces it.
 *
 * Commands, a line each: reply, settings, worker, count, log, fail, leave.
 */
#include <connpoold/handler.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct settings {
	bool loud;
	uint64_t times;
	uint64_t room_bytes;
	uint64_t patience_ms;
	char *greeting;
	struct cp_strings names;
	int mood;
	char *trace;
	char *refuse;
};

struct state {
	const struct settings *settings;
	atomic_uint workers; /* started; every worker counts */
};

enum { COUNTED_CONNECTIONS, COUNTED_COMMANDS };

static const char *const counters[] = {"connections", "commands", NULL};

static const struct cp_word moods[] = {{"glad", 1}, {"sad", 2}, {NULL, 0}};

static const struct cp_option options[] = {
	CP_OPT_BOOL(struct settings, loud, "loud", "false", "Shouts."),
	CP_OPT_NUMBER(struct settings, times, "times", 1, 9, "3", "How often."),
	CP_OPT_SIZE(struct settings, room_bytes, "room", 1024, 1 << 20, "4KiB", "How much."),
	CP_OPT_TIME(struct settings, patience_ms, "patience", 0, 60000, "1500ms", "How long."),
	CP_OPT_STRING(struct settings, greeting, "greeting", "hello", "What is said."),
	CP_OPT_STRINGS(struct settings, names, "names", "To whom."),
	CP_OPT_WORD(struct settings, mood, "mood", moods, "glad", "How."),
	CP_OPT_STRING(struct settings, trace, "trace", NULL, "A file that is told what is called."),
	CP_OPT_STRING(struct settings, refuse, "refuse", NULL, "Why configure() refuses."),
	CP_OPT_END,
};

static void
trace(const struct settings *settings, const char *what)
{
	char line[64];
	int length = snprintf(line, sizeof(line), "%s %s\n", REPLY, what);
	int fd = settings->trace != NULL ? open(settings->trace, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;

	if (fd < 0)
		return;
	if (write(fd, line, (size_t)length) != length)
		abort();
	close(fd);
}

static int
configure(const void *data, void **ret_state, struct cp_error *error)
{
	const struct settings *settings = data;
	struct state *state;

	if (settings->refuse != NULL && settings->refuse[0] == '\0') {
		errno = ENOTDIR;
		return -1;
	}
	if (settings->refuse != NULL)
		return cp_error_set(error, "cannot: %s", settings->refuse);
	state = calloc(1, sizeof(*state));
	if (state == NULL)
		return -1;
	state->settings = settings;
	trace(settings, "configure");
	*ret_state = state;
	return 0;
}

static void
release(void *data)
{
	struct state *state = data;

	trace(state->settings, "release");
	free(state);
}

struct worker {
	const struct state *state;
	unsigned number;
};

static int
worker_start(void *data, void **ret_worker)
{
	struct state *state = data;
	struct worker *worker = malloc(sizeof(*worker));

	if (worker == NULL)
		return -1;
	worker->state = state;
	worker->number = atomic_fetch_add(&state->workers, 1) + 1;
	trace(state->settings, "worker_start");
	*ret_worker = worker;
	return 0;
}

static void
worker_end(void *data)
{
	struct worker *worker = data;

	trace(worker->state->settings, "worker_end");
	free(worker);
}

static ssize_t
say_settings(struct cp_conn *conn, const struct settings *s)
{
	char names[256] = "";

	for (size_t i = 0; i < s->names.count; i++) {
		strncat(names, s->names.items[i], sizeof(names) - strlen(names) - 1);
		strncat(names, "+", sizeof(names) - strlen(names) - 1);
	}
	return cp_printf(conn, "%d %" PRIu64 " %" PRIu64 " %" PRIu64 " %s %s %d\n", s->loud, s->times, s->room_bytes,
		s->patience_ms, s->greeting, names, s->mood);
}

static int
serve(struct cp_conn *conn)
{
	const struct state *state = cp_state(conn);
	char command[64];
	ssize_t n = cp_recv(conn, command, sizeof(command) - 1);

	if (n <= 0)
		return (int)n;
	command[n] = '\0';
	cp_count(conn, COUNTED_COMMANDS, 1);
	if (strcmp(command, "reply\n") == 0) {
		n = cp_printf(conn, "%s\n", REPLY);
	} else if (strcmp(command, "settings\n") == 0) {
		n = say_settings(conn, state->settings);
	} else if (strcmp(command, "worker\n") == 0) {
		const struct worker *worker = cp_worker_state(conn);

		n = cp_printf(conn, "worker %u\n", worker != NULL ? worker->number : 0);
	} else if (strcmp(command, "count\n") == 0) {
		cp_count(conn, COUNTED_CONNECTIONS, 40);
		n = cp_printf(conn, "counted\n");
	} else if (strcmp(command, "log\n") == 0) {
		cp_log(conn, CP_LOG_NOTICE, "was told to");
		n = cp_printf(conn, "logged\n");
	} else if (strcmp(command, "leave\n") == 0) {
		return CP_DONE;
	} else {
		errno = EPROTO;
		return -1;
	}
	return n < 0 ? -1 : CP_PARK;
}

const struct cp_handler connpoold_handler = {
	.abi = CP_HANDLER_ABI,
	.name = "probe",
	.flags = CP_CLIENT_FIRST,
	.serve = serve,
	.options = options,
	.settings_size = sizeof(struct settings),
	.configure = configure,
	.release = release,
	.worker_start = worker_start,
	.worker_end = worker_end,
	.counters = counters,
};
