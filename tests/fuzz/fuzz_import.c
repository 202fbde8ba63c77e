/* SPDX-License-Identifier: MIT */
/*
 * fuzz_import - any file in place of xinetd's or inetd's: what is written is one that connpoold can parse, whose live
 * lines no comment of it ends.
 *
 * The input is not given to files that it includes: those of this machine are none of its business.
 */
#include "config.h"

#include <libconfig.h>
#include <stdio.h>

#include "fuzz.h"
#include "import/import.h"

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

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *input = fuzz_string(data, size);
	char *output = NULL;
	size_t output_size;
	FILE *out = open_memstream(&output, &output_size);
	struct import import;
	config_t config;

	CP_ASSERT(out != NULL);
	blunt_includes(input);
	import_init(&import, NULL);
	import_read_text(&import, "input", input, strlen(input));
	import_write(&import, size % 2 == 0, out);
	import_fini(&import);
	CP_ASSERT(fclose(out) == 0);
	config_init(&config);
	CP_ASSERT(config_read_string(&config, output) == CONFIG_TRUE);
	CP_ASSERT(config_lookup(&config, "listeners") != NULL);
	config_destroy(&config);
	free(output);
	free(input);
	return 0;
}
