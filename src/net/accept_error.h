/* SPDX-License-Identifier: MIT */
/*
 * accept_error - what an error of accept4(2) is about: it decides who pauses. Any thread.
 */
#ifndef CP_NET_ACCEPT_ERROR_H
#define CP_NET_ACCEPT_ERROR_H

enum accept_error_kind {
	ACCEPT_ERROR_OF_CONNECTION, /* of the one connection: the next one may be fine */
	ACCEPT_ERROR_OF_SHORTAGE,   /* of the process or the system: every socket would fail alike */
	ACCEPT_ERROR_OF_SOCKET,     /* of the listening socket: it alone fails */
};

/* error: a positive errno, but for EAGAIN: an empty backlog is no error. */
enum accept_error_kind accept_error_kind(int error);

#endif
