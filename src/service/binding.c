/* SPDX-License-Identifier: MIT */
/*
 * binding.c - joins a handler's own state to a route, and gives it back after the last connection.
 *
 * Workers add what is theirs to a list that only grows: each looks for its own, so that nobody needs a lock. It must
 * never call a handler that has been released.
 */
#include "config.h"

#include "service/binding.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/errmsg.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/running.h"
#include "service/session_parts.h"

#define BINDING_MAGIC 0x62696e64

/* What worker_start() made on one worker. */
struct worker_state {
	struct worker_state *next;
	const struct sched *sched; /* whose; only compared: the worker may have ended, and another have its place */
	void *data;
};

struct binding {
	uint32_t magic;
	const struct cp_handler *handler; /* borrowed: it stays loaded while the route's config lives */
	char *listener;
	const char *module; /* borrowed: as the handler */
	void *data; /* of configure() */
	bool is_configured;
	/* Pushed by the workers (release), walked by them (acquire); an entry is never changed. */
	struct worker_state *_Atomic workers;
	unsigned counter_count;
	_Atomic uint64_t counters[]; /* relaxed: they publish nothing */
};

bool
binding_is_needed(const struct cp_handler *handler)
{
	return handler->options != NULL || handler->configure != NULL || handler->release != NULL ||
	       handler->worker_start != NULL || handler->counters != NULL;
}

/* ---- the end ------------------------------------------------------------------------ */

/* "name=value name=value" of those that counted anything. */
static void
log_counters(const struct binding *binding)
{
	char text[768] = "";
	size_t used = 0;

	for (unsigned i = 0; i < binding->counter_count && used < sizeof(text); i++) {
		const char *name;
		uint64_t value = binding_counter(binding, i, &name);

		if (value == 0)
			continue;
		used += (size_t)snprintf(text + used, sizeof(text) - used, " %s=%llu", name, (unsigned long long)value);
	}
	if (used > 0)
		log_info(LOG_EVENT_NONE, "listener '%s': service '%s' counted%s", binding->listener,
			binding->handler->name, text);
}

static void
release(void *data)
{
	struct binding *binding = CP_CAST(data, struct binding, BINDING_MAGIC);
	const struct cp_handler *handler = binding->handler;
	struct worker_state *worker = atomic_load_explicit(&binding->workers, memory_order_acquire);
	struct running before;

	log_counters(binding);
	before = running_begin(binding->listener, handler->name, "worker_end");
	running.module = binding->module;
	while (worker != NULL) {
		struct worker_state *next = worker->next;

		if (handler->worker_end != NULL)
			handler->worker_end(worker->data);
		mem_free(worker);
		worker = next;
	}
	running.function = "release";
	if (handler->release != NULL && binding->is_configured)
		handler->release(binding->data);
	running_end(&before);
	binding->magic = 0;
	mem_free(binding->listener);
	mem_free(binding);
}

/* ---- the beginning ------------------------------------------------------------------- */

static int
configure(struct binding *binding, const void *settings, struct errmsg *err)
{
	const struct cp_handler *handler = binding->handler;
	struct cp_error error = {""};
	struct running before;
	int rc;

	binding->data = (void *)(uintptr_t)settings;
	if (handler->configure == NULL)
		return 0;
	binding->data = NULL;
	before = running_begin(binding->listener, handler->name, "configure");
	running.module = binding->module;
	errno = 0;
	rc = handler->configure(settings, &binding->data, &error);
	running_end(&before);
	if (rc < 0) {
		if (error.text[0] == '\0')
			cp_error_set(&error, "%s",
				errno != 0 ? errmsg_errno(errno) : "its configure() refused and did not say why");
		errmsg_set(err, "%s", error.text);
		return -EINVAL;
	}
	binding->is_configured = true;
	return 0;
}

int
binding_new(const struct cp_handler *handler, const char *module, const void *settings, const char *listener,
	struct route_state *ret_state, struct errmsg *err)
{
	struct binding *binding;
	unsigned count = 0;
	int rc = -ENOMEM;

	while (handler->counters != NULL && handler->counters[count] != NULL)
		count++;
	binding = mem_zalloc(sizeof(*binding) + count * sizeof(binding->counters[0]));
	if (binding == NULL)
		return -ENOMEM;
	binding->magic = BINDING_MAGIC;
	binding->handler = handler;
	binding->module = module;
	binding->counter_count = count;
	binding->listener = mem_strdup(listener);
	if (binding->listener != NULL)
		rc = configure(binding, settings, err);
	if (rc < 0) {
		release(binding);
		return rc;
	}
	*ret_state = (struct route_state){.data = binding->data, .owner = binding, .release = release};
	return 0;
}

/* ---- in between ------------------------------------------------------------------------- */

static struct binding *
binding_of(const struct session *session)
{
	void *owner = session->conn.from.route->state.owner;

	return owner != NULL ? CP_CAST(owner, struct binding, BINDING_MAGIC) : NULL;
}

static int
start_worker(const struct binding *binding, void **ret_data)
{
	const char *function = running.function;
	int rc;

	running.function = "worker_start";
	rc = binding->handler->worker_start(binding->data, ret_data);
	running.function = function;
	return rc;
}

void *
cp_worker_state(struct cp_conn *conn)
{
	struct session *session = session_of_fiber(conn, __func__);
	struct binding *binding = binding_of(session);
	struct worker_state *worker;

	if (binding == NULL || binding->handler->worker_start == NULL)
		running_misuse(__func__, "called by a handler without worker_start()");
	worker = atomic_load_explicit(&binding->workers, memory_order_acquire);
	for (; worker != NULL; worker = worker->next) {
		if (worker->sched == session->sched)
			return worker->data;
	}
	worker = mem_zalloc(sizeof(*worker));
	if (worker == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	worker->sched = session->sched;
	if (start_worker(binding, &worker->data) < 0) {
		int error = errno;

		mem_free(worker);
		errno = error;
		return NULL;
	}
	worker->next = atomic_load_explicit(&binding->workers, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(
		&binding->workers, &worker->next, worker, memory_order_release, memory_order_relaxed))
		;
	return worker->data;
}

void
cp_count(const struct cp_conn *conn, unsigned index, uint64_t n)
{
	struct binding *binding = binding_of(session_of_handler(conn, __func__));

	if (binding == NULL || index >= binding->counter_count)
		running_misuse(__func__, "its index is none of the handler's counters");
	atomic_fetch_add_explicit(&binding->counters[index], n, memory_order_relaxed);
}

const struct binding *
binding_of_state(const struct route_state *state)
{
	return state->release == release ? state->owner : NULL;
}

uint64_t
binding_counter(const struct binding *binding, unsigned index, const char **ret_name)
{
	CP_CHECK_MAGIC(binding, BINDING_MAGIC);
	*ret_name = index < binding->counter_count ? binding->handler->counters[index] : NULL;
	return *ret_name != NULL ? atomic_load_explicit(&binding->counters[index], memory_order_relaxed) : 0;
}

int
cp_error_set(struct cp_error *error, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(error->text, sizeof(error->text), fmt, args);
	va_end(args);
	return -1;
}
