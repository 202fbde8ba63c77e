/* SPDX-License-Identifier: MIT */
/*
 * spawner_launch.c - from a recipe to a running program, in the spawner.
 *
 * The child shares the spawner's memory until it has become the program (CLONE_VM), while the spawner stands still
 * (CLONE_VFORK): nothing is copied, so starting costs the same however large a process is. What runs in the child may
 * only make system calls: everything it needs was made ready before. An error is left in memory for the spawner to
 * find.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/capability.h"
#include "program/spawner_wire.h"

/* The child's: it calls no deeper than a wrapper of a system call. */
static _Alignas(64) char child_stack[16384];
/* As the daemon was started with; the spawner itself has raised its own. */
static struct rlimit descriptors_inherited;
static bool descriptors_raised;
/* The spawner, and so every child. */
static bool is_in_root;

/* As the kernel takes it, on any machine: SIG_DFL, no flags, an empty mask. */
static const uint64_t default_action[8];

void
launch_init(void)
{
	struct rlimit raised;

	for (int number = 1; number < NSIG; number++) {
		/* The C library refuses those that it keeps for itself, and posix_spawn(3) of make(1) leaves one
		 * ignored. */
		if (signal(number, SIG_DFL) == SIG_ERR)
			(void)syscall(SYS_rt_sigaction, number, &default_action, NULL, sizeof(uint64_t));
	}
	/* A sandbox may forbid the half of it that matters to files with inheritable capabilities alone. */
	(void)!capability_withhold();
	is_in_root = chdir("/") == 0;
	if (getrlimit(RLIMIT_NOFILE, &descriptors_inherited) < 0)
		return;
	raised = descriptors_inherited;
	raised.rlim_cur = raised.rlim_max;
	descriptors_raised =
		raised.rlim_cur != descriptors_inherited.rlim_cur && setrlimit(RLIMIT_NOFILE, &raised) == 0;
}

/* ---- in the child ------------------------------------------------------------------------- */

CP_NO_SANITIZE static int
set_limits(const struct recipe *recipe)
{
	if (descriptors_raised && setrlimit(RLIMIT_NOFILE, &descriptors_inherited) < 0)
		return -1;
	for (unsigned i = 0; i < recipe->limit_count; i++) {
		const struct recipe_limit *limit = &recipe->limits[i];
		struct rlimit rlimit = {.rlim_cur = limit->soft, .rlim_max = limit->hard};

		if (setrlimit((__rlimit_resource_t)limit->resource, &rlimit) < 0)
			return -1;
	}
	return 0;
}

/* The bare calls: libc's would ask every thread that it knows of to do the same. */
CP_NO_SANITIZE static int
become_user(const struct recipe *recipe)
{
	if (!recipe->changes_user)
		return 0;
	if (syscall(SYS_setgroups, (size_t)recipe->group_count, recipe->groups) < 0 ||
		syscall(SYS_setresgid, recipe->gid, recipe->gid, recipe->gid) < 0)
		return -1;
	return (int)syscall(SYS_setresuid, recipe->uid, recipe->uid, recipe->uid);
}

CP_NO_SANITIZE static int
set_streams(const struct launch *launch)
{
	/* Those that came are above the standard ones, which the spawner holds. */
	for (int i = 0; i < 3; i++) {
		if (dup2(launch->fds[i], i) < 0)
			return -1;
	}
	return 0;
}

CP_NO_SANITIZE static int
enter_root(const struct program_options *options)
{
	return options->chroot == NULL ? 0 : chroot(options->chroot);
}

/* As the user: it may be a folder that only he can enter. */
CP_NO_SANITIZE static int
enter_directory(const struct program_options *options)
{
	if (is_in_root && options->chroot == NULL && options->directory[0] == '/' && options->directory[1] == '\0')
		return 0;
	return chdir(options->directory);
}

CP_NO_SANITIZE static int
set_nice(const struct program_options *options)
{
	return options->nice == 0 ? 0 : setpriority(PRIO_PROCESS, 0, (int)options->nice);
}

CP_NO_SANITIZE static int
give_up_privileges(const struct program_options *options)
{
	return options->no_new_privileges ? prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) : 0;
}

/* The step that failed, with errno; it returns only then. */
CP_NO_SANITIZE static enum program_step
become_program(const struct launch *launch)
{
	const struct recipe *recipe = launch->recipe;
	const struct program_options *options = recipe->options;
	sigset_t none;

	/* Not setsid(2): the kernel would make it a scheduling group of its own, at the price of a tenth of its start.
	 */
	(void)setpgid(0, 0);
	if (set_streams(launch) < 0)
		return PROGRAM_STEP_STREAMS;
	if (set_limits(recipe) < 0)
		return PROGRAM_STEP_LIMITS;
	if (set_nice(options) < 0)
		return PROGRAM_STEP_NICE;
	(void)umask((mode_t)options->umask);
	if (enter_root(options) < 0)
		return PROGRAM_STEP_CHROOT;
	if (become_user(recipe) < 0)
		return PROGRAM_STEP_USER;
	if (enter_directory(options) < 0)
		return PROGRAM_STEP_DIRECTORY;
	if (give_up_privileges(options) < 0)
		return PROGRAM_STEP_PRIVILEGES;
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)execve(recipe->argv[0], recipe->argv, launch->environment);
	return PROGRAM_STEP_RUN;
}

CP_NO_SANITIZE static int
child_main(void *arg)
{
	struct launch *launch = arg;
	enum program_step step = become_program(launch);

	launch->error = errno;
	launch->step = (int)step;
	_exit(127);
}

/*
 * clone(2) by the name that no sanitizer stands in front of: clang's ThreadSanitizer takes every child for one of
 * fork(2), with memory of its own, and aborts the spawner over what it finds in this one.
 */
extern int plain_clone(int (*fn)(void *), void *stack, int flags, void *arg, ...) __asm__("__clone");

pid_t
launch_run(struct launch *launch)
{
	pid_t pid;

	launch->error = 0;
	launch->step = PROGRAM_STEP_PROCESS;
	pid = plain_clone(child_main, child_stack + sizeof(child_stack), CLONE_VM | CLONE_VFORK | SIGCHLD, launch);
	return pid < 0 ? -errno : pid;
}

/* ---- the client's variables ------------------------------------------------------------------ */

struct writer {
	struct client_environment *environment;
	size_t used;
};

/* The name with its '='. By hand: eight printf(3) took longer than all the other work of the spawner's own. */
static void
add(struct writer *writer, const char *name, const char *value, size_t length)
{
	struct client_environment *environment = writer->environment;
	char *text = environment->text + writer->used;
	size_t name_length = strlen(name);

	if (name_length + length >= sizeof(environment->text) - writer->used ||
		environment->count == CLIENT_VARIABLES_MAX)
		return;
	memcpy(text, name, name_length);
	memcpy(text + name_length, value, length);
	text[name_length + length] = '\0';
	environment->items[environment->count++] = text;
	writer->used += name_length + length + 1;
}

static void
add_number(struct writer *writer, const char *name, unsigned number)
{
	char digits[16];
	size_t first = sizeof(digits);

	do
		digits[--first] = (char)('0' + number % 10);
	while ((number /= 10) > 0);
	add(writer, name, digits + first, sizeof(digits) - first);
}

static void
add_text(struct writer *writer, const char *name, const char *value)
{
	add(writer, name, value, strlen(value));
}

static void
add_local(struct writer *writer, const struct sockaddr_storage *storage, socklen_t length)
{
	char text[ADDRESS_TEXT_MAX];
	struct peer local;

	peer_from_sockaddr(&local, (const struct sockaddr *)storage, length);
	add_text(writer, "TCPLOCALIP=", peer_format_host(&local, text));
	add_number(writer, "TCPLOCALPORT=", local.port);
}

static void
add_unix(struct writer *writer, const struct sockaddr_storage *storage, socklen_t length, int fd)
{
	const struct sockaddr_un *local = (const struct sockaddr_un *)storage;
	struct ucred who;
	socklen_t who_length = sizeof(who);

	add_text(writer, "PROTO=", "UNIX");
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &who_length) == 0) {
		add_number(writer, "UNIXREMOTEPID=", (unsigned)who.pid);
		add_number(writer, "UNIXREMOTEEUID=", who.uid);
		add_number(writer, "UNIXREMOTEEGID=", who.gid);
	}
	if (length > offsetof(struct sockaddr_un, sun_path) && local->sun_path[0] != '\0')
		add(writer, "UNIXLOCALPATH=", local->sun_path,
			strnlen(local->sun_path, length - offsetof(struct sockaddr_un, sun_path)));
}

void
client_environment_make(struct client_environment *environment, const struct peer *peer, int fd)
{
	struct writer writer = {.environment = environment};
	struct sockaddr_storage storage = {.ss_family = AF_UNSPEC};
	socklen_t length = sizeof(storage);
	char text[ADDRESS_TEXT_MAX];

	environment->count = 0;
	if (getsockname(fd, (struct sockaddr *)&storage, &length) < 0)
		length = 0;
	if (storage.ss_family == AF_UNIX)
		add_unix(&writer, &storage, length, fd);
	else
		add_text(&writer, "PROTO=", "TCP");
	/* On a Unix socket too, where a trusted proxy said who it is. */
	if (peer->family == AF_INET || peer->family == AF_INET6) {
		(void)peer_format_host(peer, text);
		add_text(&writer, "TCPREMOTEIP=", text);
		add_number(&writer, "TCPREMOTEPORT=", peer->port);
		add_text(&writer, "REMOTE_ADDR=", text);
		add_number(&writer, "REMOTE_PORT=", peer->port);
		add_text(&writer, "REMOTE_HOST=", text);
	}
	if (storage.ss_family == AF_INET || storage.ss_family == AF_INET6)
		add_local(&writer, &storage, length);
}
