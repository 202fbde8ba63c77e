/* SPDX-License-Identifier: MIT */
/*
 * resolve_lookup - see resolve_lookup.h.
 *
 * c-ares calls back from inside nearly every call of it: from ares_getaddrinfo() when the answer is in /etc/hosts, from
 * ares_process_fd(), and from ares_destroy() for what was given up. So its callbacks only note what they were told; a
 * task of the loop goes on from there, when c-ares is not on the stack. Main thread only; it never waits.
 */
#include "config.h"

#include "upstream/resolve_lookup.h"

#include <ares.h>
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/errmsg.h"
#include "base/fdutil.h"
#include "base/list.h"
#include "base/mem.h"
#include "engine/loop.h"
#include "upstream/resolve_srv.h"

#define LOOKUP_MAGIC 0x4c6b7570u
/* One for each server, and one more where an answer did not fit a datagram. */
#define SOCKETS_MAX 32u
/* What /etc/hosts says has no TTL. It seldom changes, and reading it again is cheap. */
#define LOCAL_TTL_S 60
/* What passes every network whole; a longer answer comes over TCP. Without it 512 bytes would be the most. */
#define DATAGRAM_MAX 1232
/* c-ares doubles its patience in each round: two rounds are three times the first. */
#define ROUNDS 2
#define PATIENCE_PARTS 3u

/* One socket of the channel, in the loop while c-ares wants to hear of it. */
struct lookup_socket {
	struct watch watch;
	struct list link;
	struct lookup *lookup;
	int fd;
	bool is_watched;
};

struct lookup {
	uint32_t magic;
	struct loop *loop;
	ares_channel channel;
	struct list sockets;
	unsigned socket_count;
	struct timer timer; /* the next thing to do: what c-ares asked for, or the deadline */
	uint64_t deadline_ms;
	struct task task;
	unsigned pending; /* callbacks of c-ares to come until the task may go on */
	bool is_starting; /* inside ares_getaddrinfo(): what it answers right away it did not ask the network for */
	bool is_over;     /* what c-ares says from here on is of no interest */
	bool is_srv;      /* the answer for SRV is still to come */
	int socket_error; /* errno of the last socket that could not be had */
	char *name;
	struct lookup_target self;
	struct srv_answer *srv;
	struct lookup_answer answer;
	lookup_done_fn *done;
	void *arg;
};

static const char *
text_of(const struct lookup *lookup, int status)
{
	/* c-ares knows no more than that it reached nobody. */
	if (status == ARES_ECONNREFUSED && lookup->socket_error != 0)
		return errmsg_errno(lookup->socket_error);
	return ares_strerror(status);
}

/* ---- sockets ------------------------------------------------------------------- */

static void
set_timer(struct lookup *lookup)
{
	struct timeval wait;
	uint64_t wait_ms;
	uint64_t at_ms = lookup->deadline_ms;

	if (ares_timeout(lookup->channel, NULL, &wait) != NULL) {
		/* One more, because c-ares looks at a finer clock than the wheel. */
		wait_ms = (uint64_t)wait.tv_sec * 1000u + (uint64_t)wait.tv_usec / 1000u + 1;
		if (loop_now_ms(lookup->loop) + wait_ms < at_ms)
			at_ms = loop_now_ms(lookup->loop) + wait_ms;
	}
	timer_set(&lookup->loop->wheel, &lookup->timer, at_ms);
}

static void
on_socket(struct loop *loop, struct watch *watch, uint32_t events)
{
	struct lookup_socket *socket = CP_CONTAINER_OF(watch, struct lookup_socket, watch);
	struct lookup *lookup = socket->lookup;
	const int fd = socket->fd;
	const uint32_t broken = EPOLLERR | EPOLLHUP;

	(void)loop;
	CP_CHECK_MAGIC(lookup, LOOKUP_MAGIC);
	/* The socket may be gone after this, the look-up is not. */
	ares_process_fd(lookup->channel, (events & (EPOLLIN | broken)) != 0 ? fd : ARES_SOCKET_BAD,
		(events & (EPOLLOUT | broken)) != 0 ? fd : ARES_SOCKET_BAD);
	set_timer(lookup);
}

static struct lookup_socket *
find_socket(struct lookup *lookup, int fd)
{
	struct list *link, *following;

	LIST_FOREACH (&lookup->sockets, link, following) {
		struct lookup_socket *socket = CP_CONTAINER_OF(link, struct lookup_socket, link);

		if (socket->fd == fd)
			return socket;
	}
	return NULL;
}

static void
unwatch_socket(struct lookup *lookup, struct lookup_socket *socket)
{
	if (socket->is_watched)
		loop_remove(lookup->loop, &socket->watch, socket->fd);
	socket->is_watched = false;
}

static int
refuse_socket(struct lookup *lookup, int error)
{
	lookup->socket_error = error;
	errno = error;
	return ARES_SOCKET_BAD;
}

static ares_socket_t
open_socket(int domain, int type, int protocol, void *arg)
{
	struct lookup *lookup = CP_CAST(arg, struct lookup, LOOKUP_MAGIC);
	struct lookup_socket *opened;

	if (lookup->socket_count == SOCKETS_MAX)
		return refuse_socket(lookup, EMFILE);
	opened = mem_zalloc(sizeof(*opened));
	if (opened == NULL)
		return refuse_socket(lookup, ENOMEM);
	opened->fd = socket(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
	if (opened->fd < 0) {
		int error = errno;

		mem_free(opened);
		return refuse_socket(lookup, error);
	}
	opened->watch.fn = on_socket;
	opened->lookup = lookup;
	list_push_back(&lookup->sockets, &opened->link);
	lookup->socket_count++;
	return opened->fd;
}

static int
close_socket(ares_socket_t fd, void *arg)
{
	struct lookup *lookup = CP_CAST(arg, struct lookup, LOOKUP_MAGIC);
	struct lookup_socket *socket = find_socket(lookup, fd);

	CP_ASSERT(socket != NULL);
	unwatch_socket(lookup, socket);
	list_remove(&socket->link);
	lookup->socket_count--;
	fd_close(&socket->fd);
	mem_free(socket);
	return 0;
}

static int
connect_socket(ares_socket_t fd, const struct sockaddr *sa, ares_socklen_t length, void *arg)
{
	struct lookup *lookup = CP_CAST(arg, struct lookup, LOOKUP_MAGIC);
	int rc = connect(fd, sa, length);

	if (rc < 0 && errno != EINPROGRESS)
		lookup->socket_error = errno;
	return rc;
}

static ares_ssize_t
receive(ares_socket_t fd, void *buffer, size_t size, int flags, struct sockaddr *from, ares_socklen_t *length,
	void *arg)
{
	ares_ssize_t received = recvfrom(fd, buffer, size, flags, from, length);

	if (received < 0 && errno != EAGAIN)
		CP_CAST(arg, struct lookup, LOOKUP_MAGIC)->socket_error = errno;
	return received;
}

static ares_ssize_t
send_vector(ares_socket_t fd, const struct iovec *vector, int count, void *arg)
{
	/* As writev(2), but for a signal that would end the daemon. msg_iov is not written to. */
	struct msghdr message = {.msg_iovlen = (size_t)count};

	(void)arg;
	memcpy(&message.msg_iov, &vector, sizeof(vector));
	return sendmsg(fd, &message, MSG_NOSIGNAL);
}

static void
on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct lookup *lookup = CP_CAST(arg, struct lookup, LOOKUP_MAGIC);
	struct lookup_socket *socket = find_socket(lookup, fd);
	const uint32_t events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u);
	int rc;

	CP_ASSERT(socket != NULL);
	if (events == 0) {
		unwatch_socket(lookup, socket);
		return;
	}
	if (socket->is_watched)
		rc = loop_modify(lookup->loop, &socket->watch, fd, events);
	else
		rc = loop_add(lookup->loop, &socket->watch, fd, events);
	/* Out of memory: then the deadline ends the look-up. */
	if (rc == 0)
		socket->is_watched = true;
	else
		lookup->socket_error = -rc;
}

/* ---- answers -------------------------------------------------------------------- */

static void
note_done(struct lookup *lookup)
{
	CP_ASSERT(lookup->pending > 0);
	if (--lookup->pending == 0)
		loop_schedule(lookup->loop, &lookup->task);
}

static void
take_ttl(struct lookup *lookup, int ttl_s)
{
	const uint64_t ttl_ms = ttl_s > 0 ? (uint64_t)ttl_s * 1000u : 0;

	if (ttl_ms < lookup->answer.ttl_ms)
		lookup->answer.ttl_ms = ttl_ms;
}

static void
take_addresses(struct lookup *lookup, const struct lookup_target *target, const struct ares_addrinfo *info)
{
	for (const struct ares_addrinfo_node *node = info->nodes; node != NULL; node = node->ai_next) {
		struct found found = {.origin = target->origin};

		found.resolved.weight = target->weight;
		found.resolved.backup = target->backup;
		if (!server_address_set(&found.resolved.address, node->ai_addr, node->ai_addrlen, target->port))
			continue;
		(void)found_set_add(&lookup->answer.set, &found);
		take_ttl(lookup, lookup->is_starting ? LOCAL_TTL_S : node->ai_ttl);
	}
	for (const struct ares_addrinfo_cname *alias = info->cnames; alias != NULL && !lookup->is_starting;
		alias = alias->next)
		take_ttl(lookup, alias->ttl);
}

static void
on_addresses(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	struct lookup_target *target = arg;
	struct lookup *lookup = target->lookup;

	(void)timeouts;
	CP_CHECK_MAGIC(lookup, LOOKUP_MAGIC);
	if (!lookup->is_over) {
		if (status == ARES_SUCCESS && (info == NULL || info->nodes == NULL))
			status = ARES_ENODATA;
		if (status == ARES_SUCCESS)
			take_addresses(lookup, target, info);
		target->cause = status == ARES_SUCCESS ? NULL : text_of(lookup, status);
		note_done(lookup);
	}
	ares_freeaddrinfo(info);
}

static void
on_srv(void *arg, int status, int timeouts, unsigned char *data, int size)
{
	struct lookup *lookup = CP_CAST(arg, struct lookup, LOOKUP_MAGIC);
	int rc = 0;

	(void)timeouts;
	if (lookup->is_over)
		return;
	if (status != ARES_SUCCESS)
		lookup->answer.cause = text_of(lookup, status);
	else
		rc = srv_parse(data, (size_t)size, lookup->srv);
	if (rc == -ENODATA)
		lookup->answer.cause = "its SRV records name no server";
	else if (rc == -EBADMSG)
		lookup->answer.cause = "the answer is malformed";
	else if (rc < 0)
		lookup->answer.cause = errmsg_errno(rc);
	note_done(lookup);
}

/* ---- steps ---------------------------------------------------------------------- */

/* Calls back for all that is still under way, and closes the sockets. */
static void
close_channel(struct lookup *lookup)
{
	lookup->is_over = true;
	if (lookup->channel != NULL)
		ares_destroy(lookup->channel);
	lookup->channel = NULL;
	CP_ASSERT(lookup->socket_count == 0);
	timer_clear(&lookup->loop->wheel, &lookup->timer);
	loop_cancel(lookup->loop, &lookup->task);
}

static void
finish(struct lookup *lookup)
{
	close_channel(lookup);
	lookup->done(lookup->arg, &lookup->answer);
}

static void
ask_for_addresses(struct lookup *lookup)
{
	/* NOSORT: else c-ares opens a socket for each address, only to put them in an order that nobody looks at. */
	struct ares_addrinfo_hints hints = {.ai_flags = ARES_AI_NOSORT, .ai_socktype = SOCK_STREAM};
	struct in_addr number;

	lookup->pending = (unsigned)lookup->answer.target_count;
	for (size_t i = 0; i < lookup->answer.target_count; i++) {
		struct lookup_target *target = &lookup->answer.targets[i];

		target->lookup = lookup;
		target->cause = "timed out"; /* until it is known better */
		/* Asked for both families, c-ares 1.18 takes 192.0.2.1 for what it is and asks for it as a name too. */
		hints.ai_family = inet_pton(AF_INET, target->name, &number) == 1 ? AF_INET : AF_UNSPEC;
		lookup->is_starting = true;
		ares_getaddrinfo(lookup->channel, target->name, NULL, &hints, on_addresses, target);
		lookup->is_starting = false;
	}
	set_timer(lookup);
}

/* FNV-1a; never 0. */
static uint64_t
origin_of(const struct srv_record *record)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (const char *at = record->target; *at != '\0'; at++)
		hash = (hash ^ (uint8_t)((*at >= 'A' && *at <= 'Z') ? *at | 0x20 : *at)) * 0x100000001b3u;
	hash = (hash ^ record->port) * 0x100000001b3u;
	return hash | 1;
}

/* false: out of memory. */
static bool
take_targets(struct lookup *lookup)
{
	const struct srv_answer *srv = lookup->srv;
	struct lookup_target *targets = mem_zalloc_array(srv->count, sizeof(*targets));

	if (targets == NULL)
		return false;
	for (size_t i = 0; i < srv->count; i++) {
		targets[i].name = srv->records[i].target;
		targets[i].origin = origin_of(&srv->records[i]);
		targets[i].port = srv->records[i].port;
		/* RFC 2782 wants 0 chosen seldom, not never. */
		targets[i].weight = srv->records[i].weight > 0 ? srv->records[i].weight : 1;
		targets[i].backup = srv->records[i].priority != srv->records[0].priority;
	}
	lookup->answer.targets = targets;
	lookup->answer.target_count = srv->count;
	lookup->answer.targets_left_out = srv->left_out;
	take_ttl(lookup, srv->ttl_s > INT_MAX ? INT_MAX : (int)srv->ttl_s);
	return true;
}

static void
on_step(struct loop *loop, struct task *task)
{
	struct lookup *lookup = CP_CONTAINER_OF(task, struct lookup, task);

	(void)loop;
	CP_CHECK_MAGIC(lookup, LOOKUP_MAGIC);
	if (!lookup->is_srv || lookup->answer.cause != NULL) {
		finish(lookup);
		return;
	}
	lookup->is_srv = false;
	if (take_targets(lookup)) {
		ask_for_addresses(lookup);
		return;
	}
	lookup->answer.cause = errmsg_errno(ENOMEM);
	finish(lookup);
}

static void
on_timer(struct timer *timer)
{
	struct lookup *lookup = CP_CONTAINER_OF(timer, struct lookup, timer);

	CP_CHECK_MAGIC(lookup, LOOKUP_MAGIC);
	ares_process_fd(lookup->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	/* All is known: the task of this turn finishes. */
	if (lookup->pending == 0)
		return;
	if (loop_now_ms(lookup->loop) < lookup->deadline_ms) {
		set_timer(lookup);
		return;
	}
	/* What of several targets is known counts; those that are not have "timed out" as their cause. */
	if (lookup->is_srv)
		lookup->answer.cause = "timed out";
	finish(lookup);
}

/* ---- life cycle ------------------------------------------------------------------ */

static int
errno_of(int status)
{
	return status == ARES_ENOMEM ? -ENOMEM : -EIO;
}

static int
open_channel(struct lookup *lookup, const struct lookup_request *request, struct errmsg *err)
{
	static const struct ares_socket_functions functions = {.asocket = open_socket,
		.aclose = close_socket,
		.aconnect = connect_socket,
		.arecvfrom = receive,
		.asendv = send_vector};
	/* In three parts for at most three servers, which is what the system has: each is asked once at least. */
	const uint64_t parts = request->server_count > PATIENCE_PARTS ? request->server_count : PATIENCE_PARTS;
	const uint64_t part_ms = request->timeout_ms / parts;
	struct ares_options options = {.flags = ARES_FLAG_EDNS,
		.ednspsz = DATAGRAM_MAX,
		.tries = ROUNDS,
		.sock_state_cb = on_socket_state,
		.sock_state_cb_data = lookup};
	char lookups[] = "fb"; /* /etc/hosts, then name servers; whatever /etc/nsswitch.conf says */
	int status;

	options.timeout = part_ms < 1 ? 1 : part_ms > INT_MAX / 8 ? INT_MAX / 8 : (int)part_ms;
	options.lookups = lookups;
	status = ares_init_options(&lookup->channel, &options,
		ARES_OPT_FLAGS | ARES_OPT_EDNSPSZ | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB |
			ARES_OPT_LOOKUPS);
	if (status != ARES_SUCCESS) {
		lookup->channel = NULL;
		errmsg_set(err, "%s", ares_strerror(status));
		return errno_of(status);
	}
	ares_set_socket_functions(lookup->channel, &functions, lookup);
	if (request->servers == NULL)
		return 0;
	status = ares_set_servers_ports_csv(lookup->channel, request->servers);
	if (status == ARES_SUCCESS)
		return 0;
	errmsg_set(err, "name servers \"%s\": %s", request->servers, ares_strerror(status));
	return status == ARES_ENOMEM ? -ENOMEM : -EINVAL;
}

static void
begin(struct lookup *lookup, const struct lookup_request *request)
{
	if (request->is_srv) {
		lookup->pending = 1;
		ares_query(lookup->channel, lookup->name, ns_c_in, ns_t_srv, on_srv, lookup);
		set_timer(lookup);
		return;
	}
	lookup->self.name = lookup->name;
	lookup->self.port = request->port;
	lookup->self.weight = 1;
	lookup->answer.targets = &lookup->self;
	lookup->answer.target_count = 1;
	ask_for_addresses(lookup);
}

int
lookup_new(struct loop *loop, const struct lookup_request *request, lookup_done_fn *done, void *arg,
	struct lookup **ret_lookup, struct errmsg *err)
{
	struct lookup *lookup = mem_zalloc(sizeof(*lookup));
	int rc = -ENOMEM;

	if (lookup == NULL)
		goto no_memory;
	lookup->magic = LOOKUP_MAGIC;
	lookup->loop = loop;
	list_init(&lookup->sockets);
	lookup->timer.fn = on_timer;
	lookup->task.fn = on_step;
	/* The loop's clock stands still while much is begun in one turn. */
	lookup->deadline_ms = clock_now_ns() / CLOCK_NS_PER_MS + request->timeout_ms;
	lookup->is_srv = request->is_srv;
	lookup->answer.ttl_ms = UINT64_MAX;
	lookup->done = done;
	lookup->arg = arg;
	lookup->name = mem_strdup(request->name);
	if (lookup->name == NULL)
		goto no_memory;
	if (request->is_srv) {
		lookup->srv = mem_zalloc(sizeof(*lookup->srv));
		if (lookup->srv == NULL)
			goto no_memory;
	}
	rc = open_channel(lookup, request, err);
	if (rc < 0)
		goto fail;
	begin(lookup, request);
	*ret_lookup = lookup;
	return 0;
no_memory:
	errmsg_set(err, "%s", errmsg_errno(ENOMEM));
fail:
	lookup_free(&lookup);
	return rc;
}

void
lookup_free(struct lookup **holder)
{
	struct lookup *lookup = *holder;

	if (lookup == NULL)
		return;
	CP_CHECK_MAGIC(lookup, LOOKUP_MAGIC);
	*holder = NULL;
	close_channel(lookup);
	if (lookup->answer.targets != &lookup->self)
		mem_free(lookup->answer.targets);
	mem_free(lookup->srv);
	mem_free(lookup->name);
	lookup->magic = 0;
	mem_free(lookup);
}

int
lookup_library_open(struct errmsg *err)
{
	int status = ares_library_init(ARES_LIB_INIT_ALL);

	if (status == ARES_SUCCESS)
		return 0;
	errmsg_set(err, "c-ares: %s", ares_strerror(status));
	return errno_of(status);
}

void
lookup_library_close(void)
{
	ares_library_cleanup();
}

int
lookup_check_servers(const char *servers, struct errmsg *err)
{
	ares_channel channel;
	int status = ares_init(&channel);

	if (status != ARES_SUCCESS) {
		errmsg_set(err, "c-ares: %s", ares_strerror(status));
		return errno_of(status);
	}
	status = ares_set_servers_ports_csv(channel, servers);
	ares_destroy(channel);
	if (status == ARES_SUCCESS)
		return 0;
	errmsg_set(err, "name servers \"%s\": %s", servers, ares_strerror(status));
	return status == ARES_ENOMEM ? -ENOMEM : -EINVAL;
}
