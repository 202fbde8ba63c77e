/* SPDX-License-Identifier: MIT */
/*
 * spawner_channel.c - programs, as the thread that starts them sees them: requests out, answers in.
 *
 * A channel belongs to its thread: its lists of programs, its descriptor in that thread's loop, no lock. When another
 * spawner has taken over, its requests fail at once and a new channel is opened; the old one stays until its last
 * program has ended. Nothing here waits: what a socket does not take is sent when it does.
 */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "engine/loop.h"
#include "program/spawner.h"
#include "program/spawner_wire.h"

/* While the spawner is started again programs wait for it, and look so often. */
#define REOPEN_MS 20
#define REOPEN_TRIES 250

#define CHANNEL_MAGIC 0x6368616e

struct channel {
	uint32_t magic;
	int fd;          /* -1: there is no spawner; the timer tries again */
	unsigned serial; /* of the spawner at its other end */
	struct loop *loop;
	struct watch watch;
	struct timer timer;
	unsigned tries;
	struct list running; /* of struct program: sent, not yet ended */
	struct list unsent;  /* of struct program: to be started */
	bool watches_output;
};

static _Thread_local struct channel *own;
/* The spawner that this thread has found dead; 0: none. */
static _Thread_local unsigned dead_serial;
static pthread_key_t own_key;
static pthread_once_t own_once = PTHREAD_ONCE_INIT;

static void send_unsent(struct channel *channel);

static bool
is_idle(const struct channel *channel)
{
	return list_is_empty(&channel->running) && list_is_empty(&channel->unsent);
}

/* ---- life ------------------------------------------------------------------------------------ */

/* Its loop may be gone: closing the descriptor is all there is to do. */
static void
on_thread_end(void *arg)
{
	struct channel *channel = CP_CAST(arg, struct channel, CHANNEL_MAGIC);

	CP_ASSERT(is_idle(channel));
	fd_close(&channel->fd);
	channel->magic = 0;
	mem_free(channel);
}

static void
make_key(void)
{
	CP_PTHREAD(pthread_key_create(&own_key, on_thread_end));
}

static void
set_own(struct channel *channel)
{
	CP_PTHREAD(pthread_once(&own_once, make_key));
	own = channel;
	CP_PTHREAD(pthread_setspecific(own_key, channel));
}

static void
channel_free(struct channel **holder)
{
	struct channel *channel = *holder;

	*holder = NULL;
	CP_ASSERT(is_idle(channel));
	if (channel == own)
		set_own(NULL);
	timer_clear(&channel->loop->wheel, &channel->timer);
	if (channel->fd >= 0)
		loop_remove(channel->loop, &channel->watch, channel->fd);
	fd_close(&channel->fd);
	channel->magic = 0;
	mem_free(channel);
}

/* ---- ends -------------------------------------------------------------------------------------- */

/* Its owner's again. */
static void
end_program(struct program *program, const struct program_result *result)
{
	list_remove(&program->link);
	program->channel = NULL;
	program->result = *result;
	program->ended(program);
}

/* Whoever is told may start the next one, on this very channel. */
static void
lose_running(struct channel *channel)
{
	struct program_result lost = {.how = PROGRAM_LOST};
	struct list ending;

	list_init(&ending);
	list_splice_back(&ending, &channel->running);
	while (!list_is_empty(&ending))
		end_program(CP_CONTAINER_OF(ending.next, struct program, link), &lost);
}

void
channel_close_own(void)
{
	struct channel *channel = own;
	struct program_result canceled = {.how = PROGRAM_NOT_STARTED, .step = PROGRAM_STEP_REQUEST, .error = ECANCELED};

	if (channel == NULL)
		return;
	set_own(NULL);
	lose_running(channel);
	while (!list_is_empty(&channel->unsent))
		end_program(CP_CONTAINER_OF(channel->unsent.next, struct program, link), &canceled);
	channel_free(&channel);
}

/* The spawner has closed it, or died. What it had not taken is sent to the next one. */
static void
on_closed(struct channel *channel)
{
	loop_remove(channel->loop, &channel->watch, channel->fd);
	fd_close(&channel->fd);
	channel->watches_output = false;
	/* One that was replaced closes its channels too, but by then another one serves. */
	if (channel->serial == spawner_serial())
		dead_serial = channel->serial;
	lose_running(channel);
	if (!list_is_empty(&channel->unsent))
		send_unsent(channel);
	if (channel->fd < 0 && is_idle(channel))
		channel_free(&channel);
}

static void
take_answer(struct channel *channel, const struct spawner_answer *answer)
{
	struct program *program = (struct program *)(uintptr_t)answer->id;

	CP_ASSERT(program->channel == channel && program->is_sent);
	end_program(program, &answer->result);
}

static void
on_channel(struct loop *loop, struct watch *watch, uint32_t events)
{
	struct channel *channel = CP_CONTAINER_OF(watch, struct channel, watch);
	ssize_t n;

	(void)loop;
	CP_CHECK_MAGIC(channel, CHANNEL_MAGIC);
	if ((events & EPOLLOUT) != 0)
		send_unsent(channel);
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0 || channel->fd < 0)
		return;
	do {
		struct spawner_answer answers[SPAWNER_ANSWERS_MAX];

		n = recv(channel->fd, answers, sizeof(answers), MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n <= 0 || (size_t)n % sizeof(answers[0]) != 0) {
			on_closed(channel);
			return;
		}
		for (size_t i = 0; i < (size_t)n / sizeof(answers[0]); i++)
			take_answer(channel, &answers[i]);
		/* A packet that is not full was the last one, most often; else there will be another event. */
	} while (n == (ssize_t)(SPAWNER_ANSWERS_MAX * sizeof(struct spawner_answer)) && channel->fd >= 0);
	/* Another one has its place already. */
	if (channel != own && is_idle(channel))
		channel_free(&channel);
}

/* ---- sending ------------------------------------------------------------------------------------- */

static void
watch_output(struct channel *channel, bool wanted)
{
	if (channel->fd < 0 || channel->watches_output == wanted)
		return;
	if (loop_modify(channel->loop, &channel->watch, channel->fd, EPOLLIN | (wanted ? (uint32_t)EPOLLOUT : 0)) == 0)
		channel->watches_output = wanted;
}

static int
send_start(const struct channel *channel, const struct program *program)
{
	struct spawner_request request = {.verb = SPAWNER_START,
		.id = (uintptr_t)program,
		.digest = program->name.digest,
		.listener = program->name.listener,
		.has_client = program->streams.has_client,
		.peer = program->streams.peer};
	int fds[WIRE_FDS_MAX];
	unsigned count = 0;

	for (unsigned i = 0; i < 3; i++) {
		unsigned k = 0;

		while (k < count && fds[k] != program->streams.fds[i])
			k++;
		request.streams[i] = (int8_t)(program->streams.fds[i] < 0 ? -1 : (int)k);
		if (program->streams.fds[i] >= 0 && k == count)
			fds[count++] = program->streams.fds[i];
	}
	return wire_send(channel->fd, &request, sizeof(request), fds, count);
}

/* 0; -EPIPE: there is no spawner now. */
static int
open_channel(struct channel *channel)
{
	int rc;

	/* While a process ends, its sockets are closed in any order: its main one may still take what nobody reads. */
	if (spawner_serial() == dead_serial)
		return -EPIPE;
	rc = spawner_open_channel(&channel->fd, &channel->serial);
	if (rc == -ECONNRESET || rc == -ENOTCONN)
		rc = -EPIPE;
	if (rc < 0)
		return rc;
	rc = loop_add(channel->loop, &channel->watch, channel->fd, EPOLLIN);
	if (rc < 0)
		fd_close(&channel->fd);
	return rc;
}

static bool
is_gone(int error)
{
	return error == -EPIPE || error == -ECONNRESET || error == -ENOTCONN;
}

/*
 * One of them. 0; -EAGAIN: later; -EPIPE: this spawner takes no more, or there is none; else it was refused for what it
 * is.
 */
static int
send_one(struct channel *channel, struct program *program)
{
	int rc = channel->fd >= 0 ? 0 : open_channel(channel);

	/* It would say so itself, but may not have noticed yet that another one has its place. */
	if (rc == 0 && channel->serial != spawner_serial())
		return -EPIPE;
	if (rc == 0)
		rc = send_start(channel, program);
	if (rc < 0)
		return is_gone(rc) ? -EPIPE : rc;
	program->is_sent = true;
	list_remove(&program->link);
	list_push_back(&channel->running, &program->link);
	return 0;
}

static struct channel *new_channel(struct loop *loop);

/* A closed channel keeps what runs on it; what was not sent goes to a new one. False: there is no memory for one. */
static bool
move_unsent(struct channel *channel)
{
	struct channel *other = new_channel(channel->loop);
	struct list *link;
	struct list *following;

	if (other == NULL)
		return false;
	LIST_FOREACH (&channel->unsent, link, following)
		CP_CONTAINER_OF(link, struct program, link)->channel = other;
	list_splice_back(&other->unsent, &channel->unsent);
	watch_output(channel, false);
	set_own(other);
	send_unsent(other);
	return true;
}

static void
try_again_in(struct channel *channel, uint64_t ms)
{
	timer_set(&channel->loop->wheel, &channel->timer, loop_now_ms(channel->loop) + ms);
}

/* Not while program_start() is still under way: nobody is told of a failure from within a call of his own. */
static void
send_unsent(struct channel *channel)
{
	while (!list_is_empty(&channel->unsent)) {
		struct program *program = CP_CONTAINER_OF(channel->unsent.next, struct program, link);
		struct program_result failed = {.how = PROGRAM_NOT_STARTED, .step = PROGRAM_STEP_REQUEST};
		int rc = program->signal == 0 ? send_one(channel, program) : -ECANCELED;

		if (rc == -EAGAIN && channel->fd >= 0) {
			watch_output(channel, true);
			return;
		}
		if (rc == -EPIPE && channel->fd >= 0 && move_unsent(channel))
			return;
		if ((rc == -EPIPE || rc == -EAGAIN) && channel->fd < 0 && channel->tries++ < REOPEN_TRIES) {
			try_again_in(channel, REOPEN_MS);
			return;
		}
		if (rc < 0) {
			failed.error = -rc;
			end_program(program, &failed);
		}
	}
	channel->tries = 0;
	watch_output(channel, false);
}

static void
on_timer(struct timer *timer)
{
	struct channel *channel = CP_CONTAINER_OF(timer, struct channel, timer);

	send_unsent(channel);
	if (channel != own && is_idle(channel))
		channel_free(&channel);
}

static struct channel *
new_channel(struct loop *loop)
{
	struct channel *channel = mem_zalloc(sizeof(*channel));

	if (channel == NULL)
		return NULL;
	channel->magic = CHANNEL_MAGIC;
	channel->fd = -1;
	channel->loop = loop;
	channel->watch.fn = on_channel;
	channel->timer.fn = on_timer;
	list_init(&channel->running);
	list_init(&channel->unsent);
	return channel;
}

/* ---- programs --------------------------------------------------------------------------------------- */

static int
fail_start(struct program *program, int error)
{
	program->result =
		(struct program_result){.how = PROGRAM_NOT_STARTED, .step = PROGRAM_STEP_REQUEST, .error = error};
	return -error;
}

int
program_start(struct program *program, struct loop *loop, const struct program_name *name,
	const struct program_streams *streams)
{
	int rc = 0;

	CP_ASSERT(program->channel == NULL);
	if (own == NULL)
		set_own(new_channel(loop));
	if (own == NULL)
		return fail_start(program, ENOMEM);
	CP_ASSERT(own->loop == loop);
	program->channel = own;
	program->name = *name;
	program->streams = *streams;
	program->signal = 0;
	program->is_sent = false;
	/* Those that wait go first, when the socket takes them. */
	if (list_is_empty(&own->unsent))
		rc = send_one(own, program);
	else
		rc = -EAGAIN;
	if (rc == 0)
		return 0;
	if (rc != -EAGAIN && rc != -EPIPE) {
		program->channel = NULL;
		return fail_start(program, -rc);
	}
	list_push_back(&own->unsent, &program->link);
	if (rc == -EPIPE || own->fd < 0)
		try_again_in(own, 0);
	else
		watch_output(own, true);
	return 0;
}

void
program_signal(struct program *program, int signal)
{
	struct spawner_request request = {.verb = SPAWNER_SIGNAL, .id = (uintptr_t)program, .signal = (uint32_t)signal};

	program->signal = signal;
	if (program_is_running(program) && program->is_sent && program->channel->fd >= 0)
		(void)!wire_send(program->channel->fd, &request, sizeof(request), NULL, 0);
}

bool
program_is_running(const struct program *program)
{
	return program->channel != NULL;
}
