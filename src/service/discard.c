/* SPDX-License-Identifier: MIT */
/*
 * discard.c - RFC 863: what comes in is thrown away.
 */
#include "config.h"

#include "connpoold/handler.h"
#include "service/services.h"

#define BUFFER_BYTES (16 * 1024)

static int
discard_serve(struct cp_conn *conn)
{
	char buf[BUFFER_BYTES];
	ssize_t n = cp_recv(conn, buf, sizeof(buf));

	return n > 0 ? CP_PARK : (int)n;
}

const struct cp_handler discard_handler = {
	.abi = CP_HANDLER_ABI, .name = "discard", .flags = CP_CLIENT_FIRST, .serve = discard_serve};
