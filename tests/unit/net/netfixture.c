/* SPDX-License-Identifier: MIT */
/*
 * netfixture.c - see netfixture.h. On the test's one thread.
 */
#include "config.h"

#include "netfixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdutil.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "conf/load.h"
#include "engine/loop.h"
#include "net/admission.h"
#include "net/route.h"

/* So many turns of so long are a bound for what never comes, not a time to wait. */
#define TURNS_MAX 2000
#define TURN_MS 10

struct netfixture fixture;

static const struct conf_service_type types[] = {
	{.name = "echo", .group = {.path = "service echo", .help = "Sends back."}},
	{.name = NULL},
};

/* ---- time -------------------------------------------------------------------- */

static uint64_t clock_ns = 1000 * CLOCK_NS_PER_S;

/* In place of libc's, for the whole program and the libraries that it is linked to. */
__attribute__((visibility("default"))) int
clock_gettime(clockid_t id, struct timespec *ret_time)
{
	if (id != CLOCK_MONOTONIC)
		return (int)syscall(SYS_clock_gettime, id, ret_time);
	ret_time->tv_sec = (time_t)(clock_ns / CLOCK_NS_PER_S);
	ret_time->tv_nsec = (long)(clock_ns % CLOCK_NS_PER_S);
	return 0;
}

void
fixture_advance_ms(uint64_t ms)
{
	clock_ns += ms * CLOCK_NS_PER_MS;
}

uint64_t
fixture_now_ns(void)
{
	return clock_ns;
}

void
fixture_turn(struct loop *loop)
{
	ck_assert_int_eq(loop_turn(loop, 0), 0);
}

void
fixture_turn_until(struct loop *loop, bool (*done)(void *arg), void *arg)
{
	for (int i = 0; i < TURNS_MAX && !done(arg); i++)
		ck_assert_int_eq(loop_turn(loop, TURN_MS), 0);
	ck_assert_msg(done(arg), "what was waited for never came");
}

/* ---- config -------------------------------------------------------------------- */

const char *
fixture_path(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", fixture.folder, name);
	return path;
}

struct conf *
fixture_conf(const char *pool, const char *listener)
{
	bool has_address = strncmp(listener, "address", strlen("address")) == 0;
	struct conf_errors errors = {0};
	struct conf *conf;
	FILE *file = fopen(fixture_path("test.conf"), "w");

	ck_assert_ptr_nonnull(file);
	fprintf(file, "pools: { main: { workers = 1; %s }; };\n", pool);
	fprintf(file, "listeners: ( { name = \"web\"; service = \"echo\"; %s %s } );\n",
		has_address ? "" : "address = \"tcp:127.0.0.1:0\";", listener);
	ck_assert_int_eq(fclose(file), 0);
	conf = conf_load(fixture_path("test.conf"), types, &errors);
	ck_assert_msg(conf != NULL, "%s", errors.count > 0 ? errors.items[0].text : "no error");
	conf_errors_fini(&errors);
	ck_assert_int_eq(unlink(fixture_path("test.conf")), 0);
	return conf;
}

void
fixture_open(const char *pool, const char *listener, const struct cp_handler *handler)
{
	fixture.conf = fixture_conf(pool, listener);
	fixture.listener = listener_new("web", 1, &fixture.totals);
	ck_assert_ptr_nonnull(fixture.listener);
	fixture.route = route_new(fixture.conf, fixture.conf->listeners[0], fixture.listener, handler, NULL);
	ck_assert_ptr_nonnull(fixture.route);
	fixture.listener->route = fixture.route;
}

struct route *
fixture_route(const char *pool, const char *listener)
{
	struct conf *conf = fixture_conf(pool, listener);
	struct route *route =
		route_new(conf, conf->listeners[0], fixture.listener, fixture.route->handler, fixture.route->pool);

	ck_assert_ptr_nonnull(route);
	conf_unref(&conf);
	return route;
}

/* ---- set-up -------------------------------------------------------------------- */

void
fixture_setup(void)
{
	fixture = (struct netfixture){.folder = "/tmp/netfixture.XXXXXX"};
	ck_assert_ptr_nonnull(mkdtemp(fixture.folder));
	log_configure(LOG_TARGET_STDERR, LOG_LEVEL_WARNING);
	fixture.descriptors = fd_count_open();
	ck_assert_int_ge(fixture.descriptors, 0);
}

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

void
fixture_teardown(void)
{
	mem_fail_after(0);
	if (fixture.route != NULL) {
		fixture_check_sums(fixture.listener);
		ck_assert_uint_eq(atomic_load(&fixture.listener->counters.queued), 0);
		ck_assert_uint_eq(atomic_load(&fixture.listener->counters.active), 0);
		ck_assert_uint_eq(atomic_load(&fixture.listener->held), 0);
		ck_assert_uint_eq(atomic_load(&fixture.totals.held), 0);
		ck_assert_msg(atomic_load(&fixture.route->refs) == 1, "somebody still holds the route");
	}
	route_unref(&fixture.route);
	listener_unref(&fixture.listener);
	conf_unref(&fixture.conf);
	ck_assert_msg(fd_count_open() == fixture.descriptors, "a descriptor was left open, or one too many closed");
	ck_assert_int_eq(nftw(fixture.folder, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* ---- connections ------------------------------------------------------------------ */

void
fixture_unix_pair(int ends[2])
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	ck_assert_int_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
}

void
fixture_tcp_pair(int ends[2])
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(sin);
	int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(listening, (struct sockaddr *)&sin, length), 0);
	ck_assert_int_eq(listen(listening, 1), 0);
	ck_assert_int_eq(getsockname(listening, (struct sockaddr *)&sin, &length), 0);
	ends[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(ends[1], (struct sockaddr *)&sin, length), 0);
	ends[0] = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	ck_assert_int_ge(ends[0], 0);
	close(listening);
}

void
fixture_peer(struct peer *peer, const char *host)
{
	*peer = (struct peer){.family = AF_UNIX};
	if (host == NULL)
		return;
	peer->family = strchr(host, ':') != NULL ? AF_INET6 : AF_INET;
	peer->port = 4711;
	ck_assert_int_eq(inet_pton(peer->family, host, peer->bytes), 1);
}

void
fixture_accept(struct accepted *accepted, int fd, const char *host)
{
	static uint64_t last_id;

	*accepted = (struct accepted){
		.fd = fd, .route = route_ref(fixture.route), .accepted_ns = clock_ns, .id = ++last_id};
	fixture_peer(&accepted->peer, host);
	atomic_fetch_add(&fixture.listener->counters.accepted, 1);
}

void
fixture_check_sums(const struct listener *listener)
{
	const struct listener_counters *counters = &listener->counters;

	ck_assert_uint_eq(
		atomic_load(&counters->accepted), atomic_load(&counters->queued) + atomic_load(&counters->active) +
							  atomic_load(&counters->closed) + listener_rejected(listener));
}

int
fixture_read_all(int fd, char *buf, unsigned size)
{
	unsigned used = 0;

	while (used < size) {
		ssize_t n = read(fd, buf + used, size - used);

		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		used += (unsigned)n;
	}
	return (int)used;
}

void
fixture_expect_no_reset(int fd)
{
	int error = 0;
	socklen_t length = sizeof(error);

	ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length), 0);
	ck_assert_msg(error == 0, "it was reset: %s", strerror(error));
}

/* ---- running out ---------------------------------------------------------------------- */

static struct rlimit descriptors_before;

void
fixture_exhaust_descriptors(void)
{
	struct rlimit limit;
	/* The kernel gives out the lowest that is free. */
	int lowest = open("/dev/null", O_RDONLY | O_CLOEXEC);

	ck_assert_int_ge(lowest, 0);
	close(lowest);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &descriptors_before), 0);
	limit = (struct rlimit){.rlim_cur = (rlim_t)lowest, .rlim_max = descriptors_before.rlim_max};
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

void
fixture_allow_descriptors(void)
{
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &descriptors_before), 0);
}

/* ---- what is said --------------------------------------------------------------------- */

static int captured_fd = -1;
static int saved_stderr = -1;

void
fixture_capture(void)
{
	captured_fd = memfd_create("captured", MFD_CLOEXEC);
	ck_assert_int_ge(captured_fd, 0);
	saved_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	ck_assert_int_ge(dup2(captured_fd, STDERR_FILENO), 0);
	log_configure(LOG_TARGET_STDERR, LOG_LEVEL_INFO);
}

const char *
fixture_captured(void)
{
	static char text[16384];
	ssize_t length;

	ck_assert_int_ge(dup2(saved_stderr, STDERR_FILENO), 0);
	log_configure(LOG_TARGET_STDERR, LOG_LEVEL_WARNING);
	length = pread(captured_fd, text, sizeof(text) - 1, 0);
	ck_assert_int_ge(length, 0);
	text[length] = '\0';
	fd_close(&saved_stderr);
	fd_close(&captured_fd);
	return text;
}

unsigned
fixture_count(const char *text, const char *part)
{
	unsigned count = 0;

	for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part))
		count++;
	return count;
}

/* ---- running ----------------------------------------------------------------------------- */

int
fixture_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}

TCase *
fixture_case(Suite *suite, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, fixture_setup, fixture_teardown);
	suite_add_tcase(suite, tc);
	return tc;
}
