/* SPDX-License-Identifier: MIT */
/*
 * module_file.c - reads a module into a sealed memfd and looks whether all of it is there.
 *
 * The look matters: a reload in the middle of a copy finds half a file, and the loader touches every segment that the
 * headers name, there or not (SIGBUS). What it can refuse by itself is left to it.
 */
#include "config.h"

#include "service/module_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/errmsg.h"
#include "base/fdutil.h"
#include "service/module_elf.h"

#define COPY_BYTES (32 * 1024)
#define MODULE_BYTES_MAX ((size_t)256 << 20)
/* Of memfd_create(2), newer than some libc: it will not be run by execve(2). Where vm.memfd_noexec = 2 it must be said.
 */
#define NOEXEC_SEAL 0x0008U

/* ---- looking ------------------------------------------------------------------------ */

/* NULL: can't be. Unmapped by the caller. */
static void *
map_file(const struct module_file *file)
{
	void *map = file->size > 0 ? mmap(NULL, file->size, PROT_READ, MAP_SHARED, file->fd, 0) : MAP_FAILED;

	return map != MAP_FAILED ? map : NULL;
}

static int
check_elf(const struct module_file *file, struct errmsg *err)
{
	unsigned char *bytes = map_file(file);
	int rc = module_elf_check(bytes, bytes != NULL ? file->size : 0, err);

	if (bytes != NULL)
		munmap(bytes, file->size);
	return rc;
}

int
module_file_read_number(const struct module_file *file, const char *variable, uint32_t *ret_number)
{
	unsigned char *bytes = map_file(file);
	int rc;

	if (bytes == NULL)
		return -ENOENT;
	rc = module_elf_read_number(bytes, file->size, variable, ret_number);
	munmap(bytes, file->size);
	return rc;
}

bool
module_file_is_equal(const struct module_file *a, const struct module_file *b)
{
	void *first;
	void *second;
	bool is_equal;

	if (a->size != b->size)
		return false;
	first = map_file(a);
	second = map_file(b);
	is_equal = first != NULL && second != NULL && memcmp(first, second, a->size) == 0;
	if (first != NULL)
		munmap(first, a->size);
	if (second != NULL)
		munmap(second, b->size);
	return is_equal;
}

/* ---- copying ------------------------------------------------------------------------ */

static int
write_all(int fd, const char *bytes, size_t count)
{
	while (count > 0) {
		ssize_t n = write(fd, bytes, count);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			bytes += n;
			count -= (size_t)n;
		}
	}
	return 0;
}

static int
copy_bytes(int from, struct module_file *file)
{
	char buf[COPY_BYTES];

	for (;;) {
		ssize_t n = read(from, buf, sizeof(buf));
		int rc;

		if (n == 0)
			return 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		file->size += (size_t)n;
		if (file->size > MODULE_BYTES_MAX)
			return -EFBIG;
		rc = write_all(file->fd, buf, (size_t)n);
		if (rc < 0)
			return rc;
	}
}

/* A device or a pipe could keep us waiting. */
static int
open_regular(const char *path, struct errmsg *err)
{
	struct stat stat;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0 || fstat(fd, &stat) < 0) {
		int error = errno;

		errmsg_set(err, "cannot open: %s", errmsg_errno(error));
		fd_close(&fd);
		return -error;
	}
	if (!S_ISREG(stat.st_mode)) {
		errmsg_set(err, "is not a file");
		fd_close(&fd);
		return -EINVAL;
	}
	if (stat.st_size > (off_t)MODULE_BYTES_MAX) {
		errmsg_set(err, "is larger than a module may be, %u MiB", (unsigned)(MODULE_BYTES_MAX >> 20));
		fd_close(&fd);
		return -EFBIG;
	}
	return fd;
}

/* The name shows in /proc/PID/maps and in what debuggers print. */
static int
new_copy(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | NOEXEC_SEAL);

	/* Linux before 6.3 does not know the flag. */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd < 0 ? -errno : fd;
}

int
module_file_copy(const char *path, struct module_file *ret_file, struct errmsg *err)
{
	struct module_file file = {.fd = -1};
	int from = open_regular(path, err);
	int rc;

	if (from < 0)
		return from;
	file.fd = new_copy(path);
	rc = file.fd < 0 ? file.fd : copy_bytes(from, &file);
	fd_close(&from);
	if (rc == 0 && fcntl(file.fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		rc = -errno;
	if (rc < 0)
		errmsg_set(err, "cannot copy it into memory: %s", errmsg_errno(-rc));
	else
		rc = check_elf(&file, err);
	if (rc < 0)
		module_file_close(&file);
	else
		*ret_file = file;
	return rc;
}

void
module_file_close(struct module_file *file)
{
	fd_close(&file->fd);
}
