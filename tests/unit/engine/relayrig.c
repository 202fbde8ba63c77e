/* SPDX-License-Identifier: MIT */
/*
 * relayrig.c - see relayrig.h. On the test's one thread.
 */
#include "config.h"

#include "relayrig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "base/mem.h"

/* A bound for what never comes, not a time to wait. */
#define TURNS_MAX 3000
#define TURN_MS 2
#define QUIET_TURNS 5

struct relay_pool rig_pool;
uint64_t rig_now_ms;
unsigned rig_splices;
bool rig_splice_is_inval;
bool rig_has_no_pipes;

static int descriptors;

/* ---- in place of libc's ------------------------------------------------------------ */

ssize_t __real_splice(int in, off_t *in_at, int out, off_t *out_at, size_t length, unsigned flags);
ssize_t __wrap_splice(int in, off_t *in_at, int out, off_t *out_at, size_t length, unsigned flags);
int __real_pipe2(int pipe[2], int flags);
int __wrap_pipe2(int pipe[2], int flags);

ssize_t
__wrap_splice(int in, off_t *in_at, int out, off_t *out_at, size_t length, unsigned flags)
{
	rig_splices++;
	if (rig_splice_is_inval) {
		errno = EINVAL;
		return -1;
	}
	return __real_splice(in, in_at, out, out_at, length, flags);
}

int
__wrap_pipe2(int pipe[2], int flags)
{
	if (rig_has_no_pipes) {
		errno = EMFILE;
		return -1;
	}
	return __real_pipe2(pipe, flags);
}

/* ---- set-up ------------------------------------------------------------------------- */

static void
set_up(void)
{
	signal(SIGPIPE, SIG_IGN);
	rig_now_ms = 1000;
	rig_splices = 0;
	rig_splice_is_inval = rig_has_no_pipes = false;
	memset(&rig_pool, 0, sizeof(rig_pool));
	descriptors = fd_count_open();
}

static void
tear_down(void)
{
	mem_fail_after(0);
	ck_assert_uint_eq(rig_pool.pipes_lent, 0);
	relay_pool_fini(&rig_pool);
	ck_assert_msg(fd_count_open() == descriptors, "a descriptor was left open, or one too many closed");
}

TCase *
rig_case(Suite *suite, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 20);
	suite_add_tcase(suite, tc);
	return tc;
}

static void
tcp_pair(int ends[2])
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(sin);
	int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(listening, (struct sockaddr *)&sin, length), 0);
	ck_assert_int_eq(listen(listening, 1), 0);
	ck_assert_int_eq(getsockname(listening, (struct sockaddr *)&sin, &length), 0);
	ends[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(ends[1], (struct sockaddr *)&sin, length), 0);
	ends[0] = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(ends[0], 0);
	close(listening);
}

static void
open_side(struct rig *rig, enum rig_kind kind, int side)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET, .data.u32 = (uint32_t)side};
	int ends[2];

	if (kind == RIG_TCP)
		tcp_pair(ends);
	else
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	ck_assert_int_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	rig->fds[side] = ends[0];
	rig->peers[side] = ends[1];
	ck_assert_int_eq(epoll_ctl(rig->epoll_fd, EPOLL_CTL_ADD, ends[0], &event), 0);
}

void
rig_open(struct rig *rig, enum rig_kind kind, uint32_t limit)
{
	*rig = (struct rig){.epoll_fd = epoll_create1(EPOLL_CLOEXEC), .kind = kind, .progress = RELAY_WAITS};
	ck_assert_int_ge(rig->epoll_fd, 0);
	open_side(rig, kind, RELAY_CLIENT);
	open_side(rig, kind, RELAY_SERVER);
	rig->relay = relay_new(&rig_pool, rig->fds[RELAY_CLIENT], rig->fds[RELAY_SERVER], limit);
	ck_assert_ptr_nonnull(rig->relay);
}

void
rig_close(struct rig *rig)
{
	relay_free(&rig->relay);
	for (int i = 0; i < 2; i++) {
		fd_close(&rig->fds[i]);
		fd_close(&rig->peers[i]);
	}
	fd_close(&rig->epoll_fd);
}

void
rig_shrink(struct rig *rig)
{
	/* Loopback's segments are 64 KiB long: with little more, TCP waits for its timers. */
	int bytes = rig->kind == RIG_TCP ? 256 * 1024 : 4096;

	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(setsockopt(rig->fds[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
		ck_assert_int_eq(setsockopt(rig->peers[i], SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)), 0);
	}
}

/* ---- turning --------------------------------------------------------------------------- */

static int
hear(const struct rig *rig, int wait_ms)
{
	struct epoll_event events[2];
	int count = epoll_wait(rig->epoll_fd, events, 2, wait_ms);

	ck_assert_int_ge(count, 0);
	for (int i = 0; i < count; i++)
		relay_note(rig->relay, (enum relay_side)events[i].data.u32, events[i].events);
	return count;
}

void
rig_turn(struct rig *rig, int wait_ms)
{
	if (rig->progress == RELAY_OVER)
		return;
	(void)hear(rig, rig->progress == RELAY_AGAIN ? 0 : wait_ms);
	rig->progress = relay_run(rig->relay, rig_now_ms);
}

void
rig_settle(struct rig *rig)
{
	for (int quiet = 0; quiet < QUIET_TURNS && rig->progress != RELAY_OVER;) {
		int count = hear(rig, rig->progress == RELAY_AGAIN ? 0 : TURN_MS);

		quiet = count == 0 && rig->progress != RELAY_AGAIN ? quiet + 1 : 0;
		rig->progress = relay_run(rig->relay, rig_now_ms);
	}
}

void
rig_expect_over(struct rig *rig)
{
	for (int i = 0; i < TURNS_MAX && rig->progress != RELAY_OVER; i++)
		rig_turn(rig, TURN_MS);
	ck_assert_int_eq(rig->progress, RELAY_OVER);
}

/* ---- the client and the server ------------------------------------------------------------- */

void
rig_send(struct rig *rig, enum relay_side side, const char *text)
{
	ck_assert_int_eq(send(rig->peers[side], text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

void
rig_expect(struct rig *rig, enum relay_side side, const char *text)
{
	char buf[4096];
	size_t wanted = strlen(text);
	size_t used = 0;

	for (int i = 0; i < TURNS_MAX && used < wanted; i++) {
		ssize_t n = recv(rig->peers[side], buf + used, sizeof(buf) - used, MSG_DONTWAIT);

		if (n > 0)
			used += (size_t)n;
		else
			rig_turn(rig, TURN_MS);
	}
	ck_assert_uint_eq(used, wanted);
	ck_assert_int_eq(memcmp(buf, text, wanted), 0);
}

void
rig_expect_end(struct rig *rig, enum relay_side side)
{
	char byte;
	ssize_t n = -1;

	for (int i = 0; i < TURNS_MAX && n < 0; i++) {
		n = recv(rig->peers[side], &byte, 1, MSG_DONTWAIT);
		if (n < 0) {
			ck_assert_int_eq(errno, EAGAIN);
			rig_turn(rig, TURN_MS);
		}
	}
	ck_assert_int_eq(n, 0);
}

void
rig_end(struct rig *rig, enum relay_side side)
{
	ck_assert_int_eq(shutdown(rig->peers[side], SHUT_WR), 0);
}

void
rig_reset(struct rig *rig, enum relay_side side)
{
	struct linger reset = {.l_onoff = 1};

	ck_assert_int_eq(setsockopt(rig->peers[side], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	fd_close(&rig->peers[side]);
}

/* ---- streams ---------------------------------------------------------------------------------- */

static char
byte_at(const struct stream *stream, size_t at)
{
	return (char)(((uint32_t)at * 2654435761u + (uint32_t)stream->from * 77u) >> 24);
}

size_t
stream_send(const struct rig *rig, struct stream *stream)
{
	size_t before = stream->sent;

	while (stream->sent < stream->length) {
		char block[8192];
		size_t size = stream->length - stream->sent;
		ssize_t n;

		if (size > sizeof(block))
			size = sizeof(block);
		for (size_t i = 0; i < size; i++)
			block[i] = byte_at(stream, stream->sent + i);
		n = send(rig->peers[stream->from], block, size, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			break;
		stream->sent += (size_t)n;
	}
	return stream->sent - before;
}

size_t
stream_take(const struct rig *rig, struct stream *stream, size_t size)
{
	char block[16384];
	ssize_t n = recv(rig->peers[!stream->from], block, size < sizeof(block) ? size : sizeof(block), MSG_DONTWAIT);

	if (n < 0)
		return 0;
	for (ssize_t i = 0; i < n; i++) {
		if (block[i] != byte_at(stream, stream->taken + (size_t)i))
			ck_abort_msg("byte %zu is another one than was sent", stream->taken + (size_t)i);
	}
	stream->taken += (size_t)n;
	ck_assert_uint_le(stream->taken, stream->sent);
	return (size_t)n;
}

static void
expect_within_limit(const struct rig *rig)
{
	const struct relay_end *ends = rig->relay->ends;

	for (int i = 0; i < 2; i++)
		ck_assert_uint_le(ends[i].received - ends[!i].sent, rig->relay->limit);
}

void
stream_fill(struct rig *rig, struct stream *stream)
{
	for (int quiet = 0; quiet < QUIET_TURNS && stream->sent < stream->length;) {
		uint64_t before = rig->relay->ends[stream->from].received;

		quiet = stream_send(rig, stream) == 0 ? quiet + 1 : 0;
		rig_turn(rig, TURN_MS);
		expect_within_limit(rig);
		if (rig->relay->ends[stream->from].received != before)
			quiet = 0;
	}
}

void
stream_finish(struct rig *rig, struct stream *stream)
{
	for (int i = 0; i < TURNS_MAX && stream->taken < stream->length; i++) {
		size_t moved = stream_send(rig, stream);

		moved += stream_take(rig, stream, 16384);
		rig_turn(rig, moved > 0 ? 0 : TURN_MS);
		expect_within_limit(rig);
	}
	ck_assert_uint_eq(stream->taken, stream->length);
}
