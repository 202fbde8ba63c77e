/* SPDX-License-Identifier: MIT */
/*
 * inspect.c - --check, --dump-config and --help-config.
 */
#include "config.h"

#include "daemon/inspect.h"

#include <stdio.h>

#include "conf/dump.h"
#include "conf/load.h"
#include "daemon/daemon.h"
#include "service/registry.h"

/* Caller owns one reference; NULL: the errors were printed. */
static struct conf *
load(const char *conf_path)
{
	struct conf_errors errors = {0};
	struct conf *conf = conf_load(conf_path, registry_types(), &errors);

	for (unsigned i = 0; i < errors.count; i++)
		fprintf(stderr, "%s\n", errors.items[i].text);
	if (errors.more > 0)
		fprintf(stderr, "%s: %u more errors\n", conf_path, errors.more);
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

int
inspect_check(const char *conf_path)
{
	struct conf *conf = load(conf_path);

	if (conf == NULL)
		return DAEMON_EXIT_CONFIG;
	printf("%s: the configuration is good\n", conf_path);
	conf_unref(&conf);
	return inspect_finish();
}

int
inspect_dump(const char *conf_path)
{
	struct conf *conf = load(conf_path);

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
