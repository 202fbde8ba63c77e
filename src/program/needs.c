/* SPDX-License-Identifier: MIT */
/*
 * needs.c - a config's recipes, held against what this process may do.
 *
 * What a program changes and which limits are raised is not worked out again here: the recipes are those that the
 * keeper makes (spawner_recipe.c). Main thread, in a process that serves nobody yet.
 */
#include "config.h"

#include "program/needs.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/capability.h"
#include "base/errmsg.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "program/spawner_recipe.h"

#define HOW_TO_GET_IT \
	"which connpoold lacks here: start it as root, or give its unit the drop-in " CP_DOCDIR \
	"/connpoold-programs.conf"

struct examination {
	needs_fn *say;
	const struct conf_listener *rule;
	int lacks;
};

static void say(struct examination *examination, bool is_lack, const char *fmt, ...) CP_PRINTF(3, 4);

static void
say(struct examination *examination, bool is_lack, const char *fmt, ...)
{
	const struct conf_listener *rule = examination->rule;
	struct errmsg text;
	va_list args;

	va_start(args, fmt);
	vsnprintf(text.text, sizeof(text.text), fmt, args);
	va_end(args);
	errmsg_prefix(&text, "%s:%u: listener '%s'", rule->file, rule->line, rule->name);
	examination->say(text.text, is_lack);
	examination->lacks += is_lack;
}

/* ---- privileges ------------------------------------------------------------------------------ */

/* Of a call that can't succeed, with `expected` where nothing filters it. */
static bool
is_filtered(long result, int expected)
{
	return result < 0 && errno != expected;
}

/* Those that become_user() in spawner_launch.c makes. */
static bool
user_is_filtered(void)
{
	/* setgroups(2) asks for the privilege first, then whether there can be so many groups. */
	return is_filtered(syscall(SYS_setresgid, -1, -1, -1), 0) ||
	       is_filtered(syscall(SYS_setresuid, -1, -1, -1), 0) ||
	       is_filtered(syscall(SYS_setgroups, (size_t)INT32_MAX, NULL), EINVAL);
}

static void
need(struct examination *examination, const char *option, uint64_t capabilities, const char *names)
{
	if ((capability_effective() & capabilities) != capabilities)
		say(examination, true, "%s needs %s, " HOW_TO_GET_IT, option, names);
}

static void
need_call(struct examination *examination, const char *option, bool filtered, const char *names)
{
	if (filtered)
		say(examination, true, "%s needs calls that are filtered (%s), " HOW_TO_GET_IT, option, names);
}

static void
examine_user(struct examination *examination, const struct recipe *recipe)
{
	int lacks = examination->lacks;

	if (!recipe->changes_user)
		return;
	need(examination, "another user or group",
		CAPABILITY_BIT(CAP_SETUID) | CAPABILITY_BIT(CAP_SETGID) | CAPABILITY_BIT(CAP_KILL),
		"CAP_SETUID, CAP_SETGID and CAP_KILL");
	if (examination->lacks == lacks)
		need_call(examination, "another user or group", user_is_filtered(), "setresuid, setresgid, setgroups");
}

static void
examine_chroot(struct examination *examination, const struct recipe *recipe)
{
	int lacks = examination->lacks;

	if (recipe->chroot == NULL)
		return;
	need(examination, "chroot", CAPABILITY_BIT(CAP_SYS_CHROOT), "CAP_SYS_CHROOT");
	if (examination->lacks == lacks)
		need_call(examination, "chroot", is_filtered(chroot(""), ENOENT), "chroot");
}

static void
examine_nice(struct examination *examination, const struct recipe *recipe)
{
	int lacks = examination->lacks;
	struct rlimit limit = {0};

	if (recipe->nice == 0)
		return;
	/* LimitNICE= of a unit; counted from 20 down (getrlimit(2)). */
	(void)getrlimit(RLIMIT_NICE, &limit);
	if (recipe->nice < getpriority(PRIO_PROCESS, 0) && (rlim_t)(20 - recipe->nice) > limit.rlim_cur)
		need(examination, "nice below that of connpoold", CAPABILITY_BIT(CAP_SYS_NICE), "CAP_SYS_NICE");
	if (examination->lacks == lacks)
		need_call(examination, "nice", is_filtered(setpriority(-1, 0, 0), EINVAL), "setpriority");
}

static void
examine_limits(struct examination *examination, const struct recipe *recipe)
{
	bool is_raised = false;

	for (unsigned i = 0; i < recipe->limit_count; i++) {
		const struct recipe_limit *wanted = &recipe->limits[i];
		struct rlimit now;

		if (getrlimit((__rlimit_resource_t)wanted->resource, &now) == 0)
			is_raised |= wanted->hard > now.rlim_max;
	}
	if (is_raised)
		need(examination, "a limit above that of connpoold", CAPABILITY_BIT(CAP_SYS_RESOURCE),
			"CAP_SYS_RESOURCE");
}

/* ---- files --------------------------------------------------------------------------------------- */

/*
 * As connpoold sees them, who need not be whom the program runs as: what can't be looked at is not missed. They may
 * come later than the config, so they are no lack. False: it is not there.
 */
static bool
examine_file(struct examination *examination, const char *option, const char *root, const char *path, bool is_folder)
{
	char *full = mem_printf("%s%s", root != NULL ? root : "", path);
	struct stat st;
	bool is_there = true;

	if (full == NULL)
		return true;
	if (stat(full, &st) < 0) {
		is_there = errno != ENOENT && errno != ENOTDIR;
		if (!is_there)
			say(examination, false, "%s: there is no %s", option, full);
	} else if (is_folder) {
		if (!S_ISDIR(st.st_mode))
			say(examination, false, "%s: %s is no folder", option, full);
	} else if (!S_ISREG(st.st_mode) || (st.st_mode & 0111) == 0) {
		say(examination, false, "%s: %s is not executable", option, full);
	}
	mem_free(full);
	return is_there;
}

static void
examine_files(struct examination *examination, const struct recipe *recipe)
{
	if (recipe->chroot != NULL && !examine_file(examination, "chroot", NULL, recipe->chroot, true))
		return;
	(void)examine_file(examination, "directory", recipe->chroot, recipe->directory, true);
	(void)examine_file(examination, "command", recipe->chroot, recipe->argv[0], false);
}

int
needs_examine(const struct conf *conf, needs_fn *say_fn)
{
	struct examination examination = {.say = say_fn};
	struct errmsg err;
	struct cookbook *cookbook = cookbook_new(conf, &err);

	if (cookbook == NULL) {
		say_fn(err.text, true);
		return -EINVAL;
	}
	for (unsigned i = 0; i < cookbook->count; i++) {
		const struct recipe *recipe = cookbook->recipes[i];

		if (recipe == NULL)
			continue;
		examination.rule = conf->listeners[i];
		examine_user(&examination, recipe);
		examine_chroot(&examination, recipe);
		examine_nice(&examination, recipe);
		examine_limits(&examination, recipe);
		examine_files(&examination, recipe);
	}
	cookbook_free(&cookbook);
	return examination.lacks;
}
