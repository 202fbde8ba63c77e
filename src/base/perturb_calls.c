/* SPDX-License-Identifier: MIT */
/*
 * perturb_calls.c - locks, wake-ups and system calls as perturbation points, and results of theirs that are legal but
 * rare. Compiled for --enable-perturb alone; the programs are linked with --wrap=NAME for each NAME wrapped here
 * (PERTURBED_CALLS in configure.ac).
 *
 * What is made up must be legal for the kernel as the callers may know it. A short read or write of a stream socket is
 * not: epoll(7) promises that it means an empty or full one. Nor is EAGAIN where an edge has been told,
 * nor EINTR of a call that does not wait: Linux says EAGAIN first.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/perturb.h"

#define HERE() perturb_point_at(__builtin_return_address(0))

struct cp_lock;
struct loop;

/*
 * WRAP: the call, with a point before and after it. FAILS: once in a while it is not made, but fails with the error.
 * The linker gives the names, so that no header can declare them.
 */
#define WRAP(type, name, parameters, arguments) FAILS(type, name, parameters, arguments, 0)
#define FAILS(type, name, parameters, arguments, error) \
	type __real_##name parameters; \
	type __wrap_##name parameters; \
	type __wrap_##name parameters \
	{ \
		type result; \
		HERE(); \
		if ((error) != 0 && perturb_chance()) { \
			errno = (error); \
			return (type)-1; \
		} \
		result = __real_##name arguments; \
		HERE(); \
		return result; \
	}
#define WRAP_VOID(name, parameters, arguments) \
	void __real_##name parameters; \
	void __wrap_##name parameters; \
	void __wrap_##name parameters \
	{ \
		HERE(); \
		__real_##name arguments; \
		HERE(); \
	}

/* ---- ours ---------------------------------------------------------------------------- */

WRAP_VOID(lock_acquire, (struct cp_lock *lock), (lock))
WRAP_VOID(lock_release, (struct cp_lock *lock), (lock))
WRAP_VOID(fd_signal_event, (int fd), (fd))
WRAP(bool, loop_wake, (struct loop *loop), (loop))

/* ---- the C library's ------------------------------------------------------------------- */

WRAP(int, sem_post, (sem_t *semaphore), (semaphore))
FAILS(int, sem_wait, (sem_t *semaphore), (semaphore), EINTR)
/* A listening socket is polled level-triggered: a client that is not there yet is told again. */
FAILS(int, accept4, (int fd, struct sockaddr *address, socklen_t *length, int flags), (fd, address, length, flags),
	EAGAIN)
WRAP(int, connect, (int fd, const struct sockaddr *address, socklen_t length), (fd, address, length))
WRAP(ssize_t, recv, (int fd, void *buf, size_t size, int flags), (fd, buf, size, flags))
WRAP(ssize_t, send, (int fd, const void *buf, size_t size, int flags), (fd, buf, size, flags))
WRAP(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))
WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
WRAP(ssize_t, read, (int fd, void *buf, size_t size), (fd, buf, size))
WRAP(ssize_t, write, (int fd, const void *buf, size_t size), (fd, buf, size))
WRAP(ssize_t, splice, (int from, off64_t *from_at, int to, off64_t *to_at, size_t size, unsigned flags),
	(from, from_at, to, to_at, size, flags))
WRAP(int, shutdown, (int fd, int how), (fd, how))
WRAP(int, close, (int fd), (fd))
WRAP(int, epoll_ctl, (int set, int operation, int fd, struct epoll_event *event), (set, operation, fd, event))
WRAP(int, kill, (pid_t pid, int number), (pid, number))

int __real_epoll_wait(int set, struct epoll_event *events, int max, int timeout_ms);
int __wrap_epoll_wait(int set, struct epoll_event *events, int max, int timeout_ms);

/* Interrupted, or with one event of several: the others are told by the next call. */
int
__wrap_epoll_wait(int set, struct epoll_event *events, int max, int timeout_ms)
{
	int count;

	HERE();
	if (perturb_chance()) {
		errno = EINTR;
		return -1;
	}
	count = __real_epoll_wait(set, events, perturb_chance() ? 1 : max, timeout_ms);
	HERE();
	return count;
}
