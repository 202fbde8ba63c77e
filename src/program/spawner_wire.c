/* SPDX-License-Identifier: MIT */
/*
 * spawner_wire.c - one packet with its descriptors, sent and received.
 *
 * Used by all three processes. It must never wait, and never leave a descriptor behind.
 */
#include "config.h"

#include "program/spawner_wire.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdutil.h"

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int) * WIRE_FDS_MAX)];
};

int
wire_pair(int ret_fds[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_fds) < 0 ? -errno : 0;
}

int
wire_send(int fd, const void *message, size_t size, const int *fds, unsigned fd_count)
{
	union control control;
	struct iovec part = {.iov_base = (void *)(uintptr_t)message, .iov_len = size};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};

	if (fd_count > 0) {
		struct cmsghdr *cmsg = &control.align;

		memset(&control, 0, sizeof(control));
		header.msg_control = control.bytes;
		header.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * fd_count);
	}
	for (;;) {
		if (sendmsg(fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno != EINTR)
			return -errno;
	}
}

/* There is room for WIRE_FDS_MAX and no more, so that the kernel itself closes what is beyond. */
static unsigned
take_descriptors(struct msghdr *header, int fds[WIRE_FDS_MAX])
{
	unsigned count = 0;

	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(header); cmsg != NULL; cmsg = CMSG_NXTHDR(header, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		count = (unsigned)((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(cmsg), count * sizeof(int));
	}
	return count;
}

bool
wire_is_over(ssize_t result)
{
	return result == 0 || result == -EPIPE || result == -ECONNRESET || result == -ENOTCONN ||
	       result == -ECONNREFUSED;
}

/* recvmsg(2) says 0 of a packet that is empty, too. */
static bool
has_ended(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLRDHUP};

	return poll(&pfd, 1, 0) != 0;
}

ssize_t
wire_receive(int fd, void *message, size_t size, int fds[WIRE_FDS_MAX], unsigned *ret_count, bool *ret_cut)
{
	union control control;
	struct iovec part = {.iov_base = message, .iov_len = size};
	struct msghdr header = {.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = CMSG_LEN(sizeof(int) * WIRE_FDS_MAX)};
	ssize_t n;

	/* CMSG_LEN and not CMSG_SPACE: padding would be room for one more descriptor. */
	*ret_count = 0;
	*ret_cut = false;
	do
		n = recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	*ret_count = take_descriptors(&header, fds);
	*ret_cut = (header.msg_flags & MSG_CTRUNC) != 0;
	return n == 0 && !has_ended(fd) ? -EBADMSG : n;
}

void
wire_unwatch(int epoll_fd, int *fd)
{
	if (*fd >= 0)
		(void)epoll_ctl(epoll_fd, EPOLL_CTL_DEL, *fd, NULL);
	fd_close(fd);
}
