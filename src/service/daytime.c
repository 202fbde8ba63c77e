/* SPDX-License-Identifier: MIT */
/*
 * daytime.c - RFC 867: the date and the time as a line of text, whatever the client sends.
 *
 * RFC 867 leaves the form open; this is the one that its examples and inetd have in common: "Sun Nov 22 13:37:00 2026".
 */
#include "config.h"

#include <time.h>

#include "connpoold/handler.h"
#include "service/services.h"

static int
daytime_serve(struct cp_conn *conn)
{
	time_t now = time(NULL);
	struct tm local;
	char line[64];
	size_t length;

	localtime_r(&now, &local);
	length = strftime(line, sizeof(line), "%a %b %e %H:%M:%S %Y\r\n", &local);
	return cp_send(conn, line, length) < 0 ? -1 : CP_DONE;
}

const struct cp_handler daytime_handler = {.abi = CP_HANDLER_ABI, .name = "daytime", .serve = daytime_serve};
