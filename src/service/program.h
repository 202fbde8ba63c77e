/* SPDX-License-Identifier: MIT */
/*
 * program - what a section of the config says of a program to be run, and how a run of one ended.
 *
 * exec and check have these options as the first member of their own (struct program_options program): the spawner,
 * which reads the config file itself, finds them there. Any thread; nothing here makes a system call.
 */
#ifndef CP_SERVICE_PROGRAM_H
#define CP_SERVICE_PROGRAM_H

#include <stdbool.h>
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

/* conf_service_type.check of a type whose options begin with a struct program_options. */
void program_check_options(const void *options, const struct conf_service_checker *checker);

/* The program of a section; NULL: its service runs none. */
const struct program_options *program_of(const struct conf_service *service);

/*
 * A number that stands for everything that conf says of programs, and for where; 0: it names none. Two configs with the
 * same number start the same programs.
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
	PROGRAM_STEP_COUNT,
};

struct program_result {
	enum program_how how;
	enum program_step step; /* NOT_STARTED */
	int error;              /* NOT_STARTED: errno */
	int status;
	bool dumped_core;
	pid_t pid; /* 0: none */
	uint64_t cpu_usec;
	uint64_t memory_peak_bytes;
};

#define PROGRAM_TEXT_MAX 512

/* "exit status 3", "signal KILL", "cannot run /x: No such file or directory". Returns buf. */
const char *program_format_result(
	const struct program_result *result, const struct program_options *options, char buf[PROGRAM_TEXT_MAX]);

#endif
