/* SPDX-License-Identifier: MIT */
/*
 * check - what can only be judged once every file has been read: names that refer, names and addresses that stand
 * twice, users, values that hang on each other.
 *
 * Private to this folder.
 */
#ifndef CP_CONF_CHECK_H
#define CP_CONF_CHECK_H

#include "conf/report.h"

/* Reports every fault, resolves pool references and the number of workers. */
void check_conf(struct conf_loading *loading);

/*
 * Where an option of a listener stands (the listener itself when it was left out), and its key in messages,
 * "listeners.(2).pool".
 */
struct check_option {
	struct conf_place place;
	char key[128];
};

struct check_option check_find_option(
	const struct conf_loading *loading, const struct conf_listener *listener, const char *name, size_t element);
/* Reports at such an option. */
#define check_report(loading, option, ...) report_at((loading), &(option)->place, (option)->key, __VA_ARGS__)

/*
 * upstreams and resolver (check_upstream.c): what contradicts itself or stands twice, and listeners that name an
 * upstream that there is not or take PROXY headers from nobody.
 */
void check_upstreams(struct conf_loading *loading);

/* The addresses alone (check_address.c): none may stand twice or lie within another. */
void check_addresses(struct conf_loading *loading);

#endif
