/* SPDX-License-Identifier: MIT */
/*
 * reload.c - load, prepare, commit, and say what changed.
 */
#include "config.h"

#include "daemon/reload.h"

#include <errno.h>

#include "base/errmsg.h"
#include "base/log.h"
#include "base/running.h"
#include "base/systemd.h"
#include "conf/conf.h"
#include "conf/diff.h"
#include "conf/load.h"
#include "daemon/daemon.h"
#include "daemon/generation.h"
#include "daemon/limits.h"
#include "program/spawner.h"
#include "service/registry.h"

static struct conf *
load(const struct daemon *daemon)
{
	struct conf_errors errors = {0};
	struct conf *conf = conf_load(daemon->conf_path, registry_types(), &errors);

	for (unsigned i = 0; i < errors.count; i++)
		log_error(LOG_EVENT_CONFIG_ERROR, "%s", errors.items[i].text);
	if (errors.more > 0)
		log_error(LOG_EVENT_CONFIG_ERROR, "%s: %u more errors", daemon->conf_path, errors.more);
	conf_errors_fini(&errors);
	return conf;
}

static int
start_generation(struct generation *generation, const struct conf *conf, struct errmsg *err)
{
	int rc = generation_prepare_sockets(generation, err);

	/* Sockets are opened as root; threads are started as nobody special. */
	if (rc == 0)
		rc = limits_drop_privileges(conf, err);
	if (rc == 0)
		rc = log_start();
	if (rc == 0)
		rc = spawner_prepare(conf, err);
	if (rc == 0)
		rc = generation_prepare_pools(generation, err);
	return rc;
}

int
reload_start(struct daemon *daemon)
{
	const struct conf *loaded;
	struct conf *conf;
	struct generation *generation;
	struct errmsg err = {"no memory"};

	running.occasion = "the start";
	loaded = conf = load(daemon);
	if (conf == NULL)
		return DAEMON_EXIT_CONFIG;
	log_configure((enum log_target)conf->log.target, (enum log_level)conf->log.level);
	limits_apply(conf, NULL);
	generation = generation_new(daemon, &conf);
	if (generation == NULL || start_generation(generation, loaded, &err) < 0) {
		log_error(LOG_EVENT_NONE, "cannot start: %s", err.text);
		generation_abandon(&generation);
		spawner_abandon();
		conf_unref(&conf);
		return DAEMON_EXIT_FAILURE;
	}
	generation_commit(&generation);
	spawner_commit();
	running.occasion = NULL;
	return DAEMON_EXIT_OK;
}

static void
log_changes(const struct conf *before, const struct conf *after)
{
	struct conf_diff diff;

	if (conf_diff_init(&diff, before, after) < 0) {
		log_notice(LOG_EVENT_RELOADED, "reloaded; no memory to say what changed");
		return;
	}
	log_notice(LOG_EVENT_RELOADED, "reloaded: %zu change%s", diff.count, diff.count == 1 ? "" : "s");
	for (size_t i = 0; i < diff.count; i++)
		log_notice(LOG_EVENT_NONE, "reloaded: %s", diff.lines[i]);
	conf_diff_fini(&diff);
}

/* 0, or -errno; what is in force is untouched then. */
static int
replace_generation(struct daemon *daemon, struct conf *conf, struct errmsg *err)
{
	const struct conf *prepared = conf;
	struct generation *generation = generation_new(daemon, &conf);
	int rc = -ENOMEM;

	if (generation == NULL) {
		conf_unref(&conf);
		return rc;
	}
	rc = generation_prepare_sockets(generation, err);
	if (rc == 0)
		rc = spawner_prepare(prepared, err);
	if (rc == 0)
		rc = generation_prepare_pools(generation, err);
	if (rc < 0) {
		generation_abandon(&generation);
		spawner_abandon();
	} else {
		generation_commit(&generation);
		spawner_commit();
	}
	return rc;
}

void
reload_run(struct daemon *daemon)
{
	struct errmsg err = {"no memory"};
	struct conf *before = conf_ref(daemon->conf);
	struct conf *conf;

	running.occasion = "a reload";
	systemd_notify_reloading();
	/* Reading files takes a descriptor, and there may be none. */
	acceptor_release_reserve(&daemon->acceptor);
	conf = load(daemon);
	if (conf == NULL) {
		log_error(LOG_EVENT_RELOAD_FAILED, "reload failed: errors in %s, keeping the old configuration",
			daemon->conf_path);
	} else if (replace_generation(daemon, conf, &err) < 0) {
		log_error(LOG_EVENT_RELOAD_FAILED, "reload failed: %s, keeping the old configuration", err.text);
	} else {
		log_configure((enum log_target)daemon->conf->log.target, (enum log_level)daemon->conf->log.level);
		log_changes(before, daemon->conf);
		limits_apply(daemon->conf, before);
	}
	acceptor_take_reserve(&daemon->acceptor);
	conf_unref(&before);
	running.occasion = NULL;
	systemd_notify_ready(daemon->status);
}
