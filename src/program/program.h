/* SPDX-License-Identifier: MIT */
/*
 * program - other people's programs: started, waited for, what they write to standard error. May include: base, conf,
 * engine.
 *
 * program.h - what a section of the config says of a program to be run, and how a run of one ended.
 *
 * exec and check have these options as the first member of their own (struct program_options program): the spawner,
 * which reads the config file itself, finds them there. Any thread; nothing here makes a system call.
 */
#ifndef CP_PROGRAM_PROGRAM_H
#define CP_PROGRAM_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/defs.h"
#include "conf/option.h"

struct conf;
struct conf_service;
struct conf_service_checker;

/* Of a limit, and what stands in the table for them: */
#define PROGRAM_LIMIT_INHERIT UINT64_MAX /* as the daemon was started with */
#define PROGRAM_LIMIT_UNLIMITED (UINT64_MAX - 1)

struct program_options {
	struct option_strings command; /* argv; the first is an absolute path */
	char *user;                    /* NULL: daemon.user */
	char *group;                   /* NULL: the user's own */
	struct option_strings groups;  /* none: those that the user is in */
	char *directory;
	char *chroot;
	uint64_t umask;
	int64_t nice;
	struct option_strings environment;
	struct option_strings pass_environment;
	bool no_new_privileges;
	uint64_t kill_timeout_ms; /* from TERM to KILL of its process group */
	uint64_t limit_cpu_ms;
	uint64_t limit_file_size;
	uint64_t limit_data;
	uint64_t limit_stack;
	uint64_t limit_core;
	uint64_t limit_address_space;
	uint64_t limit_memory_lock;
	uint64_t limit_open_files;
	uint64_t limit_processes;
};

/* Words for a limit that is no number: for the rows below. */
extern const struct option_word program_limit_words[];

#define PROGRAM_ROW_LIMIT(s, kind, f, n, hi, text) \
	OPT_OR_WORD(kind, s, program.f, n, 0, hi, program_limit_words, "inherit", OPTION_NEW_CONNECTIONS, text)
#define PROGRAM_SIZE_MAX (1ull << 50)
#define PROGRAM_TIME_MAX (366ull * 24 * 3600 * 1000)

/* The rows of a section whose structure s begins with: struct program_options program. */
#define PROGRAM_OPTION_ROWS(s) \
	OPT_STRINGS_REQUIRED(s, program.command, "command", OPTION_NEW_CONNECTIONS, \
		"The program, by its absolute path, and its arguments; there is no shell in between."), \
		OPT_STRING(s, program.user, "user", NULL, OPTION_NEW_CONNECTIONS, \
			"Runs it as this user; without it as daemon.user, or as whoever started connpoold."), \
		OPT_STRING(s, program.group, "group", NULL, OPTION_NEW_CONNECTIONS, \
			"Runs it with this group instead of the user's own."), \
		OPT_STRINGS(s, program.groups, "groups", OPTION_NEW_CONNECTIONS, \
			"The supplementary groups, instead of all those that the user is in."), \
		OPT_STRING(s, program.directory, "directory", "/", OPTION_NEW_CONNECTIONS, \
			"The folder that it starts in, below chroot when there is one."), \
		OPT_STRING(s, program.chroot, "chroot", NULL, OPTION_NEW_CONNECTIONS, \
			"The folder that is its root; command and directory are looked up below it."), \
		OPT_MODE(s, program.umask, "umask", "0022", OPTION_NEW_CONNECTIONS, \
			"The permissions that the files it makes do not get."), \
		OPT_INT(s, program.nice, "nice", -20, 19, "0", OPTION_NEW_CONNECTIONS, \
			"How far it gives way to other processes; below 0 needs a privilege."), \
		OPT_STRINGS(s, program.environment, "environment", OPTION_NEW_CONNECTIONS, \
			"Variables, \"NAME=value\" each, beside PATH and what says who the client is."), \
		OPT_STRINGS(s, program.pass_environment, "pass_environment", OPTION_NEW_CONNECTIONS, \
			"Names of variables that it gets as connpoold was started with them."), \
		OPT_BOOL(s, program.no_new_privileges, "no_new_privileges", "true", OPTION_NEW_CONNECTIONS, \
			"Set-user-ID files and file capabilities give it nothing (PR_SET_NO_NEW_PRIVS)."), \
		OPT_TIME(s, program.kill_timeout_ms, "kill_timeout", 0, 3600000, "5s", OPTION_NEW_CONNECTIONS, \
			"One that must end gets SIGTERM, and so long after SIGKILL; its process group with it."), \
		PROGRAM_ROW_LIMIT(s, OPTION_TIME, limit_cpu_ms, "limit_cpu", PROGRAM_TIME_MAX, \
			"CPU time that it may use, in whole seconds; then it gets SIGXCPU (RLIMIT_CPU)."), \
		PROGRAM_ROW_LIMIT(s, OPTION_SIZE, limit_file_size, "limit_file_size", PROGRAM_SIZE_MAX, \
			"Largest file that it may write (RLIMIT_FSIZE)."), \
		PROGRAM_ROW_LIMIT(s, OPTION_SIZE, limit_data, "limit_data", PROGRAM_SIZE_MAX, \
			"Its data segment, heap included (RLIMIT_DATA)."), \
		PROGRAM_ROW_LIMIT( \
			s, OPTION_SIZE, limit_stack, "limit_stack", PROGRAM_SIZE_MAX, "Its stack (RLIMIT_STACK)."), \
		PROGRAM_ROW_LIMIT(s, OPTION_SIZE, limit_core, "limit_core", PROGRAM_SIZE_MAX, \
			"Largest core file that it may leave (RLIMIT_CORE)."), \
		PROGRAM_ROW_LIMIT(s, OPTION_SIZE, limit_address_space, "limit_address_space", PROGRAM_SIZE_MAX, \
			"All of its memory mappings together (RLIMIT_AS)."), \
		PROGRAM_ROW_LIMIT(s, OPTION_SIZE, limit_memory_lock, "limit_memory_lock", PROGRAM_SIZE_MAX, \
			"Memory that it may lock (RLIMIT_MEMLOCK)."), \
		PROGRAM_ROW_LIMIT(s, OPTION_UINT, limit_open_files, "limit_open_files", 1ull << 20, \
			"Descriptors that it may have open (RLIMIT_NOFILE)."), \
		PROGRAM_ROW_LIMIT(s, OPTION_UINT, limit_processes, "limit_processes", 1ull << 22, \
			"Processes that its user may have, all together (RLIMIT_NPROC)."),

/* conf_service_type.check of a type whose options begin with a struct program_options. */
void program_check_options(const void *options, const struct conf_service_checker *checker);

/* The program of a section; NULL: its service runs none. */
const struct program_options *program_of(const struct conf_service *service);

/*
 * A number that stands for everything that conf says of programs, and for where; 0: it names none. Two configs with the
 * same number say the same, though a user that they name may have become another one.
 */
uint64_t program_digest(const struct conf *conf);

/* ---- how a run ended ---------------------------------------------------------------- */

enum program_how {
	PROGRAM_EXITED,      /* status is its exit status */
	PROGRAM_SIGNALLED,   /* status is the signal that ended it */
	PROGRAM_NOT_STARTED, /* error and step say why */
	PROGRAM_LOST,        /* the spawner died, and it was ended with it */
};

/* What failed on the way to execve(2). */
enum program_step {
	PROGRAM_STEP_REQUEST, /* the spawner could not be asked, or refused */
	PROGRAM_STEP_PROCESS,
	PROGRAM_STEP_STREAMS,
	PROGRAM_STEP_LIMITS,
	PROGRAM_STEP_NICE,
	PROGRAM_STEP_CHROOT,
	PROGRAM_STEP_USER,
	PROGRAM_STEP_DIRECTORY,
	PROGRAM_STEP_PRIVILEGES,
	PROGRAM_STEP_RUN,
	PROGRAM_STEP_LATE, /* none failed: it was stopped on the way, and so killed */
	PROGRAM_STEP_COUNT,
};

/* How long one may take from its process to execve(2). */
#define PROGRAM_START_S 5u

/* Why a file that is there can't be run, where errno does not say so. */
enum program_reason {
	PROGRAM_REASON_NONE,
	PROGRAM_REASON_INTERPRETER,     /* its first line names one that does not exist */
	PROGRAM_REASON_CARRIAGE_RETURN, /* its first line is one of DOS, and so is the name of the interpreter */
	PROGRAM_REASON_LOADER,          /* the binary's own dynamic loader does not exist */
	PROGRAM_REASON_FORMAT,          /* neither a binary for this machine nor a script */
};

#define PROGRAM_INTERPRETER_MAX 96

struct program_result {
	enum program_how how;
	enum program_step step;                    /* NOT_STARTED */
	int error;                                 /* NOT_STARTED: errno */
	enum program_reason reason;                /* NOT_STARTED, STEP_RUN */
	char interpreter[PROGRAM_INTERPRETER_MAX]; /* REASON_INTERPRETER, _CARRIAGE_RETURN */
	int status;
	bool dumped_core;
	pid_t pid; /* 0: none */
	uint64_t cpu_usec;
	uint64_t memory_peak_bytes;
};

/* Sets result->reason by what the file begins with that could not be run (STEP_RUN, ENOENT or ENOEXEC). */
void program_explain(struct program_result *result, const char *line, size_t length);

#define PROGRAM_TEXT_MAX 512

/* "exit status 3", "signal KILL", "cannot run /x: No such file or directory". Returns buf. */
const char *program_format_result(
	const struct program_result *result, const struct program_options *options, char buf[PROGRAM_TEXT_MAX]);

#endif
