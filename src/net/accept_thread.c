/* SPDX-License-Identifier: MIT */
/*
 * accept_thread.c - one thread that may wait in accept4(2), so that the main thread does not.
 *
 * Thread and owner have one reference each: one that waits for good holds its own descriptor and this structure,
 * nothing else, and nobody waits for it. Requests go by a semaphore, results by loop_post(), each as it comes: the call
 * after a successful one may be the one that waits. Whether a client came before or after accept_thread_recall() is
 * decided under the lock, so that none is taken that nobody will come for.
 */
#include "config.h"

#include "net/accept_thread.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/fdutil.h"
#include "base/lock.h"
#include "base/mem.h"
#include "engine/loop.h"

#define ACCEPT_THREAD_MAGIC 0x61636874
#define STACK_BYTES (256u * 1024)

struct taken {
	int fd;
	socklen_t length;
	struct sockaddr_storage sa;
	uint64_t accepted_ns;
};

struct accept_thread {
	uint32_t magic;
	atomic_uint refs;
	unsigned number;
	int fd; /* owned; shares the description with the acceptor's */
	sem_t request;
	struct loop *loop; /* borrowed until is_recalled */
	struct task done;
	void (*on_taken)(void *arg); /* main thread, as is arg */
	void *arg;
	bool is_asked; /* main thread, as is next */
	unsigned next; /* to be handed out */

	/* Written by the main thread while nothing is asked for, else by the thread. */
	unsigned wanted;
	atomic_uint count;       /* items up to here are the main thread's */
	atomic_bool is_complete; /* so is error; the thread waits for the next request */
	int error;               /* what ended the batch; 0: there are as many as wanted */
	struct taken items[ACCEPT_THREAD_MAX];

	struct cp_lock lock; /* LOCK_ACCEPT; guards is_recalled, and that nothing is taken or posted after it */
	bool is_recalled;
};

static void
unref(struct accept_thread *thread)
{
	if (atomic_fetch_sub_explicit(&thread->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (; thread->next < atomic_load(&thread->count); thread->next++)
		fd_close(&thread->items[thread->next].fd);
	fd_close(&thread->fd);
	sem_destroy(&thread->request);
	lock_fini(&thread->lock);
	thread->magic = 0;
	mem_free(thread);
}

/* ---- the thread ---------------------------------------------------------------- */

/*
 * Accepted sockets inherit options that another holder may have set on the listening one. With SO_LINGER close(2)
 * waits, O_NONBLOCK or not; with SO_RCVLOWAT epoll(7) hides a client's bytes. The others cost this socket's clients
 * alone.
 */
static void
reset_options(int fd)
{
	const struct linger no_linger = {0};
	const int one = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &no_linger, sizeof(no_linger));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
}

static bool
is_recalled(struct accept_thread *thread)
{
	bool recalled;

	lock_acquire(&thread->lock);
	recalled = thread->is_recalled;
	lock_release(&thread->lock);
	return recalled;
}

/* There are so many items now. False: too late, nobody asks for them any more. */
static bool
publish(struct accept_thread *thread, unsigned count)
{
	bool recalled;

	lock_acquire(&thread->lock);
	recalled = thread->is_recalled;
	if (!recalled) {
		atomic_store(&thread->count, count);
		/* Under the lock: after accept_thread_stop() there may be no loop. */
		loop_post(thread->loop, &thread->done);
	}
	lock_release(&thread->lock);
	return !recalled;
}

/* The next of the backlog. 0 or -errno; -EAGAIN: there is none. */
static int
take_one(struct accept_thread *thread, struct taken *taken)
{
	struct pollfd waiting = {.fd = thread->fd, .events = POLLIN};
	int non_blocking = 1;
	int rc = poll(&waiting, 1, 0);

	if (rc <= 0)
		return rc < 0 ? -errno : -EAGAIN;
	/* Against those who clear it, and mean no harm: programs want it otherwise. */
	(void)ioctl(thread->fd, FIONBIO, &non_blocking);
	taken->length = sizeof(taken->sa);
	taken->fd = accept4(thread->fd, (struct sockaddr *)&taken->sa, &taken->length, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (taken->fd < 0)
		return -errno;
	taken->accepted_ns = clock_now_ns();
	reset_options(taken->fd);
	return 0;
}

static void
take_batch(struct accept_thread *thread)
{
	for (unsigned count = 0; count < thread->wanted && !is_recalled(thread); count++) {
		struct taken *taken = &thread->items[count];
		int rc = take_one(thread, taken);

		if (rc < 0) {
			thread->error = -rc;
			return;
		}
		if (!publish(thread, count + 1))
			fd_close(&taken->fd);
	}
}

static void *
accept_main(void *arg)
{
	struct accept_thread *thread = CP_CAST(arg, struct accept_thread, ACCEPT_THREAD_MAGIC);
	char name[16];

	snprintf(name, sizeof(name), "cp-acc-%02u", thread->number % 100);
	(void)pthread_setname_np(pthread_self(), name);
	for (;;) {
		while (sem_wait(&thread->request) < 0)
			continue;
		if (is_recalled(thread))
			break;
		take_batch(thread);
		atomic_store(&thread->is_complete, true);
		if (!publish(thread, atomic_load(&thread->count)))
			break;
	}
	unref(thread);
	return NULL;
}

/* ---- the main thread ------------------------------------------------------------- */

static void
on_done(struct loop *loop, struct task *task)
{
	struct accept_thread *thread = CP_CONTAINER_OF(task, struct accept_thread, done);

	(void)loop;
	if (atomic_load(&thread->is_complete))
		thread->is_asked = false;
	thread->on_taken(thread->arg);
}

/* Detached: it may never end. */
static int
start(struct accept_thread *thread)
{
	pthread_attr_t attr;
	pthread_t id;
	sigset_t all;
	sigset_t before;
	int rc = pthread_attr_init(&attr);

	if (rc != 0)
		return -rc;
	CP_PTHREAD(pthread_attr_setstacksize(&attr, STACK_BYTES));
	CP_PTHREAD(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED));
	sigfillset(&all);
	CP_PTHREAD(pthread_sigmask(SIG_SETMASK, &all, &before));
	rc = pthread_create(&id, &attr, accept_main, thread);
	CP_PTHREAD(pthread_sigmask(SIG_SETMASK, &before, NULL));
	CP_PTHREAD(pthread_attr_destroy(&attr));
	return -rc;
}

int
accept_thread_start(int fd, unsigned number, struct loop *loop, void (*on_taken)(void *arg), void *arg,
	struct accept_thread **ret_thread)
{
	struct accept_thread *thread = mem_zalloc(sizeof(*thread));
	int rc;

	if (thread == NULL)
		return -ENOMEM;
	thread->magic = ACCEPT_THREAD_MAGIC;
	thread->number = number;
	thread->loop = loop;
	thread->done.fn = on_done;
	thread->on_taken = on_taken;
	thread->arg = arg;
	lock_init(&thread->lock, LOCK_ACCEPT);
	CP_ASSERT(sem_init(&thread->request, 0, 0) == 0);
	atomic_init(&thread->refs, 2);
	thread->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	rc = thread->fd < 0 ? -errno : start(thread);
	if (rc < 0) {
		atomic_store(&thread->refs, 1);
		unref(thread);
		return rc;
	}
	*ret_thread = thread;
	return 0;
}

void
accept_thread_recall(struct accept_thread *thread)
{
	CP_CHECK_MAGIC(thread, ACCEPT_THREAD_MAGIC);
	lock_acquire(&thread->lock);
	thread->is_recalled = true;
	lock_release(&thread->lock);
	loop_unpost(thread->loop, &thread->done);
}

void
accept_thread_stop(struct accept_thread **holder)
{
	struct accept_thread *thread = *holder;

	*holder = NULL;
	if (thread == NULL)
		return;
	accept_thread_recall(thread);
	CP_ASSERT(sem_post(&thread->request) == 0);
	unref(thread);
}

void
accept_thread_ask(struct accept_thread *thread, unsigned wanted)
{
	CP_CHECK_MAGIC(thread, ACCEPT_THREAD_MAGIC);
	CP_ASSERT(!thread->is_asked && !accept_thread_has_more(thread));
	thread->is_asked = true;
	thread->wanted = wanted < ACCEPT_THREAD_MAX ? wanted : ACCEPT_THREAD_MAX;
	thread->next = 0;
	atomic_store(&thread->count, 0);
	atomic_store(&thread->is_complete, false);
	CP_ASSERT(sem_post(&thread->request) == 0);
}

bool
accept_thread_is_asked(const struct accept_thread *thread)
{
	return thread->is_asked;
}

bool
accept_thread_has_more(const struct accept_thread *thread)
{
	return thread->next < atomic_load(&thread->count) || (!thread->is_asked && thread->error != 0);
}

int
accept_thread_next(struct accept_thread *thread, struct sockaddr_storage *ret_sa, socklen_t *ret_length,
	uint64_t *ret_accepted_ns)
{
	struct taken *taken;
	int error;

	CP_CHECK_MAGIC(thread, ACCEPT_THREAD_MAGIC);
	if (thread->next < atomic_load(&thread->count)) {
		taken = &thread->items[thread->next++];
		*ret_sa = taken->sa;
		*ret_length = taken->length;
		*ret_accepted_ns = taken->accepted_ns;
		return fd_take(&taken->fd);
	}
	if (thread->is_asked)
		return -EINPROGRESS;
	error = thread->error;
	thread->error = 0;
	return error != 0 ? -error : -EINPROGRESS;
}
