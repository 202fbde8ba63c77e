/* SPDX-License-Identifier: MIT */
/*
 * daemonrig - a daemon without daemon_run(): its loop, acceptor and lists, turned by the test; a folder for its config
 * and its sockets; a service manager that listens; and what it logs.
 *
 * daemonrig_setup and daemonrig_teardown are the checked fixture. In every text '$' stands for the folder. Main thread,
 * but for the workers of the pools.
 */
#ifndef CP_TESTS_UNIT_DAEMON_DAEMONRIG_H
#define CP_TESTS_UNIT_DAEMON_DAEMONRIG_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"
#include "daemon/daemon.h"

/* The main file, in the folder. */
#define DAEMONRIG_CONF "$/main.conf"
/* One listener, "a" on $/a.sock, and the end of most configs here. */
#define DAEMONRIG_A "{ name = \"a\"; address = \"unix:$/a.sock\"; service = \"echo\"; }"
#define DAEMONRIG_ONE "listeners: ( " DAEMONRIG_A " );\n"

extern struct daemon daemonrig;

void daemonrig_setup(void);
/* Stops what runs; wants every thread and descriptor gone. */
void daemonrig_teardown(void);

/* text with the folder for '$'. Borrowed until the fourth next call. */
const char *daemonrig_expand(const char *text);
void daemonrig_write(const char *path, const char *text);
/* Writes and loads it; it must be good. Owned. */
struct conf *daemonrig_load(const char *text);
/* Puts it in force; it must succeed. */
void daemonrig_apply(const char *text);

/* A turn of the main loop, and what daemon.c does after each. */
void daemonrig_turn(void);
/* A blocking client of a Unix socket; -1 when nobody listens. */
int daemonrig_connect(const char *path);
/* Sends a word, turns until it is back. */
void daemonrig_echo_on(int fd);
/* Connects, echoes, closes, and waits until the connection is accounted. */
void daemonrig_echo(const char *path);

struct pool *daemonrig_pool(const char *name);
struct listener *daemonrig_listener(const char *name);
/* Reaps until the pool has so many workers, retiring ones included. */
void daemonrig_reap_until(struct pool *pool, unsigned left);
/* Waits for the last worker of the pools that were removed, and frees them. */
void daemonrig_reap_closing(void);
/* Closes listeners and pools, waits for the workers. */
void daemonrig_stop(void);

/* What was written to standard error since the fixture, or the last daemonrig_forget_log(). */
bool daemonrig_logged(const char *text);
void daemonrig_forget_log(void);
/* The next message to the service manager; false: none came, or this build can't tell one. */
bool daemonrig_receive(char *text, size_t size);

TCase *daemonrig_case(Suite *suite, const char *name);
int daemonrig_run(Suite *suite);

#endif
