/* SPDX-License-Identifier: MIT */
/*
 * test_proxy - how the service gets a client to a server. The upstream is a fake: it answers as the test has written,
 * and keeps what it was asked, a letter a call:
 *
 *   T take   C cancel   c connect   k connected   f failed   R refill   L leave, with a place
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "net/route.h"
#include "service/services.h"
#include "sessionrig.h"
#include "upstream/upstream.h"
#include "upstream/upstreams.h"

#define CONNECT_MS 4000
#define WAIT_MS 500
#define SCRIPT_MAX 4

static struct served served;

/* ---- the upstream ----------------------------------------------------------------------- */

static char group, place;                        /* what the opaque pointers point to */
static enum upstream_answer answers[SCRIPT_MAX]; /* of upstream_take() */
static int connects[SCRIPT_MAX];                 /* of server_connect() */
static int connect_ends[SCRIPT_MAX];             /* how those in progress end */
static bool may_retry;
static bool is_deaf; /* the server's socket takes nothing */
static bool is_gone; /* nor is there anybody at its other end */
static int send_proxy;
static unsigned takes, connect_count, refs;
static int last_failure;
static char asked[32];
static struct upstream_wish *waiting;
static int server; /* the server's end of the last connect; -1: none, or closed */
static int proxys_end;

static bool
is_closed(int fd)
{
	return fcntl(fd, F_GETFD) < 0;
}

static void
ask(char what)
{
	size_t length = strlen(asked);

	ck_assert_uint_lt(length, sizeof(asked) - 1);
	asked[length] = what;
}

struct upstream *
upstream_ref(struct upstream *upstream)
{
	refs++;
	return upstream;
}

void
upstream_unref(struct upstream **upstream)
{
	refs--;
	*upstream = NULL;
}

uint64_t
upstream_connect_timeout_ms(const struct upstream *upstream)
{
	ck_assert_ptr_eq(upstream, &group);
	return CONNECT_MS;
}

struct upstream *
upstreams_find(struct upstreams *upstreams, const char *name)
{
	ck_assert_ptr_null(upstreams);
	ck_assert_str_eq(name, "web");
	return (struct upstream *)(void *)&group;
}

enum upstream_answer
upstream_take(struct upstream *upstream, struct upstream_wish *wish, uint64_t now_ns)
{
	enum upstream_answer answer = answers[takes++];

	ck_assert_ptr_eq(upstream, &group);
	ck_assert_uint_eq(now_ns, fixture_now_ns());
	ck_assert_ptr_null(wish->server);
	ask('T');
	if (answer == UPSTREAM_TAKEN)
		wish->server = (struct server *)(void *)&place;
	waiting = answer == UPSTREAM_QUEUED || answer == UPSTREAM_WAITING ? wish : NULL;
	if (waiting != NULL)
		wish->queued(wish);
	wish->wait_ms = answer == UPSTREAM_QUEUED ? WAIT_MS : UINT64_MAX;
	return answer;
}

bool
upstream_cancel(struct upstream *upstream, struct upstream_wish *wish)
{
	ck_assert_ptr_eq(upstream, &group);
	ask('C');
	waiting = NULL;
	return wish->server != NULL;
}

/* As the upstream does when a place is free. */
static void
grant(void)
{
	ck_assert_ptr_nonnull(waiting);
	waiting->server = (struct server *)(void *)&place;
	waiting->granted(waiting);
}

void
upstream_connected(struct upstream *upstream, const struct upstream_wish *wish)
{
	ck_assert_ptr_eq(upstream, &group);
	ck_assert_ptr_eq(wish->server, &place);
	ask('k');
}

bool
upstream_failed(struct upstream *upstream, struct upstream_wish *wish, int error, uint64_t now_ns)
{
	ck_assert_ptr_eq(upstream, &group);
	ck_assert_uint_eq(now_ns, fixture_now_ns());
	ask('f');
	/* Closed before the place is given back, or the server sees one too many. */
	ck_assert(is_closed(proxys_end));
	last_failure = error;
	wish->server = NULL;
	return may_retry;
}

int
server_connect(struct server *to, int *ret_fd)
{
	static char block[64 * 1024];
	int result = connects[connect_count];
	int ends[2];

	ck_assert_ptr_eq(to, &place);
	ask('c');
	connect_count++;
	if (result != 0 && result != -EINPROGRESS)
		return result;
	fixture_unix_pair(ends);
	while (is_deaf && send(ends[0], block, sizeof(block), MSG_NOSIGNAL) > 0)
		continue;
	fd_close(&server);
	server = ends[1];
	*ret_fd = proxys_end = ends[0];
	if (is_gone)
		fd_close(&server);
	return result;
}

int
server_connect_error(int fd)
{
	static unsigned looks;

	ck_assert_int_eq(fd, proxys_end);
	return looks++ % 2 == 0 ? EINPROGRESS : connect_ends[connect_count - 1];
}

void
server_refill(struct server *to)
{
	ck_assert_ptr_eq(to, &place);
	ask('R');
	errno = EIO;
}

int
server_send_proxy(const struct server *to)
{
	ck_assert_ptr_eq(to, &place);
	return send_proxy;
}

bool
server_is_unix(const struct server *to)
{
	ck_assert_ptr_eq(to, &place);
	return false;
}

const char *
server_name(const struct server *to)
{
	ck_assert_ptr_eq(to, &place);
	return "tcp:192.0.2.1:80";
}

void
server_leave(struct server **holder)
{
	if (*holder == NULL)
		return;
	ck_assert(is_closed(proxys_end));
	ask('L');
	*holder = NULL;
}

/* ---- set-up --------------------------------------------------------------------------------- */

static void
reset_script(void)
{
	memset(answers, 0, sizeof(answers));
	memset(connects, 0, sizeof(connects));
	memset(connect_ends, 0, sizeof(connect_ends));
	memset(asked, 0, sizeof(asked));
	takes = connect_count = refs = 0;
	may_retry = is_deaf = is_gone = false;
	send_proxy = CONF_SEND_PROXY_NONE;
	last_failure = 0;
	waiting = NULL;
	server = proxys_end = -1;
}

static void
release_server(void)
{
	fd_close(&server);
}

static void
bind_route(const char *options)
{
	struct proxy_options proxy = {.buffer_size_bytes = 65536, .half_closed_timeout_ms = 1000};
	struct route_state bound = {0};

	proxy.upstream = (char *)(uintptr_t) "web";
	fixture_open("", options, &proxy_handler);
	ck_assert_int_eq(proxy_bind(&proxy, NULL, &bound.data, &bound.release), 0);
	ck_assert_uint_eq(refs, 1);
	route_set_state(fixture.route, &bound);
}

static void
begin(const char *options)
{
	bind_route(options);
	served_begin(&served);
	rig_turn_some();
}

static void
expect_asked(const char *calls)
{
	ck_assert_str_eq(asked, calls);
}

static void
expect_relaying(const char *calls)
{
	expect_asked(calls);
	ck_assert_int_eq(served_state(&served), SESSION_RELAYING);
	ck_assert_str_eq(served.session->conn.server, "tcp:192.0.2.1:80");
	served_send(&served, "hello");
	rig_turn_some();
}

static void
expect_at_server(const char *text)
{
	char buf[256];
	ssize_t n = recv(server, buf, sizeof(buf) - 1, MSG_DONTWAIT);

	ck_assert_int_ge(n, 0);
	buf[n] = '\0';
	ck_assert_str_eq(buf, text);
}

/* The client closes; what lingers ends. */
static void
close_and_finish(enum conn_end end)
{
	served_close(&served);
	rig_turn_some();
	rig_pass_ms(LINGER_GLANCE_MS);
	served_expect_end(&served, end);
}

static void
cancel(void)
{
	session_cancel(&rig_sched, &served.session->conn, CONN_END_DRAIN);
	served_expect_end(&served, CONN_END_DRAIN);
	rig_turn_some();
}

/* ---- a server is found ------------------------------------------------------------------------ */

START_TEST(a_client_is_passed_on_and_its_place_given_back)
{
	begin("");
	expect_relaying("TckR");
	expect_at_server("hello");
	release_server();
	close_and_finish(CONN_END_SERVER);
	expect_asked("TckRL");
}
END_TEST

START_TEST(a_connect_in_progress_is_waited_for)
{
	connects[0] = -EINPROGRESS;
	bind_route("");
	served_begin(&served);
	expect_asked("Tc");
	ck_assert_int_eq(served_state(&served), SESSION_WAITING);
	rig_turn_some();
	expect_relaying("TckR");
	expect_at_server("hello");
	release_server();
	close_and_finish(CONN_END_SERVER);
}
END_TEST

START_TEST(a_connect_that_failed_is_tried_again)
{
	connects[0] = _i == 0 ? -ECONNREFUSED : -EINPROGRESS;
	connect_ends[0] = ECONNREFUSED;
	may_retry = true;
	begin("");
	ck_assert_int_eq(last_failure, ECONNREFUSED);
	expect_relaying("TcfTckR");
	expect_at_server("hello");
	release_server();
	close_and_finish(CONN_END_SERVER);
	expect_asked("TcfTckRL");
}
END_TEST

START_TEST(a_connect_has_its_time)
{
	connects[0] = -EINPROGRESS;
	is_deaf = true;
	begin("busy_message = \"come again\";");
	rig_pass_ms(CONNECT_MS - 1);
	expect_asked("Tc");
	rig_pass_ms(1);
	expect_asked("Tcf");
	ck_assert_int_eq(last_failure, ETIMEDOUT);
	served_expect(&served, "come again");
	close_and_finish(CONN_END_UPSTREAM_DOWN);
	expect_asked("Tcf");
}
END_TEST

START_TEST(the_header_comes_first)
{
	send_proxy = _i == 0 ? CONF_SEND_PROXY_V1 : CONF_SEND_PROXY_V2;
	begin("");
	expect_relaying("TckR");
	if (_i == 0) {
		expect_at_server("PROXY UNKNOWN\r\nhello");
	} else {
		char buf[64];

		ck_assert_int_eq(recv(server, buf, sizeof(buf), MSG_DONTWAIT), 16 + 5);
		ck_assert_int_eq(memcmp(buf, "\r\n\r\n\0\r\nQUIT\n", 12), 0);
		ck_assert_int_eq(memcmp(buf + 16, "hello", 5), 0);
	}
	release_server();
	close_and_finish(CONN_END_SERVER);
}
END_TEST

START_TEST(a_header_that_cannot_be_sent_is_a_failed_connect)
{
	send_proxy = CONF_SEND_PROXY_V1;
	is_gone = true;
	begin("");
	expect_asked("Tcf");
	ck_assert_int_eq(last_failure, EPIPE);
	close_and_finish(CONN_END_UPSTREAM_DOWN);
}
END_TEST

START_TEST(what_was_bound_holds_the_upstream_until_it_is_released)
{
	struct proxy_options options = {.upstream = (char *)(uintptr_t) "web"};
	struct route_state bound = {0};

	ck_assert_int_eq(proxy_bind(&options, NULL, &bound.data, &bound.release), 0);
	ck_assert_uint_eq(refs, 1);
	bound.release(bound.data);
	ck_assert_uint_eq(refs, 0);
}
END_TEST

/* Whatever the calls that give things back do to errno. */
START_TEST(no_memory_for_the_relay_is_an_error)
{
	connects[0] = -EINPROGRESS;
	bind_route("");
	served_begin(&served);
	mem_fail_after(1);
	rig_turn_some();
	mem_fail_after(0);
	expect_asked("TckR");
	close_and_finish(CONN_END_ERROR);
	expect_asked("TckRL");
}
END_TEST

/* ---- none is ------------------------------------------------------------------------------------ */

START_TEST(without_a_server_the_client_is_told_to_come_again)
{
	answers[0] = _i == 0 ? UPSTREAM_FULL : UPSTREAM_DOWN;
	begin("busy_message = \"come again\";");
	served_expect(&served, "come again");
	expect_asked("T");
	close_and_finish(_i == 0 ? CONN_END_UPSTREAM_FULL : CONN_END_UPSTREAM_DOWN);
	expect_asked("T");
}
END_TEST

START_TEST(when_no_try_is_left_the_upstream_is_down)
{
	connects[0] = _i == 0 ? -ECONNREFUSED : -EMFILE;
	begin("");
	expect_asked("Tcf");
	close_and_finish(CONN_END_UPSTREAM_DOWN);
}
END_TEST

/* ---- waiting for one -------------------------------------------------------------------------------- */

START_TEST(a_place_that_is_granted_is_taken)
{
	answers[0] = _i == 0 ? UPSTREAM_QUEUED : UPSTREAM_WAITING;
	begin("idle_timeout = \"5s\";");
	rig_pass_ms(_i == 0 ? WAIT_MS - 1 : 100 * WAIT_MS);
	expect_asked("T");
	ck_assert_int_eq(served_state(&served), SESSION_WAITING);
	grant();
	rig_turn_some();
	expect_relaying("TCckR");
	expect_at_server("hello");
	release_server();
	close_and_finish(CONN_END_SERVER);
	expect_asked("TCckRL");
}
END_TEST

START_TEST(one_that_was_woken_without_a_place_asks_again)
{
	answers[0] = UPSTREAM_QUEUED;
	answers[1] = UPSTREAM_DOWN;
	begin("");
	waiting->granted(waiting);
	rig_turn_some();
	expect_asked("TCT");
	close_and_finish(CONN_END_UPSTREAM_DOWN);
}
END_TEST

START_TEST(one_whose_time_is_over_asks_a_last_time)
{
	answers[0] = UPSTREAM_QUEUED;
	answers[1] = UPSTREAM_FULL;
	begin("");
	rig_pass_ms(WAIT_MS);
	expect_asked("TCT");
	close_and_finish(CONN_END_UPSTREAM_FULL);
}
END_TEST

/* The wake-up is under way when the time is over: the place must be neither lost nor taken twice. */
START_TEST(a_place_granted_when_the_time_is_over_is_taken)
{
	answers[0] = UPSTREAM_QUEUED;
	begin("");
	waiting->server = (struct server *)(void *)&place;
	rig_pass_ms(WAIT_MS);
	expect_relaying("TCckR");
	expect_at_server("hello");
	release_server();
	close_and_finish(CONN_END_SERVER);
	expect_asked("TCckRL");
}
END_TEST

START_TEST(a_client_that_goes_while_it_waits_gives_its_place_back)
{
	answers[0] = UPSTREAM_QUEUED;
	bind_route("");
	served_begin_tcp(&served);
	rig_turn_some();
	expect_asked("T");
	if (_i == 1)
		waiting->server = (struct server *)(void *)&place;
	served_reset(&served);
	served_finish(&served);
	served_expect_end(&served, CONN_END_CLIENT_RESET);
	expect_asked(_i == 1 ? "TCL" : "TC");
}
END_TEST

START_TEST(a_stop_ends_every_wait_and_gives_the_place_back)
{
	is_deaf = _i == 2;
	if (_i == 2)
		connects[0] = -EINPROGRESS;
	else
		answers[0] = UPSTREAM_QUEUED;
	begin("");
	if (_i == 1)
		grant();
	cancel();
	expect_asked(_i == 0 ? "TC" : _i == 1 ? "TCL" : "TcL");
}
END_TEST

static TCase *
proxy_case(Suite *suite, const char *name)
{
	TCase *tc = rig_case(suite, name);

	tcase_add_checked_fixture(tc, reset_script, release_server);
	return tc;
}

int
main(void)
{
	Suite *suite = suite_create("service/proxy");
	TCase *tc = proxy_case(suite, "found");

	tcase_add_test(tc, a_client_is_passed_on_and_its_place_given_back);
	tcase_add_test(tc, a_connect_in_progress_is_waited_for);
	tcase_add_loop_test(tc, a_connect_that_failed_is_tried_again, 0, 2);
	tcase_add_test(tc, a_connect_has_its_time);
	tcase_add_loop_test(tc, the_header_comes_first, 0, 2);
	tcase_add_test(tc, a_header_that_cannot_be_sent_is_a_failed_connect);
	tcase_add_test(tc, what_was_bound_holds_the_upstream_until_it_is_released);
	tcase_add_test(tc, no_memory_for_the_relay_is_an_error);
	tc = proxy_case(suite, "none");
	tcase_add_loop_test(tc, without_a_server_the_client_is_told_to_come_again, 0, 2);
	tcase_add_loop_test(tc, when_no_try_is_left_the_upstream_is_down, 0, 2);
	tc = proxy_case(suite, "waiting");
	tcase_add_loop_test(tc, a_place_that_is_granted_is_taken, 0, 2);
	tcase_add_test(tc, one_that_was_woken_without_a_place_asks_again);
	tcase_add_test(tc, one_whose_time_is_over_asks_a_last_time);
	tcase_add_test(tc, a_place_granted_when_the_time_is_over_is_taken);
	tcase_add_loop_test(tc, a_client_that_goes_while_it_waits_gives_its_place_back, 0, 2);
	tcase_add_loop_test(tc, a_stop_ends_every_wait_and_gives_the_place_back, 0, 3);
	return fixture_run(suite);
}
