/* SPDX-License-Identifier: MIT */
/*
 * fault.c - see fault.h.
 *
 * on_fault() runs on the thread that has the fault, on its signal stack, in a process that is broken: it calls nothing
 * that is not async-signal-safe, writes the line that matters most first, and ends by its own means if a later step
 * hangs (alarm(2)) or faults as well.
 */
#include "config.h"

#include "base/fault.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/backtrace.h"
#include "base/fault_context.h"
#include "base/last_words.h"
#include "base/mem.h"
#include "base/running.h"

#define SIGNAL_STACK_BYTES 65536
/* A report that is not done by then is given up. */
#define REPORT_SECONDS 10

struct signal_stack {
	char *mapping; /* NULL: none */
	size_t mapping_bytes;
	stack_t earlier;
};

static const int fault_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
static struct sigaction earlier_actions[CP_COUNT(fault_signals)];
static const char *process_name = "connpoold";
/* Whose name that is; another one is a child that somebody has forked. */
static pid_t process_id;
static fault_explain_fn *explain;
/* The thread that reports; 0: none. Relaxed: it protects nothing, lines of two threads are only to stand apart. */
static atomic_int reporter;

static _Thread_local struct signal_stack signal_stack;

/* ---- the report --------------------------------------------------------------------- */

/* False: this is a fault in the report itself, or another thread's report has ended the process by now. */
static bool
begin_report(void)
{
	const struct timespec pause = {.tv_nsec = 10000000};
	int none = 0;
	int self = (int)gettid();

	for (unsigned i = 0; i < REPORT_SECONDS * 100; i++) {
		if (atomic_compare_exchange_strong_explicit(
			    &reporter, &none, self, memory_order_relaxed, memory_order_relaxed))
			return true;
		if (none == self)
			return false;
		none = 0;
		(void)nanosleep(&pause, NULL);
	}
	return false;
}

static void
limit_report(void)
{
	const struct sigaction action = {.sa_handler = SIG_DFL};
	sigset_t alarms;

	sigemptyset(&alarms);
	sigaddset(&alarms, SIGALRM);
	(void)sigaction(SIGALRM, &action, NULL);
	(void)sigprocmask(SIG_UNBLOCK, &alarms, NULL);
	(void)alarm(REPORT_SECONDS);
}

static bool
is_sent_by_others(const siginfo_t *info)
{
	return info->si_code <= 0 && info->si_pid != getpid();
}

static void
add_cause(struct last_words *words, int signo, const siginfo_t *info)
{
	const char *name = sigabbrev_np(signo);

	last_words_add(words, "SIG");
	last_words_add(words, name != NULL ? name : "?");
	if (is_sent_by_others(info)) {
		last_words_add(words, ", sent by process ");
		last_words_add_number(words, (uint64_t)info->si_pid);
		last_words_add(words, " of user ");
		last_words_add_number(words, info->si_uid);
		last_words_add(words, ": no fault of this process; it was busy with: ");
		return;
	}
	/* The kernel has no address for SI_KERNEL, such as for one that no memory can have. */
	if ((signo == SIGSEGV || signo == SIGBUS) && info->si_code > 0 && info->si_code != SI_KERNEL) {
		last_words_add(words, " at address ");
		last_words_add_hex(words, (uintptr_t)info->si_addr);
	}
	last_words_add(words, ": ");
}

static void
add_process(struct last_words *words)
{
	bool is_child = getpid() != process_id;

	if (is_child)
		last_words_add(words, "a child of ");
	last_words_add(words, process_name);
	if (!is_child)
		return;
	last_words_add(words, " (process ");
	last_words_add_number(words, (uint64_t)getpid());
	last_words_add(words, ")");
}

static void
write_line(int signo, const siginfo_t *info)
{
	struct last_words words = {.used = 0};
	char known[RUNNING_TEXT_MAX];
	char thread[16] = "";

	add_process(&words);
	last_words_add(&words, ": ended by ");
	add_cause(&words, signo, info);
	last_words_add(&words, running_describe(&running, known) > 0 ? known : "outside of any handler");
	if (prctl(PR_GET_NAME, thread) == 0) {
		last_words_add(&words, ", thread ");
		last_words_add(&words, thread);
	}
	last_words_write(&words);
}

static void
report(int signo, const siginfo_t *info, const ucontext_t *context)
{
	limit_report();
	if (info->si_code > 0 && explain != NULL)
		explain((uintptr_t)info->si_addr, fault_stack_pointer(context));
	write_line(signo, info);
	if (!is_sent_by_others(info))
		backtrace_write(fault_program_counter(context));
	(void)alarm(0);
}

/* Does it come again when the handler returns? A breakpoint is behind, a system call was refused, a page was lost. */
static bool
repeats(int signo, const siginfo_t *info)
{
	if (info->si_code <= 0)
		return false;
	return signo == SIGSEGV || signo == SIGFPE || signo == SIGILL ||
	       (signo == SIGBUS && info->si_code != BUS_MCEERR_AO);
}

/* What was in force before; a fault that is ignored would have ended the process all the same. */
static void
restore_action(int signo)
{
	const struct sigaction deadly = {.sa_handler = SIG_DFL};

	for (size_t i = 0; i < CP_COUNT(fault_signals); i++) {
		const struct sigaction *earlier = &earlier_actions[i];
		bool is_ignored = !(earlier->sa_flags & SA_SIGINFO) && earlier->sa_handler == SIG_IGN;

		if (fault_signals[i] == signo)
			(void)sigaction(signo, is_ignored ? &deadly : earlier, NULL);
	}
}

static void
on_fault(int signo, siginfo_t *info, void *context)
{
	const int error = errno;

	if (begin_report()) {
		report(signo, info, context);
		atomic_store_explicit(&reporter, 0, memory_order_relaxed);
	}
	restore_action(signo);
	/* With all that was said of it; else without. It comes when this returns. */
	if (!repeats(signo, info) && syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), signo, info) != 0)
		(void)raise(signo);
	errno = error;
}

/* ---- a process ---------------------------------------------------------------------- */

int
fault_install(const char *process)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	process_name = process;
	process_id = getpid();
	backtrace_prepare();
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < CP_COUNT(fault_signals); i++) {
		struct sigaction earlier;

		if (sigaction(fault_signals[i], &action, &earlier) != 0)
			return -errno;
		/* Installed twice, it would restore itself, and the fault would repeat for ever. */
		if (!(earlier.sa_flags & SA_SIGINFO) || earlier.sa_sigaction != on_fault)
			earlier_actions[i] = earlier;
	}
	return 0;
}

void
fault_set_process(const char *process)
{
	process_name = process;
	process_id = getpid();
}

void
fault_unblock(sigset_t *set)
{
	for (size_t i = 0; i < CP_COUNT(fault_signals); i++)
		sigdelset(set, fault_signals[i]);
}

void
fault_set_explainer(fault_explain_fn *fn)
{
	explain = fn;
}

/* ---- a thread ----------------------------------------------------------------------- */

int
fault_thread_init(void)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
	const size_t guard_bytes = (size_t)sysconf(_SC_PAGESIZE);
	struct signal_stack made = {.mapping_bytes = guard_bytes + SIGNAL_STACK_BYTES};
	stack_t wanted = {.ss_size = SIGNAL_STACK_BYTES};
	int error = 0;

	if (mem_should_fail())
		return -ENOMEM;
	made.mapping = mmap(NULL, made.mapping_bytes, PROT_NONE, flags, -1, 0);
	if (made.mapping == MAP_FAILED)
		return -ENOMEM;
	wanted.ss_sp = made.mapping + guard_bytes;
	if (mprotect(wanted.ss_sp, wanted.ss_size, PROT_READ | PROT_WRITE) != 0 ||
		sigaltstack(&wanted, &made.earlier) != 0) {
		error = -errno;
		(void)munmap(made.mapping, made.mapping_bytes);
		return error;
	}
	signal_stack = made;
	return 0;
}

void
fault_thread_fini(void)
{
	if (signal_stack.mapping == NULL)
		return;
	/* ASan's, maybe, which it takes down itself when the thread ends. */
	CP_ASSERT(sigaltstack(&signal_stack.earlier, NULL) == 0);
	(void)munmap(signal_stack.mapping, signal_stack.mapping_bytes);
	signal_stack.mapping = NULL;
}
