/* SPDX-License-Identifier: MIT */
/*
 * verdict.c - who asks, who waits, what is known: the joint between fibers that ask and the one run there is.
 *
 * The table and the run are the main thread's alone; workers touch what the lock guards, and post the task that makes
 * the main thread look at it (tend()).
 */
#include "config.h"

#include "service/verdict.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/units.h"
#include "conf/conf.h"
#include "engine/loop.h"
#include "service/verdict_run.h"

#define SECOND 1000ull
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)
#define KIB 1024ull

#define VERDICT_MAGIC 0x76657264
/* Of what it says in a line of the log. */
#define LINE_MAX 200

struct verdict {
	uint32_t magic;
	struct cp_lock lock;           /* LOCK_VERDICT; guards the fields down to the blank line */
	struct list shares;            /* of struct verdict_share, the newest last; empty: it is to end */
	struct list waiting;           /* of struct verdict_wish */
	struct verdict_result *latest; /* one reference; NULL: none yet */
	bool is_running;
	bool is_overdue; /* the run timed out and has not ended: what latest says of it holds until then */

	struct task task; /* posted by any thread: tend() */
	/* Main thread only. */
	struct list link; /* in the table */
	char *listener;
	struct loop *loop; /* borrowed */
	struct verdict_run run;
	struct verdict_share *run_share; /* whose command it is: one reference; NULL: none runs */
	struct timer interval;
	bool was_retried;
};

struct verdict_share {
	atomic_uint refs; /* its route's, and the run's of its command */
	struct list link;
	struct verdict *verdict;
	struct conf *conf;                /* one reference */
	const struct conf_listener *rule; /* in it */
	struct program_name name;         /* so long the spawner knows the program */
};

struct verdicts {
	struct loop *loop;
	struct list items; /* of struct verdict */
};

static const struct option_word format_words[] = {
	{.name = "plain", .value = CHECK_PLAIN},
	{.name = "http", .value = CHECK_HTTP},
	{.name = "agent", .value = CHECK_AGENT},
	{.name = NULL},
};

const struct option check_option_rows[] = {
	PROGRAM_OPTION_ROWS(struct check_options) OPT_WORD(struct check_options, format, "format", format_words,
		"plain", OPTION_NEW_CONNECTIONS,
		"What clients get: what the command wrote, an answer of HTTP, or a line for HAProxy's agent-check."),
	OPT_TIME(struct check_options, max_age_ms, "max_age", 0, DAY, "10s", OPTION_NEW_CONNECTIONS,
		"How long what a run said is given to clients; then the next one brings about another."),
	OPT_TIME(struct check_options, timeout_ms, "timeout", 1, HOUR, "30s", OPTION_NEW_CONNECTIONS,
		"A run that takes longer is ended, and counts as failed."),
	OPT_TIME(struct check_options, interval_ms, "interval", 0, DAY, "0s", OPTION_NEW_CONNECTIONS,
		"Run the command so often, asked or not; 0 runs it when it is asked for alone."),
	OPT_SIZE(struct check_options, max_output_bytes, "max_output", KIB, 16 * 1024 * KIB, "64KiB",
		OPTION_NEW_CONNECTIONS, "What a run writes beyond this is left out, and the log says so."),
	OPT_END,
};

static const struct option service_row = {.name = "service", .type = OPTION_SERVICE};

static void tend(struct verdict *verdict);

/* ---- results --------------------------------------------------------------------------------- */

struct verdict_result *
verdict_result_new(bool is_good, const char *reason, const char *text, size_t length)
{
	size_t reason_size = strlen(reason) + 1;
	size_t text_room = text != NULL ? length + 1 : reason_size + 1;
	struct verdict_result *result = mem_zalloc(sizeof(*result) + text_room + reason_size);

	if (result == NULL)
		return NULL;
	atomic_init(&result->refs, 1);
	result->is_good = is_good;
	result->has_output = text != NULL;
	result->ended_ns = clock_now_ns();
	result->length = text_room - 1;
	if (text != NULL)
		memcpy(result->text, text, length);
	else
		snprintf(result->text, text_room, "%s\n", reason);
	result->reason = memcpy(result->text + text_room, reason, reason_size);
	return result;
}

static struct verdict_result *
result_ref(struct verdict_result *result)
{
	/* Relaxed: who takes a reference already holds one. */
	if (result != NULL)
		atomic_fetch_add_explicit(&result->refs, 1, memory_order_relaxed);
	return result;
}

void
verdict_result_unref(struct verdict_result **holder)
{
	struct verdict_result *result = *holder;

	*holder = NULL;
	if (result != NULL && atomic_fetch_sub_explicit(&result->refs, 1, memory_order_acq_rel) == 1)
		mem_free(result);
}

/* ---- shares ------------------------------------------------------------------------------------ */

static const struct check_options *
options_of(const struct verdict_share *share)
{
	return share->rule->service.options;
}

/* The newest, so that an old config is not used for longer than it must be; NULL: there is none left. */
static struct verdict_share *
newest_share_locked(const struct verdict *verdict)
{
	lock_assert_held(&verdict->lock);
	if (list_is_empty(&verdict->shares))
		return NULL;
	return CP_CONTAINER_OF(verdict->shares.prev, struct verdict_share, link);
}

static void
share_unref(struct verdict_share **holder)
{
	struct verdict_share *share = *holder;

	*holder = NULL;
	if (atomic_fetch_sub_explicit(&share->refs, 1, memory_order_acq_rel) != 1)
		return;
	program_name_unref(&share->name);
	conf_unref(&share->conf);
	mem_free(share);
}

/* ---- the log ------------------------------------------------------------------------------------ */

/* A line of anything, as far as it can be printed. */
static const char *
printable(const char *text, size_t length, char buf[LINE_MAX])
{
	size_t used = 0;

	for (size_t i = 0; i < length && text[i] != '\n' && used < LINE_MAX - 1; i++)
		buf[used++] = isprint((unsigned char)text[i]) ? text[i] : '?';
	/* Lines may end with a CR too. */
	if (used > 0 && used < length && text[used - 1] == '\r')
		used--;
	buf[used] = '\0';
	return buf;
}

static void
log_line(const struct verdict *verdict, enum log_level level, const char *what, const char *text)
{
	struct log_record record;

	if (!log_is_enabled(level))
		return;
	log_record_init(&record, level, LOG_EVENT_NONE, "listener '%s': %s%s", verdict->listener, what, text);
	log_record_add(&record, "LISTENER", "%s", verdict->listener);
	log_record_add(&record, "SERVICE", "check");
	log_record_commit(&record);
}

/* What it wrote to standard error, line by line. */
static void
log_errors(const struct verdict *verdict)
{
	const struct verdict_capture *errors = &verdict->run.errors;
	size_t at = 0;

	while (at < errors->length) {
		const char *line = errors->text + at;
		const char *end = memchr(line, '\n', errors->length - at);
		size_t length = end != NULL ? (size_t)(end - line) : errors->length - at;
		char buf[LINE_MAX];

		log_line(verdict, LOG_LEVEL_WARNING, "check: ", printable(line, length, buf));
		at += length + 1;
	}
	if (errors->is_cut)
		log_line(verdict, LOG_LEVEL_WARNING, "check wrote more to standard error, which was left out", "");
}

static void
log_cut(const struct verdict *verdict)
{
	char size[UNITS_TEXT_MAX];

	units_format_size(verdict->run.options->max_output_bytes, size);
	log_line(verdict, LOG_LEVEL_WARNING, "the output of its check was cut at max_output, ", size);
}

/* When it has changed. */
static void
log_change(const struct verdict *verdict, const struct verdict_result *before, const struct verdict_result *now)
{
	char line[LINE_MAX];
	char what[2 * LINE_MAX];

	if (before != NULL && before->is_good == now->is_good)
		return;
	if (now->is_good) {
		log_line(verdict, before != NULL ? LOG_LEVEL_NOTICE : LOG_LEVEL_INFO, "check is good", "");
		return;
	}
	snprintf(what, sizeof(what), "check is bad: %.*s%s", LINE_MAX, now->reason, now->has_output ? ": " : "");
	log_line(verdict, LOG_LEVEL_WARNING, what, now->has_output ? printable(now->text, now->length, line) : "");
}

/* ---- what comes of a run ---------------------------------------------------------------------------- */

/* Gives result, which may be NULL, to all who wait. Returns what it replaces, for publish_end(). */
static struct verdict_result *
publish_locked(struct verdict *verdict, struct verdict_result *result)
{
	struct verdict_result *before = NULL;
	struct list *link;

	lock_assert_held(&verdict->lock);
	if (result != NULL) {
		before = verdict->latest;
		verdict->latest = result_ref(result);
	}
	while ((link = list_pop_front(&verdict->waiting)) != NULL) {
		struct verdict_wish *wish = CP_CONTAINER_OF(link, struct verdict_wish, link);

		wish->result = result_ref(result);
		wish->ready(wish);
	}
	return before;
}

/* Takes both, which may be NULL. */
static void
publish_end(struct verdict *verdict, struct verdict_result *before, struct verdict_result *result)
{
	if (result != NULL)
		log_change(verdict, before, result);
	verdict_result_unref(&before);
	verdict_result_unref(&result);
}

static void
on_late(struct verdict_run *run)
{
	struct verdict *verdict = CP_CONTAINER_OF(run, struct verdict, run);
	struct verdict_result *result = verdict_run_result(run);
	struct verdict_result *before;

	lock_acquire(&verdict->lock);
	before = publish_locked(verdict, result);
	verdict->is_overdue = result != NULL;
	lock_release(&verdict->lock);
	publish_end(verdict, before, result);
}

/*
 * With a result or without: one critical section answers those who wait and says that nothing runs, so that whoever
 * asks after it posts the task. For those who still wait, because there was no result, it is posted here.
 */
static void
end_run(struct verdict *verdict, bool has_result)
{
	struct verdict_result *result = has_result ? verdict_run_result(&verdict->run) : NULL;
	struct verdict_result *before = NULL;

	lock_acquire(&verdict->lock);
	if (has_result)
		before = publish_locked(verdict, result);
	verdict->is_running = false;
	verdict->is_overdue = false;
	lock_release(&verdict->lock);
	publish_end(verdict, before, result);
	verdict_run_clear(&verdict->run);
	share_unref(&verdict->run_share);
	loop_post(verdict->loop, &verdict->task);
}

/*
 * The spawner's own end is no fault of what is checked: those who wait get another run, once. From within the spawner's
 * call nothing is started and nothing freed: that is tend()'s, in the next turn.
 */
static void
on_over(struct verdict_run *run)
{
	struct verdict *verdict = CP_CONTAINER_OF(run, struct verdict, run);
	bool is_lost = run->program.result.how == PROGRAM_LOST && !verdict->was_retried;

	log_errors(verdict);
	if (run->output.is_cut)
		log_cut(verdict);
	verdict->was_retried = is_lost;
	end_run(verdict, !run->is_late && !run->is_unwanted && !is_lost);
}

/* ---- the main thread's part --------------------------------------------------------------------------- */

static void
begin_run(struct verdict *verdict)
{
	struct verdict_share *share;

	lock_acquire(&verdict->lock);
	share = newest_share_locked(verdict);
	verdict->is_running = share != NULL;
	if (share != NULL)
		atomic_fetch_add_explicit(&share->refs, 1, memory_order_relaxed);
	lock_release(&verdict->lock);
	if (share == NULL)
		return;
	verdict->run_share = share;
	if (verdict_run_start(&verdict->run, options_of(share), &share->name) < 0)
		end_run(verdict, true);
}

static void
verdict_free(struct verdict *verdict)
{
	CP_CHECK_MAGIC(verdict, VERDICT_MAGIC);
	list_remove(&verdict->link);
	timer_clear(&verdict->loop->wheel, &verdict->interval);
	loop_unpost(verdict->loop, &verdict->task);
	verdict_result_unref(&verdict->latest);
	lock_fini(&verdict->lock);
	mem_free(verdict->listener);
	verdict->magic = 0;
	mem_free(verdict);
}

/* Does what is to be done now: a run for those who wait, or an end. It may free verdict. */
static void
tend(struct verdict *verdict)
{
	bool is_unused;
	bool is_wanted;

	lock_acquire(&verdict->lock);
	is_unused = list_is_empty(&verdict->shares);
	is_wanted = !list_is_empty(&verdict->waiting);
	lock_release(&verdict->lock);
	if (verdict->run.state != RUN_NONE) {
		if (is_unused)
			verdict_run_stop(&verdict->run);
	} else if (is_unused) {
		verdict_free(verdict);
	} else if (is_wanted) {
		begin_run(verdict);
	}
}

static void
on_task(struct loop *loop, struct task *task)
{
	(void)loop;
	tend(CP_CONTAINER_OF(task, struct verdict, task));
}

static void
on_interval(struct timer *timer)
{
	struct verdict *verdict = CP_CONTAINER_OF(timer, struct verdict, interval);
	const struct verdict_share *share;
	uint64_t interval_ms = 0;

	lock_acquire(&verdict->lock);
	share = newest_share_locked(verdict);
	if (share != NULL)
		interval_ms = options_of(share)->interval_ms;
	lock_release(&verdict->lock);
	if (interval_ms == 0)
		return;
	timer_set(&verdict->loop->wheel, timer, loop_now_ms(verdict->loop) + interval_ms);
	if (verdict->run.state == RUN_NONE)
		begin_run(verdict);
}

/* ---- the table ------------------------------------------------------------------------------------------ */

struct verdicts *
verdicts_new(struct loop *loop)
{
	struct verdicts *verdicts = mem_zalloc(sizeof(*verdicts));

	if (verdicts == NULL)
		return NULL;
	verdicts->loop = loop;
	list_init(&verdicts->items);
	return verdicts;
}

void
verdicts_free(struct verdicts **holder)
{
	struct verdicts *verdicts = *holder;
	struct list *link;
	struct list *following;

	*holder = NULL;
	if (verdicts == NULL)
		return;
	LIST_FOREACH (&verdicts->items, link, following) {
		struct verdict *verdict = CP_CONTAINER_OF(link, struct verdict, link);

		CP_ASSERT(list_is_empty(&verdict->shares) && list_is_empty(&verdict->waiting));
		CP_ASSERT(verdict->run_share == NULL);
		verdict_free(verdict);
	}
	mem_free(verdicts);
}

bool
verdicts_end(struct verdicts *verdicts)
{
	struct list *link;
	struct list *following;
	bool is_over = true;

	LIST_FOREACH (&verdicts->items, link, following) {
		struct verdict *verdict = CP_CONTAINER_OF(link, struct verdict, link);

		if (verdict->run.state == RUN_NONE)
			continue;
		is_over = false;
		verdict_run_kill(&verdict->run);
	}
	return is_over;
}

static struct verdict *
verdict_new(struct verdicts *verdicts, const struct conf_listener *rule)
{
	struct verdict *verdict = mem_zalloc(sizeof(*verdict));

	if (verdict == NULL)
		return NULL;
	verdict->listener = mem_strdup(rule->name);
	if (verdict->listener == NULL) {
		mem_free(verdict);
		return NULL;
	}
	verdict->magic = VERDICT_MAGIC;
	lock_init(&verdict->lock, LOCK_VERDICT);
	list_init(&verdict->shares);
	list_init(&verdict->waiting);
	verdict->task.fn = on_task;
	verdict->interval.fn = on_interval;
	verdict->loop = verdicts->loop;
	verdict->run = (struct verdict_run){.loop = verdicts->loop, .late = on_late, .over = on_over};
	list_push_back(&verdicts->items, &verdict->link);
	return verdict;
}

/* Puts the share into the verdict if that is the listener's, by the same section. One without a share is about to end.
 */
static bool
join(struct verdict *verdict, struct verdict_share *share)
{
	const struct verdict_share *other;
	bool has_joined = false;

	if (strcmp(verdict->listener, share->rule->name) != 0)
		return false;
	lock_acquire(&verdict->lock);
	other = newest_share_locked(verdict);
	if (other != NULL && option_is_equal(&service_row, &other->rule->service, &share->rule->service)) {
		has_joined = true;
		share->verdict = verdict;
		list_push_back(&verdict->shares, &share->link);
	}
	lock_release(&verdict->lock);
	return has_joined;
}

/* The first run by the timer comes in the loop's next turn: not before the config is in force. False: no memory. */
static bool
join_new(struct verdicts *verdicts, struct verdict_share *share)
{
	const struct check_options *options = options_of(share);
	struct verdict *verdict = verdict_new(verdicts, share->rule);

	if (verdict == NULL)
		return false;
	share->verdict = verdict;
	list_push_back(&verdict->shares, &share->link);
	if (options->interval_ms > 0)
		timer_set(&verdict->loop->wheel, &verdict->interval, loop_now_ms(verdict->loop));
	return true;
}

struct verdict_share *
verdict_join(struct verdicts *verdicts, struct conf *conf, const struct conf_listener *rule)
{
	struct verdict_share *share = mem_zalloc(sizeof(*share));
	struct list *link;
	struct list *following;
	bool has_joined = false;

	if (share == NULL)
		return NULL;
	atomic_init(&share->refs, 1);
	share->rule = rule;
	LIST_FOREACH (&verdicts->items, link, following) {
		has_joined = join(CP_CONTAINER_OF(link, struct verdict, link), share);
		if (has_joined)
			break;
	}
	if (!has_joined && !join_new(verdicts, share)) {
		mem_free(share);
		return NULL;
	}
	share->conf = conf_ref(conf);
	share->name = program_name_ref(rule->index);
	return share;
}

void
verdict_leave(struct verdict_share **holder)
{
	struct verdict_share *share = *holder;
	struct verdict *verdict;

	*holder = NULL;
	if (share == NULL)
		return;
	verdict = share->verdict;
	lock_acquire(&verdict->lock);
	list_remove(&share->link);
	/* Under the lock: once it is released the main thread may free the verdict. */
	if (list_is_empty(&verdict->shares))
		loop_post(verdict->loop, &verdict->task);
	lock_release(&verdict->lock);
	share_unref(&share);
}

const struct check_options *
verdict_options(const struct verdict_share *share)
{
	return options_of(share);
}

/* ---- asking ----------------------------------------------------------------------------------------------- */

static bool
is_young_locked(const struct verdict *verdict, uint64_t max_age_ms)
{
	lock_assert_held(&verdict->lock);
	if (verdict->latest == NULL)
		return false;
	return verdict->is_overdue || clock_now_ns() - verdict->latest->ended_ns < max_age_ms * CLOCK_NS_PER_MS;
}

bool
verdict_ask(struct verdict_share *share, struct verdict_wish *wish)
{
	struct verdict *verdict = share->verdict;
	bool is_young;

	CP_CHECK_MAGIC(verdict, VERDICT_MAGIC);
	lock_acquire(&verdict->lock);
	is_young = is_young_locked(verdict, verdict_options(share)->max_age_ms);
	if (is_young) {
		wish->result = result_ref(verdict->latest);
	} else {
		list_push_back(&verdict->waiting, &wish->link);
		if (!verdict->is_running)
			loop_post(verdict->loop, &verdict->task);
	}
	lock_release(&verdict->lock);
	return is_young;
}

void
verdict_withdraw(struct verdict_share *share, struct verdict_wish *wish)
{
	lock_acquire(&share->verdict->lock);
	list_remove(&wish->link);
	lock_release(&share->verdict->lock);
}
