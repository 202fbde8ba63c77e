/* SPDX-License-Identifier: MIT */
/*
 * daemonrig - see daemonrig.h.
 *
 * Does in the test's own process what daemon.c does around the parts that are tested.
 */
#include "config.h"

#include "daemonrig.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../pool/threads.h"
#include "base/errmsg.h"
#include "base/fdutil.h"
#include "base/log.h"
#include "conf/load.h"
#include "daemon/generation.h"
#include "net/route.h"
#include "net/socket.h"
#include "service/registry.h"
#include "upstream/upstreams.h"

#define TIMEOUT_S 60

struct daemon daemonrig;

static char folder[64];
static int old_stderr;
static int output;
static off_t output_seen;
static int manager;
static int threads_before;
static int descriptors_before;

/* ---- texts and files ---------------------------------------------------------- */

const char *
daemonrig_expand(const char *text)
{
	static char buffers[4][8192];
	static unsigned next;
	char *buffer = buffers[next++ % CP_COUNT(buffers)];
	size_t used = 0;

	for (; *text != '\0'; text++) {
		size_t room = sizeof(buffers[0]) - used;

		if (*text == '$')
			used += (size_t)snprintf(buffer + used, room, "%s", folder);
		else
			used += (size_t)snprintf(buffer + used, room, "%c", *text);
		ck_assert_uint_lt(used, sizeof(buffers[0]));
	}
	return buffer;
}

void
daemonrig_write(const char *path, const char *text)
{
	FILE *file = fopen(daemonrig_expand(path), "we");

	ck_assert_ptr_nonnull(file);
	ck_assert_int_ge(fputs(daemonrig_expand(text), file), 0);
	ck_assert_int_eq(fclose(file), 0);
}

struct conf *
daemonrig_load(const char *text)
{
	struct conf_errors errors = {0};
	struct conf *conf;

	daemonrig_write(DAEMONRIG_CONF, text);
	conf = conf_load(daemonrig_expand(DAEMONRIG_CONF), registry_types(), &errors);
	ck_assert_msg(conf != NULL, "%s", errors.count > 0 ? errors.items[0].text : "no error");
	conf_errors_fini(&errors);
	return conf;
}

void
daemonrig_apply(const char *text)
{
	struct conf *conf = daemonrig_load(text);
	struct generation *generation = generation_new(&daemonrig, &conf);
	struct errmsg err = {""};

	ck_assert_ptr_nonnull(generation);
	ck_assert_msg(generation_prepare_sockets(generation, &err) == 0, "%s", err.text);
	ck_assert_msg(generation_prepare_pools(generation, &err) == 0, "%s", err.text);
	generation_commit(&generation);
	ck_assert_ptr_null(generation);
}

/* ---- the daemon's side ---------------------------------------------------------- */

static unsigned
room(struct route *route)
{
	return pool_room(route->pool);
}

static bool
await_room(struct route *route)
{
	return pool_await_room(route->pool);
}

static void
submit(struct accepted *accepted)
{
	pool_submit(accepted->route->pool, accepted);
}

static void
flush(struct route *route, unsigned taken)
{
	(void)taken;
	(void)pool_wake(route->pool);
}

static const struct acceptor_sink sink = {
	.room = room, .await_room = await_room, .submit = submit, .flush = flush};

/* Any thread. */
static void
on_room(void *arg)
{
	(void)arg;
	acceptor_signal_room(&daemonrig.acceptor);
}

/* Any thread. */
static void
on_sleep(void *arg)
{
	(void)arg;
}

/* Any thread. */
static void
on_end(void *arg)
{
	(void)arg;
	atomic_store(&daemonrig.worker_ended, true);
}

void
daemonrig_turn(void)
{
	ck_assert_int_eq(loop_turn(&daemonrig.loop, 1), 0);
	acceptor_resume(&daemonrig.acceptor);
}

struct pool *
daemonrig_pool(const char *name)
{
	struct list *link;
	struct list *following;

	LIST_FOREACH (&daemonrig.pools, link, following) {
		struct pool *pool = CP_CONTAINER_OF(link, struct pool, link);

		if (strcmp(pool->name, name) == 0)
			return pool;
	}
	return NULL;
}

struct listener *
daemonrig_listener(const char *name)
{
	struct list *link;
	struct list *following;

	LIST_FOREACH (&daemonrig.listeners, link, following) {
		struct listener *listener = CP_CONTAINER_OF(link, struct listener, link);

		if (strcmp(listener->name, name) == 0)
			return listener;
	}
	return NULL;
}

void
daemonrig_reap_until(struct pool *pool, unsigned left)
{
	do {
		(void)pool_reap(pool);
		ck_assert_uint_ge(pool->slots, left);
		sched_yield();
	} while (pool->slots > left);
}

void
daemonrig_reap_closing(void)
{
	struct list *link;

	while ((link = list_pop_front(&daemonrig.closing_pools)) != NULL) {
		struct pool *pool = CP_CONTAINER_OF(link, struct pool, link);

		daemonrig_reap_until(pool, 0);
		pool_free(&pool);
	}
}

static void
stop_listener(struct listener *listener)
{
	struct list *link;

	while ((link = list_pop_front(&listener->sockets)) != NULL) {
		struct listen_socket *sock = CP_CONTAINER_OF(link, struct listen_socket, link);

		acceptor_remove(&daemonrig.acceptor, sock);
		listen_socket_free(&sock);
	}
	route_unref(&listener->route);
	listener_unref(&listener);
}

void
daemonrig_stop(void)
{
	struct list *link;

	struct list *following;

	while ((link = list_pop_front(&daemonrig.listeners)) != NULL)
		stop_listener(CP_CONTAINER_OF(link, struct listener, link));
	list_splice_back(&daemonrig.closing_pools, &daemonrig.pools);
	LIST_FOREACH (&daemonrig.closing_pools, link, following) {
		pool_close(CP_CONTAINER_OF(link, struct pool, link), true);
		pool_cancel(CP_CONTAINER_OF(link, struct pool, link));
	}
	daemonrig_reap_closing();
	conf_unref(&daemonrig.conf);
}

/* ---- clients ---------------------------------------------------------------------- */

int
daemonrig_connect(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", daemonrig_expand(path));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		fd_close(&fd);
	return fd;
}

void
daemonrig_echo_on(int fd)
{
	char word[8] = "";
	ssize_t n;

	ck_assert_int_eq(send(fd, "ping", 4, MSG_NOSIGNAL), 4);
	while ((n = recv(fd, word, sizeof(word), MSG_DONTWAIT)) < 0 && errno == EAGAIN)
		daemonrig_turn();
	ck_assert_int_eq(n, 4);
	ck_assert_mem_eq(word, "ping", 4);
}

void
daemonrig_echo(const char *path)
{
	uint64_t held = atomic_load(&daemonrig.totals.held);
	int fd = daemonrig_connect(path);

	ck_assert_int_ge(fd, 0);
	daemonrig_echo_on(fd);
	fd_close(&fd);
	while (atomic_load(&daemonrig.totals.held) != held)
		sched_yield();
}

/* ---- what it says ------------------------------------------------------------------ */

bool
daemonrig_logged(const char *text)
{
	static char log[65536];
	ssize_t n = pread(output, log, sizeof(log) - 1, output_seen);

	ck_assert_int_ge(n, 0);
	log[n] = '\0';
	return strstr(log, daemonrig_expand(text)) != NULL;
}

void
daemonrig_forget_log(void)
{
	output_seen = lseek(output, 0, SEEK_END);
}

bool
daemonrig_receive(char *text, size_t size)
{
	ssize_t n = recv(manager, text, size - 1, 0);

	text[n < 0 ? 0 : n] = '\0';
	return n > 0;
}

/* ---- life ------------------------------------------------------------------------------ */

static void
open_manager(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t size = sizeof(address);
	char name[128];

	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	unsetenv("JOURNAL_STREAM");
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(manager, 0);
	/* Bound to no name, the kernel finds an abstract one that nobody has. */
	ck_assert_int_eq(bind(manager, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
	ck_assert_int_eq(getsockname(manager, (struct sockaddr *)&address, &size), 0);
	snprintf(name, sizeof(name), "@%.*s", (int)(size - sizeof(sa_family_t) - 1), address.sun_path + 1);
	setenv("NOTIFY_SOCKET", name, 1);
}

static void
capture_stderr(void)
{
	old_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
	output = memfd_create("stderr", MFD_CLOEXEC);
	output_seen = 0;
	ck_assert(old_stderr >= 0 && output >= 0);
	fflush(stderr);
	ck_assert_int_ge(dup2(output, STDERR_FILENO), 0);
	log_configure(LOG_TARGET_STDERR, LOG_LEVEL_INFO);
}

void
daemonrig_setup(void)
{
	signal(SIGPIPE, SIG_IGN);
	snprintf(folder, sizeof(folder), "/tmp/daemonrig.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	open_manager();
	capture_stderr();
	/* The first message loads the library, which keeps a descriptor or two. */
	systemd_notify_ready("begin");
	(void)daemonrig_receive((char[64]){""}, 64);
	threads_before = threads_begin();
	descriptors_before = fd_count_open();
	memset(&daemonrig, 0, sizeof(daemonrig));
	daemonrig.signal_fd = -1;
	daemonrig.pool_owner =
		(struct pool_owner){.has_room = on_room, .worker_sleeps = on_sleep, .worker_ended = on_end};
	list_init(&daemonrig.listeners);
	list_init(&daemonrig.pools);
	list_init(&daemonrig.closing_pools);
	ck_assert_int_eq(loop_init(&daemonrig.loop, NULL, NULL), 0);
	ck_assert_int_eq(acceptor_init(&daemonrig.acceptor, &daemonrig.loop, &sink, &daemonrig.totals), 0);
	daemonrig.upstreams = upstreams_new(&daemonrig.loop);
	ck_assert_ptr_nonnull(daemonrig.upstreams);
}

static int
remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

void
daemonrig_teardown(void)
{
	daemonrig_stop();
	upstreams_free(&daemonrig.upstreams);
	systemd_sockets_fini(&daemonrig.passed);
	acceptor_fini(&daemonrig.acceptor);
	loop_fini(&daemonrig.loop);
	ck_assert_uint_eq(atomic_load(&daemonrig.totals.held), 0);
	threads_await(threads_before);
	ck_assert_int_eq(fd_count_open(), descriptors_before);
	fflush(stderr);
	ck_assert_int_ge(dup2(old_stderr, STDERR_FILENO), 0);
	fd_close(&old_stderr);
	fd_close(&output);
	fd_close(&manager);
	ck_assert_int_eq(nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

TCase *
daemonrig_case(Suite *suite, const char *name)
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, daemonrig_setup, daemonrig_teardown);
	tcase_set_timeout(tcase, TIMEOUT_S);
	suite_add_tcase(suite, tcase);
	return tcase;
}

int
daemonrig_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
