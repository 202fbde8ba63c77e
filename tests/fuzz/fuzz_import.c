/* SPDX-License-Identifier: MIT */
/*
 * fuzz_import - any file in place of xinetd's or inetd's: what is written passes the daemon's own checks, unless
 * nothing in it is to be served.
 *
 * The input is not given to files that it includes: those of this machine are none of its business.
 */
#include "config.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conf/conf.h"
#include "conf/load.h"
#include "fuzz.h"
#include "import/import.h"
#include "service/registry.h"

/* Lines that would make the reader look elsewhere. */
static void
blunt_includes(char *text)
{
	char *at;

	while ((at = strstr(text, "include")) != NULL)
		*at = 'x';
	while ((at = strstr(text, "banner_fail")) != NULL)
		*at = 'x';
}

static void
check_output(const char *output, size_t size)
{
	struct conf_errors errors = {.count = 0};
	int fd = memfd_create("import.conf", MFD_CLOEXEC);
	struct conf *conf;
	char path[64];

	CP_ASSERT(fd >= 0 && write(fd, output, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	conf = conf_load(path, registry_types(), &errors);
	for (unsigned i = 0; i < errors.count; i++) {
		if (strstr(errors.items[i].text, "nothing to serve") == NULL) {
			fprintf(stderr, "%s\n%s", errors.items[i].text, output);
			abort();
		}
	}
	conf_unref(&conf);
	conf_errors_fini(&errors);
	(void)close(fd);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *input = fuzz_string(data, size);
	char *output = NULL;
	size_t output_size;
	FILE *out = open_memstream(&output, &output_size);
	struct import import;

	CP_ASSERT(out != NULL);
	blunt_includes(input);
	import_init(&import, NULL);
	import_read_text(&import, "input", input, strlen(input));
	import_write(&import, size % 2 == 0, out);
	import_fini(&import);
	CP_ASSERT(fclose(out) == 0);
	check_output(output, output_size);
	free(output);
	free(input);
	return 0;
}
