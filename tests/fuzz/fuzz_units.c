/* SPDX-License-Identifier: MIT */
/*
 * fuzz_units - sizes and times: what is taken is written back as something that is taken as the same.
 */
#include "config.h"

#include <errno.h>

#include "base/units.h"
#include "fuzz.h"

typedef int parse_fn(const char *text, uint64_t *ret_value);
typedef const char *format_fn(uint64_t value, char buf[UNITS_TEXT_MAX]);

static void
check(const char *text, parse_fn *parse, format_fn *format)
{
	const uint64_t untouched = 0x5ca1ab1e;
	uint64_t value = untouched, again = untouched;
	char written[UNITS_TEXT_MAX];
	int rc = parse(text, &value);

	if (rc < 0) {
		CP_ASSERT(rc == -EINVAL || rc == -ERANGE);
		CP_ASSERT(value == untouched);
		return;
	}
	CP_ASSERT(parse(format(value, written), &again) == 0);
	CP_ASSERT(again == value);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_string(data, size);

	check(text, units_parse_size, units_format_size);
	check(text, units_parse_time, units_format_time);
	free(text);
	return 0;
}
