/* SPDX-License-Identifier: MIT */
/*
 * connpool-client - argv to one of three commands, and its outcome to an exit code: 0 done, 1 failed, 2 wrong command
 * line. One thread, except for the bench.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/errmsg.h"
#include "base/fdutil.h"
#include "client/bench.h"
#include "client/dial.h"
#include "client/options.h"
#include "client/relay.h"
#include "client/report.h"
#include "client/result.h"

#define EXIT_USAGE 2

/* connect and send differ in what they read only. */
static int
run_relay(const struct options *options, const struct dial *dial, struct errmsg *err)
{
	struct relay_config config = {
		.input = options->command == OPTIONS_SEND ? -1 : STDIN_FILENO,
		.text = options->text,
		.text_len = options->text_len,
		.idle_timeout_ms = options->idle_timeout_ms,
	};
	int socket = -1, output = STDOUT_FILENO, r;

	r = dial_connect(dial, options->timeout_ms, &socket, err);
	return r < 0 ? r : relay_run(&config, &socket, &output, err);
}

static int
run_bench(const struct options *options, const struct dial *dial, struct errmsg *err)
{
	struct bench_config config = {
		.dial = dial,
		.connections = options->connections,
		.threads = options->threads,
		.rate = options->rate,
		.size_bytes = options->size_bytes,
		.duration_ms = options->duration_ms,
		.requests = options->requests,
		.timeout_ms = options->timeout_ms,
		.reconnect = options->reconnect,
	};
	static struct result result; /* 30 KiB */
	int r;

	r = bench_run(&config, &result, err);
	if (r < 0)
		return r;
	if (options->json)
		r = report_print_json(stdout, options->address.text, &config, &result, err);
	else
		r = report_print_text(stdout, options->address.text, &config, &result, err);
	if (r < 0)
		return r;
	if (result.ok == result.requests && result.ok > 0)
		return 0;
	errmsg_set(err, "%llu of %llu requests failed", (unsigned long long)result_error_sum(&result),
		(unsigned long long)result.requests);
	return -EIO;
}

static int
print_information(const struct options *options, struct errmsg *err)
{
	if (options->command == OPTIONS_HELP)
		options_print_help(stdout);
	else
		printf("connpool-client (%s) %s\n", PACKAGE_NAME, PACKAGE_VERSION);
	if (fflush(stdout) == 0)
		return 0;
	errmsg_set(err, "writing standard output: %s", errmsg_errno(errno));
	return -EIO;
}

static int
run_command(const struct options *options, struct errmsg *err)
{
	struct dial dial;
	int r;

	if (options->command == OPTIONS_HELP || options->command == OPTIONS_VERSION)
		return print_information(options, err);
	r = dial_resolve(&dial, &options->address, options_family(options), err);
	if (r < 0)
		return r;
	r = options->command == OPTIONS_BENCH ? run_bench(options, &dial, err) : run_relay(options, &dial, err);
	dial_fini(&dial);
	if (r < 0)
		errmsg_prefix(err, "%s", options->address.text);
	return r;
}

/* Else the connection would get the number of a standard stream that was closed, and be read and written as one. */
static void
open_standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	fd_close(&fd);
}

int
main(int argc, char **argv)
{
	struct options options = { .command = OPTIONS_HELP };
	struct errmsg err = { .text = "" };
	int r;

	open_standard_streams();
	signal(SIGPIPE, SIG_IGN);
	r = options_parse(&options, argc, argv, &err);
	if (r < 0) {
		fprintf(stderr, "connpool-client: %s\nTry 'connpool-client --help'.\n", err.text);
		return r == -EINVAL ? EXIT_USAGE : EXIT_FAILURE;
	}
	r = run_command(&options, &err);
	options_fini(&options);
	if (r < 0) {
		fprintf(stderr, "connpool-client: %s\n", err.text);
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
