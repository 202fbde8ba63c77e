/* SPDX-License-Identifier: MIT */
/*
 * program.c - what a section says of a program: checked, told apart from another; and how a run ended, for people.
 *
 * Used by the daemon, by the keeper and by --check.
 */
#include "config.h"

#include "program/program.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "base/errmsg.h"
#include "conf/conf.h"

const struct option_word program_limit_words[] = {
	{.name = "inherit", .value = -1},
	{.name = "unlimited", .value = -2},
	{.name = NULL},
};

/* ---- checks -------------------------------------------------------------------------------- */

static void
check_path(const struct conf_service_checker *checker, const char *option, const char *path)
{
	if (path != NULL && path[0] != '/')
		conf_service_fault(checker, option, 0, "\"%s\" is no path, expected one that begins with '/'", path);
}

static void
check_names(const struct program_options *options, const struct conf_service_checker *checker)
{
	if (options->user != NULL && getpwnam(options->user) == NULL)
		conf_service_fault(checker, "user", 0, "there is no user \"%s\", expected one that this machine has",
			options->user);
	if (options->group != NULL && getgrnam(options->group) == NULL)
		conf_service_fault(checker, "group", 0, "there is no group \"%s\", expected one that this machine has",
			options->group);
	for (size_t i = 0; i < options->groups.count; i++) {
		if (getgrnam(options->groups.items[i]) == NULL)
			conf_service_fault(checker, "groups", i,
				"there is no group \"%s\", expected one that this machine has",
				options->groups.items[i]);
	}
}

static void
check_environment(const struct program_options *options, const struct conf_service_checker *checker)
{
	for (size_t i = 0; i < options->environment.count; i++) {
		const char *text = options->environment.items[i];

		if (strchr(text, '=') == NULL || text[0] == '=')
			conf_service_fault(
				checker, "environment", i, "\"%s\" is no variable, expected \"NAME=value\"", text);
	}
	for (size_t i = 0; i < options->pass_environment.count; i++) {
		const char *name = options->pass_environment.items[i];

		if (name[0] == '\0' || strchr(name, '=') != NULL)
			conf_service_fault(checker, "pass_environment", i,
				"\"%s\" is no name of a variable, expected one without '='", name);
	}
}

void
program_check_options(const void *section, const struct conf_service_checker *checker)
{
	const struct program_options *options = section;

	if (options->command.count > 0)
		check_path(checker, "command", options->command.items[0]);
	check_path(checker, "directory", options->directory);
	check_path(checker, "chroot", options->chroot);
	check_names(options, checker);
	check_environment(options, checker);
}

const struct program_options *
program_of(const struct conf_service *service)
{
	return service->type->runs_program ? service->options : NULL;
}

/* ---- the digest -------------------------------------------------------------------------------- */

#define FNV_BASIS 0xcbf29ce484222325u
#define FNV_PRIME 0x100000001b3u

static uint64_t
mix(uint64_t hash, const void *bytes, size_t size)
{
	const unsigned char *byte = bytes;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ byte[i]) * FNV_PRIME;
	return hash;
}

/* With the NUL, so that two strings are not one; NULL is not the empty one. */
static uint64_t
mix_string(uint64_t hash, const char *text)
{
	return text != NULL ? mix(hash, text, strlen(text) + 1) : mix(hash, "\1", 2);
}

static uint64_t
mix_strings(uint64_t hash, const struct option_strings *strings)
{
	hash = mix(hash, &strings->count, sizeof(strings->count));
	for (size_t i = 0; i < strings->count; i++)
		hash = mix_string(hash, strings->items[i]);
	return hash;
}

static uint64_t
mix_options(uint64_t hash, const struct program_options *options)
{
	const uint64_t numbers[] = {options->umask, (uint64_t)options->nice, options->no_new_privileges,
		options->limit_cpu_ms, options->limit_file_size, options->limit_data, options->limit_stack,
		options->limit_core, options->limit_address_space, options->limit_memory_lock,
		options->limit_open_files, options->limit_processes};

	hash = mix_strings(hash, &options->command);
	hash = mix_string(hash, options->user);
	hash = mix_string(hash, options->group);
	hash = mix_strings(hash, &options->groups);
	hash = mix_string(hash, options->directory);
	hash = mix_string(hash, options->chroot);
	hash = mix_strings(hash, &options->environment);
	hash = mix_strings(hash, &options->pass_environment);
	return mix(hash, numbers, sizeof(numbers));
}

uint64_t
program_digest(const struct conf *conf)
{
	uint64_t hash = FNV_BASIS;
	bool has_any = false;

	hash = mix_string(hash, conf->daemon.user);
	hash = mix_string(hash, conf->daemon.group);
	for (uint32_t i = 0; i < conf->listener_count; i++) {
		const struct program_options *options = program_of(&conf->listeners[i]->service);

		if (options == NULL)
			continue;
		has_any = true;
		hash = mix(hash, &i, sizeof(i));
		hash = mix_options(hash, options);
	}
	if (!has_any)
		return 0;
	return hash != 0 ? hash : 1;
}

/* ---- results ------------------------------------------------------------------------------------------ */

void
program_explain(struct program_result *result, const char *line, size_t length)
{
	size_t first = 2;
	size_t end;

	if (length >= 4 && memcmp(line, "\177ELF", 4) == 0) {
		if (result->error == ENOENT)
			result->reason = PROGRAM_REASON_LOADER;
		return;
	}
	if (length < 2 || memcmp(line, "#!", 2) != 0) {
		if (result->error == ENOEXEC)
			result->reason = PROGRAM_REASON_FORMAT;
		return;
	}
	/* As the kernel reads it: blanks, then the path up to the next blank. */
	while (first < length && (line[first] == ' ' || line[first] == '\t'))
		first++;
	for (end = first; end < length && strchr(" \t\r\n", line[end]) == NULL; end++)
		;
	result->reason =
		end < length && line[end] == '\r' ? PROGRAM_REASON_CARRIAGE_RETURN : PROGRAM_REASON_INTERPRETER;
	if (end - first >= sizeof(result->interpreter))
		end = first + sizeof(result->interpreter) - 1;
	for (size_t i = first; i < end; i++) {
		unsigned char byte = (unsigned char)line[i];

		result->interpreter[i - first] = byte < ' ' || byte == 0x7f ? '?' : (char)byte;
	}
	result->interpreter[end - first] = '\0';
}

static void
format_no_run(const struct program_result *result, const char *path, char buf[PROGRAM_TEXT_MAX])
{
	switch (result->reason) {
	case PROGRAM_REASON_NONE:
		snprintf(buf, PROGRAM_TEXT_MAX, "cannot run %s: %s", path, errmsg_errno(result->error));
		break;
	case PROGRAM_REASON_INTERPRETER:
		snprintf(buf, PROGRAM_TEXT_MAX,
			"cannot run %s: the interpreter '%s' that its first line names does not exist", path,
			result->interpreter);
		break;
	case PROGRAM_REASON_CARRIAGE_RETURN:
		snprintf(buf, PROGRAM_TEXT_MAX,
			"cannot run %s: its first line, which names the interpreter '%s', ends with a carriage return "
			"(a DOS line end)",
			path, result->interpreter);
		break;
	case PROGRAM_REASON_LOADER:
		snprintf(buf, PROGRAM_TEXT_MAX,
			"cannot run %s: the dynamic loader that it names does not exist; it was made for another "
			"system",
			path);
		break;
	case PROGRAM_REASON_FORMAT:
		snprintf(buf, PROGRAM_TEXT_MAX,
			"cannot run %s: it is no binary for this machine, and no script, which begins with \"#!\" and "
			"its interpreter",
			path);
		break;
	}
}

static void
format_failure(const struct program_result *result, const struct program_options *options, char buf[PROGRAM_TEXT_MAX])
{
	const char *why = errmsg_errno(result->error);

	switch (result->step) {
	case PROGRAM_STEP_CHROOT:
		snprintf(buf, PROGRAM_TEXT_MAX, "cannot make %s its root: %s", options->chroot, why);
		break;
	case PROGRAM_STEP_DIRECTORY:
		snprintf(buf, PROGRAM_TEXT_MAX, "cannot enter %s: %s", options->directory, why);
		break;
	case PROGRAM_STEP_USER:
		snprintf(buf, PROGRAM_TEXT_MAX, "cannot become %s: %s",
			options->user != NULL ? options->user : "that user and group", why);
		break;
	case PROGRAM_STEP_LIMITS:
		snprintf(buf, PROGRAM_TEXT_MAX, "cannot set its limits: %s", why);
		break;
	case PROGRAM_STEP_NICE:
		snprintf(buf, PROGRAM_TEXT_MAX, "cannot set nice: %s", why);
		break;
	case PROGRAM_STEP_PRIVILEGES:
		snprintf(buf, PROGRAM_TEXT_MAX, "cannot set no_new_privileges: %s", why);
		break;
	case PROGRAM_STEP_STREAMS:
		snprintf(buf, PROGRAM_TEXT_MAX, "cannot give it its standard streams: %s", why);
		break;
	case PROGRAM_STEP_REQUEST:
		snprintf(buf, PROGRAM_TEXT_MAX, "the spawner could not be asked: %s", why);
		break;
	case PROGRAM_STEP_PROCESS:
		snprintf(buf, PROGRAM_TEXT_MAX, "no process for it: %s", why);
		break;
	case PROGRAM_STEP_LATE:
		snprintf(buf, PROGRAM_TEXT_MAX,
			"it did not start within %u s: it was stopped before execve, and killed", PROGRAM_START_S);
		break;
	case PROGRAM_STEP_RUN:
	case PROGRAM_STEP_COUNT:
		format_no_run(result, options->command.items[0], buf);
		break;
	}
}

const char *
program_format_result(
	const struct program_result *result, const struct program_options *options, char buf[PROGRAM_TEXT_MAX])
{
	const char *name;

	switch (result->how) {
	case PROGRAM_EXITED:
		snprintf(buf, PROGRAM_TEXT_MAX, "exit status %d", result->status);
		break;
	case PROGRAM_SIGNALLED:
		name = sigabbrev_np(result->status);
		if (name != NULL)
			snprintf(
				buf, PROGRAM_TEXT_MAX, "signal %s%s", name, result->dumped_core ? ", core dumped" : "");
		else
			snprintf(buf, PROGRAM_TEXT_MAX, "signal %d%s", result->status,
				result->dumped_core ? ", core dumped" : "");
		break;
	case PROGRAM_NOT_STARTED:
		format_failure(result, options, buf);
		break;
	case PROGRAM_LOST:
		snprintf(buf, PROGRAM_TEXT_MAX, "the spawner died, and it was ended");
		break;
	}
	return buf;
}
