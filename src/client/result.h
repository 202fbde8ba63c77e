/* SPDX-License-Identifier: MIT */
/*
 * result - what a run of the bench counted: one a worker thread while it runs, merged into one at the end.
 *
 * Invariant once a run is over: requests = ok + the sum of errors. Not thread-safe.
 */
#ifndef CP_CLIENT_RESULT_H
#define CP_CLIENT_RESULT_H

#include <stdint.h>

#include "base/defs.h"
#include "base/histogram.h"

enum result_error {
	RESULT_REFUSED,      /* nobody listens */
	RESULT_RESET,        /* the connection was reset, or broke while sending */
	RESULT_TIMED_OUT,    /* no connection, or no whole answer, in time */
	RESULT_CLOSED_EARLY, /* the peer ended the connection before it had answered */
	RESULT_CORRUPTED,    /* what came back is not what had been sent */
	RESULT_OTHER,        /* other_errno says what the last one was */
	RESULT_ERRORS
};

/* Errors of a connection that no system call reports. */
#define RESULT_ERRNO_CLOSED_EARLY ENODATA
#define RESULT_ERRNO_CORRUPTED EBADMSG

struct result {
	uint64_t requests;
	uint64_t ok;
	uint64_t errors[RESULT_ERRORS];
	int other_errno;         /* 0: none */
	uint64_t not_sent;       /* with a rate: were due, but no connection was free until the end */
	uint64_t connects;       /* connections opened */
	uint64_t ok_in_window;   /* of ok, those that ended within the window: what the rate counts */
	uint64_t window_ns;      /* from the common start to the end of the run */
	struct histogram latency; /* ns, of those that are ok */
};

void result_init(struct result *result);
/* Counts a failure; error is a positive errno or RESULT_ERRNO_…. */
void result_add_error(struct result *result, int error);
/* Sums counts; the window is the longer one. */
void result_merge(struct result *result, const struct result *from);

enum result_error result_error_of(int error);
/* "refused", "closed_early", …: a JSON key. */
const char *result_error_name(enum result_error error);
uint64_t result_error_sum(const struct result *result);
/* Echoes a second. */
double result_rate(const struct result *result);

#endif
