/* SPDX-License-Identifier: MIT */
/*
 * gate - threads gather at it, and all go through at the same moment.
 *
 * What pthread_barrier_t lacks: it can be broken when one of the threads never comes into being.
 * WAKEUP: the last to arrive, or whoever breaks it, broadcasts with the mutex held; all wait for opened or broken.
 */
#ifndef CP_CLIENT_GATE_H
#define CP_CLIENT_GATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/defs.h"

struct gate {
	pthread_mutex_t mutex; /* private: gate.c, all of it; guards the fields down to the blank line */
	pthread_cond_t changed;
	unsigned arrived;
	bool opened;           /* set once, by the last to arrive */
	bool broken;           /* set once, by gate_break() */
	uint64_t opened_ns;

	unsigned expected;     /* fixed at init */
};

void gate_init(struct gate *gate, unsigned expected);
/* Nobody may be in it or on the way to it. */
void gate_fini(struct gate *gate);

/* Waits for the others. True: *ret_opened_ns is the moment it opened, the same for all. False: it was broken. */
CP_MUST_CHECK bool gate_pass(struct gate *gate, uint64_t *ret_opened_ns);
/* Sends away all who wait and all who come, unless it has opened already. */
void gate_break(struct gate *gate);

#endif
