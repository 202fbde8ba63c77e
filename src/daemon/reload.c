/* SPDX-License-Identifier: MIT */
/*
 * reload.c - load, ask the keeper, prepare, commit, and say what changed.
 */
#include "config.h"

#include "daemon/reload.h"

#include <errno.h>

#include "base/assert.h"
#include "base/errmsg.h"
#include "base/log.h"
#include "base/running.h"
#include "base/systemd.h"
#include "conf/conf.h"
#include "conf/diff.h"
#include "daemon/daemon.h"
#include "daemon/generation.h"
#include "daemon/limits.h"
#include "program/spawner.h"

/* ---- the start ---------------------------------------------------------------------------- */

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
	loaded = conf = loader_load(&daemon->reload.loader, daemon->conf_path);
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

/* ---- putting it in force ------------------------------------------------------------------ */

/* Takes over the reference. 0, or -errno; what is in force is untouched then. */
static int
replace_generation(struct daemon *daemon, struct conf *conf, struct errmsg *err)
{
	struct generation *generation = generation_new(daemon, &conf);
	int rc;

	if (generation == NULL) {
		errmsg_set(err, "no memory");
		conf_unref(&conf);
		spawner_abandon();
		return -ENOMEM;
	}
	rc = generation_prepare_sockets(generation, err);
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

static void
log_failure(const char *why)
{
	log_error(LOG_EVENT_RELOAD_FAILED, "reload failed: %s, keeping the old configuration", why);
}

/* The spawner is READY. Takes over the reference. */
static void
put_in_force(struct daemon *daemon, struct conf *conf)
{
	struct conf *before = conf_ref(daemon->conf);
	struct errmsg err = {"no memory"};

	running.occasion = "a reload";
	if (replace_generation(daemon, conf, &err) < 0) {
		log_failure(err.text);
	} else {
		log_configure((enum log_target)daemon->conf->log.target, (enum log_level)daemon->conf->log.level);
		log_changes(before, daemon->conf);
		limits_apply(daemon->conf, before);
	}
	conf_unref(&before);
	running.occasion = NULL;
}

/* ---- the steps ------------------------------------------------------------------------------ */

static void
set_state(struct reload *reload, enum reload_state state)
{
	static const bool is_allowed[][RELOAD_DROPPED + 1] = {
		[RELOAD_NONE] = {[RELOAD_LOADING] = true},
		[RELOAD_LOADING] = {[RELOAD_NONE] = true, [RELOAD_ASKING] = true, [RELOAD_DROPPED] = true},
		[RELOAD_ASKING] = {[RELOAD_NONE] = true},
		[RELOAD_DROPPED] = {[RELOAD_NONE] = true},
	};

	CP_ASSERT(is_allowed[reload->state][state]);
	reload->state = state;
}

/* The manager first: the next one has both ends of its own. */
static void
end_reload(struct daemon *daemon)
{
	struct reload *reload = &daemon->reload;

	set_state(reload, RELOAD_NONE);
	systemd_notify_ready(daemon->status);
	if (reload->is_wanted_again) {
		reload->is_wanted_again = false;
		reload_request(daemon);
	}
}

static void
on_answer(void *arg, int rc, const struct errmsg *err)
{
	struct daemon *daemon = arg;
	struct conf *conf = daemon->reload.conf;

	daemon->reload.conf = NULL;
	if (rc < 0) {
		log_failure(err->text);
		conf_unref(&conf);
	} else {
		put_in_force(daemon, conf);
	}
	end_reload(daemon);
}

static void
ask_keeper(struct daemon *daemon, struct conf *conf)
{
	struct errmsg err = {"no memory"};
	int rc;

	daemon->reload.conf = conf;
	rc = spawner_prepare_begin(conf, on_answer, daemon, &err);
	if (rc > 0)
		set_state(&daemon->reload, RELOAD_ASKING);
	else
		on_answer(daemon, rc, &err);
}

static void
on_loaded(struct loop *loop, struct task *task)
{
	struct daemon *daemon = CP_CONTAINER_OF(task, struct daemon, reload.loader.done);
	struct conf *conf = loader_finish(&daemon->reload.loader);

	(void)loop;
	acceptor_take_reserve(&daemon->acceptor);
	if (daemon->reload.state == RELOAD_DROPPED) {
		conf_unref(&conf);
		set_state(&daemon->reload, RELOAD_NONE);
	} else if (conf == NULL) {
		log_error(LOG_EVENT_RELOAD_FAILED, "reload failed: errors in %s, keeping the old configuration",
			daemon->conf_path);
		end_reload(daemon);
	} else {
		ask_keeper(daemon, conf);
	}
}

void
reload_request(struct daemon *daemon)
{
	struct reload *reload = &daemon->reload;
	struct errmsg err;
	int rc;

	if (reload->state != RELOAD_NONE) {
		reload->is_wanted_again = true;
		return;
	}
	systemd_notify_reloading();
	set_state(reload, RELOAD_LOADING);
	/* Reading files takes a descriptor, and there may be none. */
	acceptor_lend_reserve(&daemon->acceptor);
	reload->loader.done.fn = on_loaded;
	rc = loader_start(&reload->loader, daemon->conf_path, &daemon->loop);
	if (rc == 0)
		return;
	acceptor_take_reserve(&daemon->acceptor);
	errmsg_set(&err, "cannot start a thread that reads the files: %s", errmsg_errno(rc));
	log_failure(err.text);
	end_reload(daemon);
}

void
reload_abandon(struct daemon *daemon)
{
	struct reload *reload = &daemon->reload;

	reload->is_wanted_again = false;
	if (reload->state == RELOAD_LOADING) {
		set_state(reload, RELOAD_DROPPED);
	} else if (reload->state == RELOAD_ASKING) {
		spawner_abandon();
		conf_unref(&reload->conf);
		set_state(reload, RELOAD_NONE);
	} else {
		return;
	}
	log_warning(LOG_EVENT_RELOAD_FAILED, "reload failed: the daemon stops");
	systemd_notify_ready(daemon->status);
}

bool
reload_is_over(const struct daemon *daemon)
{
	return daemon->reload.state == RELOAD_NONE;
}
