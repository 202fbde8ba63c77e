/* SPDX-License-Identifier: MIT */
/*
 * units - sizes and times as people write them.
 *
 * A size is a number with B, KiB, MiB, GiB (1024) or kB, MB, GB (1000), and a time one with us, ms, s, min, h, d.
 * "1min30s" and "1.5s" are accepted too (units from large to small, blanks between the parts). Without a unit a
 * size is in bytes and a time in seconds.
 */
#ifndef CP_BASE_UNITS_H
#define CP_BASE_UNITS_H

#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"

/* Fits every result of the format functions, NUL included. */
#define UNITS_TEXT_MAX 32

/* 0, or -EINVAL: not a size, or not in whole bytes; -ERANGE: over UINT64_MAX. *ret_bytes is written on success only. */
CP_MUST_CHECK int units_parse_size(const char *text, uint64_t *ret_bytes);
/* 0, or -EINVAL: not a time, or finer than a millisecond; -ERANGE. *ret_ms is written on success only. */
CP_MUST_CHECK int units_parse_time(const char *text, uint64_t *ret_ms);

/* The largest unit that is exact: 65536 -> "64KiB", 1500 -> "1500B". Returns buf. */
const char *units_format_size(uint64_t bytes, char buf[UNITS_TEXT_MAX]);
/* 1500 -> "1500ms", 300000 -> "5min", 0 -> "0s". Returns buf. */
const char *units_format_time(uint64_t ms, char buf[UNITS_TEXT_MAX]);

#endif
