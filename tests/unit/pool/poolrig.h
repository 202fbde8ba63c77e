/* SPDX-License-Identifier: MIT */
/*
 * poolrig - a pool whose connections are socket pairs and whose tasks do what the test says, with the main thread's
 * side of it: the loop, the owner's hooks, and counts that can be waited for.
 *
 * rig_setup and rig_teardown are the checked fixture; the test makes the pool. What the workers tell is under the
 * rig's mutex. Nothing here sleeps: a test waits for what it wants to see, and Check's time-out ends one that doesn't.
 */
#ifndef CP_TESTS_UNIT_POOL_POOLRIG_H
#define CP_TESTS_UNIT_POOL_POOLRIG_H

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"
#include "engine/loop.h"
#include "net/conn.h"
#include "net/listener.h"
#include "net/route.h"
#include "pool/pool.h"
#include "pool/worker.h"

#define RIG_MAX 256
#define RIG_LISTENER 7
/* Long waited for; and so young that no worker takes more than its share of them. */
#define RIG_OLD 1
#define RIG_FRESH (UINT64_MAX / 2)

/* What a task does until its client closes. */
enum rig_kind {
	RIG_HOLD,   /* it waits for that */
	RIG_BLOCK,  /* it keeps its thread until rig_release(), then holds */
	RIG_FIBER,  /* it waits on a fiber */
	RIG_LINGER, /* it holds, but takes no room */
	RIG_QUICK,  /* it is over before the client closes */
};

struct rig {
	struct loop loop;
	struct conf conf;
	struct conf_listener rule;
	char pool_name[8];
	struct conf_pool settings; /* for the test to change, before pool_new() and for a reload */
	struct listener_totals totals;
	struct listener *listener;
	struct route *route;
	struct pool_owner owner;
	struct pool *pool;
	int threads_before;
	int descriptors_before;
	unsigned last_id;
	int clients[RIG_MAX]; /* the other end, by id; -1: closed */

	pthread_mutex_t mutex; /* guards the rest */
	pthread_cond_t changed;
	enum rig_kind kinds[RIG_MAX];
	bool released[RIG_MAX];
	unsigned worker_of[RIG_MAX];
	unsigned started_on[RIG_MAX]; /* by worker */
	unsigned running;
	unsigned most_running;
	unsigned started;
	unsigned done;
	unsigned drained;
	unsigned cancelled;
	unsigned sleeps;
	unsigned rooms;
	unsigned ended;
};

extern struct rig rig;
extern const struct pool_tasks rig_tasks;

void rig_setup(void);
/* Ends what is left of the pool, and wants every connection accounted, every thread and descriptor gone. */
void rig_teardown(void);

/* Makes rig.pool as rig.settings say. */
void rig_new_pool(void);
/* Prepares and commits rig.settings. */
void rig_reload(void);
/* Submits a connection; returns its id. accepted_ns: 0 is now. */
unsigned rig_submit(enum rig_kind kind, uint64_t accepted_ns);
/* The same, wakes a worker and waits until it is served. */
unsigned rig_serve(enum rig_kind kind);
/* The client closes. */
void rig_close_client(unsigned id);
/* Lets a task that blocks go on. */
void rig_release(unsigned id);

/* Under the mutex. */
unsigned rig_read(const unsigned *counter);
/* Waits until a counter of the rig is at least wanted. */
void rig_await(const unsigned *counter, unsigned wanted);
/* Waits until every worker sleeps; the queue must be empty. */
void rig_await_sleep(void);
/* Waits for workers to end and reaps them, until so many are left. */
void rig_reap_until(unsigned left);
/* Ends every connection and the pool. */
void rig_end_pool(void);

uint64_t rig_rejected(enum conn_end why);

/* A case with the fixture; time enough for the checkers. */
TCase *rig_case(Suite *suite, const char *name);
/* Runs the suite; for main() to return. */
int rig_run(Suite *suite);

#endif
