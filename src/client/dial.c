/* SPDX-License-Identifier: MIT */
/*
 * getaddrinfo(3) orders the addresses as RFC 6724 wants them; they are tried in that order, one after the other.
 * The only place that waits is dial_connect(), with a deadline of its own for each endpoint, so that one that
 * swallows packets can't use up the time of the others.
 */
#include "config.h"

#include "client/dial.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>

#include "base/clock.h"
#include "base/errmsg.h"
#include "base/fdutil.h"
#include "base/mem.h"

/* How long to wait before a full backlog of a Unix socket is tried again. */
#define BACKLOG_RETRY_NS 1000000

/* ---- names ------------------------------------------------------------------- */

static int
resolve_unix(struct dial *dial, const struct address *address, struct errmsg *err)
{
	struct dial_endpoint *endpoint = &dial->endpoints[0];
	struct sockaddr_un sun;
	int r;

	r = address_to_unix(address, &sun, &endpoint->len);
	if (r < 0) {
		errmsg_set(err, "%s: %s", address->text, errmsg_errno(-r));
		return r;
	}
	memcpy(&endpoint->addr, &sun, sizeof(sun));
	snprintf(endpoint->text, sizeof(endpoint->text), "%s", address->host);
	dial->count = 1;
	return 0;
}

static void
add_endpoints(struct dial *dial, const struct addrinfo *found, size_t room)
{
	for (const struct addrinfo *info = found; info != NULL && dial->count < room; info = info->ai_next) {
		struct dial_endpoint *endpoint = &dial->endpoints[dial->count++];
		struct peer peer;

		memcpy(&endpoint->addr, info->ai_addr, info->ai_addrlen);
		endpoint->len = info->ai_addrlen;
		peer_from_sockaddr(&peer, info->ai_addr, info->ai_addrlen);
		peer_format(&peer, endpoint->text);
	}
}

static int
look_up(const struct address *address, int family, struct addrinfo **ret, struct errmsg *err)
{
	struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	/* No host and no AI_PASSIVE is the loopback address of each family. */
	const char *host = strcmp(address->host, "*") == 0 ? NULL : address->host;
	char port[sizeof("65535")];
	int r;

	snprintf(port, sizeof(port), "%u", (unsigned)address->port);
	r = getaddrinfo(host, port, &hints, ret);
	if (r == 0)
		return 0;
	if (r == EAI_MEMORY) {
		errmsg_set(err, "no memory");
		return -ENOMEM;
	}
	errmsg_set(err, "cannot look up '%s'%s: %s", address->host,
		family == AF_INET ? " for IPv4" : family == AF_INET6 ? " for IPv6" : "",
		r == EAI_SYSTEM ? errmsg_errno(errno) : gai_strerror(r));
	return -EHOSTUNREACH;
}

int
dial_resolve(struct dial *ret, const struct address *address, int family, struct errmsg *err)
{
	struct dial dial = { .count = 0 };
	struct addrinfo *found = NULL;
	size_t count = 0;
	int r = 0;

	if (address->kind == ADDRESS_UNIX) {
		if (family != AF_UNSPEC) {
			errmsg_set(err, "%s: a Unix socket is neither IPv4 nor IPv6", address->text);
			return -EINVAL;
		}
		count = 1;
	} else {
		r = look_up(address, family, &found, err);
		if (r < 0)
			return r;
		for (const struct addrinfo *info = found; info != NULL; info = info->ai_next)
			count++;
	}
	dial.endpoints = mem_zalloc_array(count, sizeof(*dial.endpoints));
	if (dial.endpoints == NULL) {
		errmsg_set(err, "no memory");
		r = -ENOMEM;
	} else if (found != NULL) {
		add_endpoints(&dial, found, count);
	} else {
		r = resolve_unix(&dial, address, err);
	}
	if (found != NULL)
		freeaddrinfo(found);
	if (r < 0)
		dial_fini(&dial);
	else
		*ret = dial;
	return r;
}

void
dial_fini(struct dial *dial)
{
	mem_freep(&dial->endpoints);
	dial->count = 0;
}

/* ---- connecting ---------------------------------------------------------------- */

int
dial_begin(const struct dial_endpoint *endpoint, int *ret_fd)
{
	int family = endpoint->addr.ss_family;
	int fd, one = 1, error;

	fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* What is typed or due is to leave now; a failure costs time only. */
	if (family != AF_UNIX)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	error = connect(fd, (const struct sockaddr *)&endpoint->addr, endpoint->len) < 0 ? errno : 0;
	/* Interrupted or not, the attempt goes on by itself and can't be made twice. */
	if (error == EINTR)
		error = EINPROGRESS;
	if (error == 0 || error == EINPROGRESS)
		*ret_fd = fd;
	else
		fd_close(&fd);
	return -error;
}

int
dial_finish(int fd)
{
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -errno;
	return -error;
}

/* Waits until fd is writable or the deadline has passed. 0, -ETIMEDOUT or another negative errno. */
static int
wait_connected(int fd, uint64_t deadline_ns)
{
	for (;;) {
		struct pollfd pollfd = { .fd = fd, .events = POLLOUT };
		uint64_t now_ns = clock_now_ns(), left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
		struct timespec timeout = { .tv_sec = (time_t)(left_ns / CLOCK_NS_PER_S),
			.tv_nsec = (long)(left_ns % CLOCK_NS_PER_S) };
		int n = ppoll(&pollfd, 1, &timeout, NULL);

		if (n > 0)
			return dial_finish(fd);
		if (n == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

static int
connect_endpoint(const struct dial_endpoint *endpoint, uint64_t timeout_ms, int *ret_fd)
{
	uint64_t deadline_ns = clock_now_ns() + timeout_ms * CLOCK_NS_PER_MS;
	int fd = -1, r;

	while ((r = dial_begin(endpoint, &fd)) == -EAGAIN) {
		struct timespec pause = { .tv_nsec = BACKLOG_RETRY_NS };

		if (clock_now_ns() >= deadline_ns)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
	}
	if (r == -EINPROGRESS)
		r = wait_connected(fd, deadline_ns);
	if (r < 0) {
		fd_close(&fd);
		return r;
	}
	*ret_fd = fd_take(&fd);
	return 0;
}

int
dial_connect(const struct dial *dial, uint64_t timeout_ms, int *ret_fd, struct errmsg *err)
{
	struct errmsg failures = { .text = "" };
	int r = -EINVAL;

	for (size_t i = 0; i < dial->count; i++) {
		const struct dial_endpoint *endpoint = &dial->endpoints[i];
		size_t used = strlen(failures.text);

		r = connect_endpoint(endpoint, timeout_ms, ret_fd);
		if (r == 0)
			return 0;
		snprintf(failures.text + used, sizeof(failures.text) - used, "%s%s: %s", i == 0 ? "" : "; ",
			endpoint->text, errmsg_errno(-r));
	}
	errmsg_set(err, "cannot connect: %s", failures.text);
	return r;
}
