/* SPDX-License-Identifier: MIT */
/*
 * connpoold-import - argv to an import, and its outcome to an exit code: 0 written, 1 nothing was read or it could not
 * be written, 2 wrong command line. One thread.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/errmsg.h"
#include "base/fdutil.h"
#include "import/import.h"

#define DEFAULT_FOLDER "/etc"
#define EXIT_USAGE 2

enum action { ACTION_IMPORT, ACTION_HELP, ACTION_VERSION, ACTION_USAGE };

struct command {
	enum action action;
	const char *output; /* NULL: standard output */
	bool keep_disabled;
	char **paths; /* none: what is in /etc */
	int path_count;
};

static void
print_help(void)
{
	fputs("Usage: connpoold-import [-o FILE] [--disabled] [PATH ...]\n"
	      "Writes a configuration for connpoold of those of xinetd and inetd.\n"
	      "\n"
	      "  PATH               a file of either, or a folder of files for xinetd; without one:\n"
	      "                     " DEFAULT_FOLDER "/xinetd.conf, " DEFAULT_FOLDER "/xinetd.d and " DEFAULT_FOLDER
	      "/inetd.conf\n"
	      "  -o, --output FILE  write FILE, in place of standard output\n"
	      "      --disabled     keep services that are switched off, as comments\n"
	      "      --version      print the version, and exit\n"
	      "  -h, --help         print this, and exit\n"
	      "\n"
	      "What to look at comes on standard error, with file and line. Exit codes: 0 written; 1 nothing was\n"
	      "read, or it could not be written; 2 wrong command line. See connpoold-import(8).\n",
		stdout);
}

static struct command
parse_command(int argc, char **argv)
{
	enum { OPTION_DISABLED = 256, OPTION_VERSION };
	static const struct option options[] = {
		{"output", required_argument, NULL, 'o'},
		{"disabled", no_argument, NULL, OPTION_DISABLED},
		{"version", no_argument, NULL, OPTION_VERSION},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct command command = {.action = ACTION_IMPORT};
	int letter;

	while ((letter = getopt_long(argc, argv, "o:h", options, NULL)) != -1) {
		switch (letter) {
		case 'o':
			command.output = optarg;
			break;
		case OPTION_DISABLED:
			command.keep_disabled = true;
			break;
		case OPTION_VERSION:
			command.action = ACTION_VERSION;
			break;
		case 'h':
			command.action = ACTION_HELP;
			break;
		default:
			command.action = ACTION_USAGE;
			return command;
		}
	}
	command.paths = argv + optind;
	command.path_count = argc - optind;
	return command;
}

/* true: there is something to write. */
static bool
read_all(struct import *import, const struct command *command)
{
	bool ok = true;
	int r;

	if (command->path_count == 0) {
		r = import_read_folder(import, DEFAULT_FOLDER);
		if (r == -ENOENT)
			fputs("connpoold-import: there is no configuration of xinetd or inetd in " DEFAULT_FOLDER "\n",
				stderr);
		return r == 0;
	}
	for (int i = 0; i < command->path_count; i++) {
		r = import_read(import, command->paths[i]);
		if (r < 0) {
			fprintf(stderr, "connpoold-import: %s: %s\n", command->paths[i], errmsg_errno(r));
			ok = false;
		}
	}
	return ok;
}

/* Closes the stream, true: it took everything. */
static bool
finish(FILE *out, const char *name)
{
	bool failed = ferror(out) != 0;

	if ((out == stdout ? fflush(out) : fclose(out)) == 0 && !failed)
		return true;
	fprintf(stderr, "connpoold-import: writing %s: %s\n", name, errmsg_errno(errno));
	return false;
}

/* Beside the file first: an old one is replaced by a whole new one, or by none. */
static bool
write_file(struct import *import, const struct command *command)
{
	char *path = arena_printf(&import->arena, "%s.XXXXXX", command->output);
	mode_t mask = umask(0);
	int fd = mkstemp(path);
	FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;

	(void)umask(mask);
	if (out == NULL || fchmod(fd, 0666 & ~mask) < 0) {
		fprintf(stderr, "connpoold-import: %s: %s\n", path, errmsg_errno(errno));
		return false;
	}
	import_write(import, command->keep_disabled, out);
	if (finish(out, path) && rename(path, command->output) == 0)
		return true;
	fprintf(stderr, "connpoold-import: %s: %s\n", command->output, errmsg_errno(errno));
	(void)unlink(path);
	return false;
}

static bool
run_import(const struct command *command)
{
	struct import import;
	bool ok;

	import_init(&import, stderr);
	ok = read_all(&import, command);
	if (ok && command->output != NULL) {
		ok = write_file(&import, command);
	} else if (ok) {
		import_write(&import, command->keep_disabled, stdout);
		ok = finish(stdout, "standard output");
	}
	import_fini(&import);
	return ok;
}

int
main(int argc, char **argv)
{
	struct command command;
	bool ok = true;

	if (fd_hold_standard() < 0)
		return EXIT_FAILURE;
	command = parse_command(argc, argv);
	switch (command.action) {
	case ACTION_IMPORT:
		ok = run_import(&command);
		break;
	case ACTION_HELP:
		print_help();
		ok = finish(stdout, "standard output");
		break;
	case ACTION_VERSION:
		puts("connpoold-import (" PACKAGE_NAME ") " PACKAGE_VERSION);
		ok = finish(stdout, "standard output");
		break;
	case ACTION_USAGE:
		fputs("Try 'connpoold-import --help'.\n", stderr);
		return EXIT_USAGE;
	}
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
