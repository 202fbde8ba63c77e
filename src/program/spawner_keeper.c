/* SPDX-License-Identifier: MIT */
/*
 * spawner_keeper.c - the keeper: has a spawner running while any config in use names programs, and tells it of them.
 *
 * It was forked before the daemon had threads, sockets or clients, and never sees any of them. It does nothing but wait
 * most of the time. Programs whose spawner has died become its children (PR_SET_CHILD_SUBREAPER), so that it can end
 * and reap them; and so do processes that programs have left behind, which it reaps.
 *
 * Of the spawner there are three states, and reap() alone says that it is dead:
 *
 *   NONE -> RUNNING    start_spawner(): it is forked, and with it has every table that there is
 *   RUNNING -> KILLED  check_pong(): it did not answer for PONG_S
 *   RUNNING, KILLED -> NONE  on_death(); started again at restart_at_ns while a table is in use
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
#include "program/spawner_load.h"
#include "program/spawner_wire.h"

/* One that died sooner is not started again at once: what ended it may end it again. */
#define RESTART_PAUSE_MS 1000
/* It is asked so often whether it turns, and is given so long. */
#define PING_S 5u
#define PONG_S 10u
#define OVERSLEPT_NS (2 * CLOCK_NS_PER_S)

enum spawner_state { SPAWNER_NONE, SPAWNER_RUNNING, SPAWNER_KILLED };

struct keeper {
	int daemon_fd;
	int main_fd; /* every spawner has it, one after the other */
	int signal_fd;
	int control_fd; /* to the spawner */
	struct load load;

	enum spawner_state state;
	pid_t pid;
	uint64_t started_ns;
	struct spawner_shared *shared;
	uint64_t restart_at_ns; /* NONE: it is to be started then; 0: when a table is there */

	uint64_t last_number; /* of a control request */
	uint64_t ping_number; /* under way; 0: none is */
	uint64_t ping_ns;     /* when it was asked, or is to be asked */
	bool ping_is_sent;

	struct keeper_news answer; /* to be told */
	struct keeper_news death;
	bool owes_answer;
	bool owes_death;
	bool is_restart;     /* NONE: one has died */
	bool has_complained; /* that there can be none, since it did */
};

static uint64_t
ms_later(uint64_t ms)
{
	return clock_now_ns() + ms * CLOCK_NS_PER_MS;
}

/* ---- what the daemon is told ---------------------------------------------------------------- */

/* What its socket does not take is sent when it does; one that has ended needs no news. */
static void
send_news(struct keeper *keeper)
{
	if (keeper->owes_death)
		keeper->owes_death = wire_send(keeper->daemon_fd, &keeper->death, sizeof(keeper->death), NULL, 0) < 0;
	if (keeper->owes_answer)
		keeper->owes_answer =
			wire_send(keeper->daemon_fd, &keeper->answer, sizeof(keeper->answer), NULL, 0) < 0;
}

static void
fail_load(struct keeper *keeper, const char *what, int error)
{
	keeper->answer = (struct keeper_news){0};
	errmsg_set(&keeper->answer.text, "%s: %s", what, errmsg_errno(error));
	load_fail(&keeper->load, error, &keeper->answer);
	keeper->owes_answer = true;
}

static void
finish_load_if_known(struct keeper *keeper)
{
	if (keeper->load.state != LOAD_HANDING || keeper->load.table->state != TABLE_KNOWN)
		return;
	load_finish(&keeper->load, &keeper->answer);
	keeper->owes_answer = true;
}

/* ---- the spawner's life ---------------------------------------------------------------------- */

/* What it knows from the moment it is forked. */
static void
mark_tables(struct keeper *keeper, enum table_state state)
{
	for (struct list *link = keeper->load.tables.next; link != &keeper->load.tables; link = link->next)
		CP_CONTAINER_OF(link, struct kept_table, link)->state = state;
}

/* 0 or -errno. */
static int
fork_spawner(struct keeper *keeper)
{
	int fds[2];
	int rc = wire_pair(fds);

	if (rc < 0)
		return rc;
	keeper->shared = mmap(NULL, sizeof(*keeper->shared), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (keeper->shared == MAP_FAILED) {
		rc = -errno;
	} else {
		keeper->pid = fork();
		rc = keeper->pid < 0 ? -errno : 0;
	}
	if (rc == 0 && keeper->pid == 0) {
		fd_close(&keeper->daemon_fd);
		fd_close(&keeper->signal_fd);
		fd_close(&keeper->load.answer_fd);
		fd_close(&keeper->load.table_fd);
		close(fds[0]);
		spawner_serve(keeper->main_fd, fds[1], &keeper->load.tables, keeper->shared);
	}
	close(fds[1]);
	if (rc < 0) {
		close(fds[0]);
		if (keeper->shared != MAP_FAILED)
			(void)munmap(keeper->shared, sizeof(*keeper->shared));
		keeper->shared = NULL;
		keeper->pid = 0;
		return rc;
	}
	keeper->control_fd = fds[0];
	return 0;
}

static void
start_spawner(struct keeper *keeper)
{
	int rc = fork_spawner(keeper);

	if (rc < 0) {
		if (keeper->is_restart && !keeper->has_complained) {
			keeper->death.kind = KEEPER_CANNOT_START;
			errmsg_set(&keeper->death.text, "cannot start it again: %s", errmsg_errno(rc));
			keeper->owes_death = keeper->has_complained = true;
		}
		if (keeper->load.state == LOAD_HANDING)
			fail_load(keeper, "cannot start the spawner", -rc);
		keeper->restart_at_ns = ms_later(RESTART_PAUSE_MS);
		return;
	}
	keeper->state = SPAWNER_RUNNING;
	keeper->started_ns = clock_now_ns();
	keeper->restart_at_ns = 0;
	keeper->ping_number = 0;
	keeper->ping_ns = keeper->started_ns + PING_S * CLOCK_NS_PER_S;
	mark_tables(keeper, TABLE_KNOWN);
	if (keeper->is_restart) {
		keeper->death.kind = KEEPER_RESTARTED;
		keeper->death.pid = keeper->pid;
		if (keeper->has_complained)
			errmsg_set(&keeper->death.text, "%s", "");
		keeper->owes_death = true;
	}
	keeper->is_restart = false;
}

/*
 * Whatever ran under it; how many programs that were. Each leads a process group of its own once it has come so far,
 * and may have left it since: its number is its own until it is reaped.
 */
static unsigned
end_programs(const struct keeper *keeper)
{
	unsigned count = 0;

	for (unsigned i = 0; i < SPAWNER_PROGRAMS_MAX; i++) {
		int32_t pid = atomic_load(&keeper->shared->pids[i]);

		if (pid <= 0)
			continue;
		(void)kill(-pid, SIGKILL);
		if (kill(pid, SIGKILL) == 0)
			count++;
	}
	return count;
}

static void
on_death(struct keeper *keeper, int status)
{
	uint64_t now_ns = clock_now_ns();
	uint64_t pause_ns = RESTART_PAUSE_MS * CLOCK_NS_PER_MS;

	keeper->death = (struct keeper_news){.died_pid = keeper->pid,
		.died_status = status,
		.ended = end_programs(keeper),
		.text = keeper->shared->why};
	if (keeper->state == SPAWNER_KILLED)
		errmsg_set(&keeper->death.text, "it did not answer for %u s", PONG_S);
	keeper->owes_death = keeper->has_complained = false;
	keeper->is_restart = true;
	(void)munmap(keeper->shared, sizeof(*keeper->shared));
	keeper->shared = NULL;
	fd_close(&keeper->control_fd);
	keeper->state = SPAWNER_NONE;
	keeper->pid = 0;
	keeper->restart_at_ns = now_ns - keeper->started_ns < pause_ns ? now_ns + pause_ns : now_ns;
	mark_tables(keeper, TABLE_UNSENT);
}

static bool
has_died(struct keeper *keeper)
{
	int status;

	if (keeper->pid == 0 || waitpid(keeper->pid, &status, WNOHANG) != keeper->pid)
		return false;
	on_death(keeper, status);
	return true;
}

static void
reap(struct keeper *keeper)
{
	struct signalfd_siginfo info;

	(void)!read(keeper->signal_fd, &info, sizeof(info));
	for (;;) {
		struct keeper_news failed = {0};
		siginfo_t child;
		int status;

		child.si_pid = 0;
		if (waitid(P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT) < 0 || child.si_pid == 0)
			return;
		/* First: it ends what ran under it, whose numbers are theirs as long as they are not reaped. */
		if (has_died(keeper) || waitpid(child.si_pid, &status, WNOHANG) <= 0)
			continue;
		if (!load_on_reaped(&keeper->load, child.si_pid, status, &failed)) {
			keeper->answer = failed;
			keeper->owes_answer = true;
		}
	}
}

/* ---- what the spawner is told ------------------------------------------------------------------- */

static int
send_control(struct keeper *keeper, enum control_verb verb, uint64_t table, int fd)
{
	struct control_request request = {.verb = verb, .number = ++keeper->last_number, .table = table};

	return wire_send(keeper->control_fd, &request, sizeof(request), &fd, fd >= 0 ? 1 : 0);
}

/* Those that it does not know yet, and those that it is to forget. What can't be sent now is sent in the next turn. */
static void
send_tables(struct keeper *keeper)
{
	struct list *link;
	struct list *following;

	LIST_FOREACH (&keeper->load.tables, link, following) {
		struct kept_table *table = CP_CONTAINER_OF(link, struct kept_table, link);
		bool is_running = keeper->state == SPAWNER_RUNNING;

		if (!load_needs_table(table)) {
			if (!is_running || table->state == TABLE_UNSENT ||
				send_control(keeper, CONTROL_FORGET, table->number, -1) == 0)
				load_free_table(&table);
		} else if (is_running && table->state == TABLE_UNSENT &&
			   send_control(keeper, CONTROL_TABLE, table->number, table->fd) == 0) {
			table->state = TABLE_SENT;
			table->control_number = keeper->last_number;
		}
	}
}

static void
on_table_answer(struct keeper *keeper, struct kept_table *table, int error)
{
	if (error == 0) {
		table->state = TABLE_KNOWN;
		return;
	}
	/* Without a load that waits for it, it is sent again: one that the daemon may name is not to be missing. */
	table->state = TABLE_UNSENT;
	if (keeper->load.state == LOAD_HANDING && keeper->load.table == table)
		fail_load(keeper, "the spawner cannot take its programs", error);
}

static void
hear_spawner(struct keeper *keeper)
{
	struct control_answer answer;
	int fds[WIRE_FDS_MAX];
	unsigned fd_count;
	bool is_cut;

	/* Its end says nothing: it is over when it is reaped. */
	while (wire_receive(keeper->control_fd, &answer, sizeof(answer), fds, &fd_count, &is_cut) ==
		(ssize_t)sizeof(answer)) {
		if (answer.number == keeper->ping_number) {
			keeper->ping_number = 0;
			keeper->ping_ns = clock_now_ns() + PING_S * CLOCK_NS_PER_S;
			continue;
		}
		for (struct list *link = keeper->load.tables.next; link != &keeper->load.tables; link = link->next) {
			struct kept_table *table = CP_CONTAINER_OF(link, struct kept_table, link);

			if (table->state == TABLE_SENT && table->control_number == answer.number) {
				on_table_answer(keeper, table, answer.error);
				break;
			}
		}
	}
}

static void
send_ping(struct keeper *keeper)
{
	keeper->ping_is_sent = send_control(keeper, CONTROL_PING, 0, -1) == 0;
	keeper->ping_number = keeper->last_number;
}

/* After everything that it has said was heard. */
static void
check_pong(struct keeper *keeper)
{
	uint64_t now_ns = clock_now_ns();

	if (keeper->state != SPAWNER_RUNNING)
		return;
	if (keeper->ping_number != 0 && !keeper->ping_is_sent)
		send_ping(keeper);
	if (now_ns < keeper->ping_ns)
		return;
	if (keeper->ping_number == 0) {
		send_ping(keeper);
	} else if (now_ns - keeper->ping_ns < OVERSLEPT_NS) {
		(void)kill(keeper->pid, SIGKILL);
		keeper->state = SPAWNER_KILLED;
		return;
	}
	/* Who has overslept was stopped, and perhaps the whole machine: it gets the whole time once more. */
	keeper->ping_ns = now_ns + PONG_S * CLOCK_NS_PER_S;
}

/* ---- what the daemon asks for --------------------------------------------------------------------- */

/* False: the daemon has ended. */
static bool
hear_daemon(struct keeper *keeper)
{
	struct keeper_request request;
	int fds[WIRE_FDS_MAX];
	unsigned fd_count;
	bool is_cut;
	ssize_t n = wire_receive(keeper->daemon_fd, &request, sizeof(request), fds, &fd_count, &is_cut);

	for (unsigned i = 0; i < fd_count; i++)
		close(fds[i]);
	if (wire_is_over(n))
		return false;
	if (n != (ssize_t)sizeof(request))
		return true;
	if (request.verb == KEEPER_LOAD) {
		/* Of the one before nobody wants to hear any more. */
		int rc = load_begin(&keeper->load, request.number);

		if (keeper->owes_answer && keeper->answer.error == 0)
			load_drop_table(&keeper->load, keeper->answer.table);
		keeper->owes_answer = false;
		if (rc < 0)
			fail_load(keeper, "cannot read it", -rc);
	} else if (request.verb == KEEPER_DROP) {
		load_drop_table(&keeper->load, request.table);
	}
	return true;
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
	fd_close_all_but(keeper->daemon_fd, keeper->main_fd);
}

/* The spawner ends by itself when it finds its sockets closed; one that does not is ended. */
static void
end_spawner(struct keeper *keeper)
{
	uint64_t until_ns = ms_later(KEEPER_END_MS);
	struct pollfd pfd = {.fd = keeper->signal_fd, .events = POLLIN};

	reap(keeper);
	while (keeper->state != SPAWNER_NONE && clock_now_ns() < until_ns) {
		(void)poll(&pfd, 1, 100);
		reap(keeper);
	}
	if (keeper->state == SPAWNER_NONE)
		return;
	(void)kill(keeper->pid, SIGKILL);
	(void)end_programs(keeper);
}

static bool
has_tables(const struct keeper *keeper)
{
	for (struct list *link = keeper->load.tables.next; link != &keeper->load.tables; link = link->next) {
		if (load_needs_table(CP_CONTAINER_OF(link, struct kept_table, link)))
			return true;
	}
	return false;
}

static int
sooner(int a, int b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

static int
until_ms(uint64_t at_ns)
{
	uint64_t now_ns = clock_now_ns();

	return at_ns <= now_ns ? 0 : (int)((at_ns - now_ns) / CLOCK_NS_PER_MS) + 1;
}

static bool
owes_anything(const struct keeper *keeper)
{
	if (keeper->owes_answer || keeper->owes_death)
		return true;
	if (keeper->state != SPAWNER_RUNNING)
		return false;
	if (keeper->ping_number != 0 && !keeper->ping_is_sent)
		return true;
	for (struct list *link = keeper->load.tables.next; link != &keeper->load.tables; link = link->next) {
		const struct kept_table *table = CP_CONTAINER_OF(link, struct kept_table, link);

		if (!load_needs_table(table) || table->state == TABLE_UNSENT)
			return true;
	}
	return false;
}

static int
wait_ms(const struct keeper *keeper)
{
	int ms = load_wait_ms(&keeper->load);

	if (owes_anything(keeper))
		ms = sooner(ms, WIRE_RETRY_MS);
	if (keeper->state == SPAWNER_NONE && has_tables(keeper))
		ms = sooner(ms, until_ms(keeper->restart_at_ns));
	if (keeper->state == SPAWNER_RUNNING)
		ms = sooner(ms, until_ms(keeper->ping_ns));
	return ms;
}

/* Everything that is to be done now, in whatever state things are. */
static void
act(struct keeper *keeper)
{
	struct keeper_news late = {0};

	send_tables(keeper);
	if (keeper->state == SPAWNER_NONE && has_tables(keeper) && until_ms(keeper->restart_at_ns) == 0)
		start_spawner(keeper);
	finish_load_if_known(keeper);
	if (load_is_late(&keeper->load, &late)) {
		keeper->answer = late;
		keeper->owes_answer = true;
	}
	check_pong(keeper);
	send_news(keeper);
}

void
keeper_serve(int daemon_fd, int main_fd, const char *conf_path, const struct conf_service_type *types)
{
	struct keeper keeper = {.daemon_fd = daemon_fd, .main_fd = main_fd, .control_fd = -1};
	int *const not_for_loader[] = {&keeper.daemon_fd, &keeper.main_fd, &keeper.signal_fd, &keeper.control_fd, NULL};
	sigset_t child;
	bool has_daemon = true;

	fault_set_process("connpoold: keeper");
	load_init(&keeper.load, conf_path, types, not_for_loader);
	leave_daemon(&keeper);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	keeper.signal_fd = signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
	/* Without it nothing is heard of a death: the daemon is to see that there is no keeper. */
	if (keeper.signal_fd < 0)
		_exit(1);
	while (has_daemon) {
		struct pollfd pfds[] = {{.fd = keeper.daemon_fd, .events = POLLIN},
			{.fd = keeper.signal_fd, .events = POLLIN},
			{.fd = keeper.state == SPAWNER_RUNNING ? keeper.control_fd : -1, .events = POLLIN}};

		(void)poll(pfds, 3, wait_ms(&keeper));
		if (pfds[1].revents != 0)
			reap(&keeper);
		if (keeper.state == SPAWNER_RUNNING)
			hear_spawner(&keeper);
		if (pfds[0].revents != 0)
			has_daemon = hear_daemon(&keeper);
		act(&keeper);
	}
	end_spawner(&keeper);
	_exit(0);
}
