/* SPDX-License-Identifier: MIT */
/*
 * conffiles - a folder of config files for one test, the services that they may name, and looking at what a load says.
 *
 * conffiles_setup and conffiles_teardown are the checked fixture of every case that loads.
 */
#ifndef CP_TESTS_UNIT_CONF_CONFFILES_H
#define CP_TESTS_UNIT_CONF_CONFFILES_H

#include <ftw.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <check.h>

#include "conf/conf.h"
#include "conf/load.h"
#include "shape.h"

/* What service "greet" may say. */
struct greet {
	uint64_t count;
	char *greeting;
	struct option_strings words;
};

static const struct option greet_options[] = {
	OPT_UINT(struct greet, count, "count", 1, 9, "3", "times", OPTION_LIVE, "How often."),
	OPT_STRING_REQUIRED(struct greet, greeting, "greeting", OPTION_NEW_CONNECTIONS, "What is said."),
	OPT_STRINGS(struct greet, words, "words", OPTION_NEW_CONNECTIONS, "More of it."),
	OPT_END,
};

/* What service "forward" may say. */
struct forward {
	char *upstream;
};

static const struct option forward_options[] = {
	OPT_UPSTREAM_REQUIRED(struct forward, upstream, "upstream", OPTION_NEW_CONNECTIONS, "Where to."),
	OPT_END,
};

static const struct conf_service_type conffiles_types[] = {
	{.name = "echo", .group = {.path = "service echo", .help = "Sends back."}},
	{.name = "time", .group = {.path = "service time", .help = "Sends the time."}},
	{.name = "greet",
		.group = {.path = "service greet",
			.help = "Greets.",
			.options = greet_options,
			.size = sizeof(struct greet)}},
	{.name = "forward",
		.group = {.path = "service forward",
			.help = "Forwards.",
			.options = forward_options,
			.size = sizeof(struct forward)}},
	{.name = "shape",
		.group = {.path = "service shape",
			.help = "Draws.",
			.options = shape_options,
			.size = sizeof(struct shape)},
		.extended_by = "kind",
		.extend = shape_extend,
		.retract = shape_retract},
	{.name = NULL},
};

/* One plain listener: a file that is good, and the end of many that are not. */
#define CONFFILES_LISTENERS "listeners: ( { name = \"a\"; address = \"tcp:*:0\"; service = \"echo\"; } );\n"

static char conffiles_folder[64];

static inline void
conffiles_setup(void)
{
	snprintf(conffiles_folder, sizeof(conffiles_folder), "/tmp/conffiles.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(conffiles_folder));
}

static inline int
conffiles_remove(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

static inline void
conffiles_teardown(void)
{
	ck_assert_int_eq(nftw(conffiles_folder, conffiles_remove, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* Borrowed until the next call. */
static inline const char *
conffiles_path(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", conffiles_folder, name);
	return path;
}

static inline void
conffiles_write(const char *name, const char *text)
{
	FILE *file = fopen(conffiles_path(name), "w");

	ck_assert_ptr_nonnull(file);
	ck_assert_int_ge(fputs(text, file), 0);
	ck_assert_int_eq(fclose(file), 0);
}

/* Loads text as the main file; owned. */
static inline struct conf *
conffiles_load(const char *text, struct conf_errors *errors)
{
	memset(errors, 0, sizeof(*errors));
	conffiles_write("main.conf", text);
	return conf_load(conffiles_path("main.conf"), conffiles_types, errors);
}

/* The same where it has to be good. */
static inline struct conf *
conffiles_load_good(const char *text)
{
	struct conf_errors errors;
	struct conf *conf = conffiles_load(text, &errors);

	ck_assert_msg(conf != NULL, "%s", errors.count > 0 ? errors.items[0].text : "no error");
	ck_assert_uint_eq(errors.count, 0);
	return conf;
}

/* Error i without the folder before its file. */
static inline const char *
conffiles_error(const struct conf_errors *errors, unsigned i)
{
	const char *text = i < errors->count ? errors->items[i].text : "(no such error)";
	size_t length = strlen(conffiles_folder);

	return strncmp(text, conffiles_folder, length) == 0 ? text + length + 1 : text;
}

/* True when some error has said in it. */
static inline bool
conffiles_has_error(const struct conf_errors *errors, const char *said)
{
	for (unsigned i = 0; i < errors->count; i++) {
		if (strstr(errors->items[i].text, said) != NULL)
			return true;
	}
	return false;
}

/* Loads text and wants exactly one error, which begins (behind the folder) with said. */
static inline void
conffiles_expect(const char *text, const char *said)
{
	struct conf_errors errors;
	struct conf *conf = conffiles_load(text, &errors);

	ck_assert_msg(conf == NULL, "taken: %s", text);
	ck_assert_msg(strncmp(conffiles_error(&errors, 0), said, strlen(said)) == 0, "\"%s\" instead of \"%s\"",
		conffiles_error(&errors, 0), said);
	ck_assert_msg(errors.count == 1, "more: %s", conffiles_error(&errors, 1));
	conf_errors_fini(&errors);
}

/* Loads text and wants no error. */
static inline void
conffiles_expect_good(const char *text)
{
	struct conf *conf = conffiles_load_good(text);

	conf_unref(&conf);
}

/* Every program's main(): runs and frees the suite. */
static inline int
conffiles_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}

/* A case whose tests have the folder. */
static inline TCase *
conffiles_case(Suite *suite, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, conffiles_setup, conffiles_teardown);
	suite_add_tcase(suite, tc);
	return tc;
}

#endif
