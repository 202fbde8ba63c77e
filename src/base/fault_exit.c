/* SPDX-License-Identifier: MIT */
/*
 * fault_exit.c - see fault_exit.h.
 *
 * The programs that load modules have an exit(3), quick_exit(3) and _exit(2) of their own, which a module's calls are
 * bound to: so the process ends before any destructor or stdio buffer, which may wait for threads that go on. What
 * calls exit() inside the C library, such as err(3), is not bound to them: for it there is on_exit(3). Our own end, a
 * return from main(), comes by neither.
 */
#include "config.h"

#include "base/fault_exit.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/backtrace.h"
#include "base/defs.h"
#include "base/last_words.h"
#include "base/running.h"

#define STATUS_FAILURE 1

typedef void exit_fn(int status);

static const char *process_name;
/* The C library's. Found beforehand: a child that was forked with threads around must not enter the loader. */
static exit_fn *libc_exit;
static exit_fn *libc_quick_exit;
static atomic_int watched_pid; /* 0: none; relaxed */

/* Also not in a child that a handler has forked. */
static bool
is_watched(void)
{
	int pid = atomic_load_explicit(&watched_pid, memory_order_relaxed);

	return pid != 0 && pid == (int)getpid();
}

static void
write_line(const char *call, int status)
{
	struct last_words words = {.used = 0};
	char known[RUNNING_TEXT_MAX];

	last_words_add(&words, process_name);
	last_words_add(&words, ": ended by ");
	last_words_add(&words, call);
	last_words_add(&words, "(");
	last_words_add_number(&words, (unsigned)status & 0xff);
	last_words_add(&words, "), with status 1: ");
	last_words_add(&words, running_describe(&running, known) > 0 ? known : "outside of any handler");
	last_words_write(&words);
	backtrace_write(0);
}

static CP_NORETURN void
end_process(int status)
{
	for (;;)
		(void)syscall(SYS_exit_group, status);
}

static void
on_exit_called(int status, void *arg)
{
	(void)arg;
	if (!is_watched())
		return;
	write_line("exit", status);
	end_process(STATUS_FAILURE);
}

static void
find_calls_of_libc(void)
{
	libc_exit = (exit_fn *)(uintptr_t)dlsym(RTLD_NEXT, "exit");
	libc_quick_exit = (exit_fn *)(uintptr_t)dlsym(RTLD_NEXT, "quick_exit");
}

void
fault_watch_exit(const char *process)
{
	static bool is_registered;

	process_name = process;
	find_calls_of_libc();
	if (!is_registered && on_exit(on_exit_called, NULL) == 0)
		is_registered = true;
	atomic_store_explicit(&watched_pid, (int)getpid(), memory_order_relaxed);
}

void
fault_expect_exit(void)
{
	atomic_store_explicit(&watched_pid, 0, memory_order_relaxed);
}

static CP_NORETURN void
end_by(const char *call, exit_fn **of_libc, int status)
{
	if (is_watched()) {
		write_line(call, status);
		end_process(STATUS_FAILURE);
	}
	if (*of_libc == NULL)
		find_calls_of_libc();
	if (*of_libc != NULL)
		(*of_libc)(status);
	end_process(status);
}

__attribute__((visibility("default"))) void
exit(int status)
{
	end_by("exit", &libc_exit, status);
}

__attribute__((visibility("default"))) void
quick_exit(int status)
{
	end_by("quick_exit", &libc_quick_exit, status);
}

/* The sanitizers have theirs, with reports of their own in it. */
#if !defined(CP_ASAN) && !defined(CP_TSAN)
__attribute__((visibility("default"))) void
_exit(int status)
{
	/* We call it too, when threads are left that do not end. */
	if (is_watched() && running.function != NULL) {
		write_line("_exit", status);
		status = STATUS_FAILURE;
	}
	end_process(status);
}

__attribute__((visibility("default"))) void
_Exit(int status)
{
	_exit(status);
}
#endif
