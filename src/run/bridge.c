/* SPDX-License-Identifier: MIT */
/*
 * bridge.c - two threads that copy, each blocking in one direction: files and terminals can't be waited for with epoll.
 *
 * The one that reads the input may sit in read(2) when all is over: nothing that it uses is taken away, and the process
 * ends without it.
 */
#include "config.h"

#include "run/bridge.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/errmsg.h"
#include "base/fdutil.h"
#include "base/mem.h"

#define BUFFER_BYTES 65536

/* ---- the threads ------------------------------------------------------------------------ */

/* Descriptors that we are given may be non-blocking. True: try again. */
static bool
is_passing(int fd, short events)
{
	struct pollfd pfd = {.fd = fd, .events = events};

	if (errno == EINTR)
		return true;
	return errno == EAGAIN && (poll(&pfd, 1, -1) >= 0 || errno == EINTR);
}

static int
write_all(int fd, const char *bytes, size_t count)
{
	while (count > 0) {
		ssize_t n = write(fd, bytes, count);

		if (n < 0 && is_passing(fd, POLLOUT))
			continue;
		if (n < 0)
			return -errno;
		bytes += n;
		count -= (size_t)n;
	}
	return 0;
}

/* Until from ends, or to takes no more. 0, or what to said. */
static int
copy(int from, int to)
{
	char buf[BUFFER_BYTES];

	for (;;) {
		ssize_t n = read(from, buf, sizeof(buf));
		int rc;

		if (n < 0 && is_passing(from, POLLIN))
			continue;
		if (n <= 0)
			return 0;
		rc = write_all(to, buf, (size_t)n);
		if (rc < 0)
			return rc;
	}
}

/* The reader's own: it may outlive the bridge. */
struct reading {
	int input; /* borrowed for ever */
	int inner;
};

static void *
read_input(void *arg)
{
	struct reading *reading = arg;

	(void)copy(reading->input, reading->inner);
	(void)shutdown(reading->inner, SHUT_WR);
	fd_close(&reading->inner);
	mem_free(reading);
	return NULL;
}

static void *
write_output(void *arg)
{
	struct bridge *bridge = arg;

	bridge->write_failed = copy(bridge->inner, bridge->output) < 0;
	/* Nobody reads any more: the handler is told so. */
	if (bridge->write_failed)
		(void)shutdown(bridge->inner, SHUT_RD);
	return NULL;
}

/* ---- opening ------------------------------------------------------------------------------ */

static bool
is_one_socket(int input, int output)
{
	struct stat in;
	struct stat out;
	int type = 0;
	int listens = 0;
	socklen_t length = sizeof(type);

	if (fstat(input, &in) < 0 || fstat(output, &out) < 0 || !S_ISSOCK(in.st_mode))
		return false;
	if (in.st_dev != out.st_dev || in.st_ino != out.st_ino)
		return false;
	if (getsockopt(input, SOL_SOCKET, SO_TYPE, &type, &length) < 0 || type != SOCK_STREAM)
		return false;
	length = sizeof(listens);
	return getsockopt(input, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) == 0 && listens == 0;
}

/* The flag is shared with whoever gave us the socket: it is put back at the end. */
static int
use_socket(struct bridge *bridge, int *ret_fd)
{
	int flags = fcntl(bridge->input, F_GETFL);
	int fd = fcntl(bridge->input, F_DUPFD_CLOEXEC, 3);

	if (flags < 0 || fd < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
		int error = errno;

		fd_close(&fd);
		return -error;
	}
	bridge->saved_flags = flags;
	*ret_fd = fd;
	return 0;
}

static int
start_reader(const struct bridge *bridge)
{
	struct reading *reading = mem_zalloc(sizeof(*reading));
	pthread_t thread;
	int rc;

	if (reading == NULL)
		return -ENOMEM;
	reading->input = bridge->input;
	reading->inner = fcntl(bridge->inner, F_DUPFD_CLOEXEC, 3);
	rc = reading->inner < 0 ? -errno : -pthread_create(&thread, NULL, read_input, reading);
	if (rc < 0) {
		fd_close(&reading->inner);
		mem_free(reading);
		return rc;
	}
	CP_PTHREAD(pthread_detach(thread));
	return 0;
}

static int
use_pair(struct bridge *bridge, int *ret_fd)
{
	int ends[2];
	int rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	bridge->inner = ends[0];
	rc = fcntl(ends[1], F_SETFL, O_NONBLOCK) < 0 ? -errno : start_reader(bridge);
	if (rc == 0)
		rc = -pthread_create(&bridge->writer, NULL, write_output, bridge);
	if (rc < 0) {
		/* A reader that has been started finds its end closed, once there is something to read. */
		fd_close(&ends[1]);
		fd_close(&bridge->inner);
		return rc;
	}
	bridge->has_writer = true;
	*ret_fd = ends[1];
	return 0;
}

int
bridge_open(struct bridge *bridge, int input, int output, int *ret_fd, struct errmsg *err)
{
	int rc;

	*bridge = (struct bridge){.input = input, .output = output, .inner = -1, .saved_flags = -1};
	rc = is_one_socket(input, output) ? use_socket(bridge, ret_fd) : use_pair(bridge, ret_fd);
	if (rc < 0)
		errmsg_set(err, "cannot use standard input and output: %s", errmsg_errno(-rc));
	return rc;
}

int
bridge_close(struct bridge *bridge)
{
	if (bridge->saved_flags >= 0)
		(void)fcntl(bridge->input, F_SETFL, bridge->saved_flags);
	if (bridge->has_writer)
		CP_PTHREAD(pthread_join(bridge->writer, NULL));
	bridge->has_writer = false;
	fd_close(&bridge->inner);
	return bridge->write_failed ? -EIO : 0;
}
