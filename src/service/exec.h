/* SPDX-License-Identifier: MIT */
/*
 * exec - a program with the connection as its standard input and output; with wait = true it has the listening socket
 * instead (exec_wait.h).
 */
#ifndef CP_SERVICE_EXEC_H
#define CP_SERVICE_EXEC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/defs.h"
#include "conf/option.h"
#include "program/program.h"
#include "program/spawner.h"

struct conf_service_checker;
struct conn_program;
struct cp_handler;

enum exec_stderr { EXEC_STDERR_LOG, EXEC_STDERR_CLIENT, EXEC_STDERR_NULL };

/* What stands in its section. */
struct exec_options {
	struct program_options program; /* first: program.h */
	int stderr_to;                  /* enum exec_stderr */
	bool wait;                      /* it accepts by itself */
};

/* What the service is for one listener under one generation of the config. */
struct exec {
	const struct exec_options *options; /* of the config, which the route holds */
	struct program_name name;
	_Atomic uint64_t warned_ns; /* private: exec.c */
};

extern const struct option exec_option_rows[];
extern const struct cp_handler exec_handler;

/* conf_service_type.check */
void exec_check_options(const void *options, const struct conf_service_checker *checker);

/*
 * Makes its state of the section of the listener with that index; between spawner_prepare() and its end. *ret_data, to
 * a struct exec to be released by *ret_release. 0 or -ENOMEM. Main thread.
 */
CP_MUST_CHECK int exec_bind(
	const struct exec_options *options, unsigned listener, void **ret_data, void (**ret_release)(void *data));

/* How a run ended, for the record of it. */
void exec_describe_end(
	const struct exec_options *options, const struct program_result *result, struct conn_program *ret_program);

#endif
