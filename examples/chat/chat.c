/* SPDX-License-Identifier: MIT */
/*
 * chat.c - rooms in which what one says is heard by the others.
 *
 * A client's own fiber alone writes to it. Who speaks puts the line into the queues of the others and wakes them, on
 * whatever worker they are: nobody waits for a slow reader, whose queue is bounded and loses what is too much.
 *
 * The list of clients is static, not of the state: those of all listeners, from before and after a reload, meet in it.
 */
#define _GNU_SOURCE /* asprintf */
#include <connpoold/handler.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_SIZE 32
#define LINE_SIZE 512

struct settings {
	uint64_t room_size;
	uint64_t queue_size;
};

static const struct cp_option options[] = {
	CP_OPT_NUMBER(struct settings, room_size, "room_size", 1, 100000, "100", "Clients in a room, at most."),
	CP_OPT_NUMBER(struct settings, queue_size, "queue_size", 1, 10000, "50", "Lines that wait for a client."),
	CP_OPT_END,
};

static const char *const counters[] = {"missed", NULL};

struct client {
	struct cp_conn *conn; /* for its own fiber */
	struct cp_handle handle;
	char name[NAME_SIZE];
	char room[NAME_SIZE]; /* empty: in none */
	struct client *next;
	uint64_t lost;
	size_t first, count, size;
	char *queue[]; /* a ring of size */
};

/* Guards the list, and rooms and queues of those in it. Never held across a call that may wait. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct client *clients;

/* The connection is over, whichever way serve() was left: from here on nobody wakes it. */
static void
end_client(void *arg)
{
	struct client *client = arg;
	struct client **link = &clients;

	pthread_mutex_lock(&lock);
	while (*link != client)
		link = &(*link)->next;
	*link = client->next;
	pthread_mutex_unlock(&lock);
	for (; client->count > 0; client->count--)
		free(client->queue[client->first++ % client->size]);
	free(client);
}

static struct client *
begin_client(struct cp_conn *conn)
{
	uint64_t size = ((const struct settings *)cp_state(conn))->queue_size;
	struct client *client = calloc(1, sizeof(*client) + size * sizeof(client->queue[0]));

	if (client == NULL)
		return NULL;
	client->conn = conn;
	client->handle = cp_handle_of(conn);
	client->size = size;
	pthread_mutex_lock(&lock);
	client->next = clients;
	clients = client;
	pthread_mutex_unlock(&lock);
	cp_at_end(conn, end_client, client);
	return client;
}

static void
tell_others(const struct client *from, const char *text)
{
	pthread_mutex_lock(&lock);
	for (struct client *to = clients; to != NULL; to = to->next) {
		if (to == from || strcmp(to->room, from->room) != 0)
			continue;
		if (to->count == to->size ||
			asprintf(&to->queue[(to->first + to->count) % to->size], "%s: %s\n", from->name, text) < 0)
			to->lost++;
		else
			to->count++;
		cp_wake(to->handle);
	}
	pthread_mutex_unlock(&lock);
}

/* What has been said to it, until nothing is left. While this waits for its client the queue fills; others go on. */
static ssize_t
send_queue(struct client *client)
{
	ssize_t n = 1;

	while (n > 0) {
		char *line = NULL;
		uint64_t lost = 0;

		pthread_mutex_lock(&lock);
		if (client->count > 0) {
			line = client->queue[client->first++ % client->size];
			client->count--;
		} else {
			lost = client->lost;
			client->lost = 0;
		}
		pthread_mutex_unlock(&lock);
		n = 0;
		if (line != NULL)
			n = cp_send(client->conn, line, strlen(line));
		else if (lost > 0)
			n = cp_printf(client->conn, "* you are slow and missed %llu\n", (unsigned long long)lost);
		cp_count(client->conn, 0, lost);
		free(line);
	}
	return n;
}

static ssize_t
join(struct client *client, const char *room)
{
	uint64_t room_size = ((const struct settings *)cp_state(client->conn))->room_size;
	uint64_t there = 0;

	pthread_mutex_lock(&lock);
	for (const struct client *other = clients; other != NULL; other = other->next)
		there += other != client && strcmp(other->room, room) == 0 ? 1 : 0;
	if (there < room_size)
		snprintf(client->room, sizeof(client->room), "%s", room);
	pthread_mutex_unlock(&lock);
	if (there >= room_size)
		return cp_printf(client->conn, "* %s is full\n", room);
	return cp_printf(client->conn, "* you are in %s with %llu others\n", room, (unsigned long long)there);
}

/* Without its end, and with nothing in it that a terminal would obey. 1; 0: over; -1: errno. */
static int
read_text(struct cp_conn *conn, char *text, size_t size)
{
	ssize_t n = cp_read_line(conn, text, size);

	if (n < 0 && errno == EMSGSIZE)
		return cp_printf(conn, "* that is too long\n") < 0 ? -1 : 0;
	if (n <= 0)
		return (int)n;
	text[strcspn(text, "\r\n")] = '\0';
	for (char *c = text; *c != '\0'; c++)
		*c = (unsigned char)*c < ' ' || *c == 127 ? '?' : *c;
	return 1;
}

/* 1: go on; 0: over; -1: errno. */
static int
serve_name(struct client *client)
{
	int rc = read_text(client->conn, client->name, sizeof(client->name));

	if (rc <= 0)
		return rc;
	if (client->name[0] == '\0')
		return cp_printf(client->conn, "* who are you?\n") < 0 ? -1 : 1;
	return join(client, "lobby") < 0 ? -1 : 1;
}

/* As serve_name(). */
static int
serve_line(struct client *client)
{
	char text[LINE_SIZE];
	int rc = read_text(client->conn, text, sizeof(text));

	if (rc <= 0)
		return rc;
	if (strncmp(text, "/join ", 6) == 0 && text[6] != '\0' && strlen(text + 6) < NAME_SIZE)
		return join(client, text + 6) < 0 ? -1 : 1;
	if (text[0] == '/' || client->room[0] == '\0')
		return cp_printf(client->conn, "* say /join ROOM\n") < 0 ? -1 : 1;
	tell_others(client, text);
	return 1;
}

static int
serve(struct cp_conn *conn)
{
	struct client *client = begin_client(conn);
	int rc = 1;

	if (client == NULL || cp_printf(conn, "* who are you?\n") < 0)
		return -1;
	while (rc > 0) {
		/* Also woken when the daemon begins to stop (CP_WAKE_AT_DRAIN). */
		int ready = cp_wait(conn, -1);

		if (ready < 0 || send_queue(client) < 0)
			return -1;
		if (cp_draining(conn))
			return cp_printf(conn, "* the server is stopping\n") < 0 ? -1 : CP_DONE;
		if ((ready & CP_READY_INPUT) != 0)
			rc = client->name[0] == '\0' ? serve_name(client) : serve_line(client);
	}
	return rc;
}

const struct cp_handler connpoold_handler = {
	.abi = CP_HANDLER_ABI,
	.name = "chat",
	.flags = CP_WAKE_AT_DRAIN,
	.serve = serve,
	.options = options,
	.settings_size = sizeof(struct settings),
	.counters = counters,
};
