/* SPDX-License-Identifier: MIT */
/*
 * main.c - the command line of connpool-run: a module, its options, and what it is to serve.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/errmsg.h"
#include "base/fault.h"
#include "base/fault_exit.h"
#include "base/fdutil.h"
#include "base/log.h"
#include "run/bridge.h"
#include "run/serve.h"
#include "run/setup.h"
#include "service/blocking.h"

#define EXIT_OK 0
#define EXIT_FAILED 1
#define EXIT_USAGE 2
#define EXIT_MODULE 78 /* EX_CONFIG of sysexits.h, as connpoold has it */
#define OPTIONS_MAX 256

struct command {
	struct setup_wish wish;
	const char *options[OPTIONS_MAX];
	enum log_level level;
	int exit_code; /* -1: serve */
};

static void
print_help(FILE *out)
{
	fputs("Usage: connpool-run [-qv] [-a ADDRESS] [-o NAME=VALUE]... MODULE\n"
	      "Serves standard input and output with a module of connpoold, or whoever comes to an address.\n"
	      "\n"
	      "  -a, --address ADDRESS    listen on it (tcp:HOST:PORT, unix:PATH) until SIGINT or SIGTERM\n"
	      "  -o, --option NAME=VALUE  an option of the module; once more for the next one of a list\n"
	      "  -q, --quiet              log warnings and errors only\n"
	      "  -v, --verbose            log everything\n"
	      "      --version            print the version, and exit\n"
	      "  -h, --help               print this, and exit\n"
	      "\n"
	      "Exit codes: 0 the connection ended well, or a signal ended the listening; 1 it did not; 2 wrong\n"
	      "command line; 78 the module, or an option of it, is no good. See connpool-run(1).\n",
		out);
}

/* What was printed has been written? */
static int
finish(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_OK;
	perror("connpool-run: standard output");
	return EXIT_FAILED;
}

static bool
take_option(struct command *command, const char *text)
{
	if (command->wish.option_count < OPTIONS_MAX) {
		command->options[command->wish.option_count++] = text;
		return true;
	}
	fprintf(stderr, "connpool-run: too many options\n");
	return false;
}

static int
parse_letter(struct command *command, int letter)
{
	switch (letter) {
	case 'a':
		command->wish.address = optarg;
		return -1;
	case 'o':
		return take_option(command, optarg) ? -1 : EXIT_USAGE;
	case 'q':
		command->level = LOG_LEVEL_WARNING;
		return -1;
	case 'v':
		command->level = LOG_LEVEL_DEBUG;
		return -1;
	case 'h':
		print_help(stdout);
		return finish();
	case 'V':
		puts("connpool-run (" PACKAGE_STRING ")");
		return finish();
	default:
		return EXIT_USAGE;
	}
}

static void
parse_command(int argc, char **argv, struct command *command)
{
	static const struct option options[] = {
		{"address", required_argument, NULL, 'a'},
		{"option", required_argument, NULL, 'o'},
		{"quiet", no_argument, NULL, 'q'},
		{"verbose", no_argument, NULL, 'v'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int letter;

	*command = (struct command){.level = LOG_LEVEL_INFO, .exit_code = -1};
	command->wish.options = command->options;
	while (command->exit_code < 0 && (letter = getopt_long(argc, argv, "a:o:qvh", options, NULL)) != -1)
		command->exit_code = parse_letter(command, letter);
	if (command->exit_code < 0 && optind + 1 != argc) {
		fprintf(stderr, "connpool-run: expected one module\n");
		command->exit_code = EXIT_USAGE;
	}
	if (command->exit_code == EXIT_USAGE)
		fputs("Try 'connpool-run --help'.\n", stderr);
	command->wish.module = argv[optind];
}

/* Before any thread is there; a closed descriptor is an error of the call that writes to it, not of the process. */
static void
block_signals(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGPIPE);
	CP_PTHREAD(pthread_sigmask(SIG_BLOCK, &signals, NULL));
}

static int
serve_standard(struct setup *setup, struct errmsg *err)
{
	struct bridge bridge;
	bool is_good = false;
	int fd = -1;
	int rc = bridge_open(&bridge, STDIN_FILENO, STDOUT_FILENO, &fd, err);

	if (rc < 0)
		return EXIT_FAILED;
	rc = serve_stream(setup, fd, &is_good, err);
	if (bridge_close(&bridge) < 0 && rc == 0) {
		errmsg_set(err, "cannot write to standard output");
		return EXIT_FAILED;
	}
	return rc == 0 && is_good ? EXIT_OK : EXIT_FAILED;
}

static int
run(const struct command *command)
{
	struct errmsg err = {""};
	struct setup setup;
	int rc = setup_init(&setup, &command->wish, &err);
	int exit_code = EXIT_OK;

	if (rc < 0)
		exit_code = EXIT_MODULE;
	else if (command->wish.address == NULL)
		exit_code = serve_standard(&setup, &err);
	else if (serve_address(&setup, &err) < 0)
		exit_code = EXIT_FAILED;
	blocking_stop();
	setup_fini(&setup);
	if (rc == -ENOMEM)
		errmsg_set(&err, "no memory");
	if (err.text[0] != '\0')
		fprintf(stderr, "connpool-run: %s\n", err.text);
	return exit_code;
}

int
main(int argc, char **argv)
{
	struct command command;
	int exit_code;

	if (fd_hold_standard() < 0)
		return EXIT_FAILED;
	parse_command(argc, argv, &command);
	if (command.exit_code >= 0)
		return command.exit_code;
	log_configure(LOG_TARGET_STDERR, command.level);
	block_signals();
	if (fault_install("connpool-run") < 0 || fault_thread_init() < 0)
		return EXIT_FAILED;
	fault_watch_exit("connpool-run");
	exit_code = run(&command);
	fault_expect_exit();
	return exit_code;
}
