/* SPDX-License-Identifier: MIT */
/*
 * socketrig.c - see socketrig.h. On the test's one thread.
 */
#include "config.h"

#include "socketrig.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/address.h"
#include "conf/conf.h"
#include "net/socket.h"
#include "netfixture.h"

struct conf *rig_conf;
struct errmsg rig_err;

void
rig_tear_down(void)
{
	conf_unref(&rig_conf);
}

struct listen_socket *
rig_open_conf(struct systemd_sockets *sockets)
{
	const struct conf_listener *rule = rig_conf->listeners[0];

	rig_err.text[0] = '\0';
	return listen_socket_open(rule, &rule->addresses.items[0], sockets, &rig_err);
}

struct listen_socket *
rig_open(const char *options, struct systemd_sockets *sockets)
{
	conf_unref(&rig_conf);
	rig_conf = fixture_conf("", options);
	return rig_open_conf(sockets);
}

struct listen_socket *
rig_open_good(const char *options)
{
	struct listen_socket *socket = rig_open(options, NULL);

	ck_assert_msg(socket != NULL, "%s", rig_err.text);
	return socket;
}

void
rig_expect_failure(const char *options, const char *address, const char *said)
{
	ck_assert_ptr_null(rig_open(options, NULL));
	ck_assert_msg(strstr(rig_err.text, "listener 'web'") != NULL, "%s", rig_err.text);
	ck_assert_msg(strstr(rig_err.text, address) != NULL, "%s", rig_err.text);
	ck_assert_msg(strstr(rig_err.text, said) != NULL, "%s", rig_err.text);
}

const char *
rig_unix_options(const char *name, const char *extra)
{
	static char text[256];

	snprintf(text, sizeof(text), "address = \"unix:%s\"; %s", fixture_path(name), extra);
	return text;
}

int
rig_option(int fd, int level, int name)
{
	int value = 0;
	socklen_t length = sizeof(value);

	ck_assert_int_eq(getsockopt(fd, level, name, &value, &length), 0);
	return value;
}

int
rig_try_unix(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int rc;

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	rc = connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

int
rig_try_tcp(int family, uint16_t port)
{
	struct sockaddr_in sin = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 sin6 = {
		.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int rc;

	if (fd < 0)
		return -errno;
	rc = family == AF_INET ? connect(fd, (struct sockaddr *)&sin, sizeof(sin))
			       : connect(fd, (struct sockaddr *)&sin6, sizeof(sin6));
	rc = rc < 0 ? -errno : 0;
	close(fd);
	return rc;
}

bool
rig_exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

int
rig_occupy(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	return fd;
}

TCase *
rig_case(Suite *suite, const char *name)
{
	TCase *tc = fixture_case(suite, name);

	tcase_add_checked_fixture(tc, NULL, rig_tear_down);
	return tc;
}
