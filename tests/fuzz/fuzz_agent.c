/* SPDX-License-Identifier: MIT */
/*
 * fuzz_agent - what another machine's agent may send: whatever it is, the texts are printable and end, the advice is
 * within its bounds, and what was taken reads the same again.
 */
#include "config.h"

#include "fuzz.h"
#include "upstream/agent.h"

static void
check_text(const char *text, size_t room)
{
	CP_ASSERT(strnlen(text, room) < room);
	for (; *text != '\0'; text++)
		CP_ASSERT(*text >= 0x20 && *text < 0x7f);
}

static void
check_same(const struct server_advice *a, const struct server_advice *b)
{
	CP_ASSERT(a->has_health == b->has_health && a->is_up == b->is_up);
	CP_ASSERT(a->has_mode == b->has_mode && a->mode == b->mode);
	CP_ASSERT(a->has_weight == b->has_weight && a->weight_percent == b->weight_percent);
	CP_ASSERT(a->has_max_connections == b->has_max_connections && a->max_connections == b->max_connections);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *prefix = "agent:";
	struct agent_answer answer, again;

	agent_parse((const char *)data, size, &answer);
	check_text(answer.reason, sizeof(answer.reason));
	check_text(answer.unknown, sizeof(answer.unknown));
	CP_ASSERT(strncmp(answer.reason, prefix, strlen(prefix)) == 0);
	CP_ASSERT(answer.advice.weight_percent <= AGENT_PERCENT_MAX);
	CP_ASSERT(answer.advice.max_connections <= UINT32_MAX);
	CP_ASSERT(answer.advice.mode <= SERVER_MODE_MAINTENANCE);
	/* The reason names the words that were taken, in their order: they say it all. */
	if (strlen(answer.reason) + 1 < sizeof(answer.reason)) {
		agent_parse(answer.reason + strlen(prefix), strlen(answer.reason) - strlen(prefix), &again);
		if (strchr(answer.reason, '(') == NULL)
			check_same(&answer.advice, &again.advice);
	}
	/* More than a line changes nothing. */
	if (agent_is_whole((const char *)data, size) && size <= AGENT_LINE_MAX) {
		size_t end = 0;

		while (!agent_is_whole((const char *)data + end, 1))
			end++;
		agent_parse((const char *)data, end, &again);
		check_same(&answer.advice, &again.advice);
	}
	return 0;
}
