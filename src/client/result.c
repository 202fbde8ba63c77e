/* SPDX-License-Identifier: MIT */
/*
 * Counting and adding up, no more: whatever decides what is counted is in bench_worker.c.
 */
#include "config.h"

#include "client/result.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"

void
result_init(struct result *result)
{
	memset(result, 0, sizeof(*result));
	histogram_init(&result->latency);
}

enum result_error
result_error_of(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return RESULT_REFUSED;
	case ECONNRESET:
	case EPIPE:
		return RESULT_RESET;
	case ETIMEDOUT:
		return RESULT_TIMED_OUT;
	case RESULT_ERRNO_CLOSED_EARLY:
		return RESULT_CLOSED_EARLY;
	case RESULT_ERRNO_CORRUPTED:
		return RESULT_CORRUPTED;
	default:
		return RESULT_OTHER;
	}
}

void
result_add_error(struct result *result, int error)
{
	enum result_error kind = result_error_of(error);

	result->errors[kind]++;
	if (kind == RESULT_OTHER)
		result->other_errno = error;
}

void
result_merge(struct result *result, const struct result *from)
{
	result->requests += from->requests;
	result->ok += from->ok;
	for (unsigned kind = 0; kind < RESULT_ERRORS; kind++)
		result->errors[kind] += from->errors[kind];
	if (from->other_errno != 0)
		result->other_errno = from->other_errno;
	result->not_sent += from->not_sent;
	result->connects += from->connects;
	result->ok_in_window += from->ok_in_window;
	if (from->window_ns > result->window_ns)
		result->window_ns = from->window_ns;
	histogram_merge(&result->latency, &from->latency);
}

const char *
result_error_name(enum result_error error)
{
	static const char *const names[RESULT_ERRORS] = {
		[RESULT_REFUSED] = "refused",
		[RESULT_RESET] = "reset",
		[RESULT_TIMED_OUT] = "timed_out",
		[RESULT_CLOSED_EARLY] = "closed_early",
		[RESULT_CORRUPTED] = "corrupted",
		[RESULT_OTHER] = "other",
	};

	return names[error];
}

uint64_t
result_error_sum(const struct result *result)
{
	uint64_t sum = 0;

	for (unsigned kind = 0; kind < RESULT_ERRORS; kind++)
		sum += result->errors[kind];
	return sum;
}

double
result_rate(const struct result *result)
{
	if (result->window_ns == 0)
		return 0.0;
	return (double)result->ok_in_window * (double)CLOCK_NS_PER_S / (double)result->window_ns;
}
