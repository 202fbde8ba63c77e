/* SPDX-License-Identifier: MIT */
/*
 * The common start of the bench's workers, once each of them has its connections. Any thread.
 */
#include "config.h"

#include "client/gate.h"

#include "base/assert.h"
#include "base/clock.h"

void
gate_init(struct gate *gate, unsigned expected)
{
	CP_PTHREAD(pthread_mutex_init(&gate->mutex, NULL));
	CP_PTHREAD(pthread_cond_init(&gate->changed, NULL));
	gate->arrived = 0;
	gate->opened = false;
	gate->broken = false;
	gate->opened_ns = 0;
	gate->expected = expected;
}

void
gate_fini(struct gate *gate)
{
	CP_PTHREAD(pthread_cond_destroy(&gate->changed));
	CP_PTHREAD(pthread_mutex_destroy(&gate->mutex));
}

bool
gate_pass(struct gate *gate, uint64_t *ret_opened_ns)
{
	bool opened;

	CP_PTHREAD(pthread_mutex_lock(&gate->mutex));
	gate->arrived++;
	if (gate->arrived == gate->expected && !gate->broken) {
		gate->opened = true;
		gate->opened_ns = clock_now_ns();
		CP_PTHREAD(pthread_cond_broadcast(&gate->changed));
	}
	while (!gate->opened && !gate->broken)
		CP_PTHREAD(pthread_cond_wait(&gate->changed, &gate->mutex));
	opened = gate->opened;
	if (opened)
		*ret_opened_ns = gate->opened_ns;
	CP_PTHREAD(pthread_mutex_unlock(&gate->mutex));
	return opened;
}

void
gate_break(struct gate *gate)
{
	CP_PTHREAD(pthread_mutex_lock(&gate->mutex));
	if (!gate->opened) {
		gate->broken = true;
		CP_PTHREAD(pthread_cond_broadcast(&gate->changed));
	}
	CP_PTHREAD(pthread_mutex_unlock(&gate->mutex));
}
