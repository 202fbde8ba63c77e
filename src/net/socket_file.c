/* SPDX-License-Identifier: MIT */
/*
 * socket_file.c - inodes of socket files: noted, compared, changed and removed.
 */
#include "config.h"

#include "net/socket_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fdutil.h"
#include "base/mem.h"

#define MODE_BITS 07777
#define FD_PATH_MAX 32

/* ---- paths ------------------------------------------------------------------------- */

/* The inode of an O_PATH descriptor for calls that take paths alone. */
static const char *
path_of_fd(int fd, char buf[FD_PATH_MAX])
{
	snprintf(buf, FD_PATH_MAX, "/proc/self/fd/%d", fd);
	return buf;
}

/*
 * Opens the folder of path, so that two calls mean the same one whatever links above it become meanwhile. Sets
 * *ret_name. Without a descriptor (EMFILE, or a folder that may not be searched): AT_FDCWD and the whole path.
 */
static int
open_folder(const char *path, const char **ret_name)
{
	char folder[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	const char *slash = strrchr(path, '/');
	size_t length = slash != NULL ? (size_t)(slash - path) + 1 : 0;
	int fd;

	CP_ASSERT(length < sizeof(folder));
	memcpy(folder, path, length);
	folder[length] = '\0';
	fd = open(length > 0 ? folder : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	*ret_name = fd >= 0 && slash != NULL ? slash + 1 : path;
	return fd >= 0 ? fd : AT_FDCWD;
}

static void
close_folder(int fd)
{
	if (fd != AT_FDCWD)
		fd_close(&fd);
}

static int
look_at(int folder, const char *name, struct stat *st)
{
	return fstatat(folder, name, st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* The only place where a file is removed. -ESTALE: it is another one. */
static int
remove_same(const char *path, dev_t dev, ino_t ino)
{
	const char *name;
	int folder = open_folder(path, &name);
	struct stat st;
	int rc = look_at(folder, name, &st);

	if (rc == 0 && (st.st_dev != dev || st.st_ino != ino))
		rc = -ESTALE;
	if (rc == 0 && unlinkat(folder, name, 0) < 0)
		rc = -errno;
	close_folder(folder);
	return rc;
}

/* ---- ours --------------------------------------------------------------------------- */

/*
 * bind(2) does not say which inode it has made, and somebody may have put another file there since. Ours can be told by
 * what nobody else can give a file: a socket, owned by us, with the mode 0 that the socket had.
 */
static bool
is_fresh(const struct stat *st)
{
	return S_ISSOCK(st->st_mode) && (st->st_mode & MODE_BITS) == 0 && st->st_uid == geteuid() && st->st_nlink == 1;
}

static int
note_file(struct socket_file *file, const char *path)
{
	struct stat st;
	struct stat opened;
	const char *name;
	int folder = open_folder(path, &name);
	int rc = look_at(folder, name, &st);

	if (rc == 0 && !is_fresh(&st))
		rc = -ESTALE;
	if (rc == 0) {
		file->dev = st.st_dev;
		file->ino = st.st_ino;
		file->path = mem_strdup(path);
		file->fd = openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (file->fd < 0 || fstat(file->fd, &opened) < 0)
			rc = -errno;
		else if (opened.st_dev != st.st_dev || opened.st_ino != st.st_ino)
			rc = -ESTALE;
		else if (file->path == NULL)
			rc = -ENOMEM;
		if (rc < 0)
			(void)remove_same(path, st.st_dev, st.st_ino);
	}
	close_folder(folder);
	return rc;
}

int
socket_file_bind(struct socket_file *file, int fd, const struct sockaddr_un *sun, socklen_t length)
{
	int rc;

	*file = (struct socket_file){.fd = -1};
	/* The file gets the socket's mode, without a change of the process's umask under other threads. */
	if (fchmod(fd, 0) < 0 || bind(fd, (const struct sockaddr *)sun, length) < 0)
		return -errno;
	rc = note_file(file, sun->sun_path);
	if (rc < 0) {
		fd_close(&file->fd);
		mem_freep(&file->path);
	}
	return rc;
}

int
socket_file_set(const struct socket_file *file, mode_t mode, uid_t uid, gid_t gid, bool *ret_owner)
{
	char path[FD_PATH_MAX];
	struct stat st;

	*ret_owner = false;
	if (fstat(file->fd, &st) < 0)
		return -errno;
	/* What is as it should be may be somebody else's to change: of root, who made it. */
	if ((st.st_mode & MODE_BITS) != mode && chmod(path_of_fd(file->fd, path), mode) < 0)
		return -errno;
	*ret_owner = true;
	if ((uid == (uid_t)-1 || uid == st.st_uid) && (gid == (gid_t)-1 || gid == st.st_gid))
		return 0;
	return fchownat(file->fd, "", uid, gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

enum socket_file_state
socket_file_look(const struct socket_file *file)
{
	const char *name;
	int folder = open_folder(file->path, &name);
	struct stat st;
	int rc = look_at(folder, name, &st);

	close_folder(folder);
	if (rc == 0)
		return st.st_dev == file->dev && st.st_ino == file->ino ? SOCKET_FILE_OURS : SOCKET_FILE_FOREIGN;
	if (rc == -ENOENT || rc == -ENOTDIR)
		return SOCKET_FILE_GONE;
	return fstat(file->fd, &st) == 0 && st.st_nlink == 0 ? SOCKET_FILE_GONE : SOCKET_FILE_OURS;
}

void
socket_file_remove(struct socket_file *file)
{
	if (file->path == NULL)
		return;
	(void)remove_same(file->path, file->dev, file->ino);
	fd_close(&file->fd);
	mem_freep(&file->path);
}

/* ---- others' ------------------------------------------------------------------------ */

/* By descriptor: what answers is what is removed. A refusal alone says that nobody is there; other errors may pass. */
static bool
is_refused(int file_fd)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	char path[FD_PATH_MAX];
	bool refused;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return false;
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path_of_fd(file_fd, path));
	refused = connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) < 0 && errno == ECONNREFUSED;
	fd_close(&fd);
	return refused;
}

int
socket_file_clear(const char *path)
{
	struct stat st;
	int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	int rc = 0;

	if (fd < 0)
		return errno == ENOENT ? 0 : -EADDRINUSE;
	if (fstat(fd, &st) < 0)
		rc = -errno;
	else if (!S_ISSOCK(st.st_mode))
		rc = -EEXIST;
	else if (!is_refused(fd))
		rc = -EADDRINUSE;
	else
		rc = remove_same(path, st.st_dev, st.st_ino);
	fd_close(&fd);
	return rc;
}

static const char *
describe_socket(const char *path)
{
	int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	bool refused = fd >= 0 && is_refused(fd);

	fd_close(&fd);
	return refused ? "a socket that nobody listens on" : "another program's socket";
}

const char *
socket_file_describe(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return "something";
	switch (st.st_mode & S_IFMT) {
	case S_IFSOCK:
		return describe_socket(path);
	case S_IFREG:
		return "a regular file";
	case S_IFDIR:
		return "a directory";
	case S_IFLNK:
		return "a symbolic link";
	case S_IFIFO:
		return "a FIFO";
	default:
		return "a device";
	}
}
