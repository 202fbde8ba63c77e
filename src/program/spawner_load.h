/* SPDX-License-Identifier: MIT */
/*
 * spawner_load.h - the keeper's loads and tables; nobody else includes it.
 *
 *   NONE -> READING     load_begin(): a process reads the config
 *   READING -> HANDING  load_on_reaped(): it has ended well; the spawner is to know the table
 *   HANDING -> NONE     load_finish(): it does
 *   any -> NONE         load_fail(), load_is_late(); load_begin(), which is the next one
 *
 * A load holds its table while it is HANDING; one that succeeds is one reference that the daemon has from then on. What
 * the daemon drops is never more than it has: it may say what it wants.
 */
#ifndef CP_PROGRAM_SPAWNER_LOAD_H
#define CP_PROGRAM_SPAWNER_LOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/defs.h"
#include "base/list.h"
#include "program/spawner_wire.h"

enum load_state { LOAD_NONE, LOAD_READING, LOAD_HANDING };

struct load {
	enum load_state state;    /* public to read */
	struct kept_table *table; /* public to read; HANDING */
	struct list tables;       /* public: of struct kept_table */
	uint64_t number;          /* private: spawner_load.c, down to the end */
	pid_t pid;
	int answer_fd;
	int table_fd;
	uint64_t until_ns;
	uint64_t last_number;
	const char *conf_path;
	const struct conf_service_type *types;
	int *const *not_for_loader;
};

/* not_for_loader: holders of descriptors that a process which reads must not have; NULL ends them. Borrows all. */
void load_init(
	struct load *load, const char *conf_path, const struct conf_service_type *types, int *const *not_for_loader);
/* Ends the one under way, unanswered, and begins the next. 0, or -errno: load_fail() answers it. */
CP_MUST_CHECK int load_begin(struct load *load, uint64_t number);
/* Some process was reaped. False: it read for us and has failed, *ret_news is the answer. */
CP_MUST_CHECK bool load_on_reaped(struct load *load, pid_t pid, int status, struct keeper_news *ret_news);
/* Its time is over: *ret_news is the answer. */
CP_MUST_CHECK bool load_is_late(struct load *load, struct keeper_news *ret_news);
/* Until then; -1: there is none. */
int load_wait_ms(const struct load *load);
/* *ret_news, whose text is set, becomes the answer. */
void load_fail(struct load *load, int error, struct keeper_news *ret_news);
void load_finish(struct load *load, struct keeper_news *ret_news);

/* NULL: there is none. */
struct kept_table *load_find_table(struct load *load, uint64_t number);
/* False: it is to be forgotten, and freed. */
bool load_needs_table(const struct kept_table *table);
/* The daemon drops it once; nothing when it has none, or there is none. */
void load_drop_table(struct load *load, uint64_t number);
void load_free_table(struct kept_table **table);

#endif
