/* SPDX-License-Identifier: MIT */
/*
 * test_binding - what a handler makes for a generation and for its workers, when it gives that back, and its counters.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <check.h>

#include "base/errmsg.h"
#include "base/mem.h"
#include "net/route.h"
#include "service/binding.h"
#include "sessionrig.h"

/* What was called, in order. */
static char calls[256];
static int configure_result;
static int worker_result;
static void *seen[2];
static int seen_errno;

static void
note(const char *what)
{
	snprintf(calls + strlen(calls), sizeof(calls) - strlen(calls), "%s ", what);
}

static int
configure(const void *settings, void **ret_state, struct cp_error *error)
{
	note("configure");
	if (configure_result == -1)
		return cp_error_set(error, "no %s", (const char *)settings);
	errno = configure_result == -2 ? EACCES : 0;
	if (configure_result < 0)
		return -1;
	*ret_state = calls;
	return 0;
}

static void
release(void *state)
{
	ck_assert_ptr_eq(state, calls);
	note("release");
}

static int
worker_start(void *state, void **ret_worker)
{
	ck_assert_ptr_eq(state, calls);
	note("worker_start");
	errno = ENOTCONN;
	*ret_worker = &worker_result;
	return worker_result;
}

static void
worker_end(void *worker)
{
	ck_assert_ptr_eq(worker, &worker_result);
	note("worker_end");
}

static int
serve(struct cp_conn *conn)
{
	char byte;

	ck_assert_int_eq(cp_recv(conn, &byte, 1), 0);
	seen[0] = cp_state(conn);
	errno = 0;
	seen[1] = cp_worker_state(conn);
	seen_errno = errno;
	cp_count(conn, 1, 3);
	return CP_DONE;
}

static const char *const counters[] = {"none", "some", NULL};

static const struct cp_handler whole = {.abi = CP_HANDLER_ABI,
	.name = "whole",
	.serve = serve,
	.configure = configure,
	.release = release,
	.worker_start = worker_start,
	.worker_end = worker_end,
	.counters = counters};

static void
set_up(void)
{
	calls[0] = '\0';
	configure_result = 0;
	worker_result = 0;
}

/* One connection on a route of its own binding. */
static void
serve_one(struct served *served, const char *settings)
{
	struct route_state state;

	ck_assert_int_eq(binding_new(&whole, NULL, settings, "web", &state, NULL), 0);
	fixture_open("", "", &whole);
	route_set_state(fixture.route, &state);
	served_begin(served);
	served_close(served);
	served_finish(served);
}

START_TEST(a_handler_with_serve_alone_needs_none)
{
	const struct cp_handler plain = {.abi = CP_HANDLER_ABI, .name = "plain", .serve = serve};

	ck_assert(!binding_is_needed(&plain));
	ck_assert(binding_is_needed(&whole));
}
END_TEST

START_TEST(the_state_is_what_configure_made)
{
	static struct served served;

	serve_one(&served, "settings");
	ck_assert_ptr_eq(seen[0], calls);
}
END_TEST

START_TEST(without_configure_the_state_is_the_settings)
{
	const struct cp_handler plain = {.abi = CP_HANDLER_ABI, .name = "plain", .serve = serve, .counters = counters};
	struct route_state state;

	ck_assert_int_eq(binding_new(&plain, NULL, counters, "web", &state, NULL), 0);
	ck_assert_ptr_eq(state.data, counters);
	state.release(state.owner);
}
END_TEST

START_TEST(what_configure_says_is_passed_on)
{
	struct route_state state = {0};
	struct errmsg err = {""};

	configure_result = -1;
	ck_assert_int_eq(binding_new(&whole, NULL, "bread", "web", &state, &err), -EINVAL);
	ck_assert_str_eq(err.text, "no bread");
	configure_result = -2;
	ck_assert_int_eq(binding_new(&whole, NULL, "bread", "web", &state, &err), -EINVAL);
	ck_assert_str_eq(err.text, errmsg_errno(EACCES));
	configure_result = -3;
	ck_assert_int_eq(binding_new(&whole, NULL, "bread", "web", &state, &err), -EINVAL);
	ck_assert_str_eq(err.text, "its configure() refused and did not say why");
	ck_assert_ptr_null(state.owner);
	/* What was not made is not given back. */
	ck_assert_str_eq(calls, "configure configure configure ");
}
END_TEST

START_TEST(worker_state_is_made_once_and_given_back_first)
{
	static struct served first;
	static struct served second;
	struct route_state state;

	serve_one(&first, "settings");
	ck_assert_ptr_eq(seen[1], &worker_result);
	served_begin(&second);
	served_close(&second);
	served_finish(&second);
	ck_assert_str_eq(calls, "configure worker_start ");
	state = fixture.route->state;
	fixture.route->state = (struct route_state){0};
	state.release(state.owner);
	ck_assert_str_eq(calls, "configure worker_start worker_end release ");
}
END_TEST

START_TEST(worker_start_that_fails_is_asked_again)
{
	static struct served first;
	static struct served second;

	worker_result = -1;
	serve_one(&first, "settings");
	ck_assert_ptr_null(seen[1]);
	ck_assert_int_eq(seen_errno, ENOTCONN);
	worker_result = 0;
	served_begin(&second);
	served_close(&second);
	served_finish(&second);
	ck_assert_ptr_eq(seen[1], &worker_result);
	ck_assert_str_eq(calls, "configure worker_start worker_start ");
}
END_TEST

START_TEST(counters_add_up)
{
	static struct served served;
	const struct binding *binding;
	const char *name;

	serve_one(&served, "settings");
	served_begin(&served);
	served_close(&served);
	served_finish(&served);
	binding = binding_of_state(&fixture.route->state);
	ck_assert_ptr_nonnull(binding);
	ck_assert_ptr_null(binding_of_state(&(struct route_state){.data = calls, .release = mem_free}));
	ck_assert_uint_eq(binding_counter(binding, 0, &name), 0);
	ck_assert_str_eq(name, "none");
	ck_assert_uint_eq(binding_counter(binding, 1, &name), 6);
	ck_assert_str_eq(name, "some");
	ck_assert_uint_eq(binding_counter(binding, 2, &name), 0);
	ck_assert_ptr_null(name);
}
END_TEST

START_TEST(what_was_counted_is_logged_at_the_end)
{
	static struct served served;
	struct route_state state;
	const char *text;

	serve_one(&served, "settings");
	state = fixture.route->state;
	fixture.route->state = (struct route_state){0};
	fixture_capture();
	state.release(state.owner);
	text = fixture_captured();
	ck_assert_msg(strstr(text, "listener 'web': service 'whole' counted some=3\n") != NULL, "logged: %s", text);
}
END_TEST

START_TEST(no_memory_is_said_and_nothing_is_left)
{
	struct route_state state;
	int rc = -ENOMEM;
	unsigned n;

	for (n = 1; rc == -ENOMEM; n++) {
		set_up();
		mem_fail_after(n);
		rc = binding_new(&whole, NULL, "settings", "web", &state, NULL);
		mem_fail_after(0);
		if (rc < 0)
			ck_assert_str_eq(calls, "");
	}
	ck_assert_int_eq(rc, 0);
	ck_assert_uint_gt(n, 2);
	state.release(state.owner);
}
END_TEST

START_TEST(an_error_too_long_is_cut)
{
	struct cp_error error;

	ck_assert_int_eq(cp_error_set(&error, "%0600d", 1), -1);
	ck_assert_uint_eq(strlen(error.text), sizeof(error.text) - 1);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("service/binding");
	TCase *tc = rig_case(suite, "configure");

	tcase_add_checked_fixture(tc, set_up, NULL);
	tcase_add_test(tc, a_handler_with_serve_alone_needs_none);
	tcase_add_test(tc, the_state_is_what_configure_made);
	tcase_add_test(tc, without_configure_the_state_is_the_settings);
	tcase_add_test(tc, what_configure_says_is_passed_on);
	tcase_add_test(tc, no_memory_is_said_and_nothing_is_left);
	tcase_add_test(tc, an_error_too_long_is_cut);
	tc = rig_case(suite, "workers");
	tcase_add_checked_fixture(tc, set_up, NULL);
	tcase_add_test(tc, worker_state_is_made_once_and_given_back_first);
	tcase_add_test(tc, worker_start_that_fails_is_asked_again);
	tc = rig_case(suite, "counters");
	tcase_add_checked_fixture(tc, set_up, NULL);
	tcase_add_test(tc, counters_add_up);
	tcase_add_test(tc, what_was_counted_is_logged_at_the_end);
	return fixture_run(suite);
}
