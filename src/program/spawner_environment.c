/* SPDX-License-Identifier: MIT */
/*
 * spawner_environment.c - the variables that say who a program's client is, in three dialects.
 *
 * In the spawner, once for each client. What does not fit is left out.
 */
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "program/spawner_launch.h"

struct writer {
	struct client_environment *environment;
	size_t used;
};

/* The name with its '='. By hand: eight printf(3) took longer than all the other work of the spawner's own. */
static void
add(struct writer *writer, const char *name, const char *value, size_t length)
{
	struct client_environment *environment = writer->environment;
	char *text = environment->text + writer->used;
	size_t name_length = strlen(name);

	if (name_length + length >= sizeof(environment->text) - writer->used ||
		environment->count == CLIENT_VARIABLES_MAX)
		return;
	memcpy(text, name, name_length);
	memcpy(text + name_length, value, length);
	text[name_length + length] = '\0';
	environment->items[environment->count++] = text;
	writer->used += name_length + length + 1;
}

static void
add_number(struct writer *writer, const char *name, unsigned number)
{
	char digits[16];
	size_t first = sizeof(digits);

	do
		digits[--first] = (char)('0' + number % 10);
	while ((number /= 10) > 0);
	add(writer, name, digits + first, sizeof(digits) - first);
}

static void
add_text(struct writer *writer, const char *name, const char *value)
{
	add(writer, name, value, strlen(value));
}

static void
add_local(struct writer *writer, const struct sockaddr_storage *storage, socklen_t length)
{
	char text[ADDRESS_TEXT_MAX];
	struct peer local;

	peer_from_sockaddr(&local, (const struct sockaddr *)storage, length);
	add_text(writer, "TCPLOCALIP=", peer_format_host(&local, text));
	add_number(writer, "TCPLOCALPORT=", local.port);
}

static void
add_unix(struct writer *writer, const struct sockaddr_storage *storage, socklen_t length, int fd)
{
	const struct sockaddr_un *local = (const struct sockaddr_un *)storage;
	struct ucred who;
	socklen_t who_length = sizeof(who);

	add_text(writer, "PROTO=", "UNIX");
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &who_length) == 0) {
		add_number(writer, "UNIXREMOTEPID=", (unsigned)who.pid);
		add_number(writer, "UNIXREMOTEEUID=", who.uid);
		add_number(writer, "UNIXREMOTEEGID=", who.gid);
	}
	if (length > offsetof(struct sockaddr_un, sun_path) && local->sun_path[0] != '\0')
		add(writer, "UNIXLOCALPATH=", local->sun_path,
			strnlen(local->sun_path, length - offsetof(struct sockaddr_un, sun_path)));
}

void
client_environment_make(struct client_environment *environment, const struct peer *peer, int fd)
{
	struct writer writer = {.environment = environment};
	struct sockaddr_storage storage = {.ss_family = AF_UNSPEC};
	socklen_t length = sizeof(storage);
	char text[ADDRESS_TEXT_MAX];

	environment->count = 0;
	if (getsockname(fd, (struct sockaddr *)&storage, &length) < 0)
		length = 0;
	if (storage.ss_family == AF_UNIX)
		add_unix(&writer, &storage, length, fd);
	else
		add_text(&writer, "PROTO=", "TCP");
	/* On a Unix socket too, where a trusted proxy said who it is. */
	if (peer->family == AF_INET || peer->family == AF_INET6) {
		(void)peer_format_host(peer, text);
		add_text(&writer, "TCPREMOTEIP=", text);
		add_number(&writer, "TCPREMOTEPORT=", peer->port);
		add_text(&writer, "REMOTE_ADDR=", text);
		add_number(&writer, "REMOTE_PORT=", peer->port);
		add_text(&writer, "REMOTE_HOST=", text);
	}
	if (storage.ss_family == AF_INET || storage.ss_family == AF_INET6)
		add_local(&writer, &storage, length);
}
