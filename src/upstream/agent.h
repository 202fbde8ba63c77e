/* SPDX-License-Identifier: MIT */
/*
 * agent.h - the text that an agent answers with, in the words of HAProxy's agent-check. For upstream/, and for
 * the check service, which speaks them.
 *
 * One line of words between blanks, tabs and commas, in any case, each about one thing; of two about the same thing the
 * last one counts:
 *
 *   up                           health; takes back down
 *   down, fail, failed, stopped  health
 *   ready                        mode; takes back drain and maint
 *   drain, maint                 mode
 *   75%                          weight, of the configured one
 *   maxconn:30                   max_connections
 *   # disk full                  a description, to the end of the line
 */
#ifndef CP_UPSTREAM_AGENT_H
#define CP_UPSTREAM_AGENT_H

#include <stdbool.h>
#include <stddef.h>

#include "upstream/server.h"

/* More than that of a line is not read. */
#define AGENT_LINE_MAX 512u
#define AGENT_PERCENT_MAX 10000u
#define AGENT_REASON_MAX 256u
#define AGENT_WORD_MAX 32u

struct agent_answer {
	struct server_advice advice;
	char reason[AGENT_REASON_MAX]; /* "agent: down (disk full)": printable; what does not fit is cut */
	char unknown[AGENT_WORD_MAX];  /* the first word that says nothing to us, printable, cut; "": there is none */
};

/*
 * Takes apart the line that data begins with; it ends at CR, LF, NUL or size. A line that fills AGENT_LINE_MAX without
 * an end was cut, perhaps inside its last word: that one is left out. Pure; any thread.
 */
void agent_parse(const char *data, size_t size, struct agent_answer *ret_answer);
/* The line has come to its end: no need to wait for more. */
bool agent_is_whole(const char *data, size_t size);
/* Something in it is to be taken over. */
bool agent_has_advice(const struct agent_answer *answer);

#endif
