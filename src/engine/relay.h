/* SPDX-License-Identifier: MIT */
/*
 * relay - moves bytes between two stream sockets, both ways, until both have ended.
 *
 * A relay is two ends and nothing else while no byte is under way: buffers and pipes belong to the thread's
 * relay_pool and are lent only for what one end has sent and the other does not take yet. Such bytes stop the reading
 * from the sender, so a connection never holds more than `limit` bytes each way.
 *
 * Small messages are copied through one buffer of the thread. A direction that fills the buffer is bulk: it is spliced
 * through a pipe of the thread (splice(2)), until it slows down again.
 *
 * The owner watches the descriptors, edge-triggered, and tells the relay what it heard; the relay makes no timer and
 * no watch. Every call on one thread, which has SIGPIPE blocked: splice(2) knows no MSG_NOSIGNAL.
 */
#ifndef CP_ENGINE_RELAY_H
#define CP_ENGINE_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/slab.h"
#include "engine/loop.h"

/* Bytes on their way to an end that does not take them yet (relay.c). */
struct relay_held;

/* One thread's buffer, pipe and relays. Zeroed memory is an initialised one, with nothing allocated. */
struct relay_pool {
	struct slab relays; /* private: relay.c, all of it */
	char *buffer;
	int pipe[2];
	size_t pipe_bytes;
	unsigned pipes_lent;
	unsigned pipe_pause; /* reads to copy before the next pipe is asked for */
	bool is_open;
};

/* No relay may be left. */
void relay_pool_fini(struct relay_pool *pool);
/* A burst is over: gives back what is only kept for the next one. */
void relay_pool_trim(struct relay_pool *pool);

enum relay_side { RELAY_CLIENT, RELAY_SERVER };

/* Zeroed: the owner sets fd, and is_unix and unspliceable where they hold. */
struct relay_end {
	int fd;               /* owned by the relay's owner */
	bool readable : 1;    /* reading may give something */
	bool writable : 1;    /* writing was not yet told otherwise */
	bool ended : 1;       /* the end of its input was read */
	bool hangup_seen : 1; /* a short read no longer means that an edge will tell of what is left */
	bool unspliceable : 1; /* also where others may hold it: splice(2) goes by the description's O_NONBLOCK */
	bool is_unix : 1;      /* its socket: fd_receive() */
	bool broken : 1;         /* it was reset after the end of its input: no read will tell */
	uint16_t write_error;    /* it takes no more, but what it said before is still passed on; 0: it does */
	uint8_t bulk;            /* reads in which it may give little and still be spliced; 0: it is copied */
	struct relay_held *held; /* to be written to it; NULL: nothing */
	uint64_t received;       /* bytes read from it */
	uint64_t sent;           /* bytes written to it */
};

enum relay_progress {
	RELAY_WAITS, /* for an event of either end */
	RELAY_AGAIN, /* its turn is over, there is more to do: call relay_run() again once the others had theirs */
	RELAY_OVER,  /* both have ended, or `error` */
};

struct relay {
	struct relay_end ends[2]; /* by enum relay_side */
	struct relay_pool *pool;  /* borrowed */
	struct watch watch;       /* the owner's, for the server's descriptor */
	void *owner;              /* the owner's */
	uint64_t half_closed_ms;  /* the owner's: a time-out */
	uint64_t moved_ms;        /* when bytes, or an end, last moved */
	uint32_t limit;
	uint16_t error;   /* errno of the end that failed; 0: none */
	uint8_t failed;   /* enum relay_side, with error */
	int8_t first_end; /* enum relay_side of the one that ended first; -1: none yet */
};

/* limit: bytes held at most, each way. A relay of these two descriptors; NULL when out of memory. */
CP_MUST_CHECK struct relay *relay_new(struct relay_pool *pool, int client_fd, int server_fd, uint32_t limit);
/* What is still held is lost. The descriptors stay open. Nulls the holder, accepts NULL. */
void relay_free(struct relay **relay);

/* epoll(7) told this of one end. EPOLLPRI has to be asked for: a read that ends at an urgent byte is not the last. */
void relay_note(struct relay *relay, enum relay_side side, uint32_t events);
/* Moves what can be moved. */
enum relay_progress relay_run(struct relay *relay, uint64_t now_ms);

/* An end that has bytes to take and does not: its owner wants EPOLLOUT. */
static inline bool
relay_wants_output(const struct relay *relay, enum relay_side side)
{
	return relay->ends[side].held != NULL;
}

/* Since when the longest-waiting held byte's end has taken nothing; UINT64_MAX: nothing is held. */
uint64_t relay_stalled_since_ms(const struct relay *relay);

#endif
