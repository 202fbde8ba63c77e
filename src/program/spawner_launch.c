/* SPDX-License-Identifier: MIT */
/*
 * spawner_launch.c - from a recipe to a running program, in the spawner.
 *
 * The child shares the spawner's memory until it has become the program (CLONE_VM): nothing is copied, so starting
 * costs the same however large a process is. The spawner does not wait for it, as it would with vfork(2): once the
 * child has its user's uid every process of that user can stop it (kill(-1, SIGSTOP)), and only that start is to
 * suffer.
 *
 * So both run at the same time in the same memory, errno and all. The child touches its slot, its own stack and the
 * recipe, and makes system calls without the C library (rawcall.h). When it has left the memory, by execve(2) or by its
 * end, the kernel clears the slot's word (CLONE_CHILD_CLEARTID), and only then is the slot free for another one. Its
 * user can't look into this memory by way of it: the memory is that of a process that can't be traced
 * (PR_SET_DUMPABLE).
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/capability.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/rawcall.h"
#include "program/program.h"
#include "program/spawner_launch.h"
#include "program/spawner_recipe.h"
#include "program/spawner_wire.h"

#define STACK_BYTES 16384u
/* Below the stack; of any page size. */
#define GUARD_BYTES 65536u
/* Free slots that are kept for the next starts. */
#define FREE_MAX 64u
/* Bytes of a set of signals, as the kernel takes it. */
#define KERNEL_SIGSET_BYTES (_NSIG / 32 * 4)

/* As prlimit64(2) takes it, on any machine. */
struct kernel_rlimit {
	uint64_t soft;
	uint64_t hard;
};

/* As the daemon was started with; the spawner itself has raised its own. */
static struct kernel_rlimit descriptors_inherited;
static bool descriptors_raised;
/* The spawner, and so every child. */
static bool is_in_root;

static struct launch *free_slots[FREE_MAX];
static unsigned free_count;

/* As the kernel takes it, on any machine: SIG_DFL, no flags, an empty mask. */
static const uint64_t default_action[8];
static const char empty_sigset[KERNEL_SIGSET_BYTES];
/* Those that the spawner itself handles (base/fault.c). */
static const int caught_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};

static void
raise_descriptors(void)
{
	struct rlimit inherited;
	struct rlimit raised;

	if (getrlimit(RLIMIT_NOFILE, &inherited) < 0)
		return;
	descriptors_inherited = (struct kernel_rlimit){.soft = inherited.rlim_cur, .hard = inherited.rlim_max};
	raised = inherited;
	raised.rlim_cur = raised.rlim_max;
	descriptors_raised = raised.rlim_cur != inherited.rlim_cur && setrlimit(RLIMIT_NOFILE, &raised) == 0;
}

void
launch_init(void)
{
	for (int number = 1; number < NSIG; number++) {
		/* The C library refuses those that it keeps for itself, and posix_spawn(3) of make(1) leaves one
		 * ignored. */
		if (signal(number, SIG_DFL) == SIG_ERR)
			(void)syscall(SYS_rt_sigaction, number, &default_action, NULL, KERNEL_SIGSET_BYTES);
	}
	/* A sandbox may forbid the half of it that matters to files with inheritable capabilities alone. */
	(void)!capability_withhold();
	/*
	 * Else a child that has become another user, but not yet the program, could be traced by that user, and what
	 * kills it with a core dump would kill the spawner, too (core_pattern, kernels before 5.16). Without any
	 * privilege there is nothing to guard.
	 */
	if (geteuid() == 0 || capability_effective() != 0)
		(void)prctl(PR_SET_DUMPABLE, 0);
	is_in_root = chdir("/") == 0;
	raise_descriptors();
}

/* ---- slots ---------------------------------------------------------------------------------- */

static void
free_slot(struct launch *launch)
{
	if (launch->stack != NULL)
		(void)munmap(launch->stack, GUARD_BYTES + STACK_BYTES);
	mem_free(launch->environment);
	mem_free(launch);
}

struct launch *
launch_get(void)
{
	struct launch *launch;

	if (free_count > 0)
		return free_slots[--free_count];
	launch = mem_zalloc(sizeof(*launch));
	if (launch == NULL)
		return NULL;
	launch->stack = mmap(NULL, GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (launch->stack == MAP_FAILED) {
		launch->stack = NULL;
		free_slot(launch);
		return NULL;
	}
	if (mprotect(launch->stack, GUARD_BYTES, PROT_NONE) < 0) {
		free_slot(launch);
		return NULL;
	}
	return launch;
}

void
launch_put(struct launch **holder)
{
	struct launch *launch = *holder;

	*holder = NULL;
	CP_ASSERT(launch_is_over(launch));
	launch->recipe = NULL;
	launch->table = NULL;
	if (free_count < FREE_MAX)
		free_slots[free_count++] = launch;
	else
		free_slot(launch);
}

bool
launch_is_over(const struct launch *launch)
{
	return atomic_load_explicit(&launch->word, memory_order_acquire) == 0;
}

void
launch_note_reaped(struct launch *launch)
{
	/* The kernel has cleared it, but for a child that died with a core dump (before 5.16). */
	atomic_store_explicit(&launch->word, 0, memory_order_release);
}

/* ---- in the child ------------------------------------------------------------------------- */

CP_NO_SANITIZE static long
set_limit(int resource, const struct kernel_rlimit *limit)
{
	return rawcall(SYS_prlimit64, 0, resource, (long)limit, 0, 0);
}

CP_NO_SANITIZE static long
set_limits(const struct recipe *recipe)
{
	long rc = 0;

	if (descriptors_raised)
		rc = set_limit(RLIMIT_NOFILE, &descriptors_inherited);
	for (unsigned i = 0; rc >= 0 && i < recipe->limit_count; i++) {
		struct kernel_rlimit limit = {.soft = recipe->limits[i].soft, .hard = recipe->limits[i].hard};

		rc = set_limit(recipe->limits[i].resource, &limit);
	}
	return rc;
}

CP_NO_SANITIZE static long
become_user(const struct recipe *recipe)
{
	long rc;

	if (!recipe->changes_user)
		return 0;
	rc = rawcall(RAWCALL_SETGROUPS, recipe->group_count, (long)recipe->groups, 0, 0, 0);
	if (rc >= 0)
		rc = rawcall(RAWCALL_SETRESGID, (long)recipe->gid, (long)recipe->gid, (long)recipe->gid, 0, 0);
	if (rc >= 0)
		rc = rawcall(RAWCALL_SETRESUID, (long)recipe->uid, (long)recipe->uid, (long)recipe->uid, 0, 0);
	return rc;
}

CP_NO_SANITIZE static long
set_streams(const struct launch *launch)
{
	/* Those that came are above the standard ones, which the spawner holds. */
	for (int i = 0; i < 3; i++) {
		long rc = rawcall(SYS_dup3, launch->fds[i], i, 0, 0, 0);

		if (rc < 0)
			return rc;
	}
	/* They are closed by execve(2) as well: but a child that is stopped before is to hold nobody else's. */
	(void)rawcall(RAWCALL_CLOSE_RANGE, 3, (long)~0u, 0, 0, 0);
	return 0;
}

/* As the user: it may be a folder that only that user can enter. */
CP_NO_SANITIZE static long
enter_directory(const struct recipe *recipe)
{
	if (is_in_root && recipe->chroot == NULL && recipe->directory[0] == '/' && recipe->directory[1] == '\0')
		return 0;
	return rawcall(SYS_chdir, (long)recipe->directory, 0, 0, 0, 0);
}

/*
 * The spawner's handler for faults (base/fault.h) works on the spawner's memory: once it has its user's uid, that user
 * can send the child such a signal.
 */
CP_NO_SANITIZE static void
drop_handlers(void)
{
	for (unsigned i = 0; i < CP_COUNT(caught_signals); i++)
		(void)rawcall(SYS_rt_sigaction, caught_signals[i], (long)default_action, 0, KERNEL_SIGSET_BYTES, 0);
}

/* The step that failed, with *ret_error; it returns only then. */
CP_NO_SANITIZE static enum program_step
become_program(const struct launch *launch, long *ret_error)
{
	const struct recipe *recipe = launch->recipe;

	/* Not setsid(2): the kernel would make it a scheduling group of its own, at the price of a tenth of its start.
	 */
	(void)rawcall(SYS_setpgid, 0, 0, 0, 0, 0);
	drop_handlers();
	*ret_error = set_streams(launch);
	if (*ret_error < 0)
		return PROGRAM_STEP_STREAMS;
	*ret_error = set_limits(recipe);
	if (*ret_error < 0)
		return PROGRAM_STEP_LIMITS;
	if (recipe->nice != 0)
		*ret_error = rawcall(SYS_setpriority, PRIO_PROCESS, 0, recipe->nice, 0, 0);
	if (*ret_error < 0)
		return PROGRAM_STEP_NICE;
	(void)rawcall(SYS_umask, (long)recipe->umask, 0, 0, 0, 0);
	if (recipe->chroot != NULL)
		*ret_error = rawcall(SYS_chroot, (long)recipe->chroot, 0, 0, 0, 0);
	if (*ret_error < 0)
		return PROGRAM_STEP_CHROOT;
	*ret_error = become_user(recipe);
	if (*ret_error < 0)
		return PROGRAM_STEP_USER;
	*ret_error = enter_directory(recipe);
	if (*ret_error < 0)
		return PROGRAM_STEP_DIRECTORY;
	if (recipe->no_new_privileges)
		*ret_error = rawcall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (*ret_error < 0)
		return PROGRAM_STEP_PRIVILEGES;
	(void)rawcall(SYS_rt_sigprocmask, SIG_SETMASK, (long)empty_sigset, 0, KERNEL_SIGSET_BYTES, 0);
	*ret_error = rawcall(SYS_execve, (long)recipe->argv[0], (long)recipe->argv, (long)launch->environment, 0, 0);
	return PROGRAM_STEP_RUN;
}

/* As its user, in its root: whatever it can't read here it may not know, and a pipe in its place stops nobody else. */
CP_NO_SANITIZE static void
read_first_line(struct launch *launch)
{
	long fd = rawcall(SYS_openat, AT_FDCWD, (long)launch->recipe->argv[0],
		O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0, 0);
	long n = fd >= 0 ? rawcall(SYS_read, fd, (long)launch->line, sizeof(launch->line), 0, 0) : 0;

	launch->line_length = n > 0 ? (int32_t)n : 0;
}

CP_NO_SANITIZE static int
child_main(void *arg)
{
	struct launch *launch = arg;
	long error = 0;
	enum program_step step = become_program(launch, &error);

	if (step == PROGRAM_STEP_RUN && (error == -ENOENT || error == -ENOEXEC))
		read_first_line(launch);
	launch->step = (int32_t)step;
	launch->error = (int32_t)-error;
	/* Before the kernel clears the word. */
	atomic_thread_fence(memory_order_seq_cst);
	return (int)rawcall(SYS_exit_group, 127, 0, 0, 0, 0);
}

/*
 * clone(2) by the name that no sanitizer stands in front of: clang's ThreadSanitizer takes every child for one of
 * fork(2), with memory of its own, and aborts the spawner over what it finds in this one.
 */
extern int plain_clone(int (*fn)(void *), void *stack, int flags, void *arg, ...) __asm__("__clone");

/* ---- around it -------------------------------------------------------------------------------- */

static int
complete_environment(struct launch *launch)
{
	const struct recipe *recipe = launch->recipe;
	unsigned count = recipe->environment_count + launch->client.count;

	if (count >= launch->environment_room) {
		char **items = mem_realloc_array(launch->environment, count + 1, sizeof(items[0]));

		if (items == NULL)
			return -ENOMEM;
		launch->environment = items;
		launch->environment_room = count + 1;
	}
	memcpy(launch->environment, recipe->environment, recipe->environment_count * sizeof(recipe->environment[0]));
	memcpy(launch->environment + recipe->environment_count, launch->client.items,
		launch->client.count * sizeof(launch->client.items[0]));
	launch->environment[count] = NULL;
	return 0;
}

int
launch_begin(struct launch *launch, _Atomic int32_t *ret_pid)
{
	int flags = CLONE_VM | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD;
	int rc = complete_environment(launch);

	if (rc < 0)
		return rc;
	launch->step = 0;
	launch->error = 0;
	launch->line_length = 0;
	launch->begun_ns = clock_now_ns();
	atomic_store_explicit(&launch->word, 1, memory_order_relaxed);
	if (plain_clone(child_main, launch->stack + GUARD_BYTES + STACK_BYTES, flags, launch, ret_pid, NULL,
		    &launch->word) >= 0)
		return 0;
	rc = -errno;
	atomic_store_explicit(&launch->word, 0, memory_order_relaxed);
	return rc;
}

bool
launch_has_failed(const struct launch *launch, struct program_result *ret_result)
{
	CP_ASSERT(launch_is_over(launch));
	if (launch->error == 0)
		return false;
	ret_result->how = PROGRAM_NOT_STARTED;
	ret_result->step = (enum program_step)launch->step;
	ret_result->error = launch->error;
	if (launch->line_length > 0)
		program_explain(ret_result, launch->line, (size_t)launch->line_length);
	return true;
}
