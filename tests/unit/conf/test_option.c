/* SPDX-License-Identifier: MIT */
/*
 * Tests of conf/option: values into fields and what is said of those that do not fit.
 */
#include "config.h"

#include <errno.h>

#include <check.h>

#include "base/address.h"
#include "base/errmsg.h"
#include "base/mem.h"
#include "conf/option.h"
#include "conffiles.h"

static const struct option_word colours[] = {{"red", 1}, {"green", 2}, {"blue", 3}, {NULL, 0}};

struct all {
	bool flag;
	uint64_t count;
	uint64_t size;
	uint64_t time;
	uint64_t mode;
	int colour;
	char *text;
	struct option_strings texts;
	struct option_addresses addresses;
	struct option_networks networks;
	struct address *address;
	char *upstream;
};

enum { FLAG, COUNT, SIZE, TIME, MODE, COLOUR, TEXT, TEXTS, ADDRESSES, NETWORKS, ADDRESS, UPSTREAM };

static const struct option rows[] = {
	OPT_BOOL(struct all, flag, "flag", "true", OPTION_LIVE, "A."),
	OPT_UINT(struct all, count, "count", 2, 10, "3", "apples", OPTION_LIVE, "A."),
	OPT_SIZE(struct all, size, "size", 1024, 1048576, "4KiB", OPTION_LIVE, "A."),
	OPT_TIME(struct all, time, "time", 10, 60000, "1500ms", OPTION_LIVE, "A."),
	OPT_MODE(struct all, mode, "mode", "0640", OPTION_LIVE, "A."),
	OPT_WORD(struct all, colour, "colour", colours, "green", OPTION_LIVE, "A."),
	OPT_STRING(struct all, text, "text", "hello", OPTION_LIVE, "A."),
	OPT_STRINGS(struct all, texts, "texts", OPTION_LIVE, "A."),
	OPT_ADDRESSES_REQUIRED(struct all, addresses, "addresses", OPTION_LIVE, "A."),
	OPT_NETWORKS(struct all, networks, "networks", OPTION_LIVE, "A."),
	OPT_ADDRESS_REQUIRED(struct all, address, "server", OPTION_LIVE, "A."),
	OPT_UPSTREAM_REQUIRED(struct all, upstream, "upstream", OPTION_LIVE, "A."),
	OPT_END,
};

static const struct option_group group = {.path = "all", .options = rows, .size = sizeof(struct all)};

static struct all all;
static struct errmsg err;

static void
setup(void)
{
	memset(&all, 0, sizeof(all));
	ck_assert_int_eq(option_group_init(&group, &all), 0);
}

static void
teardown(void)
{
	option_group_fini(&group, &all);
	ck_assert(all.text == NULL && all.address == NULL && all.upstream == NULL);
	ck_assert_uint_eq(all.texts.count + all.addresses.count + all.networks.count, 0);
}

static int
set_text(int row, const char *text)
{
	err.text[0] = '\0';
	return option_set_text(&rows[row], option_field(&rows[row], &all), text, &err);
}

static int
set_integer(int row, int64_t value)
{
	err.text[0] = '\0';
	return option_set_integer(&rows[row], option_field(&rows[row], &all), value, &err);
}

START_TEST(defaults_are_set)
{
	ck_assert(all.flag);
	ck_assert_uint_eq(all.count, 3);
	ck_assert_uint_eq(all.size, 4096);
	ck_assert_uint_eq(all.time, 1500);
	ck_assert_uint_eq(all.mode, 0640);
	ck_assert_int_eq(all.colour, 2);
	ck_assert_str_eq(all.text, "hello");
	ck_assert_ptr_eq(option_find(&group, "time"), &rows[TIME]);
	ck_assert_ptr_null(option_find(&group, "tim"));
}
END_TEST

START_TEST(texts_are_taken)
{
	ck_assert_int_eq(set_text(FLAG, "false"), 0);
	ck_assert_int_eq(set_text(SIZE, "1MiB"), 0);
	ck_assert_int_eq(set_text(TIME, "1min"), 0);
	ck_assert_int_eq(set_text(MODE, "0700"), 0);
	ck_assert_int_eq(set_text(COLOUR, "blue"), 0);
	ck_assert_int_eq(set_text(TEXT, "other"), 0);
	ck_assert(!all.flag);
	ck_assert_uint_eq(all.size, 1048576);
	ck_assert_uint_eq(all.time, 60000);
	ck_assert_uint_eq(all.mode, 0700);
	ck_assert_int_eq(all.colour, 3);
	ck_assert_str_eq(all.text, "other");
}
END_TEST

START_TEST(lists_grow)
{
	ck_assert_int_eq(set_text(TEXTS, "a"), 0);
	ck_assert_int_eq(set_text(TEXTS, "b"), 0);
	ck_assert_int_eq(set_text(ADDRESSES, "tcp:*:80"), 0);
	ck_assert_int_eq(set_text(NETWORKS, "10.0.0.0/8"), 0);
	ck_assert_uint_eq(option_count(&rows[TEXTS], &all.texts), 2);
	ck_assert_str_eq(all.texts.items[1], "b");
	ck_assert_uint_eq(option_count(&rows[ADDRESSES], &all.addresses), 1);
	ck_assert_uint_eq(all.addresses.items[0].port, 80);
	ck_assert_uint_eq(option_count(&rows[NETWORKS], &all.networks), 1);
	ck_assert_uint_eq(option_count(&rows[TEXT], &all.text), 1);
	ck_assert_int_eq(set_text(ADDRESSES, "nonsense"), -EINVAL);
	ck_assert_int_eq(set_text(NETWORKS, "nonsense"), -EINVAL);
	ck_assert_uint_eq(all.addresses.count, 1);
}
END_TEST

START_TEST(server_address_is_replaced_by_a_good_one)
{
	ck_assert_int_eq(set_text(ADDRESS, "tcp:Web:80"), 0);
	ck_assert_str_eq(all.address->text, "tcp:web:80");
	ck_assert_int_eq(set_text(ADDRESS, "srv:_http._tcp.example.com"), 0);
	ck_assert_int_eq(all.address->kind, ADDRESS_SRV);
	ck_assert_int_eq(set_text(ADDRESS, "tcp:*:80"), -EINVAL);
	ck_assert_int_eq(all.address->kind, ADDRESS_SRV);
	ck_assert_int_eq(set_integer(ADDRESS, 80), -EINVAL);
	ck_assert_str_eq(err.text,
		"80 is a number, expected an address such as \"tcp:192.0.2.1:80\", \"unix:PATH\" or \"srv:NAME\"");
	ck_assert_int_eq(set_text(UPSTREAM, "web"), 0);
	ck_assert_str_eq(all.upstream, "web");
	ck_assert_uint_eq(option_count(&rows[ADDRESS], &all.address), 1);
}
END_TEST

START_TEST(integers_are_taken)
{
	ck_assert_int_eq(set_integer(COUNT, 10), 0);
	ck_assert_int_eq(set_integer(SIZE, 2000), 0);
	ck_assert_int_eq(set_integer(TIME, 2), 0);
	ck_assert_uint_eq(all.count, 10);
	ck_assert_uint_eq(all.size, 2000);
	ck_assert_uint_eq(all.time, 2000);
	ck_assert_int_eq(set_integer(TEXT, 1), -EINVAL);
	ck_assert_str_eq(err.text, "1 is a number, expected a string");
}
END_TEST

START_TEST(values_beyond_the_range_are_refused_with_it)
{
	ck_assert_int_eq(set_integer(COUNT, 1), -ERANGE);
	ck_assert_str_eq(err.text, "1 is out of range, expected a number from 2 to 10 apples");
	ck_assert_int_eq(set_integer(COUNT, 11), -ERANGE);
	ck_assert_int_eq(set_integer(COUNT, -3), -ERANGE);
	ck_assert_int_eq(set_integer(TIME, INT64_MAX), -ERANGE);
	ck_assert_int_eq(set_integer(TIME, 61), -ERANGE);
	ck_assert_int_eq(set_text(SIZE, "1023"), -ERANGE);
	ck_assert_str_eq(
		err.text, "\"1023\" is out of range, expected a size from 1KiB to 1MiB, in bytes or such as \"64KiB\"");
	ck_assert_int_eq(set_text(SIZE, "99999999999999999999GiB"), -ERANGE);
	ck_assert_int_eq(set_text(MODE, "1777"), -ERANGE);
	ck_assert_uint_eq(all.count, 3);
	ck_assert_uint_eq(all.size, 4096);
	ck_assert_uint_eq(all.mode, 0640);
}
END_TEST

START_TEST(nonsense_is_refused_with_what_was_expected)
{
	ck_assert_int_eq(set_text(COLOUR, "Red"), -EINVAL);
	ck_assert_str_eq(err.text, "\"Red\" is not understood, expected \"red\", \"green\" or \"blue\"");
	ck_assert_int_eq(set_text(FLAG, "yes"), -EINVAL);
	ck_assert_int_eq(set_text(MODE, "0999"), -EINVAL);
	ck_assert_int_eq(set_text(MODE, "-1"), -EINVAL);
	ck_assert_int_eq(set_text(MODE, "0000000000000000000000"), -EINVAL);
	ck_assert_int_eq(set_text(COUNT, ""), -EINVAL);
	ck_assert_int_eq(set_text(TIME, "soon"), -EINVAL);
	ck_assert_int_eq(all.colour, 2);
}
END_TEST

START_TEST(no_memory_keeps_the_old_value)
{
	for (int row = TEXT; row <= UPSTREAM; row++) {
		mem_fail_after(1);
		ck_assert_int_eq(set_text(row, "tcp:*:80"), -ENOMEM);
	}
	mem_fail_after(2);
	ck_assert_int_eq(set_text(ADDRESS, "tcp:a:80"), -ENOMEM);
	ck_assert_ptr_null(all.address);
	mem_fail_after(2);
	ck_assert_int_eq(set_text(TEXTS, "x"), -ENOMEM);
	mem_fail_after(0);
	ck_assert_str_eq(all.text, "hello");
	ck_assert_uint_eq(all.texts.count + all.addresses.count + all.networks.count, 0);
}
END_TEST

START_TEST(equal_values_are_equal)
{
	struct all other = {.flag = false};

	ck_assert_int_eq(option_group_init(&group, &other), 0);
	for (const struct option *row = rows; row->name != NULL; row++)
		ck_assert_msg(
			option_is_equal(row, option_field(row, &all), option_field(row, &other)), "%s", row->name);
	ck_assert_int_eq(set_text(FLAG, "false"), 0);
	ck_assert_int_eq(set_text(TEXT, "x"), 0);
	ck_assert_int_eq(set_text(COLOUR, "red"), 0);
	ck_assert_int_eq(set_text(SIZE, "5000"), 0);
	ck_assert_int_eq(set_text(TEXTS, "x"), 0);
	ck_assert_int_eq(set_text(ADDRESSES, "tcp:*:80"), 0);
	ck_assert_int_eq(set_text(NETWORKS, "::1"), 0);
	ck_assert_int_eq(set_text(ADDRESS, "unix:/a"), 0);
	ck_assert_int_eq(set_text(UPSTREAM, "x"), 0);
	for (const struct option *row = rows; row->name != NULL; row++) {
		bool same = row == &rows[COUNT] || row == &rows[TIME] || row == &rows[MODE];

		ck_assert_msg(option_is_equal(row, option_field(row, &all), option_field(row, &other)) == same, "%s",
			row->name);
	}
	option_group_fini(&group, &other);
}
END_TEST

START_TEST(lists_of_one_length_are_compared_by_element)
{
	struct all other = {.flag = false};

	for (int row = TEXTS; row <= NETWORKS; row++) {
		void *field = option_field(&rows[row], &other);
		const char *text = row == ADDRESSES ? "tcp:*:81" : "10.0.0.0/9";

		ck_assert_int_eq(set_text(row, row == ADDRESSES ? "tcp:*:80" : "10.0.0.0/8"), 0);
		ck_assert_int_eq(option_set_text(&rows[row], field, text, NULL), 0);
		ck_assert(!option_is_equal(&rows[row], option_field(&rows[row], &all), field));
	}
	option_group_fini(&group, &other);
}
END_TEST

START_TEST(server_addresses_are_compared_by_what_they_mean)
{
	struct all other = {.flag = false};
	const struct option *row = &rows[ADDRESS];

	ck_assert_int_eq(set_text(ADDRESS, "tcp:[::1]:80"), 0);
	ck_assert_int_eq(option_set_text(row, &other.address, "tcp:[0:0::1]:080", NULL), 0);
	ck_assert(option_is_equal(row, &all.address, &other.address));
	ck_assert_int_eq(option_set_text(row, &other.address, "tcp:[::1]:81", NULL), 0);
	ck_assert(!option_is_equal(row, &all.address, &other.address));
	option_group_fini(&group, &other);
}
END_TEST

START_TEST(every_type_has_its_names)
{
	for (int type = OPTION_BOOL; type <= OPTION_SERVICE; type++)
		ck_assert_str_ne(option_type_name((enum option_type)type), "unknown");
	for (int reload = OPTION_LIVE; reload <= OPTION_RESTART; reload++)
		ck_assert_str_ne(option_reload_name((enum option_reload)reload), "unknown");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("conf/option");
	TCase *tc = tcase_create("set");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, defaults_are_set);
	tcase_add_test(tc, texts_are_taken);
	tcase_add_test(tc, lists_grow);
	tcase_add_test(tc, server_address_is_replaced_by_a_good_one);
	tcase_add_test(tc, integers_are_taken);
	tcase_add_test(tc, values_beyond_the_range_are_refused_with_it);
	tcase_add_test(tc, nonsense_is_refused_with_what_was_expected);
	tcase_add_test(tc, no_memory_keeps_the_old_value);
	suite_add_tcase(suite, tc);
	tc = tcase_create("compare");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, equal_values_are_equal);
	tcase_add_test(tc, lists_of_one_length_are_compared_by_element);
	tcase_add_test(tc, server_addresses_are_compared_by_what_they_mean);
	tcase_add_test(tc, every_type_has_its_names);
	suite_add_tcase(suite, tc);
	return conffiles_run(suite);
}
