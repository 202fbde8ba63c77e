/* SPDX-License-Identifier: MIT */
/*
 * refusals - what was rejected, logged at a limited rate: one line a listener a second at most, with counts by reason.
 */
#ifndef CP_NET_REFUSALS_H
#define CP_NET_REFUSALS_H

#include <stdbool.h>
#include <stdint.h>

struct listener;

#define REFUSALS_LOG_INTERVAL_MS 1000

/*
 * Logs what was rejected since the last line, unless that is less than the interval ago. True: something is left to
 * log. Main thread.
 */
bool refusals_log(struct listener *listener, uint64_t now_ns);
/*
 * Logs what is left at once. For a listener that the main thread looks at for the last time, or whose last user ends:
 * so that the log's sums are whole.
 */
void refusals_log_rest(struct listener *listener);

#endif
