/* SPDX-License-Identifier: MIT */
/*
 * test_module_elf - shared objects looked at as bytes: this machine's and others', whole ones, parts, and lies.
 */
#include "config.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "base/errmsg.h"
#include "connpoold/handler.h"
#include "service/module_elf.h"
#include "../net/netfixture.h"

#define VARIABLE "connpoold_handler"

static unsigned char *bytes;
static size_t size;

/* The module of that name in tests/modules/, freed by tear_down(). */
static void
read_module(const char *name)
{
	const char *folder = getenv("top_builddir");
	char path[512];
	FILE *file;

	free(bytes);
	snprintf(path, sizeof(path), "%s/tests/modules/%s.so", folder != NULL ? folder : ".", name);
	file = fopen(path, "rb");
	ck_assert_msg(file != NULL, "%s", path);
	ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
	size = (size_t)ftell(file);
	rewind(file);
	bytes = malloc(size);
	ck_assert_ptr_nonnull(bytes);
	ck_assert_uint_eq(fread(bytes, 1, size, file), size);
	fclose(file);
}

static void
tear_down(void)
{
	free(bytes);
	bytes = NULL;
}

static ElfW(Ehdr) header(void)
{
	ElfW(Ehdr) copy;

	memcpy(&copy, bytes, sizeof(copy));
	return copy;
}

static void
write_header(const ElfW(Ehdr) * changed)
{
	memcpy(bytes, changed, sizeof(*changed));
}

static void
expect_refused(const char *text)
{
	struct errmsg err = {""};

	ck_assert_int_eq(module_elf_check(bytes, size, &err), -ENOEXEC);
	ck_assert_msg(strstr(err.text, text) != NULL, "%s", err.text);
}

/* ---- what it is --------------------------------------------------------------------- */

START_TEST(a_module_is_taken)
{
	read_module("probe-one");
	ck_assert_int_eq(module_elf_check(bytes, size, NULL), 0);
}
END_TEST

START_TEST(an_object_file_and_other_machines_are_named)
{
	ElfW(Ehdr) changed;

	read_module("broken-object");
	expect_refused("is an object file, no shared object");
	read_module("probe-one");
	changed = header();
	changed.e_machine++;
	write_header(&changed);
	expect_refused("is for another kind of machine");
	changed.e_machine--;
	changed.e_ident[EI_CLASS] ^= 3;
	write_header(&changed);
	expect_refused("is for another kind of machine");
	changed.e_ident[EI_CLASS] ^= 3;
	changed.e_ident[EI_DATA] ^= 3;
	write_header(&changed);
	expect_refused("is for another kind of machine");
}
END_TEST

START_TEST(every_part_of_one_is_refused_or_has_all_that_is_loaded)
{
	ElfW(Phdr) segment;
	size_t whole;
	size_t needed = 0;

	read_module("probe-one");
	whole = size;
	for (unsigned i = 0; i < header().e_phnum; i++) {
		memcpy(&segment, bytes + header().e_phoff + i * sizeof(segment), sizeof(segment));
		if (segment.p_type == PT_LOAD && segment.p_offset + segment.p_filesz > needed)
			needed = segment.p_offset + segment.p_filesz;
	}
	ck_assert_uint_lt(needed, whole);
	for (size = SELFMAG; size < needed; size += 1 + needed / 500)
		expect_refused("is not whole");
	size = needed - 1;
	expect_refused("is not whole");
	size = needed;
	ck_assert_int_eq(module_elf_check(bytes, size, NULL), 0);
}
END_TEST

START_TEST(headers_that_point_out_of_the_file_are_refused)
{
	ElfW(Ehdr) good;
	ElfW(Ehdr) bad;

	read_module("probe-one");
	good = bad = header();
	bad.e_phoff = UINT64_MAX;
	write_header(&bad);
	expect_refused("is not whole");
	bad.e_phoff = size - 1;
	write_header(&bad);
	expect_refused("is not whole");
	bad = good;
	bad.e_phnum = UINT16_MAX;
	write_header(&bad);
	expect_refused("is not whole");
	bad = good;
	bad.e_phentsize = 1;
	write_header(&bad);
	expect_refused("is not whole");
}
END_TEST

/* ---- its number ------------------------------------------------------------------------ */

static void
expect_number(int rc, uint32_t expected)
{
	uint32_t number = 0;

	ck_assert_int_eq(module_elf_read_number(bytes, size, VARIABLE, &number), rc);
	ck_assert_uint_eq(number, expected);
}

START_TEST(the_number_is_read_without_loading)
{
	uint32_t number;

	read_module("probe-one");
	expect_number(0, CP_HANDLER_ABI);
	ck_assert_int_eq(module_elf_read_number(bytes, size, "connpoold_handle", &number), -ENOENT);
	ck_assert_int_eq(module_elf_read_number(bytes, size, "cp_printf", &number), -ENOENT);
	read_module("broken-abi");
	expect_number(0, CP_HANDLER_ABI + 1);
	read_module("broken-symbol");
	expect_number(-ENOENT, 0);
}
END_TEST

START_TEST(a_file_without_sections_does_not_tell)
{
	ElfW(Ehdr) good;
	ElfW(Ehdr) bad;

	read_module("probe-one");
	good = bad = header();
	bad.e_shnum = 0;
	write_header(&bad);
	expect_number(-ENOENT, 0);
	bad = good;
	bad.e_shentsize = 8;
	write_header(&bad);
	expect_number(-ENOENT, 0);
	bad = good;
	bad.e_shoff = UINT64_MAX - 8;
	write_header(&bad);
	expect_number(-ENOENT, 0);
	write_header(&good);
	size = (size_t)good.e_shoff + 1;
	expect_number(-ENOENT, 0);
}
END_TEST

/* Bytes of the tables are replaced, one field after the other: nothing beyond the file is looked at (ASan, memcheck).
 */
START_TEST(tables_that_lie_are_read_within_the_file)
{
	static const unsigned char lies[] = {0x00, 0x01, 0x7f, 0xff};
	size_t sections;
	size_t places;
	unsigned char *exact;

	read_module("probe-one");
	sections = (size_t)header().e_shoff;
	places = size - sections;
	exact = malloc(size);
	ck_assert_ptr_nonnull(exact);
	for (size_t i = 0; i + 8 <= places; i += 4) {
		uint32_t number = 0;

		memcpy(exact, bytes, size);
		memset(exact + sections + i, lies[i / 4 % sizeof(lies)], 8);
		if (module_elf_check(exact, size, NULL) == 0)
			(void)!module_elf_read_number(exact, size, VARIABLE, &number);
		memset(exact + i % sections, lies[i / 4 % sizeof(lies)], 8);
		if (module_elf_check(exact, size, NULL) == 0)
			(void)!module_elf_read_number(exact, size, VARIABLE, &number);
	}
	free(exact);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("service/module_elf");
	TCase *tc = fixture_case(suite, "looking");

	tcase_add_checked_fixture(tc, NULL, tear_down);
	tcase_add_test(tc, a_module_is_taken);
	tcase_add_test(tc, an_object_file_and_other_machines_are_named);
	tcase_add_test(tc, every_part_of_one_is_refused_or_has_all_that_is_loaded);
	tcase_add_test(tc, headers_that_point_out_of_the_file_are_refused);
	tc = fixture_case(suite, "numbers");
	tcase_add_checked_fixture(tc, NULL, tear_down);
	tcase_add_test(tc, the_number_is_read_without_loading);
	tcase_add_test(tc, a_file_without_sections_does_not_tell);
	tcase_add_test(tc, tables_that_lie_are_read_within_the_file);
	return fixture_run(suite);
}
