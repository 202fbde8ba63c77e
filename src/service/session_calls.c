/* SPDX-License-Identifier: MIT */
/*
 * session_calls.c - the calls of handler.h about the connection itself and about others: its deadlines, its name, its
 * log, and connections of the handler's own.
 *
 * They run on the connection's fiber, but for cp_log(), cp_listener() and cp_id(), which read what does not change.
 */
#include "config.h"

#include "service/session_parts.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/address.h"
#include "base/fdutil.h"
#include "base/log.h"
#include "net/listener.h"

/* 0 or -errno as the calls return it. */
static int
as_result(int rc)
{
	if (rc >= 0)
		return rc;
	errno = -rc;
	return -1;
}

/* ---- its deadlines -------------------------------------------------------------------------- */

int
cp_set_timeout(struct cp_conn *conn, enum cp_timeout which, int ms)
{
	struct session *session = session_of_fiber(conn, __func__);

	if ((unsigned)which >= CP_COUNT(session->timeouts_ms) || ms < -1)
		return as_result(-EINVAL);
	session->timeouts_ms[which] = ms;
	/* A nearer one holds at once; of one farther off the timer takes notice when it fires. */
	session_arm_timer(session);
	return 0;
}

/* ---- connections of the handler's own ----------------------------------------------------------- */

struct target {
	struct sockaddr_storage address;
	socklen_t length;
};

static int
fill_tcp(struct target *target, const struct address *address)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	struct addrinfo *found;
	char port[8];
	int rc;

	snprintf(port, sizeof(port), "%u", address->port);
	rc = getaddrinfo(address->host, port, &hints, &found);
	if (rc != 0)
		return rc == EAI_MEMORY ? -ENOMEM : -EINVAL;
	memcpy(&target->address, found->ai_addr, found->ai_addrlen);
	target->length = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

/* 0 or -errno. */
static int
fill_target(struct target *target, const char *text)
{
	struct address address = {0};
	int rc = address_parse_server(&address, text, NULL);

	if (rc < 0)
		return rc;
	if (address.kind == ADDRESS_TCP)
		rc = fill_tcp(target, &address);
	else if (address.kind == ADDRESS_UNIX)
		rc = address_to_unix(&address, (struct sockaddr_un *)&target->address, &target->length);
	else
		rc = -EINVAL;
	address_fini(&address);
	return rc;
}

/* 0 or -1 with errno. */
static int
await_connected(struct cp_conn *conn, int fd, int timeout_ms)
{
	int error = 0;
	socklen_t length = sizeof(error);
	int rc = cp_wait_fd(conn, fd, POLLOUT, timeout_ms);

	if (rc < 0)
		return -1;
	if (rc == 0)
		return as_result(-ETIMEDOUT);
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
		return -1;
	return as_result(-error);
}

int
cp_connect(struct cp_conn *conn, const char *address, int timeout_ms)
{
	struct session *session = session_of_fiber(conn, __func__);
	struct target target;
	int rc = timeout_ms < -1 || address == NULL ? -EINVAL : fill_target(&target, address);
	int fd;

	if (rc < 0)
		return as_result(rc);
	if (session_take_turn(session) < 0)
		return -1;
	fd = socket(target.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	rc = connect(fd, (const struct sockaddr *)&target.address, target.length);
	if (rc < 0 && errno == EINPROGRESS)
		rc = await_connected(conn, fd, timeout_ms);
	if (rc < 0)
		fd_close(&fd);
	return fd;
}

/* ---- about the connection ------------------------------------------------------------------------------ */

static __attribute__((format(printf, 3, 0))) void
log_text(const struct session *session, enum log_level level, const char *fmt, va_list args)
{
	const struct route *route = session->conn.from.route;
	int saved_errno = errno;
	struct log_record record;
	char client[ADDRESS_TEXT_MAX];
	char text[LOG_FIELD_MAX];

	if (!log_is_enabled(level))
		return;
	if (fmt == NULL || vsnprintf(text, sizeof(text), fmt, args) < 0)
		text[0] = '\0';
	log_record_init(&record, level, LOG_EVENT_NONE, "listener '%s': connection %llu: %s", route->listener->name,
		(unsigned long long)session->conn.from.id, text);
	log_record_add(&record, "CONNECTION", "%llu", (unsigned long long)session->conn.from.id);
	log_record_add(&record, "LISTENER", "%s", route->listener->name);
	log_record_add(&record, "SERVICE", "%s", conf_service_name(&route->rule->service));
	log_record_add(&record, "CLIENT", "%s", conn_describe_client(&session->conn, client));
	log_record_commit(&record);
	errno = saved_errno;
}

void
session_log(const struct session *session, enum log_level level, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	log_text(session, level, fmt, args);
	va_end(args);
}

void
cp_log(const struct cp_conn *conn, enum cp_log_level level, const char *fmt, ...)
{
	const struct session *session = session_of_handler(conn, __func__);
	va_list args;

	level = level < CP_LOG_ERROR ? CP_LOG_ERROR : level;
	level = level > CP_LOG_DEBUG ? CP_LOG_DEBUG : level;
	va_start(args, fmt);
	log_text(session, (enum log_level)level, fmt, args);
	va_end(args);
}

const char *
cp_listener(const struct cp_conn *conn)
{
	return session_of_handler(conn, __func__)->conn.from.route->listener->name;
}

uint64_t
cp_id(const struct cp_conn *conn)
{
	return session_of_handler(conn, __func__)->conn.from.id;
}
