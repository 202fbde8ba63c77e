/* SPDX-License-Identifier: MIT */
/*
 * probe.c - see probe.h.
 *
 * CLOSING: with a plain close(2), that is with a FIN, never with a reset (SO_LINGER 0). Some servers log each reset as
 * an error, and some count them against the host (MySQL: max_connect_errors) until it is shut out. The price is a local
 * port for a minute a check; the port is bound to that one server, so it does not run short for others.
 */
#include "config.h"

#include "upstream/probe.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "upstream/server.h"

#define PROBE_MAGIC 0x70726f62u

enum probe_step { PROBE_STEP_CONNECT, PROBE_STEP_SEND, PROBE_STEP_READ };

static const char *const step_words[] = {
	[PROBE_STEP_CONNECT] = "connect",
	[PROBE_STEP_SEND] = "send",
	[PROBE_STEP_READ] = "answer",
};

/* ---- its end --------------------------------------------------------------------------- */

/* Gives back what tells the loop of it; what was read stays. */
static void
disconnect(struct probe *probe)
{
	timer_clear(&probe->loop->wheel, &probe->deadline);
	if (probe->fd < 0)
		return;
	/* A module that forks shares it: so it does not leave the set by being closed. */
	loop_remove(probe->loop, &probe->watch, probe->fd);
	fd_close(&probe->fd);
}

static void
drop_input(struct probe *probe)
{
	mem_freep(&probe->input);
	probe->input_size = 0;
}

static void
finish(struct probe *probe, enum probe_end end, const struct errmsg *err)
{
	disconnect(probe);
	probe->done(probe, end, err);
	drop_input(probe);
}

/* What is short here, and not over there. No free port (EADDRNOTAVAIL) is not of it: clients can't get there either. */
static bool
is_shortage(int error)
{
	switch (error) {
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case ENOBUFS:
		return true;
	default:
		return false;
	}
}

/* At the step it is in. */
static void
fail(struct probe *probe, int error)
{
	struct errmsg err;

	errmsg_set(&err, "%s: %s", step_words[probe->step], errmsg_errno(error));
	finish(probe, is_shortage(error) ? PROBE_SKIPPED : PROBE_FAILED, &err);
}

static void
succeed(struct probe *probe, enum probe_end end)
{
	struct errmsg err;

	errmsg_set(&err, "%s", end == PROBE_OK ? "it works" : "its end came too early");
	finish(probe, end, &err);
}

static void
on_deadline(struct timer *timer)
{
	struct probe *probe = CP_CONTAINER_OF(timer, struct probe, deadline);
	struct errmsg err;

	CP_CHECK_MAGIC(probe, PROBE_MAGIC);
	if (probe->step == PROBE_STEP_READ)
		errmsg_set(&err, "no answer within %" PRIu64 " ms", probe->timeout_ms);
	else
		errmsg_set(&err, "%s: no answer within %" PRIu64 " ms", step_words[probe->step], probe->timeout_ms);
	finish(probe, probe->step == PROBE_STEP_READ ? PROBE_LATE : PROBE_FAILED, &err);
}

/* ---- its steps --------------------------------------------------------------------------- */

static void
read_on(struct probe *probe)
{
	/* Not until it is used up: the loop comes back here, and others have their turn in between. */
	ssize_t n = recv(probe->fd, probe->input + probe->input_size, probe->input_max - probe->input_size,
		MSG_DONTWAIT);

	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			fail(probe, errno);
		return;
	}
	probe->input_size += (size_t)n;
	if (n > 0 && probe->is_enough(probe))
		succeed(probe, PROBE_OK);
	else if (n == 0 || probe->input_size == probe->input_max)
		succeed(probe, PROBE_ENDED);
}

static void
after_sending(struct probe *probe)
{
	int rc;

	if (probe->input == NULL) {
		succeed(probe, PROBE_OK);
		return;
	}
	probe->step = PROBE_STEP_READ;
	rc = loop_modify(probe->loop, &probe->watch, probe->fd, EPOLLIN);
	if (rc < 0)
		fail(probe, -rc);
}

static void
send_on(struct probe *probe)
{
	const size_t size = strlen(probe->unsent);
	ssize_t n = size > 0 ? send(probe->fd, probe->unsent, size, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			fail(probe, errno);
		return;
	}
	probe->unsent += n;
	if (*probe->unsent == '\0')
		after_sending(probe);
}

/*
 * Connecting to a port of this machine that nobody listens on, the kernel may happen to choose that very port for our
 * end, and TCP connects the socket to itself: a server that is gone would pass.
 */
static bool
is_its_own_peer(int fd)
{
	struct sockaddr_storage here = {.ss_family = AF_UNSPEC};
	struct sockaddr_storage there = {.ss_family = AF_UNSPEC};
	socklen_t here_size = sizeof(here);
	socklen_t there_size = sizeof(there);

	if (getsockname(fd, (struct sockaddr *)&here, &here_size) < 0 || here.ss_family == AF_UNIX ||
		getpeername(fd, (struct sockaddr *)&there, &there_size) < 0)
		return false;
	return here_size == there_size && memcmp(&here, &there, here_size) == 0;
}

static void
after_connecting(struct probe *probe)
{
	int error = 0;
	socklen_t size = sizeof(error);

	if (getsockopt(probe->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		error = errno;
	if (error == 0 && is_its_own_peer(probe->fd))
		error = ECONNREFUSED;
	if (error != 0) {
		fail(probe, error);
		return;
	}
	probe->step = PROBE_STEP_SEND;
	send_on(probe);
}

static void
on_event(struct loop *loop, struct watch *watch, uint32_t events)
{
	struct probe *probe = CP_CONTAINER_OF(watch, struct probe, watch);

	(void)loop;
	(void)events;
	CP_CHECK_MAGIC(probe, PROBE_MAGIC);
	/* Errors and hang-ups too are told by the calls that meet them. */
	switch ((enum probe_step)probe->step) {
	case PROBE_STEP_CONNECT:
		after_connecting(probe);
		break;
	case PROBE_STEP_SEND:
		send_on(probe);
		break;
	case PROBE_STEP_READ:
		read_on(probe);
		break;
	}
}

/* ---- its life ------------------------------------------------------------------------------ */

void
probe_init(struct probe *probe, struct loop *loop, probe_is_enough_fn *is_enough, probe_done_fn *done)
{
	*probe = (struct probe){
		.magic = PROBE_MAGIC,
		.loop = loop,
		.is_enough = is_enough,
		.done = done,
		.watch.fn = on_event,
		.deadline.fn = on_deadline,
		.fd = -1,
	};
}

void
probe_fini(struct probe *probe)
{
	if (probe->magic != PROBE_MAGIC)
		return;
	probe_stop(probe);
	probe->magic = 0;
}

/* 0 or a positive errno. */
static int
open_connection(struct probe *probe, const struct server_address *address)
{
	int rc;

	probe->fd = socket(address->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (probe->fd < 0)
		return errno;
	/* Interrupted or not, the attempt goes on by itself. */
	if (connect(probe->fd, &address->sa, address->length) < 0 && errno != EINPROGRESS && errno != EINTR)
		return errno;
	/* A Unix socket is connected by now; the loop says so at once. */
	rc = loop_add(probe->loop, &probe->watch, probe->fd, EPOLLOUT);
	return rc == -ENOSPC ? ENOBUFS : -rc;
}

void
probe_start(struct probe *probe, const struct probe_task *task)
{
	int error;

	CP_CHECK_MAGIC(probe, PROBE_MAGIC);
	CP_ASSERT(!probe_is_running(probe));
	CP_ASSERT(task->read_max == 0 || probe->is_enough != NULL);
	probe->step = PROBE_STEP_CONNECT;
	probe->unsent = task->send != NULL ? task->send : "";
	probe->timeout_ms = task->timeout_ms;
	probe->input_max = task->read_max;
	if (task->read_max > 0) {
		probe->input = mem_zalloc(task->read_max);
		if (probe->input == NULL) {
			fail(probe, ENOMEM);
			return;
		}
	}
	error = open_connection(probe, task->address);
	if (error != 0) {
		fail(probe, error);
		return;
	}
	timer_set(&probe->loop->wheel, &probe->deadline, loop_now_ms(probe->loop) + task->timeout_ms);
}

void
probe_stop(struct probe *probe)
{
	CP_CHECK_MAGIC(probe, PROBE_MAGIC);
	disconnect(probe);
	drop_input(probe);
}

bool
probe_is_running(const struct probe *probe)
{
	return probe->fd >= 0;
}
