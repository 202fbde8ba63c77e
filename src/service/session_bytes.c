/* SPDX-License-Identifier: MIT */
/*
 * session_bytes.c - calls of handler.h for bytes in measures: so many exactly, a line, a file, and no more of them.
 *
 * They run on the connection's fiber. SIGPIPE must be blocked where they do: sendfile(2) has no flag against it.
 */
#include "config.h"

#include "service/session_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

/* What is looked through for the end of a line at first; most lines are shorter, and what is copied in vain is little.
 */
#define LINE_GLANCE_BYTES 1024u
/* Of a file in one system call: so that a fast client does not have the worker for itself. */
#define FILE_CHUNK_BYTES (256u * 1024)
/* On the stack, where the kernel can't send from a descriptor itself. */
#define COPY_BYTES 8192u

/* ---- input ---------------------------------------------------------------------------- */

ssize_t
cp_recv_exactly(struct cp_conn *conn, void *buf, size_t size)
{
	size_t got = 0;

	while (got < size) {
		ssize_t n = cp_recv(conn, (char *)buf + got, size - got);

		if (n < 0)
			return -1;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

/*
 * Reads up to the end of the line, or all there is of it: at least 1 byte, 0: the end of the input. A line that has
 * come whole costs two system calls, however many are behind it; an unfinished one is taken out all the same, because a
 * client whose bytes stay in the socket may not get it to take more, and no edge would tell that it has ended.
 */
static ssize_t
read_part_of_line(struct session *session, char *buf, size_t size)
{
	bool is_rest;
	bool is_part_rest;
	ssize_t seen = session_receive(session, buf, size, MSG_PEEK, &is_rest);
	const char *newline;
	size_t part;
	ssize_t n;

	if (seen <= 0)
		return seen;
	newline = memchr(buf, '\n', (size_t)seen);
	part = newline != NULL ? (size_t)(newline - buf) + 1 : (size_t)seen;
	do
		n = session_receive_now(session, buf, part, 0, &is_part_rest);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n;
	session->conn.bytes_in += (uint64_t)n;
	/* All that the peek saw was taken; an edge tells of what has come since. */
	if (is_rest && n == seen)
		session->readable = false;
	session_note_progress(session);
	return n;
}

ssize_t
cp_read_line(struct cp_conn *conn, char *buf, size_t size)
{
	struct session *session = session_of_fiber(conn, __func__);
	size_t glance = LINE_GLANCE_BYTES;
	size_t got = 0;

	if (size < 2 || buf == NULL) {
		errno = EINVAL;
		return -1;
	}
	while (got < size - 1) {
		size_t room = size - 1 - got;
		ssize_t n = read_part_of_line(session, buf + got, room < glance ? room : glance);

		if (n < 0) {
			buf[got] = '\0';
			return -1;
		}
		got += (size_t)n;
		buf[got] = '\0';
		if (n == 0 || buf[got - 1] == '\n')
			return (ssize_t)got;
		glance *= 2;
	}
	errno = EMSGSIZE;
	return -1;
}

/* ---- files ------------------------------------------------------------------------------ */

/* Where *offset is, or where fd stands. A pipe or socket that does not block is waited for. */
static ssize_t
read_file(struct cp_conn *conn, int fd, const off_t *offset, char *buf, size_t size)
{
	for (;;) {
		ssize_t n = offset != NULL ? pread(fd, buf, size, *offset) : read(fd, buf, size);

		if (n >= 0 || (errno != EAGAIN && errno != EINTR))
			return n;
		if (errno == EAGAIN && cp_wait_fd(conn, fd, POLLIN, -1) < 0)
			return -1;
	}
}

/* For what sendfile(2) does not take. */
static ssize_t
send_by_copy(struct cp_conn *conn, int fd, off_t *offset, size_t count)
{
	char buf[COPY_BYTES];
	size_t sent = 0;

	while (sent < count) {
		size_t want = count - sent < sizeof(buf) ? count - sent : sizeof(buf);
		ssize_t n = read_file(conn, fd, offset, buf, want);

		if (n < 0 || (n > 0 && cp_send(conn, buf, (size_t)n) < 0))
			return -1;
		if (n == 0)
			break;
		if (offset != NULL)
			*offset += n;
		sent += (size_t)n;
	}
	return (ssize_t)sent;
}

/* Others may have changed the flag; sendfile(2) goes by it. */
static bool
is_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && (flags & O_NONBLOCK) != 0;
}

/* What the client takes of it now, at least 1 byte; 0: the file has ended. -1: errno; EINVAL: it has to be copied. */
static ssize_t
send_chunk(struct session *session, int fd, off_t *offset, size_t size)
{
	for (;;) {
		ssize_t n;

		if (!session->writable && session_wait_for(session, WAIT_OUTPUT) < 0)
			return -1;
		if (session_take_turn(session) < 0)
			return -1;
		if (session->shared && !is_nonblocking(session->conn.from.fd)) {
			errno = EINVAL;
			return -1;
		}
		n = sendfile(session->conn.from.fd, fd, offset, size);
		if (n >= 0) {
			session->conn.bytes_out += (uint64_t)n;
			session_note_progress(session);
			return n;
		}
		if (errno == EAGAIN)
			session->writable = false;
		else if (errno != EINTR)
			return -1;
	}
}

ssize_t
cp_send_file(struct cp_conn *conn, int fd, off_t *offset, size_t count)
{
	struct session *session = session_of_fiber(conn, __func__);
	size_t sent = 0;

	while (sent < count) {
		size_t want = count - sent < FILE_CHUNK_BYTES ? count - sent : FILE_CHUNK_BYTES;
		ssize_t n = send_chunk(session, fd, offset, want);

		if (n < 0 && (errno == EINVAL || errno == ENOSYS)) {
			n = send_by_copy(conn, fd, offset, count - sent);
			return n < 0 ? -1 : (ssize_t)sent + n;
		}
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		sent += (size_t)n;
	}
	return (ssize_t)sent;
}

/* ---- the end of it ------------------------------------------------------------------------ */

int
cp_shutdown(struct cp_conn *conn)
{
	struct session *session = session_of_fiber(conn, __func__);

	if (session_take_turn(session) < 0)
		return -1;
	return shutdown(session->conn.from.fd, SHUT_WR);
}
