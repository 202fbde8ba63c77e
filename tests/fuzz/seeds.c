/* SPDX-License-Identifier: MIT */
/*
 * seeds.c - main() of a fuzz target that is not built for libFuzzer: runs it over files.
 *
 * Those given as arguments, or else the seeds of the target by its name: fuzz_NAME has corpus/NAME/.
 */
#include "config.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/defs.h"
#include "fuzz.h"

#define SEED_BYTES_MAX (1u << 20)

static int
run_file(const char *path)
{
	static uint8_t data[SEED_BYTES_MAX];
	FILE *file = fopen(path, "rb");
	size_t size;
	uint8_t *exact;

	if (file == NULL) {
		perror(path);
		return -1;
	}
	size = fread(data, 1, sizeof(data), file);
	(void)fclose(file);
	/* As large as the input, so that a checker sees a read beyond it. */
	exact = malloc(size > 0 ? size : 1);
	CP_ASSERT(exact != NULL);
	memcpy(exact, data, size);
	(void)LLVMFuzzerTestOneInput(exact, size);
	free(exact);
	return 0;
}

/* The number of its files, or -1. */
static int
run_folder(const char *folder)
{
	DIR *dir = opendir(folder);
	const struct dirent *entry;
	int count = 0;

	if (dir == NULL) {
		perror(folder);
		return -1;
	}
	while (count >= 0 && (entry = readdir(dir)) != NULL) {
		char path[sizeof(entry->d_name) + 4096];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		count = run_file(path) < 0 ? -1 : count + 1;
	}
	(void)closedir(dir);
	return count;
}

int
main(int argc, char **argv)
{
	const char *source = getenv("top_srcdir");
	const char *name = strrchr(argv[0], '/');
	char folder[4096];
	int count;

	for (int i = 1; i < argc; i++) {
		if (run_file(argv[i]) < 0)
			return 1;
	}
	if (argc > 1)
		return 0;
	name = name != NULL ? name + 1 : argv[0];
	if (strncmp(name, "fuzz_", strlen("fuzz_")) == 0)
		name += strlen("fuzz_");
	snprintf(folder, sizeof(folder), "%s/tests/fuzz/corpus/%s", source != NULL ? source : ".", name);
	count = run_folder(folder);
	printf("%s: %d seeds\n", name, count);
	return count > 0 ? 0 : 1;
}
