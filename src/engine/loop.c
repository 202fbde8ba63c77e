/* SPDX-License-Identifier: MIT */
/*
 * loop - see loop.h.
 *
 * Every worker runs one, the acceptor too. A turn that finds something to do makes one system call, epoll_wait. The
 * owner thread alone touches the structure, but for `sleeping`: see WAKEUP in loop.h.
 */
#include "config.h"

#include "engine/loop.h"

#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/fdutil.h"
#include "base/mem.h"

#define LOOP_MAGIC 0x4c6f6f70u
#define POSTED_PER_TURN 256

/* An event's data: the slot below, the serial number above. */
#define SLOT_BITS 24
#define SLOTS_MAX (1u << SLOT_BITS)
#define SLOTS_FIRST 64u
#define SERIAL_MAX (UINT64_MAX >> SLOT_BITS)

/* Slot 0 stands for none. */
struct loop_slot {
	struct watch *watch;
	uint64_t serial_or_next; /* of the watch; without one: the next free slot */
};

/* Being woken is all there is to it: whoever woke the loop has left the work where before_sleep looks. */
static void
on_wake(struct loop *loop, struct watch *watch, uint32_t events)
{
	(void)loop;
	(void)watch;
	(void)events;
}

int
loop_init(struct loop *loop, loop_before_sleep_fn *before_sleep, void *arg)
{
	int error;

	loop->magic = LOOP_MAGIC;
	loop->epoll_fd = -1;
	loop->wake_fd = -1;
	loop->nap_fd = -1;
	loop->wake_watch = (struct watch){.fn = on_wake};
	atomic_init(&loop->sleeping, false);
	loop->now_ns = clock_now_ns();
	timer_wheel_init(&loop->wheel, loop_now_ms(loop));
	list_init(&loop->tasks);
	lock_init(&loop->lock, LOCK_LOOP);
	list_init(&loop->posted);
	atomic_init(&loop->has_posted, false);
	loop->slots = NULL;
	loop->slot_count = 0;
	loop->free_slot = 0;
	loop->last_serial = 0;
	loop->stale_events = 0;
	loop->turns = 0;
	loop->before_sleep = before_sleep;
	loop->before_sleep_arg = arg;
	error = -ENOMEM;
	loop->events = mem_zalloc_array(LOOP_EVENTS_MAX, sizeof(*loop->events));
	if (loop->events == NULL)
		goto fail;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0) {
		error = -errno;
		goto fail;
	}
	error = loop->wake_fd = fd_new_event();
	if (error < 0)
		goto fail;
	error = loop_add(loop, &loop->wake_watch, loop->wake_fd, EPOLLIN | EPOLLET);
	if (error < 0)
		goto fail;
	return 0;
fail:
	loop_fini(loop);
	return error;
}

void
loop_fini(struct loop *loop)
{
	if (loop->magic != LOOP_MAGIC)
		return;
	fd_close(&loop->nap_fd);
	fd_close(&loop->wake_fd);
	fd_close(&loop->epoll_fd);
	mem_freep(&loop->events);
	mem_freep(&loop->slots);
	lock_fini(&loop->lock);
	loop->magic = 0;
}

/* ---- slots ------------------------------------------------------------------- */

/* 0 or -errno. */
static int
add_slots(struct loop *loop)
{
	uint32_t count = loop->slot_count > 0 ? 2 * loop->slot_count : SLOTS_FIRST;
	struct loop_slot *slots;

	if (loop->slot_count >= SLOTS_MAX)
		return -ENOSPC;
	slots = mem_realloc_array(loop->slots, count, sizeof(*slots));
	if (slots == NULL)
		return -ENOMEM;
	/* The lowest is used first. */
	for (uint32_t i = count - 1; i >= (loop->slot_count > 0 ? loop->slot_count : 1); i--) {
		slots[i] = (struct loop_slot){.serial_or_next = loop->free_slot};
		loop->free_slot = i;
	}
	loop->slots = slots;
	loop->slot_count = count;
	return 0;
}

/* 0 or -errno. */
static int
take_slot(struct loop *loop, struct watch *watch)
{
	int rc = loop->free_slot != 0 ? 0 : add_slots(loop);

	if (rc < 0)
		return rc;
	watch->slot = loop->free_slot;
	loop->free_slot = (uint32_t)loop->slots[watch->slot].serial_or_next;
	/* Never 0. After so many that it begins anew, no event of the earlier ones is left. */
	loop->last_serial = loop->last_serial % SERIAL_MAX + 1;
	loop->slots[watch->slot] = (struct loop_slot){.watch = watch, .serial_or_next = loop->last_serial};
	return 0;
}

static void
return_slot(struct loop *loop, struct watch *watch)
{
	CP_ASSERT(loop->slots[watch->slot].watch == watch);
	loop->slots[watch->slot] = (struct loop_slot){.serial_or_next = loop->free_slot};
	loop->free_slot = watch->slot;
	watch->slot = 0;
}

static uint64_t
event_data_of(const struct loop *loop, const struct watch *watch)
{
	return loop->slots[watch->slot].serial_or_next << SLOT_BITS | watch->slot;
}

/* NULL: its watch is over, and may be long gone. */
static struct watch *
watch_of(const struct loop *loop, uint64_t event_data)
{
	const struct loop_slot *slot = &loop->slots[event_data % SLOTS_MAX];

	return slot->serial_or_next == event_data >> SLOT_BITS ? slot->watch : NULL;
}

/* ---- descriptors ------------------------------------------------------------- */

/* 0 or -errno. */
static int
control(struct loop *loop, int operation, struct watch *watch, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.u64 = event_data_of(loop, watch)};

	watch->is_level = (events & (EPOLLET | EPOLLONESHOT)) == 0;
	return epoll_ctl(loop->epoll_fd, operation, fd, &event) == 0 ? 0 : -errno;
}

int
loop_add(struct loop *loop, struct watch *watch, int fd, uint32_t events)
{
	int rc;

	CP_CHECK_MAGIC(loop, LOOP_MAGIC);
	CP_ASSERT(watch->fn != NULL && watch->slot == 0);
	rc = take_slot(loop, watch);
	if (rc < 0)
		return rc;
	rc = control(loop, EPOLL_CTL_ADD, watch, fd, events);
	if (rc < 0)
		return_slot(loop, watch);
	return rc;
}

int
loop_modify(struct loop *loop, struct watch *watch, int fd, uint32_t events)
{
	CP_CHECK_MAGIC(loop, LOOP_MAGIC);
	CP_ASSERT(watch->slot != 0);
	return control(loop, EPOLL_CTL_MOD, watch, fd, events);
}

void
loop_remove(struct loop *loop, struct watch *watch, int fd)
{
	CP_CHECK_MAGIC(loop, LOOP_MAGIC);
	if (watch->slot == 0)
		return;
	/*
	 * It fails only where a handler has closed the descriptor, and maybe got another one by the same number. An
	 * entry that stays in the set then is stale.
	 */
	(void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	return_slot(loop, watch);
}

void
loop_forget(struct loop *loop, struct watch *watch)
{
	CP_CHECK_MAGIC(loop, LOOP_MAGIC);
	if (watch->slot == 0)
		return;
	CP_ASSERT(!watch->is_level);
	return_slot(loop, watch);
}

/* ---- tasks ------------------------------------------------------------------- */

void
loop_schedule(struct loop *loop, struct task *task)
{
	CP_CHECK_MAGIC(loop, LOOP_MAGIC);
	CP_ASSERT(task->fn != NULL);
	if (!list_is_linked(&task->link))
		list_push_back(&loop->tasks, &task->link);
}

void
loop_cancel(struct loop *loop, struct task *task)
{
	CP_CHECK_MAGIC(loop, LOOP_MAGIC);
	list_remove(&task->link);
}

static void
run_tasks(struct loop *loop)
{
	struct list tasks;
	struct list *link;

	/* Taken off first: one that schedules itself again waits for the next turn, so that descriptors get theirs. */
	list_init(&tasks);
	list_splice_back(&tasks, &loop->tasks);
	while ((link = list_pop_front(&tasks)) != NULL) {
		struct task *task = CP_CONTAINER_OF(link, struct task, link);

		task->fn(loop, task);
	}
}

/* ---- tasks from other threads -------------------------------------------------- */

void
loop_post(struct loop *loop, struct task *task)
{
	CP_CHECK_MAGIC(loop, LOOP_MAGIC);
	CP_ASSERT(task->fn != NULL);
	lock_acquire(&loop->lock);
	if (!list_is_linked(&task->link))
		list_push_back(&loop->posted, &task->link);
	atomic_store(&loop->has_posted, true);
	lock_release(&loop->lock);
	loop_wake(loop);
}

void
loop_unpost(struct loop *loop, struct task *task)
{
	CP_CHECK_MAGIC(loop, LOOP_MAGIC);
	lock_acquire(&loop->lock);
	list_remove(&task->link);
	lock_release(&loop->lock);
}

static struct task *
pop_posted(struct loop *loop)
{
	struct list *link;

	lock_acquire(&loop->lock);
	link = list_pop_front(&loop->posted);
	lock_release(&loop->lock);
	return link != NULL ? CP_CONTAINER_OF(link, struct task, link) : NULL;
}

/* One at a time: a task may unpost another one. So many a turn: one that posts itself must not keep the others out. */
static void
run_posted(struct loop *loop)
{
	struct task *task;

	if (!atomic_load_explicit(&loop->has_posted, memory_order_relaxed) ||
		!atomic_exchange(&loop->has_posted, false))
		return;
	for (int i = 0; i < POSTED_PER_TURN; i++) {
		task = pop_posted(loop);
		if (task == NULL)
			return;
		task->fn(loop, task);
	}
	atomic_store(&loop->has_posted, true);
}

/* ---- turns ------------------------------------------------------------------- */

/* Milliseconds to wait for, as epoll_wait(2) takes them. */
static int
wait_ms(const struct loop *loop, int max_wait_ms)
{
	const uint64_t next_ms = timer_wheel_next_ms(&loop->wheel);
	uint64_t delay_ms;

	if (max_wait_ms == 0 || !list_is_empty(&loop->tasks) || next_ms <= loop_now_ms(loop))
		return 0;
	if (next_ms == UINT64_MAX)
		return max_wait_ms;
	/* The clock stands somewhere inside its millisecond, and so will the wake-up: never early, at most one late. */
	delay_ms = next_ms - loop_now_ms(loop);
	if (delay_ms > INT_MAX)
		delay_ms = INT_MAX;
	return max_wait_ms > 0 && delay_ms > (uint64_t)max_wait_ms ? max_wait_ms : (int)delay_ms;
}

/* Number of events, or -errno. */
static int
poll_events(struct loop *loop, int timeout_ms)
{
	int count = epoll_wait(loop->epoll_fd, loop->events, LOOP_EVENTS_MAX, timeout_ms);

	if (count < 0)
		return errno == EINTR ? 0 : -errno;
	return count;
}

/*
 * See WAKEUP. Every access is an exchange, so each side's reads the other's and, being an acquire and a release, what
 * was published before it; with plain stores mixed in that would not follow.
 */
static int
sleep_for_events(struct loop *loop, int timeout_ms)
{
	int count;

	atomic_exchange(&loop->sleeping, true);
	if (atomic_load(&loop->has_posted) ||
		(loop->before_sleep != NULL && loop->before_sleep(loop, loop->before_sleep_arg))) {
		/* If a waker was faster, its event comes with this poll or a later one and does no harm. */
		atomic_exchange(&loop->sleeping, false);
		return poll_events(loop, 0);
	}
	count = poll_events(loop, timeout_ms);
	atomic_exchange(&loop->sleeping, false);
	return count;
}

static void
dispatch(struct loop *loop, int count)
{
	for (int i = 0; i < count; i++) {
		const struct epoll_event *event = &loop->events[i];
		/* Looked up only now: an earlier one of the batch may have ended it. */
		struct watch *watch = watch_of(loop, event->data.u64);

		if (watch != NULL)
			watch->fn(loop, watch, event->events);
		else
			loop->stale_events++;
	}
}

int
loop_turn(struct loop *loop, int max_wait_ms)
{
	int timeout_ms;
	int count;

	CP_CHECK_MAGIC(loop, LOOP_MAGIC);
	timeout_ms = wait_ms(loop, max_wait_ms);
	count = timeout_ms == 0 ? poll_events(loop, 0) : sleep_for_events(loop, timeout_ms);
	if (count < 0)
		return count;
	loop->turns++;
	loop_update_now(loop);
	dispatch(loop, count);
	timer_wheel_advance(&loop->wheel, loop_now_ms(loop));
	run_posted(loop);
	run_tasks(loop);
	return 0;
}

/* A set of its own that has only the wake-up in it. Made when it is first wanted: most loops never nap. */
static int
open_nap_set(struct loop *loop)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};

	loop->nap_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->nap_fd < 0)
		return -errno;
	if (epoll_ctl(loop->nap_fd, EPOLL_CTL_ADD, loop->wake_fd, &event) < 0) {
		int error = errno;

		fd_close(&loop->nap_fd);
		return -error;
	}
	return 0;
}

void
loop_nap(struct loop *loop, int max_ms)
{
	struct epoll_event event;

	CP_CHECK_MAGIC(loop, LOOP_MAGIC);
	/* Without it there is no nap, which is only a little dearer. */
	if (loop->nap_fd < 0 && open_nap_set(loop) < 0)
		return;
	atomic_exchange(&loop->sleeping, true);
	if (!atomic_load(&loop->has_posted) &&
		(loop->before_sleep == NULL || !loop->before_sleep(loop, loop->before_sleep_arg)))
		(void)epoll_wait(loop->nap_fd, &event, 1, max_ms);
	atomic_exchange(&loop->sleeping, false);
}

void
loop_update_now(struct loop *loop)
{
	loop->now_ns = clock_now_ns();
}

/* ---- any thread --------------------------------------------------------------- */

bool
loop_wake(struct loop *loop)
{
	if (!atomic_exchange(&loop->sleeping, false))
		return false;
	fd_signal_event(loop->wake_fd);
	return true;
}

bool
loop_is_sleeping(const struct loop *loop)
{
	return atomic_load(&loop->sleeping);
}
