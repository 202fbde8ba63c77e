/* SPDX-License-Identifier: MIT */
/*
 * Blocking writes are good enough: what the tests send fits into socket buffers or is read all the while.
 */
#include "config.h"

#include "peer_server.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "base/mem.h"

#define CONNECTIONS_MAX 64
#define CHUNK 65536

static void
close_with_reset(int *fd)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	ck_assert_int_eq(setsockopt(*fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	fd_close(fd);
}

static void
send_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		data += n;
		len -= (size_t)n;
	}
}

static void
answer(const struct peer_server *server, int *fd)
{
	static __thread char data[CHUNK + 1];
	ssize_t n = recv(*fd, data, CHUNK, 0);

	if (n <= 0) {
		fd_close(fd);
		return;
	}
	switch (server->mode) {
	case PEER_SERVER_SILENT:
		return;
	case PEER_SERVER_RESET:
		close_with_reset(fd);
		return;
	case PEER_SERVER_CLOSE:
		fd_close(fd);
		return;
	case PEER_SERVER_SHORT:
		send_all(*fd, data, (size_t)n / 2);
		fd_close(fd);
		return;
	case PEER_SERVER_LONG:
		send_all(*fd, data, (size_t)n + 1);
		return;
	case PEER_SERVER_CORRUPT:
		data[n - 1] ^= 1;
		break;
	case PEER_SERVER_ECHO:
		break;
	}
	send_all(*fd, data, (size_t)n);
}

static void *
serve(void *arg)
{
	struct peer_server *server = arg;
	struct pollfd fds[2 + CONNECTIONS_MAX];
	nfds_t count = 2;

	fds[0] = (struct pollfd){ .fd = server->stop_fd, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = server->listen_fd, .events = POLLIN };
	while (poll(fds, count, -1) >= 0 && fds[0].revents == 0) {
		for (nfds_t i = 2; i < count; i++) {
			if (fds[i].fd >= 0 && fds[i].revents != 0)
				answer(server, &fds[i].fd);
		}
		for (nfds_t i = 2; i < count; i++) {
			if (fds[i].fd < 0)
				fds[i--] = fds[--count];
		}
		if (fds[1].revents != 0 && count < CP_COUNT(fds)) {
			fds[count] = (struct pollfd){ .fd = accept(server->listen_fd, NULL, NULL), .events = POLLIN };
			if (fds[count].fd >= 0)
				count++;
		}
	}
	for (nfds_t i = 2; i < count; i++)
		fd_close(&fds[i].fd);
	return NULL;
}

static int
bind_loopback(struct dial_endpoint *endpoint)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	endpoint->len = sizeof(endpoint->addr);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&endpoint->addr, &endpoint->len), 0);
	snprintf(endpoint->text, sizeof(endpoint->text), "127.0.0.1:%u",
		(unsigned)ntohs(((struct sockaddr_in *)(void *)&endpoint->addr)->sin_port));
	return fd;
}

void
peer_server_start(struct peer_server *server, enum peer_server_mode mode)
{
	sigset_t all, old;

	server->mode = mode;
	server->dial.count = 1;
	server->dial.endpoints = mem_zalloc(sizeof(*server->dial.endpoints));
	ck_assert_ptr_nonnull(server->dial.endpoints);
	server->listen_fd = bind_loopback(&server->dial.endpoints[0]);
	ck_assert_int_eq(listen(server->listen_fd, CONNECTIONS_MAX), 0);
	server->stop_fd = fd_new_event();
	ck_assert_int_ge(server->stop_fd, 0);
	/* A signal that a test sends is for the client. */
	sigfillset(&all);
	ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, &all, &old), 0);
	ck_assert_int_eq(pthread_create(&server->thread, NULL, serve, server), 0);
	ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
}

void
peer_server_stop(struct peer_server *server)
{
	fd_signal_event(server->stop_fd);
	ck_assert_int_eq(pthread_join(server->thread, NULL), 0);
	fd_close(&server->listen_fd);
	fd_close(&server->stop_fd);
	dial_fini(&server->dial);
}

void
peer_server_refusing_endpoint(struct dial_endpoint *ret)
{
	/* A bound abstract Unix socket that does not listen: no other process can come to listen there meanwhile. */
	static int holder = -1;
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	fd_close(&holder);
	memset(ret, 0, sizeof(*ret));
	holder = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(holder, 0);
	ck_assert_int_eq(bind(holder, (struct sockaddr *)&sun, sizeof(sa_family_t)), 0);
	ret->len = sizeof(ret->addr);
	ck_assert_int_eq(getsockname(holder, (struct sockaddr *)&ret->addr, &ret->len), 0);
	snprintf(ret->text, sizeof(ret->text), "nobody");
}
