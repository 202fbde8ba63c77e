/* SPDX-License-Identifier: MIT */
/*
 * exec - a program with the connection as its standard input and output.
 */
#ifndef CP_SERVICE_EXEC_H
#define CP_SERVICE_EXEC_H

#include "base/defs.h"
#include "conf/option.h"
#include "service/program.h"

struct cp_handler;

enum exec_stderr { EXEC_STDERR_LOG, EXEC_STDERR_CLIENT, EXEC_STDERR_NULL };

/* What stands in its section. */
struct exec_options {
	struct program_options program; /* first: program.h */
	int stderr_to;                  /* enum exec_stderr */
};

extern const struct option exec_option_rows[];
extern const struct cp_handler exec_handler;

/*
 * Makes its state of the section of the listener with that index; between spawner_prepare() and its end. *ret_data, to
 * be released by *ret_release. 0 or -ENOMEM. Main thread.
 */
CP_MUST_CHECK int exec_bind(
	const struct exec_options *options, unsigned listener, void **ret_data, void (**ret_release)(void *data));

#endif
