/* SPDX-License-Identifier: MIT */
/*
 * engine - one thread's scheduler: descriptors, deadlines, fibers. It knows no connections. May include: base.
 *
 * loop.h - an event loop over epoll(7) with a timing wheel, a list of tasks to run, and a wake-up from other
 * threads. Every function is for the thread that owns the loop, except loop_wake(), loop_is_sleeping() and loop_post().
 *
 * WAKEUP: the owner announces that it sleeps, runs the before_sleep hook (which looks for work once more and may call
 * it off), then waits. A waker that has published work exchanges the announcement and writes the eventfd only if
 * it took it. Both sides are sequentially consistent, so either the owner sees the work or the waker sees the
 * announcement. The eventfd is edge-triggered and never read.
 *
 * STALE EVENTS: close(2) takes a descriptor out of an epoll set only if nobody else holds its open file description. A
 * program, a forked child or a module may hold it, and then the kernel goes on to report events of a watch whose memory
 * is gone. So an event carries no pointer but a slot of the loop's table and the serial number of its watch; an event
 * whose serial is not the slot's is dropped. An edge-triggered entry that stays behind costs a wake-up for each event;
 * a level-triggered one would wake the loop for ever, so it must be removed before the descriptor is closed.
 */
#ifndef CP_ENGINE_LOOP_H
#define CP_ENGINE_LOOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/list.h"
#include "base/lock.h"
#include "engine/timer.h"

struct epoll_event;
struct loop_slot;
struct watch;
struct task;
struct loop;

/* events: EPOLLIN, EPOLLOUT, … as epoll_wait(2) gave them. It may remove and free any watch, its own included. */
typedef void watch_fn(struct loop *loop, struct watch *watch, uint32_t events);
typedef void task_fn(struct loop *loop, struct task *task);
/* Last look before sleeping; true: there is work, do not sleep. */
typedef bool loop_before_sleep_fn(struct loop *loop, void *arg);

/* Embedded in its owner: what to call when its descriptor is ready. Zeroed memory with fn set is an initialised one. */
struct watch {
	watch_fn *fn;
	uint32_t slot; /* private: loop.c; in the loop's table, 0: it is in no set */
	bool is_level; /* private: loop.c; neither EPOLLET nor EPOLLONESHOT */
};

/* Embedded in its owner: something to run in the next turn. Zeroed memory with fn set is an initialised one. */
struct task {
	struct list link;
	task_fn *fn;
};

#define LOOP_EVENTS_MAX 256

struct loop {
	uint32_t magic; /* private: loop.c, down to the end unless said otherwise */
	int epoll_fd;
	int wake_fd;
	int nap_fd; /* -1 until the first nap */
	struct watch wake_watch;
	atomic_bool sleeping;
	uint64_t now_ns;          /* public to read: the time at the start of this turn */
	struct timer_wheel wheel; /* public: timer_set(&loop->wheel, …); its clock is now_ns in ms */
	struct list tasks;
	struct cp_lock lock; /* LOCK_LOOP; guards posted */
	struct list posted;  /* of struct task, by other threads */
	atomic_bool has_posted;
	struct epoll_event *events;
	struct loop_slot *slots; /* see STALE EVENTS; it only grows, so that no event points behind it */
	uint32_t slot_count;
	uint32_t free_slot;    /* the first of a list; 0: none */
	uint64_t last_serial;
	uint64_t stale_events; /* public to read: dropped */
	uint64_t turns;        /* public to read */
	loop_before_sleep_fn *before_sleep;
	void *before_sleep_arg;
};

/* before_sleep may be NULL. 0 or -errno. */
CP_MUST_CHECK int loop_init(struct loop *loop, loop_before_sleep_fn *before_sleep, void *arg);
/* No watch, timer or task may be left that its owner still counts on. Accepts a half-built one. */
void loop_fini(struct loop *loop);

/* events as epoll_ctl(2) takes them, EPOLLET if wanted. The watch must stay where it is until removed. 0 or -errno. */
CP_MUST_CHECK int loop_add(struct loop *loop, struct watch *watch, int fd, uint32_t events);
CP_MUST_CHECK int loop_modify(struct loop *loop, struct watch *watch, int fd, uint32_t events);
/*
 * Takes fd out of the set: no more events, not even of this turn. Accepts a watch that is in no set. fd may have been
 * closed by a handler meanwhile: the watch is over all the same.
 */
void loop_remove(struct loop *loop, struct watch *watch, int fd);
/*
 * As loop_remove() without its system call, for an edge-triggered descriptor of ours that is closed next (see STALE
 * EVENTS).
 */
void loop_forget(struct loop *loop, struct watch *watch);

/*
 * Runs the task once, after the events and timers: of this turn when one of those schedules it, of the next when a task
 * does. Scheduling it twice is scheduling it once.
 */
void loop_schedule(struct loop *loop, struct task *task);
void loop_cancel(struct loop *loop, struct task *task);

/*
 * One turn: waits for events (not at all when tasks are scheduled; at most max_wait_ms, -1 = until the next timer or
 * for ever), then events, timers, tasks. 0, or -errno of a failure of epoll_wait that is not EINTR.
 */
CP_MUST_CHECK int loop_turn(struct loop *loop, int max_wait_ms);

/* now_ns in the milliseconds of the wheel. */
static inline uint64_t
loop_now_ms(const struct loop *loop)
{
	return loop->now_ns / 1000000u;
}

/*
 * Sleeps without looking at any descriptor or timer, until loop_wake() or for max_ms: so that what piles up meanwhile
 * is taken in one turn. before_sleep may call it off.
 */
void loop_nap(struct loop *loop, int max_ms);

/* Reads the clock again, for a turn that has taken long. */
void loop_update_now(struct loop *loop);

/* Any thread: ends the sleep the loop is in, or about to be in. Returns true if it slept (a system call was made). */
bool loop_wake(struct loop *loop);
/*
 * Any thread: runs the task once on the loop's thread, in one of its next turns. A posted task belongs to the loop
 * until it runs: it must be none that loop_schedule() is used for. Posting it twice before it runs is posting it once.
 */
void loop_post(struct loop *loop, struct task *task);
/* The loop's thread: it will not run, unless it is posted again. */
void loop_unpost(struct loop *loop, struct task *task);
/* Any thread: it slept when asked. Sequentially consistent, so that it may stand for the waker's look in WAKEUP. */
bool loop_is_sleeping(const struct loop *loop);

#endif
