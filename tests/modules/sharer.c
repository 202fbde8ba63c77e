/* SPDX-License-Identifier: MIT */
/*
 * sharer.c - a module that takes a second descriptor of its client's socket, and makes both block: what a program does
 * that holds the socket too.
 *
 * Commands, a line each: wait, file, relay.
 */
#define _GNU_SOURCE
#include <connpoold/handler.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct settings {
	char *file;
	char *server;
};

static const struct cp_option options[] = {
	CP_OPT_STRING(struct settings, file, "file", NULL, "What file sends."),
	CP_OPT_STRING(struct settings, server, "server", NULL, "To whom relay passes it on."),
	CP_OPT_END,
};

#define FDS_MAX 256

static int
find_client(const struct cp_conn *conn)
{
	struct sockaddr_storage client;
	socklen_t length = cp_peer(conn, &client);

	for (int fd = 3; fd < FDS_MAX; fd++) {
		struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
		socklen_t peer_length = sizeof(peer);

		if (getpeername(fd, (struct sockaddr *)&peer, &peer_length) == 0 && peer_length == length &&
			memcmp(&peer, &client, length) == 0)
			return fd;
	}
	return -1;
}

/* Kept for good, as a child that was left behind does. */
static int
share_and_block(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, FDS_MAX);

	return copy < 0 ? -1 : fcntl(copy, F_SETFL, 0);
}

static int
send_file(struct cp_conn *conn, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t offset = 0;
	ssize_t sent;
	int saved;

	if (fd < 0)
		return -1;
	sent = cp_send_file(conn, fd, &offset, 1u << 30);
	saved = errno;
	close(fd);
	errno = saved;
	return sent < 0 ? -1 : CP_DONE;
}

static int
relay(struct cp_conn *conn, const char *server)
{
	int fd = cp_connect(conn, server, -1);

	if (fd < 0)
		return -1;
	if (share_and_block(fd) < 0) {
		close(fd);
		return -1;
	}
	return cp_relay(conn, fd, 256 * 1024, 0);
}

static int
serve(struct cp_conn *conn)
{
	const struct settings *settings = cp_state(conn);
	char line[32];

	if (share_and_block(find_client(conn)) < 0 || cp_printf(conn, "shared\n") < 0)
		return -1;
	if (cp_read_line(conn, line, sizeof(line)) <= 0)
		return -1;
	if (strcmp(line, "file\n") == 0)
		return send_file(conn, settings->file);
	if (strcmp(line, "relay\n") == 0)
		return relay(conn, settings->server);
	return cp_recv(conn, line, sizeof(line)) < 0 ? -1 : CP_DONE;
}

const struct cp_handler connpoold_handler = {
	.abi = CP_HANDLER_ABI,
	.name = "sharer",
	.serve = serve,
	.options = options,
	.settings_size = sizeof(struct settings),
};
