/* SPDX-License-Identifier: MIT */
/*
 * test_module - modules found, loaded, shared and let go; tests/modules/ has those that are loaded here.
 */
#include "config.h"

#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <check.h>

#include "base/errmsg.h"
#include "base/fdutil.h"
#include "conf/conf.h"
#include "connpoold/handler.h"
#include "service/module.h"
#include "../net/netfixture.h"

/* Borrowed until the next call. */
static const char *
built(const char *name)
{
	static char path[512];
	const char *folder = getenv("top_builddir");

	snprintf(path, sizeof(path), "%s/tests/modules/%s.so", folder != NULL ? folder : ".", name);
	return path;
}

static const struct option_group *
load(const char *path)
{
	const struct option_group *group = NULL;
	struct errmsg err = {""};

	ck_assert_msg(module_extend("/etc/x.conf", path, &group, &err) == 0, "%s", err.text);
	ck_assert_ptr_nonnull(group);
	return group;
}

static void
expect_refused(const char *conf_path, const char *path, const char *text)
{
	const struct option_group *group = NULL;
	struct errmsg err = {""};

	ck_assert_int_lt(module_extend(conf_path, path, &group, &err), 0);
	ck_assert_msg(strstr(err.text, text) != NULL, "%s", err.text);
	ck_assert_ptr_null(group);
}

START_TEST(a_module_brings_its_handler_and_its_options)
{
	const struct option_group *group = load(built("probe-one"));
	struct conf_service service = {.group = group, .options = &service};

	ck_assert_str_eq(module_handler(&service)->name, "probe");
	ck_assert_ptr_nonnull(option_find(group, "path"));
	ck_assert_ptr_nonnull(option_find(group, "greeting"));
	ck_assert_ptr_eq(module_settings(&service), (const char *)&service + option_find(group, "loud")->offset);
	module_retract(&group);
	ck_assert_ptr_null(group);
}
END_TEST

START_TEST(the_same_bytes_are_one_module)
{
	const struct option_group *one = load(built("probe-one"));
	const struct option_group *again = load(built("probe-one"));
	const struct option_group *two = load(built("probe-two"));

	ck_assert_ptr_eq(one, again);
	ck_assert_ptr_ne(one, two);
	module_retract(&one);
	ck_assert_ptr_nonnull(option_find(again, "greeting"));
	module_retract(&again);
	module_retract(&two);
}
END_TEST

/* Descriptors are numbered anew, and the loader knows libraries by name: the second must not be taken for the first. */
START_TEST(one_after_the_other_is_another)
{
	for (int i = 0; i < 3; i++) {
		const struct option_group *group = load(built(i % 2 == 0 ? "probe-one" : "example"));
		struct conf_service service = {.group = group};

		ck_assert_str_eq(module_handler(&service)->name, i % 2 == 0 ? "probe" : "greet");
		module_retract(&group);
	}
}
END_TEST

/* The loader keeps it: its name must not become that of another one, which would be the first one's code. */
START_TEST(one_that_can_not_be_unloaded_is_not_taken_for_the_next)
{
	const struct option_group *group = load(built("kept-one"));
	struct conf_service service = {.group = group};
	const struct cp_handler *first = module_handler(&service);

	module_retract(&group);
	service.group = group = load(built("kept-two"));
	ck_assert_ptr_ne(module_handler(&service), first);
	module_retract(&group);
}
END_TEST

START_TEST(a_service_is_called_as_its_handler_is)
{
	struct conf_service_type type = {.name = "module"};
	const struct option_group *group = load(built("probe-one"));
	struct conf_service service = {.type = &type, .group = group};

	ck_assert_str_eq(conf_service_name(&service), "probe");
	service.group = &type.group;
	ck_assert_str_eq(conf_service_name(&service), "module");
	module_retract(&group);
}
END_TEST

START_TEST(nothing_is_left_of_one_that_was_let_go)
{
	const struct option_group *group = load(built("probe-one"));
	int before;

	module_retract(&group);
	before = fd_count_open();
	group = load(built("probe-one"));
	ck_assert_int_eq(fd_count_open(), before + 1);
	module_retract(&group);
	ck_assert_int_eq(fd_count_open(), before);
	expect_refused("x.conf", built("broken-abi"), "compiled for ABI");
	ck_assert_int_eq(fd_count_open(), before);
}
END_TEST

START_TEST(faults_come_with_the_path_and_the_loaders_words)
{
	expect_refused("x.conf", built("broken-abi"), "broken-abi.so: it was compiled for ABI 3 of");
	expect_refused("x.conf", built("broken-symbol"), "broken-symbol.so: it has no symbol \"connpoold_handler\"");
	expect_refused("x.conf", built("broken-undefined"),
		"broken-undefined.so: cannot load it: undefined symbol: there_is_no_such_call");
	expect_refused("x.conf", built("broken-table"), "broken-table.so: its option \"Greeting\": its name");
	expect_refused("x.conf", built("broken-serve"), "broken-serve.so: its handler has no serve()");
	expect_refused("x.conf", built("broken-flags"), "its handler has flags that this connpoold does not know");
	expect_refused("x.conf", built("broken-counters"), "the name of a counter is not made of small letters");
	expect_refused("x.conf", built("broken-name"), "its handler has no name");
	expect_refused("x.conf", built("broken-worker"), "its handler has worker_end() and no worker_start()");
	expect_refused("x.conf", built("broken-endless"), "its list of counters does not end with NULL");
	expect_refused("x.conf", built("broken-object"), "is an object file, no shared object: link it");
}
END_TEST

/* Its number can't be read from the file: it is compared once it is loaded. */
START_TEST(a_module_without_sections_is_asked_for_its_abi_too)
{
	char command[1200];
	const char *path = fixture_path("bare.so");
	ElfW(Ehdr) header;
	FILE *file;

	snprintf(command, sizeof(command), "cp '%s' '%s'", built("broken-bare"), path);
	ck_assert_int_eq(system(command), 0);
	file = fopen(path, "r+b");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fread(&header, sizeof(header), 1, file), 1);
	header.e_shnum = 0;
	rewind(file);
	ck_assert_uint_eq(fwrite(&header, sizeof(header), 1, file), 1);
	ck_assert_int_eq(fclose(file), 0);
	expect_refused("x.conf", path, "bare.so: it was compiled for ABI 3 of");
}
END_TEST

START_TEST(a_relative_path_begins_beside_the_config_file)
{
	const struct option_group *group = NULL;
	char conf_path[64];

	ck_assert_int_eq(symlink(built("probe-one"), fixture_path("m.so")), 0);
	snprintf(conf_path, sizeof(conf_path), "%s/x.conf", fixture.folder);
	ck_assert_int_eq(module_extend(conf_path, "m.so", &group, NULL), 0);
	module_retract(&group);
	expect_refused(conf_path, "none.so", "/none.so: cannot open: No such file");
	expect_refused("x.conf", "none.so", "none.so: cannot open: No such file or directory; nor is it in /");
	expect_refused("x.conf", "/nowhere/none.so", "none.so: cannot open: No such file or directory");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("service/module");
	TCase *tc = fixture_case(suite, "loading");

	tcase_add_test(tc, a_module_brings_its_handler_and_its_options);
	tcase_add_test(tc, the_same_bytes_are_one_module);
	tcase_add_test(tc, one_after_the_other_is_another);
	tcase_add_test(tc, a_service_is_called_as_its_handler_is);
	tcase_add_test(tc, nothing_is_left_of_one_that_was_let_go);
	tcase_add_test(tc, a_relative_path_begins_beside_the_config_file);
	/* Without the fixture, which wants every descriptor back. */
	tc = tcase_create("kept");
	suite_add_tcase(suite, tc);
	tcase_add_test(tc, one_that_can_not_be_unloaded_is_not_taken_for_the_next);
	tc = fixture_case(suite, "faults");
	tcase_add_test(tc, a_module_without_sections_is_asked_for_its_abi_too);
	tcase_add_test(tc, faults_come_with_the_path_and_the_loaders_words);
	return fixture_run(suite);
}
