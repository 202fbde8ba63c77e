/* SPDX-License-Identifier: MIT */
/*
 * loader.c - the thread, and what the log hears of its errors.
 */
#include "config.h"

#include "daemon/loader.h"

#include <errno.h>
#include <signal.h>

#include "base/assert.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/running.h"
#include "conf/load.h"
#include "service/registry.h"

static int
prepare(struct loader *loader, const char *path)
{
	loader->path = path;
	loader->conf = NULL;
	loader->errors = mem_zalloc(sizeof(*loader->errors));
	return loader->errors != NULL ? 0 : -ENOMEM;
}

static void
load(struct loader *loader)
{
	loader->conf = conf_load(loader->path, registry_types(), loader->errors);
}

static void
free_errors(struct loader *loader)
{
	conf_errors_fini(loader->errors);
	mem_free(loader->errors);
	loader->errors = NULL;
}

static struct conf *
take_result(struct loader *loader)
{
	const struct conf_errors *errors = loader->errors;
	struct conf *conf = loader->conf;

	for (unsigned i = 0; i < errors->count; i++)
		log_error(LOG_EVENT_CONFIG_ERROR, "%s", errors->items[i].text);
	if (errors->more > 0)
		log_error(LOG_EVENT_CONFIG_ERROR, "%s: %u more errors", loader->path, errors->more);
	free_errors(loader);
	loader->conf = NULL;
	return conf;
}

static void *
loader_main(void *arg)
{
	struct loader *loader = arg;

	(void)pthread_setname_np(pthread_self(), "cp-conf");
	if (fault_thread_init() < 0)
		log_warning(LOG_EVENT_NONE,
			"cp-conf: no memory for a signal stack; a stack overflow will not be explained");
	running.occasion = "a reload";
	load(loader);
	running.occasion = NULL;
	log_thread_end();
	fault_thread_fini();
	/* The last: then the owner joins this thread. */
	loop_post(loader->loop, &loader->done);
	return NULL;
}

int
loader_start(struct loader *loader, const char *path, struct loop *loop)
{
	sigset_t blocked;
	sigset_t before;
	int rc = prepare(loader, path);

	if (rc < 0)
		return rc;
	loader->loop = loop;
	/* Everything but what the thread brings upon itself. */
	sigfillset(&blocked);
	fault_unblock(&blocked);
	CP_PTHREAD(pthread_sigmask(SIG_SETMASK, &blocked, &before));
	rc = pthread_create(&loader->thread, NULL, loader_main, loader);
	CP_PTHREAD(pthread_sigmask(SIG_SETMASK, &before, NULL));
	if (rc != 0)
		free_errors(loader);
	return -rc;
}

struct conf *
loader_finish(struct loader *loader)
{
	CP_PTHREAD(pthread_join(loader->thread, NULL));
	return take_result(loader);
}

struct conf *
loader_load(struct loader *loader, const char *path)
{
	if (prepare(loader, path) < 0) {
		log_error(LOG_EVENT_CONFIG_ERROR, "%s: no memory", path);
		return NULL;
	}
	load(loader);
	return take_result(loader);
}
