/* SPDX-License-Identifier: MIT */
/*
 * services.h - the handlers that are built in, one file each.
 */
#ifndef CP_SERVICE_SERVICES_H
#define CP_SERVICE_SERVICES_H

struct cp_handler;

extern const struct cp_handler chargen_handler;
extern const struct cp_handler daytime_handler;
extern const struct cp_handler discard_handler;
extern const struct cp_handler echo_handler;
extern const struct cp_handler time_handler;

#endif
