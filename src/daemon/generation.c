/* SPDX-License-Identifier: MIT */
/*
 * generation.c - the transaction between two configs.
 *
 * A listener is recognised by its name (its counters go on), a socket by its address (its backlog survives, also when
 * another listener takes it over), a pool by its name (it grows and shrinks in place).
 */
#include "config.h"

#include "daemon/generation.h"

#include <errno.h>
#include <string.h>

#include "base/address.h"
#include "base/assert.h"
#include "base/errmsg.h"
#include "base/fdutil.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/daemon.h"
#include "daemon/lending.h"
#include "net/refusals.h"
#include "net/route.h"
#include "net/socket.h"
#include "service/exec_wait.h"
#include "service/registry.h"
#include "service/session.h"
#include "upstream/upstreams.h"

struct planned_pool {
	struct pool *pool; /* owned until commit when is_new, else borrowed from the daemon */
	bool is_new;
	bool is_prepared;
};

struct planned_socket {
	struct listen_socket *socket; /* owned until commit when is_new, else borrowed from its listener */
	bool is_new;
	struct listen_socket *orphan; /* borrowed: whose file was removed, so that socket is new; NULL: none */
};

struct planned_listener {
	struct listener *listener; /* one reference */
	bool is_new;
	struct route *route; /* owned until commit */
	struct planned_socket *sockets;
};

struct generation {
	struct daemon *daemon;
	struct conf *conf; /* one reference */
	struct planned_pool *pools;
	struct planned_listener *listeners;
	bool upstreams_are_prepared;
};

static const struct pool_tasks session_tasks = {
	.task_size = sizeof(struct session), .start = session_start, .drain = session_drain, .cancel = session_cancel};

/* ---- looking up what there is ----------------------------------------------------------- */

static struct listener *
find_listener(struct daemon *daemon, const char *name)
{
	struct list *link;
	struct list *following;

	LIST_FOREACH (&daemon->listeners, link, following) {
		struct listener *listener = CP_CONTAINER_OF(link, struct listener, link);

		if (strcmp(listener->name, name) == 0)
			return listener;
	}
	return NULL;
}

static struct pool *
find_pool(struct daemon *daemon, const char *name)
{
	struct list *link;
	struct list *following;

	LIST_FOREACH (&daemon->pools, link, following) {
		struct pool *pool = CP_CONTAINER_OF(link, struct pool, link);

		if (strcmp(pool->name, name) == 0)
			return pool;
	}
	return NULL;
}

/* With port 0 every listener has a port of its own: such a socket is only for the listener that has it already. */
static bool
may_take_over(const struct listen_socket *sock, const struct address *address, const struct listener *listener)
{
	bool is_any_port = address->kind == ADDRESS_TCP && address->port == 0;

	return !sock->is_planned && !sock->is_broken && !sock->is_orphan && strcmp(sock->key, address->text) == 0 &&
	       (!is_any_port || sock->listener == listener);
}

static struct listen_socket *
find_socket(struct daemon *daemon, const struct address *address, const struct listener *listener)
{
	struct list *link;
	struct list *following;

	/* The acceptor's list has every open socket, whosever it is. */
	LIST_FOREACH (&daemon->acceptor.sockets, link, following) {
		struct listen_socket *sock = CP_CONTAINER_OF(link, struct listen_socket, acceptor_link);

		if (may_take_over(sock, address, listener))
			return sock;
	}
	return NULL;
}

/* ---- making and freeing the plan ---------------------------------------------------------- */

static void
generation_free(struct generation **holder)
{
	struct generation *generation = *holder;

	*holder = NULL;
	if (generation == NULL)
		return;
	for (size_t i = 0; generation->listeners != NULL && i < generation->conf->listener_count; i++) {
		mem_free(generation->listeners[i].sockets);
		route_unref(&generation->listeners[i].route);
		listener_unref(&generation->listeners[i].listener);
	}
	mem_free(generation->listeners);
	mem_free(generation->pools);
	conf_unref(&generation->conf);
	mem_free(generation);
}

static int
plan_listener(struct generation *generation, struct planned_listener *planned, const struct conf_listener *rule)
{
	struct daemon *daemon = generation->daemon;

	planned->sockets = mem_zalloc_array(rule->addresses.count, sizeof(planned->sockets[0]));
	if (planned->sockets == NULL)
		return -ENOMEM;
	planned->listener = find_listener(daemon, rule->name);
	planned->is_new = planned->listener == NULL;
	if (planned->is_new)
		planned->listener = listener_new(rule->name, ++daemon->last_listener_number, &daemon->totals);
	else
		listener_ref(planned->listener);
	return planned->listener != NULL ? 0 : -ENOMEM;
}

struct generation *
generation_new(struct daemon *daemon, struct conf **conf)
{
	struct generation *generation = mem_zalloc(sizeof(*generation));
	int rc = 0;

	if (generation == NULL)
		return NULL;
	generation->daemon = daemon;
	generation->conf = conf_ref(*conf);
	generation->pools = mem_zalloc_array((*conf)->pool_count, sizeof(generation->pools[0]));
	generation->listeners = mem_zalloc_array((*conf)->listener_count, sizeof(generation->listeners[0]));
	if (generation->pools == NULL || generation->listeners == NULL)
		rc = -ENOMEM;
	for (size_t i = 0; rc == 0 && i < (*conf)->listener_count; i++)
		rc = plan_listener(generation, &generation->listeners[i], (*conf)->listeners[i]);
	if (rc < 0)
		generation_free(&generation);
	else
		conf_unref(conf);
	return generation;
}

/* ---- preparing ------------------------------------------------------------------------------- */

/* Clients can't come to a kept socket whose file is not there any more. 0, or -errno with err. */
static int
check_file(struct planned_socket *planned, const struct conf_listener *rule, struct errmsg *err)
{
	int rc = planned->socket != NULL ? listen_socket_look(planned->socket, rule, err) : 1;

	if (rc == 0) {
		planned->orphan = planned->socket;
		planned->socket = NULL;
	} else if (rc < 0) {
		planned->socket = NULL;
	}
	return rc < 0 ? rc : 0;
}

/*
 * Somebody else holds it, or may do so still: a program that had it, or whoever has the .socket unit's too (the service
 * manager, other services of the unit, what an earlier service left behind). Of those of systemd few are hostile; but
 * a batch costs two thread switches and no connection more, which is little against a main thread that never waits.
 */
static bool
is_shared(const struct listen_socket *sock)
{
	return sock->lease != NULL || sock->is_inherited;
}

static int
prepare_socket(struct generation *generation, struct planned_listener *listener, struct planned_socket *planned,
	const struct conf_listener *rule, const struct address *address, struct errmsg *err)
{
	struct daemon *daemon = generation->daemon;
	int rc;

	planned->socket = find_socket(daemon, address, listener->listener);
	rc = check_file(planned, rule, err);
	if (rc < 0)
		return rc;
	planned->is_new = planned->socket == NULL;
	if (planned->is_new)
		planned->socket = listen_socket_open(rule, address, &daemon->passed, err);
	if (planned->socket == NULL) {
		if (planned->orphan != NULL)
			errmsg_prefix(err, "the socket file of %s was removed and cannot be made again", address->text);
		return -EADDRNOTAVAIL;
	}
	planned->socket->is_planned = true;
	rc = planned->is_new ? acceptor_add(&daemon->acceptor, planned->socket) : 0;
	if (rc == 0 && exec_has_wait(&rule->service))
		rc = lending_prepare(daemon, planned->socket);
	else if (rc == 0 && is_shared(planned->socket))
		rc = acceptor_share(&daemon->acceptor, planned->socket);
	if (rc < 0)
		errmsg_set(err, "listener '%s': cannot watch %s: %s", rule->name, address->text, errmsg_errno(-rc));
	return rc;
}

int
generation_prepare_sockets(struct generation *generation, struct errmsg *err)
{
	for (size_t i = 0; i < generation->conf->listener_count; i++) {
		const struct conf_listener *rule = generation->conf->listeners[i];

		for (size_t k = 0; k < rule->addresses.count; k++) {
			int rc = prepare_socket(generation, &generation->listeners[i],
				&generation->listeners[i].sockets[k], rule, &rule->addresses.items[k], err);

			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

static int
prepare_pool(struct generation *generation, struct planned_pool *planned, const struct conf_pool *conf)
{
	struct daemon *daemon = generation->daemon;

	planned->pool = find_pool(daemon, conf->name);
	planned->is_new = planned->pool == NULL;
	if (planned->is_new)
		return pool_new(conf, &session_tasks, &daemon->pool_owner, &daemon->loop, &planned->pool);
	planned->is_prepared = true;
	return pool_prepare(planned->pool, conf);
}

static struct pool *
planned_pool_of(const struct generation *generation, const struct conf_pool *conf)
{
	for (size_t i = 0; i < generation->conf->pool_count; i++) {
		if (generation->conf->pools[i] == conf)
			return generation->pools[i].pool;
	}
	CP_ASSERT(!"a listener's pool is one of its config");
	return NULL;
}

static int
prepare_route(struct generation *generation, struct planned_listener *planned, const struct conf_listener *rule,
	struct errmsg *err)
{
	struct route_state state;
	struct errmsg why;
	int rc = -ENOMEM;

	planned->route = route_new(generation->conf, rule, planned->listener, registry_handler(&rule->service),
		planned_pool_of(generation, rule->pool));
	if (planned->route != NULL) {
		planned->route->lends_socket = exec_has_wait(&rule->service);
		rc = registry_bind(generation->conf, rule, generation->daemon->upstreams, generation->daemon->verdicts,
			&state, &why);
	}
	if (rc == 0)
		route_set_state(planned->route, &state);
	else if (rc == -ENOMEM)
		errmsg_set(err, "listener '%s': no memory", rule->name);
	else
		errmsg_set(err, "%s:%u: listener '%s': service '%s': %s", rule->file, rule->line, rule->name,
			planned->route->handler->name, why.text);
	return rc;
}

int
generation_prepare_pools(struct generation *generation, struct errmsg *err)
{
	struct conf *conf = generation->conf;
	int rc = upstreams_prepare(generation->daemon->upstreams, conf, err);

	if (rc < 0)
		return rc;
	generation->upstreams_are_prepared = true;

	for (size_t i = 0; i < conf->pool_count; i++) {
		rc = prepare_pool(generation, &generation->pools[i], conf->pools[i]);

		if (rc < 0) {
			errmsg_set(err, "pool '%s': cannot start its %llu workers: %s", conf->pools[i]->name,
				(unsigned long long)conf->pools[i]->workers, errmsg_errno(-rc));
			return rc;
		}
	}
	for (size_t i = 0; i < conf->listener_count; i++) {
		rc = prepare_route(generation, &generation->listeners[i], conf->listeners[i], err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- giving up -------------------------------------------------------------------------------- */

/* What systemd passed stays open for a later config; everything else is closed. */
static void
close_socket(struct daemon *daemon, struct listen_socket *sock)
{
	acceptor_remove(&daemon->acceptor, sock);
	lending_end(sock);
	for (size_t i = 0; sock->is_inherited && i < daemon->passed.count; i++) {
		struct systemd_socket *passed = &daemon->passed.items[i];

		/* "systemd:NAME" */
		if (passed->fd < 0 && strcmp(passed->name, strchr(sock->key, ':') + 1) == 0) {
			passed->fd = fd_take(&sock->fd);
			break;
		}
	}
	listen_socket_free(&sock);
}

void
generation_abandon(struct generation **holder)
{
	struct generation *generation = *holder;

	if (generation == NULL)
		return;
	for (size_t i = 0; i < generation->conf->listener_count; i++) {
		for (size_t k = 0; k < generation->conf->listeners[i]->addresses.count; k++) {
			struct planned_socket *planned = &generation->listeners[i].sockets[k];

			if (planned->socket == NULL)
				continue;
			planned->socket->is_planned = false;
			if (planned->is_new)
				close_socket(generation->daemon, planned->socket);
		}
	}
	for (size_t i = 0; i < generation->conf->pool_count; i++) {
		struct planned_pool *planned = &generation->pools[i];

		if (planned->is_new)
			pool_free(&planned->pool);
		else if (planned->is_prepared)
			pool_revert(planned->pool);
	}
	if (generation->upstreams_are_prepared)
		upstreams_revert(generation->daemon->upstreams);
	generation_free(holder);
}

/* ---- switching over ---------------------------------------------------------------------------- */

static void
commit_pools(struct generation *generation)
{
	struct daemon *daemon = generation->daemon;
	struct list removed;
	struct list *link;

	list_init(&removed);
	list_splice_back(&removed, &daemon->pools);
	for (size_t i = 0; i < generation->conf->pool_count; i++) {
		struct planned_pool *planned = &generation->pools[i];

		list_remove(&planned->pool->link);
		list_push_back(&daemon->pools, &planned->pool->link);
		if (!planned->is_new)
			pool_commit(planned->pool, generation->conf->pools[i]);
	}
	while ((link = list_pop_front(&removed)) != NULL) {
		list_push_back(&daemon->closing_pools, link);
		pool_close(CP_CONTAINER_OF(link, struct pool, link), false);
	}
}

/*
 * One whose file was removed may still have clients in its backlog: it stays with its listener until the next reload. A
 * program that accepts by itself has its clients already, and ends as with a listener that goes.
 */
static void
keep_orphan(struct listener *listener, const struct route *route, struct listen_socket *orphan)
{
	log_notice(LOG_EVENT_NONE, "listener '%s': the socket file of %s was removed: it was made again",
		listener->name, orphan->key);
	if (orphan->lease != NULL || route->lends_socket)
		return;
	list_remove(&orphan->link);
	list_push_back(&listener->sockets, &orphan->link);
	orphan->listener = listener;
	orphan->is_orphan = true;
}

/* Every planned socket goes to its listener; what is left over is in use no more. */
static void
commit_sockets(struct generation *generation, struct list *unused)
{
	struct list *link;
	struct list *following;

	list_init(unused);
	LIST_FOREACH (&generation->daemon->listeners, link, following)
		list_splice_back(unused, &CP_CONTAINER_OF(link, struct listener, link)->sockets);
	for (size_t i = 0; i < generation->conf->listener_count; i++) {
		const struct conf_listener *rule = generation->conf->listeners[i];
		struct planned_listener *planned = &generation->listeners[i];

		for (size_t k = 0; k < rule->addresses.count; k++) {
			struct listen_socket *sock = planned->sockets[k].socket;
			struct errmsg err;

			list_remove(&sock->link);
			list_push_back(&planned->listener->sockets, &sock->link);
			sock->listener = planned->listener;
			sock->is_planned = false;
			if (planned->sockets[k].orphan != NULL)
				keep_orphan(planned->listener, planned->route, planned->sockets[k].orphan);
			if (!planned->sockets[k].is_new && listen_socket_apply(sock, rule, &err) < 0)
				log_warning(LOG_EVENT_NONE, "%s, ignoring", err.text);
		}
	}
}

static void
log_listening(const struct listener *listener, const struct listen_socket *sock)
{
	struct log_record record;
	char text[ADDRESS_TEXT_MAX];

	address_format_socket(sock->fd, text);
	log_record_init(
		&record, LOG_LEVEL_INFO, LOG_EVENT_LISTENING, "listener '%s': listening on %s", listener->name, text);
	log_record_add(&record, "LISTENER", "%s", listener->name);
	log_record_add(&record, "ADDRESS", "%s", text);
	log_record_commit(&record);
}

static void
commit_listeners(struct generation *generation)
{
	struct daemon *daemon = generation->daemon;
	struct list removed;
	struct list *link;

	list_init(&removed);
	list_splice_back(&removed, &daemon->listeners);
	for (size_t i = 0; i < generation->conf->listener_count; i++) {
		struct planned_listener *planned = &generation->listeners[i];
		struct listener *listener = planned->listener;

		list_remove(&listener->link);
		list_push_back(&daemon->listeners, &listener->link);
		route_unref(&listener->route);
		listener->route = planned->route;
		planned->route = NULL;
		/* The daemon's list holds the reference that the plan had; one that was there before has its own. */
		if (planned->is_new)
			planned->listener = NULL;
	}
	while ((link = list_pop_front(&removed)) != NULL) {
		struct listener *listener = CP_CONTAINER_OF(link, struct listener, link);

		refusals_log_rest(listener);
		route_unref(&listener->route);
		listener_unref(&listener);
	}
}

static void
begin_accepting(struct generation *generation)
{
	struct daemon *daemon = generation->daemon;
	struct list *link;
	struct list *following;

	for (size_t i = 0; i < generation->conf->listener_count; i++) {
		struct planned_listener *planned = &generation->listeners[i];

		for (size_t k = 0; k < generation->conf->listeners[i]->addresses.count; k++) {
			struct listen_socket *sock = planned->sockets[k].socket;

			if (sock->listener->route->lends_socket)
				lending_renew(sock);
			else
				lending_take_back(sock);
			if (planned->sockets[k].is_new)
				log_listening(sock->listener, sock);
		}
	}
	/* Orphans are not in the plan, but have new routes too. */
	LIST_FOREACH (&daemon->acceptor.sockets, link, following)
		acceptor_begin(
			&daemon->acceptor, CP_CONTAINER_OF(link, struct listen_socket, acceptor_link));
}

void
generation_commit(struct generation **holder)
{
	struct generation *generation = *holder;
	struct daemon *daemon = generation->daemon;
	const struct conf *conf = generation->conf;
	struct list unused;
	struct list *link;

	commit_sockets(generation, &unused);
	while ((link = list_pop_front(&unused)) != NULL)
		close_socket(daemon, CP_CONTAINER_OF(link, struct listen_socket, link));
	upstreams_commit(daemon->upstreams);
	commit_listeners(generation);
	commit_pools(generation);
	begin_accepting(generation);
	daemon->acceptor.max_connections = conf->daemon.max_connections;
	daemon->acceptor.wants_backlog_time = conf->log.connections;
	conf_unref(&daemon->conf);
	daemon->conf = conf_ref(generation->conf);
	generation_free(holder);
}
