/* SPDX-License-Identifier: MIT */
/*
 * options - the command line of connpool-client, as one table: parser and --help come from it. Main thread.
 */
#ifndef CP_CLIENT_OPTIONS_H
#define CP_CLIENT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/address.h"
#include "base/defs.h"

struct errmsg;

enum options_command { OPTIONS_HELP, OPTIONS_VERSION, OPTIONS_CONNECT, OPTIONS_SEND, OPTIONS_BENCH };

struct options {
	enum options_command command;
	struct address address;   /* owned; zeroed for HELP and VERSION */
	char *text;               /* send: owned, the words joined by blanks, with the line end */
	size_t text_len;

	bool help;
	bool version;
	bool ipv4;
	bool ipv6;
	uint64_t timeout_ms;
	uint64_t idle_timeout_ms; /* connect, send; 0: none */
	bool no_newline;          /* send */
	uint64_t connections;     /* bench, from here on */
	uint64_t threads;
	uint64_t rate;
	uint64_t size_bytes;
	uint64_t duration_ms;     /* 0: not given, and requests are */
	uint64_t requests;
	bool reconnect;
	bool json;
};

/*
 * 0: *ret is whole, caller owns it (options_fini). -EINVAL: a wrong command line, err says what; -ENOMEM. It permutes
 * argv, as getopt_long(3) does.
 */
CP_MUST_CHECK int options_parse(struct options *ret, int argc, char **argv, struct errmsg *err);
/* Accepts a zeroed one. */
void options_fini(struct options *options);

/* AF_UNSPEC, AF_INET or AF_INET6. */
int options_family(const struct options *options);

void options_print_help(FILE *out);

#endif
