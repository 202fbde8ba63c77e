/* SPDX-License-Identifier: MIT */
/*
 * services.h - the handlers that are built in, one file each.
 */
#ifndef CP_SERVICE_SERVICES_H
#define CP_SERVICE_SERVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"

struct cp_conn;
struct cp_handler;
struct upstreams;

extern const struct cp_handler chargen_handler;
extern const struct cp_handler check_handler;
extern const struct cp_handler daytime_handler;
extern const struct cp_handler discard_handler;
extern const struct cp_handler echo_handler;
extern const struct cp_handler proxy_handler;
extern const struct cp_handler time_handler;

/* What stands in a proxy's section. */
struct proxy_options {
	char *upstream; /* one of the config's */
	uint64_t buffer_size_bytes;
	uint64_t half_closed_timeout_ms;
};

/* cp_relay() to a server whose kind of socket is known: without the system call that asks for it. */
int relay_to_server(struct cp_conn *conn, int fd, bool is_unix, size_t limit, unsigned half_closed_ms);

/*
 * Makes a proxy's state of its section: *ret_data, to be released by *ret_release. Every upstream that the config
 * names has been prepared. 0 or -ENOMEM. Main thread.
 */
CP_MUST_CHECK int proxy_bind(
	const void *options, struct upstreams *upstreams, void **ret_data, void (**ret_release)(void *data));

#endif
