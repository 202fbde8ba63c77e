/* SPDX-License-Identifier: MIT */
/*
 * server_ready.c - connecting to a server, and the connections kept ready so that a client need not wait for that.
 *
 * Workers connect and refill; the main thread tops up and throws out what has died. Sockets are opened and closed
 * without the lock. What stands ready is looked at under it, with one poll(2) that does not wait: the counts that
 * max_connections is kept by (group.h, PLACES) then never miss one that is in somebody's hands.
 */
#include "config.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/errmsg.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "upstream/group.h"
#include "upstream/server.h"
#include "upstream/upstream.h"

/* So many, newest first, are looked at for one client; the main thread looks at all. */
#define LOOK_MAX 8u
#define TEND_LOOK_MAX 1024u

struct ready {
	struct list link;
	int fd;
	bool was_connected; /* seen to be, by the main thread */
	uint64_t begun_ns;
};

/* ---- sockets -------------------------------------------------------------------------- */

/* 0 or -EINPROGRESS with *ret_fd, else -errno. */
static int
open_connection(const struct server *server, int *ret_fd)
{
	const struct server_address *address = &server->address;
	static const int on = 1;
	int fd = socket(address->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int error = 0;

	if (fd < 0)
		return -errno;
	if (address->sa.sa_family != AF_UNIX)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, &address->sa, address->length) < 0)
		error = errno;
	if (error != 0 && error != EINPROGRESS) {
		fd_close(&fd);
		return -error;
	}
	*ret_fd = fd;
	return -error;
}

int
server_connect_error(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
	int error = 0;
	socklen_t length = sizeof(error);

	/* One call in the common case: on its way, or there. */
	if (poll(&poll_fd, 1, 0) != 1)
		return EINPROGRESS;
	if ((poll_fd.revents & (POLLERR | POLLHUP)) == 0)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
		return errno;
	/* It was told before, or the server has closed already what it had accepted. */
	return error != 0 ? error : (poll_fd.revents & POLLERR) != 0 ? ECONNRESET : 0;
}

/* ---- the list -------------------------------------------------------------------------- */

static void
remove_locked(struct server *server, struct ready *ready)
{
	CP_ASSERT(server->ready > 0);
	list_remove(&ready->link);
	server->ready--;
}

void
server_trim_ready_locked(struct server *server, uint64_t keep, struct list *drop)
{
	lock_assert_held(&server->upstream->lock);
	while (server->ready > keep) {
		struct ready *oldest = CP_CONTAINER_OF(server->ready_list.next, struct ready, link);

		remove_locked(server, oldest);
		list_push_back(drop, &oldest->link);
	}
}

void
server_close_ready(struct list *drop)
{
	struct list *link;

	while ((link = list_pop_front(drop)) != NULL) {
		struct ready *ready = CP_CONTAINER_OF(link, struct ready, link);

		fd_close(&ready->fd);
		mem_free(ready);
	}
}

enum look { LOOK_CONNECTED, LOOK_CONNECTING, LOOK_DEAD };

/*
 * Data is a sign of life (the server spoke first). The end of its stream is none, whatever came before: a server that
 * has said goodbye serves nobody.
 */
static enum look
judge(short revents)
{
	if ((revents & (POLLERR | POLLHUP | POLLRDHUP | POLLNVAL)) != 0)
		return LOOK_DEAD;
	return (revents & (POLLOUT | POLLIN)) != 0 ? LOOK_CONNECTED : LOOK_CONNECTING;
}

/* Looks at up to max of them at once, newest first. How many; what was found of each is in its place of fds. */
static unsigned
look_locked(struct server *server, unsigned max, struct ready **ret_items, struct pollfd *fds)
{
	unsigned count = 0;

	for (struct list *link = server->ready_list.prev; link != &server->ready_list && count < max;
		link = link->prev) {
		ret_items[count] = CP_CONTAINER_OF(link, struct ready, link);
		fds[count] = (struct pollfd){.fd = ret_items[count]->fd, .events = POLLIN | POLLOUT | POLLRDHUP};
		count++;
	}
	/* It fails without memory alone: then they are taken for what they were thought to be, connecting. */
	if (count > 0 && poll(fds, count, 0) < 0) {
		for (unsigned i = 0; i < count; i++)
			fds[i].revents = 0;
	}
	return count;
}

/* The newest that is connected, else the one that has been connecting longest; what is dead goes to drop. */
static struct ready *
choose_ready_locked(struct server *server, enum look *ret_look, struct list *drop)
{
	struct ready *items[LOOK_MAX];
	struct pollfd fds[LOOK_MAX];
	struct ready *chosen = NULL;
	unsigned count = look_locked(server, LOOK_MAX, items, fds);

	for (unsigned i = 0; i < count; i++) {
		enum look look = judge(fds[i].revents);

		if (look == LOOK_DEAD) {
			remove_locked(server, items[i]);
			list_push_back(drop, &items[i]->link);
		} else if (chosen == NULL || *ret_look == LOOK_CONNECTING) {
			chosen = items[i];
			*ret_look = look;
		}
	}
	return chosen;
}

/* ---- workers ----------------------------------------------------------------------------- */

/* 0, -EINPROGRESS, or -ENOENT: none stands ready. */
static int
take_ready(struct server *server, int *ret_fd)
{
	enum look look = LOOK_DEAD;
	struct ready *ready = NULL;
	struct list drop;

	list_init(&drop);
	lock_acquire(&server->upstream->lock);
	/* A round that finds none has thrown some out. */
	while (ready == NULL && !list_is_empty(&server->ready_list))
		ready = choose_ready_locked(server, &look, &drop);
	if (ready != NULL)
		remove_locked(server, ready);
	lock_release(&server->upstream->lock);
	server_close_ready(&drop);
	if (ready == NULL)
		return -ENOENT;
	*ret_fd = fd_take(&ready->fd);
	mem_free(ready);
	return look == LOOK_CONNECTED ? 0 : -EINPROGRESS;
}

int
server_connect(struct server *server, int *ret_fd)
{
	int rc;

	CP_CHECK_MAGIC(server, SERVER_MAGIC);
	rc = take_ready(server, ret_fd);
	return rc != -ENOENT ? rc : open_connection(server, ret_fd);
}

/* Room is reserved first, and clients come first. */
static bool
reserve_locked(struct server *server)
{
	uint64_t limit = server_limit_locked(server);

	if (server->removed || server->state != SERVER_UP ||
		server->ready + server->starting >= server->settings.ready_connections ||
		!list_is_empty(&server->upstream->waiting))
		return false;
	if (limit > 0 && server->active + server->ready + server->starting >= limit)
		return false;
	server->starting++;
	return true;
}

/* Ends a reservation: with the connection begun, if it is still wanted, or without. */
static void
settle_locked(struct server *server, struct ready *ready, struct list *drop)
{
	CP_ASSERT(server->starting > 0);
	server->starting--;
	if (ready != NULL && ready->fd >= 0 && !server->removed && server->state == SERVER_UP) {
		list_push_back(&server->ready_list, &ready->link);
		server->ready++;
	} else if (ready != NULL) {
		list_push_back(drop, &ready->link);
	}
	/* What was reserved counted as a place. */
	if (!list_is_empty(&server->upstream->waiting) && !server->removed)
		upstream_dispatch_locked(server->upstream, clock_now_ns());
}

/* 1: one was begun; 0: none is wanted; else -errno: it failed at once. */
static int
begin_ready(struct server *server)
{
	struct ready *ready;
	struct list drop;
	bool is_wanted;
	int rc = -ENOMEM;

	lock_acquire(&server->upstream->lock);
	is_wanted = reserve_locked(server);
	lock_release(&server->upstream->lock);
	if (!is_wanted)
		return 0;
	list_init(&drop);
	ready = mem_zalloc(sizeof(*ready));
	if (ready != NULL) {
		ready->fd = -1;
		ready->begun_ns = clock_now_ns();
		rc = open_connection(server, &ready->fd);
	}
	lock_acquire(&server->upstream->lock);
	settle_locked(server, ready, &drop);
	lock_release(&server->upstream->lock);
	server_close_ready(&drop);
	return rc == 0 || rc == -EINPROGRESS ? 1 : rc;
}

void
server_refill(struct server *server)
{
	CP_CHECK_MAGIC(server, SERVER_MAGIC);
	/* A failure shows when a client, or the main thread's next look, tries. */
	(void)begin_ready(server);
}

/* ---- the main thread ---------------------------------------------------------------------- */

/*
 * Throws out what is dead, or has been connecting for too long. The error of a connect that failed, else 0; one that
 * was connected and then closed by the server is its good right.
 */
static int
weed_locked(struct server *server, uint64_t now_ns, struct list *drop)
{
	struct ready *items[TEND_LOOK_MAX];
	struct pollfd fds[TEND_LOOK_MAX];
	uint64_t timeout_ns = server->upstream->settings.connect_timeout_ms * CLOCK_NS_PER_MS;
	unsigned count = look_locked(server, TEND_LOOK_MAX, items, fds);
	int failed = 0;

	for (unsigned i = 0; i < count; i++) {
		enum look look = judge(fds[i].revents);
		int error = 0;

		if (look == LOOK_CONNECTED) {
			items[i]->was_connected = true;
			continue;
		}
		if (look == LOOK_DEAD && !items[i]->was_connected)
			error = server_connect_error(items[i]->fd);
		else if (look == LOOK_CONNECTING)
			error = timeout_ns > 0 && now_ns - items[i]->begun_ns > timeout_ns ? ETIMEDOUT : EINPROGRESS;
		if (error == EINPROGRESS)
			continue;
		remove_locked(server, items[i]);
		list_push_back(drop, &items[i]->link);
		if (error != 0)
			failed = error;
	}
	return failed;
}

static void
report_failure(struct server *server, int error, uint64_t now_ns)
{
	struct list drop;

	list_init(&drop);
	lock_acquire(&server->upstream->lock);
	server_fail_locked(server, error, now_ns, &drop);
	lock_release(&server->upstream->lock);
	server_close_ready(&drop);
}

bool
server_tend_ready(struct server *server, uint64_t now_ns)
{
	struct list drop;
	uint64_t wanted;
	int failed;

	CP_CHECK_MAGIC(server, SERVER_MAGIC);
	list_init(&drop);
	lock_acquire(&server->upstream->lock);
	wanted = server->settings.ready_connections;
	failed = weed_locked(server, now_ns, &drop);
	lock_release(&server->upstream->lock);
	server_close_ready(&drop);
	/* At most as many as are wanted, and none after a failure: the next look is a second away. */
	for (uint64_t i = 0; i < wanted && failed == 0; i++) {
		int rc = begin_ready(server);

		if (rc == 0)
			break;
		failed = rc < 0 ? -rc : 0;
	}
	if (failed != 0)
		report_failure(server, failed, now_ns);
	return wanted > 0;
}
