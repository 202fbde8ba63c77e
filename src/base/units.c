/* SPDX-License-Identifier: MIT */
/*
 * units - sizes and times as people write them.
 *
 * Any thread, no allocation. Everything is exact: a value that cannot be kept as it is written ("1.5B", "0.1ms") is
 * refused, never rounded. Sums are kept in 128 bits, in bytes or microseconds, and held against their range at the end.
 */
#include "config.h"

#include "base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define US_PER_MS ((uint64_t)1000)

/* Saturation: above every value that is accepted (2^64 milliseconds in microseconds), far below overflow. */
#define VALUE_MAX ((unsigned __int128)UINT64_MAX * 1024 * 1024)

/* More digits behind the point than this cannot come to a whole byte or millisecond by any unit. */
#define FRACTION_DIGITS_MAX 18

struct unit {
	const char *name;
	uint64_t factor;
};

/* From large to small: the order in which parts may follow each other and in which formatting tries them. */
static const struct unit size_units[] = {
	{ "GiB", 1ull << 30 },
	{ "GB", 1000000000ull },
	{ "MiB", 1ull << 20 },
	{ "MB", 1000000ull },
	{ "KiB", 1ull << 10 },
	{ "kB", 1000ull },
	{ "B", 1 },
};

/* In microseconds. */
static const struct unit time_units[] = {
	{ "d", 86400000000ull },
	{ "h", 3600000000ull },
	{ "min", 60000000ull },
	{ "s", 1000000ull },
	{ "ms", US_PER_MS },
	{ "us", 1 },
};

struct number {
	unsigned __int128 whole;
	uint64_t fraction;       /* fraction / fraction_scale */
	uint64_t fraction_scale; /* a power of ten */
};

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static const char *
skip_blanks(const char *p)
{
	while (*p == ' ')
		p++;
	return p;
}

/* The fraction behind the point, without zeros at its end; false when it has no digits or too many. */
static bool
parse_fraction(const char **pos, struct number *number)
{
	const char *p = *pos;
	const char *end = p;
	const char *last = p;

	for (; is_digit(*end); end++) {
		if (*end != '0')
			last = end + 1;
	}
	if (end == p || last - p > FRACTION_DIGITS_MAX)
		return false;
	for (; p < last; p++) {
		number->fraction = number->fraction * 10 + (uint64_t)(*p - '0');
		number->fraction_scale *= 10;
	}
	*pos = end;
	return true;
}

static bool
parse_number(const char **pos, struct number *number)
{
	const char *p = *pos;

	*number = (struct number){ .fraction_scale = 1 };
	if (!is_digit(*p))
		return false;
	for (; is_digit(*p); p++) {
		number->whole = number->whole * 10 + (unsigned)(*p - '0');
		if (number->whole > VALUE_MAX)
			number->whole = VALUE_MAX;
	}
	if (*p == '.') {
		p++;
		if (!parse_fraction(&p, number))
			return false;
	}
	*pos = p;
	return true;
}

/* The unit that the letters at *pos spell, to their end; NULL when they spell none. */
static const struct unit *
parse_unit(const char **pos, const struct unit *units, size_t count)
{
	const char *p = *pos;
	size_t len = 0;

	while ((p[len] >= 'a' && p[len] <= 'z') || (p[len] >= 'A' && p[len] <= 'Z'))
		len++;
	for (size_t i = 0; i < count; i++) {
		if (strlen(units[i].name) == len && memcmp(units[i].name, p, len) == 0) {
			*pos = p + len;
			return &units[i];
		}
	}
	return NULL;
}

/* Adds a part to the sum, which stays at most VALUE_MAX; false when the part is not whole in the smallest unit. */
static bool
add_part(unsigned __int128 *sum, const struct number *number, uint64_t factor)
{
	unsigned __int128 fraction = (unsigned __int128)number->fraction * factor;

	if (fraction % number->fraction_scale != 0)
		return false;
	if (number->whole > VALUE_MAX / factor)
		*sum = VALUE_MAX;
	else
		*sum += number->whole * factor + fraction / number->fraction_scale;
	if (*sum > VALUE_MAX)
		*sum = VALUE_MAX;
	return true;
}

/* plain is what a number without a unit counts in; it stands alone then. */
static bool
parse_sum(const char *text, const struct unit *units, size_t count, uint64_t plain, unsigned __int128 *ret_sum)
{
	const struct unit *end = units + count;
	const char *p = text;
	struct number number;
	const struct unit *unit;

	*ret_sum = 0;
	if (!parse_number(&p, &number))
		return false;
	if (*p == '\0')
		return add_part(ret_sum, &number, plain);
	for (;;) {
		p = skip_blanks(p);
		unit = parse_unit(&p, units, (size_t)(end - units));
		if (unit == NULL || !add_part(ret_sum, &number, unit->factor))
			return false;
		if (*p == '\0')
			return true;
		p = skip_blanks(p);
		units = unit + 1;
		if (!parse_number(&p, &number))
			return false;
	}
}

int
units_parse_size(const char *text, uint64_t *ret_bytes)
{
	unsigned __int128 bytes;

	if (!parse_sum(text, size_units, CP_COUNT(size_units), 1, &bytes))
		return -EINVAL;
	if (bytes > UINT64_MAX)
		return -ERANGE;
	*ret_bytes = (uint64_t)bytes;
	return 0;
}

int
units_parse_time(const char *text, uint64_t *ret_ms)
{
	unsigned __int128 us;

	if (!parse_sum(text, time_units, CP_COUNT(time_units), 1000 * US_PER_MS, &us))
		return -EINVAL;
	if (us / US_PER_MS > UINT64_MAX)
		return -ERANGE;
	if (us % US_PER_MS != 0)
		return -EINVAL;
	*ret_ms = (uint64_t)(us / US_PER_MS);
	return 0;
}

const char *
units_format_size(uint64_t bytes, char buf[UNITS_TEXT_MAX])
{
	const struct unit *unit = size_units;

	while (unit->factor > 1 && (bytes == 0 || bytes % unit->factor != 0))
		unit++;
	snprintf(buf, UNITS_TEXT_MAX, "%" PRIu64 "%s", bytes / unit->factor, unit->name);
	return buf;
}

const char *
units_format_time(uint64_t ms, char buf[UNITS_TEXT_MAX])
{
	const struct unit *unit = time_units;

	if (ms == 0)
		return strcpy(buf, "0s");
	while (ms % (unit->factor / US_PER_MS) != 0)
		unit++;
	snprintf(buf, UNITS_TEXT_MAX, "%" PRIu64 "%s", ms / (unit->factor / US_PER_MS), unit->name);
	return buf;
}
