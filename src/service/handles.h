/* SPDX-License-Identifier: MIT */
/*
 * handles - names of connections that outlive them: another thread may keep one and wake by it (cp_handle_of(),
 * cp_wake()).
 *
 * A connection gets one when its handler first asks for it, so that all others cost nothing. Numbers of connections are
 * never used twice: a handle that is old is nobody's. A handle is looked up and its task posted under one lock, the one
 * that closing it takes: whoever has closed it knows that nothing is posted any more.
 */
#ifndef CP_SERVICE_HANDLES_H
#define CP_SERVICE_HANDLES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/defs.h"

struct loop;
struct task;

/* For the connection of that number: its slot, from 1 on, or -ENOMEM. task, of loop, stays until handles_close(). */
CP_MUST_CHECK int64_t handles_open(uint64_t connection, struct loop *loop, struct task *task);
/* What was posted before may still have to be unposted. */
void handles_close(uint64_t connection, uint64_t slot);
/* Any thread: posts its task. False: there is no such connection (any more). */
CP_MUST_CHECK bool handles_post(uint64_t connection, uint64_t slot);

#endif
