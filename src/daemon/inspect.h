/* SPDX-License-Identifier: MIT */
/*
 * inspect - the configuration looked at from the command line; nothing is served.
 */
#ifndef CP_DAEMON_INSPECT_H
#define CP_DAEMON_INSPECT_H

#include <stdbool.h>

/* Checks conf_path; prints every error of it on standard error, or one line that all is well. Returns the exit code. */
int inspect_check(const char *conf_path);
/* The same, but prints the configuration in effect, defaults and all, on standard output. */
int inspect_dump(const char *conf_path);
/* Prints every option of the configuration file on standard output. Returns the exit code. */
int inspect_options(void);
/* Ends what was printed on standard output: what a full disk swallowed was not printed. Returns the exit code. */
int inspect_finish(void);

#endif
