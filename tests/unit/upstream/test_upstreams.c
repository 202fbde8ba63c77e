/* SPDX-License-Identifier: MIT */
/*
 * test_upstreams - the table of groups: made, changed in place, given up, and what names stand for. Checks and look-ups
 * are replaced by ones that only remember what they were asked, defined here before those of the library.
 */
#include "config.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "../net/netfixture.h"
#include "base/address.h"
#include "base/errmsg.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "engine/loop.h"
#include "upstream/check.h"
#include "upstream/resolve.h"
#include "upstream/upstream.h"
#include "upstream/upstreams.h"

#define SERVERS_MAX 8u
#define ROWS_MAX 16u

/* ---- in place of check.c and resolve.c --------------------------------------------------- */

struct check {
	struct server *server;
	uint64_t interval_ms;
};

static unsigned checks;

struct check *
check_new(struct loop *loop, struct server *server, const struct conf_upstream *conf)
{
	struct check *check = mem_zalloc(sizeof(*check));

	(void)loop;
	if (check == NULL)
		return NULL;
	check->server = server_ref(server);
	check->interval_ms = conf->check_interval_ms;
	checks++;
	return check;
}

int
check_configure(struct check *check, const struct conf_upstream *conf)
{
	check->interval_ms = conf->check_interval_ms;
	return 0;
}

void
check_free(struct check **holder)
{
	if (*holder == NULL)
		return;
	server_unref(&(*holder)->server);
	mem_freep(holder);
	checks--;
}

struct resolver_watch {
	resolved_fn *fn;
	void *arg;
};

static struct resolver_watch *last_watch;
static unsigned watches;
static bool resolver_refuses;

int
resolver_new(struct loop *loop, const struct conf_resolver *conf, struct resolver **ret_resolver, struct errmsg *err)
{
	(void)loop;
	(void)conf;
	if (resolver_refuses) {
		errmsg_set(err, "the test refuses");
		return -EINVAL;
	}
	*ret_resolver = mem_zalloc(1);
	return *ret_resolver != NULL ? 0 : -ENOMEM;
}

int
resolver_configure(struct resolver *resolver, const struct conf_resolver *conf, struct errmsg *err)
{
	(void)resolver;
	(void)conf;
	(void)err;
	return 0;
}

void
resolver_free(struct resolver **resolver)
{
	mem_freep(resolver);
}

struct resolver_watch *
resolver_watch(struct resolver *resolver, const struct address *address, const char *label, resolved_fn *fn, void *arg)
{
	struct resolver_watch *watch = mem_zalloc(sizeof(*watch));

	ck_assert_ptr_nonnull(resolver);
	(void)address;
	(void)label;
	if (watch == NULL)
		return NULL;
	*watch = (struct resolver_watch){.fn = fn, .arg = arg};
	last_watch = watch;
	watches++;
	return watch;
}

void
resolver_unwatch(struct resolver_watch **watch)
{
	if (*watch == NULL)
		return;
	mem_freep(watch);
	watches--;
}

/* The watched name has these addresses: "10.0.0.1" and so on, port 80. */
static void
answer(unsigned first, unsigned count)
{
	struct resolved items[SERVERS_MAX] = {{.weight = 0}};

	for (unsigned i = 0; i < count; i++) {
		struct sockaddr_in *sin = (struct sockaddr_in *)&items[i].address.storage;

		sin->sin_family = AF_INET;
		sin->sin_port = htons(80);
		sin->sin_addr.s_addr = htonl(0x0a000000u + first + i);
		items[i].address.length = sizeof(*sin);
		items[i].weight = 1;
	}
	last_watch->fn(last_watch->arg, items, count);
}

/* ---- configs, made by hand ------------------------------------------------------------------- */

struct config {
	struct conf conf;
	struct conf_upstream *upstreams[2];
	struct conf_upstream groups[2];
	struct conf_server *pointers[SERVERS_MAX];
	struct conf_server servers[SERVERS_MAX];
	struct address addresses[SERVERS_MAX];
};

static char web[] = "web";
static char other[] = "other";
static struct loop loop;
static struct upstreams *upstreams;
static struct config configs[2]; /* a reload and what it replaces */
static struct upstream_status rows[ROWS_MAX];
static unsigned row_count;

/* A config whose one group "web" has these servers, up to a NULL. */
static struct config *
make(unsigned number, const char *const *servers)
{
	struct config *config = &configs[number];
	struct conf_upstream *group = &config->groups[0];

	group->name = web;
	group->servers = config->pointers;
	group->balance = CONF_BALANCE_ROUND_ROBIN;
	group->connect_timeout_ms = 1000;
	group->queue_size = 10;
	group->check_interval_ms = 1000 + number;
	group->max_failures = 1;
	group->retry_after_ms = 3000;
	for (; servers[group->server_count] != NULL; group->server_count++) {
		struct conf_server *server = &config->servers[group->server_count];

		server->address = &config->addresses[group->server_count];
		ck_assert_int_eq(address_parse(server->address, servers[group->server_count], NULL), 0);
		server->weight = 1;
		config->pointers[group->server_count] = server;
	}
	config->upstreams[0] = group;
	config->conf.upstreams = config->upstreams;
	config->conf.upstream_count = 1;
	return config;
}

#define MAKE(number, ...) make(number, (const char *const[]){__VA_ARGS__, NULL})

static void
reload(struct config *config)
{
	struct errmsg err;

	ck_assert_int_eq(upstreams_prepare(upstreams, &config->conf, &err), 0);
	upstreams_commit(upstreams);
}

static void
note_row(void *arg, const struct upstream_status *status)
{
	(void)arg;
	ck_assert_uint_lt(row_count, ROWS_MAX);
	rows[row_count++] = *status;
}

static void
look(void)
{
	row_count = 0;
	upstreams_foreach_server(upstreams, note_row, NULL);
}

static void
expect_row(unsigned number, const char *server, uint64_t active)
{
	ck_assert_uint_lt(number, row_count);
	ck_assert_str_eq(rows[number].server, server);
	ck_assert_uint_eq(rows[number].active, active);
}

static void
set_up(void)
{
	ck_assert_int_eq(loop_init(&loop, NULL, NULL), 0);
	upstreams = upstreams_new(&loop);
	ck_assert_ptr_nonnull(upstreams);
	memset(configs, 0, sizeof(configs));
	/* Held by the test too, so that they are never freed. */
	atomic_init(&configs[0].conf.refs, 1);
	atomic_init(&configs[1].conf.refs, 1);
	resolver_refuses = false;
}

static void
tear_down(void)
{
	upstreams_free(&upstreams);
	loop_fini(&loop);
	ck_assert_uint_eq(checks, 0);
	ck_assert_uint_eq(watches, 0);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_uint_eq(atomic_load(&configs[i].conf.refs), 1);
		for (unsigned k = 0; k < SERVERS_MAX; k++)
			address_fini(&configs[i].addresses[k]);
	}
}

static void
on_granted(struct upstream_wish *wish)
{
	(void)wish;
}

static struct upstream_wish
take(void)
{
	struct upstream_wish wish = {.granted = on_granted};

	ck_assert_int_eq(upstream_take(upstreams_find(upstreams, "web"), &wish, fixture_now_ns()), UPSTREAM_TAKEN);
	return wish;
}

/* ---- reload --------------------------------------------------------------------------------- */

START_TEST(a_group_is_there_once_prepared_and_gone_when_given_up)
{
	struct errmsg err;

	ck_assert_int_eq(upstreams_prepare(upstreams, &MAKE(0, "tcp:10.0.0.1:80")->conf, &err), 0);
	ck_assert_ptr_nonnull(upstreams_find(upstreams, "web"));
	ck_assert_ptr_null(upstreams_find(upstreams, "other"));
	upstreams_revert(upstreams);
	ck_assert_ptr_null(upstreams_find(upstreams, "web"));
	upstreams_revert(upstreams);
}
END_TEST

START_TEST(servers_that_stay_keep_their_counts_and_their_health)
{
	struct upstream_wish first;
	struct upstream_wish second;

	reload(MAKE(0, "tcp:10.0.0.1:80", "tcp:10.0.0.2:80"));
	first = take();
	second = take();
	(void)upstream_failed(upstreams_find(upstreams, "web"), &second, ECONNREFUSED, fixture_now_ns());
	reload(MAKE(1, "tcp:10.0.0.3:80", "tcp:10.0.0.2:80", "tcp:10.0.0.1:80"));
	look();
	ck_assert_uint_eq(row_count, 3);
	expect_row(0, "tcp:10.0.0.3:80", 0);
	expect_row(1, "tcp:10.0.0.2:80", 0);
	ck_assert_int_eq(rows[1].state, SERVER_DOWN);
	ck_assert_uint_eq(rows[1].connects_failed, 1);
	expect_row(2, "tcp:10.0.0.1:80", 1);
	server_leave(&first.server);
}
END_TEST

START_TEST(a_reload_given_up_changes_nothing)
{
	struct errmsg err;
	struct upstream_wish wish;

	reload(MAKE(0, "tcp:10.0.0.1:80"));
	wish = take();
	ck_assert_int_eq(upstreams_prepare(upstreams, &MAKE(1, "tcp:10.0.0.2:80", "tcp:db:80")->conf, &err), 0);
	ck_assert_uint_eq(watches, 1);
	upstreams_revert(upstreams);
	ck_assert_uint_eq(watches, 0);
	look();
	ck_assert_uint_eq(row_count, 1);
	expect_row(0, "tcp:10.0.0.1:80", 1);
	server_leave(&wish.server);
}
END_TEST

START_TEST(a_removed_group_lives_on_for_who_holds_it)
{
	struct upstream *held;
	struct upstream_wish wish = {.granted = on_granted};

	reload(MAKE(0, "tcp:10.0.0.1:80"));
	held = upstream_ref(upstreams_find(upstreams, "web"));
	MAKE(1, "tcp:10.0.0.1:80")->groups[0].name = other;
	reload(&configs[1]);
	ck_assert_ptr_null(upstreams_find(upstreams, "web"));
	ck_assert_int_eq(upstream_take(held, &wish, fixture_now_ns()), UPSTREAM_TAKEN);
	upstream_unref(&held);
	server_leave(&wish.server);
}
END_TEST

START_TEST(every_failure_of_memory_leaves_what_was_there)
{
	struct errmsg err;
	unsigned failures = 0;
	int rc = -ENOMEM;

	reload(MAKE(0, "tcp:10.0.0.1:80"));
	MAKE(1, "tcp:10.0.0.1:80", "tcp:10.0.0.2:80", "tcp:db:80")->groups[0].check = CONF_CHECK_CONNECT;
	for (unsigned n = 1; rc < 0; n++) {
		mem_fail_after(n);
		rc = upstreams_prepare(upstreams, &configs[1].conf, &err);
		mem_fail_after(0);
		ck_assert(rc == 0 || rc == -ENOMEM);
		failures += rc < 0;
		look();
		ck_assert_uint_eq(row_count, 1);
		expect_row(0, "tcp:10.0.0.1:80", 0);
	}
	ck_assert_uint_gt(failures, 10);
	upstreams_commit(upstreams);
	look();
	ck_assert_uint_eq(row_count, 2);
}
END_TEST

START_TEST(a_resolver_that_refuses_its_settings_refuses_the_reload)
{
	struct errmsg err;

	resolver_refuses = true;
	ck_assert_int_eq(upstreams_prepare(upstreams, &MAKE(0, "tcp:db:80")->conf, &err), -EINVAL);
	ck_assert_str_eq(err.text, "the test refuses");
	ck_assert_ptr_null(upstreams_find(upstreams, "web"));
}
END_TEST

/* ---- checks ----------------------------------------------------------------------------------- */

START_TEST(checks_follow_the_config)
{
	reload(MAKE(0, "tcp:10.0.0.1:80", "unix:/run/x", "tcp:10.0.0.2:80"));
	ck_assert_uint_eq(checks, 0);
	MAKE(1, "tcp:10.0.0.1:80", "unix:/run/x", "tcp:10.0.0.2:80")->groups[0].check = CONF_CHECK_CONNECT;
	configs[1].servers[2].maintenance = true;
	reload(&configs[1]);
	/* Not what is out of use. */
	ck_assert_uint_eq(checks, 2);
	reload(&configs[1]);
	ck_assert_uint_eq(checks, 2);
	configs[0].groups[0].agent_port = 9000;
	reload(&configs[0]);
	ck_assert_uint_eq(checks, 3);
	configs[0].groups[0].agent_port = 0;
	reload(&configs[0]);
	ck_assert_uint_eq(checks, 0);
}
END_TEST

/* ---- names -------------------------------------------------------------------------------------- */

START_TEST(a_name_stands_for_all_its_addresses)
{
	struct upstream_wish wish;

	reload(MAKE(0, "tcp:db:80"));
	look();
	ck_assert_uint_eq(row_count, 1);
	ck_assert_ptr_null(rows[0].server);
	answer(1, 2);
	wish = take();
	look();
	ck_assert_uint_eq(row_count, 2);
	expect_row(0, "tcp:10.0.0.1:80", 1);
	ck_assert_str_eq(rows[0].origin, "tcp:db:80");
	expect_row(1, "tcp:10.0.0.2:80", 0);
	/* One goes, one comes, one stays and keeps its client. */
	answer(0, 2);
	look();
	expect_row(0, "tcp:10.0.0.0:80", 0);
	expect_row(1, "tcp:10.0.0.1:80", 1);
	server_leave(&wish.server);
}
END_TEST

START_TEST(a_reload_keeps_what_a_name_stands_for)
{
	reload(MAKE(0, "tcp:db:80"));
	answer(1, 2);
	reload(MAKE(1, "tcp:10.0.0.9:80", "tcp:db:80"));
	ck_assert_uint_eq(watches, 1);
	look();
	ck_assert_uint_eq(row_count, 3);
	expect_row(2, "tcp:10.0.0.2:80", 0);
}
END_TEST

START_TEST(an_answer_in_the_middle_of_a_reload_is_not_lost)
{
	struct errmsg err;

	reload(MAKE(0, "tcp:db:80"));
	answer(1, 1);
	ck_assert_int_eq(upstreams_prepare(upstreams, &MAKE(1, "tcp:db:80")->conf, &err), 0);
	answer(2, 2);
	if (_i == 0)
		upstreams_commit(upstreams);
	else
		upstreams_revert(upstreams);
	look();
	ck_assert_uint_eq(row_count, 2);
	expect_row(0, "tcp:10.0.0.2:80", 0);
}
END_TEST

START_TEST(without_memory_for_an_answer_the_old_servers_stay)
{
	reload(MAKE(0, "tcp:db:80"));
	answer(1, 1);
	mem_fail_after(1);
	answer(5, 3);
	mem_fail_after(0);
	look();
	ck_assert_uint_eq(row_count, 1);
	expect_row(0, "tcp:10.0.0.1:80", 0);
}
END_TEST

/* ---- the timer ----------------------------------------------------------------------------------- */

static void
turn(uint64_t ms)
{
	fixture_advance_ms(ms);
	fixture_turn(&loop);
	fixture_turn(&loop);
}

START_TEST(a_server_that_went_down_is_tried_again_in_time)
{
	struct upstream_wish wish;

	reload(MAKE(0, "tcp:10.0.0.1:80"));
	turn(0);
	wish = take();
	(void)upstream_failed(upstreams_find(upstreams, "web"), &wish, ECONNREFUSED, fixture_now_ns());
	turn(2900);
	look();
	ck_assert_int_eq(rows[0].state, SERVER_DOWN);
	turn(200);
	look();
	ck_assert_int_eq(rows[0].state, SERVER_UP);
}
END_TEST

START_TEST(ready_connections_come_with_the_commit)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};
	char text[ADDRESS_TEXT_MAX];
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&sin, sizeof(sin)), 0);
	ck_assert_int_eq(listen(listener, 10), 0);
	MAKE(0, address_format_socket(listener, text))->servers[0].ready_connections = 2;
	reload(&configs[0]);
	turn(0);
	look();
	ck_assert_uint_eq(rows[0].ready, 2);
	for (unsigned i = 0; i < 2; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		fd_close(&fd);
	}
	/* Closed by the server: replaced at the next look. */
	turn(1001);
	ck_assert_int_eq(poll(&(struct pollfd){.fd = listener, .events = POLLIN}, 1, 5000), 1);
	fd_close(&listener);
}
END_TEST

static Suite *
make_suite(void)
{
	Suite *suite = suite_create("upstream/upstreams");
	TCase *tc = fixture_case(suite, "the table of groups");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_group_is_there_once_prepared_and_gone_when_given_up);
	tcase_add_test(tc, servers_that_stay_keep_their_counts_and_their_health);
	tcase_add_test(tc, a_reload_given_up_changes_nothing);
	tcase_add_test(tc, a_removed_group_lives_on_for_who_holds_it);
	tcase_add_test(tc, every_failure_of_memory_leaves_what_was_there);
	tcase_add_test(tc, a_resolver_that_refuses_its_settings_refuses_the_reload);
	tcase_add_test(tc, checks_follow_the_config);
	tcase_add_test(tc, a_name_stands_for_all_its_addresses);
	tcase_add_test(tc, a_reload_keeps_what_a_name_stands_for);
	tcase_add_loop_test(tc, an_answer_in_the_middle_of_a_reload_is_not_lost, 0, 2);
	tcase_add_test(tc, without_memory_for_an_answer_the_old_servers_stay);
	tcase_add_test(tc, a_server_that_went_down_is_tried_again_in_time);
	tcase_add_test(tc, ready_connections_come_with_the_commit);
	return suite;
}

int
main(void)
{
	return fixture_run(make_suite());
}
