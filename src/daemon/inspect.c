/* SPDX-License-Identifier: MIT */
/*
 * inspect.c - --check, --dump-config and --help-config.
 */
#include "config.h"

#include "daemon/inspect.h"

#include <linux/capability.h>
#include <stdio.h>

#include "base/capability.h"
#include "conf/dump.h"
#include "conf/load.h"
#include "daemon/daemon.h"
#include "service/program.h"
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

static void
warn_lacking(const struct conf_listener *rule, const char *option, uint64_t needed, const char *names)
{
	if ((capability_effective() & needed) == needed)
		return;
	fprintf(stderr,
		"%s:%u: listener '%s': %s needs %s, which this process lacks: start connpoold as root, or see "
		"connpoold-programs.conf beside its unit\n",
		rule->file, rule->line, rule->name, option, names);
}

/* Not errors: who checks a file need not be who serves it. */
static void
warn_of_privileges(const struct conf *conf)
{
	for (size_t i = 0; i < conf->listener_count; i++) {
		const struct conf_listener *rule = conf->listeners[i];
		const struct program_options *program = program_of(&rule->service);

		if (program == NULL)
			continue;
		if (program->user != NULL || program->group != NULL || program->groups.count > 0)
			warn_lacking(rule, "another user or group",
				CAPABILITY_BIT(CAP_SETUID) | CAPABILITY_BIT(CAP_SETGID) | CAPABILITY_BIT(CAP_KILL),
				"CAP_SETUID, CAP_SETGID and CAP_KILL");
		if (program->chroot != NULL)
			warn_lacking(rule, "chroot", CAPABILITY_BIT(CAP_SYS_CHROOT), "CAP_SYS_CHROOT");
		if (program->nice < 0)
			warn_lacking(rule, "nice below 0", CAPABILITY_BIT(CAP_SYS_NICE), "CAP_SYS_NICE");
	}
}

int
inspect_check(const char *conf_path)
{
	struct conf *conf = load(conf_path);

	if (conf == NULL)
		return DAEMON_EXIT_CONFIG;
	warn_of_privileges(conf);
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
