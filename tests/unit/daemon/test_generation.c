/* SPDX-License-Identifier: MIT */
/*
 * generation: what a new config opens, keeps, moves and closes, and that one that can't be had changes nothing.
 *
 * The linker lends us pthread_create(3), so that it can fail.
 */
#include "config.h"

#include "daemon/generation.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../pool/threads.h"
#include "base/errmsg.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "daemonrig.h"
#include "net/listener.h"
#include "net/route.h"
#include "net/socket.h"
#include "pool/worker.h"

#define NOBODY 65534

typedef void *thread_fn(void *arg);

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, thread_fn *fn, void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, thread_fn *fn, void *arg);

static unsigned fail_thread_after; /* 1: the next; 0: none */

int
__wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, thread_fn *fn, void *arg)
{
	if (fail_thread_after > 0 && --fail_thread_after == 0)
		return EAGAIN;
	return __real_pthread_create(thread, attr, fn, arg);
}

#define BEFORE \
	"pools: { main: { workers = 2; queue_size = 16; }; old: { workers = 1; }; };\n" \
	"listeners: ( " DAEMONRIG_A ",\n" \
	"  { name = \"b\"; address = \"unix:$/b.sock\"; service = \"echo\"; pool = \"old\"; } );\n"

/* A pool grows, one goes and one comes; a listener keeps a socket and gets another, one goes, one comes. */
#define AFTER \
	"daemon: { max_connections = 77; };\n" \
	"pools: { main: { workers = 4; queue_size = 64; }; new: { workers = 2; }; };\n" \
	"listeners: (\n" \
	"  { name = \"a\"; address = [ \"unix:$/a.sock\", \"unix:$/a2.sock\" ]; service = \"echo\"; },\n" \
	"  { name = \"c\"; address = \"unix:$/c.sock\"; service = \"daytime\"; pool = \"new\";\n" \
	"    allow = [ \"10.0.0.0/8\" ]; } );\n"

static struct listen_socket *
first_socket(const char *listener)
{
	return CP_CONTAINER_OF(daemonrig_listener(listener)->sockets.next, struct listen_socket, link);
}

static unsigned
count_list(const struct list *head)
{
	unsigned count = 0;

	for (const struct list *link = head->next; link != head; link = link->next)
		count++;
	return count;
}

static bool
exists(const char *path)
{
	return access(daemonrig_expand(path), F_OK) == 0;
}

/* ---- what a commit does ---------------------------------------------------------- */

START_TEST(first_generation_listens_and_serves)
{
	daemonrig_apply(BEFORE);
	daemonrig_echo("$/a.sock");
	daemonrig_echo("$/b.sock");
	ck_assert(daemonrig_logged("listener 'a': listening on unix:$/a.sock\n"));
	ck_assert_uint_eq(count_list(&daemonrig.listeners), 2);
	ck_assert_uint_eq(count_list(&daemonrig.pools), 2);
	ck_assert_uint_eq(atomic_load(&daemonrig_listener("a")->counters.accepted), 1);
}
END_TEST

START_TEST(next_generation_takes_over)
{
	struct listener *a;
	struct pool *old;
	int fd;

	daemonrig_apply(BEFORE);
	a = daemonrig_listener("a");
	fd = first_socket("a")->fd;
	old = daemonrig_pool("old");
	daemonrig_forget_log();
	daemonrig_apply(AFTER);
	/* Listener, socket and counts are kept; only what is new is announced. */
	ck_assert_ptr_eq(daemonrig_listener("a"), a);
	ck_assert_int_eq(first_socket("a")->fd, fd);
	ck_assert_uint_eq(count_list(&a->sockets), 2);
	ck_assert(!daemonrig_logged("unix:$/a.sock"));
	ck_assert(daemonrig_logged("unix:$/a2.sock"));
	ck_assert_ptr_null(daemonrig_listener("b"));
	ck_assert(!exists("$/b.sock"));
	ck_assert_ptr_null(daemonrig_pool("old"));
	ck_assert_ptr_eq(CP_CONTAINER_OF(daemonrig.closing_pools.next, struct pool, link), old);
	ck_assert_uint_eq(atomic_load(&daemonrig_pool("main")->worker_count), 4);
	ck_assert_uint_eq(daemonrig.acceptor.max_connections, 77);
	daemonrig_echo("$/a.sock");
	daemonrig_echo("$/a2.sock");
}
END_TEST

START_TEST(numbers_of_listeners_are_never_used_again)
{
	daemonrig_apply(BEFORE);
	ck_assert_uint_eq(daemonrig_listener("a")->number, 1);
	ck_assert_uint_eq(daemonrig_listener("b")->number, 2);
	daemonrig_apply(AFTER);
	ck_assert_uint_eq(daemonrig_listener("a")->number, 1);
	ck_assert_uint_eq(daemonrig_listener("c")->number, 3);
}
END_TEST

START_TEST(the_same_config_again_changes_nothing)
{
	int descriptors;

	daemonrig_apply(BEFORE);
	descriptors = fd_count_open();
	for (unsigned i = 0; i < 20; i++)
		daemonrig_apply(BEFORE);
	ck_assert_int_eq(fd_count_open(), descriptors);
	ck_assert_uint_eq(daemonrig_pool("main")->slots, 2);
	/* The list's and the route's. */
	ck_assert_uint_eq(atomic_load(&daemonrig_listener("a")->refs), 2);
	daemonrig_echo("$/a.sock");
}
END_TEST

START_TEST(socket_goes_to_the_listener_that_has_its_address_now)
{
	int fd;
	int client;

	daemonrig_apply(DAEMONRIG_ONE);
	fd = first_socket("a")->fd;
	/* It waits in the backlog meanwhile. */
	client = daemonrig_connect("$/a.sock");
	daemonrig_apply("listeners: ( { name = \"z\"; address = \"unix:$/a.sock\"; service = \"echo\"; } );\n");
	ck_assert_ptr_null(daemonrig_listener("a"));
	ck_assert_int_eq(first_socket("z")->fd, fd);
	daemonrig_echo_on(client);
	ck_assert_uint_eq(atomic_load(&daemonrig_listener("z")->counters.accepted), 1);
	fd_close(&client);
}
END_TEST

START_TEST(connections_of_a_removed_listener_live_on)
{
	int client;

	daemonrig_apply(BEFORE);
	client = daemonrig_connect("$/b.sock");
	daemonrig_echo_on(client);
	daemonrig_apply(AFTER);
	ck_assert_int_lt(daemonrig_connect("$/b.sock"), 0);
	daemonrig_echo_on(client);
	ck_assert_uint_eq(atomic_load(&daemonrig.totals.held), 1);
	fd_close(&client);
}
END_TEST

START_TEST(connections_keep_the_config_that_they_came_under)
{
	struct conf *conf;
	int client;

	daemonrig_apply(BEFORE);
	conf = conf_ref(daemonrig.conf);
	client = daemonrig_connect("$/a.sock");
	daemonrig_echo_on(client);
	daemonrig_apply(AFTER);
	/* This test's, and the route's of that connection. */
	ck_assert_uint_eq(atomic_load(&conf->refs), 2);
	fd_close(&client);
	while (atomic_load(&conf->refs) > 1)
		sched_yield();
	conf_unref(&conf);
}
END_TEST

START_TEST(file_that_was_removed_is_made_again)
{
	int client;

	daemonrig_apply(DAEMONRIG_ONE);
	client = daemonrig_connect("$/a.sock");
	ck_assert_int_eq(unlink(daemonrig_expand("$/a.sock")), 0);
	daemonrig_apply(DAEMONRIG_ONE);
	/* It waited in the backlog of the one without a file. */
	daemonrig_echo_on(client);
	daemonrig_echo("$/a.sock");
	fd_close(&client);
	ck_assert_uint_eq(count_list(&daemonrig.acceptor.sockets), 2);
	daemonrig_apply(DAEMONRIG_ONE);
	ck_assert_uint_eq(count_list(&daemonrig.acceptor.sockets), 1);
	daemonrig_echo("$/a.sock");
}
END_TEST

/* ---- what a failure does ------------------------------------------------------------- */

/* Everything that may not change; taken before, compared after. */
struct snapshot {
	int descriptors;
	int threads;
	struct conf *conf;
	unsigned conf_refs;
	struct route *routes[2];
	int sockets[2];
	unsigned queue_limit;
	uint64_t max_connections;
};

static void
take_snapshot(struct snapshot *ret)
{
	/* With what is between the members: they are compared as bytes. */
	memset(ret, 0, sizeof(*ret));
	ret->descriptors = fd_count_open();
	ret->threads = threads_count();
	ret->conf = daemonrig.conf;
	ret->conf_refs = atomic_load(&daemonrig.conf->refs);
	ret->routes[0] = daemonrig_listener("a")->route;
	ret->routes[1] = daemonrig_listener("b")->route;
	ret->sockets[0] = first_socket("a")->fd;
	ret->sockets[1] = first_socket("b")->fd;
	ret->queue_limit = queue_limit(&daemonrig_pool("main")->queue);
	ret->max_connections = daemonrig.acceptor.max_connections;
}

static void
expect_unchanged(const struct snapshot *before)
{
	struct snapshot now;

	daemonrig_reap_until(daemonrig_pool("main"), 2);
	daemonrig_reap_until(daemonrig_pool("old"), 1);
	threads_await(before->threads);
	ck_assert_uint_eq(count_list(&daemonrig.listeners), 2);
	ck_assert_uint_eq(count_list(&daemonrig.pools), 2);
	ck_assert_uint_eq(count_list(&daemonrig.acceptor.sockets), 2);
	ck_assert(list_is_empty(&daemonrig.closing_pools));
	take_snapshot(&now);
	ck_assert_mem_eq(&now, before, sizeof(now));
	ck_assert(!exists("$/a2.sock") && !exists("$/c.sock"));
	ck_assert_uint_eq(daemonrig_pool("main")->workers[0]->number, 0);
	ck_assert_uint_eq(daemonrig_pool("main")->workers[1]->number, 1);
}

/* 0, or -errno with err; what was prepared is committed or abandoned. */
static int
try_generation(struct conf **conf, struct errmsg *err)
{
	struct generation *generation = generation_new(&daemonrig, conf);
	int rc;

	if (generation == NULL) {
		/* The caller's reference is still the caller's. */
		ck_assert_ptr_nonnull(*conf);
		return -ENOMEM;
	}
	ck_assert_ptr_null(*conf);
	rc = generation_prepare_sockets(generation, err);
	if (rc == 0)
		rc = generation_prepare_pools(generation, err);
	if (rc == 0)
		generation_commit(&generation);
	else
		generation_abandon(&generation);
	ck_assert_ptr_null(generation);
	return rc;
}

START_TEST(option_that_a_live_socket_refuses_is_a_warning)
{
	struct conf *conf;
	struct errmsg err;
	int rc;

	if (geteuid() != 0)
		return;
	daemonrig_apply(DAEMONRIG_ONE);
	conf = daemonrig_load("listeners: ( { name = \"a\"; address = \"unix:$/a.sock\"; service = \"echo\"; "
			      "socket_mode = \"0640\"; } );\n");
	ck_assert_int_eq(seteuid(NOBODY), 0);
	rc = try_generation(&conf, &err);
	ck_assert_int_eq(seteuid(0), 0);
	ck_assert_int_eq(rc, 0);
	ck_assert(daemonrig_logged("warning: listener 'a': cannot set socket_mode on unix:$/a.sock"));
}
END_TEST

START_TEST(file_that_was_replaced_changes_nothing)
{
	struct snapshot before;
	struct errmsg err;
	struct conf *conf;

	daemonrig_apply(BEFORE);
	take_snapshot(&before);
	ck_assert_int_eq(unlink(daemonrig_expand("$/a.sock")), 0);
	ck_assert_int_eq(symlink("/dev/null", daemonrig_expand("$/a.sock")), 0);
	conf = daemonrig_load(AFTER);
	ck_assert_int_eq(try_generation(&conf, &err), -EEXIST);
	ck_assert_msg(strstr(err.text, "a.sock was replaced by a symbolic link") != NULL, "%s", err.text);
	expect_unchanged(&before);
	ck_assert_int_eq(unlink(daemonrig_expand("$/a.sock")), 0);
}
END_TEST

/* From BEFORE to AFTER with the n-th allocation failing. True: it was never reached. */
static bool
try_without_memory(unsigned n, const struct snapshot *before)
{
	struct conf *conf = daemonrig_load(AFTER);
	struct errmsg err = {""};
	bool is_reached;
	int rc;

	mem_fail_after(n);
	rc = try_generation(&conf, &err);
	is_reached = __atomic_load_n(&mem_fail_countdown, __ATOMIC_RELAXED) == 0;
	mem_fail_after(0);
	conf_unref(&conf);
	if (rc < 0) {
		ck_assert(is_reached);
		expect_unchanged(before);
		daemonrig_echo("$/a.sock");
		daemonrig_echo("$/b.sock");
		return false;
	}
	ck_assert_uint_eq(atomic_load(&daemonrig_pool("main")->worker_count), 4);
	daemonrig_echo("$/a2.sock");
	return !is_reached;
}

START_TEST(no_memory_changes_nothing)
{
	struct snapshot before;
	unsigned n = 0;

	do {
		/* It may have succeeded: a worker that is starting can do without its own. */
		daemonrig_apply(BEFORE);
		daemonrig_reap_closing();
		daemonrig_reap_until(daemonrig_pool("main"), 2);
		take_snapshot(&before);
	} while (!try_without_memory(++n, &before));
	ck_assert_uint_gt(n, 30);
}
END_TEST

START_TEST(no_thread_changes_nothing)
{
	struct snapshot before;
	int rc = -EAGAIN;

	daemonrig_apply(BEFORE);
	take_snapshot(&before);
	for (unsigned n = 1; n <= 4; n++) {
		struct conf *conf = daemonrig_load(AFTER);
		struct errmsg err = {""};

		fail_thread_after = n;
		rc = try_generation(&conf, &err);
		ck_assert_int_eq(rc, -EAGAIN);
		ck_assert_str_eq(err.text,
			n <= 2 ? "pool 'main': cannot start its 4 workers: Resource temporarily unavailable"
			       : "pool 'new': cannot start its 2 workers: Resource temporarily unavailable");
		expect_unchanged(&before);
	}
	daemonrig_echo("$/a.sock");
}
END_TEST

START_TEST(address_in_use_changes_nothing)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct snapshot before;
	struct errmsg err = {""};
	struct conf *conf;
	int other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* The last of the new ones is somebody else's. */
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", daemonrig_expand("$/used.sock"));
	ck_assert_int_eq(bind(other, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(other, 1), 0);
	daemonrig_apply(BEFORE);
	take_snapshot(&before);
	conf = daemonrig_load("listeners: ( { name = \"a\"; address = [ \"unix:$/a.sock\", \"unix:$/c.sock\", "
			      "\"unix:$/used.sock\" ]; service = \"echo\"; } );\n");
	ck_assert_int_lt(try_generation(&conf, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.text, daemonrig_expand("unix:$/used.sock")));
	ck_assert_ptr_nonnull(strstr(err.text, "Address already in use"));
	expect_unchanged(&before);
	daemonrig_echo("$/a.sock");
	fd_close(&other);
}
END_TEST

START_TEST(abandoned_before_it_began_changes_nothing)
{
	struct snapshot before;
	struct generation *generation;
	struct conf *conf;

	daemonrig_apply(BEFORE);
	take_snapshot(&before);
	conf = daemonrig_load(AFTER);
	generation = generation_new(&daemonrig, &conf);
	generation_abandon(&generation);
	expect_unchanged(&before);
	generation_abandon(&generation);
}
END_TEST

START_TEST(connections_served_by_workers_that_go_again_end_well)
{
	struct generation *generation;
	struct errmsg err = {""};
	struct conf *conf;
	int clients[8];

	daemonrig_apply(BEFORE);
	conf = daemonrig_load(AFTER);
	generation = generation_new(&daemonrig, &conf);
	ck_assert_int_eq(generation_prepare_sockets(generation, &err), 0);
	ck_assert_int_eq(generation_prepare_pools(generation, &err), 0);
	/* The workers that are there already serve the pool that is in force. */
	for (unsigned i = 0; i < CP_COUNT(clients); i++) {
		clients[i] = daemonrig_connect("$/a.sock");
		daemonrig_echo_on(clients[i]);
	}
	generation_abandon(&generation);
	for (unsigned i = 0; i < CP_COUNT(clients); i++) {
		daemonrig_echo_on(clients[i]);
		fd_close(&clients[i]);
	}
	daemonrig_reap_until(daemonrig_pool("main"), 2);
}
END_TEST

/* ---- sockets of the service manager ------------------------------------------------------ */

#define INHERITED "{ name = \"i\"; address = \"systemd:web\"; service = \"echo\"; }"

/* As systemd_sockets_init() would have it. */
static int
pass_socket(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", daemonrig_expand("$/web.sock"));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(fd, 5), 0);
	daemonrig.passed.items = mem_zalloc_array(1, sizeof(daemonrig.passed.items[0]));
	ck_assert_ptr_nonnull(daemonrig.passed.items);
	daemonrig.passed.count = 1;
	daemonrig.passed.items[0].fd = fd;
	daemonrig.passed.items[0].name = mem_strdup("web");
	return fd;
}

START_TEST(passed_socket_is_served_put_back_and_served_again)
{
	int fd = pass_socket();

	for (unsigned i = 0; i < 3; i++) {
		daemonrig_apply("listeners: ( " INHERITED " );\n");
		ck_assert_int_eq(daemonrig.passed.items[0].fd, -1);
		ck_assert_int_eq(first_socket("i")->fd, fd);
		daemonrig_echo("$/web.sock");
		daemonrig_apply(DAEMONRIG_ONE);
		ck_assert_int_eq(daemonrig.passed.items[0].fd, fd);
		/* The file is the manager's. */
		ck_assert(exists("$/web.sock"));
	}
}
END_TEST

START_TEST(abandoned_generation_puts_a_passed_socket_back)
{
	struct errmsg err = {""};
	struct conf *conf;
	int fd = pass_socket();

	daemonrig_apply(DAEMONRIG_ONE);
	conf = daemonrig_load("pools: { main: { workers = 64; }; };\n"
			      "listeners: ( " DAEMONRIG_A ", " INHERITED " );\n");
	fail_thread_after = 1;
	ck_assert_int_eq(try_generation(&conf, &err), -EAGAIN);
	ck_assert_int_eq(daemonrig.passed.items[0].fd, fd);
	ck_assert(exists("$/web.sock"));
	daemonrig_apply("listeners: ( " INHERITED " );\n");
	daemonrig_echo("$/web.sock");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("daemon/generation");
	TCase *tcase = daemonrig_case(suite, "commit");

	tcase_add_test(tcase, first_generation_listens_and_serves);
	tcase_add_test(tcase, next_generation_takes_over);
	tcase_add_test(tcase, numbers_of_listeners_are_never_used_again);
	tcase_add_test(tcase, the_same_config_again_changes_nothing);
	tcase_add_test(tcase, socket_goes_to_the_listener_that_has_its_address_now);
	tcase_add_test(tcase, connections_of_a_removed_listener_live_on);
	tcase_add_test(tcase, connections_keep_the_config_that_they_came_under);
	tcase_add_test(tcase, option_that_a_live_socket_refuses_is_a_warning);
	tcase_add_test(tcase, file_that_was_removed_is_made_again);
	tcase_add_test(tcase, file_that_was_replaced_changes_nothing);
	tcase = daemonrig_case(suite, "failure");
	tcase_add_test(tcase, no_memory_changes_nothing);
	tcase_add_test(tcase, no_thread_changes_nothing);
	tcase_add_test(tcase, address_in_use_changes_nothing);
	tcase_add_test(tcase, abandoned_before_it_began_changes_nothing);
	tcase_add_test(tcase, connections_served_by_workers_that_go_again_end_well);
	tcase = daemonrig_case(suite, "passed sockets");
	tcase_add_test(tcase, passed_socket_is_served_put_back_and_served_again);
	tcase_add_test(tcase, abandoned_generation_puts_a_passed_socket_back);
	return daemonrig_run(suite);
}
