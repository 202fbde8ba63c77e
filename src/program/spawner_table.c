/* SPDX-License-Identifier: MIT */
/*
 * spawner_table.c - the recipes of a config as one piece of memory.
 *
 * The loader writes it with offsets in the place of pointers; whoever maps it turns them into pointers, in pages of its
 * own, and makes these read-only. No offset is 0, which stands for NULL. Only the loader writes it, and what a program
 * is to be is its word alone; but that whatever a table names is inside of it is looked at, as the loader has run the
 * modules of name services, and one table that ends the spawner would end the next one, too.
 */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "program/spawner_recipe.h"

#define TABLE_MAGIC 0x72656369
#define ALIGNMENT 16u

struct recipe_table {
	uint32_t magic;
	uint32_t count;
	uint64_t size;
	struct recipe **recipes;
};

/* ---- writing -------------------------------------------------------------------------------- */

struct writing {
	char *bytes;
	size_t used;
	size_t room;
	bool has_failed;
};

/* Where a copy of it is. */
static uintptr_t
put(struct writing *writing, const void *data, size_t size)
{
	size_t at = (writing->used + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;

	if (at + size > writing->room) {
		size_t room = 2 * (at + size);
		char *bytes = mem_realloc_array(writing->bytes, room, 1);

		if (bytes == NULL) {
			writing->has_failed = true;
			return 0;
		}
		/* The same recipes are to be the same bytes. */
		memset(bytes + writing->used, 0, room - writing->used);
		writing->bytes = bytes;
		writing->room = room;
	}
	memcpy(writing->bytes + at, data, size);
	writing->used = at + size;
	return at;
}

static char *
put_string(struct writing *writing, const char *text)
{
	return text != NULL ? (char *)put(writing, text, strlen(text) + 1) : NULL;
}

/* Copies of all strings, then of the array that names them, with a NULL at its end. */
static char **
put_strings(struct writing *writing, char *const *items, unsigned count)
{
	char **offsets = mem_zalloc_array(count + 1, sizeof(offsets[0]));
	uintptr_t at;

	if (offsets == NULL) {
		writing->has_failed = true;
		return NULL;
	}
	for (unsigned i = 0; i < count; i++)
		offsets[i] = put_string(writing, items[i]);
	at = put(writing, offsets, (count + 1) * sizeof(offsets[0]));
	mem_free(offsets);
	return (char **)at;
}

static struct recipe *
put_recipe(struct writing *writing, const struct recipe *recipe)
{
	struct recipe copy;

	/* memcpy() and not an assignment, which may leave out the padding. */
	memcpy(&copy, recipe, sizeof(copy));
	copy.argv = put_strings(writing, recipe->argv, recipe->argument_count);
	copy.environment = put_strings(writing, recipe->environment, recipe->environment_count);
	copy.directory = put_string(writing, recipe->directory);
	copy.chroot = put_string(writing, recipe->chroot);
	return (struct recipe *)put(writing, &copy, sizeof(copy));
}

static int
write_all(int fd, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, bytes, size);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			bytes += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

int
recipe_table_write(const struct cookbook *cookbook, int fd)
{
	struct writing writing = {0};
	struct recipe_table head = {.magic = TABLE_MAGIC, .count = cookbook->count};
	struct recipe **offsets = mem_zalloc_array(cookbook->count, sizeof(offsets[0]));
	int rc = -ENOMEM;

	if (offsets == NULL)
		return rc;
	(void)put(&writing, &head, sizeof(head));
	for (unsigned i = 0; i < cookbook->count; i++) {
		if (cookbook->recipes[i] != NULL)
			offsets[i] = put_recipe(&writing, cookbook->recipes[i]);
	}
	head.recipes = (struct recipe **)put(&writing, offsets, cookbook->count * sizeof(offsets[0]));
	head.size = writing.used;
	if (!writing.has_failed) {
		memcpy(writing.bytes, &head, sizeof(head));
		rc = write_all(fd, writing.bytes, writing.used);
	}
	mem_free(offsets);
	mem_free(writing.bytes);
	return rc;
}

/* ---- mapping ----------------------------------------------------------------------------------- */

struct reading {
	char *bytes;
	size_t size;
	bool is_broken;
};

/* size bytes at that offset; NULL: it is none, or is not in the table. */
static void *
at(struct reading *reading, const void *offset, size_t size)
{
	uintptr_t start = (uintptr_t)offset;

	if (offset == NULL)
		return NULL;
	if (start % ALIGNMENT != 0 || start < sizeof(struct recipe_table) || start > reading->size ||
		size > reading->size - start) {
		reading->is_broken = true;
		return NULL;
	}
	return reading->bytes + start;
}

static char *
find_string(struct reading *reading, const char *offset)
{
	char *text = at(reading, offset, 1);

	if (text != NULL && memchr(text, '\0', reading->size - (uintptr_t)offset) == NULL)
		reading->is_broken = true;
	return text;
}

/* An array of exactly count, with a NULL at its end. */
static char **
find_strings(struct reading *reading, char **offset, unsigned count)
{
	char **items;

	if (count >= reading->size / sizeof(items[0])) {
		reading->is_broken = true;
		return NULL;
	}
	items = at(reading, offset, (count + 1) * sizeof(items[0]));
	if (items == NULL || items[count] != NULL) {
		reading->is_broken = true;
		return NULL;
	}
	for (unsigned i = 0; i < count; i++) {
		items[i] = find_string(reading, items[i]);
		if (items[i] == NULL)
			reading->is_broken = true;
	}
	return items;
}

static void
find_parts(struct reading *reading, struct recipe *recipe)
{
	recipe->argv = find_strings(reading, recipe->argv, recipe->argument_count);
	recipe->environment = find_strings(reading, recipe->environment, recipe->environment_count);
	recipe->directory = find_string(reading, recipe->directory);
	recipe->chroot = find_string(reading, recipe->chroot);
	if (recipe->argument_count == 0 || recipe->directory == NULL || recipe->limit_count > RECIPE_RLIMITS_MAX ||
		recipe->group_count < 0 || recipe->group_count > RECIPE_GROUPS_MAX)
		reading->is_broken = true;
}

/* False: something in it is not where it can be. */
static bool
find_pointers(struct recipe_table *table, size_t size)
{
	struct reading reading = {.bytes = (char *)table, .size = size};

	if (table->count > size / sizeof(table->recipes[0]))
		return false;
	table->recipes = at(&reading, table->recipes, table->count * sizeof(table->recipes[0]));
	if (table->recipes == NULL)
		return false;
	for (uint32_t i = 0; i < table->count && !reading.is_broken; i++) {
		struct recipe *recipe = at(&reading, table->recipes[i], sizeof(*recipe));

		table->recipes[i] = recipe;
		if (recipe != NULL)
			find_parts(&reading, recipe);
	}
	return !reading.is_broken;
}

struct recipe_table *
recipe_table_map(int fd)
{
	struct recipe_table *table;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return NULL;
	if (st.st_size < (off_t)sizeof(*table)) {
		errno = EINVAL;
		return NULL;
	}
	table = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (table == MAP_FAILED)
		return NULL;
	if (table->magic != TABLE_MAGIC || table->size != (uint64_t)st.st_size ||
		!find_pointers(table, (size_t)st.st_size)) {
		(void)munmap(table, (size_t)st.st_size);
		errno = EINVAL;
		return NULL;
	}
	(void)mprotect(table, (size_t)st.st_size, PROT_READ);
	return table;
}

void
recipe_table_unmap(struct recipe_table **holder)
{
	struct recipe_table *table = *holder;

	*holder = NULL;
	if (table != NULL)
		(void)munmap(table, (size_t)table->size);
}

const struct recipe *
recipe_table_find(const struct recipe_table *table, uint32_t listener)
{
	return listener < table->count ? table->recipes[listener] : NULL;
}
