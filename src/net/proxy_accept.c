/* SPDX-License-Identifier: MIT */
/*
 * proxy_accept.c - looks at what has arrived (MSG_PEEK) until a header is whole, then takes just that off the stream.
 *
 * So that a connection whose proxy is slow needs no buffer, and one byte too many is never read. On workers; must never
 * wait.
 */
#include "config.h"

#include "net/proxy_accept.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/address.h"
#include "base/assert.h"
#include "base/errmsg.h"
#include "base/mem.h"
#include "base/proxy_header.h"
#include "net/admission.h"
#include "net/conn.h"
#include "net/refusals.h"
#include "net/route.h"

/* Holds every header without TLVs, and nearly all with. */
#define PEEK_FIRST 536u

static int
end_as(struct conn *conn, enum conn_end why)
{
	conn_set_end(conn, why);
	return -ECANCELED;
}

/* from.peer is still the proxy. */
static int
refuse(struct conn *conn, const char *what)
{
	refusals_log_proxy(conn->from.route->listener, &conn->from.peer, what);
	return end_as(conn, CONN_END_REFUSED_PROXY);
}

static int
end_by_errno(struct conn *conn, int error)
{
	return end_as(conn, error == ECONNRESET || error == EPIPE ? CONN_END_CLIENT_RESET : CONN_END_ERROR);
}

static ssize_t
receive(int fd, uint8_t *buf, size_t size, int flags)
{
	ssize_t n;

	do
		n = recv(fd, buf, size, flags | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* The peeked bytes are taken; a socket may hand them out in several parts. */
static int
consume(struct conn *conn, size_t length)
{
	while (length > 0) {
		uint8_t scratch[PEEK_FIRST];
		ssize_t n = receive(conn->from.fd, scratch, length < sizeof(scratch) ? length : sizeof(scratch), 0);

		if (n <= 0)
			return end_by_errno(conn, (int)-n);
		length -= (size_t)n;
	}
	return 1;
}

/* What the header says of the client takes the place of what the socket says. 1 or -ECANCELED. */
static int
admit(struct conn *conn, const struct peer *client, const struct peer *destination)
{
	struct peer own = conn->from.peer;
	enum conn_end refusal;

	if (client->family != AF_UNSPEC) {
		conn->proxied = mem_zalloc(sizeof(*conn->proxied));
		if (conn->proxied == NULL)
			return end_as(conn, CONN_END_REFUSED_MEMORY);
		*conn->proxied = (struct conn_proxied){.proxy = own, .destination = *destination};
	}
	refusal = admission_readmit(&conn->from, conn->proxied != NULL ? client : &own);
	return refusal == CONN_END_NONE ? 1 : end_as(conn, refusal);
}

/* Does nothing more come? */
static bool
has_ended(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLRDHUP};

	return poll(&pfd, 1, 0) == 1;
}

/*
 * One look at what is there, size bytes of it at most. 1: done; 0: it is no whole header, *ret_seen bytes long;
 * -ECANCELED.
 */
static int
look(struct conn *conn, uint8_t *buf, size_t size, size_t *ret_seen)
{
	ssize_t seen = receive(conn->from.fd, buf, size, MSG_PEEK);
	struct peer client, destination;
	struct errmsg err;
	ssize_t length;

	*ret_seen = 0;
	if (seen == -EAGAIN)
		return 0;
	if (seen < 0)
		return end_by_errno(conn, (int)-seen);
	if (seen == 0)
		return refuse(conn, "it ended the connection before its PROXY header");
	*ret_seen = (size_t)seen;
	length = proxy_header_parse(buf, (size_t)seen, &client, &destination, &err);
	if (length < 0)
		return refuse(conn, err.text);
	if (length == 0)
		return 0;
	if (consume(conn, (size_t)length) < 0)
		return -ECANCELED;
	return admit(conn, &client, &destination);
}

/* A header that is longer than the first look; its buffer is off the stack of all others. */
static __attribute__((noinline)) int
look_at_most(struct conn *conn)
{
	uint8_t buf[PROXY_HEADER_MAX];
	size_t seen;

	return look(conn, buf, sizeof(buf), &seen);
}

int
conn_read_proxy_header(struct conn *conn)
{
	uint8_t buf[PEEK_FIRST];
	size_t seen;
	int rc;

	CP_CHECK_MAGIC(conn, CONN_MAGIC);
	rc = look(conn, buf, sizeof(buf), &seen);
	if (rc == 0 && seen == sizeof(buf))
		rc = look_at_most(conn);
	if (rc != 0 || seen == 0 || !has_ended(conn->from.fd))
		return rc;
	/* Peeking doesn't show an end behind bytes. Looked at once more: the rest may have come with the end. */
	rc = look_at_most(conn);
	return rc != 0 ? rc : refuse(conn, "it ended the connection within its PROXY header");
}

void
conn_refuse_late_proxy(struct conn *conn)
{
	CP_CHECK_MAGIC(conn, CONN_MAGIC);
	(void)refuse(conn, "its PROXY header did not come within proxy_timeout");
}
