/* SPDX-License-Identifier: MIT */
/*
 * proxy.c - gets a connection to one of an upstream's servers, then has the engine pass on what comes.
 *
 * The fiber is only needed to find a server: while the connection is relayed it costs no stack.
 */
#include "config.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "connpoold/handler.h"
#include "service/services.h"
#include "upstream/client.h"
#include "upstream/upstream.h"
#include "upstream/upstreams.h"

/* What the service is for one listener under one generation of the config. */
struct proxy {
	struct upstream *upstream; /* one reference */
	size_t buffer_bytes;
	unsigned half_closed_ms;
};

/* A client's search for a server; on its fiber's stack. */
struct search {
	struct cp_conn *conn;
	struct cp_handle handle;
	bool is_unwakeable; /* there is no memory for a handle */
	struct upstream *upstream;
	struct upstream_wish wish;
};

static uint64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int
as_timeout(uint64_t ms)
{
	return ms > INT_MAX ? -1 : (int)ms;
}

static struct search *
search_of(struct upstream_wish *wish)
{
	return (struct search *)((char *)wish - offsetof(struct search, wish));
}

/* Only who waits needs a handle. */
static void
on_queued(struct upstream_wish *wish)
{
	struct search *search = search_of(wish);

	search->handle = cp_handle_of(search->conn);
	search->is_unwakeable = search->handle.connection == 0;
}

/* Any thread. */
static void
on_granted(struct upstream_wish *wish)
{
	(void)cp_wake(search_of(wish)->handle);
}

/*
 * A place on a server, at once or after a wait. 0; -1: errno, EBUSY: all are full, EHOSTUNREACH: none is up, else what
 * ended the wait.
 */
static int
take_place(struct search *search)
{
	for (;;) {
		enum upstream_answer answer = upstream_take(search->upstream, &search->wish, now_ns());
		int rc;
		int error;

		if (answer == UPSTREAM_TAKEN)
			return 0;
		if (answer == UPSTREAM_FULL || answer == UPSTREAM_DOWN) {
			errno = answer == UPSTREAM_FULL ? EBUSY : EHOSTUNREACH;
			return -1;
		}
		rc = search->is_unwakeable ? -1 : cp_sleep(search->conn, as_timeout(search->wish.wait_ms));
		error = errno;
		if (upstream_cancel(search->upstream, &search->wish) && rc >= 0)
			return 0;
		if (rc < 0) {
			errno = error;
			return -1;
		}
	}
}

/* Waits until a connect in progress has come to its end. 0; a positive errno; -1: it is this connection that must end.
 */
static int
await_connect(const struct search *search, int fd)
{
	int error = server_connect_error(fd);

	if (error == EINPROGRESS) {
		int rc = cp_wait_fd(
			search->conn, fd, POLLOUT, as_timeout(upstream_connect_timeout_ms(search->upstream)));

		if (rc < 0)
			return -1;
		error = rc == 0 ? ETIMEDOUT : server_connect_error(fd);
	}
	return error;
}

/* The PROXY protocol's header, where the server wants one: the first bytes, which a new socket always takes. */
static int
send_header(const struct search *search, int fd)
{
	uint8_t header[CLIENT_HEADER_MAX];
	struct sockaddr_storage peer;
	struct sockaddr_storage local;
	size_t length;
	ssize_t sent;

	if (server_send_proxy(search->wish.server) == 0)
		return 0;
	cp_peer(search->conn, &peer);
	cp_local(search->conn, &local);
	length = client_make_header(search->wish.server, &peer, &local, header);
	sent = send(fd, header, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0)
		return errno;
	return (size_t)sent == length ? 0 : ENOBUFS;
}

/* One try at the server that has a place for it. As await_connect(); *ret_fd is set when it is 0. */
static int
try_server(const struct search *search, int *ret_fd)
{
	int fd = -1;
	int error = -server_connect(search->wish.server, &fd);

	if (error == EINPROGRESS)
		error = await_connect(search, fd);
	if (error == 0)
		error = send_header(search, fd);
	if (error == 0) {
		*ret_fd = fd;
		return 0;
	}
	if (fd >= 0) {
		int saved = errno;

		close(fd);
		errno = saved;
	}
	return error;
}

/* A connection to a server, whose place is in wish.server then; -1: errno, no place is held. */
static int
connect_upstream(struct search *search)
{
	int saved;

	for (;;) {
		int fd = -1;
		int error;

		if (take_place(search) < 0)
			break;
		error = try_server(search, &fd);
		if (error == 0) {
			upstream_connected(search->upstream, &search->wish);
			return fd;
		}
		if (error > 0 && upstream_failed(search->upstream, &search->wish, error, now_ns()))
			continue;
		if (error > 0)
			errno = EHOSTUNREACH;
		break;
	}
	/* The place that was held, or granted while the client went away. */
	saved = errno;
	server_leave(&search->wish.server);
	errno = saved;
	return -1;
}

static void
leave_server(void *arg)
{
	struct server *server = arg;

	server_leave(&server);
}

static int
proxy_serve(struct cp_conn *conn)
{
	const struct proxy *proxy = cp_state(conn);
	struct search search = {.conn = conn, .upstream = proxy->upstream, .wish.granted = on_granted,
		.wish.queued = on_queued};
	struct sockaddr_storage peer;
	int fd;
	int rc;
	int saved;

	cp_peer(conn, &peer);
	search.wish.source_hash = client_hash(&peer);
	fd = connect_upstream(&search);
	if (fd < 0)
		return -1;
	cp_set_server(conn, server_name(search.wish.server));
	cp_at_end(conn, leave_server, search.wish.server);
	rc = relay_to_server(
		conn, fd, server_is_unix(search.wish.server), proxy->buffer_bytes, proxy->half_closed_ms);
	/* The client has been seen to: now the server's next one. */
	saved = errno;
	server_refill(search.wish.server);
	errno = saved;
	return rc;
}

static void
proxy_release(void *data)
{
	struct proxy *proxy = data;

	upstream_unref(&proxy->upstream);
	free(proxy);
}

int
proxy_bind(const void *service_options, struct upstreams *upstreams, void **ret_data, void (**ret_release)(void *data))
{
	const struct proxy_options *options = service_options;
	struct proxy *proxy = calloc(1, sizeof(*proxy));

	if (proxy == NULL)
		return -ENOMEM;
	proxy->upstream = upstream_ref(upstreams_find(upstreams, options->upstream));
	proxy->buffer_bytes = (size_t)options->buffer_size_bytes;
	proxy->half_closed_ms = (unsigned)options->half_closed_timeout_ms;
	*ret_data = proxy;
	*ret_release = proxy_release;
	return 0;
}

const struct cp_handler proxy_handler = {.abi = CP_HANDLER_ABI, .name = "proxy", .serve = proxy_serve};
