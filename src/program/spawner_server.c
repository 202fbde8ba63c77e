/* SPDX-License-Identifier: MIT */
/*
 * spawner_server.c - the spawner: takes requests off the channels, starts programs, reaps them, answers.
 *
 * One thread, one loop over epoll(7). It believes nothing that the daemon says but which listener's program is meant,
 * and for whom; a request that makes no sense is answered as one that failed. It waits for nobody: neither for the
 * daemon to take an answer, nor for a child to become the program.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "program/spawner_launch.h"
#include "program/spawner_line.h"
#include "program/spawner_recipe.h"
#include "program/spawner_wire.h"

#define EVENTS_MAX 64
/* Of one line, before the others, and those that have ended, get their turn. */
#define REQUESTS_AT_ONCE 8
#define BUCKETS 4096u
#define LAUNCH_NS (PROGRAM_START_S * CLOCK_NS_PER_S)
/* Slots that are looked at in one turn: those in front have had the longest time to be over. */
#define LAUNCHES_AT_ONCE 8

/* While there is no memory to take a message. */
#define HELD_MS 5

/* epoll's data; that of a line is its id. */
enum { EVENT_SIGNAL = 1, EVENT_MAIN, EVENT_CONTROL };

/* A table, as long as the keeper says that it is needed and a child may read it. */
struct table {
	struct list link;
	uint64_t number;
	unsigned launches; /* slots that refer to it */
	bool is_forgotten;
	struct recipe_table *recipes;
};

/* A program that runs; its place in the array is that in the shared one. */
struct running {
	uint32_t next; /* in its bucket, or among the free; 0: none, else index + 1 */
	pid_t pid;
	struct line *line;
	struct launch *launch; /* until it has become the program, or was reaped */
	uint64_t id;
	bool is_late;
};

struct server {
	int epoll_fd;
	int main_fd;    /* -1: the daemon has closed it */
	int control_fd; /* -1: the keeper is gone */
	int signal_fd;
	int null_fd;
	struct spawner_shared *shared;
	struct list tables; /* of struct table */
	struct lines lines;
	struct list launches; /* of struct launch: in the order that they began */
	struct running *programs;
	uint32_t used; /* of the array, ever */
	uint32_t free; /* as running.next */
	uint32_t buckets[BUCKETS];
	bool is_held; /* messages were left where they are for want of memory */
	bool owes_control;
	struct control_answer control_answer; /* owed to the keeper */
};

/* ---- tables --------------------------------------------------------------------------------- */

static struct table *
find_table(const struct server *server, uint64_t number)
{
	for (struct list *link = server->tables.next; link != &server->tables; link = link->next) {
		struct table *table = CP_CONTAINER_OF(link, struct table, link);

		if (table->number == number && !table->is_forgotten)
			return table;
	}
	return NULL;
}

/* 0 or -errno. fd stays the caller's. */
static int
add_table(struct server *server, uint64_t number, int fd)
{
	struct table *table = mem_zalloc(sizeof(*table));

	if (table == NULL)
		return -ENOMEM;
	table->number = number;
	table->recipes = recipe_table_map(fd);
	if (table->recipes == NULL) {
		mem_free(table);
		return -errno;
	}
	list_push_back(&server->tables, &table->link);
	return 0;
}

static void
free_table_if_over(struct table *table)
{
	if (!table->is_forgotten || table->launches > 0)
		return;
	list_remove(&table->link);
	recipe_table_unmap(&table->recipes);
	mem_free(table);
}

/* ---- programs that run ------------------------------------------------------------------- */

/* A place; NULL: there are too many. */
static struct running *
take_place(struct server *server)
{
	uint32_t index = server->free;

	if (index != 0)
		server->free = server->programs[index - 1].next;
	else if (server->used < SPAWNER_PROGRAMS_MAX)
		index = ++server->used;
	else
		return NULL;
	server->programs[index - 1] = (struct running){.next = 0};
	return &server->programs[index - 1];
}

static uint32_t
index_of(const struct server *server, const struct running *program)
{
	return (uint32_t)(program - server->programs);
}

static void
give_back_place(struct server *server, struct running *program)
{
	*program = (struct running){.next = server->free};
	server->free = index_of(server, program) + 1;
}

static uint32_t *
bucket_of(struct server *server, pid_t pid)
{
	return &server->buckets[(uint32_t)pid % BUCKETS];
}

/* NULL: there is none of that pid. */
static struct running *
find_running(struct server *server, pid_t pid)
{
	uint32_t index = *bucket_of(server, pid);

	while (index != 0 && server->programs[index - 1].pid != pid)
		index = server->programs[index - 1].next;
	return index != 0 ? &server->programs[index - 1] : NULL;
}

static void
add_running(struct server *server, struct running *program)
{
	uint32_t *bucket = bucket_of(server, program->pid);

	program->next = *bucket;
	*bucket = index_of(server, program) + 1;
	program->line->running++;
}

static void
remove_running(struct server *server, struct running *program)
{
	uint32_t *holder = bucket_of(server, program->pid);

	while (*holder != index_of(server, program) + 1)
		holder = &server->programs[*holder - 1].next;
	*holder = program->next;
	program->line->running--;
	give_back_place(server, program);
}

/* Its group, and itself wherever it is: a program may join the group of one of its children. */
static void
signal_program(const struct running *program, int number)
{
	/* It may not have come so far as to lead a group of its own. */
	if (program->launch != NULL)
		(void)setpgid(program->pid, program->pid);
	(void)kill(-program->pid, number);
	/* Some take a second one for more than the first; of SIGKILL there is no such thing, nor a moment to leave. */
	if (number == SIGKILL || getpgid(program->pid) != program->pid)
		(void)kill(program->pid, number);
}

/* Those of a line; of these the one with that id when wants_id. */
static void
signal_running(const struct server *server, const struct line *line, bool wants_id, uint64_t id, int number)
{
	for (uint32_t i = 0; line->running > 0 && i < server->used; i++) {
		const struct running *program = &server->programs[i];

		if (program->pid > 0 && program->line == line && (!wants_id || program->id == id))
			signal_program(program, number);
	}
}

static void
lose_line(struct server *server, struct line *line)
{
	lines_lose(&server->lines, line);
	signal_running(server, line, false, 0, SIGKILL);
}

/* ---- slots ------------------------------------------------------------------------------------ */

static void
free_launch(struct launch **holder)
{
	struct table *table = (*holder)->table;

	list_remove(&(*holder)->link);
	launch_put(holder);
	table->launches--;
	free_table_if_over(table);
}

/* True: it needs no more looking at. */
static bool
look_at_launch(struct server *server, struct launch *launch, uint64_t now_ns)
{
	struct running *program = &server->programs[launch->program];
	struct program_result unused;

	if (launch_is_over(launch)) {
		if (launch_has_failed(launch, &unused)) {
			/* Read again when it is reaped. */
			list_remove(&launch->link);
		} else {
			program->launch = NULL;
			free_launch(&launch);
		}
		return true;
	}
	if (now_ns - launch->begun_ns < LAUNCH_NS)
		return false;
	/* Stopped or not, that ends it; its slot is free once it is reaped. */
	program->is_late = true;
	(void)kill(program->pid, SIGKILL);
	list_remove(&launch->link);
	return true;
}

/* How long until some start is late; -1: for ever. */
static int
look_at_launches(struct server *server)
{
	uint64_t now_ns;
	struct list *link;
	struct list *following;
	int count = 0;

	if (list_is_empty(&server->launches))
		return -1;
	now_ns = clock_now_ns();
	LIST_FOREACH (&server->launches, link, following) {
		struct launch *launch = CP_CONTAINER_OF(link, struct launch, link);

		if (!look_at_launch(server, launch, now_ns) && ++count == LAUNCHES_AT_ONCE)
			break;
	}
	if (list_is_empty(&server->launches))
		return -1;
	return (int)((CP_CONTAINER_OF(server->launches.next, struct launch, link)->begun_ns + LAUNCH_NS - now_ns) /
		       CLOCK_NS_PER_MS) +
	       1;
}

/* ---- starting --------------------------------------------------------------------------------------- */

static void
answer_failed(struct server *server, struct line *line, uint64_t id, enum program_step step, int error)
{
	struct spawner_answer message = {
		.id = id, .result = {.how = PROGRAM_NOT_STARTED, .step = step, .error = error}};

	lines_answer(&server->lines, line, &message);
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

/* 0, or -errno of a request that can't be fulfilled; the slot is as good as free then. */
static int
fill_launch(struct server *server, struct launch *launch, const struct spawner_request *request, const int *fds,
	unsigned fd_count)
{
	struct table *table = find_table(server, request->table);

	launch->client.count = 0;
	launch->recipe = table != NULL ? recipe_table_find(table->recipes, request->listener) : NULL;
	if (launch->recipe == NULL)
		return -ENOENT;
	if (!pick_streams(server, request, fds, fd_count, launch))
		return -EINVAL;
	if (request->has_client)
		client_environment_make(&launch->client, &request->peer, launch->fds[0]);
	launch->table = table;
	return 0;
}

static int
begin_program(struct server *server, struct line *line, uint64_t id, struct launch *launch)
{
	struct running *program = take_place(server);
	_Atomic int32_t *pid;
	int rc;

	if (program == NULL)
		return -EAGAIN;
	launch->program = index_of(server, program);
	pid = &server->shared->pids[launch->program];
	rc = launch_begin(launch, pid);
	if (rc < 0) {
		give_back_place(server, program);
		return rc;
	}
	*program = (struct running){.pid = atomic_load(pid), .line = line, .launch = launch, .id = id};
	((struct table *)launch->table)->launches++;
	list_push_back(&server->launches, &launch->link);
	add_running(server, program);
	return 0;
}

static void
start(struct server *server, struct line *line, const struct spawner_request *request, const int *fds,
	unsigned fd_count, bool is_cut)
{
	struct launch *launch = launch_get();
	enum program_step step = PROGRAM_STEP_REQUEST;
	int rc = launch == NULL ? -ENOMEM : is_cut ? -EMFILE : fill_launch(server, launch, request, fds, fd_count);

	if (rc == 0) {
		step = PROGRAM_STEP_PROCESS;
		rc = begin_program(server, line, request->id, launch);
	}
	if (rc == 0)
		return;
	answer_failed(server, line, request->id, step, -rc);
	if (launch != NULL)
		launch_put(&launch);
}

/* True: there may be another one. */
static bool
take_request(struct server *server, struct line *line)
{
	struct spawner_request request;
	int fds[WIRE_FDS_MAX];
	unsigned fd_count;
	bool is_cut;
	ssize_t n;

	/* Without a place for its answer it stays where it is. */
	if (!lines_reserve(&server->lines, line)) {
		server->is_held = true;
		return false;
	}
	n = wire_receive(line->fd, &request, sizeof(request), fds, &fd_count, &is_cut);
	if (n == (ssize_t)sizeof(request) && request.verb == SPAWNER_START)
		start(server, line, &request, fds, fd_count, is_cut);
	else if (n == (ssize_t)sizeof(request) && request.verb == SPAWNER_SIGNAL)
		signal_running(server, line, true, request.id, (int)request.signal);
	else if (n > 0 || n == -EBADMSG || wire_is_over(n))
		lose_line(server, line);
	else if (n != -EAGAIN)
		server->is_held = true;
	for (unsigned i = 0; i < fd_count; i++)
		close(fds[i]);
	return n > 0;
}

static void
on_line(struct server *server, uint64_t id, uint32_t events)
{
	struct line *line = lines_find(&server->lines, id);

	if (line == NULL)
		return;
	/* One that takes no answers and has ended says so when it is sent some. */
	if ((events & ~(uint32_t)EPOLLIN) != 0)
		lines_resume(&server->lines, line);
	/* Requests that were sent before the end are read before it: the end is what recvmsg(2) says. */
	for (int i = 0; i < REQUESTS_AT_ONCE && lines_takes_requests(line) && take_request(server, line); i++)
		;
}

/* ---- the daemon's main socket, the keeper ----------------------------------------------------------- */

static void
on_main(struct server *server)
{
	int fds[WIRE_FDS_MAX];
	unsigned fd_count;
	bool is_cut;
	char byte;
	ssize_t n = wire_receive(server->main_fd, &byte, sizeof(byte), fds, &fd_count, &is_cut);

	/* One that was cut off has been closed by the kernel: the daemon finds that out, and opens another channel. */
	for (unsigned i = 0; i < fd_count; i++)
		lines_open(&server->lines, fds[i]);
	if (wire_is_over(n))
		wire_unwatch(server->epoll_fd, &server->main_fd);
	else if (n < 0 && n != -EAGAIN && n != -EBADMSG)
		server->is_held = true;
}

static void
forget_table(struct server *server, uint64_t number)
{
	struct table *table = find_table(server, number);

	if (table == NULL)
		return;
	table->is_forgotten = true;
	free_table_if_over(table);
}

/* What is refused is sent again; until it is taken there is no next question. */
static void
answer_control(struct server *server)
{
	int rc;

	if (!server->owes_control)
		return;
	rc = wire_send(server->control_fd, &server->control_answer, sizeof(server->control_answer), NULL, 0);
	server->owes_control = rc < 0 && !wire_is_over(rc);
}

static void
take_control(struct server *server, const struct control_request *request, const int *fds, unsigned fd_count)
{
	struct control_answer answer = {.number = request->number};

	if (request->verb == CONTROL_FORGET) {
		forget_table(server, request->table);
		return;
	}
	if (request->verb == CONTROL_TABLE)
		answer.error = fd_count == 1 ? -add_table(server, request->table, fds[0]) : EMFILE;
	server->control_answer = answer;
	server->owes_control = true;
	answer_control(server);
}

static void
on_control(struct server *server)
{
	struct control_request request;
	int fds[WIRE_FDS_MAX];
	unsigned fd_count;
	bool is_cut;
	ssize_t n;

	answer_control(server);
	if (server->owes_control) {
		server->is_held = true;
		return;
	}
	n = wire_receive(server->control_fd, &request, sizeof(request), fds, &fd_count, &is_cut);
	if (n == (ssize_t)sizeof(request)) {
		take_control(server, &request, fds, fd_count);
	} else if (wire_is_over(n)) {
		/* Programs go on without it, and so does whoever has the table. */
		wire_unwatch(server->epoll_fd, &server->control_fd);
	} else if (n < 0 && n != -EAGAIN) {
		server->is_held = true;
	}
	for (unsigned i = 0; i < fd_count; i++)
		close(fds[i]);
}

/* ---- reaping ------------------------------------------------------------------------------------------ */

static uint64_t
usec_of(const struct timeval *time)
{
	return (uint64_t)time->tv_sec * 1000000u + (uint64_t)time->tv_usec;
}

static void
set_result(struct program_result *result, const struct running *program, int status, const struct rusage *usage)
{
	if (program->launch != NULL && launch_has_failed(program->launch, result))
		return;
	if (program->launch != NULL && program->is_late) {
		*result = (struct program_result){
			.how = PROGRAM_NOT_STARTED, .step = PROGRAM_STEP_LATE, .error = ETIMEDOUT};
		return;
	}
	result->pid = program->pid;
	result->cpu_usec = usec_of(&usage->ru_utime) + usec_of(&usage->ru_stime);
	result->memory_peak_bytes = (uint64_t)usage->ru_maxrss * 1024u;
	if (WIFSIGNALED(status)) {
		result->how = PROGRAM_SIGNALLED;
		result->status = WTERMSIG(status);
		result->dumped_core = WCOREDUMP(status);
	} else {
		result->how = PROGRAM_EXITED;
		result->status = WEXITSTATUS(status);
	}
}

static void
end_running(struct server *server, struct running *program, int status, const struct rusage *usage)
{
	struct spawner_answer message = {.id = program->id};
	struct line *line = program->line;

	if (program->launch != NULL)
		launch_note_reaped(program->launch);
	set_result(&message.result, program, status, usage);
	if (program->launch != NULL)
		free_launch(&program->launch);
	remove_running(server, program);
	lines_answer(&server->lines, line, &message);
}

static void
reap(struct server *server)
{
	struct signalfd_siginfo info;
	siginfo_t child;

	(void)!read(server->signal_fd, &info, sizeof(info));
	for (;;) {
		struct running *program;
		struct rusage usage;
		int status;

		child.si_pid = 0;
		if (waitid(P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT) < 0 || child.si_pid == 0)
			return;
		/* Before it is reaped: until then nobody else's group can have its number. */
		(void)kill(-child.si_pid, SIGKILL);
		program = find_running(server, child.si_pid);
		if (program != NULL)
			atomic_store(&server->shared->pids[index_of(server, program)], 0);
		if (wait4(child.si_pid, &status, 0, &usage) < 0)
			return;
		if (program != NULL)
			end_running(server, program, status, &usage);
	}
}

/* ---- life --------------------------------------------------------------------------------------------------- */

/* The keeper says so in the daemon's log, and starts another one. */
static void give_up(struct spawner_shared *shared, const char *what) CP_NORETURN;

static void
give_up(struct spawner_shared *shared, const char *what)
{
	errmsg_set(&shared->why, "%s: %s", what, errmsg_errno(errno));
	_exit(1);
}

static void
watch(struct server *server, int fd, uint64_t what)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = what};

	if (epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		give_up(server->shared, "epoll_ctl");
}

static void
open_server(struct server *server)
{
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (server->epoll_fd < 0)
		give_up(server->shared, "epoll_create1");
	server->signal_fd = signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
	if (server->signal_fd < 0)
		give_up(server->shared, "signalfd");
	server->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (server->null_fd < 0)
		give_up(server->shared, "/dev/null");
	server->programs = mmap(NULL, SPAWNER_PROGRAMS_MAX * sizeof(server->programs[0]), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (server->programs == MAP_FAILED)
		give_up(server->shared, "mmap");
	watch(server, server->signal_fd, EVENT_SIGNAL);
	watch(server, server->main_fd, EVENT_MAIN);
	watch(server, server->control_fd, EVENT_CONTROL);
	lines_init(&server->lines, server->epoll_fd);
}

/* Those that the keeper has; their descriptors are its own, and of no more use here. */
static void
take_tables(struct server *server, const struct list *kept_tables)
{
	for (struct list *link = kept_tables->next; link != kept_tables; link = link->next) {
		struct kept_table *kept = CP_CONTAINER_OF(link, struct kept_table, link);

		if (add_table(server, kept->number, kept->fd) < 0)
			give_up(server->shared, "cannot map its programs");
		fd_close(&kept->fd);
	}
}

static void
take_event(struct server *server, const struct epoll_event *event)
{
	if (event->data.u64 == EVENT_SIGNAL)
		reap(server);
	else if (event->data.u64 == EVENT_MAIN)
		on_main(server);
	else if (event->data.u64 == EVENT_CONTROL)
		on_control(server);
	else
		on_line(server, event->data.u64, event->events);
}

/* How long to wait for the next event, when there is nothing to do meanwhile. */
static int
wait_ms(struct server *server)
{
	int launch_ms = look_at_launches(server);

	if (!list_is_empty(&server->lines.owing))
		return 0;
	if ((server->lines.wants_retry || server->owes_control) && (launch_ms < 0 || launch_ms > WIRE_RETRY_MS))
		return WIRE_RETRY_MS;
	return launch_ms;
}

void
spawner_serve(int main_fd, int control_fd, const struct list *kept_tables, struct spawner_shared *shared)
{
	static struct server server;

	server = (struct server){.main_fd = main_fd, .control_fd = control_fd, .shared = shared};
	list_init(&server.tables);
	list_init(&server.launches);
	open_server(&server);
	take_tables(&server, kept_tables);
	launch_init();
	/* After launch_init(), which leaves no signal but with its default action. */
	(void)!fault_install("connpoold: spawner");
	/* Who finds it by this name finds one whose end is explained. */
	(void)prctl(PR_SET_NAME, "cp-spawner");
	while (server.main_fd >= 0 || !list_is_empty(&server.lines.items)) {
		struct epoll_event events[EVENTS_MAX];
		int count = epoll_wait(server.epoll_fd, events, EVENTS_MAX, wait_ms(&server));

		for (int i = 0; i < count; i++)
			take_event(&server, &events[i]);
		lines_flush(&server.lines, count <= 0);
		if (server.lines.wants_retry)
			lines_retry(&server.lines);
		answer_control(&server);
		lines_sweep(&server.lines);
		/* What was left where it is comes again at once: epoll is level-triggered. */
		if (server.is_held)
			(void)poll(NULL, 0, HELD_MS);
		server.is_held = false;
	}
	_exit(0);
}
