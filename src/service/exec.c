/* SPDX-License-Identifier: MIT */
/*
 * exec.c - a program with the connection as its standard input and output.
 *
 * The fiber asks the spawner for it and waits until it has ended; until then the descriptor is the program's, and
 * nothing here reads it, writes it or is woken by it. The end of the program, which the spawner tells, is the end of
 * what it writes to its standard error too.
 */
#include "config.h"

#include "service/exec.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/errmsg.h"
#include "base/log.h"
#include "base/mem.h"
#include "connpoold/handler.h"
#include "engine/loop.h"
#include "program/ending.h"
#include "program/error_lines.h"
#include "program/spawner.h"
#include "service/session_parts.h"

/* While the daemon stops a program can't have more. */
#define KILL_DRAINING_MS 3000u
/* tcpi_state of a connection whose client has ended its side: the kernel's headers have no name for it. */
#define STATE_CLOSE_WAIT 8
/* A listener says so often that its program can't be started. */
#define WARN_NS CLOCK_NS_PER_S

static const struct option_word stderr_words[] = {
	{.name = "log", .value = EXEC_STDERR_LOG},
	{.name = "client", .value = EXEC_STDERR_CLIENT},
	{.name = "null", .value = EXEC_STDERR_NULL},
	{.name = NULL},
};

const struct option exec_option_rows[] = {
	PROGRAM_OPTION_ROWS(struct exec_options)
		OPT_WORD(struct exec_options, stderr_to, "stderr", stderr_words, "log", OPTION_NEW_CONNECTIONS,
			"Where its standard error goes: to the log, a line each, to the client, or nowhere."),
	OPT_BOOL(struct exec_options, wait, "wait", "false", OPTION_NEW_CONNECTIONS,
		"It gets the listening socket and accepts by itself; nobody else does until it has ended."),
	OPT_END,
};

void
exec_check_options(const void *section, const struct conf_service_checker *checker)
{
	const struct exec_options *options = section;
	const struct conf_listener *rule = checker->listener;

	program_check_options(section, checker);
	if (!options->wait)
		return;
	if (options->stderr_to == EXEC_STDERR_CLIENT)
		conf_service_fault(checker, "stderr", 0,
			"\"client\" is none that a program with wait = true has, expected \"log\" or \"null\"");
	if (rule->allow.count > 0 || rule->deny.count > 0 || rule->accept_proxy || rule->max_connections > 0 ||
		rule->max_per_source > 0)
		conf_service_fault(checker, "wait", 0,
			"true lets the program accept by itself, whoever comes: expected no allow, deny, accept_proxy, "
			"max_connections or max_per_source for this listener");
}

/* A program's run; on its fiber's stack. */
struct run {
	struct program program;
	struct session_wait wait;
	struct session *session;
	const struct exec *exec;
	struct ending ending;
	struct error_lines errors; /* open when standard error goes to the log */
};

static struct loop *
loop_of(const struct run *run)
{
	return &run->session->sched->loop;
}

/* ---- standard error ------------------------------------------------------------------------- */

static void
log_error_line(struct error_lines *lines, const char *text)
{
	const struct run *run = CP_CONTAINER_OF(lines, struct run, errors);

	session_log(run->session, LOG_LEVEL_NOTICE, "stderr: %s", text);
}

/* ---- ending it ---------------------------------------------------------------------------------- */

static uint64_t
patience_ms(const struct run *run)
{
	uint64_t ms = run->exec->options->program.kill_timeout_ms;

	bool is_draining = atomic_load_explicit(&run->session->sched->draining, memory_order_relaxed);

	return is_draining && ms > KILL_DRAINING_MS ? KILL_DRAINING_MS : ms;
}

/* The connection must end. It does when the program has. */
static bool
let_go_of_program(struct session_wait *wait)
{
	struct run *run = CP_CONTAINER_OF(wait, struct run, wait);

	ending_begin(&run->ending, patience_ms(run));
	return false;
}

static void
on_ended(struct program *program)
{
	session_resume(CP_CONTAINER_OF(program, struct run, program)->session);
}

/* ---- running it ------------------------------------------------------------------------------------ */

static int
start(struct run *run)
{
	struct session *session = run->session;
	struct program_streams streams = {.has_client = true, .peer = session->conn.from.peer};
	int fd = session->conn.from.fd;
	int blocking = 0;
	int rc;

	if (run->exec->options->stderr_to == EXEC_STDERR_LOG) {
		rc = error_lines_open(&run->errors, loop_of(run), log_error_line);
		if (rc < 0)
			return rc;
	}
	/* Programs do not expect EAGAIN. Nothing here waits for the descriptor any more: MSG_DONTWAIT from now on. */
	session_unwatch(session);
	session_share(session);
	if (ioctl(fd, FIONBIO, &blocking) < 0)
		return -errno;
	streams.fds[0] = fd;
	streams.fds[1] = fd;
	streams.fds[2] = run->exec->options->stderr_to == EXEC_STDERR_CLIENT ? fd : run->errors.write_fd;
	return program_start(&run->program, loop_of(run), &run->exec->name, &streams);
}

/* What the program has moved, as TCP has counted it; nobody counts for a Unix socket. */
static void
count_bytes(struct conn *conn)
{
	struct tcp_info info;
	socklen_t length = sizeof(info);
	int unread = 0;
	uint64_t received;

	if (!conn->from.route->conf->log.connections)
		return;
	memset(&info, 0, sizeof(info));
	if (getsockopt(conn->from.fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0)
		return;
	if (ioctl(conn->from.fd, SIOCINQ, &unread) < 0)
		unread = 0;
	/* The end of its input counts as a byte. */
	received = info.tcpi_bytes_received - (info.tcpi_state == STATE_CLOSE_WAIT ? 1 : 0);
	conn->bytes_in = received - (uint64_t)unread;
	conn->bytes_out = info.tcpi_bytes_sent - info.tcpi_bytes_retrans + info.tcpi_notsent_bytes;
}

void
exec_describe_end(
	const struct exec_options *options, const struct program_result *result, struct conn_program *ret_program)
{
	*ret_program = (struct conn_program){
		.path = options->program.command.items[0],
		.pid = result->pid,
		.status = result->how == PROGRAM_EXITED ? result->status : 0,
		.signal = result->how == PROGRAM_SIGNALLED ? result->status : 0,
		.cpu_usec = result->cpu_usec,
		.memory_peak_bytes = result->memory_peak_bytes,
	};
	_Static_assert(sizeof(ret_program->text) >= PROGRAM_TEXT_MAX, "a result's text");
	(void)program_format_result(result, &options->program, ret_program->text);
}

static void
note_result(struct run *run)
{
	const struct program_result *result = &run->program.result;
	struct conn *conn = &run->session->conn;

	if (result->how == PROGRAM_NOT_STARTED || result->how == PROGRAM_LOST)
		conn_set_end(conn, CONN_END_PROGRAM_FAILED);
	else
		conn_set_end(conn, CONN_END_SERVICE);
	if (!conn->from.route->conf->log.connections)
		return;
	/* Without memory its record says less. */
	conn->program = mem_zalloc(sizeof(*conn->program));
	if (conn->program != NULL)
		exec_describe_end(run->exec->options, result, conn->program);
}

/* Also where connections are not logged: nothing that the listener serves works. */
static void
warn_not_started(struct run *run)
{
	struct exec *exec = cp_state(session_public(run->session));
	uint64_t now_ns = loop_of(run)->now_ns;
	uint64_t before_ns = atomic_load_explicit(&exec->warned_ns, memory_order_relaxed);
	char text[PROGRAM_TEXT_MAX];

	if (run->program.result.how != PROGRAM_NOT_STARTED || (before_ns != 0 && now_ns - before_ns < WARN_NS))
		return;
	if (atomic_compare_exchange_strong(&exec->warned_ns, &before_ns, now_ns))
		session_log(run->session, LOG_LEVEL_WARNING, "%s",
			program_format_result(&run->program.result, &exec->options->program, text));
}

static int
exec_serve(struct cp_conn *conn)
{
	struct session *session = session_of_fiber(conn, "serve");
	struct run run;
	int rc;

	if (session_take_turn(session) < 0)
		return -1;
	memset(&run, 0, offsetof(struct run, errors));
	run.program.ended = on_ended;
	run.wait = (struct session_wait){.what = WAIT_PROGRAM, .end_ms = UINT64_MAX, .let_go = let_go_of_program};
	run.session = session;
	run.exec = cp_state(conn);
	ending_init(&run.ending, &run.program, loop_of(&run));
	run.errors.write_fd = -1;
	rc = start(&run);
	if (rc < 0)
		run.program.result =
			(struct program_result){.how = PROGRAM_NOT_STARTED, .step = PROGRAM_STEP_REQUEST, .error = -rc};
	else
		(void)!session_wait(session, &run.wait);
	ending_over(&run.ending);
	error_lines_close(&run.errors);
	count_bytes(&session->conn);
	note_result(&run);
	warn_not_started(&run);
	return CP_DONE;
}

/* ---- its state --------------------------------------------------------------------------------------- */

static void
exec_release(void *data)
{
	struct exec *exec = data;

	program_name_unref(&exec->name);
	mem_free(exec);
}

int
exec_bind(const struct exec_options *options, unsigned listener, void **ret_data, void (**ret_release)(void *data))
{
	struct exec *exec = mem_zalloc(sizeof(*exec));

	if (exec == NULL)
		return -ENOMEM;
	exec->options = options;
	exec->name = program_name_ref(listener);
	*ret_data = exec;
	*ret_release = exec_release;
	return 0;
}

const struct cp_handler exec_handler = {.abi = CP_HANDLER_ABI, .name = "exec", .serve = exec_serve};
