/* SPDX-License-Identifier: MIT */
/*
 * test_registry - the names that the config reader knows, and the handler behind each.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "connpoold/handler.h"
#include "net/route.h"
#include "service/registry.h"
#include "service/services.h"
#include "upstream/group.h"
#include "upstream/upstreams.h"
#include "../net/netfixture.h"

static struct upstream *group;

/* In place of the daemon's table. */
struct upstream *
upstreams_find(struct upstreams *upstreams, const char *name)
{
	ck_assert_ptr_null(upstreams);
	ck_assert_str_eq(name, upstream_name(group));
	return group;
}

/* Of a service without a section; modules have a handler only with one. */
static const struct cp_handler *
handler_of(const struct conf_service_type *type)
{
	const struct conf_service service = {.type = type, .group = &type->group};

	return registry_handler(&service);
}

static const struct cp_handler *
handler_named(const char *name)
{
	for (const struct conf_service_type *type = registry_types(); type->name != NULL; type++) {
		if (strcmp(type->name, name) == 0)
			return handler_of(type);
	}
	return NULL;
}

START_TEST(every_type_has_the_handler_of_its_name)
{
	for (const struct conf_service_type *type = registry_types(); type->name != NULL; type++) {
		const struct cp_handler *handler;

		if (type->extend != NULL)
			continue;
		handler = handler_of(type);
		ck_assert_ptr_nonnull(handler);
		ck_assert_str_eq(handler->name, type->name);
		ck_assert_uint_eq(handler->abi, CP_HANDLER_ABI);
		ck_assert_ptr_nonnull(handler->serve);
	}
}
END_TEST

START_TEST(the_small_services_are_there)
{
	ck_assert_ptr_eq(handler_named("echo"), &echo_handler);
	ck_assert_ptr_eq(handler_named("discard"), &discard_handler);
	ck_assert_ptr_eq(handler_named("daytime"), &daytime_handler);
	ck_assert_ptr_eq(handler_named("time"), &time_handler);
	ck_assert_ptr_eq(handler_named("chargen"), &chargen_handler);
	ck_assert_ptr_eq(handler_named("proxy"), &proxy_handler);
	ck_assert_ptr_eq(handler_named("check"), &check_handler);
	ck_assert_ptr_null(handler_named("nosuch"));
}
END_TEST

START_TEST(every_type_has_its_place_in_the_option_table)
{
	for (const struct conf_service_type *type = registry_types(); type->name != NULL; type++) {
		ck_assert_int_eq(strncmp(type->group.path, "service ", 8), 0);
		ck_assert_str_eq(type->group.path + 8, type->name);
		ck_assert_ptr_nonnull(type->group.options);
		ck_assert_msg(strlen(type->group.help) > 0 && type->group.help[strlen(type->group.help) - 1] == '.',
			"the help of '%s' is no sentence", type->name);
	}
}
END_TEST

START_TEST(a_service_without_a_state_binds_nothing)
{
	static char leftover;

	for (const struct conf_service_type *type = registry_types(); type->name != NULL; type++) {
		char name[] = "a";
		struct conf_listener rule = {.name = name, .service = {.type = type, .group = &type->group}};
		struct route_state state = {.data = &leftover, .release = mem_free};

		if (type->extend != NULL || type->runs_program || handler_of(type) == &proxy_handler)
			continue;
		ck_assert_int_eq(registry_bind(NULL, &rule, NULL, NULL, &state, NULL), 0);
		ck_assert_ptr_null(state.data);
		ck_assert(state.release == NULL);
	}
}
END_TEST

static const struct conf_service_type *
type_named(const char *name)
{
	const struct conf_service_type *type = registry_types();

	while (strcmp(type->name, name) != 0)
		type++;
	return type;
}

START_TEST(a_proxy_holds_its_upstream)
{
	char name[] = "web";
	struct proxy_options options = {.upstream = name, .buffer_size_bytes = 4096};
	struct conf_listener rule = {
		.service = {.type = type_named("proxy"), .group = &type_named("proxy")->group, .options = &options}};
	struct route_state state = {0};

	group = upstream_new(name);
	ck_assert_ptr_nonnull(group);
	ck_assert_int_eq(registry_bind(NULL, &rule, NULL, NULL, &state, NULL), 0);
	ck_assert_ptr_nonnull(state.data);
	ck_assert_uint_eq(atomic_load(&group->refs), 2);
	state.release(state.data);
	ck_assert_uint_eq(atomic_load(&group->refs), 1);
	upstream_unref(&group);
}
END_TEST

START_TEST(a_check_without_memory_is_not_bound)
{
	char name[] = "a";
	struct conf_listener rule = {.name = name, .service = {.type = type_named("check")}};
	struct route_state state = {0};

	mem_fail_after(1);
	ck_assert_int_eq(registry_bind(NULL, &rule, NULL, NULL, &state, NULL), -ENOMEM);
	mem_fail_after(0);
}
END_TEST

START_TEST(no_name_stands_there_twice)
{
	for (const struct conf_service_type *a = registry_types(); a->name != NULL; a++) {
		for (const struct conf_service_type *b = registry_types(); b != a; b++)
			ck_assert_str_ne(a->name, b->name);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("service/registry");
	TCase *tc = fixture_case(suite, "registry");

	tcase_add_test(tc, every_type_has_the_handler_of_its_name);
	tcase_add_test(tc, the_small_services_are_there);
	tcase_add_test(tc, every_type_has_its_place_in_the_option_table);
	tcase_add_test(tc, a_service_without_a_state_binds_nothing);
	tcase_add_test(tc, a_proxy_holds_its_upstream);
	tcase_add_test(tc, a_check_without_memory_is_not_bound);
	tcase_add_test(tc, no_name_stands_there_twice);
	return fixture_run(suite);
}
