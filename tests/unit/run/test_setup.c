/* SPDX-License-Identifier: MIT */
/*
 * test_setup - a command line as a config of one listener, and what is wrong with one.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "base/address.h"
#include "base/errmsg.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "connpoold/handler.h"
#include "net/route.h"
#include "run/setup.h"
#include "../net/netfixture.h"

static char path[512];
static struct setup setup;

static const char *
probe(void)
{
	const char *folder = getenv("top_builddir");

	snprintf(path, sizeof(path), "%s/tests/modules/probe-one.so", folder != NULL ? folder : ".");
	return path;
}

static int
init(const char *address, const char *option, struct errmsg *err)
{
	const struct setup_wish wish = {
		.module = probe(), .address = address, .options = &option, .option_count = option != NULL};

	return setup_init(&setup, &wish, err);
}

static void
expect_refused(const char *address, const char *option, const char *text)
{
	struct errmsg err = {""};

	ck_assert_int_lt(init(address, option, &err), 0);
	ck_assert_msg(strstr(err.text, text) != NULL, "%s", err.text);
	setup_fini(&setup);
}

START_TEST(a_module_is_a_route)
{
	ck_assert_int_eq(init(NULL, NULL, NULL), 0);
	ck_assert_str_eq(setup.route->handler->name, "probe");
	ck_assert_ptr_nonnull(setup.route->state.data);
	ck_assert_str_eq(setup.listener->name, "run");
	ck_assert_ptr_eq(setup.route->rule, setup.conf->listeners[0]);
	ck_assert_ptr_eq(setup.route->rule->pool, setup.conf->pools[0]);
	setup_fini(&setup);
	ck_assert_ptr_null(setup.route);
}
END_TEST

START_TEST(an_address_is_the_listeners)
{
	ck_assert_int_eq(init("tcp:127.0.0.1:0", "times=4", NULL), 0);
	ck_assert_uint_eq(setup.conf->listeners[0]->addresses.count, 1);
	ck_assert_str_eq(setup.conf->listeners[0]->addresses.items[0].text, "tcp:127.0.0.1:0");
	setup_fini(&setup);
}
END_TEST

START_TEST(faults_are_named)
{
	expect_refused(NULL, "times=10", "times: 10 is out of range, expected a number from 1 to 9");
	expect_refused(NULL, "path=/tmp/other.so", "path: unknown option");
	expect_refused(NULL, "pat=1", "pat: unknown option");
	expect_refused(NULL, "tmes=1", "tmes: unknown option, did you mean 'times'?");
	expect_refused(NULL, "qqqqqqqqqqqq=1", "qqqqqqqqqqqq: unknown option");
	expect_refused(NULL, "times", "times: expected NAME=VALUE");
	expect_refused("tcp:x", NULL, "tcp:x");
	expect_refused(NULL, "refuse=it", "service 'probe': cannot: it");
}
END_TEST

START_TEST(no_memory_is_said_and_nothing_is_left)
{
	int rc = -ENOMEM;
	unsigned n;

	for (n = 1; rc == -ENOMEM; n++) {
		mem_fail_after(n);
		rc = init("tcp:127.0.0.1:0", "names=a", NULL);
		mem_fail_after(0);
		setup_fini(&setup);
	}
	ck_assert_int_eq(rc, 0);
	ck_assert_uint_gt(n, 10);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("run/setup");
	TCase *tc = tcase_create("setup");

	suite_add_tcase(suite, tc);
	tcase_add_test(tc, a_module_is_a_route);
	tcase_add_test(tc, an_address_is_the_listeners);
	tcase_add_test(tc, faults_are_named);
	tcase_add_test(tc, no_memory_is_said_and_nothing_is_left);
	return fixture_run(suite);
}
