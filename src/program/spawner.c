/* SPDX-License-Identifier: MIT */
/*
 * spawner.c - the daemon's end of the keeper: configs loaded as part of a transaction, spawners that took the place of
 * one that died, and which programs are still needed.
 *
 * Main thread, but for the main socket of the spawner that serves, by which every thread opens its channel
 * (spawner_channel.c), and the counting of what is in use. It waits for nothing but a config to be loaded.
 */
#include "config.h"

#include "program/spawner.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
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

/* For the keeper to read a config. */
#define LOAD_MS 15000

/* How often a digest is in use; the keeper is told when it is not any more. */
struct use {
	struct use *next;
	uint64_t digest;
	unsigned count;
	unsigned loads; /* by the keeper, each to be dropped */
};

static struct {
	struct cp_lock lock; /* LOCK_SPAWNER; guards main_fd and uses */
	int main_fd;         /* of the spawner that serves; -1: there is none */
	struct use *uses;

	/* Which one that is, counted. Written under the lock; relaxed: whoever has a name of its programs heard of it.
	 */
	atomic_uint serial;

	/* Main thread only. */
	bool has_begun;
	int keeper_fd;
	pid_t keeper_pid;
	struct loop *loop;
	struct watch watch;
	bool has_candidate;
	int candidate_fd; /* -1: the one that serves knows the programs */
	uint64_t candidate_digest;
} spawner = {.main_fd = -1, .keeper_fd = -1, .candidate_fd = -1};

/* ---- digests in use ---------------------------------------------------------------------- */

static void
tell_keeper(enum keeper_verb verb, uint64_t digest)
{
	struct keeper_request request = {.verb = verb, .digest = digest};

	/* Dropping one that can't be said now costs the keeper some memory, and nothing else. */
	(void)!wire_send(spawner.keeper_fd, &request, sizeof(request), NULL, 0);
}

static struct use **
find_use_locked(uint64_t digest)
{
	struct use **holder = &spawner.uses;

	lock_assert_held(&spawner.lock);
	while (*holder != NULL && (*holder)->digest != digest)
		holder = &(*holder)->next;
	return holder;
}

/* The keeper has loaded it. 0 or -ENOMEM. */
static int
add_use(uint64_t digest)
{
	struct use *fresh = mem_zalloc(sizeof(*fresh));
	struct use *use;

	if (fresh == NULL)
		return -ENOMEM;
	lock_acquire(&spawner.lock);
	use = *find_use_locked(digest);
	if (use == NULL) {
		use = fresh;
		*use = (struct use){.next = spawner.uses, .digest = digest};
		spawner.uses = use;
		fresh = NULL;
	}
	use->count++;
	use->loads++;
	lock_release(&spawner.lock);
	mem_free(fresh);
	return 0;
}

static void
drop_use(uint64_t digest)
{
	struct use **holder;
	struct use *over = NULL;

	lock_acquire(&spawner.lock);
	holder = find_use_locked(digest);
	if (*holder != NULL && --(*holder)->count == 0) {
		over = *holder;
		*holder = over->next;
	}
	lock_release(&spawner.lock);
	for (unsigned i = 0; over != NULL && i < over->loads; i++)
		tell_keeper(KEEPER_DROP, digest);
	mem_free(over);
}

struct program_name
program_name_ref(unsigned listener)
{
	struct program_name name = {.digest = spawner.candidate_digest, .listener = listener};

	CP_ASSERT(spawner.has_candidate && name.digest != 0);
	lock_acquire(&spawner.lock);
	/* The transaction has it in use already. */
	(*find_use_locked(name.digest))->count++;
	lock_release(&spawner.lock);
	return name;
}

void
program_name_unref(struct program_name *name)
{
	if (name->digest != 0)
		drop_use(name->digest);
	name->digest = 0;
}

/* ---- the keeper, main thread ----------------------------------------------------------------- */

int
spawner_begin(const char *conf_path, const struct conf_service_type *types)
{
	int fds[2];
	int rc = wire_pair(fds);
	pid_t pid;

	if (rc < 0)
		return rc;
	pid = fork();
	if (pid < 0) {
		rc = -errno;
		close(fds[0]);
		close(fds[1]);
		return rc;
	}
	if (pid == 0) {
		close(fds[0]);
		keeper_serve(fds[1], conf_path, types);
	}
	close(fds[1]);
	lock_init(&spawner.lock, LOCK_SPAWNER);
	spawner.has_begun = true;
	spawner.keeper_fd = fds[0];
	spawner.keeper_pid = pid;
	return 0;
}

/* Channels are opened by it from now on. Takes over fd. */
static void
set_main(int fd)
{
	int before;

	lock_acquire(&spawner.lock);
	before = spawner.main_fd;
	spawner.main_fd = fd;
	atomic_fetch_add_explicit(&spawner.serial, 1, memory_order_relaxed);
	lock_release(&spawner.lock);
	fd_close(&before);
}

static void
log_restart(const struct keeper_news *news)
{
	char how[64];

	if (WIFSIGNALED(news->died_status))
		snprintf(how, sizeof(how), "was ended by signal %d", WTERMSIG(news->died_status));
	else
		snprintf(how, sizeof(how), "ended with status %d", WEXITSTATUS(news->died_status));
	log_error(LOG_EVENT_SPAWNER_DIED,
		"the spawner (process %d) %s; %u programs were ended with it, process %d takes its place",
		(int)news->died_pid, how, news->ended, (int)news->pid);
}

/* One packet of the keeper's, a spawner's socket with it or -1. False: there is none now. */
static bool
hear_keeper(struct keeper_news *news, int *ret_fd)
{
	int fds[WIRE_FDS_MAX];
	unsigned fd_count;
	bool is_cut;
	ssize_t n = wire_receive(spawner.keeper_fd, news, sizeof(*news), MSG_DONTWAIT, fds, &fd_count, &is_cut);

	*ret_fd = fd_count > 0 ? fds[0] : -1;
	for (unsigned i = 1; i < fd_count; i++)
		close(fds[i]);
	if (n == (ssize_t)sizeof(*news))
		return true;
	fd_close(ret_fd);
	if (n == -EAGAIN)
		return false;
	log_error(LOG_EVENT_SPAWNER_DIED,
		"the keeper (process %d) is gone: a spawner that dies is not started again, nor are new programs taken "
		"from a config; restart connpoold",
		(int)spawner.keeper_pid);
	if (spawner.loop != NULL)
		loop_remove(spawner.loop, &spawner.watch, spawner.keeper_fd);
	spawner.loop = NULL;
	fd_close(&spawner.keeper_fd);
	(void)waitpid(spawner.keeper_pid, NULL, WNOHANG);
	return false;
}

static void
take_restarted(const struct keeper_news *news, int fd)
{
	log_restart(news);
	if (fd >= 0)
		set_main(fd);
}

static void
on_keeper(struct loop *loop, struct watch *watch, uint32_t events)
{
	struct keeper_news news;
	int fd;

	(void)loop;
	(void)watch;
	(void)events;
	if (!hear_keeper(&news, &fd))
		return;
	if (news.kind == KEEPER_RESTARTED)
		take_restarted(&news, fd);
	else
		fd_close(&fd);
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

/* 0, or -ETIMEDOUT, -ECONNRESET. */
static int
await_loaded(struct keeper_news *news, int *ret_fd)
{
	uint64_t until_ns = clock_now_ns() + LOAD_MS * CLOCK_NS_PER_MS;
	struct pollfd pfd = {.fd = spawner.keeper_fd, .events = POLLIN};

	for (;;) {
		uint64_t now_ns = clock_now_ns();

		if (hear_keeper(news, ret_fd)) {
			if (news->kind == KEEPER_LOADED)
				return 0;
			take_restarted(news, *ret_fd);
			continue;
		}
		if (spawner.keeper_fd < 0)
			return -ECONNRESET;
		if (now_ns >= until_ns)
			return -ETIMEDOUT;
		(void)poll(&pfd, 1, (int)((until_ns - now_ns) / CLOCK_NS_PER_MS) + 1);
	}
}

/* As spawner_prepare(), for a config that names programs. */
static int
load(uint64_t digest, struct errmsg *err)
{
	struct keeper_news news;
	int rc;

	if (spawner.keeper_fd < 0) {
		errmsg_set(err, "programs cannot be taken from the config: the keeper is gone");
		return -ECONNRESET;
	}
	tell_keeper(KEEPER_LOAD, 0);
	rc = await_loaded(&news, &spawner.candidate_fd);
	if (rc < 0) {
		errmsg_set(err, "the keeper did not load the config: %s", errmsg_errno(rc));
		return rc;
	}
	if (news.error != 0) {
		errmsg_set(err, "the keeper cannot load the config: %s", news.text.text);
		fd_close(&spawner.candidate_fd);
		return -news.error;
	}
	if (news.digest != digest || add_use(digest) < 0) {
		errmsg_set(err, "the programs that the config names were changed while it was read");
		tell_keeper(KEEPER_DROP, news.digest);
		fd_close(&spawner.candidate_fd);
		return -EAGAIN;
	}
	return 0;
}

int
spawner_prepare(const struct conf *conf, struct errmsg *err)
{
	uint64_t digest = program_digest(conf);
	int rc = 0;

	CP_ASSERT(!spawner.has_candidate);
	if (digest != 0 && !spawner.has_begun) {
		errmsg_set(err, "there is no spawner");
		return -ENOSYS;
	}
	if (digest != 0)
		rc = load(digest, err);
	if (rc == 0) {
		spawner.has_candidate = true;
		spawner.candidate_digest = digest;
	}
	return rc;
}

static void
end_transaction(void)
{
	spawner.has_candidate = false;
	if (spawner.candidate_digest != 0)
		drop_use(spawner.candidate_digest);
	spawner.candidate_digest = 0;
}

void
spawner_commit(void)
{
	if (!spawner.has_candidate)
		return;
	/* Without programs in the config the one that serves stays: connections that came before may need it yet. */
	if (spawner.candidate_digest != 0)
		tell_keeper(KEEPER_COMMIT, 0);
	if (spawner.candidate_fd >= 0)
		set_main(fd_take(&spawner.candidate_fd));
	end_transaction();
}

void
spawner_abandon(void)
{
	if (!spawner.has_candidate)
		return;
	fd_close(&spawner.candidate_fd);
	end_transaction();
}

void
spawner_end(void)
{
	if (!spawner.has_begun)
		return;
	channel_close_own();
	if (spawner.loop != NULL)
		loop_remove(spawner.loop, &spawner.watch, spawner.keeper_fd);
	spawner.loop = NULL;
	set_main(-1);
	if (spawner.keeper_fd >= 0) {
		fd_close(&spawner.keeper_fd);
		(void)waitpid(spawner.keeper_pid, NULL, 0);
	}
	while (spawner.uses != NULL) {
		struct use *use = spawner.uses;

		spawner.uses = use->next;
		mem_free(use);
	}
	lock_fini(&spawner.lock);
	spawner.has_begun = false;
}

unsigned
spawner_serial(void)
{
	return atomic_load_explicit(&spawner.serial, memory_order_relaxed);
}

int
spawner_open_channel(int *ret_fd, unsigned *ret_serial)
{
	int fds[2];
	char byte = 0;
	int rc = wire_pair(fds);

	if (rc < 0)
		return rc;
	lock_acquire(&spawner.lock);
	*ret_serial = spawner_serial();
	rc = spawner.main_fd >= 0 ? wire_send(spawner.main_fd, &byte, sizeof(byte), &fds[1], 1) : -EPIPE;
	lock_release(&spawner.lock);
	close(fds[1]);
	if (rc < 0)
		close(fds[0]);
	else
		*ret_fd = fds[0];
	return rc;
}
