/* SPDX-License-Identifier: MIT */
/*
 * refusals - what was rejected, logged at a limited rate: one line a listener a second at most, with counts by reason.
 * Beside it, at the same rate, what was wrong with the last proxy: its operator can't find that out from a count.
 */
#ifndef CP_NET_REFUSALS_H
#define CP_NET_REFUSALS_H

#include <stdbool.h>
#include <stdint.h>

struct listener;
struct peer;

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
/*
 * Says what was wrong with one that came by accept_proxy: "it is not one of trusted_proxies". One line a listener an
 * interval, all others are only counted. Any thread.
 */
void refusals_log_proxy(struct listener *listener, const struct peer *proxy, const char *what);

#endif
