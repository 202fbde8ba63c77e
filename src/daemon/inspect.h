/* SPDX-License-Identifier: MIT */
/*
 * inspect - the configuration looked at from the command line; nothing is served.
 */
#ifndef CP_DAEMON_INSPECT_H
#define CP_DAEMON_INSPECT_H

#include <stdbool.h>

/*
 * Checks conf_path; prints every error of it on standard error, or one line that all is well. What its programs need
 * and this process can't give is printed, too; is_strict: and is an error. Returns the exit code.
 */
int inspect_check(const char *conf_path, bool is_strict);
/*
 * The same before a start, strictly; what is well is not said, and no module is loaded. It is printed because the log
 * of a process that ends at once may reach the journal without its unit's name.
 */
int inspect_before_start(const char *conf_path);
/* Checks it likewise, but prints the configuration in effect, defaults and all, on standard output. */
int inspect_dump(const char *conf_path);
/* Prints every option of the configuration file on standard output. Returns the exit code. */
int inspect_options(void);
/* Ends what was printed on standard output: what a full disk swallowed was not printed. Returns the exit code. */
int inspect_finish(void);

#endif
