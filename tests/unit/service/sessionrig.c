/* SPDX-License-Identifier: MIT */
/*
 * sessionrig.c - see sessionrig.h. On the test's one thread.
 */
#include "config.h"

#include "sessionrig.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "base/mem.h"
#include "net/admission.h"
#include "net/route.h"

#define SERVED_MAX 64
#define STACK_BYTES (256 * 1024)
#define TURNS_SOME 20

struct sched rig_sched;

/* Those that have begun, so that the one callback there is finds them. */
static struct served *all[SERVED_MAX];
static unsigned count;

/* ---- set-up ---------------------------------------------------------------------- */

/* What the worker does, and a note of it. */
static void
on_done(struct sched *sched, void *task)
{
	struct session *session = task;

	ck_assert_ptr_eq(sched, &rig_sched);
	ck_assert_int_eq(session->state, SESSION_OVER);
	for (unsigned i = 0; i < count; i++) {
		struct served *served = all[i];

		if (served->session != session)
			continue;
		ck_assert(!served->is_over);
		served->is_over = true;
		served->session = NULL;
		served->end = (enum conn_end)session->conn.end;
		served->bytes_in = session->conn.bytes_in;
		served->bytes_out = session->conn.bytes_out;
		conn_close(&session->conn, sched->loop.now_ns);
		mem_free(session);
		return;
	}
	ck_abort_msg("a session that nobody began is over");
}

static void
set_up(void)
{
	count = 0;
	memset(&rig_sched, 0, sizeof(rig_sched));
	rig_sched.done = on_done;
	ck_assert_int_eq(loop_init(&rig_sched.loop, NULL, NULL), 0);
	rig_sched.fibers = fiber_pool_new(STACK_BYTES, 4, "main");
	ck_assert_ptr_nonnull(rig_sched.fibers);
}

static void
tear_down(void)
{
	for (unsigned i = 0; i < count; i++) {
		ck_assert_msg(all[i]->is_over, "a session is left over");
		fd_close(&all[i]->client);
	}
	ck_assert_uint_eq(atomic_load(&rig_sched.lingering), 0);
	ck_assert_uint_eq(atomic_load(&rig_sched.busy_since_ns), 0);
	ck_assert_uint_eq(fiber_pool_busy(rig_sched.fibers), 0);
	ck_assert(list_is_empty(&rig_sched.loop.tasks));
	ck_assert_msg(timer_wheel_next_ms(&rig_sched.loop.wheel) == UINT64_MAX, "a timer is left over");
	fiber_pool_free(&rig_sched.fibers);
	relay_pool_fini(&rig_sched.relays);
	loop_fini(&rig_sched.loop);
}

TCase *
rig_case(Suite *suite, const char *name)
{
	TCase *tc = fixture_case(suite, name);

	tcase_add_checked_fixture(tc, set_up, tear_down);
	return tc;
}

/* ---- serving -------------------------------------------------------------------------- */

void
served_begin_on(struct served *served, int fd, int client)
{
	struct session *session = mem_zalloc(sizeof(*session));
	struct accepted accepted;

	ck_assert_ptr_nonnull(session);
	ck_assert_uint_lt(count, SERVED_MAX);
	*served = (struct served){.session = session, .client = client};
	all[count++] = served;
	fixture_accept(&accepted, fd, NULL);
	ck_assert_int_eq(admission_decide(&accepted, UINT64_MAX), CONN_END_NONE);
	loop_update_now(&rig_sched.loop);
	conn_open(&session->conn, &accepted, 0, rig_sched.loop.now_ns);
	session_start(&rig_sched, &session->conn);
}

void
served_begin(struct served *served)
{
	int ends[2];

	fixture_unix_pair(ends);
	served_begin_on(served, ends[0], ends[1]);
}

void
served_begin_tcp(struct served *served)
{
	int ends[2];

	fixture_tcp_pair(ends);
	served_begin_on(served, ends[0], ends[1]);
}

void
served_open(struct served *served, const struct cp_handler *handler, const char *options)
{
	fixture_open("", options, handler);
	served_begin(served);
}

void
served_send(const struct served *served, const char *text)
{
	ck_assert_int_eq(send(served->client, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

void
served_close(struct served *served)
{
	fd_close(&served->client);
}

void
served_reset(struct served *served)
{
	struct linger reset = {.l_onoff = 1};

	ck_assert_int_eq(setsockopt(served->client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	fd_close(&served->client);
}

void
served_close_and_finish(struct served *served)
{
	served_close(served);
	rig_turn_some();
	rig_pass_ms(LINGER_GLANCE_MS);
	served_finish(served);
}

void
served_cancel(struct served *served)
{
	session_cancel(&rig_sched, &served->session->conn, CONN_END_DRAIN);
}

ssize_t
served_read(const struct served *served, char *buf, size_t size)
{
	ssize_t n = recv(served->client, buf, size, MSG_DONTWAIT);

	return n < 0 ? -errno : n;
}

void
served_expect(const struct served *served, const char *text)
{
	char buf[8192];
	ssize_t n = served_read(served, buf, sizeof(buf) - 1);

	ck_assert_int_ge(n, 0);
	buf[n] = '\0';
	ck_assert_str_eq(buf, text);
}

enum session_state
served_state(const struct served *served)
{
	return served->is_over ? SESSION_OVER : (enum session_state)served->session->state;
}

void
served_expect_end(const struct served *served, enum conn_end end)
{
	ck_assert_msg(served->is_over, "it is not over, its state is %d", (int)served_state(served));
	ck_assert_str_eq(conn_end_word(served->end), conn_end_word(end));
}

static bool
is_over(void *arg)
{
	return ((struct served *)arg)->is_over;
}

void
served_finish(struct served *served)
{
	fixture_turn_until(&rig_sched.loop, is_over, served);
}

/* ---- turning --------------------------------------------------------------------------- */

void
rig_turn(void)
{
	fixture_turn(&rig_sched.loop);
}

void
rig_turn_some(void)
{
	for (int i = 0; i < TURNS_SOME; i++)
		rig_turn();
}

void
rig_pass_ms(uint64_t ms)
{
	fixture_advance_ms(ms);
	rig_turn_some();
}
