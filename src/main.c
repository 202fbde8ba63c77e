/* SPDX-License-Identifier: MIT */
/*
 * main.c - the command line of connpoold: argv -> daemon_run(), or one of the things that only print.
 */
#include "config.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/fault.h"
#include "base/fault_exit.h"
#include "base/fdutil.h"
#include "daemon/daemon.h"
#include "daemon/inspect.h"

#define DEFAULT_CONF CP_SYSCONFDIR "/connpoold/connpoold.conf"

enum action { ACTION_SERVE, ACTION_CHECK, ACTION_DUMP, ACTION_HELP_CONFIG, ACTION_HELP, ACTION_VERSION, ACTION_USAGE };

struct command {
	enum action action;
	const char *conf_path;
	bool is_strict;
};

static void
print_help(FILE *out)
{
	fputs("Usage: connpoold [-f FILE] [-t | --dump-config | --help-config] [--strict]\n"
	      "Accepts connections and serves each from a bounded pool of worker threads.\n"
	      "\n"
	      "  -f, --config FILE  read FILE (default " DEFAULT_CONF ")\n"
	      "  -t, --check        check the configuration, say what is wrong with it, and exit\n"
	      "      --strict       take what the configuration asks for, and this process may not do, for an error\n"
	      "      --dump-config  print the configuration in effect, defaults and all, and exit\n"
	      "      --help-config  print every option of the configuration file, and exit\n"
	      "      --foreground   accepted for habit: connpoold always stays in the foreground\n"
	      "      --version      print the version, and exit\n"
	      "  -h, --help         print this, and exit\n"
	      "\n"
	      "SIGHUP reloads the configuration; SIGTERM and SIGINT stop, a second one at once.\n"
	      "Exit codes: 0 stopped, or all is well; 1 could not start; 2 wrong command line; 78 errors in\n"
	      "the configuration. See connpoold(8) and connpoold.conf(5).\n",
		out);
}

static struct command
parse_command(int argc, char **argv)
{
	enum { OPTION_DUMP = 256, OPTION_HELP_CONFIG, OPTION_FOREGROUND, OPTION_STRICT, OPTION_VERSION };
	static const struct option options[] = {
		{"config", required_argument, NULL, 'f'},
		{"check", no_argument, NULL, 't'},
		{"dump-config", no_argument, NULL, OPTION_DUMP},
		{"help-config", no_argument, NULL, OPTION_HELP_CONFIG},
		{"foreground", no_argument, NULL, OPTION_FOREGROUND},
		{"strict", no_argument, NULL, OPTION_STRICT},
		{"version", no_argument, NULL, OPTION_VERSION},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct command command = {.conf_path = DEFAULT_CONF};
	int letter;

	while ((letter = getopt_long(argc, argv, "f:th", options, NULL)) != -1) {
		switch (letter) {
		case 'f':
			command.conf_path = optarg;
			break;
		case 't':
			command.action = ACTION_CHECK;
			break;
		case OPTION_DUMP:
			command.action = ACTION_DUMP;
			break;
		case OPTION_HELP_CONFIG:
			command.action = ACTION_HELP_CONFIG;
			break;
		case OPTION_FOREGROUND:
			break;
		case OPTION_STRICT:
			command.is_strict = true;
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
	if (optind < argc) {
		fprintf(stderr, "connpoold: unexpected argument '%s'\n", argv[optind]);
		command.action = ACTION_USAGE;
	}
	return command;
}

static int
serve(const struct command *command)
{
	int exit_code = command->is_strict ? inspect_before_start(command->conf_path) : DAEMON_EXIT_OK;

	return exit_code == DAEMON_EXIT_OK ? daemon_run(command->conf_path) : exit_code;
}

static int
run(int argc, char **argv)
{
	struct command command = parse_command(argc, argv);

	switch (command.action) {
	case ACTION_SERVE:
		return serve(&command);
	case ACTION_CHECK:
		return inspect_check(command.conf_path, command.is_strict);
	case ACTION_DUMP:
		return inspect_dump(command.conf_path);
	case ACTION_HELP_CONFIG:
		return inspect_options();
	case ACTION_HELP:
		print_help(stdout);
		return inspect_finish();
	case ACTION_VERSION:
		puts(PACKAGE_STRING);
		return inspect_finish();
	case ACTION_USAGE:
		break;
	}
	fputs("Try 'connpoold --help'.\n", stderr);
	return DAEMON_EXIT_USAGE;
}

int
main(int argc, char **argv)
{
	int exit_code;

	/* Also for --check, which runs what modules do when they are loaded. */
	if (fd_hold_standard() < 0 || fault_install("connpoold") < 0 || fault_thread_init() < 0)
		return DAEMON_EXIT_FAILURE;
	fault_watch_exit("connpoold");
	exit_code = run(argc, argv);
	fault_expect_exit();
	return exit_code;
}
