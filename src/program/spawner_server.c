/* SPDX-License-Identifier: MIT */
/*
 * spawner_server.c - the spawner: takes requests off the channels, starts programs, reaps them, answers.
 *
 * One thread, one loop over epoll(7). It believes nothing that the daemon says but which listener's program is meant,
 * and for whom; a request that makes no sense is answered as one that failed. It never waits for the daemon: an answer
 * that a channel does not take is kept until it does.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/fdutil.h"
#include "base/list.h"
#include "base/mem.h"
#include "program/spawner_wire.h"

#define EVENTS_MAX 64
/* Of one line, before the others, and those that have ended, get their turn. */
#define REQUESTS_AT_ONCE 8
#define BUCKETS 4096u
/* An answer waits for others so long while there is always something else to do. */
#define ANSWER_WITHIN_NS CLOCK_NS_PER_MS

/* The daemon's thread has the other end of it. */
struct line {
	struct list link;
	int fd;
	unsigned running; /* programs that answer to it */
	struct spawner_answer *owed;
	unsigned owed_count;
	unsigned owed_room;
	struct list owing; /* in the server's: it is owed answers and takes them */
	bool is_full;      /* it took not all of them: EPOLLOUT tells when it does */
	bool is_closing;   /* it takes no more requests; gone when nothing runs */
	bool is_gone;      /* the thread has closed its end */
};

/* A program that runs; its place in the array is that in the table. */
struct running {
	uint32_t next; /* in its bucket, or among the free; 0: none, else index + 1 */
	pid_t pid;
	struct line *line;
	uint64_t id;
};

struct server {
	int epoll_fd;
	int main_fd; /* -1: the daemon has closed it */
	int signal_fd;
	int null_fd;
	const struct cookbook *cookbooks;
	struct spawner_table *table;
	struct list lines;
	struct list owing; /* of struct line */
	uint64_t owing_since_ns;
	struct running *programs;
	uint32_t used; /* of the array, ever */
	uint32_t free; /* as running.next */
	uint32_t buckets[BUCKETS];
	bool wants_sweep; /* some line may be over */
};

/* ---- programs that run ------------------------------------------------------------------- */

static struct running *
add_running(struct server *server, pid_t pid, struct line *line, uint64_t id)
{
	uint32_t index = server->free;
	struct running *program;
	uint32_t *bucket = &server->buckets[(uint32_t)pid % BUCKETS];

	if (index != 0)
		server->free = server->programs[index - 1].next;
	else
		index = ++server->used;
	program = &server->programs[index - 1];
	*program = (struct running){.next = *bucket, .pid = pid, .line = line, .id = id};
	*bucket = index;
	atomic_store(&server->table->pids[index - 1], pid);
	line->running++;
	return program;
}

static bool
has_place(const struct server *server)
{
	return server->free != 0 || server->used < SPAWNER_PROGRAMS_MAX;
}

/* Takes it out; false: there is none of that pid. */
static bool
take_running(struct server *server, pid_t pid, struct running *ret_program)
{
	uint32_t *holder = &server->buckets[(uint32_t)pid % BUCKETS];

	while (*holder != 0) {
		uint32_t index = *holder;
		struct running *program = &server->programs[index - 1];

		if (program->pid == pid) {
			*ret_program = *program;
			*holder = program->next;
			atomic_store(&server->table->pids[index - 1], 0);
			*program = (struct running){.next = server->free};
			server->free = index;
			return true;
		}
		holder = &program->next;
	}
	return false;
}

/* Those of a line; of these the one with that id when wants_id. */
static void
signal_running(const struct server *server, const struct line *line, bool wants_id, uint64_t id, int number)
{
	for (uint32_t i = 0; line->running > 0 && i < server->used; i++) {
		const struct running *program = &server->programs[i];

		if (program->pid > 0 && program->line == line && (!wants_id || program->id == id))
			(void)kill(-program->pid, number);
	}
}

/* ---- answers --------------------------------------------------------------------------------- */

static void
watch_line(struct server *server, struct line *line)
{
	struct epoll_event event = {.data.ptr = line};

	if (line->is_gone)
		return;
	event.events = (line->is_closing ? 0 : (uint32_t)EPOLLIN) | (line->is_full ? (uint32_t)EPOLLOUT : 0);
	(void)epoll_ctl(server->epoll_fd, EPOLL_CTL_MOD, line->fd, &event);
}

static void
send_owed(struct server *server, struct line *line)
{
	bool was_full = line->is_full;
	unsigned sent = line->is_gone ? line->owed_count : 0;

	list_remove(&line->owing);
	line->is_full = false;
	while (sent < line->owed_count && !line->is_full) {
		unsigned count = line->owed_count - sent;

		if (count > SPAWNER_ANSWERS_MAX)
			count = SPAWNER_ANSWERS_MAX;
		line->is_full =
			wire_send(line->fd, line->owed + sent, count * sizeof(line->owed[0]), NULL, 0) == -EAGAIN;
		if (!line->is_full)
			sent += count;
	}
	line->owed_count -= sent;
	if (line->owed_count > 0)
		memmove(line->owed, line->owed + sent, line->owed_count * sizeof(line->owed[0]));
	server->wants_sweep = server->wants_sweep || line->is_closing;
	if (line->is_full != was_full)
		watch_line(server, line);
}

/*
 * Sent when there is nothing else to do, soon in any case: while programs begin and end faster than the daemon hears of
 * it, it is woken once for many of them.
 */
static void
answer(struct server *server, struct line *line, const struct spawner_answer *message)
{
	if (line->is_gone)
		return;
	if (line->owed_count == line->owed_room) {
		unsigned room = line->owed_room + SPAWNER_ANSWERS_MAX;
		struct spawner_answer *owed = mem_realloc_array(line->owed, room, sizeof(owed[0]));

		/*
		 * Who waits for it would wait for ever. So the keeper starts another spawner, and ends what ran under
		 * this one.
		 */
		if (owed == NULL)
			_exit(1);
		line->owed = owed;
		line->owed_room = room;
	}
	line->owed[line->owed_count++] = *message;
	if (line->is_full)
		return;
	if (line->owed_count == SPAWNER_ANSWERS_MAX) {
		send_owed(server, line);
		return;
	}
	if (list_is_empty(&server->owing))
		server->owing_since_ns = clock_now_ns();
	if (!list_is_linked(&line->owing))
		list_push_back(&server->owing, &line->owing);
}

static bool
is_late(const struct server *server)
{
	return !list_is_empty(&server->owing) && clock_now_ns() - server->owing_since_ns > ANSWER_WITHIN_NS;
}

static void
send_all_owed(struct server *server)
{
	while (!list_is_empty(&server->owing))
		send_owed(server, CP_CONTAINER_OF(server->owing.next, struct line, owing));
}

static void
answer_failed(struct server *server, struct line *line, uint64_t id, enum program_step step, int error)
{
	struct spawner_answer message = {
		.id = id, .result = {.how = PROGRAM_NOT_STARTED, .step = step, .error = error}};

	answer(server, line, &message);
}

/* ---- lines -------------------------------------------------------------------------------------- */

static void
free_line(struct line **holder)
{
	struct line *line = *holder;

	*holder = NULL;
	list_remove(&line->link);
	list_remove(&line->owing);
	fd_close(&line->fd);
	mem_free(line->owed);
	mem_free(line);
}

/* Nobody is there to be told any more: what still runs for it ends. */
static void
lose_line(struct server *server, struct line *line)
{
	line->is_gone = true;
	server->wants_sweep = true;
	(void)epoll_ctl(server->epoll_fd, EPOLL_CTL_DEL, line->fd, NULL);
	signal_running(server, line, false, 0, SIGKILL);
	send_owed(server, line);
}

static void
open_line(struct server *server, int fd)
{
	struct line *line = mem_zalloc(sizeof(*line));
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = line};

	if (line == NULL || epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		mem_free(line);
		close(fd);
		return;
	}
	line->fd = fd;
	list_push_back(&server->lines, &line->link);
}

/* The thread that still sends by it learns at once that it has to open another one: nothing it sent is lost. */
static void
begin_closing(struct line *line)
{
	(void)shutdown(line->fd, SHUT_RD);
}

/* ---- starting --------------------------------------------------------------------------------------- */

static const struct recipe *
find_recipe(const struct server *server, const struct spawner_request *request)
{
	for (const struct cookbook *cookbook = server->cookbooks; cookbook != NULL; cookbook = cookbook->next) {
		if (cookbook->digest == request->digest)
			return request->listener < cookbook->count ? cookbook->recipes[request->listener] : NULL;
	}
	return NULL;
}

static char **
complete_environment(const struct recipe *recipe, const struct client_environment *client)
{
	/* There is room behind the recipe's own (make_environment in spawner_recipe.c). */
	memcpy(recipe->environment + recipe->environment_count, client->items,
		client->count * sizeof(client->items[0]));
	recipe->environment[recipe->environment_count + client->count] = NULL;
	return recipe->environment;
}

static bool
pick_streams(const struct server *server, const struct spawner_request *request, const int *fds, unsigned fd_count,
	struct launch *launch)
{
	for (unsigned i = 0; i < 3; i++) {
		if (request->streams[i] >= 0 && (unsigned)request->streams[i] >= fd_count)
			return false;
		launch->fds[i] = request->streams[i] < 0 ? server->null_fd : fds[request->streams[i]];
	}
	return !request->has_client || fd_count > 0;
}

static void
start(struct server *server, struct line *line, const struct spawner_request *request, const int *fds,
	unsigned fd_count, bool is_cut)
{
	struct client_environment client = {.count = 0};
	struct launch launch = {.recipe = find_recipe(server, request)};
	pid_t pid;

	if (is_cut || launch.recipe == NULL || !has_place(server) ||
		!pick_streams(server, request, fds, fd_count, &launch)) {
		int error = is_cut ? EMFILE : launch.recipe == NULL ? ENOENT : has_place(server) ? EINVAL : EAGAIN;

		answer_failed(server, line, request->id, PROGRAM_STEP_REQUEST, error);
		return;
	}
	if (request->has_client)
		client_environment_make(&client, &request->peer, launch.fds[0]);
	launch.environment = complete_environment(launch.recipe, &client);
	pid = launch_run(&launch);
	if (pid < 0) {
		answer_failed(server, line, request->id, PROGRAM_STEP_PROCESS, -pid);
		return;
	}
	if (launch.error != 0) {
		(void)waitpid(pid, NULL, 0);
		answer_failed(server, line, request->id, (enum program_step)launch.step, launch.error);
		return;
	}
	(void)add_running(server, pid, line, request->id);
}

/* True: there may be another one. */
static bool
take_request(struct server *server, struct line *line, uint32_t events)
{
	struct spawner_request request;
	int fds[WIRE_FDS_MAX];
	unsigned fd_count;
	bool is_cut;
	ssize_t n = wire_receive(line->fd, &request, sizeof(request), MSG_DONTWAIT, fds, &fd_count, &is_cut);

	if (n == (ssize_t)sizeof(request) && request.verb == SPAWNER_START) {
		start(server, line, &request, fds, fd_count, is_cut);
	} else if (n == (ssize_t)sizeof(request) && request.verb == SPAWNER_SIGNAL) {
		signal_running(server, line, true, request.id, (int)request.signal);
	} else if (n == 0 && server->main_fd < 0 && (events & EPOLLHUP) == 0) {
		/* Everything that was sent before the end that begin_closing() made has been read. */
		line->is_closing = true;
		server->wants_sweep = true;
		watch_line(server, line);
	} else if (n != -EAGAIN) {
		lose_line(server, line);
	}
	for (unsigned i = 0; i < fd_count; i++)
		close(fds[i]);
	return n > 0;
}

static void
on_line(struct server *server, struct line *line, uint32_t events)
{
	if ((events & EPOLLOUT) != 0)
		send_owed(server, line);
	if ((events & EPOLLIN) != 0) {
		for (int i = 0; i < REQUESTS_AT_ONCE && !line->is_gone && take_request(server, line, events); i++)
			;
	} else if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
		lose_line(server, line);
	}
}

static void
on_main(struct server *server)
{
	int fds[WIRE_FDS_MAX];
	unsigned fd_count;
	bool is_cut;
	char byte;
	ssize_t n = wire_receive(server->main_fd, &byte, sizeof(byte), MSG_DONTWAIT, fds, &fd_count, &is_cut);
	struct list *link;
	struct list *following;

	for (unsigned i = 0; i < fd_count; i++)
		open_line(server, fds[i]);
	if (n > 0 || n == -EAGAIN)
		return;
	/* The daemon has another spawner by now, or has ended. */
	fd_close(&server->main_fd);
	LIST_FOREACH (&server->lines, link, following)
		begin_closing(CP_CONTAINER_OF(link, struct line, link));
}

/* ---- reaping ------------------------------------------------------------------------------------------ */

static uint64_t
usec_of(const struct timeval *time)
{
	return (uint64_t)time->tv_sec * 1000000u + (uint64_t)time->tv_usec;
}

static void
report_end(struct server *server, const struct running *program, int status, const struct rusage *usage)
{
	struct spawner_answer message = {.id = program->id,
		.result = {.pid = program->pid,
			.cpu_usec = usec_of(&usage->ru_utime) + usec_of(&usage->ru_stime),
			.memory_peak_bytes = (uint64_t)usage->ru_maxrss * 1024u}};

	if (WIFSIGNALED(status)) {
		message.result.how = PROGRAM_SIGNALLED;
		message.result.status = WTERMSIG(status);
		message.result.dumped_core = WCOREDUMP(status);
	} else {
		message.result.how = PROGRAM_EXITED;
		message.result.status = WEXITSTATUS(status);
	}
	answer(server, program->line, &message);
	program->line->running--;
	server->wants_sweep = server->wants_sweep || program->line->is_gone || program->line->is_closing;
}

static void
reap(struct server *server)
{
	struct signalfd_siginfo info;
	siginfo_t child;

	(void)!read(server->signal_fd, &info, sizeof(info));
	for (;;) {
		struct running program;
		struct rusage usage;
		int status;

		child.si_pid = 0;
		if (waitid(P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT) < 0 || child.si_pid == 0)
			return;
		/* Before it is reaped: until then nobody else's group can have its number. */
		(void)kill(-child.si_pid, SIGKILL);
		if (wait4(child.si_pid, &status, 0, &usage) < 0)
			return;
		if (take_running(server, child.si_pid, &program))
			report_end(server, &program, status, &usage);
	}
}

/* ---- life --------------------------------------------------------------------------------------------------- */

static void
watch(struct server *server, int fd, void *what)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};

	CP_ASSERT(epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0);
}

static void
open_server(struct server *server)
{
	sigset_t child;

	list_init(&server->lines);
	list_init(&server->owing);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	server->signal_fd = signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
	server->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	server->programs = mmap(NULL, SPAWNER_PROGRAMS_MAX * sizeof(server->programs[0]), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CP_ASSERT(server->epoll_fd >= 0 && server->signal_fd >= 0 && server->null_fd >= 0 &&
		  server->programs != MAP_FAILED);
	watch(server, server->signal_fd, &server->signal_fd);
	watch(server, server->main_fd, &server->main_fd);
}

/* Not while events of the same batch may still name them. */
static void
sweep_lines(struct server *server)
{
	struct list *link;
	struct list *following;

	server->wants_sweep = false;
	LIST_FOREACH (&server->lines, link, following) {
		struct line *line = CP_CONTAINER_OF(link, struct line, link);

		if (line->running == 0 && (line->is_gone || (line->is_closing && line->owed_count == 0)))
			free_line(&line);
	}
}

void
spawner_serve(int main_fd, const struct cookbook *cookbooks, struct spawner_table *table)
{
	static struct server server;

	server = (struct server){.main_fd = main_fd, .cookbooks = cookbooks, .table = table};
	open_server(&server);
	launch_init();
	/* After launch_init(), which leaves no signal but with its default action. */
	(void)!fault_install("connpoold: spawner");
	while (server.main_fd >= 0 || !list_is_empty(&server.lines)) {
		struct epoll_event events[EVENTS_MAX];
		int count = epoll_wait(server.epoll_fd, events, EVENTS_MAX, list_is_empty(&server.owing) ? -1 : 0);

		for (int i = 0; i < count; i++) {
			if (events[i].data.ptr == &server.signal_fd)
				reap(&server);
			else if (events[i].data.ptr == &server.main_fd)
				on_main(&server);
			else
				on_line(&server, events[i].data.ptr, events[i].events);
		}
		if (count <= 0 || is_late(&server))
			send_all_owed(&server);
		if (server.wants_sweep)
			sweep_lines(&server);
	}
	_exit(0);
}
