/* SPDX-License-Identifier: MIT */
/*
 * socket.c - from an address in the config to a listening descriptor, with errors that say what to do.
 *
 * Main thread; nothing here waits: hosts are numbers, and the probe of a Unix socket's file is a non-blocking connect.
 */
#include "config.h"

#include "net/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/address.h"
#include "base/assert.h"
#include "base/errmsg.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "base/systemd.h"
#include "conf/conf.h"
#include "net/listener.h"

struct bind_target {
	struct sockaddr_storage sa;
	socklen_t length;
	bool v6_only;
};

/* ---- what to say ------------------------------------------------------------------ */

/* The steps whose errors mean something of their own. */
static const char step_bind[] = "bind";
static const char step_owner[] = "socket_user, socket_group";

static const char *
advice_for(int error, const struct address *address, const char *step)
{
	if (step == step_owner)
		return error == EPERM ? "only root may give a file to another owner" : NULL;
	switch (error) {
	case EEXIST:
		return "it is left alone; move it away, or choose another path";
	case ESTALE:
		return "others write to its folder; choose one that only the daemon's user and root may write to";
	case EADDRINUSE:
		return "another program listens there; find it with 'ss -lnp', or choose another address";
	case EACCES:
	case EPERM:
		if (step != step_bind)
			return NULL;
		if (address->kind == ADDRESS_UNIX)
			return "the folder must be writable for the daemon's user";
		return "ports below 1024 need CAP_NET_BIND_SERVICE (the shipped unit grants it) or a start as root";
	case EADDRNOTAVAIL:
		return "no interface of this machine has that address; free_bind = true binds it all the same";
	case ENOENT:
		return step == step_bind ? "the folder does not exist" : NULL;
	case ENODEV:
		return "bind_to_device names no network interface";
	case EAFNOSUPPORT:
		return "the kernel does not support this address family";
	case EMFILE:
	case ENFILE:
		return "raise the limit of open files (LimitNOFILE= in the unit)";
	default:
		return NULL;
	}
}

static void
explain(struct errmsg *err, const struct conf_listener *rule, const struct address *address, const char *step,
	int error)
{
	const char *advice = advice_for(error, address, step);

	errmsg_set(err, "listener '%s': cannot listen on %s: %s: %s%s%s", rule->name, address->text, step,
		errmsg_errno(error), advice != NULL ? "; " : "", advice != NULL ? advice : "");
}

/* ---- options ------------------------------------------------------------------------- */

struct socket_option {
	const char *key;
	int level;
	int name;
	int value;
	bool only_tcp;
	bool only_if_set; /* 0 leaves the kernel's default */
};

static int
set_options(int fd, const struct socket_option *options, size_t count, bool is_tcp, const char **ret_key)
{
	for (size_t i = 0; i < count; i++) {
		const struct socket_option *option = &options[i];

		if ((option->only_tcp && !is_tcp) || (option->only_if_set && option->value == 0))
			continue;
		if (setsockopt(fd, option->level, option->name, &option->value, sizeof(option->value)) < 0) {
			*ret_key = option->key;
			return -errno;
		}
	}
	return 0;
}

/*
 * What a live socket can take. TCP_NODELAY and SO_KEEPALIVE are set on the listening socket because accepted ones
 * inherit them: no system call for each connection.
 */
static int
set_live_options(int fd, const struct conf_listener *rule, bool is_tcp, const char **ret_key)
{
	const struct socket_option options[] = {
		{"receive_buffer", SOL_SOCKET, SO_RCVBUF, (int)rule->receive_buffer_bytes, false, true},
		{"send_buffer", SOL_SOCKET, SO_SNDBUF, (int)rule->send_buffer_bytes, false, true},
		{"keep_alive", SOL_SOCKET, SO_KEEPALIVE, rule->keep_alive, true, false},
		{"no_delay", IPPROTO_TCP, TCP_NODELAY, rule->no_delay, true, false},
		{"defer_accept", IPPROTO_TCP, TCP_DEFER_ACCEPT, (int)(rule->defer_accept_ms / 1000), true, false},
		{"fast_open", IPPROTO_TCP, TCP_FASTOPEN, (int)rule->fast_open, true, true},
	};

	return set_options(fd, options, CP_COUNT(options), is_tcp, ret_key);
}

/* What must stand before bind(2). */
static int
set_bind_options(int fd, const struct conf_listener *rule, const struct bind_target *target, const char **ret_key)
{
	const struct socket_option options[] = {
		{"reuse_address", SOL_SOCKET, SO_REUSEADDR, rule->reuse_address, true, false},
		{"reuse_port", SOL_SOCKET, SO_REUSEPORT, rule->reuse_port, true, true},
		{"free_bind", IPPROTO_IP, IP_FREEBIND, rule->free_bind, true, true},
	};
	int v6_only = target->v6_only;
	int rc = set_options(fd, options, CP_COUNT(options), target->sa.ss_family != AF_UNIX, ret_key);

	if (rc < 0)
		return rc;
	if (target->sa.ss_family == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof(v6_only)) < 0) {
		*ret_key = "ipv6_only";
		return -errno;
	}
	if (rule->bind_to_device != NULL && target->sa.ss_family != AF_UNIX &&
		setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, rule->bind_to_device,
			(socklen_t)strlen(rule->bind_to_device) + 1) < 0) {
		*ret_key = "bind_to_device";
		return -errno;
	}
	return 0;
}

/* ---- tcp: ------------------------------------------------------------------------------ */

static void
set_port(struct bind_target *target, uint16_t port)
{
	if (target->sa.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&target->sa)->sin6_port = htons(port);
	else
		((struct sockaddr_in *)&target->sa)->sin_port = htons(port);
}

/* "fe80::1%eth0": the zone is an interface's name or number. */
static int
parse_v6(struct sockaddr_in6 *sin6, const char *host)
{
	const char *zone = strchr(host, '%');
	char number[INET6_ADDRSTRLEN];
	size_t length = zone != NULL ? (size_t)(zone - host) : strlen(host);

	if (length >= sizeof(number))
		return -EINVAL;
	memcpy(number, host, length);
	number[length] = '\0';
	if (inet_pton(AF_INET6, number, &sin6->sin6_addr) != 1)
		return -EINVAL;
	sin6->sin6_family = AF_INET6;
	if (zone != NULL) {
		sin6->sin6_scope_id = if_nametoindex(zone + 1);
		if (sin6->sin6_scope_id == 0)
			sin6->sin6_scope_id = (uint32_t)strtoul(zone + 1, NULL, 10);
	}
	return 0;
}

/* The daemon listens on numbers: looking up a name could take as long as a name server likes. */
static int
fill_tcp_target(struct bind_target *target, const struct address *address, int ipv6_only)
{
	struct sockaddr_in *sin = (struct sockaddr_in *)&target->sa;
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)&target->sa;

	*target = (struct bind_target){.length = sizeof(*sin6)};
	if (strcmp(address->host, "*") == 0) {
		sin6->sin6_family = AF_INET6;
		sin6->sin6_addr = in6addr_any;
		target->v6_only = ipv6_only == CONF_IPV6_ONLY_TRUE;
	} else if (inet_pton(AF_INET, address->host, &sin->sin_addr) == 1) {
		sin->sin_family = AF_INET;
		target->length = sizeof(*sin);
	} else if (parse_v6(sin6, address->host) == 0) {
		target->v6_only = ipv6_only != CONF_IPV6_ONLY_FALSE;
	} else {
		return -EINVAL;
	}
	set_port(target, address->port);
	return 0;
}

static int
bind_target_socket(const struct conf_listener *rule, const struct bind_target *target, const char **ret_step)
{
	int fd = socket(target->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int rc;

	*ret_step = "socket";
	if (fd < 0)
		return -errno;
	rc = set_bind_options(fd, rule, target, ret_step);
	if (rc == 0) {
		*ret_step = step_bind;
		if (bind(fd, (const struct sockaddr *)&target->sa, target->length) < 0)
			rc = -errno;
	}
	if (rc < 0) {
		fd_close(&fd);
		return rc;
	}
	return fd;
}

static int
open_tcp(const struct conf_listener *rule, const struct address *address, const char **ret_step)
{
	struct bind_target target;
	struct sockaddr_in *sin = (struct sockaddr_in *)&target.sa;
	int fd;

	*ret_step = "the host must be a number or '*', names are not looked up for listeners";
	if (fill_tcp_target(&target, address, rule->ipv6_only) < 0)
		return -EINVAL;
	fd = bind_target_socket(rule, &target, ret_step);
	/* "*" on a machine without IPv6 is IPv4. */
	if ((fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL) && strcmp(address->host, "*") == 0 && !target.v6_only) {
		target = (struct bind_target){.length = sizeof(*sin)};
		sin->sin_family = AF_INET;
		set_port(&target, address->port);
		fd = bind_target_socket(rule, &target, ret_step);
	}
	return fd;
}

/* ---- unix: ------------------------------------------------------------------------------- */

/* Removes a stale socket's file. 0, or -errno and *ret_step. */
static int
clear_path(const char *path, const char **ret_step)
{
	int rc = socket_file_clear(path);

	if (rc == -EEXIST)
		*ret_step = socket_file_describe(path);
	else if (rc < 0 && rc != -EADDRINUSE)
		*ret_step = "removing the stale socket file";
	return rc;
}

static int
set_unix_owner(const struct socket_file *file, const struct conf_listener *rule, const char **ret_step)
{
	uid_t uid = rule->socket_user != NULL ? rule->socket_uid : (uid_t)-1;
	gid_t gid = rule->socket_group != NULL ? rule->socket_gid : (gid_t)-1;
	bool is_owner;
	int rc;

	rc = socket_file_set(file, (mode_t)rule->socket_mode, uid, gid, &is_owner);
	*ret_step = is_owner ? step_owner : "socket_mode";
	return rc;
}

static int
bind_path(struct listen_socket *sock, const struct sockaddr_un *sun, socklen_t length, const char **ret_step)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int rc;

	*ret_step = "socket";
	if (fd < 0)
		return -errno;
	*ret_step = step_bind;
	rc = socket_file_bind(&sock->file, fd, sun, length);
	if (rc == -EADDRINUSE) {
		rc = clear_path(sun->sun_path, ret_step);
		if (rc == 0)
			rc = socket_file_bind(&sock->file, fd, sun, length);
	}
	if (rc < 0) {
		fd_close(&fd);
		return rc;
	}
	return fd;
}

/* Mode and owner are set between bind(2) and listen(2): until then everybody is refused. */
static int
open_unix(struct listen_socket *sock, const struct conf_listener *rule, const struct address *address,
	const char **ret_step)
{
	struct bind_target target = {0};
	struct sockaddr_un *sun = (struct sockaddr_un *)&target.sa;
	int fd;
	int rc;

	*ret_step = "path";
	rc = address_to_unix(address, sun, &target.length);
	if (rc < 0)
		return rc;
	if (address->host[0] == '@')
		return bind_target_socket(rule, &target, ret_step);
	fd = bind_path(sock, sun, target.length, ret_step);
	if (fd < 0)
		return fd;
	rc = set_unix_owner(&sock->file, rule, ret_step);
	if (rc < 0) {
		fd_close(&fd);
		return rc;
	}
	return fd;
}

/* ---- systemd: ------------------------------------------------------------------------------ */

static int
adopt_systemd(struct listen_socket *sock, const struct address *address, struct systemd_sockets *sockets,
	const char **ret_step)
{
	*ret_step = "systemd passed no socket of that name (FileDescriptorName= in the .socket unit; sockets come at "
		    "the start only)";
	for (size_t i = 0; sockets != NULL && i < sockets->count; i++) {
		struct systemd_socket *passed = &sockets->items[i];
		int listening = 0;
		int type = 0;
		socklen_t length = sizeof(listening);
		socklen_t type_length = sizeof(type);

		if (passed->fd < 0 || strcmp(passed->name, address->host) != 0)
			continue;
		*ret_step = "what systemd passed is not a listening stream socket (ListenStream=, Accept=no)";
		/* One of packets (ListenSequentialPacket=) listens too, and loses what a read does not take. */
		if (getsockopt(passed->fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) < 0 || !listening ||
			getsockopt(passed->fd, SOL_SOCKET, SO_TYPE, &type, &type_length) < 0 || type != SOCK_STREAM)
			return -EINVAL;
		if (fcntl(passed->fd, F_SETFL, fcntl(passed->fd, F_GETFL) | O_NONBLOCK) < 0)
			return -errno;
		sock->is_inherited = true;
		return fd_take(&passed->fd);
	}
	return -ENOENT;
}

/* ---- opening and closing ----------------------------------------------------------------------- */

static bool
socket_is_tcp(int fd)
{
	int domain = AF_UNIX;
	socklen_t length = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain != AF_UNIX;
}

static int
open_descriptor(struct listen_socket *sock, const struct conf_listener *rule, const struct address *address,
	struct systemd_sockets *sockets, const char **ret_step)
{
	switch (address->kind) {
	case ADDRESS_TCP:
		return open_tcp(rule, address, ret_step);
	case ADDRESS_UNIX:
		return open_unix(sock, rule, address, ret_step);
	case ADDRESS_SYSTEMD:
		return adopt_systemd(sock, address, sockets, ret_step);
	case ADDRESS_SRV:
		break;
	}
	CP_ASSERT(!"an address of unknown kind");
	return -EINVAL;
}

struct listen_socket *
listen_socket_open(const struct conf_listener *rule, const struct address *address, struct systemd_sockets *sockets,
	struct errmsg *err)
{
	struct listen_socket *sock = mem_zalloc(sizeof(*sock));
	const char *step = "memory";
	int rc = -ENOMEM;

	if (sock == NULL)
		goto fail;
	sock->magic = LISTEN_SOCKET_MAGIC;
	sock->fd = -1;
	sock->file.fd = -1;
	sock->key = mem_strdup(address->text);
	if (sock->key == NULL)
		goto fail;
	rc = open_descriptor(sock, rule, address, sockets, &step);
	if (rc < 0)
		goto fail;
	sock->fd = rc;
	sock->is_tcp = socket_is_tcp(sock->fd);
	rc = set_live_options(sock->fd, rule, sock->is_tcp, &step);
	if (rc < 0)
		goto fail;
	step = "listen";
	sock->bound_length = sizeof(sock->bound);
	if (listen(sock->fd, (int)rule->backlog) < 0 ||
		getsockname(sock->fd, (struct sockaddr *)&sock->bound, &sock->bound_length) < 0) {
		rc = -errno;
		goto fail;
	}
	return sock;
fail:
	explain(err, rule, address, step, -rc);
	listen_socket_free(&sock);
	return NULL;
}

void
listen_socket_free(struct listen_socket **holder)
{
	struct listen_socket *sock = *holder;

	*holder = NULL;
	if (sock == NULL)
		return;
	CP_CHECK_MAGIC(sock, LISTEN_SOCKET_MAGIC);
	CP_ASSERT(!list_is_linked(&sock->acceptor_link));
	list_remove(&sock->link);
	/* The file first: who finds it must not find nobody behind it. */
	socket_file_remove(&sock->file);
	fd_close(&sock->fd);
	sock->magic = 0;
	mem_free(sock->key);
	mem_free(sock);
}

int
listen_socket_look(const struct listen_socket *sock, const struct conf_listener *rule, struct errmsg *err)
{
	CP_CHECK_MAGIC(sock, LISTEN_SOCKET_MAGIC);
	if (sock->file.path == NULL)
		return 1;
	switch (socket_file_look(&sock->file)) {
	case SOCKET_FILE_OURS:
		return 1;
	case SOCKET_FILE_GONE:
		return 0;
	case SOCKET_FILE_FOREIGN:
		break;
	}
	errmsg_set(err,
		"listener '%s': the file of its socket %s was replaced by %s; that is left alone: move it away, and "
		"reload",
		rule->name, sock->key, socket_file_describe(sock->file.path));
	return -EEXIST;
}

int
listen_socket_apply(struct listen_socket *sock, const struct conf_listener *rule, struct errmsg *err)
{
	const char *step;
	int rc;

	CP_CHECK_MAGIC(sock, LISTEN_SOCKET_MAGIC);
	rc = set_live_options(sock->fd, rule, sock->is_tcp, &step);
	if (rc == 0 && sock->file.path != NULL)
		rc = set_unix_owner(&sock->file, rule, &step);
	if (rc == 0 && listen(sock->fd, (int)rule->backlog) < 0) {
		step = "backlog";
		rc = -errno;
	}
	if (rc < 0)
		errmsg_set(
			err, "listener '%s': cannot set %s on %s: %s", rule->name, step, sock->key, errmsg_errno(-rc));
	return rc;
}

/*
 * Linux lets no Unix socket listen again that was shut down. TCP forgets a port that the kernel had chosen: it is bound
 * again, which fails where it needs not be, and that does no harm.
 */
enum listen_repair
listen_socket_repair(struct listen_socket *sock, const struct conf_listener *rule)
{
	struct pollfd pfd = {.fd = sock->fd, .events = POLLRDHUP};
	struct errmsg err;

	CP_CHECK_MAGIC(sock, LISTEN_SOCKET_MAGIC);
	/* A socket that listens has no such event. */
	if (poll(&pfd, 1, 0) <= 0)
		return LISTEN_NOT_BROKEN;
	if (sock->is_tcp) {
		(void)bind(sock->fd, (const struct sockaddr *)&sock->bound, sock->bound_length);
		sock->is_broken = listen_socket_apply(sock, rule, &err) < 0;
	} else {
		sock->is_broken = true;
	}
	return sock->is_broken ? LISTEN_NEEDS_RELOAD : LISTEN_REPAIRED;
}
