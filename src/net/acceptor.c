/* SPDX-License-Identifier: MIT */
/*
 * acceptor.c - accept4(2) in batches, admission, and the reasons to pause: no room in the pool, no descriptors, lent.
 *
 * Listening sockets are level-triggered: whatever a batch leaves in the backlog is reported again. So a batch ends when
 * it has taken as many as the one before, and the call that would only say EAGAIN is saved.
 */
#include "config.h"

#include "net/acceptor.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/errmsg.h"
#include "base/fdutil.h"
#include "base/log.h"
#include "conf/conf.h"
#include "net/admission.h"
#include "net/listener.h"
#include "net/refusals.h"
#include "net/route.h"
#include "net/socket.h"

#define BATCH_MAX 64u
/* So many batches that were as large as expected make the next one twice as large. */
#define FULL_BATCHES_TO_GROW 8u
#define BACKOFF_FIRST_MS 10u
#define BACKOFF_MAX_MS 500u
/* Without a failure for so long an episode is over. At the limit each close lets one more in: that is no end yet. */
#define EPISODE_CLEAR_MS 1000u

/* ---- polling and pausing ---------------------------------------------------- */

static void
set_polled(struct acceptor *acceptor, struct listen_socket *socket, bool polled)
{
	if (socket->polled == polled)
		return;
	/*
	 * Changing the events of a registered descriptor allocates nothing: it can't fail but by a bug. EPOLLHUP is
	 * told even to those who ask for nothing; one shot of it keeps a socket that was shut down from turning the
	 * loop.
	 */
	CP_ASSERT(loop_modify(acceptor->loop, &socket->watch, socket->fd, polled ? EPOLLIN : EPOLLONESHOT) == 0);
	socket->polled = polled;
}

static bool
is_out_of_resources(const struct acceptor *acceptor)
{
	return timer_is_set(&acceptor->backoff);
}

void
acceptor_resume(struct acceptor *acceptor)
{
	struct list *link;
	struct list *following;

	if (!atomic_load_explicit(&acceptor->room_signalled, memory_order_relaxed))
		return;
	/* Cleared before looking: room made after this signals again. */
	atomic_store(&acceptor->room_signalled, false);
	if (is_out_of_resources(acceptor))
		return;
	LIST_FOREACH (&acceptor->sockets, link, following) {
		struct listen_socket *socket = CP_CONTAINER_OF(link, struct listen_socket, acceptor_link);

		if (socket->listener != NULL && !socket->polled && !socket->is_lent &&
			acceptor->sink->has_room(socket->listener->route))
			set_polled(acceptor, socket, true);
	}
}

void
acceptor_signal_room(struct acceptor *acceptor)
{
	atomic_store(&acceptor->room_signalled, true);
	loop_wake(acceptor->loop);
}

bool
acceptor_has_work(const struct acceptor *acceptor)
{
	return atomic_load(&acceptor->room_signalled);
}

/* ---- out of descriptors or memory -------------------------------------------- */

void
acceptor_release_reserve(struct acceptor *acceptor)
{
	fd_close(&acceptor->reserve_fd);
}

void
acceptor_take_reserve(struct acceptor *acceptor)
{
	if (acceptor->reserve_fd < 0)
		acceptor->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/*
 * A pool that rejects tells its clients so even now: the reserve lends them a descriptor, one after another. The others
 * stay in the backlog until the back-off is over.
 */
static void
reject_with_reserve(struct acceptor *acceptor, struct listen_socket *socket)
{
	struct route *route = socket->listener->route;

	if (route->rule->pool->queue_full != CONF_QUEUE_REJECT || acceptor->reserve_fd < 0)
		return;
	for (unsigned i = 0; i < BATCH_MAX; i++) {
		struct accepted accepted = {.route = route_ref(route), .accepted_ns = acceptor->loop->now_ns};

		acceptor_release_reserve(acceptor);
		accepted.fd = accept4(socket->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (accepted.fd >= 0) {
			accepted.id = ++acceptor->last_id;
			atomic_fetch_add_explicit(&route->listener->counters.accepted, 1, memory_order_relaxed);
			accepted_reject(&accepted, CONN_END_REFUSED_MEMORY);
			acceptor_take_reserve(acceptor);
			continue;
		}
		route_unref(&accepted.route);
		acceptor_take_reserve(acceptor);
		return;
	}
}

static void
begin_backoff(struct acceptor *acceptor, struct listen_socket *socket, int error)
{
	struct list *link;
	struct list *following;

	if (acceptor->episode_started_ns == 0) {
		acceptor->episode_started_ns = acceptor->loop->now_ns;
		acceptor->backoff_ms = BACKOFF_FIRST_MS;
		acceptor->episodes++;
		log_warning(LOG_EVENT_ACCEPT_PAUSED,
			"listener '%s': cannot accept: %s; all listeners pause and try again, clients wait in the "
			"backlog",
			socket->listener->name, errmsg_errno(error));
	} else {
		acceptor->backoff_ms *= 2;
		if (acceptor->backoff_ms > BACKOFF_MAX_MS)
			acceptor->backoff_ms = BACKOFF_MAX_MS;
	}
	timer_clear(&acceptor->loop->wheel, &acceptor->episode_clear);
	reject_with_reserve(acceptor, socket);
	LIST_FOREACH (&acceptor->sockets, link, following)
		set_polled(acceptor, CP_CONTAINER_OF(link, struct listen_socket, acceptor_link), false);
	timer_set(&acceptor->loop->wheel, &acceptor->backoff, loop_now_ms(acceptor->loop) + acceptor->backoff_ms);
}

/*
 * The pause is over, not yet the episode: that ends when nothing fails for a while. It takes no other connection:
 * the last client may be in already, and accept4(2) lacked the descriptor for one that there was not.
 */
static void
on_backoff_over(struct timer *timer)
{
	struct acceptor *acceptor = CP_CONTAINER_OF(timer, struct acceptor, backoff);

	acceptor_take_reserve(acceptor);
	timer_set(&acceptor->loop->wheel, &acceptor->episode_clear, loop_now_ms(acceptor->loop) + EPISODE_CLEAR_MS);
	atomic_store(&acceptor->room_signalled, true);
	acceptor_resume(acceptor);
}

static void
on_episode_clear(struct timer *timer)
{
	struct acceptor *acceptor = CP_CONTAINER_OF(timer, struct acceptor, episode_clear);
	uint64_t ms = (acceptor->loop->now_ns - acceptor->episode_started_ns) / CLOCK_NS_PER_MS;

	acceptor->episode_started_ns = 0;
	log_notice(LOG_EVENT_ACCEPT_RESUMED, "accepting again after %llu ms without enough descriptors or memory",
		(unsigned long long)ms);
}

/* ---- accepting ------------------------------------------------------------------ */

/*
 * How long it had waited in the kernel at least: the last ACK of the handshake came that long ago (tcp(7)). 1 ms steps.
 */
static uint32_t
read_backlog_ms(int fd)
{
	struct tcp_info info;
	socklen_t length = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0)
		return 0;
	return info.tcpi_last_ack_recv;
}

/* Errors that belong to the one connection, not to the socket (accept(2)): the next one may be fine. */
static bool
is_error_of_connection(int error)
{
	switch (error) {
	case EINTR:
	case ECONNABORTED:
	case EPROTO:
	case EPERM: /* a packet filter said no */
	case ENETDOWN:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
	case ENETUNREACH:
	case ETIMEDOUT:
		return true;
	default:
		return false;
	}
}

/* Takes one off the backlog. 0; -EAGAIN: there is none; -ECANCELED: the socket is paused now. */
static int
accept_one(struct acceptor *acceptor, struct listen_socket *socket)
{
	struct route *route = socket->listener->route;
	struct accepted accepted = {.accepted_ns = acceptor->loop->now_ns};
	struct sockaddr_storage sa;
	socklen_t length = sizeof(sa);
	enum conn_end refusal;

	accepted.fd = accept4(socket->fd, (struct sockaddr *)&sa, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (accepted.fd < 0) {
		if (is_error_of_connection(errno))
			return 0;
		if (errno == EAGAIN)
			return -EAGAIN;
		/* Anything else is a fault of the socket itself; pausing keeps it from turning into a busy loop. */
		begin_backoff(acceptor, socket, errno);
		return -ECANCELED;
	}
	if (acceptor->episode_started_ns != 0)
		acceptor->backoff_ms = BACKOFF_FIRST_MS;
	accepted.id = ++acceptor->last_id;
	accepted.route = route_ref(route);
	peer_from_sockaddr(&accepted.peer, (struct sockaddr *)&sa, length);
	if (acceptor->wants_backlog_time && socket->is_tcp)
		accepted.backlog_ms = read_backlog_ms(accepted.fd);
	atomic_fetch_add_explicit(&route->listener->counters.accepted, 1, memory_order_relaxed);
	refusal = admission_decide(&accepted, acceptor->max_connections);
	if (refusal != CONN_END_NONE) {
		accepted_reject(&accepted, refusal);
		(void)refusals_log(route->listener, acceptor->loop->now_ns);
	} else {
		acceptor->sink->submit(&accepted);
	}
	return 0;
}

/* How many the next batch probably has: the call that finds the backlog empty is worth it only now and then. */
static void
learn_batch(struct listen_socket *socket, unsigned taken, bool was_last)
{
	if (was_last) {
		socket->expect = taken > 0 ? taken : 1;
		socket->full_batches = 0;
	} else if (taken == socket->expect && ++socket->full_batches >= FULL_BATCHES_TO_GROW) {
		socket->expect = socket->expect * 2 < BATCH_MAX ? socket->expect * 2 : BATCH_MAX;
		socket->full_batches = 0;
	}
}

/* A socket's backlog has something: takes a batch of it [main]. */
static void
acceptor_on_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
	struct listen_socket *socket = CP_CONTAINER_OF(watch, struct listen_socket, watch);
	struct acceptor *acceptor = socket->acceptor;
	struct route *route = socket->listener->route;
	unsigned taken = 0;
	int rc = 0;

	(void)events;
	/* Another socket's event of the same turn has paused this one. */
	if (!socket->polled)
		return;
	if (route->lends_socket) {
		set_polled(acceptor, socket, false);
		socket->is_lent = true;
		acceptor->sink->lend(socket);
		return;
	}
	loop_update_now(loop);
	while (rc == 0 && taken < socket->expect) {
		if (!acceptor->sink->has_room(route)) {
			set_polled(acceptor, socket, false);
			break;
		}
		rc = accept_one(acceptor, socket);
		if (rc == 0)
			taken++;
	}
	learn_batch(socket, taken, rc == -EAGAIN);
	acceptor->sink->flush(route, taken);
}

/* ---- life ------------------------------------------------------------------------- */

int
acceptor_init(
	struct acceptor *acceptor, struct loop *loop, const struct acceptor_sink *sink, struct listener_totals *totals)
{
	*acceptor = (struct acceptor){.magic = ACCEPTOR_MAGIC,
		.loop = loop,
		.sink = sink,
		.totals = totals,
		.max_connections = UINT64_MAX,
		.reserve_fd = -1};
	list_init(&acceptor->sockets);
	acceptor->backoff.fn = on_backoff_over;
	acceptor->episode_clear.fn = on_episode_clear;
	acceptor_take_reserve(acceptor);
	return acceptor->reserve_fd < 0 ? -errno : 0;
}

void
acceptor_fini(struct acceptor *acceptor)
{
	if (acceptor->magic == 0)
		return;
	CP_ASSERT(list_is_empty(&acceptor->sockets));
	timer_clear(&acceptor->loop->wheel, &acceptor->backoff);
	timer_clear(&acceptor->loop->wheel, &acceptor->episode_clear);
	fd_close(&acceptor->reserve_fd);
	acceptor->magic = 0;
}

int
acceptor_add(struct acceptor *acceptor, struct listen_socket *socket)
{
	int rc;

	CP_CHECK_MAGIC(acceptor, ACCEPTOR_MAGIC);
	CP_CHECK_MAGIC(socket, LISTEN_SOCKET_MAGIC);
	socket->watch.fn = acceptor_on_ready;
	socket->acceptor = acceptor;
	socket->expect = 1;
	rc = loop_add(acceptor->loop, &socket->watch, socket->fd, 0);
	if (rc < 0)
		return rc;
	list_push_back(&acceptor->sockets, &socket->acceptor_link);
	return 0;
}

void
acceptor_begin(struct acceptor *acceptor, struct listen_socket *socket)
{
	CP_CHECK_MAGIC(acceptor, ACCEPTOR_MAGIC);
	CP_ASSERT(socket->listener != NULL && socket->listener->route != NULL);
	if (!is_out_of_resources(acceptor) && !socket->is_lent)
		set_polled(acceptor, socket, true);
}

void
acceptor_take_back(struct acceptor *acceptor, struct listen_socket *socket)
{
	CP_ASSERT(socket->is_lent);
	socket->is_lent = false;
	acceptor_begin(acceptor, socket);
}

void
acceptor_remove(struct acceptor *acceptor, struct listen_socket *socket)
{
	if (!list_is_linked(&socket->acceptor_link))
		return;
	list_remove(&socket->acceptor_link);
	loop_remove(acceptor->loop, &socket->watch, socket->fd);
	socket->polled = false;
}
