/* SPDX-License-Identifier: MIT */
/*
 * spawner_channel.c - programs, as the thread that starts them sees them: requests out, answers in.
 *
 * A channel belongs to its thread: its programs, its descriptor in that thread's loop, no lock. It outlives spawners:
 *
 *   CLOSED -> OPENING   open_channel(): its far end was sent to the spawner, this one or the next
 *   OPENING -> OPEN     HELLO has come: there is a spawner that has it
 *   OPENING, OPEN -> CLOSED  on_closed(): the spawner has died, or had no room for it
 *
 * Nothing here waits. What can't be sent yet is in `unsent`, for START_MS at most; what was sent is in `running` until
 * its answer, or the end of the channel, has come. An answer finds its program by a number, never by an address.
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

/* A program waits so long for a spawner that takes it, and the channel tries so often. */
#define START_MS 5000u
#define TRY_MS 20u

#define CHANNEL_MAGIC 0x6368616e

enum channel_state { CHANNEL_CLOSED, CHANNEL_OPENING, CHANNEL_OPEN };

/* One program; its number is that of the slot, and how often the slot was used. */
struct slot {
	struct program *program; /* NULL: free */
	uint32_t uses;
	uint32_t next; /* free: the next such one, counted from 1 */
};

struct channel {
	uint32_t magic;
	enum channel_state state;
	int fd; /* not when CLOSED */
	struct loop *loop;
	struct watch watch;
	struct timer timer;
	int last_error;      /* of what could not be sent */
	struct list running; /* of struct program: sent, not yet ended */
	struct list unsent;  /* of struct program: to be started */
	bool watches_output;
	struct slot *slots;
	uint32_t slot_count;
	uint32_t free; /* as slot.next */
};

static _Thread_local struct channel *own;
static pthread_key_t own_key;
static pthread_once_t own_once = PTHREAD_ONCE_INIT;

static void attend(struct channel *channel);

static bool
is_idle(const struct channel *channel)
{
	return list_is_empty(&channel->running) && list_is_empty(&channel->unsent);
}

/* ---- slots ------------------------------------------------------------------------------------ */

static bool
take_slot(struct channel *channel, struct program *program)
{
	struct slot *slot;

	if (channel->free == 0) {
		uint32_t count = channel->slot_count * 2 + 16;
		struct slot *slots = mem_realloc_array(channel->slots, count, sizeof(slots[0]));

		if (slots == NULL)
			return false;
		for (uint32_t i = channel->slot_count; i < count; i++)
			slots[i] = (struct slot){.next = i + 1 < count ? i + 2 : 0};
		channel->free = channel->slot_count + 1;
		channel->slots = slots;
		channel->slot_count = count;
	}
	slot = &channel->slots[channel->free - 1];
	program->id = (uint64_t)slot->uses << 32 | (channel->free - 1);
	slot->program = program;
	channel->free = slot->next;
	return true;
}

/* NULL: it has ended already. */
static struct program *
find_program(const struct channel *channel, uint64_t id)
{
	uint32_t index = (uint32_t)id;

	if (index >= channel->slot_count || channel->slots[index].uses != (uint32_t)(id >> 32))
		return NULL;
	return channel->slots[index].program;
}

static void
give_back_slot(struct channel *channel, const struct program *program)
{
	struct slot *slot = &channel->slots[(uint32_t)program->id];

	slot->program = NULL;
	/* The highest number is HELLO's. */
	slot->uses = slot->uses == UINT32_MAX - 1 ? 0 : slot->uses + 1;
	slot->next = channel->free;
	channel->free = (uint32_t)program->id + 1;
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
	mem_free(channel->slots);
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
close_channel(struct channel *channel)
{
	if (channel->fd >= 0)
		loop_remove(channel->loop, &channel->watch, channel->fd);
	fd_close(&channel->fd);
	channel->watches_output = false;
	channel->state = CHANNEL_CLOSED;
}

/* ---- ends -------------------------------------------------------------------------------------- */

/* Its owner's again. */
static void
end_program(struct program *program, const struct program_result *result)
{
	list_remove(&program->link);
	give_back_slot(program->channel, program);
	program->channel = NULL;
	program->result = *result;
	program->ended(program);
}

/* Whoever is told may start the next one, on this very channel. */
static void
end_all(struct list *programs, const struct program_result *result)
{
	struct list ending;

	list_init(&ending);
	list_splice_back(&ending, programs);
	while (!list_is_empty(&ending))
		end_program(CP_CONTAINER_OF(ending.next, struct program, link), result);
}

static struct program_result
not_started(int error)
{
	return (struct program_result){.how = PROGRAM_NOT_STARTED, .step = PROGRAM_STEP_REQUEST, .error = error};
}

void
channel_close_own(void)
{
	struct channel *channel = own;
	struct program_result lost = {.how = PROGRAM_LOST};
	struct program_result canceled = not_started(ECANCELED);

	if (channel == NULL)
		return;
	set_own(NULL);
	timer_clear(&channel->loop->wheel, &channel->timer);
	close_channel(channel);
	end_all(&channel->running, &lost);
	end_all(&channel->unsent, &canceled);
	on_thread_end(channel);
}

/* What it was sent is over; what it was not is for the next one. */
static void
on_closed(struct channel *channel)
{
	struct program_result lost = {.how = PROGRAM_LOST};

	close_channel(channel);
	end_all(&channel->running, &lost);
	/* Not at once: there may be no room for it where it was refused. */
	if (!list_is_empty(&channel->unsent))
		timer_set(&channel->loop->wheel, &channel->timer, loop_now_ms(channel->loop) + TRY_MS);
}

static void
take_answer(struct channel *channel, const struct spawner_answer *answer)
{
	struct program *program;

	if (answer->id == SPAWNER_HELLO_ID) {
		channel->state = CHANNEL_OPEN;
		attend(channel);
		return;
	}
	program = find_program(channel, answer->id);
	if (program != NULL && program->is_sent)
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
		attend(channel);
	do {
		struct spawner_answer answers[SPAWNER_ANSWERS_MAX];
		int fd = channel->fd;

		if (fd < 0 || (events & ~(uint32_t)EPOLLOUT) == 0)
			return;
		n = recv(fd, answers, sizeof(answers), MSG_DONTWAIT);
		/* It comes before what was sent before it. */
		if (n < 0 && errno == ECONNRESET)
			n = recv(fd, answers, sizeof(answers), MSG_DONTWAIT);
		if (n == 0 || (n < 0 && wire_is_over(-errno))) {
			on_closed(channel);
			return;
		}
		for (size_t i = 0; n > 0 && i < (size_t)n / sizeof(answers[0]); i++)
			take_answer(channel, &answers[i]);
		/* A packet that is not full was the last one, most often; else there will be another event. */
	} while (n == (ssize_t)(SPAWNER_ANSWERS_MAX * sizeof(struct spawner_answer)));
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
		.id = program->id,
		.table = program->name.table,
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

/* 0 or -errno; -EPIPE: there will be no spawner any more. */
static int
open_channel(struct channel *channel)
{
	int rc = spawner_open_channel(&channel->fd);

	if (rc < 0)
		return rc;
	rc = loop_add(channel->loop, &channel->watch, channel->fd, EPOLLIN);
	if (rc < 0)
		fd_close(&channel->fd);
	else
		channel->state = CHANNEL_OPENING;
	return rc;
}

/* Those that nobody wants any more, and those that have waited too long; all of them when there is no hope. */
static void
end_hopeless(struct channel *channel, bool all)
{
	uint64_t now_ms = loop_now_ms(channel->loop);
	struct program_result canceled = not_started(ECANCELED);
	struct program_result failed = not_started(channel->last_error != 0 ? channel->last_error : ETIMEDOUT);
	struct list canceling;
	struct list failing;
	struct list *link;
	struct list *following;

	list_init(&canceling);
	list_init(&failing);
	LIST_FOREACH (&channel->unsent, link, following) {
		const struct program *program = CP_CONTAINER_OF(link, struct program, link);

		if (!program->is_canceled && !all && now_ms < program->send_until_ms)
			continue;
		list_remove(link);
		list_push_back(program->is_canceled ? &canceling : &failing, link);
	}
	end_all(&canceling, &canceled);
	end_all(&failing, &failed);
}

/* What is refused stays in front, with last_error. */
static void
send_unsent(struct channel *channel)
{
	channel->last_error = 0;
	while (!list_is_empty(&channel->unsent) && channel->last_error == 0) {
		struct program *program = CP_CONTAINER_OF(channel->unsent.next, struct program, link);
		int rc = send_start(channel, program);

		if (rc < 0) {
			channel->last_error = -rc;
			continue;
		}
		list_remove(&program->link);
		list_push_back(&channel->running, &program->link);
		program->is_sent = true;
	}
	/* Its end is heard of as an event; there may be answers before it. */
	watch_output(channel, channel->last_error == EAGAIN);
}

/* Does what can be done for those that wait. Not from within program_start(): nobody is told of a failure from there.
 */
static void
attend(struct channel *channel)
{
	int rc = 0;
	uint64_t next_ms = loop_now_ms(channel->loop) + TRY_MS;

	end_hopeless(channel, false);
	if (channel->state == CHANNEL_CLOSED && !list_is_empty(&channel->unsent))
		rc = open_channel(channel);
	if (rc < 0) {
		channel->last_error = -rc;
		end_hopeless(channel, rc == -EPIPE);
	}
	if (channel->state == CHANNEL_OPEN)
		send_unsent(channel);
	if (list_is_empty(&channel->unsent)) {
		timer_clear(&channel->loop->wheel, &channel->timer);
		return;
	}
	if (channel->state == CHANNEL_OPENING || (channel->state == CHANNEL_OPEN && channel->last_error == EAGAIN))
		next_ms = CP_CONTAINER_OF(channel->unsent.next, struct program, link)->send_until_ms;
	timer_set(&channel->loop->wheel, &channel->timer, next_ms);
}

static void
on_timer(struct timer *timer)
{
	attend(CP_CONTAINER_OF(timer, struct channel, timer));
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

int
program_start(struct program *program, struct loop *loop, const struct program_name *name,
	const struct program_streams *streams)
{
	CP_ASSERT(program->channel == NULL);
	if (own == NULL)
		set_own(new_channel(loop));
	if (own == NULL || !take_slot(own, program)) {
		program->result = not_started(ENOMEM);
		return -ENOMEM;
	}
	CP_ASSERT(own->loop == loop);
	program->channel = own;
	program->name = *name;
	program->streams = *streams;
	program->is_sent = program->is_canceled = false;
	program->send_until_ms = loop_now_ms(loop) + START_MS;
	list_push_back(&own->unsent, &program->link);
	/* Those that wait go first. */
	if (own->state == CHANNEL_OPEN && own->unsent.next == &program->link)
		send_unsent(own);
	if (!list_is_empty(&own->unsent) && !timer_is_set(&own->timer))
		timer_set(&loop->wheel, &own->timer, loop_now_ms(loop));
	return 0;
}

void
program_signal(struct program *program, int signal)
{
	struct spawner_request request = {.verb = SPAWNER_SIGNAL, .id = program->id, .signal = (uint32_t)signal};
	struct channel *channel = program->channel;

	if (channel == NULL)
		return;
	if (program->is_sent) {
		if (channel->fd >= 0)
			(void)!wire_send(channel->fd, &request, sizeof(request), NULL, 0);
		return;
	}
	program->is_canceled = true;
	timer_set(&channel->loop->wheel, &channel->timer, loop_now_ms(channel->loop));
}

bool
program_is_running(const struct program *program)
{
	return program->channel != NULL;
}
