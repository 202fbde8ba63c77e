/* SPDX-License-Identifier: MIT */
/*
 * backtrace.c - walks the stack, names each frame by the file that it is in.
 *
 * In a signal handler of a broken process. So each line is written before the next one is looked for, and what could
 * fault (reading symbols) comes last in each. Files are mapped, never read into memory of the heap.
 */
#include "config.h"

#include "base/backtrace.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/defs.h"
#include "base/elf_symbols.h"
#include "base/last_words.h"

#define FRAMES_MAX 48
#define NAME_MAX_BYTES 256

void
backtrace_prepare(void)
{
	void *frames[1];

	(void)backtrace(frames, CP_COUNT(frames));
}

/* What the loader has mapped there; NULL: nothing of its. */
static const struct link_map *
map_at(uintptr_t address)
{
#ifdef HAVE__DL_FIND_OBJECT
	/* Takes no lock, other than dladdr(3): another thread may be inside the loader. */
	struct dl_find_object found;

	if (_dl_find_object((void *)address, &found) != 0)
		return NULL;
	return found.dlfo_link_map;
#else
	struct link_map *map = NULL;
	Dl_info info;

	if (dladdr1((void *)address, &info, (void **)&map, RTLD_DL_LINKMAP) == 0)
		return NULL;
	return map;
#endif
}

/* "/memfd:greet.so (deleted)" is how the kernel calls the copy of greet.so. */
static const char *
without_memfd(char *name)
{
	static const char before[] = "/memfd:";
	static const char after[] = " (deleted)";
	size_t length = strlen(name);

	if (strncmp(name, before, sizeof(before) - 1) != 0)
		return name;
	if (length > sizeof(after) - 1 && strcmp(name + length - (sizeof(after) - 1), after) == 0)
		name[length - (sizeof(after) - 1)] = '\0';
	return name + sizeof(before) - 1;
}

/* What somebody who looks for the file knows it by. */
static void
add_file(struct last_words *words, const char *path)
{
	char target[NAME_MAX_BYTES];
	ssize_t length = -1;

	if (strncmp(path, "/proc/", sizeof("/proc/") - 1) == 0)
		length = readlink(path, target, sizeof(target) - 1);
	if (length < 0) {
		last_words_add(words, path);
		return;
	}
	target[length] = '\0';
	last_words_add(words, without_memfd(target));
}

static void
add_function(struct last_words *words, const char *path, uint64_t offset)
{
	struct stat stat;
	const char *name;
	uint64_t start;
	void *bytes = MAP_FAILED;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return;
	if (fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode) && stat.st_size > 0)
		bytes = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	(void)close(fd);
	if (bytes == MAP_FAILED)
		return;
	if (elf_symbols_find(bytes, (size_t)stat.st_size, offset, &name, &start)) {
		last_words_add(words, " (");
		last_words_add(words, name);
		last_words_add(words, "+");
		last_words_add_hex(words, offset - start);
		last_words_add(words, ")");
	}
	(void)munmap(bytes, (size_t)stat.st_size);
}

static void
write_frame(unsigned number, uintptr_t address)
{
	struct last_words words = {.used = 0};
	const struct link_map *map = map_at(address);
	const char *path;

	last_words_add(&words, "connpoold:   #");
	last_words_add_number(&words, number);
	last_words_add(&words, " ");
	if (map == NULL) {
		last_words_add_hex(&words, address);
		last_words_write(&words);
		return;
	}
	path = map->l_name != NULL && map->l_name[0] != '\0' ? map->l_name : "/proc/self/exe";
	add_file(&words, path);
	last_words_add(&words, "+");
	last_words_add_hex(&words, address - map->l_addr);
	add_function(&words, path, address - map->l_addr);
	last_words_write(&words);
}

void
backtrace_write(uintptr_t program_counter)
{
	void *frames[FRAMES_MAX];
	int count = backtrace(frames, CP_COUNT(frames));
	int first = 1;

	for (int i = 0; i < count && program_counter != 0; i++) {
		if ((uintptr_t)frames[i] == program_counter)
			first = i;
	}
	for (int i = first; i < count; i++) {
		/* Of a call the address is that of what follows it, which may be the next function. */
		bool is_call = i > first || program_counter == 0;

		write_frame((unsigned)(i - first), (uintptr_t)frames[i] - (is_call ? 1 : 0));
	}
}
