/* SPDX-License-Identifier: MIT */
/*
 * error_lines - what a program writes to its standard error, a line at a time, for the log.
 *
 * It comes by a pipe of which both ends are held open here, so its end wakes nobody: whoever owns the program knows
 * when that is over. A program that floods it is bounded: so many lines at once, and so many a second; those beyond
 * are counted. On the thread of its loop.
 */
#ifndef CP_PROGRAM_ERROR_LINES_H
#define CP_PROGRAM_ERROR_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"
#include "engine/loop.h"

/* The longest line; a longer one is logged in pieces. */
#define ERROR_LINE_MAX 512u

/* Embedded in its owner; opened by error_lines_open(). */
struct error_lines {
	/* One line, without its end and without control characters, or how many were left out. */
	void (*log)(struct error_lines *lines, const char *text);

	int write_fd; /* for the program; -1: not open */
	int read_fd;  /* private: error_lines.c, down to the end */
	struct loop *loop;
	struct watch watch;
	struct timer timer;
	bool is_watched;
	size_t length;
	uint64_t left;
	uint64_t filled_ms;
	uint64_t dropped;
	char line[ERROR_LINE_MAX + 1]; /* last, and not initialised */
};

/* Sets log and opens it. 0; -errno: nothing is open. */
CP_MUST_CHECK int error_lines_open(
	struct error_lines *lines, struct loop *loop, void (*log)(struct error_lines *lines, const char *text));
/* Reads what is left, and closes. One that is not open is accepted; a zeroed one is not. */
void error_lines_close(struct error_lines *lines);

#endif
