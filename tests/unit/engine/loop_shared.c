/* SPDX-License-Identifier: MIT */
/*
 * loop_shared.c - of test_loop: descriptors that others hold too, or that a handler closes (STALE EVENTS in loop.h).
 */
#include "config.h"

#include "loop_shared.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "base/mem.h"
#include "engine/loop.h"
#include "tests/unit/base/aborts.h"

static struct loop loop;

static void
set_up(void)
{
	ck_assert_int_eq(loop_init(&loop, NULL, NULL), 0);
}

static void
tear_down(void)
{
	mem_fail_after(0);
	loop_fini(&loop);
}

static void
turn(int max_wait_ms)
{
	ck_assert_int_eq(loop_turn(&loop, max_wait_ms), 0);
}

struct source {
	struct watch watch;
	int fd;
	unsigned calls;
};

static void
on_ready(struct loop *self, struct watch *watch, uint32_t events)
{
	(void)self;
	(void)events;
	CP_CONTAINER_OF(watch, struct source, watch)->calls++;
}

static void
open_source(struct source *source, uint32_t events)
{
	*source = (struct source){ .watch.fn = on_ready, .fd = fd_new_event() };
	ck_assert_int_ge(source->fd, 0);
	ck_assert_int_eq(loop_add(&loop, &source->watch, source->fd, events), 0);
}

START_TEST(what_an_old_watch_left_in_the_set_reaches_nobody)
{
	struct source *old = calloc(1, sizeof(*old));
	struct source next;
	int shared;

	ck_assert_ptr_nonnull(old);
	open_source(old, EPOLLIN | EPOLLET);
	shared = dup(old->fd);
	loop_forget(&loop, &old->watch);
	fd_close(&old->fd);
	free(old);
	/* It gets the slot. */
	open_source(&next, EPOLLIN | EPOLLET);
	fd_signal_event(shared);
	turn(-1);
	ck_assert_uint_eq(next.calls, 0);
	ck_assert_uint_eq(loop.stale_events, 1);
	fd_signal_event(next.fd);
	turn(-1);
	ck_assert_uint_eq(next.calls, 1);
	fd_close(&next.fd);
	fd_close(&shared);
}
END_TEST

START_TEST(a_removed_descriptor_that_others_hold_is_not_reported)
{
	struct source source;
	int shared;

	open_source(&source, EPOLLIN);
	shared = dup(source.fd);
	loop_remove(&loop, &source.watch, source.fd);
	fd_close(&source.fd);
	fd_signal_event(shared);
	turn(0);
	ck_assert_uint_eq(source.calls, 0);
	ck_assert_uint_eq(loop.stale_events, 0);
	fd_close(&shared);
}
END_TEST

START_TEST(a_descriptor_that_a_handler_has_closed_can_be_removed)
{
	struct source source;
	int other;

	open_source(&source, EPOLLIN | EPOLLONESHOT);
	/* Its number is a file's now, which no epoll set takes. */
	other = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(dup3(other, source.fd, O_CLOEXEC), source.fd);
	loop_remove(&loop, &source.watch, source.fd);
	fd_close(&source.fd);
	open_source(&source, EPOLLIN | EPOLLONESHOT);
	fd_close(&source.fd);
	loop_remove(&loop, &source.watch, source.fd);
	turn(0);
	ck_assert_uint_eq(source.calls, 0);
	fd_close(&other);
}
END_TEST

static void
forget_source(void *arg)
{
	loop_forget(&loop, &((struct source *)arg)->watch);
}

/* Left in the set it would wake the loop for ever. */
START_TEST(a_level_triggered_descriptor_is_not_just_forgotten)
{
	struct source source;

	open_source(&source, EPOLLIN);
	ck_assert(aborts_saying(forget_source, &source, "not true: !watch->is_level"));
	fd_close(&source.fd);
}
END_TEST

START_TEST(slots_are_used_again)
{
	struct source source;
	uint32_t slots;

	open_source(&source, EPOLLIN | EPOLLET);
	slots = loop.slot_count;
	for (unsigned i = 0; i < 10 * slots; i++) {
		loop_forget(&loop, &source.watch);
		fd_close(&source.fd);
		open_source(&source, EPOLLIN | EPOLLET);
	}
	ck_assert_uint_eq(loop.slot_count, slots);
	fd_signal_event(source.fd);
	turn(-1);
	ck_assert_uint_eq(source.calls, 1);
	fd_close(&source.fd);
}
END_TEST

START_TEST(without_memory_for_a_slot_nothing_is_added)
{
	static struct source sources[LOOP_EVENTS_MAX];
	unsigned count = 0;

	while (loop.free_slot != 0)
		open_source(&sources[count++], EPOLLIN | EPOLLET);
	sources[count] = (struct source){ .watch.fn = on_ready, .fd = fd_new_event() };
	mem_fail_after(1);
	ck_assert_int_eq(loop_add(&loop, &sources[count].watch, sources[count].fd, EPOLLIN), -ENOMEM);
	mem_fail_after(0);
	ck_assert_int_eq(loop_add(&loop, &sources[count].watch, sources[count].fd, EPOLLIN | EPOLLET), 0);
	for (unsigned i = 0; i <= count; i++) {
		fd_signal_event(sources[i].fd);
		turn(-1);
		ck_assert_uint_eq(sources[i].calls, 1);
		fd_close(&sources[i].fd);
	}
}
END_TEST

TCase *
loop_shared_case(void)
{
	TCase *tcase = tcase_create("shared");

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, what_an_old_watch_left_in_the_set_reaches_nobody);
	tcase_add_test(tcase, a_removed_descriptor_that_others_hold_is_not_reported);
	tcase_add_test(tcase, a_descriptor_that_a_handler_has_closed_can_be_removed);
	tcase_add_test(tcase, a_level_triggered_descriptor_is_not_just_forgotten);
	tcase_add_test(tcase, slots_are_used_again);
	tcase_add_test(tcase, without_memory_for_a_slot_nothing_is_added);
	return tcase;
}
