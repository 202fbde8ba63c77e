/* SPDX-License-Identifier: MIT */
/*
 * fuzz_conf - a config file: either every error has its words, or the config can be dumped, and the dump says the same.
 *
 * The file is one in memory; an include_dir is looked for beside it, where there is none.
 */
#include "config.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conf/dump.h"
#include "conf/load.h"
#include "fuzz.h"
#include "service/registry.h"

static struct conf *
load(const void *data, size_t size)
{
	struct conf_errors errors = {.count = 0};
	int fd = memfd_create("fuzz.conf", MFD_CLOEXEC);
	struct conf *conf;
	char path[64];

	CP_ASSERT(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	conf = conf_load(path, registry_types(), &errors);
	CP_ASSERT((conf == NULL) == (errors.count > 0));
	for (unsigned i = 0; i < errors.count; i++)
		CP_ASSERT(errors.items[i].text[0] != '\0');
	conf_errors_fini(&errors);
	(void)close(fd);
	return conf;
}

static char *
dump(const struct conf *conf, size_t *ret_size)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_size);

	CP_ASSERT(out != NULL);
	conf_dump(conf, out);
	CP_ASSERT(fclose(out) == 0);
	return text;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf *conf = load(data, size);
	struct conf *again;
	char *text, *text_again;
	size_t length, length_again;

	if (conf == NULL)
		return 0;
	text = dump(conf, &length);
	again = load(text, length);
	CP_ASSERT(again != NULL);
	text_again = dump(again, &length_again);
	CP_ASSERT(length == length_again && memcmp(text, text_again, length) == 0);
	free(text);
	free(text_again);
	conf_unref(&conf);
	conf_unref(&again);
	return 0;
}
