/* SPDX-License-Identifier: MIT */
/*
 * exec_wait.c - one run of a program that has the listening socket.
 *
 * It holds the route, and with it its generation of the config: a reload that changes what the next one is leaves this
 * one as it is.
 */
#include "config.h"

#include "service/exec_wait.h"

#include <errno.h>
#include <sys/ioctl.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "conf/conf.h"
#include "connpoold/handler.h"
#include "engine/loop.h"
#include "net/conn.h"
#include "net/listener.h"
#include "net/route.h"
#include "service/exec.h"
#include "service/registry.h"

static const struct exec *
exec_of(const struct route *route)
{
	return route->state.data;
}

bool
exec_has_wait(const struct conf_service *service)
{
	const struct exec_options *options = service->options;

	return registry_handler(service) == &exec_handler && options->wait;
}

bool
exec_wait_is_running(const struct exec_wait *run)
{
	return run->route != NULL;
}

/* ---- what the log says ------------------------------------------------------------------ */

static void
add_names(struct log_record *record, const struct route *route)
{
	log_record_add(record, "LISTENER", "%s", route->listener->name);
	log_record_add(record, "SERVICE", "%s", exec_handler.name);
}

static void
log_start_of(const struct route *route)
{
	const char *path = exec_of(route)->options->program.command.items[0];
	struct log_record record;

	log_record_init(&record, LOG_LEVEL_INFO, LOG_EVENT_NONE,
		"listener '%s': a client waits, %s gets the socket and accepts by itself", route->listener->name, path);
	add_names(&record, route);
	log_record_add(&record, "PROGRAM", "%s", path);
	log_record_commit(&record);
}

static void
log_end_of(const struct exec_wait *run, uint64_t now_ns)
{
	const struct program_result *result = &run->program.result;
	bool is_good = (result->how == PROGRAM_EXITED && result->status == 0) || run->ending.has_begun;
	uint64_t ran_ns = now_ns - run->started_ns;
	struct conn_program ended;
	struct log_record record;

	exec_describe_end(exec_of(run->route)->options, result, &ended);
	log_record_init(&record, is_good ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, LOG_EVENT_PROGRAM_ENDED,
		"listener '%s': %s, which accepted by itself for %.1f s, has ended: %s", run->route->listener->name,
		ended.path, (double)ran_ns / (double)CLOCK_NS_PER_S, ended.text);
	add_names(&record, run->route);
	conn_program_record(&ended, &record);
	log_record_add(&record, "DURATION_USEC", "%llu", (unsigned long long)(ran_ns / 1000));
	log_record_commit(&record);
}

static void
log_error_line(struct error_lines *lines, const char *text)
{
	const struct exec_wait *run = CP_CONTAINER_OF(lines, struct exec_wait, errors);
	struct log_record record;

	log_record_init(&record, LOG_LEVEL_NOTICE, LOG_EVENT_NONE, "listener '%s': stderr: %s",
		run->route->listener->name, text);
	add_names(&record, run->route);
	log_record_commit(&record);
}

/* ---- its end ----------------------------------------------------------------------------- */

static void
finish(struct exec_wait *run)
{
	ending_over(&run->ending);
	error_lines_close(&run->errors);
	log_end_of(run, run->loop->now_ns);
	route_unref(&run->route);
}

static void
on_ended(struct program *program)
{
	struct exec_wait *run = CP_CONTAINER_OF(program, struct exec_wait, program);

	finish(run);
	run->over(run);
}

void
exec_wait_kill(struct exec_wait *run)
{
	CP_ASSERT(exec_wait_is_running(run));
	ending_kill(&run->ending);
}

void
exec_wait_end(struct exec_wait *run)
{
	CP_ASSERT(exec_wait_is_running(run));
	ending_begin(&run->ending, exec_of(run->route)->options->program.kill_timeout_ms);
}

/* ---- its beginning ----------------------------------------------------------------------- */

static int
start(struct exec_wait *run, int socket_fd)
{
	const struct exec *exec = exec_of(run->route);
	struct program_streams streams = {.fds = {socket_fd, socket_fd, PROGRAM_STREAM_NULL}};
	int blocking = 0;
	int rc = 0;

	if (exec->options->stderr_to == EXEC_STDERR_LOG)
		rc = error_lines_open(&run->errors, run->loop, log_error_line);
	if (rc == 0 && ioctl(socket_fd, FIONBIO, &blocking) < 0)
		rc = -errno;
	if (rc < 0) {
		run->program.result =
			(struct program_result){.how = PROGRAM_NOT_STARTED, .step = PROGRAM_STEP_STREAMS, .error = -rc};
		return rc;
	}
	streams.fds[2] = run->errors.write_fd;
	return program_start(&run->program, run->loop, &exec->name, &streams);
}

int
exec_wait_start(struct exec_wait *run, struct loop *loop, struct route *route, int socket_fd)
{
	int rc;

	CP_ASSERT(!exec_wait_is_running(run));
	run->program = (struct program){.ended = on_ended};
	run->route = route_ref(route);
	run->loop = loop;
	ending_init(&run->ending, &run->program, loop);
	run->started_ns = loop->now_ns;
	run->errors.write_fd = -1;
	log_start_of(route);
	rc = start(run, socket_fd);
	if (rc < 0)
		finish(run);
	return rc;
}
