/* SPDX-License-Identifier: MIT */
/*
 * relay.c - see relay.h. A worker's thread runs it; it must never block, and never hold more than a relay's limit.
 */
#include "config.h"

#include "engine/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fdutil.h"
#include "base/mem.h"

/* What one read copies at most. A direction that fills it is bulk. */
#define COPY_BYTES (32u * 1024)
/*
 * A spliced direction that has given less than this so many times in a row is copied again: that costs no more, and
 * needs no pipe.
 */
#define BULK_BYTES_MIN (4u * 1024)
#define BULK_PATIENCE 8u
/* Wanted of a pipe; unprivileged, the kernel gives as much up to fs.pipe-max-size. */
#define PIPE_BYTES (1024u * 1024)
/* With less, splicing is dearer than copying. The kernel hands out such pipes over fs.pipe-user-pages-soft. */
#define PIPE_BYTES_MIN (64u * 1024)
/* After a pipe that could not be had, so many reads are copied before the next is asked for: asking costs three calls.
 */
#define PIPE_PAUSE_READS 1024u
/* Pipes that hold bytes, a thread: they are kernel memory, bounded a user. Beyond it bulk is copied. */
#define PIPES_LENT_MAX 32u
/* Reads of one direction in a turn. */
#define READS_PER_TURN 16

struct relay_held {
	uint64_t since_ms; /* its end has taken nothing since */
	int pipe[2];       /* where the bytes are; -1: in data */
	uint32_t offset;
	uint32_t length; /* not yet taken */
	char data[];
};

/* ---- the pool -------------------------------------------------------------------- */

static int
pool_open(struct relay_pool *pool)
{
	if (pool->is_open)
		return 0;
	pool->buffer = mem_zalloc(COPY_BYTES);
	if (pool->buffer == NULL)
		return -ENOMEM;
	slab_init(&pool->relays, sizeof(struct relay));
	pool->pipe[0] = pool->pipe[1] = -1;
	pool->is_open = true;
	return 0;
}

static void
close_pipe(int pipe[2])
{
	fd_close(&pipe[0]);
	fd_close(&pipe[1]);
}

void
relay_pool_trim(struct relay_pool *pool)
{
	if (pool->is_open)
		close_pipe(pool->pipe);
}

void
relay_pool_fini(struct relay_pool *pool)
{
	if (!pool->is_open)
		return;
	CP_ASSERT(pool->pipes_lent == 0);
	close_pipe(pool->pipe);
	mem_freep(&pool->buffer);
	slab_fini(&pool->relays);
	pool->is_open = false;
}

/* An empty pipe of a useful size is in the pool. */
static bool
pool_has_pipe(struct relay_pool *pool)
{
	int bytes;

	if (pool->pipe[0] >= 0)
		return true;
	if (pool->pipes_lent >= PIPES_LENT_MAX)
		return false;
	if (pool->pipe_pause > 0) {
		pool->pipe_pause--;
		return false;
	}
	if (pipe2(pool->pipe, O_NONBLOCK | O_CLOEXEC) < 0) {
		pool->pipe_pause = PIPE_PAUSE_READS;
		return false;
	}
	bytes = fcntl(pool->pipe[1], F_SETPIPE_SZ, PIPE_BYTES);
	if (bytes < 0)
		bytes = fcntl(pool->pipe[1], F_GETPIPE_SZ);
	if (bytes < (int)PIPE_BYTES_MIN) {
		close_pipe(pool->pipe);
		pool->pipe_pause = PIPE_PAUSE_READS;
		return false;
	}
	pool->pipe_bytes = (size_t)bytes;
	return true;
}

/* An emptied one comes back. */
static void
pool_return_pipe(struct relay_pool *pool, int pipe[2])
{
	pool->pipes_lent--;
	if (pool->pipe[0] >= 0) {
		close_pipe(pipe);
		return;
	}
	pool->pipe[0] = fd_take(&pipe[0]);
	pool->pipe[1] = fd_take(&pipe[1]);
}

/* ---- what is held ------------------------------------------------------------------ */

static void
held_free(struct relay_pool *pool, struct relay_held **holder)
{
	struct relay_held *held = *holder;

	*holder = NULL;
	if (held == NULL)
		return;
	if (held->pipe[0] >= 0 && held->length == 0) {
		pool_return_pipe(pool, held->pipe);
	} else if (held->pipe[0] >= 0) {
		pool->pipes_lent--;
		close_pipe(held->pipe);
	}
	mem_free(held);
}

/* length bytes from data, or (NULL) those in the pool's pipe, wait for end. 0 or -ENOMEM. */
static int
hold(struct relay_pool *pool, struct relay_end *end, const char *data, size_t length, uint64_t now_ms)
{
	struct relay_held *held = mem_zalloc(sizeof(*held) + (data != NULL ? length : 0));

	CP_ASSERT(end->held == NULL);
	if (held == NULL) {
		if (data == NULL)
			close_pipe(pool->pipe);
		return -ENOMEM;
	}
	*held = (struct relay_held){.since_ms = now_ms, .pipe = {-1, -1}, .length = (uint32_t)length};
	if (data != NULL) {
		memcpy(held->data, data, length);
	} else {
		held->pipe[0] = fd_take(&pool->pipe[0]);
		held->pipe[1] = fd_take(&pool->pipe[1]);
		pool->pipes_lent++;
	}
	end->held = held;
	/*
	 * The socket took less than it was given: it is full, and an edge will tell when it is not (epoll(7)). Asking
	 * it again at once would only get small pieces through.
	 */
	end->writable = false;
	return 0;
}

/* ---- one step of one direction --------------------------------------------------------- */

static ssize_t
splice_out(int pipe_fd, int fd, size_t length)
{
	return splice(pipe_fd, NULL, fd, NULL, length, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
}

static void
fail(struct relay *relay, const struct relay_end *end, int error)
{
	relay->error = (uint16_t)error;
	relay->failed = (uint8_t)(end - relay->ends);
}

/*
 * A write to an end failed. One that is gone may have said something before, such as why: that is passed on first, and
 * what its reading ends with ends the relay.
 */
static void
fail_write(struct relay *relay, struct relay_end *to, int error)
{
	const struct relay_end *from = &relay->ends[to == relay->ends];

	/* Nobody is left to pass anything on to when both are gone. */
	if (to->ended || from->write_error != 0 || (error != EPIPE && error != ECONNRESET)) {
		fail(relay, to, error);
		return;
	}
	to->write_error = (uint16_t)error;
	to->readable = true;
	held_free(relay->pool, &to->held);
}

/* Writes what is held for to. True: nothing is held any more. */
static bool
flush(struct relay *relay, struct relay_end *to, uint64_t now_ms)
{
	while (to->held != NULL && to->writable) {
		struct relay_held *held = to->held;
		ssize_t n = held->pipe[0] >= 0 ? splice_out(held->pipe[0], to->fd, held->length)
					       : send(to->fd, held->data + held->offset, held->length,
							 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			held->offset += (uint32_t)n;
			held->length -= (uint32_t)n;
			held->since_ms = now_ms;
			to->sent += (uint64_t)n;
			relay->moved_ms = now_ms;
			if (held->length == 0)
				held_free(relay->pool, &to->held);
			else
				to->writable = false;
		} else if (n < 0 && errno == EAGAIN) {
			to->writable = false;
		} else if (n < 0 && errno != EINTR) {
			fail_write(relay, to, errno);
			break;
		}
	}
	return to->held == NULL;
}

/* from's input is over: so is what we send to the other. */
static void
pass_end(struct relay *relay, struct relay_end *from, struct relay_end *to, uint64_t now_ms)
{
	from->ended = true;
	relay->moved_ms = now_ms;
	from->readable = false;
	if (relay->first_end < 0)
		relay->first_end = (int8_t)(from - relay->ends);
	/* When that was all, the descriptors are closed at once. A peer that is gone already is no news. */
	if (!to->ended || from->held != NULL)
		(void)shutdown(to->fd, SHUT_WR);
}

/* A read of from gave n (and errno). True: there are bytes to pass on. */
static bool
judge_read(struct relay *relay, struct relay_end *from, struct relay_end *to, ssize_t n, uint64_t now_ms)
{
	if (n > 0) {
		from->received += (uint64_t)n;
		return true;
	}
	if (n == 0 && from->write_error == ECONNRESET)
		fail(relay, from, ECONNRESET); /* the write was told of the reset; this is no end of its own */
	else if (n == 0)
		pass_end(relay, from, to, now_ms);
	else if (errno == EAGAIN)
		from->readable = false;
	else if (errno != EINTR)
		fail(relay, from, errno);
	return false;
}

/* n bytes were written to an end of `length` that there were; n < 0: errno. The number written, or -1: it failed. */
static ssize_t
judge_write(struct relay *relay, struct relay_end *to, ssize_t n, uint64_t now_ms)
{
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		fail_write(relay, to, errno);
		return -1;
	}
	if (n < 0)
		return 0;
	to->sent += (uint64_t)n;
	relay->moved_ms = now_ms;
	return n;
}

static void
copy(struct relay *relay, struct relay_end *from, struct relay_end *to, uint64_t now_ms)
{
	char *buffer = relay->pool->buffer;
	size_t size = relay->limit < COPY_BYTES ? relay->limit : COPY_BYTES;
	bool is_rest;
	ssize_t got = fd_receive(from->fd, from->is_unix, buffer, size, 0, &is_rest);
	ssize_t put;

	if (!judge_read(relay, from, to, got, now_ms))
		return;
	/* The edge of an end that was told already does not come again (epoll(7)). */
	if (is_rest && !from->hangup_seen)
		from->readable = false;
	if ((size_t)got == COPY_BYTES && !from->unspliceable)
		from->bulk = BULK_PATIENCE;
	put = judge_write(relay, to, send(to->fd, buffer, (size_t)got, MSG_DONTWAIT | MSG_NOSIGNAL), now_ms);
	if (put >= 0 && put < got && hold(relay->pool, to, buffer + put, (size_t)(got - put), now_ms) < 0)
		fail(relay, to, ENOMEM);
}

static void
move_spliced(struct relay *relay, struct relay_end *from, struct relay_end *to, uint64_t now_ms)
{
	struct relay_pool *pool = relay->pool;
	size_t size = relay->limit < pool->pipe_bytes ? relay->limit : pool->pipe_bytes;
	ssize_t got = splice(from->fd, NULL, pool->pipe[1], NULL, size, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	ssize_t put;

	if (got < 0 && errno == EINVAL) {
		/* Not every kind of socket can be spliced. */
		from->unspliceable = true;
		from->bulk = 0;
		return;
	}
	/* The pipe was empty, so that EAGAIN is the socket's. A short read says nothing: the pipe may have run full. */
	if (!judge_read(relay, from, to, got, now_ms))
		return;
	from->bulk = (uint8_t)(got >= (ssize_t)BULK_BYTES_MIN ? BULK_PATIENCE : from->bulk - 1u);
	put = judge_write(relay, to, splice_out(pool->pipe[0], to->fd, (size_t)got), now_ms);
	if (put < 0)
		close_pipe(pool->pipe);
	else if (put < got && hold(pool, to, NULL, (size_t)(got - put), now_ms) < 0)
		fail(relay, to, ENOMEM);
}

/*
 * True: it could go on, but its turn is over. Bulk gets one read a turn: what arrives while the others
 * have theirs makes the next read larger.
 */
static bool
move(struct relay *relay, struct relay_end *from, struct relay_end *to, uint64_t now_ms)
{
	for (int i = 0; i < READS_PER_TURN; i++) {
		if (relay->error != 0)
			return false;
		if (to->held != NULL && !flush(relay, to, now_ms))
			return false;
		if (!from->readable || from->ended || to->write_error != 0)
			return false;
		if (from->bulk > 0 && pool_has_pipe(relay->pool)) {
			move_spliced(relay, from, to, now_ms);
			return from->readable && to->held == NULL && relay->error == 0;
		}
		copy(relay, from, to, now_ms);
	}
	return true;
}

/* ---- the relay -------------------------------------------------------------------------- */

struct relay *
relay_new(struct relay_pool *pool, int client_fd, int server_fd, uint32_t limit)
{
	struct relay *relay;

	if (pool_open(pool) < 0)
		return NULL;
	relay = slab_alloc(&pool->relays);
	if (relay == NULL)
		return NULL;
	relay->pool = pool;
	relay->limit = limit;
	relay->first_end = -1;
	relay->ends[RELAY_CLIENT].fd = client_fd;
	relay->ends[RELAY_SERVER].fd = server_fd;
	relay->ends[RELAY_CLIENT].writable = relay->ends[RELAY_SERVER].writable = true;
	return relay;
}

void
relay_free(struct relay **holder)
{
	struct relay *relay = *holder;

	*holder = NULL;
	if (relay == NULL)
		return;
	held_free(relay->pool, &relay->ends[RELAY_CLIENT].held);
	held_free(relay->pool, &relay->ends[RELAY_SERVER].held);
	slab_free(relay);
}

void
relay_note(struct relay *relay, enum relay_side side, uint32_t events)
{
	struct relay_end *end = &relay->ends[side];

	if ((events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
		end->readable = true;
	if ((events & (EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
		end->hangup_seen = true;
	/* splice(2) does not get past an urgent byte. */
	if ((events & EPOLLPRI) != 0) {
		end->unspliceable = true;
		end->bulk = 0;
	}
	if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0)
		end->writable = true;
	if ((events & EPOLLERR) != 0 && end->ended)
		end->broken = true;
}

/* An end that takes no more has said its last word, or one was reset that had nothing more to say. */
static void
notice_gone(struct relay *relay, const struct relay_end *end, const struct relay_end *other)
{
	if (relay->error != 0 || other->held != NULL || !end->ended)
		return;
	if (end->write_error != 0)
		fail(relay, end, end->write_error);
	else if (end->broken)
		fail(relay, end, ECONNRESET);
}

enum relay_progress
relay_run(struct relay *relay, uint64_t now_ms)
{
	struct relay_end *client = &relay->ends[RELAY_CLIENT];
	struct relay_end *server = &relay->ends[RELAY_SERVER];
	bool more = move(relay, client, server, now_ms);

	more |= move(relay, server, client, now_ms);
	/* Found out when it had had its turn. */
	more |= client->write_error != 0 && client->readable && !client->ended && server->held == NULL;
	notice_gone(relay, client, server);
	notice_gone(relay, server, client);
	if (relay->error != 0)
		return RELAY_OVER;
	if (client->ended && server->ended && client->held == NULL && server->held == NULL)
		return RELAY_OVER;
	return more ? RELAY_AGAIN : RELAY_WAITS;
}

uint64_t
relay_stalled_since_ms(const struct relay *relay)
{
	uint64_t since_ms = UINT64_MAX;

	for (int i = 0; i < 2; i++) {
		const struct relay_held *held = relay->ends[i].held;

		if (held != NULL && held->since_ms < since_ms)
			since_ms = held->since_ms;
	}
	return since_ms;
}
