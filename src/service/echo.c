/* SPDX-License-Identifier: MIT */
/*
 * echo.c - RFC 862: what comes in goes out again.
 */
#include "config.h"

#include "connpoold/handler.h"
#include "service/services.h"

#define BUFFER_BYTES (16 * 1024)

/* Once for each arrival of input; between two the connection costs no stack. */
static int
echo_serve(struct cp_conn *conn)
{
	char buf[BUFFER_BYTES];
	ssize_t n = cp_recv(conn, buf, sizeof(buf));

	if (n <= 0)
		return (int)n;
	return cp_send(conn, buf, (size_t)n) < 0 ? -1 : CP_PARK;
}

const struct cp_handler echo_handler = {
	.abi = CP_HANDLER_ABI, .name = "echo", .flags = CP_CLIENT_FIRST, .serve = echo_serve};
