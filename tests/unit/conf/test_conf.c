/* SPDX-License-Identifier: MIT */
/*
 * Tests of conf/conf: a generation lives as long as it is held, and its parts are found by name.
 */
#include "config.h"

#include <pthread.h>

#include <check.h>

#include "conffiles.h"

static const char two_of_each[] =
	"pools: { main: {}; jobs: { workers = 2; }; };\n"
	"upstreams: { u: { servers = ( { address = \"tcp:a:80\"; } ); };\n"
	"  v: { servers = ( { address = \"tcp:b:80\"; }, { address = \"unix:/c\"; } ); }; };\n"
	"listeners: ( { name = \"a\"; address = \"tcp:*:0\"; service = \"echo\"; },\n"
	"  { name = \"b\"; address = \"unix:@b\"; service = { type = \"greet\"; greeting = "
	"\"hi\"; }; pool = \"jobs\"; } );\n";

START_TEST(parts_are_found_by_name)
{
	struct conf *conf = conffiles_load_good(two_of_each);

	ck_assert_ptr_eq(conf_find_pool(conf, "jobs"), conf->pools[1]);
	ck_assert_ptr_eq(conf_find_listener(conf, "b"), conf->listeners[1]);
	ck_assert_ptr_eq(conf_find_upstream(conf, "v"), conf->upstreams[1]);
	ck_assert_ptr_null(conf_find_pool(conf, "b"));
	ck_assert_ptr_null(conf_find_upstream(conf, "b"));
	ck_assert_ptr_null(conf_find_listener(conf, "jobs"));
	ck_assert_ptr_eq(conf->listeners[0]->pool, conf->pools[0]);
	ck_assert_ptr_eq(conf->listeners[1]->pool, conf->pools[1]);
	ck_assert_uint_eq(conf->listeners[1]->index, 1);
	conf_unref(&conf);
}
END_TEST

START_TEST(unref_empties_the_holder)
{
	struct conf *conf = conffiles_load_good(two_of_each);
	struct conf *other = conf_ref(conf);

	conf_unref(&conf);
	ck_assert_ptr_null(conf);
	ck_assert_str_eq(other->listeners[0]->name, "a");
	conf_unref(&other);
	conf_unref(&other);
}
END_TEST

static void *
hold_and_release(void *arg)
{
	for (int i = 0; i < 10000; i++) {
		struct conf *conf = conf_ref(arg);

		conf_unref(&conf);
	}
	/* The reference that the thread was given. */
	struct conf *own = arg;

	conf_unref(&own);
	return NULL;
}

START_TEST(any_thread_may_be_the_last)
{
	struct conf *conf = conffiles_load_good(two_of_each);
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, hold_and_release, conf_ref(conf)), 0);
	conf_unref(&conf);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("conf/conf");
	TCase *tc = conffiles_case(suite, "find");

	tcase_add_test(tc, parts_are_found_by_name);
	tc = conffiles_case(suite, "references");
	tcase_add_test(tc, unref_empties_the_holder);
	tcase_add_test(tc, any_thread_may_be_the_last);
	return conffiles_run(suite);
}
