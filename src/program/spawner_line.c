/* SPDX-License-Identifier: MIT */
/*
 * spawner_line.c - the spawner's ends of the channels, and the answers that are owed by them.
 *
 * Each answer has its place before its request is taken, so that no shortage loses one; what a socket refuses, for
 * whatever reason, is kept until it is taken or the line is gone. epoll's data is a number and no pointer: a descriptor
 * that a child holds, too, keeps its entry in the set for as long, whatever becomes of the line.
 */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "program/spawner_line.h"
#include "program/spawner_wire.h"

/* An answer waits for others so long while there is always something else to do. */
#define ANSWER_WITHIN_NS CLOCK_NS_PER_MS
/* Of answers that were refused for want of memory; until there are fewer it gets nothing more to do. */
#define OWED_MAX 1024u
/* Below are the server's own. */
#define FIRST_ID 16u

void
lines_init(struct lines *lines, int epoll_fd)
{
	*lines = (struct lines){.epoll_fd = epoll_fd, .last_id = FIRST_ID};
	list_init(&lines->items);
	list_init(&lines->owing);
}

struct line *
lines_find(const struct lines *lines, uint64_t id)
{
	for (struct list *link = lines->items.next; link != &lines->items; link = link->next) {
		struct line *line = CP_CONTAINER_OF(link, struct line, link);

		if (line->id == id && !line->is_gone)
			return line;
	}
	return NULL;
}

/* ---- answers --------------------------------------------------------------------------------- */

bool
lines_takes_requests(const struct line *line)
{
	return !line->is_gone && !line->is_full && line->owed_count < OWED_MAX;
}

/* Its end is always heard of. */
static void
watch_line(const struct lines *lines, struct line *line)
{
	struct epoll_event event = {.data.u64 = line->id};

	if (lines_takes_requests(line))
		event.events |= EPOLLIN;
	if (line->is_full)
		event.events |= EPOLLOUT;
	if (!line->is_gone && line->events != event.events &&
		epoll_ctl(lines->epoll_fd, EPOLL_CTL_MOD, line->fd, &event) == 0)
		line->events = event.events;
}

/* How many of them were taken. */
static unsigned
send_some(struct lines *lines, struct line *line)
{
	unsigned sent = 0;

	while (sent < line->owed_count && !line->is_full && !line->is_gone) {
		unsigned count = line->owed_count - sent;
		int rc;

		if (count > SPAWNER_ANSWERS_MAX)
			count = SPAWNER_ANSWERS_MAX;
		rc = wire_send(line->fd, line->owed + sent, count * sizeof(line->owed[0]), NULL, 0);
		if (rc == 0) {
			sent += count;
		} else if (wire_is_over(rc)) {
			lines_lose(lines, line);
		} else if (rc == -EAGAIN) {
			line->is_full = true;
		} else {
			lines->wants_retry = true;
			break;
		}
	}
	return sent;
}

static void
send_owed(struct lines *lines, struct line *line)
{
	unsigned sent;

	list_remove(&line->owing);
	line->is_full = false;
	sent = send_some(lines, line);
	if (line->is_gone)
		sent = line->owed_count;
	line->owed_count -= sent;
	if (line->owed_count > 0)
		memmove(line->owed, line->owed + sent, line->owed_count * sizeof(line->owed[0]));
	watch_line(lines, line);
}

/* A place for each that runs, for one more, and for a last one that says there is no more. */
bool
lines_reserve(struct lines *lines, struct line *line)
{
	unsigned needed = line->owed_count + line->running + 1;
	unsigned room = needed + needed / 2 + SPAWNER_ANSWERS_MAX;
	struct spawner_answer *owed;

	if (needed <= line->owed_room)
		return true;
	owed = mem_realloc_array(line->owed, room, sizeof(owed[0]));
	if (owed == NULL) {
		lines->wants_retry = true;
		return false;
	}
	line->owed = owed;
	line->owed_room = room;
	return true;
}

/*
 * Sent when there is nothing else to do, soon in any case: while programs begin and end faster than the daemon hears of
 * it, it is woken once for many of them.
 */
void
lines_answer(struct lines *lines, struct line *line, const struct spawner_answer *answer)
{
	if (line->is_gone)
		return;
	line->owed[line->owed_count++] = *answer;
	if (line->is_full)
		return;
	watch_line(lines, line);
	if (line->owed_count == SPAWNER_ANSWERS_MAX) {
		send_owed(lines, line);
		return;
	}
	if (list_is_empty(&lines->owing))
		lines->owing_since_ns = clock_now_ns();
	if (!list_is_linked(&line->owing))
		list_push_back(&lines->owing, &line->owing);
}

void
lines_flush(struct lines *lines, bool is_idle)
{
	if (list_is_empty(&lines->owing) || (!is_idle && clock_now_ns() - lines->owing_since_ns <= ANSWER_WITHIN_NS))
		return;
	while (!list_is_empty(&lines->owing))
		send_owed(lines, CP_CONTAINER_OF(lines->owing.next, struct line, owing));
}

void
lines_resume(struct lines *lines, struct line *line)
{
	send_owed(lines, line);
}

void
lines_retry(struct lines *lines)
{
	struct list *link;
	struct list *following;

	lines->wants_retry = false;
	LIST_FOREACH (&lines->items, link, following) {
		struct line *line = CP_CONTAINER_OF(link, struct line, link);

		if (line->owed_count > 0 && !line->is_full)
			send_owed(lines, line);
	}
}

/* ---- life ---------------------------------------------------------------------------------------- */

void
lines_lose(struct lines *lines, struct line *line)
{
	if (line->is_gone)
		return;
	line->is_gone = true;
	line->owed_count = 0;
	list_remove(&line->owing);
	wire_unwatch(lines->epoll_fd, &line->fd);
}

void
lines_open(struct lines *lines, int fd)
{
	struct line *line = mem_zalloc(sizeof(*line));
	struct spawner_answer hello = {.id = SPAWNER_HELLO_ID};
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = ++lines->last_id};

	if (line == NULL || epoll_ctl(lines->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		mem_free(line);
		close(fd);
		return;
	}
	line->id = lines->last_id;
	line->fd = fd;
	line->events = event.events;
	list_push_back(&lines->items, &line->link);
	/* Refused here, where nothing else was sent before, it is the end: the daemon opens another one. */
	if (wire_send(fd, &hello, sizeof(hello), NULL, 0) < 0)
		lines_lose(lines, line);
}

static void
free_line(struct line **holder)
{
	struct line *line = *holder;

	*holder = NULL;
	list_remove(&line->link);
	mem_free(line->owed);
	mem_free(line);
}

void
lines_sweep(struct lines *lines)
{
	struct list *link;
	struct list *following;

	LIST_FOREACH (&lines->items, link, following) {
		struct line *line = CP_CONTAINER_OF(link, struct line, link);

		if (line->is_gone && line->running == 0)
			free_line(&line);
	}
}
