/* SPDX-License-Identifier: MIT */
/*
 * spawner.c - the daemon's end of the keeper: configs loaded as part of a transaction, and which tables are still
 * needed; and the main socket, by which every thread opens its channel (spawner_channel.c).
 *
 * Main thread, but for that socket and the counting of what is in use.
 */
#include "config.h"

#include "program/spawner.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/errmsg.h"
#include "base/fdutil.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "engine/loop.h"
#include "program/spawner_wire.h"

/* For the keeper to answer; it has a bound of its own, which is less (spawner_load.c). */
#define LOAD_MS 25000u
/* At the end: for the keeper to end, and once more when it was killed. */
#define KEEPER_MS (KEEPER_END_MS + 1000)
#define KILLED_MS 1000

/* A table, and how often it is in use; the keeper is told when it is not any more. */
struct use {
	struct use *next;
	uint64_t table;
	unsigned count;
	unsigned loads; /* by the keeper, each to be dropped once count is 0 */
};

/*
 *   NONE -> ASKING   spawner_prepare_begin(), for a config that names programs
 *   NONE -> READY    the same, for one that does not
 *   ASKING -> READY  LOADED with our number has come
 *   ASKING -> NONE   it says that it has failed, or does not come; spawner_abandon()
 *   READY -> NONE    spawner_commit(), spawner_abandon()
 */
enum transaction_state { TRANSACTION_NONE, TRANSACTION_ASKING, TRANSACTION_READY };

static struct {
	struct cp_lock lock; /* LOCK_SPAWNER; guards keeper_fd and uses */
	int keeper_fd;       /* -1: it is gone */
	struct use *uses;

	int main_fd; /* from spawner_begin() to spawner_end(): read without the lock */

	/* Main thread only. */
	bool has_begun;
	pid_t keeper_pid;
	struct loop *loop; /* NULL: nobody watches yet */
	struct watch watch;
	struct timer deadline;
	enum transaction_state state;
	uint64_t number; /* of the last LOAD */
	uint64_t digest;
	uint64_t table; /* READY; 0: the config names no programs */
	spawner_ready_fn *ready;
	void *arg;
} spawner = {.main_fd = -1, .keeper_fd = -1};

/* ---- tables in use ------------------------------------------------------------------------ */

static int
tell_keeper_locked(enum keeper_verb verb, uint64_t value)
{
	struct keeper_request request = {.verb = verb, .number = value, .table = value};

	lock_assert_held(&spawner.lock);
	return spawner.keeper_fd >= 0 ? wire_send(spawner.keeper_fd, &request, sizeof(request), NULL, 0) : -EPIPE;
}

static struct use **
find_use_locked(uint64_t table)
{
	struct use **holder = &spawner.uses;

	lock_assert_held(&spawner.lock);
	while (*holder != NULL && (*holder)->table != table)
		holder = &(*holder)->next;
	return holder;
}

/* What can't be said now is said at the next occasion; the keeper has it in memory until then. */
static void
drop_unused_locked(void)
{
	struct use **holder = &spawner.uses;

	lock_assert_held(&spawner.lock);
	while (*holder != NULL) {
		struct use *use = *holder;

		while (use->count == 0 && use->loads > 0) {
			int rc = tell_keeper_locked(KEEPER_DROP, use->table);

			if (rc < 0 && !wire_is_over(rc))
				return;
			use->loads--;
		}
		if (use->count > 0) {
			holder = &use->next;
		} else {
			*holder = use->next;
			mem_free(use);
		}
	}
}

/* The keeper has loaded it, which is to be dropped when it is not used any more: also at once, when count is 0. */
static int
add_load(uint64_t table, unsigned count)
{
	struct use *fresh = mem_zalloc(sizeof(*fresh));
	struct use *use;

	lock_acquire(&spawner.lock);
	use = *find_use_locked(table);
	if (use == NULL && fresh != NULL) {
		use = fresh;
		*use = (struct use){.next = spawner.uses, .table = table};
		spawner.uses = use;
		fresh = NULL;
	}
	if (use != NULL) {
		use->loads++;
		use->count += count;
	} else {
		/* Should this fail as well, the keeper has it for good. */
		(void)tell_keeper_locked(KEEPER_DROP, table);
	}
	drop_unused_locked();
	lock_release(&spawner.lock);
	mem_free(fresh);
	return use != NULL ? 0 : -ENOMEM;
}

static void
drop_use(uint64_t table)
{
	struct use *use;

	lock_acquire(&spawner.lock);
	use = *find_use_locked(table);
	CP_ASSERT(use != NULL && use->count > 0);
	use->count--;
	drop_unused_locked();
	lock_release(&spawner.lock);
}

struct program_name
program_name_ref(unsigned listener)
{
	struct program_name name = {.table = spawner.table, .listener = listener};

	CP_ASSERT(spawner.state == TRANSACTION_READY && name.table != 0);
	lock_acquire(&spawner.lock);
	/* The transaction has it in use already. */
	(*find_use_locked(name.table))->count++;
	lock_release(&spawner.lock);
	return name;
}

void
program_name_unref(struct program_name *name)
{
	if (name->table != 0)
		drop_use(name->table);
	name->table = 0;
}

/* ---- a transaction ------------------------------------------------------------------------------- */

static void
end_transaction(void)
{
	uint64_t table = spawner.table;

	spawner.state = TRANSACTION_NONE;
	spawner.table = 0;
	if (spawner.loop != NULL)
		timer_clear(&spawner.loop->wheel, &spawner.deadline);
	if (table != 0)
		drop_use(table);
}

/* Of one that waits: what has become of it. */
static void
conclude(int rc, const struct errmsg *err)
{
	spawner_ready_fn *ready = spawner.ready;

	CP_ASSERT(spawner.state == TRANSACTION_ASKING);
	if (spawner.loop != NULL)
		timer_clear(&spawner.loop->wheel, &spawner.deadline);
	spawner.state = rc == 0 ? TRANSACTION_READY : TRANSACTION_NONE;
	ready(spawner.arg, rc, err);
}

static void
take_loaded(const struct keeper_news *news)
{
	struct errmsg err = {""};
	bool is_ours = spawner.state == TRANSACTION_ASKING && news->number == spawner.number;
	int rc = -news->error;

	if (rc < 0) {
		errmsg_set(&err, "the keeper cannot load the config: %s", news->text.text);
	} else if (is_ours && news->digest != spawner.digest) {
		(void)!add_load(news->table, 0);
		errmsg_set(&err, "the programs that the config names were changed while it was read");
		rc = -EAGAIN;
	} else {
		/* One that nobody waits for any more is given back. */
		rc = add_load(news->table, is_ours ? 1 : 0);
		errmsg_set(&err, "no memory");
	}
	if (!is_ours)
		return;
	if (rc == 0)
		spawner.table = news->table;
	conclude(rc, &err);
}

static void
on_deadline(struct timer *timer)
{
	struct errmsg err;

	(void)timer;
	errmsg_set(&err, "the keeper (process %d) did not answer within %u s", (int)spawner.keeper_pid, LOAD_MS / 1000);
	conclude(-ETIMEDOUT, &err);
}

/* ---- what the keeper says -------------------------------------------------------------------------- */

static void
log_death(const struct keeper_news *news)
{
	char how[64];
	const char *separator = news->text.text[0] != '\0' ? ": " : "";

	if (WIFSIGNALED(news->died_status))
		snprintf(how, sizeof(how), "was ended by signal %d", WTERMSIG(news->died_status));
	else
		snprintf(how, sizeof(how), "ended with status %d", WEXITSTATUS(news->died_status));
	if (news->kind == KEEPER_RESTARTED)
		log_error(LOG_EVENT_SPAWNER_DIED,
			"the spawner (process %d) %s%s%s; %u programs were ended with it, process %d takes its place",
			(int)news->died_pid, how, separator, news->text.text, news->ended, (int)news->pid);
	else
		log_error(LOG_EVENT_SPAWNER_DIED,
			"the spawner (process %d) %s; %u programs were ended with it%s%s, trying again every second",
			(int)news->died_pid, how, news->ended, separator, news->text.text);
}

static void
lose_keeper(void)
{
	int fd;

	log_error(LOG_EVENT_SPAWNER_DIED,
		"the keeper (process %d) is gone: a spawner that dies is not started again, nor are new programs taken "
		"from a config; restart connpoold",
		(int)spawner.keeper_pid);
	if (spawner.loop != NULL)
		loop_remove(spawner.loop, &spawner.watch, spawner.keeper_fd);
	lock_acquire(&spawner.lock);
	fd = fd_take(&spawner.keeper_fd);
	drop_unused_locked();
	lock_release(&spawner.lock);
	fd_close(&fd);
	(void)waitpid(spawner.keeper_pid, NULL, WNOHANG);
	if (spawner.state == TRANSACTION_ASKING) {
		struct errmsg err = {"the keeper is gone"};

		conclude(-ECONNRESET, &err);
	}
}

static void
hear_keeper(void)
{
	struct keeper_news news;
	int fds[WIRE_FDS_MAX];
	unsigned fd_count;
	bool is_cut;
	ssize_t n;

	while (spawner.keeper_fd >= 0) {
		n = wire_receive(spawner.keeper_fd, &news, sizeof(news), fds, &fd_count, &is_cut);
		if (wire_is_over(n)) {
			lose_keeper();
		} else if (n == (ssize_t)sizeof(news)) {
			if (news.kind == KEEPER_LOADED)
				take_loaded(&news);
			else
				log_death(&news);
		} else {
			return;
		}
	}
}

static void
on_keeper(struct loop *loop, struct watch *watch, uint32_t events)
{
	(void)loop;
	(void)watch;
	(void)events;
	hear_keeper();
}

/* ---- preparing -------------------------------------------------------------------------------------- */

int
spawner_prepare_begin(const struct conf *conf, spawner_ready_fn *ready, void *arg, struct errmsg *err)
{
	int rc;

	CP_ASSERT(spawner.state == TRANSACTION_NONE);
	spawner.digest = program_digest(conf);
	if (spawner.digest == 0) {
		spawner.state = TRANSACTION_READY;
		return 0;
	}
	if (!spawner.has_begun || spawner.keeper_fd < 0) {
		errmsg_set(err, "programs cannot be taken from the config: %s",
			spawner.has_begun ? "the keeper is gone" : "there is no spawner");
		return spawner.has_begun ? -ECONNRESET : -ENOSYS;
	}
	lock_acquire(&spawner.lock);
	drop_unused_locked();
	rc = tell_keeper_locked(KEEPER_LOAD, ++spawner.number);
	lock_release(&spawner.lock);
	if (rc < 0) {
		errmsg_set(err, "the keeper cannot be asked: %s", errmsg_errno(rc));
		return rc;
	}
	spawner.state = TRANSACTION_ASKING;
	spawner.ready = ready;
	spawner.arg = arg;
	spawner.deadline.fn = on_deadline;
	if (spawner.loop != NULL)
		timer_set(&spawner.loop->wheel, &spawner.deadline, loop_now_ms(spawner.loop) + LOAD_MS);
	return 1;
}

struct outcome {
	bool is_there;
	int rc;
	struct errmsg *err;
};

static void
note_outcome(void *arg, int rc, const struct errmsg *err)
{
	struct outcome *outcome = arg;

	outcome->is_there = true;
	outcome->rc = rc;
	*outcome->err = *err;
}

int
spawner_prepare(const struct conf *conf, struct errmsg *err)
{
	struct outcome outcome = {.err = err};
	uint64_t until_ns = clock_now_ns() + LOAD_MS * CLOCK_NS_PER_MS;
	int rc = spawner_prepare_begin(conf, note_outcome, &outcome, err);

	if (rc <= 0)
		return rc;
	while (!outcome.is_there) {
		struct pollfd pfd = {.fd = spawner.keeper_fd, .events = POLLIN};
		uint64_t now_ns = clock_now_ns();

		if (now_ns >= until_ns) {
			on_deadline(&spawner.deadline);
			break;
		}
		(void)poll(&pfd, 1, (int)((until_ns - now_ns) / CLOCK_NS_PER_MS) + 1);
		hear_keeper();
	}
	return outcome.rc;
}

void
spawner_commit(void)
{
	CP_ASSERT(spawner.state == TRANSACTION_READY);
	end_transaction();
}

void
spawner_abandon(void)
{
	end_transaction();
}

/* ---- life ------------------------------------------------------------------------------------------ */

static int
fork_keeper(int keeper_fds[2], int main_fds[2], const char *conf_path, const struct conf_service_type *types)
{
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		close(keeper_fds[0]);
		close(main_fds[0]);
		keeper_serve(keeper_fds[1], main_fds[1], conf_path, types);
	}
	return pid;
}

int
spawner_begin(const char *conf_path, const struct conf_service_type *types)
{
	int keeper_fds[2] = {-1, -1};
	int main_fds[2] = {-1, -1};
	int rc = wire_pair(keeper_fds);

	if (rc == 0)
		rc = wire_pair(main_fds);
	if (rc == 0)
		rc = fork_keeper(keeper_fds, main_fds, conf_path, types);
	fd_close(&keeper_fds[1]);
	fd_close(&main_fds[1]);
	if (rc < 0) {
		fd_close(&keeper_fds[0]);
		fd_close(&main_fds[0]);
		return rc;
	}
	lock_init(&spawner.lock, LOCK_SPAWNER);
	spawner.has_begun = true;
	spawner.keeper_fd = keeper_fds[0];
	spawner.main_fd = main_fds[0];
	spawner.keeper_pid = rc;
	return 0;
}

int
spawner_watch(struct loop *loop)
{
	int rc;

	spawner.watch.fn = on_keeper;
	rc = loop_add(loop, &spawner.watch, spawner.keeper_fd, EPOLLIN);
	if (rc == 0)
		spawner.loop = loop;
	return rc;
}

/* The other end of its socket is closed: no other process has that. */
static bool
keeper_ends_within(int ms)
{
	uint64_t until_ns = clock_now_ns() + (uint64_t)ms * CLOCK_NS_PER_MS;
	struct pollfd pfd = {.fd = spawner.keeper_fd};
	uint64_t now_ns;
	int rc = 0;

	while (rc <= 0 && (now_ns = clock_now_ns()) < until_ns)
		rc = poll(&pfd, 1, (int)((until_ns - now_ns) / CLOCK_NS_PER_MS) + 1);
	return rc > 0;
}

/* It hears the end of what it is told, and ends; its own end of the socket tells when. */
static void
end_keeper(void)
{
	bool has_ended;

	(void)shutdown(spawner.keeper_fd, SHUT_WR);
	has_ended = keeper_ends_within(KEEPER_MS);
	if (!has_ended) {
		(void)kill(spawner.keeper_pid, SIGKILL);
		has_ended = keeper_ends_within(KILLED_MS);
		log_error(LOG_EVENT_SPAWNER_DIED, "the keeper (process %d) did not end within %u s: %s",
			(int)spawner.keeper_pid, KEEPER_MS / 1000u,
			has_ended ? "it was killed" : "it was killed, and does not end");
	}
	(void)waitpid(spawner.keeper_pid, NULL, has_ended ? 0 : WNOHANG);
	fd_close(&spawner.keeper_fd);
}

void
spawner_end(void)
{
	if (!spawner.has_begun)
		return;
	end_transaction();
	channel_close_own();
	if (spawner.loop != NULL && spawner.keeper_fd >= 0)
		loop_remove(spawner.loop, &spawner.watch, spawner.keeper_fd);
	spawner.loop = NULL;
	fd_close(&spawner.main_fd);
	if (spawner.keeper_fd >= 0)
		end_keeper();
	while (spawner.uses != NULL) {
		struct use *use = spawner.uses;

		spawner.uses = use->next;
		mem_free(use);
	}
	lock_fini(&spawner.lock);
	spawner.has_begun = false;
}

int
spawner_open_channel(int *ret_fd)
{
	int fds[2];
	char byte = 0;
	int rc = wire_pair(fds);

	if (rc < 0)
		return rc;
	rc = wire_send(spawner.main_fd, &byte, sizeof(byte), &fds[1], 1);
	close(fds[1]);
	if (rc < 0)
		close(fds[0]);
	else
		*ret_fd = fds[0];
	return wire_is_over(rc) && rc < 0 ? -EPIPE : rc;
}
