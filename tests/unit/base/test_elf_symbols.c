/* SPDX-License-Identifier: MIT */
/*
 * Tests of base/elf_symbols: this program's own functions are found, static ones too, and no damage of the bytes makes
 * it read outside of them.
 */
#include "config.h"

#include "base/elf_symbols.h"

#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <check.h>

extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

static unsigned char *bytes;
static size_t size;

/* Its bytes, writable, up to the end of a page with an inaccessible one behind it. */
static void
set_up(void)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	size_t mapped;
	unsigned char *start;
	struct stat stat;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &stat), 0);
	size = (size_t)stat.st_size;
	mapped = (size + page - 1) / page * page;
	start = mmap(NULL, mapped + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(start, MAP_FAILED);
	ck_assert_int_eq(mprotect(start + mapped, page, PROT_NONE), 0);
	bytes = start + mapped - size;
	ck_assert_int_eq(read(fd, bytes, size), (ssize_t)size);
	close(fd);
}

static __attribute__((noinline)) int
a_static_function(int number)
{
	return number * 3;
}

static uint64_t
address_of_it(void)
{
	int (*volatile fn)(int) = a_static_function;
	const uintptr_t base = ((const ElfW(Ehdr) *)&__ehdr_start)->e_type == ET_DYN ? (uintptr_t)&__ehdr_start : 0;

	return (uintptr_t)fn - base;
}

START_TEST(a_static_function_is_found)
{
	const char *name = NULL;
	uint64_t start = 0;

	ck_assert(elf_symbols_find(bytes, size, address_of_it() + 1, &name, &start));
	ck_assert_str_eq(name, "a_static_function");
	ck_assert_uint_eq(start, address_of_it());
}
END_TEST

START_TEST(an_address_of_no_function_has_none)
{
	const char *name;
	uint64_t start;

	ck_assert(!elf_symbols_find(bytes, size, 1, &name, &start));
	ck_assert(!elf_symbols_find(bytes, size, UINT64_MAX, &name, &start));
}
END_TEST

START_TEST(what_is_no_elf_file_has_no_symbols)
{
	static const unsigned char text[] = "#!/bin/sh\n";
	const char *name;
	uint64_t start;

	ck_assert(!elf_symbols_find(text, sizeof(text), 0, &name, &start));
	ck_assert(!elf_symbols_find(text, 0, 0, &name, &start));
}
END_TEST

/* Each byte of the headers, and where the file ends. What is found does not matter. */
START_TEST(damage_is_survived)
{
	ElfW(Ehdr) header;
	const char *name;
	uint64_t start;

	memcpy(&header, bytes, sizeof(header));
	for (size_t i = 0; i < sizeof(header) + header.e_shnum * sizeof(ElfW(Shdr)); i++) {
		unsigned char *byte = bytes + (i < sizeof(header) ? i : header.e_shoff + i - sizeof(header));
		unsigned char before = *byte;

		*byte ^= 0xff;
		(void)elf_symbols_find(bytes, size, address_of_it(), &name, &start);
		*byte = before;
	}
	for (size_t cut = 0; cut < size; cut += 1 + size / 500)
		(void)elf_symbols_find(bytes + cut, size - cut, address_of_it(), &name, &start);
	ck_assert(elf_symbols_find(bytes, size, address_of_it(), &name, &start));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("base/elf_symbols");
	TCase *tc = tcase_create("find");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, set_up, NULL);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, a_static_function_is_found);
	tcase_add_test(tc, an_address_of_no_function_has_none);
	tcase_add_test(tc, what_is_no_elf_file_has_no_symbols);
	tcase_add_test(tc, damage_is_survived);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
