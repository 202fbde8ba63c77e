/* SPDX-License-Identifier: MIT */
/*
 * verdict_run.c - starts the command, reads what it writes, ends it when its time is over.
 *
 * What it writes to standard output is its verdict's text; what it writes to standard error is for the operator, and
 * goes to the log. Children that it leaves behind may hold the pipes open: a run is over when the command has ended,
 * not when its pipes have. It never waits: it is on the main thread.
 */
#include "config.h"

#include "service/verdict_run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/errmsg.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "base/units.h"
#include "service/verdict.h"

/* Of standard error, a run. */
#define ERRORS_MAX 4096u
/* Read at once: one turn of the loop is not for one program alone. */
#define PIECE_BYTES (16u * 1024)
/* Read of what a program that has ended left in a pipe: more than a pipe holds by default. */
#define REST_PIECES 64

/* ---- what it writes -------------------------------------------------------------------- */

/* Room for more of it; false: the limit is reached, or there is no memory. */
static bool
make_room(struct verdict_capture *capture)
{
	size_t room = capture->room == 0 ? 1024 : capture->room * 2;
	char *grown;

	if (capture->length < capture->room)
		return true;
	if (capture->room >= capture->limit)
		return false;
	if (room > capture->limit)
		room = capture->limit;
	grown = mem_realloc_array(capture->text, room, 1);
	if (grown == NULL)
		return false;
	capture->text = grown;
	capture->room = room;
	return true;
}

static void
keep(struct verdict_capture *capture, const char *piece, size_t size)
{
	while (size > 0 && make_room(capture)) {
		size_t part = capture->room - capture->length;

		if (part > size)
			part = size;
		memcpy(capture->text + capture->length, piece, part);
		capture->length += part;
		piece += part;
		size -= part;
	}
	capture->is_cut |= size > 0;
}

/* Some of it: false when there is no more now, or ever. What is beyond the limit is thrown away: the program goes on.
 */
static bool
read_piece(struct verdict_capture *capture)
{
	char piece[PIECE_BYTES];
	ssize_t n;

	do
		n = read(capture->fds[0], piece, sizeof(piece));
	while (n < 0 && errno == EINTR);
	if (n > 0)
		keep(capture, piece, (size_t)n);
	return n > 0;
}

static void
on_output(struct loop *loop, struct watch *watch, uint32_t events)
{
	(void)loop;
	(void)events;
	(void)read_piece(CP_CONTAINER_OF(watch, struct verdict_capture, watch));
}

/* 0 or -errno, and then nothing is open. */
static int
begin_capture(struct verdict_capture *capture, struct loop *loop, size_t limit)
{
	int rc = 0;

	*capture = (struct verdict_capture){.watch.fn = on_output, .fds = {-1, -1}, .limit = limit};
	if (pipe2(capture->fds, O_CLOEXEC) < 0)
		return -errno;
	/* Our end alone: programs count on a pipe that takes all that they write. */
	if (fcntl(capture->fds[0], F_SETFL, O_NONBLOCK) < 0)
		rc = -errno;
	if (rc == 0)
		rc = loop_add(loop, &capture->watch, capture->fds[0], EPOLLIN);
	if (rc < 0) {
		fd_close(&capture->fds[0]);
		fd_close(&capture->fds[1]);
	}
	return rc;
}

static void
end_capture(struct verdict_capture *capture, struct loop *loop)
{
	if (capture->fds[0] >= 0)
		loop_remove(loop, &capture->watch, capture->fds[0]);
	fd_close(&capture->fds[0]);
	fd_close(&capture->fds[1]);
}

static void
read_rest(struct verdict_capture *capture)
{
	for (int i = 0; i < REST_PIECES && read_piece(capture); i++)
		continue;
}

/* ---- its end --------------------------------------------------------------------------- */

static void
close_streams(struct verdict_run *run)
{
	timer_clear(&run->loop->wheel, &run->timer);
	ending_over(&run->ending);
	end_capture(&run->output, run->loop);
	end_capture(&run->errors, run->loop);
	run->state = RUN_NONE;
}

static void
on_ended(struct program *program)
{
	struct verdict_run *run = CP_CONTAINER_OF(program, struct verdict_run, program);

	read_rest(&run->output);
	read_rest(&run->errors);
	close_streams(run);
	run->over(run);
}

static void
begin_to_end(struct verdict_run *run)
{
	run->state = RUN_ENDING;
	timer_clear(&run->loop->wheel, &run->timer);
	ending_begin(&run->ending, run->options->program.kill_timeout_ms);
}

void
verdict_run_kill(struct verdict_run *run)
{
	run->state = RUN_ENDING;
	run->is_unwanted |= !run->is_late;
	timer_clear(&run->loop->wheel, &run->timer);
	ending_kill(&run->ending);
}

static void
on_timer(struct timer *timer)
{
	struct verdict_run *run = CP_CONTAINER_OF(timer, struct verdict_run, timer);

	run->is_late = true;
	run->late(run);
	begin_to_end(run);
}

void
verdict_run_stop(struct verdict_run *run)
{
	run->is_unwanted = true;
	if (run->state == RUN_UNDER_WAY)
		begin_to_end(run);
}

void
verdict_run_clear(struct verdict_run *run)
{
	CP_ASSERT(run->state == RUN_NONE);
	mem_freep(&run->output.text);
	mem_freep(&run->errors.text);
	run->options = NULL;
}

/* ---- its beginning ----------------------------------------------------------------------- */

static int
begin_streams(struct verdict_run *run)
{
	int rc = begin_capture(&run->output, run->loop, (size_t)run->options->max_output_bytes);
	int rc_errors = begin_capture(&run->errors, run->loop, ERRORS_MAX);

	return rc < 0 ? rc : rc_errors;
}

int
verdict_run_start(struct verdict_run *run, const struct check_options *options, const struct program_name *name)
{
	struct program_streams streams = {.fds = {PROGRAM_STREAM_NULL}};
	int rc;

	CP_ASSERT(run->state == RUN_NONE && run->options == NULL);
	run->options = options;
	run->timer.fn = on_timer;
	run->is_late = run->is_unwanted = false;
	run->program = (struct program){.ended = on_ended};
	ending_init(&run->ending, &run->program, run->loop);
	rc = begin_streams(run);
	if (rc < 0) {
		run->program.result =
			(struct program_result){.how = PROGRAM_NOT_STARTED, .step = PROGRAM_STEP_STREAMS, .error = -rc};
	} else {
		streams.fds[1] = run->output.fds[1];
		streams.fds[2] = run->errors.fds[1];
		rc = program_start(&run->program, run->loop, name, &streams);
	}
	if (rc < 0) {
		close_streams(run);
		return rc;
	}
	run->state = RUN_UNDER_WAY;
	timer_set(&run->loop->wheel, &run->timer, loop_now_ms(run->loop) + run->options->timeout_ms);
	return 0;
}

/* ---- what it comes to ---------------------------------------------------------------------- */

struct verdict_result *
verdict_run_result(const struct verdict_run *run)
{
	const struct program_result *result = &run->program.result;
	char reason[PROGRAM_TEXT_MAX];
	bool is_good;

	if (run->is_late) {
		char time[UNITS_TEXT_MAX];

		snprintf(reason, sizeof(reason), "timed out after %s",
			units_format_time(run->options->timeout_ms, time));
		return verdict_result_new(false, reason, NULL, 0);
	}
	program_format_result(result, &run->options->program, reason);
	if (result->how != PROGRAM_EXITED)
		return verdict_result_new(false, reason, NULL, 0);
	is_good = result->status == 0;
	/* Nothing to say is an answer, but not of what is wrong. */
	if (run->output.length == 0 && !is_good)
		return verdict_result_new(false, reason, NULL, 0);
	return verdict_result_new(is_good, reason, run->output.length > 0 ? run->output.text : "", run->output.length);
}
