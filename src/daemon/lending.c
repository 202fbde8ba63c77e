/* SPDX-License-Identifier: MIT */
/*
 * lending.c - which program has which listening socket, and when it is started again.
 *
 * Nothing is ever given up: a program that fails is started again for the clients that wait, after a pause that grows.
 */
#include "config.h"

#include "daemon/lending.h"

#include <errno.h>
#include <sys/ioctl.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "daemon/daemon.h"
#include "net/acceptor.h"
#include "net/listener.h"
#include "net/socket.h"
#include "service/exec_wait.h"

/* From one start to the next at least: a program that ends at once, and leaves its client where it is, starts often. */
#define START_INTERVAL_MS 20u
/* After a failure; twice as long after each further one, unless it had run for so long. */
#define PAUSE_FIRST_MS 100u
#define PAUSE_MAX_MS 10000u

struct lease {
	struct list link; /* in the daemon's, while a program runs that was told to end; else in none */
	struct daemon *daemon;
	struct listen_socket *socket; /* NULL: it is lent no more, and the program is to end */
	struct exec_wait run;
	struct timer pause;
	uint64_t pause_ms; /* the last one after a failure; 0: there was none */
};

static void
free_lease(struct lease **holder)
{
	struct lease *lease = *holder;

	*holder = NULL;
	CP_ASSERT(!exec_wait_is_running(&lease->run));
	if (list_is_linked(&lease->link))
		list_remove(&lease->link);
	timer_clear(&lease->daemon->loop.wheel, &lease->pause);
	mem_free(lease);
}

/* ---- from one run to the next -------------------------------------------------------- */

static void
on_pause_over(struct timer *timer)
{
	struct lease *lease = CP_CONTAINER_OF(timer, struct lease, pause);

	acceptor_take_back(&lease->daemon->acceptor, lease->socket);
}

static uint64_t
pause_after(struct lease *lease, uint64_t ran_ms)
{
	const struct program_result *result = &lease->run.program.result;

	if (result->how == PROGRAM_EXITED && result->status == 0) {
		lease->pause_ms = 0;
		return ran_ms < START_INTERVAL_MS ? START_INTERVAL_MS - ran_ms : 0;
	}
	if (lease->pause_ms == 0 || ran_ms > PAUSE_MAX_MS)
		lease->pause_ms = PAUSE_FIRST_MS;
	else
		lease->pause_ms = lease->pause_ms * 2 < PAUSE_MAX_MS ? lease->pause_ms * 2 : PAUSE_MAX_MS;
	return lease->pause_ms;
}

/* It is nobody's now, and the next client's program after a while. */
static void
end_run(struct lease *lease)
{
	const struct loop *loop = &lease->daemon->loop;
	uint64_t ran_ms = (loop->now_ns - lease->run.started_ns) / CLOCK_NS_PER_MS;

	timer_set(&lease->daemon->loop.wheel, &lease->pause, loop_now_ms(loop) + pause_after(lease, ran_ms));
}

static void
on_over(struct exec_wait *run)
{
	struct lease *lease = CP_CONTAINER_OF(run, struct lease, run);
	struct daemon *daemon = lease->daemon;

	if (lease->socket != NULL) {
		end_run(lease);
		return;
	}
	free_lease(&lease);
	/* A stop may have waited for it. */
	atomic_store(&daemon->worker_ended, true);
}

void
lending_begin(struct listen_socket *socket)
{
	struct lease *lease = socket->lease;

	if (exec_wait_start(&lease->run, &lease->daemon->loop, socket->listener->route, socket->fd) < 0)
		end_run(lease);
}

/* ---- life ------------------------------------------------------------------------------ */

int
lending_prepare(struct daemon *daemon, struct listen_socket *socket)
{
	struct lease *lease;

	if (socket->lease != NULL)
		return 0;
	lease = mem_zalloc(sizeof(*lease));
	if (lease == NULL)
		return -ENOMEM;
	list_init(&lease->link);
	lease->daemon = daemon;
	lease->socket = socket;
	lease->run.over = on_over;
	lease->pause.fn = on_pause_over;
	socket->lease = lease;
	return 0;
}

void
lending_end(struct listen_socket *socket)
{
	struct lease *lease = socket->lease;

	if (lease == NULL)
		return;
	socket->lease = NULL;
	socket->is_lent = false;
	lease->socket = NULL;
	timer_clear(&lease->daemon->loop.wheel, &lease->pause);
	if (!exec_wait_is_running(&lease->run)) {
		free_lease(&lease);
		return;
	}
	list_push_back(&lease->daemon->ending_leases, &lease->link);
	exec_wait_end(&lease->run);
}

void
lending_renew(struct listen_socket *socket)
{
	struct lease *lease = socket->lease;

	if (!timer_is_set(&lease->pause))
		return;
	timer_clear(&lease->daemon->loop.wheel, &lease->pause);
	lease->pause_ms = 0;
	on_pause_over(&lease->pause);
}

void
lending_take_back(struct listen_socket *socket)
{
	int non_blocking = 1;

	if (socket->lease == NULL)
		return;
	lending_end(socket);
	/* Programs want it otherwise; an acceptor must never wait in accept(2). */
	(void)ioctl(socket->fd, FIONBIO, &non_blocking);
}

void
lending_kill(struct daemon *daemon)
{
	struct list *link;
	struct list *following;

	LIST_FOREACH (&daemon->ending_leases, link, following)
		exec_wait_kill(&CP_CONTAINER_OF(link, struct lease, link)->run);
}
