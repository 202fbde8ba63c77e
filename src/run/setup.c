/* SPDX-License-Identifier: MIT */
/*
 * setup.c - fills the structures that the config reader fills, by the same tables: what is checked there is checked
 * here, in the same words. One thread.
 */
#include "config.h"

#include "run/setup.h"

#include <errno.h>
#include <string.h>

#include "base/errmsg.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "conf/options.h"
#include "conf/suggest.h"
#include "connpoold/handler.h"
#include "net/route.h"
#include "service/module.h"
#include "service/registry.h"

/* Of the listener, in the log. */
#define NAME "run"

/* ---- the module's options ----------------------------------------------------------------- */

static bool
is_named(const char *option, const char *name)
{
	size_t length = strlen(name);

	return strncmp(option, name, length) == 0 && option[length] == '=';
}

static int
report_unknown(const struct option_group *group, const char *name, struct errmsg *err)
{
	struct suggestion suggestion;
	const struct option *row;
	const char *meant;

	suggestion_init(&suggestion, name);
	OPTION_FOREACH (group, row) {
		if (strcmp(row->name, "path") != 0)
			suggestion_offer(&suggestion, row->name);
	}
	meant = suggestion_get(&suggestion);
	errmsg_set(err, "%s: unknown option%s%s%s", name, meant != NULL ? ", did you mean '" : "",
		meant != NULL ? meant : "", meant != NULL ? "'?" : "");
	return -EINVAL;
}

static int
set_option(const struct conf_service *service, const char *text, struct errmsg *err)
{
	const char *value = strchr(text, '=');
	const struct option *row;
	char *name;
	int rc;

	if (value == NULL) {
		errmsg_set(err, "%s: expected NAME=VALUE", text);
		return -EINVAL;
	}
	name = mem_printf("%.*s", (int)(value - text), text);
	if (name == NULL)
		return -ENOMEM;
	row = option_find(service->group, name);
	/* The module is no option of itself. */
	if (row == NULL || strcmp(name, "path") == 0) {
		rc = report_unknown(service->group, name, err);
	} else {
		rc = option_set_text(row, option_field(row, service->options), value + 1, err);
		if (rc < 0)
			errmsg_prefix(err, "%s", name);
	}
	mem_free(name);
	return rc;
}

static int
set_options(const struct conf_service *service, const struct setup_wish *wish, struct errmsg *err)
{
	const struct option *row;

	for (size_t i = 0; i < wish->option_count; i++) {
		int rc = set_option(service, wish->options[i], err);

		if (rc < 0)
			return rc;
	}
	OPTION_FOREACH (service->group, row) {
		bool is_given = strcmp(row->name, "path") == 0;
		char expected[OPTION_TEXT_MAX];

		for (size_t i = 0; i < wish->option_count; i++)
			is_given |= is_named(wish->options[i], row->name);
		if (row->required && !is_given) {
			errmsg_set(err, "%s: is missing, expected %s", row->name, option_expected(row, expected));
			return -EINVAL;
		}
	}
	return 0;
}

static const struct conf_service_type *
module_type(void)
{
	const struct conf_service_type *type = registry_types();

	while (type->extend != module_extend)
		type++;
	return type;
}

static int
fill_service(struct conf_service *service, const struct setup_wish *wish, struct errmsg *err)
{
	const struct option *path;
	int rc;

	service->type = module_type();
	module_map_files();
	/* Without a config file a relative path begins where we are. */
	rc = module_extend("", wish->module, &service->group, err);
	if (rc < 0)
		return rc;
	service->options = mem_zalloc(service->group->size);
	if (service->options == NULL || option_group_init(service->group, service->options) < 0)
		return -ENOMEM;
	path = option_find(service->group, "path");
	rc = option_set_text(path, option_field(path, service->options), wish->module, err);
	return rc == 0 ? set_options(service, wish, err) : rc;
}

/* ---- the config -------------------------------------------------------------------------------- */

/* One structure in a list of its own, with its defaults; NULL: no memory. The list is conf's from then on. */
static void *
add_only(void *list, size_t *count, const struct option_group *group)
{
	void ***holder = list;
	void *item = mem_zalloc(group->size);

	*holder = mem_zalloc_array(1, sizeof(**holder));
	if (*holder == NULL || item == NULL) {
		mem_free(item);
		return NULL;
	}
	(*holder)[0] = item;
	*count = 1;
	return option_group_init(group, item) == 0 ? item : NULL;
}

static int
fill_listener(struct conf_listener *listener, const struct setup_wish *wish, struct errmsg *err)
{
	const struct option *row = option_find(&conf_group_listener, "address");
	int rc;

	listener->name = mem_strdup(NAME);
	listener->file = "the command line";
	if (listener->name == NULL)
		return -ENOMEM;
	if (wish->address != NULL) {
		rc = option_set_text(row, option_field(row, listener), wish->address, err);
		if (rc < 0)
			return rc;
	}
	return fill_service(&listener->service, wish, err);
}

static int
fill_conf(struct conf *conf, const struct setup_wish *wish, struct errmsg *err)
{
	struct conf_pool *pool;
	struct conf_listener *listener;

	if (option_group_init(&conf_group_top, conf) < 0 || option_group_init(&conf_group_daemon, &conf->daemon) < 0 ||
		option_group_init(&conf_group_log, &conf->log) < 0 ||
		option_group_init(&conf_group_resolver, &conf->resolver) < 0)
		return -ENOMEM;
	pool = add_only(&conf->pools, &conf->pool_count, &conf_group_pool);
	listener = add_only(&conf->listeners, &conf->listener_count, &conf_group_listener);
	if (pool == NULL || listener == NULL)
		return -ENOMEM;
	pool->name = mem_strdup(CONF_POOL_MAIN);
	listener->pool = pool;
	return pool->name != NULL ? fill_listener(listener, wish, err) : -ENOMEM;
}

static int
make_route(struct setup *setup, struct errmsg *err)
{
	const struct conf_listener *rule = setup->conf->listeners[0];
	struct route_state state;
	struct errmsg why = {""};
	int rc;

	setup->listener = listener_new(NAME, 1, &setup->totals);
	if (setup->listener == NULL)
		return -ENOMEM;
	setup->route = route_new(setup->conf, rule, setup->listener, registry_handler(&rule->service), NULL);
	if (setup->route == NULL)
		return -ENOMEM;
	rc = registry_bind(setup->conf, rule, NULL, NULL, &state, &why);
	if (rc == 0)
		route_set_state(setup->route, &state);
	else if (rc != -ENOMEM)
		errmsg_set(err, "service '%s': %s", setup->route->handler->name, why.text);
	return rc;
}

int
setup_init(struct setup *setup, const struct setup_wish *wish, struct errmsg *err)
{
	int rc;

	*setup = (struct setup){.conf = mem_zalloc(sizeof(struct conf))};
	if (setup->conf == NULL)
		return -ENOMEM;
	atomic_init(&setup->conf->refs, 1);
	rc = fill_conf(setup->conf, wish, err);
	if (rc == 0)
		rc = make_route(setup, err);
	return rc;
}

void
setup_fini(struct setup *setup)
{
	route_unref(&setup->route);
	if (setup->listener != NULL)
		route_unref(&setup->listener->route);
	listener_unref(&setup->listener);
	conf_unref(&setup->conf);
}
