/* SPDX-License-Identifier: MIT */
/*
 * Tests of base/units: what people write is taken exactly or refused, and what is formatted reads back.
 */
#include "config.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include <check.h>

#include "base/units.h"

#define UNTOUCHED 4711

struct example {
	const char *text;
	uint64_t value;
};

static void
check_sizes(const struct example *examples, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t bytes = UNTOUCHED;

		ck_assert_msg(units_parse_size(examples[i].text, &bytes) == 0, "\"%s\" refused", examples[i].text);
		ck_assert_msg(bytes == examples[i].value, "\"%s\" is %ju", examples[i].text, (uintmax_t)bytes);
	}
}

static void
check_times(const struct example *examples, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t ms = UNTOUCHED;

		ck_assert_msg(units_parse_time(examples[i].text, &ms) == 0, "\"%s\" refused", examples[i].text);
		ck_assert_msg(ms == examples[i].value, "\"%s\" is %ju", examples[i].text, (uintmax_t)ms);
	}
}

static void
check_refused(int (*parse)(const char *text, uint64_t *ret), const char *const *texts, size_t count, int error)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t value = UNTOUCHED;
		int r = parse(texts[i], &value);

		ck_assert_msg(r == error, "\"%s\" gives %d", texts[i], r);
		ck_assert_uint_eq(value, UNTOUCHED);
	}
}

START_TEST(size_has_every_unit)
{
	static const struct example examples[] = {
		{ "0", 0 },
		{ "1", 1 },
		{ "7B", 7 },
		{ "64KiB", 65536 },
		{ "64kB", 64000 },
		{ "3MiB", 3145728 },
		{ "3MB", 3000000 },
		{ "2GiB", 2147483648 },
		{ "2GB", 2000000000 },
		{ "007", 7 },
		{ "1 MiB", 1048576 },
	};

	check_sizes(examples, CP_COUNT(examples));
}
END_TEST

START_TEST(size_may_have_parts_and_fractions)
{
	static const struct example examples[] = {
		{ "1.5KiB", 1536 },
		{ "0.5GB", 500000000 },
		{ "1.0", 1 },
		{ "1.000000000000000000000000B", 1 },
		{ "1GiB512MiB", 1610612736 },
		{ "1MiB 1KiB 1B", 1049601 },
		{ "0.0009765625KiB", 1 },
	};

	check_sizes(examples, CP_COUNT(examples));
}
END_TEST

START_TEST(size_reaches_the_last_value)
{
	static const struct example examples[] = {
		{ "18446744073709551615", UINT64_MAX },
		{ "18446744073709551615B", UINT64_MAX },
		{ "17179869183GiB1073741823B", UINT64_MAX },
		{ "00000000000000000000000000000000000000001", 1 },
	};

	check_sizes(examples, CP_COUNT(examples));
}
END_TEST

START_TEST(size_beyond_the_last_value_is_out_of_range)
{
	static const char *const texts[] = { "18446744073709551616", "17179869184GiB", "17179869183GiB1073741824B",
		"99999999999999999999999999999999999999999999999999999999999999GiB",
		"99999999999999999999999999999999999999999999999999GiB9999999999999999999999999999999999MiB1B" };

	check_refused(units_parse_size, texts, CP_COUNT(texts), -ERANGE);
}
END_TEST

START_TEST(garbage_is_no_size)
{
	static const char *const texts[] = { "", " ", " 1", "1 ", "B", "KiB", "-1", "+1", "1x", "1K", "1kib",
		"1KIB", "1Kb", "1TiB", "0x10", "1e3", ".5KiB", "1.KiB", "1..5KiB", "1.5.5KiB", "1,5KiB", "1KiB1MiB",
		"1KiB1KiB",
		"1KiB1", "1 1", "1KiB ", "1KiB,1B", "1B\n", "1\t", "0.5", "1.5B", "0.1KiB", "1.0000000000000000001GiB",
		"1s",
		"99999999999999999999x",
		"1KiB\xc2\xb5", "1\xc2\xa0KiB" };

	check_refused(units_parse_size, texts, CP_COUNT(texts), -EINVAL);
}
END_TEST

START_TEST(time_has_every_unit)
{
	static const struct example examples[] = {
		{ "0", 0 },
		{ "2", 2000 },
		{ "2000us", 2 },
		{ "1500ms", 1500 },
		{ "30s", 30000 },
		{ "5min", 300000 },
		{ "2h", 7200000 },
		{ "1d", 86400000 },
		{ "5 min", 300000 },
	};

	check_times(examples, CP_COUNT(examples));
}
END_TEST

START_TEST(time_may_have_parts_and_fractions)
{
	static const struct example examples[] = {
		{ "1min30s", 90000 },
		{ "1min 30s", 90000 },
		{ "1d2h3min4s5ms6000us", 93784011 },
		{ "1.5s", 1500 },
		{ "0.25", 250 },
		{ "0.001s", 1 },
		{ "1.5h", 5400000 },
		{ "1.5000s", 1500 },
	};

	check_times(examples, CP_COUNT(examples));
}
END_TEST

START_TEST(time_reaches_the_last_value)
{
	static const struct example examples[] = {
		{ "18446744073709551615ms", UINT64_MAX },
		{ "18446744073709551.615s", UINT64_MAX },
		{ "18446744073709551s615ms", UINT64_MAX },
	};
	static const char *const texts[] = { "18446744073709551616ms", "18446744073709551.616s", "18446744073709552",
		"18446744073709551615s", "99999999999999999999999999999999999999999d" };

	check_times(examples, CP_COUNT(examples));
	check_refused(units_parse_time, texts, CP_COUNT(texts), -ERANGE);
}
END_TEST

START_TEST(garbage_is_no_time)
{
	static const char *const texts[] = { "", " ", "s", "-1s", "1m", "1S", "1sec", "1minutes", "1ms1s", "1s1s",
		"30s1min", "1min30", "1:30", "1y", "1KiB", "infinity", "1.s", ".5s", "1s ", " 1s", "1s;", "1smin" };

	check_refused(units_parse_time, texts, CP_COUNT(texts), -EINVAL);
}
END_TEST

START_TEST(time_finer_than_a_millisecond_is_refused)
{
	static const char *const texts[] = { "1us", "1500us", "0.5ms", "0.0001s", "0.0000001min", "1s1us",
		"0.0000000000000000001d" };

	check_refused(units_parse_time, texts, CP_COUNT(texts), -EINVAL);
}
END_TEST

START_TEST(size_is_formatted_in_the_largest_exact_unit)
{
	static const struct example examples[] = {
		{ "0B", 0 },
		{ "1B", 1 },
		{ "1500B", 1500 },
		{ "1kB", 1000 },
		{ "1KiB", 1024 },
		{ "64KiB", 65536 },
		{ "1025B", 1025 },
		{ "1MiB", 1048576 },
		{ "3MB", 3000000 },
		{ "3GiB", 3221225472 },
		{ "18446744073709551615B", UINT64_MAX },
	};
	char buf[UNITS_TEXT_MAX];

	for (size_t i = 0; i < CP_COUNT(examples); i++)
		ck_assert_str_eq(units_format_size(examples[i].value, buf), examples[i].text);
}
END_TEST

START_TEST(time_is_formatted_in_the_largest_exact_unit)
{
	static const struct example examples[] = {
		{ "0s", 0 },
		{ "1ms", 1 },
		{ "1500ms", 1500 },
		{ "1s", 1000 },
		{ "90s", 90000 },
		{ "5min", 300000 },
		{ "2h", 7200000 },
		{ "1d", 86400000 },
		{ "25h", 90000000 },
		{ "18446744073709551615ms", UINT64_MAX },
	};
	char buf[UNITS_TEXT_MAX];

	for (size_t i = 0; i < CP_COUNT(examples); i++)
		ck_assert_str_eq(units_format_time(examples[i].value, buf), examples[i].text);
}
END_TEST

START_TEST(what_is_formatted_reads_back)
{
	char buf[UNITS_TEXT_MAX];
	uint64_t value = 1;
	uint64_t back;

	for (int i = 0; i < 2000; i++) {
		ck_assert_int_eq(units_parse_size(units_format_size(value, buf), &back), 0);
		ck_assert_uint_eq(back, value);
		ck_assert_int_eq(units_parse_time(units_format_time(value, buf), &back), 0);
		ck_assert_uint_eq(back, value);
		value = i % 3 == 0 ? value * 1000 : value * 6364136223846793005ull + 1;
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("base/units");
	TCase *tc;
	SRunner *runner;
	int failed;

	tc = tcase_create("size");
	tcase_add_test(tc, size_has_every_unit);
	tcase_add_test(tc, size_may_have_parts_and_fractions);
	tcase_add_test(tc, size_reaches_the_last_value);
	tcase_add_test(tc, size_beyond_the_last_value_is_out_of_range);
	tcase_add_test(tc, garbage_is_no_size);
	suite_add_tcase(suite, tc);
	tc = tcase_create("time");
	tcase_add_test(tc, time_has_every_unit);
	tcase_add_test(tc, time_may_have_parts_and_fractions);
	tcase_add_test(tc, time_reaches_the_last_value);
	tcase_add_test(tc, garbage_is_no_time);
	tcase_add_test(tc, time_finer_than_a_millisecond_is_refused);
	suite_add_tcase(suite, tc);
	tc = tcase_create("format");
	tcase_add_test(tc, size_is_formatted_in_the_largest_exact_unit);
	tcase_add_test(tc, time_is_formatted_in_the_largest_exact_unit);
	tcase_add_test(tc, what_is_formatted_reads_back);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
