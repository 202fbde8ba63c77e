/* SPDX-License-Identifier: MIT */
/*
 * convert_program - what is run, as whom, and under which limits.
 *
 * Neither xinetd nor inetd starts a service whose program or user is not there, and connpoold takes no such
 * configuration: the listener becomes a comment then.
 */
#include "config.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/units.h"
#include "import/arena.h"
#include "import/convert_parts.h"
#include "import/quote.h"

/* Where tcpd looks for programs that it is given without a path. */
#define TCPD_FOLDER "/usr/sbin/"

#define GROUPS_MAX 256

static void
set_option(struct job *job, const char *key, const char *value)
{
	plan_set(job->arena, &job->plan->options, key, "%s", value);
}

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

/* ---- the command ------------------------------------------------------------------ */

static void
check_program(struct job *job, const char *path)
{
	struct stat status;

	if (*path != '/') {
		plan_demote(job->arena, job->plan, PLAN_INACTIVE, "its program \"%s\" has no absolute path", path);
		return;
	}
	if (stat(path, &status) < 0) {
		/* Not to see it is not to know. */
		if (errno != EACCES)
			plan_demote(job->arena, job->plan, PLAN_INACTIVE, "its program %s is not there", path);
	} else if (!S_ISREG(status.st_mode) || (status.st_mode & 0111) == 0) {
		plan_demote(job->arena, job->plan, PLAN_INACTIVE, "its program %s can not be run", path);
	}
}

/* tcpd looks at hosts.allow, then becomes the program that its argv[0] names. */
static const char *
skip_tcpd(struct job *job, const char *argv0)
{
	plan_note(job->arena, job->plan,
		"tcpd: left out, its program is run at once; hosts.allow and hosts.deny are not read: use allow and "
		"deny");
	report_warning(job->convert->report, job->entry->place,
		"'%s' loses tcpd, and what hosts.allow and hosts.deny say", job->entry->name);
	return *argv0 == '/' ? argv0 : arena_printf(job->arena, "%s%s", TCPD_FOLDER, argv0);
}

void
convert_command(struct job *job)
{
	const struct attribute *args = entry_find(job->entry, "server_args");
	const char *server = entry_value(job->entry, "server");
	struct words command = {0};
	size_t first = 0;

	if (server == NULL) {
		plan_demote(job->arena, job->plan, PLAN_FOREIGN, "it names no program");
		report_error(job->convert->report, job->entry->place, "service '%s' has no server", job->entry->name);
		return;
	}
	if (entry_has(job->entry, "flags", "NAMEINARGS") && args != NULL && args->values.count > 0) {
		const char *argv0 = args->values.items[0];

		first = 1;
		if (strcmp(base_name(server), "tcpd") == 0)
			server = skip_tcpd(job, argv0);
		else if (strcmp(base_name(argv0), base_name(server)) != 0)
			plan_note(job->arena, job->plan, "argv[0]: the program gets its path, not \"%s\"", argv0);
	}
	words_add(job->arena, &command, server);
	for (size_t i = first; args != NULL && i < args->values.count; i++)
		words_add(job->arena, &command, args->values.items[i]);
	set_option(job, "command", quote_list(job->arena, &command));
	check_program(job, server);
}

/* ---- the user ---------------------------------------------------------------------- */

static const struct passwd *
find_user(const char *text)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	return *text >= '0' && *text <= '9' && *end == '\0' ? getpwuid((uid_t)number) : getpwnam(text);
}

static const struct group *
find_group(const char *text)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	return *text >= '0' && *text <= '9' && *end == '\0' ? getgrgid((gid_t)number) : getgrnam(text);
}

/* xinetd gives a program no group beside its own unless groups = yes; here, and by inetd, it gets those of its user. */
static void
convert_groups(struct job *job, const struct passwd *user, const char *group)
{
	gid_t ids[GROUPS_MAX];
	int count = GROUPS_MAX;
	const struct group *own = group == NULL ? getgrgid(user->pw_gid) : NULL;
	struct words names = {0};

	if (job->entry->form != ENTRY_XINETD || entry_has(job->entry, "groups", "yes"))
		return;
	if (getgrouplist(user->pw_name, user->pw_gid, ids, &count) == 1 || (own == NULL && group == NULL))
		return;
	words_add(job->arena, &names, group != NULL ? group : arena_strdup(job->arena, own->gr_name));
	set_option(job, "groups", quote_list(job->arena, &names));
}

void
convert_user(struct job *job)
{
	const char *name = entry_value(job->entry, "user");
	const char *group_name = entry_value(job->entry, "group");
	const struct group *group = group_name != NULL ? find_group(group_name) : NULL;
	const struct passwd *user;

	if (name == NULL) {
		plan_note(job->arena, job->plan, "user: none is named, it runs as the daemon's");
		return;
	}
	user = find_user(name);
	if (group_name != NULL && group == NULL)
		plan_demote(job->arena, job->plan, PLAN_INACTIVE, "its group \"%s\" is not there", group_name);
	if (group != NULL)
		group_name = arena_strdup(job->arena, group->gr_name);
	set_option(job, "user", quote_string(job->arena, user != NULL ? user->pw_name : name));
	if (group_name != NULL)
		set_option(job, "group", quote_string(job->arena, group_name));
	if (user == NULL)
		plan_demote(job->arena, job->plan, PLAN_INACTIVE, "its user \"%s\" is not there", name);
	else
		convert_groups(job, user, group_name);
}

/* ---- what it starts with ------------------------------------------------------------- */

void
convert_environment(struct job *job, const struct attribute *attribute)
{
	bool is_pass = strcmp(attribute->name, "passenv") == 0;
	struct words values = {0};

	if (strcmp(job->plan->type, "exec") != 0)
		return;
	for (size_t i = 0; i < attribute->values.count; i++) {
		const char *value = attribute->values.items[i];
		const char *equals = strchr(value, '=');

		if (is_pass ? equals == NULL : equals != NULL && equals != value)
			words_add(job->arena, &values, value);
		else
			convert_warn(
				job, attribute, "\"%s\" is no %s", value, is_pass ? "name of a variable" : "variable");
	}
	if (values.count > 0)
		set_option(job, is_pass ? "pass_environment" : "environment", quote_list(job->arena, &values));
}

void
convert_umask(struct job *job, const struct attribute *attribute)
{
	int64_t mode;

	if (strcmp(job->plan->type, "exec") == 0 && convert_number(job, attribute, 8, 0, 0777, &mode))
		plan_set(job->arena, &job->plan->options, "umask", "\"%04o\"", (unsigned)mode);
}

void
convert_nice(struct job *job, const struct attribute *attribute)
{
	int64_t nice;

	if (strcmp(job->plan->type, "exec") == 0 && convert_number(job, attribute, 10, -20, 19, &nice))
		plan_set(job->arena, &job->plan->options, "nice", "%d", (int)nice);
}

/* ---- limits -------------------------------------------------------------------------- */

static const struct {
	const char *name;
	const char *key;
	enum { LIMIT_SIZE, LIMIT_TIME, LIMIT_NUMBER } type;
} rlimits[] = {
	{"rlimit_as", "limit_address_space", LIMIT_SIZE},
	{"rlimit_cpu", "limit_cpu", LIMIT_TIME},
	{"rlimit_data", "limit_data", LIMIT_SIZE},
	{"rlimit_files", "limit_open_files", LIMIT_NUMBER},
	{"rlimit_stack", "limit_stack", LIMIT_SIZE},
};

/* "8M" -> "8MiB"; NULL: it is none. */
static const char *
format_size(struct arena *arena, const char *text)
{
	size_t digits = strspn(text, "0123456789");
	const char *unit = text + digits;
	const char *size;
	uint64_t bytes;

	if (strcmp(unit, "K") != 0 && strcmp(unit, "M") != 0 && *unit != '\0')
		return NULL;
	size = arena_printf(arena, "%.*s%s", (int)digits, text, *unit == 'K' ? "KiB" : *unit == 'M' ? "MiB" : "B");
	return units_parse_size(size, &bytes) == 0 && bytes > 0 ? size : NULL;
}

void
convert_rlimit(struct job *job, const struct attribute *attribute)
{
	size_t i = 0;
	int64_t number;

	/* It is what a process has without being asked. */
	if (strcmp(job->plan->type, "exec") != 0 || entry_has(job->entry, attribute->name, "UNLIMITED"))
		return;
	while (strcmp(rlimits[i].name, attribute->name) != 0)
		i++;
	if (rlimits[i].type == LIMIT_SIZE) {
		const char *size =
			attribute->values.count == 1 ? format_size(job->arena, attribute->values.items[0]) : NULL;

		if (size != NULL)
			set_option(job, rlimits[i].key, quote_string(job->arena, size));
		else
			convert_warn(job, attribute, "expected a number of bytes, with K or M behind it");
	} else if (convert_number(job, attribute, 10, 1, rlimits[i].type == LIMIT_TIME ? 31536000 : 1048576, &number)) {
		if (rlimits[i].type == LIMIT_TIME)
			plan_set(job->arena, &job->plan->options, rlimits[i].key, "\"%llds\"", (long long)number);
		else
			plan_set(job->arena, &job->plan->options, rlimits[i].key, "%lld", (long long)number);
	}
}
