/* SPDX-License-Identifier: MIT */
/*
 * systemd - the one file that knows libsystemd.
 *
 * The library is loaded on the first call that finds work for it: descriptors handed over, a watchdog, a journal. Main
 * thread, except for the journal's part, which the logger's thread calls. Must never fail the daemon, nor hold it up:
 * without systemd it serves all the same.
 */
#include "config.h"

#include "base/systemd.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/errmsg.h"
#include "base/fdutil.h"
#include "base/log.h"
#include "base/mem.h"

/* STATUS= is one line in `systemctl status`; the manager takes datagrams of a few KiB. */
#define NOTIFY_TEXT_MAX 1024
/* What a manager that does not read may cost, for what it must not miss. */
#define NOTIFY_WAIT_MS 500

#ifdef HAVE_SYSTEMD

#include <dlfcn.h>
#include <pthread.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>

/* The soname is libsystemd's promise of a stable ABI. */
#define LIBRARY "libsystemd.so.0"
/* sd_journal_sendv(3) says nothing when there is no journal: "fail silently". */
#define JOURNAL_SOCKET "/run/systemd/journal/socket"

static struct {
	pthread_once_t once;
	bool loaded;
	__typeof__(&sd_listen_fds_with_names) listen_fds_with_names;
	__typeof__(&sd_watchdog_enabled) watchdog_enabled;
	__typeof__(&sd_journal_sendv) journal_sendv;
} library = {.once = PTHREAD_ONCE_INIT};

static int notify_fd = -1;

static void
load_library(void)
{
	void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	if (handle == NULL)
		return;
	library.listen_fds_with_names =
		(__typeof__(library.listen_fds_with_names))dlsym(handle, "sd_listen_fds_with_names");
	library.watchdog_enabled = (__typeof__(library.watchdog_enabled))dlsym(handle, "sd_watchdog_enabled");
	library.journal_sendv = (__typeof__(library.journal_sendv))dlsym(handle, "sd_journal_sendv");
	library.loaded = library.listen_fds_with_names != NULL && library.watchdog_enabled != NULL &&
		library.journal_sendv != NULL;
}

static bool
has_library(void)
{
	return pthread_once(&library.once, load_library) == 0 && library.loaded;
}

/* For calls that the environment asks for: one that cannot be served is worth a word, once. */
static bool
is_wanted(const char *variable)
{
	static bool told;

	if (getenv(variable) == NULL)
		return false;
	if (has_library())
		return true;
	if (!told)
		log_warning(LOG_EVENT_NONE, "%s is set, but " LIBRARY " cannot be loaded, ignoring", variable);
	told = true;
	return false;
}

/* Where the manager listens: a path, or "@NAME" in the abstract name space. 0 or -errno. */
static int
read_notify_address(struct sockaddr_un *address, socklen_t *ret_length)
{
	const char *text = getenv("NOTIFY_SOCKET");
	size_t length = strlen(text);

	if (text[0] != '/' && text[0] != '@')
		return -EAFNOSUPPORT;
	if (length >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(address->sun_path, text, length);
	/* The end of an abstract name is told by its length alone, that of a path by its NUL too. */
	*ret_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	if (text[0] == '@')
		address->sun_path[0] = '\0';
	else
		++*ret_length;
	return 0;
}

/* Opened once, so that there is one when the process has no descriptors left. 0 or -errno. */
static int
open_notify_socket(void)
{
	struct timeval timeout = {.tv_usec = NOTIFY_WAIT_MS * 1000};

	if (notify_fd >= 0)
		return 0;
	notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (notify_fd < 0)
		return -errno;
	if (setsockopt(notify_fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) == 0)
		return 0;
	fd_close(&notify_fd);
	return -EINVAL;
}

/*
 * Not sd_notify(3): that takes a descriptor for each call and waits without bound while the manager's queue is full,
 * and the acceptor must do neither. The protocol is the one that its manual documents for programs of their own.
 */
static bool
notify(const char *state, bool is_essential)
{
	static bool told;
	struct sockaddr_un address;
	socklen_t length;
	int rc;

	if (getenv("NOTIFY_SOCKET") == NULL)
		return true;
	rc = read_notify_address(&address, &length);
	if (rc == 0)
		rc = open_notify_socket();
	if (rc == 0 && sendto(notify_fd, state, strlen(state), MSG_NOSIGNAL | (is_essential ? 0 : MSG_DONTWAIT),
			(const struct sockaddr *)&address, length) < 0)
		rc = -errno;
	if (rc == -EAGAIN && !is_essential)
		return false;
	if (rc < 0 && !told) {
		log_warning(LOG_EVENT_NONE, "cannot notify the service manager: %s, ignoring", errmsg_errno(-rc));
		told = true;
	}
	return true;
}

/* Copies what libsystemd allocated. The descriptors belong to the table in any case. */
static int
take_sockets(struct systemd_sockets *sockets, int count, char **names)
{
	int i;

	sockets->items = mem_zalloc_array((size_t)count, sizeof(*sockets->items));
	if (sockets->items == NULL)
		return -ENOMEM;
	sockets->count = (size_t)count;
	for (i = 0; i < count; i++)
		sockets->items[i].fd = SD_LISTEN_FDS_START + i;
	for (i = 0; i < count; i++) {
		sockets->items[i].name = mem_strdup(names[i]);
		if (sockets->items[i].name == NULL)
			return -ENOMEM;
	}
	return 0;
}

int
systemd_sockets_init(struct systemd_sockets *sockets)
{
	char **names = NULL;
	int count, i, rc;

	memset(sockets, 0, sizeof(*sockets));
	if (!is_wanted("LISTEN_FDS"))
		return 0;
	count = library.listen_fds_with_names(1, &names);
	if (count <= 0)
		return count;
	rc = take_sockets(sockets, count, names);
	for (i = 0; i < count; i++)
		free(names[i]);
	free(names);
	if (rc < 0)
		systemd_sockets_fini(sockets);
	return rc;
}

uint64_t
systemd_watchdog_usec(void)
{
	uint64_t usec = 0;

	if (!is_wanted("WATCHDOG_USEC") || library.watchdog_enabled(0, &usec) <= 0)
		return 0;
	return usec;
}

bool
systemd_journal_load(void)
{
	return has_library();
}

int
systemd_journal_sendv(const struct iovec *fields, int count)
{
	if (!has_library())
		return -ENOSYS;
	if (access(JOURNAL_SOCKET, F_OK) < 0)
		return -errno;
	return library.journal_sendv(fields, count);
}

#else /* !HAVE_SYSTEMD */

static bool
notify(const char *state, bool is_essential)
{
	(void)state;
	(void)is_essential;
	return true;
}

int
systemd_sockets_init(struct systemd_sockets *sockets)
{
	memset(sockets, 0, sizeof(*sockets));
	return 0;
}

uint64_t
systemd_watchdog_usec(void)
{
	return 0;
}

bool
systemd_journal_load(void)
{
	return false;
}

int
systemd_journal_sendv(const struct iovec *fields, int count)
{
	(void)fields;
	(void)count;
	return -ENOSYS;
}

#endif

void
systemd_sockets_fini(struct systemd_sockets *sockets)
{
	size_t i;

	for (i = 0; i < sockets->count; i++) {
		fd_close(&sockets->items[i].fd);
		mem_freep(&sockets->items[i].name);
	}
	mem_freep(&sockets->items);
	sockets->count = 0;
}

/* An assignment is a line: what comes after the status's first line would be taken for another one. */
static bool
notify_with_status(const char *state, const char *status, bool is_essential)
{
	char text[NOTIFY_TEXT_MAX];

	snprintf(text, sizeof(text), "%sSTATUS=%.*s", state, (int)strcspn(status, "\n"), status);
	return notify(text, is_essential);
}

void
systemd_notify_ready(const char *status)
{
	if (status == NULL)
		(void)notify("READY=1", true);
	else
		(void)notify_with_status("READY=1\n", status, true);
}

void
systemd_notify_reloading(void)
{
	char text[NOTIFY_TEXT_MAX];

	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_now_ns() / 1000);
	(void)notify(text, true);
}

void
systemd_notify_stopping(void)
{
	(void)notify("STOPPING=1", true);
}

bool
systemd_notify_status(const char *status)
{
	return notify_with_status("", status, false);
}

void
systemd_notify_watchdog(void)
{
	(void)notify("WATCHDOG=1", false);
}

bool
systemd_stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uintmax_t device, inode;
	struct stat st;

	/* Inherited by children whose standard error is another: so it is compared, not only looked for. */
	return stream != NULL && sscanf(stream, "%ju:%ju", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
		(uintmax_t)st.st_dev == device && (uintmax_t)st.st_ino == inode;
}
