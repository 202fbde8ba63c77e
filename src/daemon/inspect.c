/* SPDX-License-Identifier: MIT */
/*
 * inspect.c - --check, --dump-config and --help-config.
 */
#include "config.h"

#include "daemon/inspect.h"

#include <stdio.h>

#include "base/errmsg.h"
#include "base/systemd.h"
#include "conf/dump.h"
#include "conf/load.h"
#include "daemon/daemon.h"
#include "program/needs.h"
#include "service/registry.h"

/* To standard error, with the priority that the journal reads from a line (sd-daemon(3)) when it is the journal. */
static void
print_line(bool is_error, const char *text)
{
	const char *priority = is_error ? "<3>" : "<4>";

	fprintf(stderr, "%s%s\n", systemd_stderr_is_journal() ? priority : "", text);
}

/* Caller owns one reference; NULL: the errors were printed. */
static struct conf *
load(const char *conf_path, const struct conf_service_type *types)
{
	struct conf_errors errors = {0};
	struct conf *conf = conf_load(conf_path, types, &errors);
	struct errmsg more;

	for (unsigned i = 0; i < errors.count; i++)
		print_line(true, errors.items[i].text);
	errmsg_set(&more, "%s: %u more errors", conf_path, errors.more);
	if (errors.more > 0)
		print_line(true, more.text);
	conf_errors_fini(&errors);
	return conf;
}

int
inspect_finish(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return DAEMON_EXIT_OK;
	perror("connpoold: standard output");
	return DAEMON_EXIT_FAILURE;
}

static void
print_need(const char *text, bool is_lack)
{
	print_line(is_lack, text);
}

/* What programs lack is no error by itself: who checks a file need not be who serves it. Takes over conf. */
static int
examine(struct conf *conf, bool is_strict)
{
	int lacks;

	if (conf == NULL)
		return DAEMON_EXIT_CONFIG;
	lacks = needs_examine(conf, print_need);
	conf_unref(&conf);
	return lacks < 0 || (lacks > 0 && is_strict) ? DAEMON_EXIT_CONFIG : DAEMON_EXIT_OK;
}

int
inspect_check(const char *conf_path, bool is_strict)
{
	int exit_code = examine(load(conf_path, registry_types()), is_strict);

	if (exit_code != DAEMON_EXIT_OK)
		return exit_code;
	printf("%s: the configuration is good\n", conf_path);
	return inspect_finish();
}

int
inspect_before_start(const char *conf_path)
{
	return examine(load(conf_path, registry_types_without_code()), true);
}

int
inspect_dump(const char *conf_path)
{
	struct conf *conf = load(conf_path, registry_types());

	if (conf == NULL)
		return DAEMON_EXIT_CONFIG;
	conf_dump(conf, stdout);
	conf_unref(&conf);
	return inspect_finish();
}

int
inspect_options(void)
{
	conf_help(registry_types(), stdout);
	return inspect_finish();
}
