/* SPDX-License-Identifier: MIT */
/*
 * test_module_file - private copies: what they keep, and what is not taken for a shared object.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <check.h>

#include "base/errmsg.h"
#include "service/module_file.h"
#include "../net/netfixture.h"

/* This very program is an ELF file as good as any. */
#define SELF "/proc/self/exe"

static char *
read_self(size_t *ret_size)
{
	FILE *file = fopen(SELF, "rb");
	struct stat stat;
	char *bytes;

	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fstat(fileno(file), &stat), 0);
	*ret_size = (size_t)stat.st_size;
	bytes = malloc(*ret_size);
	ck_assert_ptr_nonnull(bytes);
	ck_assert_uint_eq(fread(bytes, 1, *ret_size, file), *ret_size);
	fclose(file);
	return bytes;
}

static const char *
write_file(const char *name, const void *bytes, size_t size)
{
	const char *path = fixture_path(name);
	FILE *file = fopen(path, "wb");

	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
	ck_assert_int_eq(fclose(file), 0);
	return path;
}

static void
expect_refused(const char *path, int error, const char *text)
{
	struct module_file file = {.fd = -1};
	struct errmsg err = {""};

	ck_assert_int_eq(module_file_copy(path, &file, &err), error);
	ck_assert_msg(strstr(err.text, text) != NULL, "%s", err.text);
	ck_assert_int_eq(file.fd, -1);
}

START_TEST(a_copy_outlives_its_file)
{
	struct module_file copy;
	struct module_file again;
	size_t size;
	char *bytes = read_self(&size);
	const char *path = write_file("a.so", bytes, size);

	ck_assert_int_eq(module_file_copy(path, &copy, NULL), 0);
	ck_assert_int_eq(truncate(path, 0), 0);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(module_file_copy(SELF, &again, NULL), 0);
	ck_assert(module_file_is_equal(&copy, &again));
	ck_assert_int_eq(fcntl(copy.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	module_file_close(&copy);
	module_file_close(&again);
	free(bytes);
}
END_TEST

START_TEST(a_copy_can_not_be_changed)
{
	struct module_file copy;

	ck_assert_int_eq(module_file_copy(SELF, &copy, NULL), 0);
	ck_assert_int_eq(pwrite(copy.fd, "x", 1, 0), -1);
	ck_assert_int_eq(errno, EPERM);
	ck_assert_int_eq(ftruncate(copy.fd, 0), -1);
	module_file_close(&copy);
}
END_TEST

START_TEST(other_bytes_are_not_equal)
{
	struct module_file copy;
	struct module_file other;
	size_t size;
	char *bytes = read_self(&size);

	bytes[size - 1] = (char)(bytes[size - 1] + 1);
	ck_assert_int_eq(module_file_copy(write_file("b.so", bytes, size), &other, NULL), 0);
	ck_assert_int_eq(module_file_copy(SELF, &copy, NULL), 0);
	ck_assert(!module_file_is_equal(&copy, &other));
	module_file_close(&other);
	/* More of them neither, be the rest the same. */
	bytes[size - 1] = (char)(bytes[size - 1] - 1);
	bytes = realloc(bytes, size + 1);
	ck_assert_ptr_nonnull(bytes);
	bytes[size] = 'x';
	ck_assert_int_eq(module_file_copy(write_file("c.so", bytes, size + 1), &other, NULL), 0);
	ck_assert(!module_file_is_equal(&copy, &other));
	module_file_close(&copy);
	module_file_close(&other);
	free(bytes);
}
END_TEST

START_TEST(half_a_file_is_refused)
{
	size_t size;
	char *bytes = read_self(&size);

	/* Behind the headers, in the middle of them, and of the very first. */
	expect_refused(write_file("half.so", bytes, size / 4), -ENOEXEC, "is not whole");
	expect_refused(write_file("less.so", bytes, 100), -ENOEXEC, "is not whole");
	expect_refused(write_file("least.so", bytes, 8), -ENOEXEC, "is not whole");
	expect_refused(write_file("none.so", bytes, 0), -ENOEXEC, "is not a shared object");
	free(bytes);
}
END_TEST

START_TEST(what_is_no_elf_file_is_refused)
{
	expect_refused(write_file("text", "#!/bin/sh\n", 10), -ENOEXEC, "is not a shared object (ELF)");
	expect_refused(fixture_path("nowhere"), -ENOENT, "cannot open: No such file");
	expect_refused(fixture.folder, -EINVAL, "is not a file");
	expect_refused(write_file("large", "", 0), -ENOEXEC, "is not a shared object (ELF)");
	ck_assert_int_eq(truncate(fixture_path("large"), (off_t)257 << 20), 0);
	expect_refused(fixture_path("large"), -EFBIG, "is larger than a module may be, 256 MiB");
	ck_assert_int_eq(mkfifo(fixture_path("pipe"), 0600), 0);
	expect_refused(fixture_path("pipe"), -EINVAL, "is not a file");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("service/module_file");
	TCase *tc = fixture_case(suite, "copies");

	tcase_add_test(tc, a_copy_outlives_its_file);
	tcase_add_test(tc, a_copy_can_not_be_changed);
	tcase_add_test(tc, other_bytes_are_not_equal);
	tc = fixture_case(suite, "faults");
	tcase_add_test(tc, half_a_file_is_refused);
	tcase_add_test(tc, what_is_no_elf_file_is_refused);
	return fixture_run(suite);
}
