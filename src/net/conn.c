/* SPDX-License-Identifier: MIT */
/*
 * conn.c - the two ends of a connection: rejected without having been served, or closed after it. Both account it.
 *
 * Runs on the acceptor (rejections at the door) and on workers. Must never wait for the client.
 */
#include "config.h"

#include "net/conn.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/fdutil.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "net/admission.h"
#include "net/listener.h"
#include "net/route.h"

/* How much of a rejected client's input is thrown away before the close, so that it reads the busy_message. */
#define REJECT_DRAIN_READS 4

const char *
conn_end_word(enum conn_end end)
{
	static const char *const words[CONN_END_COUNT] = {
		[CONN_END_NONE] = "none",
		[CONN_END_CLIENT] = "client",
		[CONN_END_SERVICE] = "service",
		[CONN_END_IDLE] = "idle",
		[CONN_END_LIFETIME] = "lifetime",
		[CONN_END_SEND_TIMEOUT] = "send-timeout",
		[CONN_END_CLIENT_RESET] = "client-reset",
		[CONN_END_SERVER] = "server",
		[CONN_END_SERVER_RESET] = "server-reset",
		[CONN_END_HALF_CLOSED] = "half-closed",
		[CONN_END_PROGRAM_FAILED] = "program-failed",
		[CONN_END_UPSTREAM_DOWN] = "upstream-down",
		[CONN_END_UPSTREAM_FULL] = "upstream-full",
		[CONN_END_DRAIN] = "drain",
		[CONN_END_ERROR] = "error",
		[CONN_END_REFUSED_ACCESS] = "refused-access",
		[CONN_END_REFUSED_LIMIT] = "refused-limit",
		[CONN_END_REFUSED_SOURCE] = "refused-source",
		[CONN_END_REFUSED_PROXY] = "refused-proxy",
		[CONN_END_REFUSED_MEMORY] = "refused-memory",
		[CONN_END_QUEUE_FULL] = "queue-full",
		[CONN_END_QUEUE_TIMEOUT] = "queue-timeout",
		[CONN_END_QUEUE_RESET] = "queue-reset",
		[CONN_END_QUEUE_DRAIN] = "queue-drain",
	};

	CP_ASSERT(end < CONN_END_COUNT);
	return words[end];
}

/* Who is turned away for what he is learns nothing; who has gone can't be told; all others are told to come again. */
static bool
deserves_message(enum conn_end why)
{
	return why != CONN_END_REFUSED_ACCESS && why != CONN_END_REFUSED_PROXY && why != CONN_END_QUEUE_RESET;
}

/*
 * Closing with unread input makes the kernel send a reset, which can overtake the message: end the writing, then read.
 */
static void
say_busy(int fd, const struct route *route, enum conn_end why)
{
	const char *message = route->rule->busy_message;

	if (message == NULL || !deserves_message(why))
		return;
	if (send(fd, message, strlen(message), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return;
	(void)shutdown(fd, SHUT_WR);
	for (int i = 0; i < REJECT_DRAIN_READS; i++) {
		char scratch[4096];
		ssize_t n = recv(fd, scratch, sizeof(scratch), MSG_DONTWAIT);

		if (n <= 0)
			break;
	}
}

void
accepted_reject(struct accepted *accepted, enum conn_end why)
{
	struct listener *listener = accepted->route->listener;

	CP_ASSERT(accepted->fd >= 0 && why >= CONN_END_FIRST_REJECTED && why < CONN_END_COUNT);
	say_busy(accepted->fd, accepted->route, why);
	fd_close(&accepted->fd);
	admission_release(accepted);
	atomic_fetch_add_explicit(&listener->counters.rejected[why], 1, memory_order_relaxed);
	route_unref(&accepted->route);
}

void
accepted_enter_queue(const struct accepted *accepted)
{
	atomic_fetch_add_explicit(&accepted->route->listener->counters.queued, 1, memory_order_relaxed);
}

void
accepted_leave_queue(const struct accepted *accepted)
{
	atomic_fetch_sub_explicit(&accepted->route->listener->counters.queued, 1, memory_order_relaxed);
}

bool
accepted_is_reset(const struct accepted *accepted)
{
	struct pollfd pfd = {.fd = accepted->fd, .events = 0};
	char byte;

	if (poll(&pfd, 1, 0) != 1)
		return false;
	if ((pfd.revents & POLLERR) != 0)
		return true;
	/* A Unix client that has closed hangs up, too. What it sent before is there to be served, as over TCP. */
	return (pfd.revents & POLLHUP) != 0 && recv(accepted->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0;
}

void
conn_open(struct conn *conn, struct accepted *accepted, uint16_t worker, uint64_t now_ns)
{
	struct listener *listener = accepted->route->listener;

	conn->magic = CONN_MAGIC;
	conn->worker = worker;
	conn->end = CONN_END_NONE;
	conn->from = *accepted;
	conn->started_ns = now_ns;
	accepted->fd = -1;
	accepted->route = NULL;
	atomic_fetch_add_explicit(&listener->counters.active, 1, memory_order_relaxed);
}

void
conn_set_end(struct conn *conn, enum conn_end end)
{
	if (conn->end == CONN_END_NONE)
		conn->end = (uint8_t)end;
}

static bool
is_rejected(const struct conn *conn)
{
	return conn->end >= CONN_END_FIRST_REJECTED;
}

/* "192.0.2.1:4711"; a Unix client has no address, but a process. */
static void
describe_peer(int fd, const struct peer *peer, char text[ADDRESS_TEXT_MAX])
{
	struct ucred who;
	socklen_t length = sizeof(who);

	if (peer->family == AF_UNIX && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length) == 0)
		snprintf(text, ADDRESS_TEXT_MAX, "unix:pid=%d,uid=%u", (int)who.pid, (unsigned)who.uid);
	else
		peer_format(peer, text);
}

const char *
conn_describe_client(const struct conn *conn, char text[ADDRESS_TEXT_MAX])
{
	describe_peer(conn->from.fd, &conn->from.peer, text);
	return text;
}

/* Kept and not asked of the socket: one that both sides have ended knows its peer no more (getpeername(2)). */
static void
add_proxy(struct log_record *record, const struct conn *conn)
{
	char proxy[ADDRESS_TEXT_MAX];

	if (!conn->from.route->rule->accept_proxy)
		return;
	describe_peer(conn->from.fd, conn->proxied != NULL ? &conn->proxied->proxy : &conn->from.peer, proxy);
	log_record_add(record, "PROXY", "%s", proxy);
}

void
conn_program_record(const struct conn_program *program, struct log_record *record)
{
	const char *name;

	if (program == NULL)
		return;
	log_record_add(record, "PROGRAM", "%s", program->path);
	log_record_add(record, "PROGRAM_RESULT", "%s", program->text);
	if (program->pid == 0)
		return;
	log_record_add(record, "PID", "%d", (int)program->pid);
	if (program->signal == 0) {
		log_record_add(record, "EXIT_STATUS", "%d", program->status);
	} else {
		name = sigabbrev_np(program->signal);
		log_record_add(record, "SIGNAL", "%s", name != NULL ? name : "unknown");
	}
	log_record_add(record, "CPU_USEC", "%llu", (unsigned long long)program->cpu_usec);
	log_record_add(record, "MEMORY_PEAK", "%llu", (unsigned long long)program->memory_peak_bytes);
}

static double
as_ms(uint64_t ns)
{
	return (double)ns / (double)CLOCK_NS_PER_MS;
}

static void
write_record(const struct conn *conn, uint64_t now_ns, struct log_record *record)
{
	const struct route *route = conn->from.route;
	const struct conn_program *program = conn->program;
	uint64_t queued_ns = conn->started_ns - conn->from.accepted_ns;
	uint64_t served_ns = now_ns - conn->started_ns;
	char client[ADDRESS_TEXT_MAX];

	conn_describe_client(conn, client);
	log_record_init(record, LOG_LEVEL_INFO, LOG_EVENT_CONNECTION_CLOSED,
		"connection %llu from %s on listener '%s' closed: %s (in %llu, out %llu bytes; queued %.1f ms, served "
		"%.1f ms%s%s%s%s%s%s)",
		(unsigned long long)conn->from.id, client, route->listener->name, conn_end_word(conn->end),
		(unsigned long long)conn->bytes_in, (unsigned long long)conn->bytes_out, as_ms(queued_ns),
		as_ms(served_ns), conn->server != NULL ? " by " : "", conn->server != NULL ? conn->server : "",
		program != NULL ? "; " : "", program != NULL ? program->path : "", program != NULL ? ": " : "",
		program != NULL ? program->text : "");
	log_record_add(record, "CONNECTION", "%llu", (unsigned long long)conn->from.id);
	log_record_add(record, "LISTENER", "%s", route->listener->name);
	log_record_add(record, "SERVICE", "%s", conf_service_name(&route->rule->service));
	log_record_add(record, "POOL", "%s", route->rule->pool_name);
	log_record_add(record, "WORKER", "%u", conn->worker);
	log_record_add(record, "CLIENT", "%s", client);
	add_proxy(record, conn);
	conn_program_record(program, record);
	if (conn->server != NULL) {
		log_record_add(record, "SERVER", "%s", conn->server);
		log_record_add(record, "CONNECT_USEC", "%llu",
			(unsigned long long)((conn->connected_ns - conn->started_ns) / 1000));
	}
	log_record_add(record, "END", "%s", conn_end_word(conn->end));
	log_record_add(record, "BYTES_IN", "%llu", (unsigned long long)conn->bytes_in);
	log_record_add(record, "BYTES_OUT", "%llu", (unsigned long long)conn->bytes_out);
	log_record_add(record, "BACKLOG_USEC", "%llu", conn->from.backlog_ms * 1000ull);
	log_record_add(record, "QUEUED_USEC", "%llu", (unsigned long long)(queued_ns / 1000));
	log_record_add(record, "DURATION_USEC", "%llu", (unsigned long long)(served_ns / 1000));
}

void
conn_close(struct conn *conn, uint64_t now_ns)
{
	struct listener *listener;
	struct listener_counters *counters;
	struct log_record record;
	bool is_logged;

	CP_CHECK_MAGIC(conn, CONN_MAGIC);
	CP_ASSERT(conn->end != CONN_END_NONE && conn->end < CONN_END_COUNT);
	listener = conn->from.route->listener;
	counters = &listener->counters;
	is_logged = conn->from.route->conf->log.connections && log_is_enabled(LOG_LEVEL_INFO);
	if (is_logged)
		write_record(conn, now_ns, &record);
	admission_release(&conn->from);
	if (is_rejected(conn))
		say_busy(conn->from.fd, conn->from.route, (enum conn_end)conn->end);
	fd_close(&conn->from.fd);
	mem_freep(&conn->proxied);
	mem_freep(&conn->program);
	atomic_fetch_add_explicit(&counters->bytes_in, conn->bytes_in, memory_order_relaxed);
	atomic_fetch_add_explicit(&counters->bytes_out, conn->bytes_out, memory_order_relaxed);
	atomic_fetch_add_explicit(
		is_rejected(conn) ? &counters->rejected[conn->end] : &counters->closed, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&counters->active, 1, memory_order_relaxed);
	if (conn->at_end != NULL)
		conn->at_end(conn->at_end_arg);
	/* Last: who reads in the log that one has ended may come at once, and must find its places free. */
	if (is_logged)
		log_record_commit(&record);
	route_unref(&conn->from.route);
	conn->magic = 0;
}
