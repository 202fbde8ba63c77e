/* SPDX-License-Identifier: MIT */
/*
 * load - the files of one generation, in order, into one struct conf.
 *
 * Called at the start and by --check, and at each reload, on a thread of its own. Each file is read and parsed for
 * itself, so that a syntax error in one (libconfig stops at the first) does not hide what is wrong in the others; what
 * needs all of them together is checked at the end by check.c. Nothing is changed outside the conf being built.
 */
#include "config.h"

#include "conf/load.h"

#include <dirent.h>
#include <errno.h>
#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/errmsg.h"
#include "base/mem.h"
#include "conf/check.h"
#include "conf/options.h"
#include "conf/reader.h"
#include "conf/report.h"
#include "conf/source.h"

/* What a file may hold beside the options of its top level. */
static const char *const main_sections[] = {"daemon", "log", "resolver", "pools", "upstreams", "listeners", NULL};
static const char *const included_sections[] = {"pools", "upstreams", "listeners", NULL};

/* One more pointer at the end of an array that counts them; 0 or -ENOMEM. */
static int
append_pointer(void *items, size_t *count, void *pointer)
{
	void ***holder = items;
	void **grown = mem_realloc_array(*holder, *count + 1, sizeof(*grown));

	if (grown == NULL)
		return -ENOMEM;
	*holder = grown;
	grown[(*count)++] = pointer;
	return 0;
}

/* ---- pools ------------------------------------------------------------------- */

/* Returns borrowed from conf, with its defaults; NULL when out of memory. */
static struct conf_pool *
add_pool(struct conf *conf, const char *name)
{
	struct conf_pool *pool = mem_zalloc(sizeof(*pool));

	if (pool == NULL)
		return NULL;
	pool->name = mem_strdup(name);
	if (pool->name == NULL || option_group_init(&conf_group_pool, pool) < 0 ||
		append_pointer(&conf->pools, &conf->pool_count, pool) < 0) {
		option_group_fini(&conf_group_pool, pool);
		mem_free(pool->name);
		mem_free(pool);
		return NULL;
	}
	return pool;
}

static void
read_pool(struct conf_loading *loading, const config_setting_t *setting)
{
	const char *name = config_setting_name(setting);
	const unsigned line = config_setting_source_line(setting);
	char key[READER_KEY_MAX];
	struct conf_pool *pool;
	const struct conf_pool *first = conf_find_pool(loading->conf, name);

	snprintf(key, sizeof(key), "pools.%s", name);
	if (!reader_is_section(loading, setting, key))
		return;
	if (!reader_is_name(name))
		reader_report_name(loading, name, loading->file, line, key);
	if (first != NULL)
		report(loading, loading->file, line, key, "is a second pool of that name, the first stands at %s:%u",
			first->file, first->line);
	pool = add_pool(loading->conf, name);
	if (pool == NULL) {
		report_no_memory(loading);
		return;
	}
	pool->file = loading->file;
	pool->line = line;
	reader_read_group(loading, &conf_group_pool, setting, key, pool, NULL);
}

static void
read_pools(struct conf_loading *loading, const config_setting_t *root)
{
	const config_setting_t *pools = config_setting_get_member(root, "pools");

	if (pools == NULL)
		return;
	if (!reader_is_section(loading, pools, "pools")) {
		loading->is_incomplete = true;
		return;
	}
	for (int i = 0; i < config_setting_length(pools); i++)
		read_pool(loading, config_setting_get_elem(pools, (unsigned)i));
}

/* The pool that is there without being written, once a listener wants it. */
static void
add_main_pool(struct conf_loading *loading)
{
	struct conf *conf = loading->conf;

	if (conf_find_pool(conf, CONF_POOL_MAIN) != NULL)
		return;
	for (size_t i = 0; i < conf->listener_count; i++) {
		const char *wanted = conf->listeners[i]->pool_name;

		if (wanted == NULL || strcmp(wanted, CONF_POOL_MAIN) != 0)
			continue;
		if (add_pool(conf, CONF_POOL_MAIN) == NULL)
			report_no_memory(loading);
		return;
	}
}

/* ---- upstreams --------------------------------------------------------------- */

static void
read_server(struct conf_loading *loading, struct conf_upstream *upstream, const config_setting_t *setting, int number)
{
	struct conf_server *server;
	char key[READER_KEY_MAX];

	snprintf(key, sizeof(key), "upstreams.%.*s.servers.(%d)", CONF_NAME_MAX, upstream->name, number);
	if (!reader_is_section(loading, setting, key))
		return;
	server = mem_zalloc(sizeof(*server));
	if (server == NULL || append_pointer(&upstream->servers, &upstream->server_count, server) < 0) {
		mem_free(server);
		report_no_memory(loading);
		return;
	}
	if (option_group_init(&conf_group_server, server) < 0)
		report_no_memory(loading);
	server->file = loading->file;
	server->line = config_setting_source_line(setting);
	reader_read_group(loading, &conf_group_server, setting, key, server, NULL);
}

static void
read_servers(struct conf_loading *loading, struct conf_upstream *upstream, const config_setting_t *section)
{
	const config_setting_t *servers = config_setting_get_member(section, "servers");
	const config_setting_t *place = servers != NULL ? servers : section;
	const char *wrong = "empty";
	char key[READER_KEY_MAX];

	snprintf(key, sizeof(key), "upstreams.%.*s.servers", CONF_NAME_MAX, upstream->name);
	if (servers != NULL && config_setting_is_list(servers) && config_setting_length(servers) > 0) {
		for (int i = 0; i < config_setting_length(servers); i++)
			read_server(loading, upstream, config_setting_get_elem(servers, (unsigned)i), i);
		return;
	}
	if (servers == NULL)
		wrong = "missing";
	else if (!config_setting_is_list(servers))
		wrong = reader_type_name(servers);
	report(loading, loading->file, config_setting_source_line(place), key,
		"is %s, expected at least one server: ( { address = \"tcp:HOST:PORT\"; } )", wrong);
}

/* Returns borrowed from conf, with its defaults; NULL when out of memory. */
static struct conf_upstream *
add_upstream(struct conf *conf, const char *name)
{
	struct conf_upstream *upstream = mem_zalloc(sizeof(*upstream));

	if (upstream == NULL)
		return NULL;
	upstream->name = mem_strdup(name);
	if (upstream->name == NULL || option_group_init(&conf_group_upstream, upstream) < 0 ||
		append_pointer(&conf->upstreams, &conf->upstream_count, upstream) < 0) {
		option_group_fini(&conf_group_upstream, upstream);
		mem_free(upstream->name);
		mem_free(upstream);
		return NULL;
	}
	return upstream;
}

static void
read_upstream(struct conf_loading *loading, const config_setting_t *setting)
{
	static const char *const others[] = {"servers", NULL};
	const char *name = config_setting_name(setting);
	const unsigned line = config_setting_source_line(setting);
	char key[READER_KEY_MAX];
	struct conf_upstream *upstream;
	const struct conf_upstream *first = conf_find_upstream(loading->conf, name);

	snprintf(key, sizeof(key), "upstreams.%s", name);
	if (!reader_is_section(loading, setting, key))
		return;
	if (!reader_is_name(name))
		reader_report_name(loading, name, loading->file, line, key);
	if (first != NULL)
		report(loading, loading->file, line, key,
			"is a second upstream of that name, the first stands at %s:%u", first->file, first->line);
	upstream = add_upstream(loading->conf, name);
	if (upstream == NULL) {
		report_no_memory(loading);
		return;
	}
	upstream->file = loading->file;
	upstream->line = line;
	reader_read_group(loading, &conf_group_upstream, setting, key, upstream, others);
	read_servers(loading, upstream, setting);
}

static void
read_upstreams(struct conf_loading *loading, const config_setting_t *root)
{
	const config_setting_t *upstreams = config_setting_get_member(root, "upstreams");

	if (upstreams == NULL)
		return;
	if (!reader_is_section(loading, upstreams, "upstreams")) {
		loading->is_incomplete = true;
		return;
	}
	for (int i = 0; i < config_setting_length(upstreams); i++)
		read_upstream(loading, config_setting_get_elem(upstreams, (unsigned)i));
}

/* ---- listeners --------------------------------------------------------------- */

static void
read_listener(struct conf_loading *loading, const config_setting_t *setting, int number)
{
	struct conf *conf = loading->conf;
	struct conf_listener *listener;
	char key[READER_KEY_MAX];

	snprintf(key, sizeof(key), "listeners.(%d)", number);
	if (!reader_is_section(loading, setting, key))
		return;
	listener = mem_zalloc(sizeof(*listener));
	if (listener == NULL || append_pointer(&conf->listeners, &conf->listener_count, listener) < 0) {
		mem_free(listener);
		report_no_memory(loading);
		return;
	}
	if (option_group_init(&conf_group_listener, listener) < 0)
		report_no_memory(loading);
	listener->index = (unsigned)conf->listener_count - 1;
	listener->file = loading->file;
	listener->line = config_setting_source_line(setting);
	reader_read_group(loading, &conf_group_listener, setting, key, listener, NULL);
}

static void
read_listeners(struct conf_loading *loading, const config_setting_t *root)
{
	const config_setting_t *listeners = config_setting_get_member(root, "listeners");

	if (listeners == NULL)
		return;
	if (!config_setting_is_list(listeners)) {
		report(loading, loading->file, config_setting_source_line(listeners), "listeners",
			"is %s, expected a list ( { … }, { … } )", reader_type_name(listeners));
		loading->is_incomplete = true;
		return;
	}
	for (int i = 0; i < config_setting_length(listeners); i++)
		read_listener(loading, config_setting_get_elem(listeners, (unsigned)i), i);
}

/* ---- one file ---------------------------------------------------------------- */

static void
read_section(struct conf_loading *loading, const config_setting_t *root, const struct option_group *group, void *base)
{
	const config_setting_t *section = config_setting_get_member(root, group->path);

	if (section != NULL && reader_is_section(loading, section, group->path))
		reader_read_group(loading, group, section, group->path, base, NULL);
}

static bool
is_among(const char *name, const char *const *names)
{
	for (; *names != NULL; names++) {
		if (strcmp(*names, name) == 0)
			return true;
	}
	return false;
}

/* An included file adds pools, upstreams and listeners and nothing else. */
static void
check_included_keys(struct conf_loading *loading, const config_setting_t *root)
{
	static const struct option_group none = {.path = ""};

	for (int i = 0; i < config_setting_length(root); i++) {
		const config_setting_t *setting = config_setting_get_elem(root, (unsigned)i);
		const char *key = config_setting_name(setting);

		if (is_among(key, included_sections))
			continue;
		if (is_among(key, main_sections) || option_find(&conf_group_top, key) != NULL)
			report(loading, loading->file, config_setting_source_line(setting), key,
				"belongs into the main file %s, expected pools, upstreams and listeners here",
				loading->conf->path);
		else
			reader_report_unknown(loading, &none, included_sections, setting, key);
	}
}

static void
read_tree(struct conf_loading *loading, const config_setting_t *root)
{
	struct conf *conf = loading->conf;

	if (conf->file_count > 1) {
		check_included_keys(loading, root);
	} else {
		reader_read_group(loading, &conf_group_top, root, "", conf, main_sections);
		read_section(loading, root, &conf_group_daemon, &conf->daemon);
		read_section(loading, root, &conf_group_log, &conf->log);
		read_section(loading, root, &conf_group_resolver, &conf->resolver);
	}
	read_pools(loading, root);
	read_upstreams(loading, root);
	read_listeners(loading, root);
}

static void
parse_text(struct conf_loading *loading, const char *text, size_t length)
{
	struct errmsg err = {""};
	unsigned line = 0;
	char *safe = NULL;
	config_t config;
	int r = source_make_safe(text, length, &safe, &line, &err);

	if (r < 0) {
		loading->is_incomplete = true;
		if (r == -ENOMEM)
			report_no_memory(loading);
		else
			report(loading, loading->file, line, NULL, "%s", err.text);
		return;
	}
	config_init(&config);
	if (config_read_string(&config, safe) == CONFIG_TRUE) {
		read_tree(loading, config_root_setting(&config));
	} else {
		loading->is_incomplete = true;
		report(loading, loading->file, (unsigned)config_error_line(&config), NULL,
			"%s, expected NAME = VALUE; or NAME: { … }; here or on the line before",
			config_error_text(&config));
	}
	config_destroy(&config);
	mem_free(safe);
}

/* Takes the path; it is freed with the conf. */
static void
load_file(struct conf_loading *loading, char *path)
{
	struct conf *conf = loading->conf;
	struct errmsg err = {""};
	char *text = NULL;
	size_t length = 0;
	int r;

	if (path == NULL || append_pointer(&conf->files, &conf->file_count, path) < 0) {
		mem_free(path);
		report_no_memory(loading);
		return;
	}
	loading->file = path;
	r = source_read(path, &text, &length, &err);
	if (r < 0) {
		loading->is_incomplete = true;
		if (r == -ENOMEM)
			report_no_memory(loading);
		else
			report(loading, path, 0, NULL, "%s", err.text);
		return;
	}
	parse_text(loading, text, length);
	mem_free(text);
}

/* ---- include_dir ------------------------------------------------------------- */

static int
is_conf_name(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return entry->d_name[0] != '.' && dot != NULL && strcmp(dot, ".conf") == 0;
}

static int
compare_names(const struct dirent **a, const struct dirent **b)
{
	/* Not alphasort(3): the order must not hang on the locale. */
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* Relative to the main file's folder. Owned; NULL when out of memory. */
static char *
include_path(const struct conf *conf)
{
	const char *slash = strrchr(conf->path, '/');

	if (conf->include_dir[0] == '/' || slash == NULL)
		return mem_strdup(conf->include_dir);
	return mem_printf("%.*s/%s", (int)(slash - conf->path), conf->path, conf->include_dir);
}

static void
load_folder(struct conf_loading *loading, const char *folder)
{
	const struct conf_place *place = loading_find_place(loading, loading->conf, "include_dir", 0);
	struct dirent **entries = NULL;
	int count = scandir(folder, &entries, is_conf_name, compare_names);

	if (count < 0) {
		loading->is_incomplete = true;
		if (place != NULL)
			report_at(loading, place, "include_dir", "cannot read folder %s: %s", folder,
				errmsg_errno(errno));
		return;
	}
	for (int i = 0; i < count; i++) {
		load_file(loading, mem_printf("%s/%s", folder, entries[i]->d_name));
		free(entries[i]);
	}
	free(entries);
}

static void
load_included(struct conf_loading *loading)
{
	char *folder;

	if (loading->conf->include_dir == NULL)
		return;
	folder = include_path(loading->conf);
	if (folder == NULL) {
		report_no_memory(loading);
		return;
	}
	load_folder(loading, folder);
	mem_free(folder);
}

/* ---- all of it --------------------------------------------------------------- */

static void
load_all(struct conf_loading *loading, const char *path)
{
	struct conf *conf = loading->conf;

	conf->path = mem_strdup(path);
	if (conf->path == NULL || option_group_init(&conf_group_top, conf) < 0 ||
		option_group_init(&conf_group_daemon, &conf->daemon) < 0 ||
		option_group_init(&conf_group_log, &conf->log) < 0 ||
		option_group_init(&conf_group_resolver, &conf->resolver) < 0) {
		report_no_memory(loading);
		return;
	}
	load_file(loading, mem_strdup(path));
	load_included(loading);
	add_main_pool(loading);
	/* Half-read values would only make up errors that are not there. */
	if (!loading->has_no_memory)
		check_conf(loading);
}

struct conf *
conf_load(const char *path, const struct conf_service_type *types, struct conf_errors *errors)
{
	struct conf_loading loading = {.conf = mem_zalloc(sizeof(struct conf)), .types = types, .errors = errors};

	if (loading.conf == NULL) {
		report_no_memory(&loading);
		return NULL;
	}
	atomic_init(&loading.conf->refs, 1);
	load_all(&loading, path);
	loading_fini(&loading);
	report_sort(errors);
	if (errors->count > 0)
		conf_unref(&loading.conf);
	return loading.conf;
}
