/* SPDX-License-Identifier: MIT */
/*
 * socket_file - the file that bind(2) makes for a Unix socket: known by its inode, and never mistaken for another one.
 *
 * Others may be allowed to write to the folder, so a path alone says little. Mode and owner are set by descriptor; a
 * file is removed only after it was found to be the one that is meant; no symbolic link is followed in the last part of
 * a path. Main thread. /proc must be mounted: chmod(2) takes no O_PATH descriptor.
 */
#ifndef CP_NET_SOCKET_FILE_H
#define CP_NET_SOCKET_FILE_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "base/defs.h"

/* Zeroed with fd -1 is none. */
struct socket_file {
	char *path; /* private: socket_file.c, down to the end. NULL: none */
	int fd;     /* O_PATH: the inode, which therefore is not used again for another file */
	dev_t dev;
	ino_t ino;
};

enum socket_file_state {
	SOCKET_FILE_OURS,    /* clients that connect to the path come to us */
	SOCKET_FILE_GONE,    /* nothing is there */
	SOCKET_FILE_FOREIGN, /* something else is */
};

/*
 * Binds a socket, and notes the file that this made. Nobody may connect to it before socket_file_set(). 0 or -errno:
 * then *file is none, and no file is left. -ESTALE: somebody has put another one in its place meanwhile.
 */
CP_MUST_CHECK int socket_file_bind(struct socket_file *file, int fd, const struct sockaddr_un *sun, socklen_t length);
/* Sets mode, owner and group, where they differ; -1 leaves owner or group. 0 or -errno, *ret_owner: of the owners. */
CP_MUST_CHECK int socket_file_set(const struct socket_file *file, mode_t mode, uid_t uid, gid_t gid, bool *ret_owner);
/* What is at its path now. Where the folder can't be searched any more: OURS, unless the file has been removed. */
enum socket_file_state socket_file_look(const struct socket_file *file);
/* Removes it, if it is still there, and forgets it. None is fine. */
void socket_file_remove(struct socket_file *file);

/*
 * Removes a socket that nobody listens on (connect(2) says ECONNREFUSED: unix(7)) from a path. 0: nothing is there any
 * more. -EADDRINUSE: somebody listens, or may listen. -EEXIST: it is no socket. Else -errno of the removal.
 */
CP_MUST_CHECK int socket_file_clear(const char *path);
/* "a symbolic link", "a socket that nobody listens on": what is there, for a message. Static. */
const char *socket_file_describe(const char *path);

#endif
