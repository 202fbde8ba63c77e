/* SPDX-License-Identifier: MIT */
/*
 * kv.c - "get KEY", "set KEY VALUE" and "del KEY", a line each, out of a Redis server by hiredis.
 *
 * hiredis has a descriptor, and says when it wants to read or write: cp_wait_fd() waits for that, so the code stands in
 * the order in which things happen. Connections to Redis that are not in use are kept by the worker, for the next one
 * that asks; that needs no lock, because a worker runs one handler at a time.
 */
#include <connpoold/handler.h>

#include <errno.h>
#include <hiredis.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINE_SIZE 4096
#define KEPT_MAX 8

struct settings {
	char *redis;
	uint64_t timeout_ms;
};

static const struct cp_option options[] = {
	CP_OPT_STRING(struct settings, redis, "redis", "tcp:127.0.0.1:6379", "tcp:NUMBER:PORT or unix:PATH."),
	CP_OPT_TIME(struct settings, timeout_ms, "timeout", 1, 600000, "2s", "How long Redis may take."),
	CP_OPT_END,
};

static const char *const counters[] = {"connects", NULL};

/* A worker's. */
struct kept {
	redisContext *redis[KEPT_MAX];
	unsigned count;
};

static int
start_worker(void *state, void **ret_kept)
{
	(void)state;
	*ret_kept = calloc(1, sizeof(struct kept));
	return *ret_kept != NULL ? 0 : -1;
}

static void
end_worker(void *arg)
{
	struct kept *kept = arg;

	while (kept->count > 0)
		redisFree(kept->redis[--kept->count]);
	free(kept);
}

/* ---- one connection to Redis -------------------------------------------------------------- */

/* It has ended, or sent what nobody asked for. */
static bool
is_stale(const redisContext *redis)
{
	char byte;

	return recv(redis->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN;
}

static redisContext *
get_redis(struct cp_conn *conn)
{
	const struct settings *settings = cp_state(conn);
	struct kept *kept = cp_worker_state(conn);
	redisContext *redis;
	int fd;

	while (kept != NULL && kept->count > 0) {
		redis = kept->redis[--kept->count];
		if (!is_stale(redis))
			return redis;
		redisFree(redis);
	}
	fd = cp_connect(conn, settings->redis, (int)settings->timeout_ms);
	if (fd < 0)
		return NULL;
	redis = redisConnectFd(fd);
	if (redis == NULL) {
		close(fd);
		return NULL;
	}
	redis->flags &= ~REDIS_BLOCK;
	cp_count(conn, 0, 1);
	return redis;
}

/* reply: what came of it; without one it is in some unknown state. */
static void
put_redis(struct cp_conn *conn, redisContext *redis, const redisReply *reply)
{
	struct kept *kept = cp_worker_state(conn);

	if (reply != NULL && kept != NULL && kept->count < KEPT_MAX)
		kept->redis[kept->count++] = redis;
	else
		redisFree(redis);
}

/* Sends what was appended and waits for the answer. NULL: there is none, be it that our client is gone. */
static redisReply *
await_reply(struct cp_conn *conn, redisContext *redis)
{
	const struct settings *settings = cp_state(conn);
	void *reply = NULL;
	int is_sent = 0;

	while (reply == NULL) {
		if (!is_sent && redisBufferWrite(redis, &is_sent) != REDIS_OK)
			return NULL;
		if (cp_wait_fd(conn, redis->fd, is_sent ? POLLIN : POLLOUT, (int)settings->timeout_ms) <= 0)
			return NULL;
		if (is_sent && redisBufferRead(redis) != REDIS_OK)
			return NULL;
		if (redisGetReplyFromReader(redis, &reply) != REDIS_OK)
			return NULL;
	}
	return reply;
}

/* ---- commands --------------------------------------------------------------------------------- */

static ssize_t
tell_reply(struct cp_conn *conn, const redisReply *reply)
{
	switch (reply->type) {
	case REDIS_REPLY_INTEGER:
		return cp_printf(conn, "%lld\n", reply->integer);
	case REDIS_REPLY_STRING:
	case REDIS_REPLY_STATUS:
		if (cp_send(conn, reply->str, (size_t)reply->len) < 0)
			return -1;
		return cp_send(conn, "\n", 1);
	case REDIS_REPLY_ERROR:
		return cp_printf(conn, "? %.1000s\n", reply->str);
	default:
		return cp_printf(conn, "? nothing\n");
	}
}

static ssize_t
run_command(struct cp_conn *conn, int argc, const char **argv)
{
	redisContext *redis = get_redis(conn);
	redisReply *reply = NULL;
	ssize_t n;

	if (redis == NULL)
		return cp_printf(conn, "? the store is not there\n");
	if (redisAppendCommandArgv(redis, argc, argv, NULL) == REDIS_OK)
		reply = await_reply(conn, redis);
	put_redis(conn, redis, reply);
	n = reply != NULL ? tell_reply(conn, reply) : cp_printf(conn, "? the store does not answer\n");
	freeReplyObject(reply);
	return n;
}

static int
serve(struct cp_conn *conn)
{
	char line[LINE_SIZE];
	const char *argv[3];
	char *rest = line;
	ssize_t n;

	/* A stop of the daemon need not wait for a client that has asked for nothing. */
	if (cp_draining(conn) && (cp_wait(conn, 0) & CP_READY_INPUT) == 0)
		return CP_DONE;
	n = cp_read_line(conn, line, sizeof(line));
	if (n < 0 && errno == EMSGSIZE)
		return cp_printf(conn, "? too long\n") < 0 ? -1 : CP_DONE;
	if (n <= 0)
		return (int)n;
	line[strcspn(line, "\r\n")] = '\0';
	argv[0] = strsep(&rest, " ");
	argv[1] = rest != NULL && strcmp(argv[0], "set") == 0 ? strsep(&rest, " ") : rest;
	argv[2] = rest;
	if (strcmp(argv[0], "set") == 0 && argv[1] != NULL && argv[2] != NULL)
		n = run_command(conn, 3, argv);
	else if ((strcmp(argv[0], "get") == 0 || strcmp(argv[0], "del") == 0) && argv[1] != NULL)
		n = run_command(conn, 2, argv);
	else
		n = cp_printf(conn, "? get KEY, set KEY VALUE or del KEY\n");
	return n < 0 ? -1 : CP_PARK;
}

const struct cp_handler connpoold_handler = {
	.abi = CP_HANDLER_ABI,
	.name = "kv",
	.flags = CP_CLIENT_FIRST | CP_WAKE_AT_DRAIN,
	.serve = serve,
	.options = options,
	.settings_size = sizeof(struct settings),
	.worker_start = start_worker,
	.worker_end = end_worker,
	.counters = counters,
};
