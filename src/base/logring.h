/* SPDX-License-Identifier: MIT */
/*
 * logring - a bounded ring of bytes between one thread that writes records and one that takes them out.
 *
 * The memory is mapped, not touched: a thread that never logs pays nothing, one that logs little pays a page or two,
 * because the writer goes back to the front whenever it finds the ring empty. What a burst has touched is given back
 * to the kernel by the reader. Nothing here blocks, and nothing here waits for the other side.
 *
 * ORDERS: the writer publishes with a store to head, the reader frees with a store to tail (release, paired with the
 * other side's acquire). Stores to and loads from head are sequentially consistent, because log.c's WAKEUP needs
 * "head, then asleep" on one side and "asleep, then head" on the other in one order for all.
 */
#ifndef CP_BASE_LOGRING_H
#define CP_BASE_LOGRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/list.h"

#define LOGRING_SIZE 524288u

/* Longest record that the ring takes. */
#define LOGRING_RECORD_MAX 4096u

struct logring {
	uint32_t magic;      /* private: logring.c */
	struct list link;    /* log.c: the list of rings, under its lock */
	_Atomic bool closed; /* private: logring.c */

	_Alignas(64) _Atomic uint64_t head; /* private: logring.c; bytes ever written, by the writer */
	_Alignas(64) _Atomic uint64_t tail; /* private: logring.c; bytes given back by the reader, whole blocks */
	uint64_t taken;                     /* private: logring.c; reader's: bytes ever taken, tail <= taken <= head */
	_Alignas(4096) unsigned char data[LOGRING_SIZE]; /* on pages of its own, which are given back when read */
};

/* Returns owned, or NULL when out of memory. */
CP_MUST_CHECK struct logring *logring_new(void);
/* Accepts NULL. Sets *ring to NULL. Neither side may use it any more. */
void logring_free(struct logring **ring);

/* ---- the writer ---------------------------------------------------------- */

/* Appends one record made of two parts. false: no room, nothing was written. */
CP_MUST_CHECK bool logring_push(
	struct logring *ring, const void *first, size_t first_size, const void *second, size_t second_size);
/* The writer's last call: there will be no more records. */
void logring_close(struct logring *ring);

/* ---- the reader ---------------------------------------------------------- */

/* The oldest record, borrowed until logring_pop(); NULL: the ring is empty. */
const void *logring_peek(struct logring *ring, size_t *ret_size);
/* Done with the record that logring_peek() returned. Room goes back to the writer when a whole block of it is free. */
void logring_pop(struct logring *ring);
/* Was closed by its writer. Asked before the ring is found empty, it means empty for ever. */
bool logring_is_closed(const struct logring *ring);

#endif
