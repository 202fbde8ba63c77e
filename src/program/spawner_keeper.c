/* SPDX-License-Identifier: MIT */
/*
 * spawner_keeper.c - the keeper: reads configs when the daemon does, forks a spawner for each that names new programs,
 * and another when one dies.
 *
 * It was forked before the daemon had threads, sockets or clients, and never sees any of them. It does nothing but wait
 * most of the time. Programs whose spawner has died become its children (PR_SET_CHILD_SUBREAPER), so that it can end
 * and reap them; and so do processes that programs have left behind, which it reaps.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/fdutil.h"
#include "base/list.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "conf/load.h"
#include "program/spawner_wire.h"

/* One that died sooner is not started again at once: what ended it may end it again. */
#define RESTART_PAUSE_MS 1000
/* How long the spawners have to end, once the daemon has. */
#define END_MS 3000

/* A spawner process. */
struct child {
	struct list link;
	pid_t pid;
	uint64_t started_ns;
	struct spawner_table *table;
};

struct keeper {
	int daemon_fd;
	int signal_fd;
	const char *conf_path;
	const struct conf_service_type *types;
	struct cookbook *cookbooks;
	struct list children;
	struct child *serving;   /* of the config in force; NULL: it names no program, or the pause is not over */
	struct child *candidate; /* of the one loaded last, not yet in force */
	uint64_t restart_at_ns;  /* serving is to be started again; 0: it is not */
	struct keeper_news died; /* what will be said then */
};

/* ---- forking ------------------------------------------------------------------------------- */

static void
free_child(struct child **holder)
{
	struct child *child = *holder;

	*holder = NULL;
	if (child == NULL)
		return;
	list_remove(&child->link);
	if (child->table != NULL)
		munmap(child->table, sizeof(*child->table));
	mem_free(child);
}

static struct child *
new_child(struct keeper *keeper)
{
	struct child *child = mem_zalloc(sizeof(*child));

	if (child == NULL)
		return NULL;
	list_push_back(&keeper->children, &child->link);
	child->started_ns = clock_now_ns();
	child->table = mmap(
		NULL, sizeof(*child->table), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (child->table == MAP_FAILED) {
		child->table = NULL;
		free_child(&child);
	}
	return child;
}

/* Forks a spawner that knows every cookbook there is. 0 and the daemon's end of its main socket, or -errno. */
static int
fork_spawner(struct keeper *keeper, struct child **ret_child, int *ret_fd)
{
	struct child *child = new_child(keeper);
	int fds[2];
	int rc = child != NULL ? wire_pair(fds) : -ENOMEM;

	if (rc < 0) {
		free_child(&child);
		return rc;
	}
	child->pid = fork();
	if (child->pid == 0) {
		(void)prctl(PR_SET_NAME, "cp-spawner");
		close(keeper->daemon_fd);
		close(keeper->signal_fd);
		close(fds[0]);
		spawner_serve(fds[1], keeper->cookbooks, child->table);
	}
	rc = -errno;
	close(fds[1]);
	if (child->pid < 0) {
		close(fds[0]);
		free_child(&child);
		return rc;
	}
	*ret_child = child;
	*ret_fd = fds[0];
	return 0;
}

static void
tell(const struct keeper *keeper, const struct keeper_news *news, int fd)
{
	/* The socket holds more of it than there can be loads and deaths in a second; a daemon gone needs no news. */
	(void)!wire_send(keeper->daemon_fd, news, sizeof(*news), &fd, fd >= 0 ? 1 : 0);
	if (fd >= 0)
		close(fd);
}

/* ---- configs ---------------------------------------------------------------------------------- */

static struct cookbook **
find_cookbook(struct keeper *keeper, uint64_t digest)
{
	struct cookbook **holder = &keeper->cookbooks;

	while (*holder != NULL && (*holder)->digest != digest)
		holder = &(*holder)->next;
	return holder;
}

static struct conf *
read_conf(const struct keeper *keeper, struct errmsg *err)
{
	struct conf_errors errors = {0};
	struct conf *conf = conf_load(keeper->conf_path, keeper->types, &errors);

	if (conf == NULL)
		errmsg_set(err, "%s", errors.count > 0 ? errors.items[0].text : "no memory");
	conf_errors_fini(&errors);
	return conf;
}

/* Reads the config; a new cookbook is put first. 0, 1: it was known already; -errno with err. */
static int
load_cookbook(struct keeper *keeper, uint64_t *ret_digest, struct errmsg *err)
{
	struct conf *conf = read_conf(keeper, err);
	struct cookbook *cookbook;
	struct cookbook *known;

	if (conf == NULL)
		return -EINVAL;
	cookbook = cookbook_new(&conf, err);
	if (cookbook == NULL) {
		conf_unref(&conf);
		return -ENOENT;
	}
	*ret_digest = cookbook->digest;
	known = *find_cookbook(keeper, cookbook->digest);
	if (known != NULL) {
		cookbook_free(&cookbook);
		known->loads++;
		return 1;
	}
	cookbook->loads = 1;
	cookbook->next = keeper->cookbooks;
	keeper->cookbooks = cookbook;
	return 0;
}

static void
drop_cookbook(struct keeper *keeper, uint64_t digest)
{
	struct cookbook **holder = find_cookbook(keeper, digest);
	struct cookbook *cookbook = *holder;

	if (cookbook == NULL || --cookbook->loads > 0)
		return;
	*holder = cookbook->next;
	cookbook_free(&cookbook);
}

static void
load(struct keeper *keeper)
{
	struct keeper_news news = {.kind = KEEPER_LOADED};
	int fd = -1;
	int rc = load_cookbook(keeper, &news.digest, &news.text);

	keeper->candidate = keeper->serving;
	if (rc == 0 || (rc == 1 && keeper->serving == NULL)) {
		rc = fork_spawner(keeper, &keeper->candidate, &fd);
		if (rc < 0) {
			errmsg_set(&news.text, "cannot fork: %s", errmsg_errno(rc));
			drop_cookbook(keeper, news.digest);
		}
	}
	news.error = rc < 0 ? -rc : 0;
	news.pid = keeper->candidate != NULL ? keeper->candidate->pid : 0;
	tell(keeper, &news, fd);
}

static void
commit(struct keeper *keeper)
{
	keeper->serving = keeper->candidate;
	if (keeper->serving != NULL)
		keeper->restart_at_ns = 0;
}

/* False: the daemon has ended. */
static bool
hear_daemon(struct keeper *keeper)
{
	struct keeper_request request;
	int fds[WIRE_FDS_MAX];
	unsigned fd_count;
	bool is_cut;
	ssize_t n = wire_receive(keeper->daemon_fd, &request, sizeof(request), MSG_DONTWAIT, fds, &fd_count, &is_cut);

	for (unsigned i = 0; i < fd_count; i++)
		close(fds[i]);
	if (n == -EAGAIN)
		return true;
	if (n != (ssize_t)sizeof(request))
		return false;
	if (request.verb == KEEPER_LOAD)
		load(keeper);
	else if (request.verb == KEEPER_COMMIT)
		commit(keeper);
	else if (request.verb == KEEPER_DROP)
		drop_cookbook(keeper, request.digest);
	return true;
}

/* ---- death ----------------------------------------------------------------------------------------- */

/* Whatever ran under it. Each program leads a process group of its own. */
static unsigned
end_programs(const struct child *child)
{
	unsigned count = 0;

	for (unsigned i = 0; i < SPAWNER_PROGRAMS_MAX; i++) {
		int32_t pid = atomic_load(&child->table->pids[i]);

		if (pid > 0 && kill(-pid, SIGKILL) == 0)
			count++;
	}
	return count;
}

static void
on_death(struct keeper *keeper, struct child *child, int status)
{
	unsigned ended = end_programs(child);
	bool was_serving = child == keeper->serving;
	uint64_t now_ns = clock_now_ns();

	if (child == keeper->candidate)
		keeper->candidate = NULL;
	if (was_serving) {
		uint64_t pause_ns = RESTART_PAUSE_MS * CLOCK_NS_PER_MS;

		keeper->serving = NULL;
		keeper->died = (struct keeper_news){
			.kind = KEEPER_RESTARTED, .died_pid = child->pid, .died_status = status, .ended = ended};
		keeper->restart_at_ns = now_ns - child->started_ns < pause_ns ? now_ns + pause_ns : now_ns;
	}
	free_child(&child);
}

static struct child *
find_child(struct keeper *keeper, pid_t pid)
{
	struct list *link;
	struct list *following;

	LIST_FOREACH (&keeper->children, link, following) {
		struct child *child = CP_CONTAINER_OF(link, struct child, link);

		if (child->pid == pid)
			return child;
	}
	return NULL;
}

static void
reap(struct keeper *keeper)
{
	struct signalfd_siginfo info;
	pid_t pid;
	int status;

	(void)!read(keeper->signal_fd, &info, sizeof(info));
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct child *child = find_child(keeper, pid);

		if (child != NULL)
			on_death(keeper, child, status);
	}
}

static void
restart(struct keeper *keeper)
{
	int fd = -1;

	if (fork_spawner(keeper, &keeper->serving, &fd) < 0) {
		keeper->restart_at_ns = clock_now_ns() + RESTART_PAUSE_MS * CLOCK_NS_PER_MS;
		return;
	}
	keeper->restart_at_ns = 0;
	keeper->died.pid = keeper->serving->pid;
	tell(keeper, &keeper->died, fd);
}

/* ---- life -------------------------------------------------------------------------------------------- */

/* Nothing of the daemon's: programs must not find it, and it must not be held open. */
static void
leave_daemon(struct keeper *keeper)
{
	sigset_t all;
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	/* Else a Ctrl-C meant for the daemon came here too. */
	(void)setsid();
	(void)prctl(PR_SET_NAME, "cp-keeper");
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigfillset(&all);
	fault_unblock(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	if (null_fd >= 0) {
		(void)dup2(null_fd, 0);
		(void)dup2(null_fd, 1);
	}
	keeper->daemon_fd = fcntl(keeper->daemon_fd, F_DUPFD_CLOEXEC, 3);
	fd_close_all_but(keeper->daemon_fd);
}

/* The spawners end by themselves when they find their sockets closed; those that do not are ended. */
static void
end_spawners(struct keeper *keeper)
{
	uint64_t until_ns = clock_now_ns() + END_MS * CLOCK_NS_PER_MS;
	struct pollfd pfd = {.fd = keeper->signal_fd, .events = POLLIN};
	struct list *link;
	struct list *following;

	keeper->serving = NULL;
	keeper->restart_at_ns = 0;
	reap(keeper);
	while (!list_is_empty(&keeper->children) && clock_now_ns() < until_ns) {
		(void)poll(&pfd, 1, 100);
		reap(keeper);
	}
	LIST_FOREACH (&keeper->children, link, following) {
		const struct child *child = CP_CONTAINER_OF(link, struct child, link);

		(void)kill(child->pid, SIGKILL);
		(void)end_programs(child);
	}
}

static int
wait_ms(const struct keeper *keeper)
{
	uint64_t now_ns = clock_now_ns();

	if (keeper->restart_at_ns == 0)
		return -1;
	return keeper->restart_at_ns <= now_ns ? 0 : (int)((keeper->restart_at_ns - now_ns) / CLOCK_NS_PER_MS) + 1;
}

void
keeper_serve(int daemon_fd, const char *conf_path, const struct conf_service_type *types)
{
	struct keeper keeper = {.daemon_fd = daemon_fd, .conf_path = conf_path, .types = types};
	struct pollfd pfds[2];
	sigset_t child;
	bool has_daemon = true;

	fault_set_process("connpoold: keeper");
	list_init(&keeper.children);
	leave_daemon(&keeper);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	keeper.signal_fd = signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
	pfds[0] = (struct pollfd){.fd = keeper.daemon_fd, .events = POLLIN};
	pfds[1] = (struct pollfd){.fd = keeper.signal_fd, .events = POLLIN};
	while (has_daemon) {
		(void)poll(pfds, 2, wait_ms(&keeper));
		if (pfds[1].revents != 0)
			reap(&keeper);
		if (pfds[0].revents != 0)
			has_daemon = hear_daemon(&keeper);
		if (keeper.restart_at_ns != 0 && wait_ms(&keeper) == 0)
			restart(&keeper);
	}
	end_spawners(&keeper);
	_exit(0);
}
