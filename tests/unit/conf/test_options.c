/* SPDX-License-Identifier: MIT */
/*
 * Tests of conf/options: the table holds together, and its defaults are those that are promised.
 */
#include "config.h"

#include <check.h>

#include "base/log.h"
#include "conf/options.h"
#include "conffiles.h"

static const struct option_group *const groups[] = {&conf_group_top, &conf_group_daemon, &conf_group_log,
	&conf_group_resolver, &conf_group_pool, &conf_group_upstream, &conf_group_server, &conf_group_listener};

static bool
has_range(const struct option *row)
{
	return row->type == OPTION_UINT || row->type == OPTION_SIZE || row->type == OPTION_TIME ||
	       row->type == OPTION_MODE;
}

START_TEST(every_row_is_whole)
{
	for (size_t i = 0; i < CP_COUNT(groups); i++) {
		const struct option *row;

		OPTION_FOREACH (groups[i], row) {
			ck_assert_msg(row->help != NULL && row->help[strlen(row->help) - 1] == '.', "%s", row->name);
			ck_assert_msg(option_find(groups[i], row->name) == row, "%s stands twice", row->name);
			ck_assert_msg(has_range(row) == (row->max > row->min), "%s", row->name);
			ck_assert_msg((row->type == OPTION_WORD) == (row->words != NULL), "%s", row->name);
			ck_assert_msg(!row->required || row->default_text == NULL, "%s", row->name);
			ck_assert_msg(row->offset < groups[i]->size, "%s", row->name);
		}
	}
}
END_TEST

START_TEST(every_default_can_be_read)
{
	for (size_t i = 0; i < CP_COUNT(groups); i++) {
		void *base = calloc(1, groups[i]->size);

		ck_assert_int_eq(option_group_init(groups[i], base), 0);
		option_group_fini(groups[i], base);
		free(base);
	}
}
END_TEST

START_TEST(daemon_and_log_have_their_defaults)
{
	struct conf *conf = conffiles_load_good(CONFFILES_LISTENERS);

	ck_assert_ptr_null(conf->daemon.user);
	ck_assert_ptr_null(conf->daemon.group);
	ck_assert_uint_eq(conf->daemon.max_connections, 100000);
	ck_assert_uint_eq(conf->daemon.drain_timeout_ms, 30000);
	ck_assert_int_eq(conf->log.target, LOG_TARGET_AUTO);
	ck_assert_int_eq(conf->log.level, LOG_LEVEL_INFO);
	ck_assert(conf->log.connections);
	conf_unref(&conf);
}
END_TEST

START_TEST(pool_has_its_defaults)
{
	struct conf *conf = conffiles_load_good(CONFFILES_LISTENERS);
	const struct conf_pool *pool = conf->pools[0];

	ck_assert_str_eq(pool->name, "main");
	ck_assert_uint_ge(pool->workers, 1);
	ck_assert_uint_eq(pool->workers_written, 0);
	ck_assert_uint_eq(pool->connections_per_worker, 10000);
	ck_assert_uint_eq(pool->queue_size, 1024);
	ck_assert_int_eq(pool->queue_full, CONF_QUEUE_WAIT);
	ck_assert_uint_eq(pool->queue_timeout_ms, 0);
	ck_assert_uint_eq(pool->stack_size_bytes, 65536);
	ck_assert_uint_eq(pool->stall_warning_ms, 1000);
	conf_unref(&conf);
}
END_TEST

START_TEST(listener_has_its_defaults)
{
	struct conf *conf = conffiles_load_good(CONFFILES_LISTENERS);
	const struct conf_listener *listener = conf->listeners[0];

	ck_assert_str_eq(listener->pool_name, "main");
	ck_assert_uint_eq(listener->backlog, 4096);
	ck_assert(listener->reuse_address && !listener->reuse_port && !listener->keep_alive && listener->no_delay);
	ck_assert(!listener->free_bind);
	ck_assert_int_eq(listener->ipv6_only, CONF_IPV6_ONLY_AUTO);
	ck_assert_uint_eq(listener->defer_accept_ms + listener->fast_open, 0);
	ck_assert_uint_eq(listener->receive_buffer_bytes + listener->send_buffer_bytes, 0);
	ck_assert_uint_eq(listener->socket_mode, 0666);
	ck_assert_ptr_null(listener->bind_to_device);
	ck_assert_ptr_null(listener->busy_message);
	ck_assert_uint_eq(listener->max_connections + listener->max_per_source, 0);
	ck_assert_uint_eq(listener->allow.count + listener->deny.count, 0);
	ck_assert(!listener->accept_proxy);
	ck_assert_uint_eq(listener->trusted_proxies.count, 0);
	ck_assert_uint_eq(listener->proxy_timeout_ms, 3000);
	ck_assert_uint_eq(listener->idle_timeout_ms + listener->lifetime_ms, 0);
	ck_assert_uint_eq(listener->send_timeout_ms, 60000);
	conf_unref(&conf);
}
END_TEST

START_TEST(resolver_has_its_defaults)
{
	struct conf *conf = conffiles_load_good(CONFFILES_LISTENERS);

	ck_assert_uint_eq(conf->resolver.servers.count, 0);
	ck_assert_uint_eq(conf->resolver.timeout_ms, 5000);
	ck_assert_uint_eq(conf->resolver.retry_ms, 5000);
	ck_assert_uint_eq(conf->resolver.min_ttl_ms, 1000);
	ck_assert_uint_eq(conf->resolver.max_ttl_ms, 3600000);
	conf_unref(&conf);
}
END_TEST

static const char one_server[] =
	"upstreams: { u: { servers = ( { address = \"tcp:a:80\"; } ); }; };\n" CONFFILES_LISTENERS;

START_TEST(upstream_has_its_defaults)
{
	struct conf *conf = conffiles_load_good(one_server);
	const struct conf_upstream *upstream = conf->upstreams[0];

	ck_assert_int_eq(upstream->balance, CONF_BALANCE_ROUND_ROBIN);
	ck_assert_uint_eq(upstream->connect_timeout_ms, 5000);
	ck_assert_uint_eq(upstream->retries, 2);
	ck_assert_uint_eq(upstream->queue_size, 1024);
	ck_assert_uint_eq(upstream->queue_timeout_ms, 30000);
	ck_assert_uint_eq(upstream->wait_for_upstream_ms + upstream->slow_start_ms, 0);
	ck_assert_uint_eq(upstream->max_failures, 3);
	ck_assert_uint_eq(upstream->retry_after_ms, 10000);
	ck_assert_int_eq(upstream->check, CONF_CHECK_NONE);
	ck_assert(upstream->check_send == NULL && upstream->check_expect == NULL && upstream->agent_send == NULL);
	ck_assert_uint_eq(upstream->check_port + upstream->agent_port, 0);
	ck_assert_uint_eq(upstream->check_interval_ms, 2000);
	ck_assert_uint_eq(upstream->check_fast_interval_ms, 1000);
	ck_assert_uint_eq(upstream->check_timeout_ms, 1000);
	ck_assert_uint_eq(upstream->check_rise, 2);
	ck_assert_uint_eq(upstream->check_fall, 3);
	ck_assert_uint_eq(upstream->agent_interval_ms, 2000);
	conf_unref(&conf);
}
END_TEST

START_TEST(server_has_its_defaults)
{
	struct conf *conf = conffiles_load_good(one_server);
	const struct conf_server *server = conf->upstreams[0]->servers[0];

	ck_assert_uint_eq(server->weight, 1);
	ck_assert(!server->backup && !server->maintenance);
	ck_assert_uint_eq(server->max_connections + server->ready_connections, 0);
	ck_assert_int_eq(server->send_proxy, CONF_SEND_PROXY_NONE);
	conf_unref(&conf);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("conf/options");
	TCase *tc = conffiles_case(suite, "table");

	tcase_add_test(tc, every_row_is_whole);
	tcase_add_test(tc, every_default_can_be_read);
	tc = conffiles_case(suite, "defaults");
	tcase_add_test(tc, daemon_and_log_have_their_defaults);
	tcase_add_test(tc, pool_has_its_defaults);
	tcase_add_test(tc, listener_has_its_defaults);
	tcase_add_test(tc, resolver_has_its_defaults);
	tcase_add_test(tc, upstream_has_its_defaults);
	tcase_add_test(tc, server_has_its_defaults);
	return conffiles_run(suite);
}
