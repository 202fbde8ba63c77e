/* SPDX-License-Identifier: MIT */
/*
 * loader - a config read and checked on a thread of its own.
 *
 * Files may be on a slow disk, and users and groups are asked of name services (nsswitch.conf(5)), which take as long
 * as they like: the main thread must not wait for either. A thread for each load, and not one of blocking.h: those may
 * all be in a handler's call. Modules are loaded there too, constructors included; their configure() runs on the main
 * thread, when the config is put in force.
 */
#ifndef CP_DAEMON_LOADER_H
#define CP_DAEMON_LOADER_H

#include <pthread.h>

#include "base/defs.h"
#include "engine/loop.h"

struct conf;
struct conf_errors;

/* Embedded in its owner. Zeroed memory is an initialised one; nothing but done.fn is the owner's while it runs. */
struct loader {
	struct task done; /* its fn runs on the loop's thread, and calls loader_finish() */
	struct loop *loop;
	const char *path;
	pthread_t thread;
	struct conf *conf;
	struct conf_errors *errors; /* owned until the end is taken */
};

/* Begins to load path, borrowed; done is posted to loop when that is over. 0 or -errno. Main thread. */
CP_MUST_CHECK int loader_start(struct loader *loader, const char *path, struct loop *loop);
/* Joins the thread, which has ended but for its return, and logs the errors found. Owned; NULL: there were errors. */
CP_MUST_CHECK struct conf *loader_finish(struct loader *loader);

/* The same, on this thread. */
CP_MUST_CHECK struct conf *loader_load(struct loader *loader, const char *path);

#endif
