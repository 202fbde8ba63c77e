/* SPDX-License-Identifier: MIT */
/*
 * check.c - see check.h.
 *
 * Two rounds that know nothing of each other: the check (is it there, does it answer as expected) and the agent (what
 * does it say of itself). Each has a timer and a probe, one of which is always at work: the timer starts the probe,
 * whose end sets the timer. So no server is ever checked twice at once; a check that outlasts its interval delays the
 * next one.
 */
#include "config.h"

#include "upstream/check.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/errmsg.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "engine/loop.h"
#include "upstream/agent.h"
#include "upstream/probe.h"
#include "upstream/server.h"

#define CHECK_MAGIC 0x6368656bu
/* As far into an answer is looked for what is expected. */
#define ANSWER_MAX 4096u
/* So much of an answer is quoted. */
#define QUOTED_MAX 64u
/* A shortage of descriptors or memory is over, and the next one told again, after so long without. */
#define SHORTAGE_OVER_MS 60000u

/* What the config says, copied: the generation that it was read from may go before the check does. */
struct check_settings {
	bool is_active; /* anything but "none" */
	uint16_t port;
	char *send;
	char *expect;
	uint64_t interval_ms;
	uint64_t fast_interval_ms;
	uint64_t timeout_ms;
	uint16_t agent_port;
	char *agent_send;
	uint64_t agent_interval_ms;
};

/* A timer and a probe. */
struct round {
	struct timer timer;
	struct probe probe;
	uint64_t started_ms;
};

struct check {
	uint32_t magic;
	struct loop *loop;
	struct server *server; /* one reference */
	struct check_settings settings;
	struct round active;
	struct round agent;
	bool agent_is_mute;     /* it was told that the agent can't be asked */
	bool agent_is_gabbling; /* it was told that the agent uses words that nobody knows */
};

/* ---- settings ------------------------------------------------------------------------------ */

static void
settings_fini(struct check_settings *settings)
{
	mem_freep(&settings->send);
	mem_freep(&settings->expect);
	mem_freep(&settings->agent_send);
}

/* NULL stays NULL, and so does "": nothing to send or to expect. False: no memory. */
static bool
copy_text(char **ret_copy, const char *text)
{
	*ret_copy = NULL;
	if (text == NULL || *text == '\0')
		return true;
	*ret_copy = mem_strdup(text);
	return *ret_copy != NULL;
}

static int
settings_init(struct check_settings *settings, const struct conf_upstream *conf)
{
	*settings = (struct check_settings){
		.is_active = conf->check != CONF_CHECK_NONE,
		.port = (uint16_t)conf->check_port,
		.interval_ms = conf->check_interval_ms,
		.fast_interval_ms = conf->check_fast_interval_ms,
		.timeout_ms = conf->check_timeout_ms,
		.agent_port = (uint16_t)conf->agent_port,
		.agent_interval_ms = conf->agent_interval_ms,
	};
	if (copy_text(&settings->send, conf->check_send) && copy_text(&settings->expect, conf->check_expect) &&
		copy_text(&settings->agent_send, conf->agent_send))
		return 0;
	settings_fini(settings);
	return -ENOMEM;
}

static bool
texts_are_equal(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool
settings_are_equal(const struct check_settings *a, const struct check_settings *b)
{
	return a->is_active == b->is_active && a->port == b->port && texts_are_equal(a->send, b->send) &&
	       texts_are_equal(a->expect, b->expect) && a->interval_ms == b->interval_ms &&
	       a->fast_interval_ms == b->fast_interval_ms && a->timeout_ms == b->timeout_ms &&
	       a->agent_port == b->agent_port && texts_are_equal(a->agent_send, b->agent_send) &&
	       a->agent_interval_ms == b->agent_interval_ms;
}

/* ---- what both rounds need ------------------------------------------------------------------- */

CP_PRINTF(3, 4)
static void
log_about(const struct check *check, enum log_level level, const char *fmt, ...)
{
	const char *group = server_group_name(check->server);
	const char *server = server_name(check->server);
	struct log_record record;
	char text[LOG_FIELD_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	log_record_init(&record, level, LOG_EVENT_NONE, "upstream '%s': server %s: %s", group, server, text);
	log_record_add(&record, "UPSTREAM", "%s", group);
	log_record_add(&record, "SERVER", "%s", server);
	log_record_commit(&record);
}

/* One episode for all servers: what is short is short for all of them. Main thread, as all of this. */
static void
note_shortage(const struct check *check, const struct errmsg *err)
{
	static uint64_t last_ms;
	const uint64_t now_ms = loop_now_ms(check->loop);

	if (last_ms == 0 || now_ms - last_ms > SHORTAGE_OVER_MS)
		log_about(check, LOG_LEVEL_WARNING, "health checks are skipped: %s", err->text);
	last_ms = now_ms;
}

/* The server's address, with another port unless that is 0. False: it has no ports. */
static bool
address_at_port(const struct server *server, uint16_t port, struct server_address *ret_address)
{
	*ret_address = *server_address(server);
	switch (ret_address->sa.sa_family) {
	case AF_INET:
		if (port != 0)
			((struct sockaddr_in *)&ret_address->storage)->sin_port = htons(port);
		return true;
	case AF_INET6:
		if (port != 0)
			((struct sockaddr_in6 *)&ret_address->storage)->sin6_port = htons(port);
		return true;
	default:
		return false;
	}
}

static void
begin_round(struct check *check, struct round *round, uint64_t interval_ms)
{
	uint32_t bound = interval_ms < UINT32_MAX ? (uint32_t)interval_ms : UINT32_MAX;

	timer_set(&check->loop->wheel, &round->timer, loop_now_ms(check->loop) + arc4random_uniform(bound));
}

/* From start to start, or at once when this one has taken longer. */
static void
set_next_round(struct check *check, struct round *round, uint64_t interval_ms)
{
	timer_set(&check->loop->wheel, &round->timer, round->started_ms + interval_ms);
}

/* ---- the check --------------------------------------------------------------------------------- */

/* Printable and cut short, in quotes. Returns buf. */
static const char *
quote(const char *data, size_t size, char buf[QUOTED_MAX + sizeof("\"\"…")])
{
	const size_t shown = size < QUOTED_MAX ? size : QUOTED_MAX;
	size_t used = 0;

	buf[used++] = '"';
	for (size_t i = 0; i < shown; i++)
		buf[used++] = data[i] >= 0x20 && data[i] < 0x7f ? data[i] : '?';
	strcpy(buf + used, shown < size ? "…\"" : "\"");
	return buf;
}

static bool
is_expected(struct probe *probe)
{
	const struct check *check = CP_CONTAINER_OF(probe, struct check, active.probe);
	const char *expect = check->settings.expect;

	return memmem(probe->input, probe->input_size, expect, strlen(expect)) != NULL;
}

/* The answer that came is not the one. */
static void
describe_answer(const struct check *check, enum probe_end end, struct errmsg *err)
{
	const struct probe *probe = &check->active.probe;
	const char *expect = check->settings.expect;
	char wanted[QUOTED_MAX + sizeof("\"\"…")];
	char got[QUOTED_MAX + sizeof("\"\"…")];
	char within[64] = "";

	if (end == PROBE_LATE)
		snprintf(within, sizeof(within), " within %" PRIu64 " ms", check->settings.timeout_ms);
	errmsg_set(err, "answer: expected %s%s, got %s", quote(expect, strlen(expect), wanted), within,
		probe->input_size > 0 ? quote(probe->input, probe->input_size, got) : "nothing");
}

static void
report_check(struct check *check, enum probe_end end, const struct errmsg *err)
{
	struct errmsg reason = *err;

	switch (end) {
	case PROBE_OK:
		server_report(check->server, SERVER_CHECK_OK, NULL,
			check->settings.expect != NULL ? "answered as expected" : "connected");
		return;
	case PROBE_LATE:
		if (check->active.probe.input_size > 0)
			describe_answer(check, end, &reason);
		break;
	case PROBE_ENDED:
		describe_answer(check, end, &reason);
		break;
	case PROBE_FAILED:
		break;
	case PROBE_SKIPPED:
		note_shortage(check, err);
		return;
	}
	server_report(check->server, SERVER_CHECK_FAILED, NULL, reason.text);
}

static void
set_next_check(struct check *check)
{
	const struct check_settings *settings = &check->settings;

	set_next_round(check, &check->active,
		server_is_in_doubt(check->server) ? settings->fast_interval_ms : settings->interval_ms);
}

static void
on_check_done(struct probe *probe, enum probe_end end, const struct errmsg *err)
{
	struct check *check = CP_CONTAINER_OF(probe, struct check, active.probe);

	CP_CHECK_MAGIC(check, CHECK_MAGIC);
	/* It may have gone into maintenance meanwhile. */
	if (server_state(check->server) != SERVER_MAINTENANCE)
		report_check(check, end, err);
	set_next_check(check);
}

static void
on_check_due(struct timer *timer)
{
	struct check *check = CP_CONTAINER_OF(timer, struct check, active.timer);
	const struct check_settings *settings = &check->settings;
	struct server_address address;

	CP_CHECK_MAGIC(check, CHECK_MAGIC);
	check->active.started_ms = loop_now_ms(check->loop);
	if (server_state(check->server) == SERVER_MAINTENANCE) {
		set_next_round(check, &check->active, settings->interval_ms);
		return;
	}
	/* A Unix socket has no port: it is checked where it is. */
	(void)address_at_port(check->server, settings->port, &address);
	probe_start(&check->active.probe, &(struct probe_task){
						  .address = &address,
						  .send = settings->send,
						  .read_max = settings->expect != NULL ? ANSWER_MAX : 0,
						  .timeout_ms = settings->timeout_ms,
					  });
}

/* ---- the agent ----------------------------------------------------------------------------------- */

static bool
is_whole_line(struct probe *probe)
{
	return agent_is_whole(probe->input, probe->input_size);
}

/* What it said last holds on: an agent that is gone says nothing about its server. */
static void
note_mute_agent(struct check *check, const char *reason)
{
	if (!check->agent_is_mute)
		log_about(check, LOG_LEVEL_WARNING, "its agent can't be asked: %s, ignoring", reason);
	check->agent_is_mute = true;
}

static void
note_words(struct check *check, const struct agent_answer *answer)
{
	const bool is_gabbling = answer->unknown[0] != '\0';

	if (is_gabbling && !check->agent_is_gabbling)
		log_about(check, LOG_LEVEL_WARNING, "its agent says \"%s\", which means nothing here, ignoring",
			answer->unknown);
	check->agent_is_gabbling = is_gabbling;
}

static void
take_answer(struct check *check)
{
	const struct probe *probe = &check->agent.probe;
	struct agent_answer answer;

	if (check->agent_is_mute)
		log_about(check, LOG_LEVEL_NOTICE, "its agent answers again");
	check->agent_is_mute = false;
	agent_parse(probe->input, probe->input_size, &answer);
	note_words(check, &answer);
	if (agent_has_advice(&answer))
		server_report(check->server, SERVER_AGENT, &answer.advice, answer.reason);
}

static void
on_agent_done(struct probe *probe, enum probe_end end, const struct errmsg *err)
{
	struct check *check = CP_CONTAINER_OF(probe, struct check, agent.probe);

	CP_CHECK_MAGIC(check, CHECK_MAGIC);
	if (end == PROBE_SKIPPED)
		note_shortage(check, err);
	else if (end == PROBE_OK || (end == PROBE_ENDED && probe->input_size > 0))
		take_answer(check);
	else
		note_mute_agent(check, end == PROBE_ENDED ? "it closes without an answer" : err->text);
	set_next_round(check, &check->agent, check->settings.agent_interval_ms);
}

static void
on_agent_due(struct timer *timer)
{
	struct check *check = CP_CONTAINER_OF(timer, struct check, agent.timer);
	const struct check_settings *settings = &check->settings;
	struct server_address address;

	CP_CHECK_MAGIC(check, CHECK_MAGIC);
	check->agent.started_ms = loop_now_ms(check->loop);
	/* Only where there is a host to ask: see begin(). */
	CP_ASSERT(address_at_port(check->server, settings->agent_port, &address));
	probe_start(&check->agent.probe, &(struct probe_task){
						 .address = &address,
						 .send = settings->agent_send,
						 .read_max = AGENT_LINE_MAX,
						 .timeout_ms = settings->timeout_ms,
					 });
}

/* ---- its life -------------------------------------------------------------------------------------- */

static void
begin(struct check *check)
{
	const struct check_settings *settings = &check->settings;
	struct server_address address;

	if (settings->is_active)
		begin_round(check, &check->active, settings->interval_ms);
	if (settings->agent_port != 0 && address_at_port(check->server, settings->agent_port, &address))
		begin_round(check, &check->agent, settings->agent_interval_ms);
}

static void
stop(struct check *check)
{
	timer_clear(&check->loop->wheel, &check->active.timer);
	timer_clear(&check->loop->wheel, &check->agent.timer);
	probe_stop(&check->active.probe);
	probe_stop(&check->agent.probe);
}

struct check *
check_new(struct loop *loop, struct server *server, const struct conf_upstream *conf)
{
	struct check *check = mem_zalloc(sizeof(*check));

	if (check == NULL)
		return NULL;
	if (settings_init(&check->settings, conf) < 0) {
		mem_freep(&check);
		return NULL;
	}
	check->magic = CHECK_MAGIC;
	check->loop = loop;
	check->server = server_ref(server);
	check->active.timer.fn = on_check_due;
	check->agent.timer.fn = on_agent_due;
	probe_init(&check->active.probe, loop, is_expected, on_check_done);
	probe_init(&check->agent.probe, loop, is_whole_line, on_agent_done);
	begin(check);
	return check;
}

int
check_configure(struct check *check, const struct conf_upstream *conf)
{
	struct check_settings settings;
	int rc;

	CP_CHECK_MAGIC(check, CHECK_MAGIC);
	rc = settings_init(&settings, conf);
	if (rc < 0)
		return rc;
	/* Reloads that come faster than the interval must not put the check off for ever. */
	if (settings_are_equal(&check->settings, &settings)) {
		settings_fini(&settings);
		return 0;
	}
	stop(check);
	settings_fini(&check->settings);
	check->settings = settings;
	begin(check);
	return 0;
}

void
check_free(struct check **check)
{
	struct check *old = *check;

	if (old == NULL)
		return;
	CP_CHECK_MAGIC(old, CHECK_MAGIC);
	stop(old);
	probe_fini(&old->active.probe);
	probe_fini(&old->agent.probe);
	settings_fini(&old->settings);
	server_unref(&old->server);
	old->magic = 0;
	mem_free(old);
	*check = NULL;
}
