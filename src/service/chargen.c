/* SPDX-License-Identifier: MIT */
/*
 * chargen.c - RFC 864: lines of 72 printing characters, each beginning one character later, for as long as the client
 * reads.
 */
#include "config.h"

#include <stddef.h>

#include "connpoold/handler.h"
#include "service/services.h"

#define LINE_CHARS 72
#define LINE_BYTES (LINE_CHARS + 2)
#define FIRST_CHAR ' '
#define CHARS 95

/* All the lines there are, in order: one send for a whole round. */
static void
fill_round(char round[CHARS][LINE_BYTES])
{
	for (int line = 0; line < CHARS; line++) {
		for (int i = 0; i < LINE_CHARS; i++)
			round[line][i] = (char)(FIRST_CHAR + (line + i) % CHARS);
		round[line][LINE_CHARS] = '\r';
		round[line][LINE_CHARS + 1] = '\n';
	}
}

static int
chargen_serve(struct cp_conn *conn)
{
	char round[CHARS][LINE_BYTES];

	fill_round(round);
	while (!cp_draining(conn)) {
		if (cp_send(conn, round, sizeof(round)) < 0)
			return -1;
	}
	return CP_DONE;
}

const struct cp_handler chargen_handler = {.abi = CP_HANDLER_ABI, .name = "chargen", .serve = chargen_serve};
