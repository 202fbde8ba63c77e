/* SPDX-License-Identifier: MIT */
/*
 * spawner_recipe.c - what the config says of a program, with every name looked up, so that starting it needs no memory
 * and no look-up.
 *
 * In the process that loads a config for the keeper, and in --check; the spawner has it as a table (spawner_table.c).
 */
#include "config.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/errmsg.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "program/program.h"
#include "program/spawner_recipe.h"

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
/* PATH, HOME, USER, LOGNAME, and the end. */
#define OWN_VARIABLES 5u

/* ---- users -------------------------------------------------------------------------------- */

static int
find_groups(struct recipe *recipe, const struct program_options *options, const struct passwd *user, struct errmsg *err)
{
	const struct option_strings *names = &options->groups;

	recipe->group_count = 0;
	if (names->count == 0 && user != NULL) {
		recipe->group_count = RECIPE_GROUPS_MAX;
		if (getgrouplist(user->pw_name, recipe->gid, recipe->groups, &recipe->group_count) >= 0)
			return 0;
		errmsg_set(err, "user '%s' is in more than %d groups", user->pw_name, RECIPE_GROUPS_MAX);
		return -E2BIG;
	}
	for (size_t i = 0; i < names->count; i++) {
		const struct group *group = getgrnam(names->items[i]);

		if (group == NULL || i == RECIPE_GROUPS_MAX) {
			errmsg_set(err, "group '%s': %s", names->items[i],
				group == NULL ? "there is none" : "is one too many");
			return -ENOENT;
		}
		recipe->groups[recipe->group_count++] = group->gr_gid;
	}
	return 0;
}

/* Of the section, else of the daemon; nothing to change when the keeper is that user already. */
static int
find_user(struct recipe *recipe, const struct program_options *options, const struct conf *conf,
	const struct passwd **ret_user, struct errmsg *err)
{
	bool is_own = options->user != NULL || options->group != NULL || options->groups.count > 0;
	const char *user_name = options->user;
	const char *group_name = options->group;
	const struct passwd *user = NULL;
	const struct group *group = NULL;

	*ret_user = NULL;
	if (user_name == NULL && geteuid() == 0) {
		user_name = conf->daemon.user;
		group_name = group_name != NULL ? group_name : conf->daemon.group;
	}
	if (user_name == NULL && !is_own)
		return 0;
	if (user_name != NULL)
		user = getpwnam(user_name);
	if (group_name != NULL)
		group = getgrnam(group_name);
	if ((user_name != NULL && user == NULL) || (group_name != NULL && group == NULL)) {
		errmsg_set(err, "there is no %s '%s'", user_name != NULL && user == NULL ? "user" : "group",
			user_name != NULL && user == NULL ? user_name : group_name);
		return -ENOENT;
	}
	recipe->uid = user != NULL ? user->pw_uid : geteuid();
	recipe->gid = group != NULL ? group->gr_gid : user != NULL ? user->pw_gid : getegid();
	recipe->changes_user = recipe->uid != geteuid() || recipe->gid != getegid() || options->groups.count > 0;
	*ret_user = user;
	return find_groups(recipe, options, user, err);
}

/* ---- environment ------------------------------------------------------------------------------ */

/* Takes over the text. */
static int
add_variable(struct recipe *recipe, char *text)
{
	size_t name_length;

	if (text == NULL)
		return -ENOMEM;
	name_length = strcspn(text, "=") + 1;
	for (unsigned i = 0; i < recipe->environment_count; i++) {
		/* What comes later says it more precisely. */
		if (strncmp(recipe->environment[i], text, name_length) == 0) {
			mem_free(recipe->environment[i]);
			recipe->environment[i] = text;
			return 0;
		}
	}
	recipe->environment[recipe->environment_count++] = text;
	return 0;
}

static int
make_environment(struct recipe *recipe, const struct program_options *options, const struct passwd *user)
{
	size_t room = options->environment.count + options->pass_environment.count + OWN_VARIABLES;
	int rc;

	recipe->environment = mem_zalloc_array(room, sizeof(recipe->environment[0]));
	if (recipe->environment == NULL)
		return -ENOMEM;
	rc = add_variable(recipe, mem_strdup(DEFAULT_PATH));
	if (rc == 0 && options->user != NULL && user != NULL) {
		rc = add_variable(recipe, mem_printf("HOME=%s", user->pw_dir));
		if (rc == 0)
			rc = add_variable(recipe, mem_printf("USER=%s", user->pw_name));
		if (rc == 0)
			rc = add_variable(recipe, mem_printf("LOGNAME=%s", user->pw_name));
	}
	for (size_t i = 0; rc == 0 && i < options->pass_environment.count; i++) {
		const char *name = options->pass_environment.items[i];
		const char *value = getenv(name);

		if (value != NULL)
			rc = add_variable(recipe, mem_printf("%s=%s", name, value));
	}
	for (size_t i = 0; rc == 0 && i < options->environment.count; i++)
		rc = add_variable(recipe, mem_strdup(options->environment.items[i]));
	return rc;
}

/* ---- limits --------------------------------------------------------------------------------------- */

static void
add_limit(struct recipe *recipe, int resource, uint64_t value)
{
	struct recipe_limit *limit = &recipe->limits[recipe->limit_count];

	if (value == PROGRAM_LIMIT_INHERIT)
		return;
	if (value == PROGRAM_LIMIT_UNLIMITED)
		value = RLIM_INFINITY;
	*limit = (struct recipe_limit){.resource = resource, .soft = value, .hard = value};
	/* Where both are the same the kernel kills at once; SIGXCPU is to come first (setrlimit(2)). */
	if (resource == RLIMIT_CPU && value != RLIM_INFINITY)
		limit->hard = value + 1;
	recipe->limit_count++;
}

static void
make_limits(struct recipe *recipe, const struct program_options *options)
{
	uint64_t cpu_ms = options->limit_cpu_ms;

	add_limit(recipe, RLIMIT_CPU, cpu_ms >= PROGRAM_LIMIT_UNLIMITED ? cpu_ms : (cpu_ms + 999) / 1000);
	add_limit(recipe, RLIMIT_FSIZE, options->limit_file_size);
	add_limit(recipe, RLIMIT_DATA, options->limit_data);
	add_limit(recipe, RLIMIT_STACK, options->limit_stack);
	add_limit(recipe, RLIMIT_CORE, options->limit_core);
	add_limit(recipe, RLIMIT_AS, options->limit_address_space);
	add_limit(recipe, RLIMIT_MEMLOCK, options->limit_memory_lock);
	add_limit(recipe, RLIMIT_NOFILE, options->limit_open_files);
	add_limit(recipe, RLIMIT_NPROC, options->limit_processes);
}

/* ---- life --------------------------------------------------------------------------------------------- */

static void
recipe_free(struct recipe *recipe)
{
	if (recipe == NULL)
		return;
	for (unsigned i = 0; i < recipe->environment_count; i++)
		mem_free(recipe->environment[i]);
	for (unsigned i = 0; i < recipe->argument_count; i++)
		mem_free(recipe->argv[i]);
	mem_free(recipe->environment);
	mem_free(recipe->argv);
	mem_free(recipe->directory);
	mem_free(recipe->chroot);
	mem_free(recipe);
}

static int
copy_options(struct recipe *recipe, const struct program_options *options)
{
	recipe->argv = mem_zalloc_array(options->command.count + 1, sizeof(recipe->argv[0]));
	if (recipe->argv == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < options->command.count; i++) {
		recipe->argv[i] = mem_strdup(options->command.items[i]);
		if (recipe->argv[i] == NULL)
			return -ENOMEM;
		recipe->argument_count++;
	}
	recipe->directory = mem_strdup(options->directory);
	recipe->chroot = mem_strdup(options->chroot);
	recipe->umask = (uint32_t)options->umask;
	recipe->nice = (int32_t)options->nice;
	recipe->no_new_privileges = options->no_new_privileges;
	return recipe->directory != NULL && (options->chroot == NULL || recipe->chroot != NULL) ? 0 : -ENOMEM;
}

static int
recipe_new(
	const struct program_options *options, const struct conf *conf, struct recipe **ret_recipe, struct errmsg *err)
{
	struct recipe *recipe = mem_zalloc(sizeof(*recipe));
	const struct passwd *user = NULL;
	int rc;

	if (recipe == NULL)
		return -ENOMEM;
	rc = copy_options(recipe, options);
	if (rc == 0)
		rc = find_user(recipe, options, conf, &user, err);
	if (rc == 0)
		rc = make_environment(recipe, options, user);
	if (rc == 0) {
		make_limits(recipe, options);
		*ret_recipe = recipe;
	} else {
		recipe_free(recipe);
	}
	return rc;
}

void
cookbook_free(struct cookbook **holder)
{
	struct cookbook *cookbook = *holder;

	*holder = NULL;
	if (cookbook == NULL)
		return;
	for (unsigned i = 0; i < cookbook->count; i++)
		recipe_free(cookbook->recipes[i]);
	mem_free(cookbook->recipes);
	mem_free(cookbook);
}

struct cookbook *
cookbook_new(const struct conf *conf, struct errmsg *err)
{
	struct cookbook *cookbook = mem_zalloc(sizeof(*cookbook));
	int rc = 0;

	errmsg_set(err, "no memory");
	if (cookbook == NULL)
		return NULL;
	cookbook->recipes = mem_zalloc_array(conf->listener_count, sizeof(cookbook->recipes[0]));
	if (cookbook->recipes == NULL) {
		cookbook_free(&cookbook);
		return NULL;
	}
	cookbook->count = (unsigned)conf->listener_count;
	cookbook->digest = program_digest(conf);
	for (unsigned i = 0; rc == 0 && i < cookbook->count; i++) {
		const struct program_options *options = program_of(&conf->listeners[i]->service);

		if (options != NULL)
			rc = recipe_new(options, conf, &cookbook->recipes[i], err);
		if (rc < 0)
			errmsg_prefix(err, "listener '%s'", conf->listeners[i]->name);
	}
	if (rc < 0)
		cookbook_free(&cookbook);
	return cookbook;
}
