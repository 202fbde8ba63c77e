/* SPDX-License-Identifier: MIT */
/*
 * accept_error.c - the errors of accept(2), by whom they concern.
 */
#include "config.h"

#include "net/accept_error.h"

#include <errno.h>

enum accept_error_kind
accept_error_kind(int error)
{
	switch (error) {
	case EINTR:
	case ECONNABORTED:
	case EPROTO:
	case EPERM: /* a packet filter said no */
	case ENETDOWN: /* this one and the rest: pending network errors of the new connection (accept(2)) */
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
	case ENETUNREACH:
	case ETIMEDOUT:
		return ACCEPT_ERROR_OF_CONNECTION;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		return ACCEPT_ERROR_OF_SHORTAGE;
	default:
		return ACCEPT_ERROR_OF_SOCKET;
	}
}
