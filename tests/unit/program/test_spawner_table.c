/* SPDX-License-Identifier: MIT */
/*
 * program/spawner_table - recipes written by one process as the next one finds them, and tables that are broken.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/defs.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "program/spawner_recipe.h"

/* What is there for as long, and no const. */
#define TEXT(literal) ((char[]){literal})

static char *first_argv[] = {TEXT("/bin/sh"), TEXT("-c"), TEXT("exit 3"), NULL};
static char *first_environment[] = {TEXT("PATH=/bin"), TEXT(""), NULL};
static char *second_argv[] = {TEXT("/bin/true"), NULL};
static char *no_environment[] = {NULL};
static struct recipe first = {.argv = first_argv,
	.argument_count = 3,
	.environment = first_environment,
	.environment_count = 2,
	.directory = TEXT("/srv"),
	.chroot = TEXT("/var/empty"),
	.umask = 0077,
	.nice = -3,
	.no_new_privileges = true,
	.changes_user = true,
	.uid = 65534,
	.gid = 65533,
	.group_count = 2,
	.groups = {7, 8},
	.limit_count = 1,
	.limits = {{.resource = 4, .soft = 5, .hard = 6}}};
static struct recipe second = {
	.argv = second_argv, .argument_count = 1, .environment = no_environment, .directory = TEXT("/")};
static struct recipe *recipes[] = {&first, NULL, &second};
static const struct cookbook book = {.recipes = recipes, .count = 3};

static int table_fd;

static void
set_up(void)
{
	table_fd = memfd_create("table", MFD_CLOEXEC);
	ck_assert_int_ge(table_fd, 0);
	ck_assert_int_eq(recipe_table_write(&book, table_fd), 0);
}

static void
tear_down(void)
{
	fd_close(&table_fd);
}

static size_t
size_of(int fd)
{
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	return (size_t)st.st_size;
}

static void
expect_refused(void)
{
	struct recipe_table *table;

	errno = 0;
	table = recipe_table_map(table_fd);
	ck_assert_ptr_null(table);
	ck_assert_int_eq(errno, EINVAL);
}

START_TEST(what_was_written_is_found)
{
	struct recipe_table *table = recipe_table_map(table_fd);
	const struct recipe *recipe;

	ck_assert_ptr_nonnull(table);
	recipe = recipe_table_find(table, 0);
	ck_assert_ptr_nonnull(recipe);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_str_eq(recipe->argv[i], first_argv[i]);
	ck_assert_ptr_null(recipe->argv[3]);
	ck_assert_str_eq(recipe->environment[0], "PATH=/bin");
	ck_assert_str_eq(recipe->environment[1], "");
	ck_assert_str_eq(recipe->directory, "/srv");
	ck_assert_str_eq(recipe->chroot, "/var/empty");
	ck_assert_uint_eq(recipe->umask, 0077);
	ck_assert_int_eq(recipe->nice, -3);
	ck_assert(recipe->no_new_privileges && recipe->changes_user);
	ck_assert_uint_eq(recipe->uid, 65534);
	ck_assert_uint_eq(recipe->gid, 65533);
	ck_assert_int_eq(recipe->group_count, 2);
	ck_assert_uint_eq(recipe->groups[1], 8);
	ck_assert_uint_eq(recipe->limits[0].hard, 6);
	recipe = recipe_table_find(table, 2);
	ck_assert_ptr_nonnull(recipe);
	ck_assert_str_eq(recipe->argv[0], "/bin/true");
	ck_assert_uint_eq(recipe->environment_count, 0);
	ck_assert_ptr_null(recipe->environment[0]);
	ck_assert_ptr_null(recipe->chroot);
	recipe_table_unmap(&table);
	ck_assert_ptr_null(table);
}
END_TEST

START_TEST(a_listener_without_a_program_has_none)
{
	struct recipe_table *table = recipe_table_map(table_fd);

	ck_assert_ptr_nonnull(table);
	ck_assert_ptr_null(recipe_table_find(table, 1));
	ck_assert_ptr_null(recipe_table_find(table, 3));
	ck_assert_ptr_null(recipe_table_find(table, UINT32_MAX));
	recipe_table_unmap(&table);
}
END_TEST

START_TEST(the_same_recipes_are_the_same_bytes)
{
	int again = memfd_create("again", MFD_CLOEXEC);
	size_t size = size_of(table_fd);
	char *a = mem_zalloc(size);
	char *b = mem_zalloc(size);

	ck_assert_int_ge(again, 0);
	ck_assert_int_eq(recipe_table_write(&book, again), 0);
	ck_assert_uint_eq(size_of(again), size);
	ck_assert_int_eq(pread(table_fd, a, size, 0), (ssize_t)size);
	ck_assert_int_eq(pread(again, b, size, 0), (ssize_t)size);
	ck_assert_mem_eq(a, b, size);
	mem_free(a);
	mem_free(b);
	close(again);
}
END_TEST

START_TEST(who_maps_it_leaves_the_file_as_it_is)
{
	struct recipe_table *first_map = recipe_table_map(table_fd);
	struct recipe_table *second_map = recipe_table_map(table_fd);

	ck_assert_ptr_nonnull(first_map);
	ck_assert_ptr_nonnull(second_map);
	ck_assert_str_eq(recipe_table_find(second_map, 0)->argv[2], "exit 3");
	recipe_table_unmap(&first_map);
	ck_assert_str_eq(recipe_table_find(second_map, 2)->argv[0], "/bin/true");
	recipe_table_unmap(&second_map);
}
END_TEST

START_TEST(one_cut_short_is_refused_wherever)
{
	size_t size = size_of(table_fd);

	while (size-- > 0) {
		ck_assert_int_eq(ftruncate(table_fd, (off_t)size), 0);
		expect_refused();
	}
}
END_TEST

START_TEST(what_is_no_table_is_refused)
{
	ck_assert_int_eq(pwrite(table_fd, "x", 1, 0), 1);
	expect_refused();
	fd_close(&table_fd);
	ck_assert_ptr_null(recipe_table_map(table_fd));
	ck_assert_int_eq(errno, EBADF);
}
END_TEST

/* Everything that a launch reads of it. */
static size_t
read_recipe(const struct recipe *recipe)
{
	size_t read = strlen(recipe->directory) + (recipe->chroot != NULL ? strlen(recipe->chroot) : 0);

	for (unsigned i = 0; recipe->argv[i] != NULL; i++)
		read += strlen(recipe->argv[i]);
	for (unsigned i = 0; i < recipe->environment_count; i++)
		read += strlen(recipe->environment[i]);
	for (int i = 0; i < recipe->group_count; i++)
		read += recipe->groups[i] != 0;
	for (unsigned i = 0; i < recipe->limit_count; i++)
		read += recipe->limits[i].soft != 0;
	return read;
}

/* True: it was refused. Taken, it can be read. */
static bool
try_table(void)
{
	struct recipe_table *table = recipe_table_map(table_fd);
	size_t read = 0;

	if (table == NULL) {
		ck_assert_int_eq(errno, EINVAL);
		return true;
	}
	for (uint32_t i = 0; i < CP_COUNT(recipes); i++) {
		if (recipe_table_find(table, i) != NULL)
			read += read_recipe(recipe_table_find(table, i));
	}
	ck_assert_uint_le(read, size_of(table_fd) * size_of(table_fd));
	recipe_table_unmap(&table);
	return false;
}

/* Offsets, counts and texts alike: what lies beyond the table is reached by none. */
START_TEST(no_changed_word_leads_out_of_it)
{
	size_t size = size_of(table_fd);
	uint64_t bad[] = {1, 16, size - 1, size - 16, size, size + 16, 1ull << 31, 1ull << 47, UINT64_MAX};
	unsigned refused = 0;

	for (off_t place = 0; (size_t)place + sizeof(bad[0]) <= size; place += sizeof(bad[0])) {
		uint64_t kept;

		ck_assert_int_eq(pread(table_fd, &kept, sizeof(kept), place), sizeof(kept));
		for (unsigned i = 0; i < CP_COUNT(bad); i++) {
			ck_assert_int_eq(pwrite(table_fd, &bad[i], sizeof(bad[i]), place), sizeof(bad[i]));
			refused += try_table();
		}
		ck_assert_int_eq(pwrite(table_fd, &kept, sizeof(kept), place), sizeof(kept));
	}
	/* At least each offset there is, 13 of them, beyond the end by 5 ways. */
	ck_assert_uint_ge(refused, 13u * 5u);
	ck_assert(!try_table());
}
END_TEST

START_TEST(a_descriptor_that_takes_no_bytes_is_an_error)
{
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(recipe_table_write(&book, fd), -ENOSPC);
	close(fd);
}
END_TEST

START_TEST(without_memory_nothing_is_written)
{
	int fd = memfd_create("none", MFD_CLOEXEC);
	int rc = -ENOMEM;
	unsigned n;

	ck_assert_int_ge(fd, 0);
	for (n = 1; n < 100 && rc == -ENOMEM; n++) {
		mem_fail_after(n);
		rc = recipe_table_write(&book, fd);
		mem_fail_after(0);
		if (rc != 0)
			ck_assert_uint_eq(size_of(fd), 0);
	}
	ck_assert_uint_gt(n, 4);
	ck_assert_int_eq(rc, 0);
	ck_assert_uint_eq(size_of(fd), size_of(table_fd));
	close(fd);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("program/spawner_table");
	TCase *tables = tcase_create("tables");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tables, set_up, tear_down);
	tcase_add_test(tables, what_was_written_is_found);
	tcase_add_test(tables, a_listener_without_a_program_has_none);
	tcase_add_test(tables, the_same_recipes_are_the_same_bytes);
	tcase_add_test(tables, who_maps_it_leaves_the_file_as_it_is);
	tcase_add_test(tables, one_cut_short_is_refused_wherever);
	tcase_add_test(tables, what_is_no_table_is_refused);
	tcase_add_test(tables, no_changed_word_leads_out_of_it);
	tcase_add_test(tables, a_descriptor_that_takes_no_bytes_is_an_error);
	tcase_add_test(tables, without_memory_nothing_is_written);
	suite_add_tcase(suite, tables);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
