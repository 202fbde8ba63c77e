/* SPDX-License-Identifier: MIT */
/*
 * fdutil - descriptors: closing, waking by eventfd, counting and how many there may be.
 *
 * Any thread; fd_raise_limit() is for the main thread before others start. Nothing here blocks or logs.
 */
#include "config.h"

#include "base/fdutil.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"

void
fd_close(int *fd)
{
	int saved_errno = errno;
	int closing = fd_take(fd);

	if (closing < 0)
		return;
	/* EINTR is no reason to try again: on Linux the descriptor is gone. EBADF is a double close, and so a bug. */
	if (close(closing) < 0)
		CP_ASSERT(errno != EBADF);
	errno = saved_errno;
}

int
fd_hold_standard(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		/* The lowest that is free, and so this one. Inherited by programs that it runs, as the others are. */
		if (open("/dev/null", O_RDWR) != fd)
			return -errno;
	}
	return 0;
}

int
fd_new_event(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

void
fd_signal_event(int fd)
{
	int saved_errno = errno;
	uint64_t one = 1;

	/* EAGAIN: the counter is full, so the reader is woken as it is. */
	if (write(fd, &one, sizeof(one)) < 0)
		CP_ASSERT(errno != EBADF && errno != EINVAL);
	errno = saved_errno;
}

/* The kernel's own bound on RLIMIT_NOFILE, for the privileged too; UINT64_MAX when it cannot be read. */
static uint64_t
read_kernel_limit(void)
{
	FILE *file = fopen("/proc/sys/fs/nr_open", "re");
	uint64_t limit;

	if (file == NULL)
		return UINT64_MAX;
	if (fscanf(file, "%" SCNu64, &limit) != 1)
		limit = UINT64_MAX;
	fclose(file);
	return limit;
}

static bool
set_limit(rlim_t soft, rlim_t hard)
{
	struct rlimit limit = { .rlim_cur = soft, .rlim_max = hard };

	return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

uint64_t
fd_raise_limit(uint64_t wanted)
{
	struct rlimit now;
	uint64_t kernel_limit, beyond;

	if (getrlimit(RLIMIT_NOFILE, &now) < 0)
		return 0;
	if (now.rlim_cur >= wanted)
		return now.rlim_cur;
	if (now.rlim_max >= wanted)
		return set_limit(wanted, now.rlim_max) ? wanted : now.rlim_cur;
	kernel_limit = read_kernel_limit();
	beyond = wanted < kernel_limit ? wanted : kernel_limit;
	if (beyond > now.rlim_max && set_limit(beyond, beyond))
		return beyond;
	return set_limit(now.rlim_max, now.rlim_max) ? now.rlim_max : now.rlim_cur;
}

/* Both ends included; a kernel before 5.9 has no close_range(2), and closes them one by one. */
static void
close_from_to(unsigned first, unsigned last)
{
	struct rlimit limit = {.rlim_cur = 1024};

	if (first > last || close_range(first, last, 0) == 0)
		return;
	(void)getrlimit(RLIMIT_NOFILE, &limit);
	for (unsigned fd = first; fd <= last && fd < limit.rlim_cur; fd++)
		(void)close((int)fd);
}

void
fd_close_all_but(int one, int other)
{
	unsigned low = (unsigned)(one < other ? one : other);
	unsigned high = (unsigned)(one < other ? other : one);

	close_from_to(3, low - 1);
	close_from_to(low + 1, high - 1);
	close_from_to(high + 1, UINT_MAX);
}

int
fd_count_open(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	int count = 0;
	int error;

	if (dir == NULL)
		return -errno;
	for (;;) {
		errno = 0;
		entry = readdir(dir);
		if (entry == NULL)
			break;
		if (entry->d_name[0] != '.')
			count++;
	}
	error = errno;
	closedir(dir);
	/* The one that did the counting is closed again. */
	return error != 0 ? -error : count - 1;
}

/*
 * MSG_CTRUNC (recvmsg(2)) tells of what came with the bytes and found no room: the read may have ended there, with more
 * behind it.
 */
static ssize_t
receive_unix(int fd, void *buf, size_t size, int flags, bool *ret_is_rest)
{
	struct iovec part = {.iov_base = buf, .iov_len = size};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	ssize_t n = recvmsg(fd, &message, flags | MSG_DONTWAIT);

	*ret_is_rest = n >= 0 && (size_t)n < size && (message.msg_flags & MSG_CTRUNC) == 0;
	return n;
}

ssize_t
fd_receive(int fd, bool is_unix, void *buf, size_t size, int flags, bool *ret_is_rest)
{
	ssize_t n;

	if (is_unix)
		return receive_unix(fd, buf, size, flags, ret_is_rest);
	n = recv(fd, buf, size, flags | MSG_DONTWAIT);
	*ret_is_rest = n >= 0 && (size_t)n < size;
	return n;
}
