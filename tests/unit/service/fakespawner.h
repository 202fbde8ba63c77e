/* SPDX-License-Identifier: MIT */
/*
 * fakespawner - programs that run as a test says, in place of spawner.c; and a config with a check.
 *
 * At most one program runs at a time. fake_reset() begins a test; fake_expect_clean() ends it.
 */
#ifndef CP_TESTS_UNIT_SERVICE_FAKESPAWNER_H
#define CP_TESTS_UNIT_SERVICE_FAKESPAWNER_H

#include <stdbool.h>

#include "conf/conf.h"
#include "program/spawner.h"
#include "service/verdict.h"

struct fake_spawner {
	struct program *running; /* NULL: none */
	unsigned starts;
	int start_error;  /* of program_start(), negative; 0: it starts */
	char signals[64]; /* that were sent: "TERM KILL " */
	unsigned names;   /* that are held */
	int streams[3];   /* of the last one */

	/* What another thread does meanwhile: in program_start(), and when a name is given back. NULL: nothing. */
	void (*on_start)(void);
	void (*on_name_unref)(void);
};

extern struct fake_spawner fake;

void fake_reset(void);
/* Nothing runs, and no name is held. */
void fake_expect_clean(void);

/* The running program writes to its standard output (1) or error (2). */
void fake_write(int stream, const char *text);
/* It ends. */
void fake_end(enum program_how how, int status);
/* It has written, and ends with that status. */
void fake_finish(const char *output, int status);

/* A config with one listener "health" whose service is a check; the options are free to be changed. */
struct fake_conf {
	struct conf conf;
	struct conf_listener listener;
	struct conf_listener *listeners[1];
	struct check_options options;
};

void fake_conf_init(struct fake_conf *conf);

#endif
