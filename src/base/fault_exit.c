/* SPDX-License-Identifier: MIT */
/*
 * fault_exit.c - see fault_exit.h.
 *
 * exit(3) calls what on_exit(3) was given. _exit(2) calls nothing, so the programs that load modules have one of their
 * own, which a module's call is bound to; it is the system call, after a look at who calls.
 */
#include "config.h"

#include "base/fault_exit.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/backtrace.h"
#include "base/defs.h"
#include "base/last_words.h"
#include "base/running.h"

#define STATUS_FAILURE 1

static const char *process_name;
static atomic_int watched_pid; /* 0: none; relaxed */

/* Also not in a child that a handler has forked. */
static bool
is_watched(void)
{
	int pid = atomic_load_explicit(&watched_pid, memory_order_relaxed);

	return pid != 0 && pid == (int)getpid();
}

static void
write_line(const char *call, int status, bool has_status)
{
	struct last_words words = {.used = 0};
	char known[RUNNING_TEXT_MAX];

	last_words_add(&words, process_name);
	last_words_add(&words, ": ended by ");
	last_words_add(&words, call);
	last_words_add(&words, "(");
	if (has_status)
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
	write_line("exit", status, true);
	(void)fflush(NULL);
	end_process(STATUS_FAILURE);
}

static void
on_quick_exit(void)
{
	if (!is_watched())
		return;
	write_line("quick_exit", 0, false);
	end_process(STATUS_FAILURE);
}

void
fault_watch_exit(const char *process)
{
	static bool is_registered;

	process_name = process;
	if (!is_registered && on_exit(on_exit_called, NULL) == 0 && at_quick_exit(on_quick_exit) == 0)
		is_registered = true;
	atomic_store_explicit(&watched_pid, (int)getpid(), memory_order_relaxed);
}

void
fault_expect_exit(void)
{
	atomic_store_explicit(&watched_pid, 0, memory_order_relaxed);
}

/* The sanitizers have theirs, with reports of their own in it. */
#if !defined(CP_ASAN) && !defined(CP_TSAN)
__attribute__((visibility("default"))) void
_exit(int status)
{
	/* We call it too, when threads are left that do not end. */
	if (is_watched() && running.function != NULL) {
		write_line("_exit", status, true);
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
