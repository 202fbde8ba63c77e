/* SPDX-License-Identifier: MIT */
/*
 * blocking.c - see blocking.h.
 *
 * [helper] below is one of the threads made here. They run code of modules and of libraries that know nothing of
 * fibers: so they have stacks as such code expects, and take no signals, which are the main thread's.
 */
#include "config.h"

#include "service/blocking.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/fault.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/log.h"

static struct {
	pthread_once_t once;
	sem_t wanted; /* see WAKEUP */

	struct cp_lock lock; /* LOCK_BLOCKING; guards the fields down to the end */
	struct list queue;   /* of jobs; none without a thread */
	unsigned queued;
	pthread_t threads[BLOCKING_THREADS_MAX];
	unsigned thread_count;
	unsigned idle; /* threads that do not run a job; also those that have not begun yet */
	bool stopping;
} pool = {.once = PTHREAD_ONCE_INIT};

static void
init_pool(void)
{
	lock_init(&pool.lock, LOCK_BLOCKING);
	list_init(&pool.queue);
	CP_ASSERT(sem_init(&pool.wanted, 0, 0) == 0);
}

/* ---- the threads ------------------------------------------------------------------- */

/* Waits for one. NULL: there is none any more, or it is time to end. [helper] */
static struct blocking_job *
take_job(bool *ret_end)
{
	struct list *link;

	while (sem_wait(&pool.wanted) < 0)
		CP_ASSERT(errno == EINTR);
	lock_acquire(&pool.lock);
	link = list_pop_front(&pool.queue);
	if (link != NULL) {
		pool.queued--;
		pool.idle--;
	}
	*ret_end = pool.stopping;
	lock_release(&pool.lock);
	return link != NULL ? CP_CONTAINER_OF(link, struct blocking_job, link) : NULL;
}

static void *
helper_main(void *arg)
{
	bool is_end = false;
	char name[16];

	snprintf(name, sizeof(name), "cp-b%u", (unsigned)(uintptr_t)arg);
	(void)pthread_setname_np(pthread_self(), name);
	if (fault_thread_init() < 0)
		log_warning(LOG_EVENT_NONE, "%s: no memory for a signal stack; a stack overflow will not be explained",
			name);
	while (!is_end) {
		struct blocking_job *job = take_job(&is_end);

		if (job == NULL)
			continue;
		running = job->caller;
		job->fn(job->arg);
		running = (struct running){0};
		lock_acquire(&pool.lock);
		pool.idle++;
		/* Under the lock, by which blocking_settle() knows that it is over. It never blocks. */
		loop_post(job->loop, &job->done);
		lock_release(&pool.lock);
	}
	log_thread_end();
	fault_thread_fini();
	return NULL;
}

/* Everything but what the thread brings upon itself. */
static void
block_signals(sigset_t *ret_before)
{
	sigset_t blocked;

	sigfillset(&blocked);
	fault_unblock(&blocked);
	CP_PTHREAD(pthread_sigmask(SIG_SETMASK, &blocked, ret_before));
}

/*
 * Once for each thread, in all the life of the process, so the lock may be held for that long: with it, that there is
 * no thread and that there is no job go together. 0 or -errno.
 */
static int
start_thread_locked(void)
{
	pthread_attr_t attr;
	sigset_t before;
	int rc = pthread_attr_init(&attr);

	lock_assert_held(&pool.lock);
	if (rc != 0)
		return -rc;
	CP_PTHREAD(pthread_attr_setstacksize(&attr, BLOCKING_STACK_BYTES));
	block_signals(&before);
	rc = pthread_create(&pool.threads[pool.thread_count], &attr, helper_main, (void *)(uintptr_t)pool.thread_count);
	CP_PTHREAD(pthread_sigmask(SIG_SETMASK, &before, NULL));
	CP_PTHREAD(pthread_attr_destroy(&attr));
	if (rc != 0)
		return -rc;
	pool.thread_count++;
	pool.idle++;
	return 0;
}

/* ---- jobs, any thread ---------------------------------------------------------------- */

/* False: it would wait for ever, or too many wait already. */
static bool
can_take_one_more_locked(void)
{
	lock_assert_held(&pool.lock);
	if (pool.queued >= BLOCKING_QUEUE_MAX)
		return false;
	if (pool.queued < pool.idle || pool.thread_count == BLOCKING_THREADS_MAX)
		return true;
	/* Where one can't be started, those that are there get to it in time. */
	return start_thread_locked() == 0 || pool.thread_count > 0;
}

int
blocking_submit(struct blocking_job *job)
{
	bool is_taken;

	CP_ASSERT(job->fn != NULL && job->loop != NULL && job->done.fn != NULL);
	CP_PTHREAD(pthread_once(&pool.once, init_pool));
	lock_acquire(&pool.lock);
	is_taken = can_take_one_more_locked();
	if (is_taken) {
		list_push_back(&pool.queue, &job->link);
		pool.queued++;
	}
	lock_release(&pool.lock);
	if (!is_taken)
		return -EAGAIN;
	/* From here on it may have run; but it is only known to be done on the loop's thread. */
	CP_ASSERT(sem_post(&pool.wanted) == 0);
	return 0;
}

bool
blocking_withdraw(struct blocking_job *job)
{
	bool is_queued;

	lock_acquire(&pool.lock);
	is_queued = list_is_linked(&job->link);
	if (is_queued) {
		list_remove(&job->link);
		pool.queued--;
	}
	lock_release(&pool.lock);
	return is_queued;
}

void
blocking_settle(void)
{
	lock_acquire(&pool.lock);
	lock_release(&pool.lock);
}

/* ---- the end, main thread -------------------------------------------------------------- */

void
blocking_stop(void)
{
	unsigned count;

	CP_PTHREAD(pthread_once(&pool.once, init_pool));
	lock_acquire(&pool.lock);
	CP_ASSERT(list_is_empty(&pool.queue) && pool.idle == pool.thread_count);
	pool.stopping = true;
	count = pool.thread_count;
	lock_release(&pool.lock);
	for (unsigned i = 0; i < count; i++)
		CP_ASSERT(sem_post(&pool.wanted) == 0);
	for (unsigned i = 0; i < count; i++)
		CP_PTHREAD(pthread_join(pool.threads[i], NULL));
	/* What withdrawn jobs have left behind. */
	while (sem_trywait(&pool.wanted) == 0)
		;
	pool.thread_count = pool.idle = 0;
	pool.stopping = false;
}
