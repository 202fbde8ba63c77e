/* SPDX-License-Identifier: MIT */
/*
 * time.c - RFC 868: the seconds since 1900 as 32 bits in network byte order. They wrap on 2036-02-07; what a client
 * makes of that is its own affair, as it is with NTP's eras.
 */
#include "config.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <time.h>

#include "connpoold/handler.h"
#include "service/services.h"

/* From 1900-01-01 to 1970-01-01, as RFC 868 gives it. */
#define SECONDS_1900_TO_1970 2208988800u

static int
time_serve(struct cp_conn *conn)
{
	uint32_t seconds = htonl((uint32_t)time(NULL) + SECONDS_1900_TO_1970);

	return cp_send(conn, &seconds, sizeof(seconds)) < 0 ? -1 : CP_DONE;
}

const struct cp_handler time_handler = {.abi = CP_HANDLER_ABI, .name = "time", .serve = time_serve};
