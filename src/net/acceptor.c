/* SPDX-License-Identifier: MIT */
/*
 * acceptor.c - accept4(2) in batches, admission, and the reasons not to: no room, no descriptors, lent, broken.
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
#include "net/accept_error.h"
#include "net/accept_thread.h"
#include "net/admission.h"
#include "net/listener.h"
#include "net/refusals.h"
#include "net/route.h"
#include "net/socket.h"

#define BATCH_MAX 64u
/* Of a socket's thread: two thread switches are worth the call that finds the backlog empty. */
#define ASK_AT_LEAST 8u
/* So many batches that were as large as expected make the next one twice as large. */
#define FULL_BATCHES_TO_GROW 8u
#define BACKOFF_FIRST_MS 10u
#define BACKOFF_MAX_MS 500u
/* A reload that reads its files has the reserve for so long before clients may have it. */
#define RESERVE_LENT_MS 1000u
/* Without a failure for so long an episode is over. At the limit each close lets one more in: that is no end yet. */
#define EPISODE_CLEAR_MS 1000u
/* The same of one socket's own faults: others may do it again and again, and that is not to fill the log. */
#define PAUSE_MAX_MS 5000u
#define FAULT_CLEAR_MS 10000u

/* ---- polling ------------------------------------------------------------------ */

static void
set_polled(struct acceptor *acceptor, struct listen_socket *socket, bool polled)
{
	uint32_t events = polled ? EPOLLIN | EPOLLRDHUP : EPOLLONESHOT;

	if (socket->polled == polled)
		return;
	/*
	 * Changing the events of a registered descriptor allocates nothing: it can't fail but by a bug. EPOLLHUP is
	 * told even to those who ask for nothing; one shot of it keeps a socket that was shut down from turning the
	 * loop.
	 */
	CP_ASSERT(loop_modify(acceptor->loop, &socket->watch, socket->fd, events) == 0);
	socket->polled = polled;
}

static bool
is_out_of_resources(const struct acceptor *acceptor)
{
	return timer_is_set(&acceptor->backoff);
}

static bool
is_waiting(const struct listen_socket *socket)
{
	return list_is_linked(&socket->waiting_link);
}

/* After any change of what keeps it from being polled. */
static void
update_polled(struct acceptor *acceptor, struct listen_socket *socket)
{
	set_polled(acceptor, socket,
		socket->listener != NULL && !socket->is_lent && !is_waiting(socket) &&
			!timer_is_set(&socket->pause) && !is_out_of_resources(acceptor) &&
			(socket->thread == NULL || !accept_thread_is_asked(socket->thread)));
}

static void
update_all_polled(struct acceptor *acceptor)
{
	struct list *link;
	struct list *following;

	LIST_FOREACH (&acceptor->sockets, link, following)
		update_polled(acceptor, CP_CONTAINER_OF(link, struct listen_socket, acceptor_link));
}

/* ---- waiting for room: see WAITING in acceptor.h ---------------------------------- */

static const struct pool *
pool_of(const struct listen_socket *socket)
{
	return socket->listener->route->pool;
}

/* There is no room, or others of the pool came first: it waits behind them. */
static void
wait_for_room(struct acceptor *acceptor, struct listen_socket *socket)
{
	list_push_back(&acceptor->waiting, &socket->waiting_link);
	socket->waits_for = pool_of(socket);
	update_polled(acceptor, socket);
	if (!acceptor->sink->await_room(socket->listener->route))
		atomic_store(&acceptor->room_signalled, true);
}

/* Room that comes while others of its pool wait is for them. */
static bool
must_queue_up(const struct acceptor *acceptor, const struct listen_socket *socket)
{
	struct list *link;
	struct list *following;

	LIST_FOREACH (&acceptor->waiting, link, following) {
		if (CP_CONTAINER_OF(link, struct listen_socket, waiting_link)->waits_for == pool_of(socket))
			return true;
	}
	return false;
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

static void
release_reserve(struct acceptor *acceptor)
{
	fd_close(&acceptor->reserve_fd);
}

void
acceptor_lend_reserve(struct acceptor *acceptor)
{
	release_reserve(acceptor);
	acceptor->reserve_lent_until_ms = loop_now_ms(acceptor->loop) + RESERVE_LENT_MS;
}

void
acceptor_take_reserve(struct acceptor *acceptor)
{
	acceptor->reserve_lent_until_ms = 0;
	if (acceptor->reserve_fd < 0)
		acceptor->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* It is accepted from now on, and somebody's: who it is, and whether it may come in. CONN_END_NONE: it may. */
static enum conn_end
admit(struct acceptor *acceptor, struct accepted *accepted, const struct sockaddr_storage *sa, socklen_t length)
{
	accepted->id = ++acceptor->last_id;
	peer_from_sockaddr(&accepted->peer, (const struct sockaddr *)sa, length);
	atomic_fetch_add_explicit(&accepted->route->listener->counters.accepted, 1, memory_order_relaxed);
	return admission_decide(accepted, acceptor->max_connections);
}

/*
 * A pool that rejects tells its clients so even now: the reserve lends them a descriptor, one after another. The others
 * stay in the backlog until the back-off is over.
 */
static void
reject_with_reserve(struct acceptor *acceptor, struct listen_socket *socket)
{
	struct route *route = socket->listener->route;

	if (route->rule->pool->queue_full != CONF_QUEUE_REJECT || acceptor->reserve_fd < 0 || socket->thread != NULL)
		return;
	for (unsigned i = 0; i < BATCH_MAX; i++) {
		struct accepted accepted = {.route = route_ref(route), .accepted_ns = acceptor->loop->now_ns};
		struct sockaddr_storage sa;
		socklen_t length = sizeof(sa);

		release_reserve(acceptor);
		accepted.fd = accept4(socket->fd, (struct sockaddr *)&sa, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (accepted.fd >= 0) {
			enum conn_end refusal = admit(acceptor, &accepted, &sa, length);

			/* One that is denied is told nothing, now as ever. */
			accepted_reject(&accepted, refusal != CONN_END_NONE ? refusal : CONN_END_REFUSED_MEMORY);
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
	timer_set(&acceptor->loop->wheel, &acceptor->backoff, loop_now_ms(acceptor->loop) + acceptor->backoff_ms);
	update_all_polled(acceptor);
}

/*
 * The pause is over, not yet the episode: that ends when nothing fails for a while. It takes no other connection:
 * the last client may be in already, and accept4(2) lacked the descriptor for one that there was not.
 */
static void
on_backoff_over(struct timer *timer)
{
	struct acceptor *acceptor = CP_CONTAINER_OF(timer, struct acceptor, backoff);
	uint64_t now_ms = loop_now_ms(acceptor->loop);

	if (now_ms < acceptor->reserve_lent_until_ms) {
		timer_set(&acceptor->loop->wheel, timer, now_ms + acceptor->backoff_ms);
		return;
	}
	acceptor_take_reserve(acceptor);
	timer_set(&acceptor->loop->wheel, &acceptor->episode_clear, loop_now_ms(acceptor->loop) + EPISODE_CLEAR_MS);
	update_all_polled(acceptor);
	/* A signal that came meanwhile was passed over. */
	atomic_store(&acceptor->room_signalled, true);
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

/* ---- a socket that fails by itself ------------------------------------------------ */

static void
log_fault(const struct listen_socket *socket, int error, enum listen_repair repair)
{
	const char *name = socket->listener->name;

	switch (repair) {
	case LISTEN_REPAIRED:
		log_warning(LOG_EVENT_ACCEPT_PAUSED,
			"listener '%s': %s was shut down by another process that has the socket; listening again",
			name, socket->key);
		break;
	case LISTEN_NEEDS_RELOAD:
		log_warning(LOG_EVENT_ACCEPT_PAUSED,
			"listener '%s': %s was shut down by another process that has the socket; reload to open it "
			"anew (a systemd socket: restart its unit), other addresses are served",
			name, socket->key);
		break;
	case LISTEN_NOT_BROKEN:
		log_warning(LOG_EVENT_ACCEPT_PAUSED,
			"listener '%s': cannot accept on %s: %s; it is tried again, other addresses are served",
			name, socket->key, errmsg_errno(error));
		break;
	}
}

/* It alone pauses: whatever is wrong with it, the others are not to blame. */
static void
begin_pause(struct acceptor *acceptor, struct listen_socket *socket, int error)
{
	enum listen_repair repair = listen_socket_repair(socket, socket->listener->route->rule);

	acceptor->faults++;
	if (socket->failing_since_ns == 0) {
		socket->failing_since_ns = acceptor->loop->now_ns;
		socket->pause_ms = BACKOFF_FIRST_MS;
		log_fault(socket, error, repair);
	} else {
		socket->pause_ms = socket->pause_ms * 2 < PAUSE_MAX_MS ? socket->pause_ms * 2 : PAUSE_MAX_MS;
	}
	timer_clear(&acceptor->loop->wheel, &socket->fault_clear);
	timer_set(&acceptor->loop->wheel, &socket->pause, loop_now_ms(acceptor->loop) + socket->pause_ms);
	list_remove(&socket->waiting_link);
	update_polled(acceptor, socket);
}

static void
on_pause_over(struct timer *timer)
{
	struct listen_socket *socket = CP_CONTAINER_OF(timer, struct listen_socket, pause);
	struct acceptor *acceptor = socket->acceptor;

	timer_set(&acceptor->loop->wheel, &socket->fault_clear, loop_now_ms(acceptor->loop) + FAULT_CLEAR_MS);
	update_polled(acceptor, socket);
}

static void
on_fault_clear(struct timer *timer)
{
	struct listen_socket *socket = CP_CONTAINER_OF(timer, struct listen_socket, fault_clear);
	uint64_t ms = (socket->acceptor->loop->now_ns - socket->failing_since_ns) / CLOCK_NS_PER_MS;

	socket->failing_since_ns = 0;
	log_notice(LOG_EVENT_ACCEPT_RESUMED, "listener '%s': accepting on %s again after %llu ms",
		socket->listener->name, socket->key, (unsigned long long)ms);
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

/* The next descriptor of the backlog, or of what the socket's thread took off it. -errno; -EINPROGRESS: ask it. */
static int
next_of(struct listen_socket *socket, struct sockaddr_storage *ret_sa, socklen_t *ret_length, uint64_t *accepted_ns)
{
	int fd;

	if (socket->thread != NULL)
		return accept_thread_next(socket->thread, ret_sa, ret_length, accepted_ns);
	fd = accept4(socket->fd, (struct sockaddr *)ret_sa, ret_length, SOCK_NONBLOCK | SOCK_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/*
 * Takes one off the backlog, for this route. 0; -EAGAIN: there is none; -EINPROGRESS: that is for the socket's thread;
 * -ECANCELED: the socket is paused now.
 */
static int
accept_one(struct acceptor *acceptor, struct listen_socket *socket, struct route *route)
{
	struct accepted accepted = {.accepted_ns = acceptor->loop->now_ns};
	struct sockaddr_storage sa;
	socklen_t length = sizeof(sa);
	enum conn_end refusal;

	accepted.fd = next_of(socket, &sa, &length, &accepted.accepted_ns);
	if (accepted.fd < 0) {
		int error = -accepted.fd;

		if (accept_error_kind(error) == ACCEPT_ERROR_OF_CONNECTION)
			return 0;
		if (error == EAGAIN || error == EINPROGRESS)
			return -error;
		/* Either pause keeps it from turning into a busy loop. */
		if (accept_error_kind(error) == ACCEPT_ERROR_OF_SHORTAGE)
			begin_backoff(acceptor, socket, error);
		else
			begin_pause(acceptor, socket, error);
		return -ECANCELED;
	}
	if (acceptor->episode_started_ns != 0)
		acceptor->backoff_ms = BACKOFF_FIRST_MS;
	accepted.route = route_ref(route);
	if (acceptor->wants_backlog_time && socket->is_tcp)
		accepted.backlog_ms = read_backlog_ms(accepted.fd);
	refusal = admit(acceptor, &accepted, &sa, length);
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

/* Nothing of what its thread was asked for is left: the config of that time may go. */
static void
forget_route(struct listen_socket *socket)
{
	if (socket->thread != NULL && !accept_thread_is_asked(socket->thread) &&
		!accept_thread_has_more(socket->thread))
		route_unref(&socket->asked_for);
}

/*
 * A batch of max at most. 0: so many were taken; -EAGAIN: the backlog is empty; -EINPROGRESS: the socket's thread has
 * no more; -ENOSPC: no room is left; -ECANCELED: the socket is paused.
 */
static int
take_batch(struct acceptor *acceptor, struct listen_socket *socket, unsigned max, unsigned *ret_taken)
{
	struct route *route = socket->listener->route;
	int rc = 0;

	*ret_taken = 0;
	while (rc == 0 && *ret_taken < max) {
		if (acceptor->sink->room(route) == 0) {
			rc = -ENOSPC;
			break;
		}
		rc = accept_one(acceptor, socket, route);
		if (rc == 0)
			++*ret_taken;
	}
	acceptor->sink->flush(route, *ret_taken);
	forget_route(socket);
	return rc;
}

/* Its thread is to take so many; it is not polled until they have come. */
static void
ask_thread(struct acceptor *acceptor, struct listen_socket *socket, unsigned wanted)
{
	route_unref(&socket->asked_for);
	socket->asked_for = route_ref(socket->listener->route);
	accept_thread_ask(socket->thread, wanted);
	update_polled(acceptor, socket);
}

/* The next one that its thread has taken, and nobody will serve. */
static void
reject_next(struct acceptor *acceptor, struct listen_socket *socket)
{
	struct route *route = socket->asked_for;
	struct accepted accepted = {.route = route};
	struct sockaddr_storage sa;
	socklen_t length;

	accepted.fd = accept_thread_next(socket->thread, &sa, &length, &accepted.accepted_ns);
	if (accepted.fd < 0)
		return;
	accepted.id = ++acceptor->last_id;
	(void)route_ref(route);
	atomic_fetch_add_explicit(&route->listener->counters.accepted, 1, memory_order_relaxed);
	accepted_reject(&accepted, CONN_END_QUEUE_DRAIN);
	(void)refusals_log(route->listener, acceptor->loop->now_ns);
}

/*
 * Its thread has taken some while the config changed: a program accepts here now, and is not for these. The pool of the
 * route that they are for is known to be there still if it is that of the new route too.
 */
static void
serve_old_route(struct acceptor *acceptor, struct listen_socket *socket)
{
	struct route *route = socket->asked_for;
	unsigned taken = 0;

	while (accept_thread_has_more(socket->thread)) {
		if (route->pool != pool_of(socket) || acceptor->sink->room(route) == 0)
			reject_next(acceptor, socket);
		else if (accept_one(acceptor, socket, route) == 0)
			taken++;
	}
	if (taken > 0)
		acceptor->sink->flush(route, taken);
	forget_route(socket);
	update_polled(acceptor, socket);
}

/* What a socket that is polled has for us, by itself or by its thread. */
static void
serve_polled(struct acceptor *acceptor, struct listen_socket *socket)
{
	unsigned taken;
	int rc;

	if (must_queue_up(acceptor, socket) && !socket->has_turn) {
		wait_for_room(acceptor, socket);
		return;
	}
	socket->has_turn = false;
	rc = take_batch(acceptor, socket, socket->thread != NULL ? ACCEPT_THREAD_MAX : socket->expect, &taken);
	if (rc == -EINPROGRESS && !accept_thread_is_asked(socket->thread))
		socket->expect = socket->expect * 2 < BATCH_MAX ? socket->expect * 2 : BATCH_MAX;
	else if (rc != -EINPROGRESS)
		learn_batch(socket, taken, rc == -EAGAIN);
	if (rc == -ENOSPC)
		wait_for_room(acceptor, socket);
	else
		update_polled(acceptor, socket);
}

/* The socket's thread has come back [main]. */
static void
acceptor_on_taken(void *arg)
{
	struct listen_socket *socket = arg;
	struct acceptor *acceptor = socket->acceptor;

	/* What has come is for its turn. */
	if (is_waiting(socket))
		return;
	loop_update_now(acceptor->loop);
	if (socket->listener->route->lends_socket) {
		serve_old_route(acceptor, socket);
		return;
	}
	serve_polled(acceptor, socket);
}

/* Its thread takes no more than there is room for now: the rest stays in the backlog, where nobody closes it. */
static void
ask_for_batch(struct acceptor *acceptor, struct listen_socket *socket)
{
	unsigned wanted = socket->expect < ASK_AT_LEAST ? ASK_AT_LEAST : socket->expect;
	unsigned room = acceptor->sink->room(socket->listener->route);

	if (room == 0)
		wait_for_room(acceptor, socket);
	else
		ask_thread(acceptor, socket, room < wanted ? room : wanted);
}

/* A socket's backlog has something: takes a batch of it [main]. */
static void
acceptor_on_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
	struct listen_socket *socket = CP_CONTAINER_OF(watch, struct listen_socket, watch);
	struct acceptor *acceptor = socket->acceptor;

	/* Another socket's event of the same turn has paused this one. */
	if (!socket->polled)
		return;
	loop_update_now(loop);
	/* Somebody who has it too has shut it down. accept4(2) of a Unix socket would say EAGAIN for ever. */
	if (events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR)) {
		begin_pause(acceptor, socket, EINVAL);
		return;
	}
	if (socket->listener->route->lends_socket) {
		socket->is_lent = true;
		update_polled(acceptor, socket);
		acceptor->sink->lend(socket);
		return;
	}
	if (socket->thread != NULL && !must_queue_up(acceptor, socket))
		ask_for_batch(acceptor, socket);
	else
		serve_polled(acceptor, socket);
}

/* ---- those that waited for room ---------------------------------------------------- */

/* All that wait for the same pool as the first one, in order. Returns how many. */
static unsigned
pop_line(struct list *waiting, struct list *ret_line)
{
	const struct pool *pool = CP_CONTAINER_OF(waiting->next, struct listen_socket, waiting_link)->waits_for;
	struct list *link;
	struct list *following;
	unsigned count = 0;

	list_init(ret_line);
	LIST_FOREACH (waiting, link, following) {
		const struct listen_socket *socket = CP_CONTAINER_OF(link, struct listen_socket, waiting_link);

		/* Another pool would not know that it waits. */
		CP_ASSERT(socket->waits_for == pool_of(socket));
		if (socket->waits_for != pool)
			continue;
		list_remove(link);
		list_push_back(ret_line, link);
		count++;
	}
	return count;
}

/* Its turn. True: it has had its share, and may have more clients; else it waits no more. */
static bool
serve_share(struct acceptor *acceptor, struct listen_socket *socket, unsigned share)
{
	unsigned taken;
	int rc = take_batch(acceptor, socket, share < BATCH_MAX ? share : BATCH_MAX, &taken);

	if (rc == -EINPROGRESS && taken == 0) {
		list_remove(&socket->waiting_link);
		socket->has_turn = true;
		if (!accept_thread_is_asked(socket->thread))
			ask_thread(acceptor, socket, share);
	}
	if (rc == -EAGAIN) {
		list_remove(&socket->waiting_link);
		update_polled(acceptor, socket);
	}
	return is_waiting(socket);
}

/*
 * Those of one pool, in order: each has its share of the room, then those in front one more of what is left; whoever
 * had something goes to the end. Where one finds no room the round is over: what comes at this moment is for that one,
 * and not for the next.
 */
static void
serve_line(struct acceptor *acceptor, struct list *line, unsigned count)
{
	struct listen_socket *socket = CP_CONTAINER_OF(line->next, struct listen_socket, waiting_link);
	struct route *route = socket->listener->route;
	unsigned room;

	if (acceptor->sink->await_room(route))
		return;
	room = acceptor->sink->room(route);
	for (unsigned turn = 0; turn < count + room % count; turn++) {
		if (list_is_empty(line) || is_out_of_resources(acceptor) || acceptor->sink->room(route) == 0)
			break;
		socket = CP_CONTAINER_OF(line->next, struct listen_socket, waiting_link);
		if (!serve_share(acceptor, socket, turn < count && room > count ? room / count : 1))
			continue;
		list_remove(&socket->waiting_link);
		list_push_back(line, &socket->waiting_link);
	}
	if (!list_is_empty(line) && !acceptor->sink->await_room(route))
		atomic_store(&acceptor->room_signalled, true);
}

void
acceptor_resume(struct acceptor *acceptor)
{
	struct list served;

	if (!atomic_load_explicit(&acceptor->room_signalled, memory_order_relaxed))
		return;
	/* Cleared before looking: room made after this signals again. */
	atomic_store(&acceptor->room_signalled, false);
	/* The end of the back-off signals by itself. */
	if (is_out_of_resources(acceptor))
		return;
	list_init(&served);
	while (!list_is_empty(&acceptor->waiting)) {
		struct list line;
		unsigned count = pop_line(&acceptor->waiting, &line);

		serve_line(acceptor, &line, count);
		list_splice_back(&served, &line);
	}
	list_splice_back(&acceptor->waiting, &served);
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
	list_init(&acceptor->waiting);
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
	socket->pause.fn = on_pause_over;
	socket->fault_clear.fn = on_fault_clear;
	rc = loop_add(acceptor->loop, &socket->watch, socket->fd, 0);
	if (rc < 0)
		return rc;
	list_push_back(&acceptor->sockets, &socket->acceptor_link);
	return 0;
}

int
acceptor_share(struct acceptor *acceptor, struct listen_socket *socket)
{
	CP_CHECK_MAGIC(acceptor, ACCEPTOR_MAGIC);
	if (socket->thread != NULL)
		return 0;
	return accept_thread_start(
		socket->fd, ++acceptor->last_thread, acceptor->loop, acceptor_on_taken, socket, &socket->thread);
}

void
acceptor_begin(struct acceptor *acceptor, struct listen_socket *socket)
{
	CP_CHECK_MAGIC(acceptor, ACCEPTOR_MAGIC);
	CP_ASSERT(socket->listener != NULL && socket->listener->route != NULL);
	/* Its pool may be another one now: where it has to wait again, its next event says so. */
	list_remove(&socket->waiting_link);
	socket->has_turn = false;
	if (socket->thread != NULL && accept_thread_has_more(socket->thread) && !socket->is_lent)
		acceptor_on_taken(socket);
	else
		update_polled(acceptor, socket);
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
	list_remove(&socket->waiting_link);
	timer_clear(&acceptor->loop->wheel, &socket->pause);
	timer_clear(&acceptor->loop->wheel, &socket->fault_clear);
	if (socket->thread != NULL) {
		accept_thread_recall(socket->thread);
		while (accept_thread_has_more(socket->thread))
			reject_next(acceptor, socket);
	}
	accept_thread_stop(&socket->thread);
	route_unref(&socket->asked_for);
	loop_remove(acceptor->loop, &socket->watch, socket->fd);
	socket->polled = false;
}
