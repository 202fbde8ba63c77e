/* SPDX-License-Identifier: MIT */
/*
 * socketrig - opening listening sockets from a config's text, for the two halves of net/socket's tests: test_socket.c
 * (addresses, options, messages) and socket_paths.c (files, and what systemd passes).
 */
#ifndef CP_TESTS_UNIT_NET_SOCKETRIG_H
#define CP_TESTS_UNIT_NET_SOCKETRIG_H

#include <stdbool.h>
#include <stdint.h>

#include <check.h>

#include "base/errmsg.h"

struct conf;
struct listen_socket;
struct systemd_sockets;

extern struct conf *rig_conf; /* of the last listener that was to be opened; given back by the case's teardown */
extern struct errmsg rig_err; /* what was said about it */

/* Opens the first address of a listener that says options; NULL when that fails. sockets may be NULL. */
struct listen_socket *rig_open(const char *options, struct systemd_sockets *sockets);
/* The same for the config there is. */
struct listen_socket *rig_open_conf(struct systemd_sockets *sockets);
/* The same where it has to succeed. */
struct listen_socket *rig_open_good(const char *options);
/* It can't be opened; the message names the listener, and has in it what is given. */
void rig_expect_failure(const char *options, const char *address, const char *said);

/* "address = "unix:…/NAME"; EXTRA", borrowed until the next call. */
const char *rig_unix_options(const char *name, const char *extra);
bool rig_exists(const char *path);
/* A socket file with somebody listening, until the descriptor is closed. */
int rig_occupy(const char *path);

/* 0 or -errno of a client. */
int rig_try_unix(const char *path);
int rig_try_tcp(int family, uint16_t port);
/* An integer socket option. */
int rig_option(int fd, int level, int name);

/* A case with the fixture, and nothing left of the rig at its end. */
TCase *rig_case(Suite *suite, const char *name);
void rig_tear_down(void);

/* socket_paths.c: the cases "unix" and "systemd". */
void rig_add_paths(Suite *suite);

#endif
