/* SPDX-License-Identifier: MIT */
/*
 * checkrig.c - see checkrig.h. On the test's one thread.
 */
#include "config.h"

#include "checkrig.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../net/netfixture.h"
#include "base/fdutil.h"
#include "base/mem.h"

#define HEARD_MAX 65536u

struct checkrig rig;

/* ---- in place of server.c ------------------------------------------------------------------ */

void
server_report(struct server *server, enum server_event event, const struct server_advice *advice, const char *reason)
{
	server->reports++;
	server->event = event;
	server->has_advice = advice != NULL;
	if (advice != NULL)
		server->advice = *advice;
	snprintf(server->reason, sizeof(server->reason), "%s", reason);
}

struct server *
server_ref(struct server *server)
{
	server->refs++;
	return server;
}

void
server_unref(struct server **server)
{
	(*server)->refs--;
	*server = NULL;
}

enum server_state
server_state(struct server *server)
{
	return server->state;
}

bool
server_is_in_doubt(struct server *server)
{
	return server->is_in_doubt;
}

const struct server_address *
server_address(const struct server *server)
{
	return &server->address;
}

const char *
server_name(const struct server *server)
{
	(void)server;
	return "tcp:fake:1";
}

const char *
server_group_name(const struct server *server)
{
	(void)server;
	return "web";
}

/* ---- life ------------------------------------------------------------------------------------ */

static void
set_up(void)
{
	rig.server = (struct server){.state = SERVER_UP};
	ck_assert_int_eq(loop_init(&rig.loop, NULL, NULL), 0);
}

static void
tear_down(void)
{
	mem_fail_after(0);
	ck_assert_uint_eq(rig.server.refs, 0);
	ck_assert_uint_eq(timer_wheel_next_ms(&rig.loop.wheel), UINT64_MAX);
	loop_fini(&rig.loop);
}

TCase *
rig_case(Suite *suite, const char *name)
{
	TCase *tc = fixture_case(suite, name);

	tcase_add_checked_fixture(tc, set_up, tear_down);
	return tc;
}

/* ---- peers --------------------------------------------------------------------------------------- */

static int
bind_socket(struct server_address *address)
{
	int fd = socket(address->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, &address->sa, address->length), 0);
	ck_assert_int_eq(getsockname(fd, &address->sa, &address->length), 0);
	return fd;
}

static int
bind_tcp(struct server_address *ret_address)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&ret_address->storage;

	*ret_address = (struct server_address){.length = sizeof(*in)};
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return bind_socket(ret_address);
}

int
rig_listen(struct server_address *ret_address)
{
	int fd = bind_tcp(ret_address);

	ck_assert_int_eq(listen(fd, 256), 0);
	return fd;
}

int
rig_listen_unix(struct server_address *ret_address)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&ret_address->storage;
	int fd;

	*ret_address = (struct server_address){.length = sizeof(*un)};
	un->sun_family = AF_UNIX;
	snprintf(un->sun_path, sizeof(un->sun_path), "%s", fixture_path("server"));
	fd = bind_socket(ret_address);
	ck_assert_int_eq(listen(fd, 16), 0);
	return fd;
}

uint16_t
rig_port(const struct server_address *address)
{
	return ntohs(((const struct sockaddr_in *)&address->storage)->sin_port);
}

void
rig_find_closed(struct server_address *ret_address)
{
	int fd = bind_tcp(ret_address);

	fd_close(&fd);
}

struct accepting {
	int listening;
	int fd;
};

static bool
has_accepted(void *arg)
{
	struct accepting *accepting = arg;

	if (accepting->fd < 0)
		accepting->fd = accept4(accepting->listening, NULL, NULL, SOCK_CLOEXEC);
	return accepting->fd >= 0;
}

int
rig_accept(int listening)
{
	struct accepting accepting = {.listening = listening, .fd = -1};

	fixture_turn_until(&rig.loop, has_accepted, &accepting);
	return accepting.fd;
}

void
rig_expect_nobody(int listening)
{
	ck_assert_int_lt(accept4(listening, NULL, NULL, SOCK_CLOEXEC), 0);
	ck_assert_int_eq(errno, EAGAIN);
}

void
rig_say(int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

struct hearing {
	int fd;
	size_t wanted;
	size_t size;
	bool has_ended;
	char text[HEARD_MAX];
};

static bool
has_heard(void *arg)
{
	struct hearing *hearing = arg;
	ssize_t n = recv(hearing->fd, hearing->text + hearing->size, hearing->wanted - hearing->size, MSG_DONTWAIT);

	if (n >= 0) {
		hearing->size += (size_t)n;
		hearing->has_ended = n == 0;
	} else {
		ck_assert_int_eq(errno, EAGAIN);
	}
	return hearing->size == hearing->wanted || hearing->has_ended;
}

void
rig_expect_heard(int fd, const char *text)
{
	struct hearing hearing = {.fd = fd, .wanted = strlen(text)};

	ck_assert_uint_le(hearing.wanted, HEARD_MAX);
	fixture_turn_until(&rig.loop, has_heard, &hearing);
	ck_assert_uint_eq(hearing.size, hearing.wanted);
	ck_assert_mem_eq(hearing.text, text, hearing.size);
}

void
rig_expect_closed(int *fd)
{
	struct hearing hearing = {.fd = *fd, .wanted = 1};

	fixture_turn_until(&rig.loop, has_heard, &hearing);
	ck_assert_msg(hearing.has_ended, "it still talks");
	fd_close(fd);
}

/* ---- turns ------------------------------------------------------------------------------------- */

void
rig_advance_ms(uint64_t ms)
{
	fixture_advance_ms(ms);
	/* What a timer starts shows in the turn after it. */
	fixture_turn(&rig.loop);
	fixture_turn(&rig.loop);
}

static bool
has_reports(void *arg)
{
	return rig.server.reports >= *(unsigned *)arg;
}

void
rig_await_reports(unsigned count)
{
	fixture_turn_until(&rig.loop, has_reports, &count);
	ck_assert_uint_eq(rig.server.reports, count);
}
