/* SPDX-License-Identifier: MIT */
/*
 * spawner_load.c - configs as the keeper sees them: read by a process of its own, kept as tables.
 *
 * Reading one asks name services, which may take as long as they like or take the process down: so it is neither the
 * keeper's work, which watches the spawner meanwhile, nor the spawner's. What that process has found it writes to a
 * file in memory; the keeper looks at its size and its bytes, and at nothing in it.
 */
#include "config.h"

#include "program/spawner_load.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "conf/load.h"
#include "program/spawner_recipe.h"

/* For a config to be read, and for the spawner to have it. */
#define LOAD_S 15u

/* ---- the process that reads ------------------------------------------------------------------ */

struct loader_answer {
	int32_t error;
	uint64_t digest;
	struct errmsg text;
};

static int
read_conf(const struct load *load, int table_fd, struct loader_answer *answer)
{
	struct conf_errors errors = {0};
	struct conf *conf = conf_load(load->conf_path, load->types, &errors);
	struct cookbook *cookbook;
	int rc;

	if (conf == NULL) {
		errmsg_set(&answer->text, "%s", errors.count > 0 ? errors.items[0].text : "no memory");
		return -EINVAL;
	}
	cookbook = cookbook_new(conf, &answer->text);
	if (cookbook == NULL)
		return -ENOENT;
	answer->digest = cookbook->digest;
	rc = recipe_table_write(cookbook, table_fd);
	if (rc < 0)
		errmsg_set(&answer->text, "cannot write its programs: %s", errmsg_errno(rc));
	return rc;
}

static void read_and_answer(const struct load *load, int answer_fd, int table_fd) CP_NORETURN;

static void
read_and_answer(const struct load *load, int answer_fd, int table_fd)
{
	struct loader_answer answer = {0};

	(void)prctl(PR_SET_NAME, "cp-loader");
	fault_set_process("connpoold: loader");
	/* It may ask for long, and is not to be found by whoever waits for an end of ours. */
	for (int i = 0; load->not_for_loader[i] != NULL; i++)
		fd_close(load->not_for_loader[i]);
	answer.error = -read_conf(load, table_fd, &answer);
	_exit(wire_send(answer_fd, &answer, sizeof(answer), NULL, 0) < 0 ? 1 : 0);
}

/* ---- tables ------------------------------------------------------------------------------------- */

struct kept_table *
load_find_table(struct load *load, uint64_t number)
{
	for (struct list *link = load->tables.next; link != &load->tables; link = link->next) {
		struct kept_table *table = CP_CONTAINER_OF(link, struct kept_table, link);

		if (table->number == number)
			return table;
	}
	return NULL;
}

bool
load_needs_table(const struct kept_table *table)
{
	return table->told > 0 || table->held > 0;
}

void
load_drop_table(struct load *load, uint64_t number)
{
	struct kept_table *table = load_find_table(load, number);

	if (table != NULL && table->told > 0)
		table->told--;
}

void
load_free_table(struct kept_table **holder)
{
	struct kept_table *table = *holder;

	*holder = NULL;
	list_remove(&table->link);
	fd_close(&table->fd);
	mem_free(table);
}

static bool
has_same_bytes(int a, int b)
{
	struct stat st_a;
	struct stat st_b;
	void *bytes_a;
	void *bytes_b;
	bool is_same = false;

	if (fstat(a, &st_a) < 0 || fstat(b, &st_b) < 0 || st_a.st_size != st_b.st_size || st_a.st_size == 0)
		return false;
	bytes_a = mmap(NULL, (size_t)st_a.st_size, PROT_READ, MAP_PRIVATE, a, 0);
	bytes_b = mmap(NULL, (size_t)st_b.st_size, PROT_READ, MAP_PRIVATE, b, 0);
	if (bytes_a != MAP_FAILED && bytes_b != MAP_FAILED)
		is_same = memcmp(bytes_a, bytes_b, (size_t)st_a.st_size) == 0;
	if (bytes_a != MAP_FAILED)
		(void)munmap(bytes_a, (size_t)st_a.st_size);
	if (bytes_b != MAP_FAILED)
		(void)munmap(bytes_b, (size_t)st_b.st_size);
	return is_same;
}

/* The table of these bytes, held once more; a new one takes over *fd. NULL: no memory. */
static struct kept_table *
keep_table(struct load *load, int *fd, uint64_t digest)
{
	struct kept_table *table;

	for (struct list *link = load->tables.next; link != &load->tables; link = link->next) {
		table = CP_CONTAINER_OF(link, struct kept_table, link);
		if (has_same_bytes(table->fd, *fd)) {
			table->held++;
			return table;
		}
	}
	table = mem_zalloc(sizeof(*table));
	if (table == NULL)
		return NULL;
	/* Nobody changes it from now on, by whatever descriptor. */
	(void)fcntl(*fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	table->number = ++load->last_number;
	table->digest = digest;
	table->fd = fd_take(fd);
	table->held = 1;
	list_push_back(&load->tables, &table->link);
	return table;
}

/* ---- a load ----------------------------------------------------------------------------------------- */

void
load_init(struct load *load, const char *conf_path, const struct conf_service_type *types, int *const *not_for_loader)
{
	*load = (struct load){.conf_path = conf_path,
		.types = types,
		.not_for_loader = not_for_loader,
		.answer_fd = -1,
		.table_fd = -1};
	list_init(&load->tables);
}

/* Whatever it had come to. */
static void
reset(struct load *load)
{
	/* It is reaped as any other one is, and nobody asks what it was. */
	if (load->state == LOAD_READING && load->pid > 0)
		(void)kill(load->pid, SIGKILL);
	if (load->table != NULL)
		load->table->held--;
	load->table = NULL;
	load->pid = 0;
	fd_close(&load->answer_fd);
	fd_close(&load->table_fd);
	load->state = LOAD_NONE;
}

void
load_fail(struct load *load, int error, struct keeper_news *ret_news)
{
	ret_news->kind = KEEPER_LOADED;
	ret_news->number = load->number;
	ret_news->error = error;
	reset(load);
}

void
load_finish(struct load *load, struct keeper_news *ret_news)
{
	CP_ASSERT(load->state == LOAD_HANDING);
	*ret_news = (struct keeper_news){.kind = KEEPER_LOADED,
		.number = load->number,
		.digest = load->table->digest,
		.table = load->table->number};
	/* It is the daemon's now, too, and only the daemon's once this load is over. */
	load->table->told++;
	reset(load);
}

int
load_begin(struct load *load, uint64_t number)
{
	int fds[2] = {-1, -1};
	int rc;

	reset(load);
	load->number = number;
	load->table_fd = memfd_create("connpoold-programs", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (load->table_fd < 0)
		return -errno;
	rc = wire_pair(fds);
	if (rc < 0)
		return rc;
	load->pid = fork();
	if (load->pid == 0) {
		close(fds[0]);
		read_and_answer(load, fds[1], load->table_fd);
	}
	rc = load->pid < 0 ? -errno : 0;
	close(fds[1]);
	if (rc < 0) {
		load->pid = 0;
		close(fds[0]);
		return rc;
	}
	load->answer_fd = fds[0];
	load->state = LOAD_READING;
	load->until_ns = clock_now_ns() + LOAD_S * CLOCK_NS_PER_S;
	return 0;
}

bool
load_is_late(struct load *load, struct keeper_news *ret_news)
{
	if (load->state == LOAD_NONE || clock_now_ns() < load->until_ns)
		return false;
	errmsg_set(&ret_news->text, "%s within %u s",
		load->state == LOAD_READING ? "users and groups that it names were not found out"
					    : "the spawner did not take its programs",
		LOAD_S);
	load_fail(load, ETIMEDOUT, ret_news);
	return true;
}

int
load_wait_ms(const struct load *load)
{
	uint64_t now_ns;

	if (load->state == LOAD_NONE)
		return -1;
	now_ns = clock_now_ns();
	return load->until_ns <= now_ns ? 0 : (int)((load->until_ns - now_ns) / CLOCK_NS_PER_MS) + 1;
}

static void
describe_end(struct errmsg *err, int status)
{
	if (WIFSIGNALED(status))
		errmsg_set(err, "the process that read it was ended by signal %d", WTERMSIG(status));
	else
		errmsg_set(err, "the process that read it ended with status %d", WEXITSTATUS(status));
}

bool
load_on_reaped(struct load *load, pid_t pid, int status, struct keeper_news *ret_news)
{
	struct loader_answer answer;
	int fds[WIRE_FDS_MAX];
	unsigned fd_count;
	bool is_cut;

	if (load->state != LOAD_READING || load->pid != pid)
		return true;
	load->pid = 0;
	if (wire_receive(load->answer_fd, &answer, sizeof(answer), fds, &fd_count, &is_cut) !=
		(ssize_t)sizeof(answer)) {
		describe_end(&ret_news->text, status);
		load_fail(load, ECHILD, ret_news);
		return false;
	}
	ret_news->text = answer.text;
	if (answer.error == 0) {
		load->table = keep_table(load, &load->table_fd, answer.digest);
		if (load->table == NULL) {
			answer.error = ENOMEM;
			errmsg_set(&ret_news->text, "no memory");
		}
	}
	if (answer.error != 0) {
		load_fail(load, answer.error, ret_news);
		return false;
	}
	load->state = LOAD_HANDING;
	return true;
}
