/* SPDX-License-Identifier: MIT */
/*
 * One row an option: names, commands it belongs to, type, range, where the value goes, one line of help. getopt_long(3)
 * splits the words and everything else is read from the row, so that an option can't be parsed and undocumented.
 */
#include "config.h"

#include "client/options.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <sys/socket.h>

#include "base/errmsg.h"
#include "base/mem.h"
#include "base/units.h"
#include "client/target.h"

#define IN_CONNECT 1u
#define IN_SEND 2u
#define IN_BENCH 4u
#define IN_RELAY (IN_CONNECT | IN_SEND)
#define IN_ALL (IN_CONNECT | IN_SEND | IN_BENCH)

/* What poll(2) takes, and long enough. */
#define TIME_MAX_MS (7ull * 24 * 3600 * 1000)
#define DEFAULT_DURATION_MS 10000

enum value_kind { VALUE_FLAG, VALUE_COUNT, VALUE_SIZE, VALUE_TIME };

struct row {
	int key;            /* the short option */
	const char *name;
	enum value_kind kind;
	unsigned commands;
	size_t offset;      /* of a bool or a uint64_t in struct options */
	uint64_t min;
	uint64_t max;
	const char *value;  /* how help calls it; NULL: takes none */
	const char *help;
};

static const struct row rows[] = {
	{ '4', "ipv4", VALUE_FLAG, IN_ALL, offsetof(struct options, ipv4), 0, 1, NULL, "use IPv4 only" },
	{ '6', "ipv6", VALUE_FLAG, IN_ALL, offsetof(struct options, ipv6), 0, 1, NULL, "use IPv6 only" },
	{ 'w', "timeout", VALUE_TIME, IN_ALL, offsetof(struct options, timeout_ms), 1, TIME_MAX_MS, "TIME",
		"wait so long for each address to connect; bench: for each answer too (10s)" },
	{ 'i', "idle-timeout", VALUE_TIME, IN_RELAY, offsetof(struct options, idle_timeout_ms), 1, TIME_MAX_MS, "TIME",
		"fail when nothing has moved for so long (never)" },
	{ 'n', "no-newline", VALUE_FLAG, IN_SEND, offsetof(struct options, no_newline), 0, 1, NULL,
		"send no line end after the text" },
	{ 'c', "connections", VALUE_COUNT, IN_BENCH, offsetof(struct options, connections), 1, 1000000, "N",
		"connections at a time (1)" },
	{ 't', "threads", VALUE_COUNT, IN_BENCH, offsetof(struct options, threads), 1, 256, "N",
		"threads to spread them over (1)" },
	{ 'r', "rate", VALUE_COUNT, IN_BENCH, offsetof(struct options, rate), 1, 1000000000, "N",
		"requests a second in all, due at fixed times (as fast as they are answered)" },
	{ 's', "size", VALUE_SIZE, IN_BENCH, offsetof(struct options, size_bytes), 1, 1ull << 40, "BYTES",
		"bytes a request (64)" },
	{ 'd', "duration", VALUE_TIME, IN_BENCH, offsetof(struct options, duration_ms), 1, TIME_MAX_MS, "TIME",
		"begin requests for so long (10s, or no limit with --requests)" },
	{ 'N', "requests", VALUE_COUNT, IN_BENCH, offsetof(struct options, requests), 1, 1ull << 62, "N",
		"begin so many requests at most (no limit)" },
	{ 'R', "reconnect", VALUE_FLAG, IN_BENCH, offsetof(struct options, reconnect), 0, 1, NULL,
		"a connection for each request: connect, echo, close" },
	{ 'j', "json", VALUE_FLAG, IN_BENCH, offsetof(struct options, json), 0, 1, NULL, "report as JSON" },
	{ 'h', "help", VALUE_FLAG, IN_ALL, offsetof(struct options, help), 0, 1, NULL, "print this and exit" },
	{ 'V', "version", VALUE_FLAG, IN_ALL, offsetof(struct options, version), 0, 1, NULL,
		"print the version and exit" },
};

static const struct {
	const char *name;
	enum options_command command;
	unsigned bit;
	const char *arguments;
	const char *help;
} commands[] = {
	{ "connect", OPTIONS_CONNECT, IN_CONNECT, "ADDRESS",
		"standard input to the connection, the connection to standard output" },
	{ "send", OPTIONS_SEND, IN_SEND, "ADDRESS TEXT...", "send a line, print the answer" },
	{ "bench", OPTIONS_BENCH, IN_BENCH, "ADDRESS",
		"measure an echo server and check every byte that comes back" },
};

/* ---- help -------------------------------------------------------------------------- */

static void
print_rows(FILE *out, const char *title, unsigned mask)
{
	fprintf(out, "\n%s:\n", title);
	for (size_t i = 0; i < CP_COUNT(rows); i++) {
		const struct row *row = &rows[i];
		char left[64];

		if (row->commands != mask)
			continue;
		snprintf(left, sizeof(left), "-%c, --%s%s%s", row->key, row->name, row->value != NULL ? " " : "",
			row->value != NULL ? row->value : "");
		fprintf(out, "  %-26s %s\n", left, row->help);
	}
}

void
options_print_help(FILE *out)
{
	fprintf(out, "Usage: connpool-client COMMAND [OPTION]... ADDRESS [TEXT]...\n\nCommands:\n");
	for (size_t i = 0; i < CP_COUNT(commands); i++) {
		fprintf(out, "  %-7s %-17s %s\n", commands[i].name, commands[i].arguments, commands[i].help);
	}
	fprintf(out, "\nADDRESS is tcp:HOST:PORT, tcp:[IPV6]:PORT, unix:PATH or unix:@ABSTRACT; HOST:PORT and /PATH"
		" do too.\n"
		"TIME is in seconds, or has a unit (500ms, 2s, 1min); BYTES may have one too (64KiB).\n");
	print_rows(out, "All commands", IN_ALL);
	print_rows(out, "connect and send", IN_RELAY);
	print_rows(out, "send", IN_SEND);
	print_rows(out, "bench", IN_BENCH);
}

/* ---- values -------------------------------------------------------------------------- */

static int
parse_count(const char *text, uint64_t *ret)
{
	uint64_t value = 0;

	if (*text == '\0')
		return -EINVAL;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(value, 10u, &value) ||
			__builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
			return -ERANGE;
	}
	*ret = value;
	return 0;
}

static int
parse_value(const struct row *row, const char *text, uint64_t *ret)
{
	int r;

	switch (row->kind) {
	case VALUE_COUNT:
		r = parse_count(text, ret);
		break;
	case VALUE_SIZE:
		r = units_parse_size(text, ret);
		break;
	default:
		r = units_parse_time(text, ret);
		break;
	}
	if (r == 0 && (*ret < row->min || *ret > row->max))
		return -ERANGE;
	return r;
}

static const char *
format_bound(const struct row *row, uint64_t bound, char buf[UNITS_TEXT_MAX])
{
	if (row->kind == VALUE_SIZE)
		return units_format_size(bound, buf);
	if (row->kind == VALUE_TIME)
		return units_format_time(bound, buf);
	snprintf(buf, UNITS_TEXT_MAX, "%llu", (unsigned long long)bound);
	return buf;
}

static int
set_value(struct options *options, const struct row *row, const char *text, struct errmsg *err)
{
	static const char *const nouns[] = { [VALUE_COUNT] = "number", [VALUE_SIZE] = "size", [VALUE_TIME] = "time" };
	char *field = (char *)options + row->offset, min[UNITS_TEXT_MAX], max[UNITS_TEXT_MAX];
	uint64_t value = 0;
	int r;

	if (row->kind == VALUE_FLAG) {
		*(bool *)(void *)field = true;
		return 0;
	}
	r = parse_value(row, text, &value);
	if (r < 0) {
		errmsg_set(err, "--%s: '%s' is not a %s from %s to %s", row->name, text, nouns[row->kind],
			format_bound(row, row->min, min), format_bound(row, row->max, max));
		return -EINVAL;
	}
	*(uint64_t *)(void *)field = value;
	return 0;
}

/* ---- words ------------------------------------------------------------------------------ */

static const struct row *
find_row(int key)
{
	for (size_t i = 0; i < CP_COUNT(rows); i++) {
		if (rows[i].key == key)
			return &rows[i];
	}
	return NULL;
}

static void
fill_getopt_tables(struct option longs[CP_COUNT(rows) + 1], char shorts[2 * CP_COUNT(rows) + 2])
{
	char *s = shorts;

	memset(longs, 0, (CP_COUNT(rows) + 1) * sizeof(*longs));
	/* A colon in front: a missing value is told from an unknown option. */
	*s++ = ':';
	for (size_t i = 0; i < CP_COUNT(rows); i++) {
		longs[i].name = rows[i].name;
		longs[i].has_arg = rows[i].value != NULL ? required_argument : no_argument;
		longs[i].val = rows[i].key;
		*s++ = (char)rows[i].key;
		if (rows[i].value != NULL)
			*s++ = ':';
	}
	*s = '\0';
}

static int
parse_switches(struct options *options, unsigned command_bit, int argc, char **argv, struct errmsg *err)
{
	struct option longs[CP_COUNT(rows) + 1];
	char shorts[2 * CP_COUNT(rows) + 2];
	int key;

	fill_getopt_tables(longs, shorts);
	optind = 0; /* glibc: forget an earlier command line */
	opterr = 0;
	while ((key = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		const struct row *row = find_row(key);
		int r;

		if (row == NULL) {
			errmsg_set(err, "%s: %s", argv[optind - 1], key == ':' ? "a value is missing" :
				"no such option, or no unambiguous one, or a value where there is none");
			return -EINVAL;
		}
		if ((row->commands & command_bit) == 0) {
			errmsg_set(err, "--%s is no option of this command", row->name);
			return -EINVAL;
		}
		r = set_value(options, row, optarg, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int
join_text(struct options *options, int count, char **words, struct errmsg *err)
{
	size_t len = options->no_newline ? 0 : 1;
	char *end;

	for (int i = 0; i < count; i++)
		len += strlen(words[i]) + (i > 0 ? 1 : 0);
	options->text = mem_zalloc(len + 1);
	if (options->text == NULL) {
		errmsg_set(err, "no memory");
		return -ENOMEM;
	}
	end = options->text;
	for (int i = 0; i < count; i++) {
		if (i > 0)
			*end++ = ' ';
		end = stpcpy(end, words[i]);
	}
	if (!options->no_newline)
		*end = '\n';
	options->text_len = len;
	return 0;
}

static int
parse_operands(struct options *options, int count, char **words, struct errmsg *err)
{
	bool takes_text = options->command == OPTIONS_SEND;

	if (count == 0) {
		errmsg_set(err, "an address is missing");
		return -EINVAL;
	}
	if (count > 1 && !takes_text) {
		errmsg_set(err, "'%s': one word too many", words[1]);
		return -EINVAL;
	}
	if (count < 2 && takes_text) {
		errmsg_set(err, "the text to send is missing");
		return -EINVAL;
	}
	if (takes_text) {
		int r = join_text(options, count - 1, words + 1, err);

		if (r < 0)
			return r;
	}
	return target_parse(&options->address, words[0], err);
}

/* What rows can't say because it concerns two options. */
static int
check_together(struct options *options, struct errmsg *err)
{
	if (options->ipv4 && options->ipv6) {
		errmsg_set(err, "--ipv4 and --ipv6 exclude each other");
		return -EINVAL;
	}
	if (options->threads > options->connections) {
		errmsg_set(err, "more --threads than --connections");
		return -EINVAL;
	}
	if (options_family(options) != AF_UNSPEC && options->address.kind == ADDRESS_UNIX) {
		errmsg_set(err, "a Unix socket is neither IPv4 nor IPv6");
		return -EINVAL;
	}
	if (options->duration_ms == 0 && options->requests == 0)
		options->duration_ms = DEFAULT_DURATION_MS;
	return 0;
}

static int
parse_command(struct options *options, const char *word, unsigned *ret_bit, struct errmsg *err)
{
	for (size_t i = 0; i < CP_COUNT(commands); i++) {
		if (strcmp(word, commands[i].name) == 0) {
			options->command = commands[i].command;
			*ret_bit = commands[i].bit;
			return 0;
		}
	}
	errmsg_set(err, "'%s' is no command; there are connect, send and bench", word);
	return -EINVAL;
}

static int
parse_all(struct options *options, int argc, char **argv, struct errmsg *err)
{
	unsigned bit = IN_ALL;
	int r;

	if (argc < 2) {
		errmsg_set(err, "a command is missing: connect, send or bench");
		return -EINVAL;
	}
	if (argv[1][0] != '-') {
		r = parse_command(options, argv[1], &bit, err);
		if (r < 0)
			return r;
		argc--;
		argv++;
	}
	r = parse_switches(options, bit, argc, argv, err);
	if (r < 0)
		return r;
	if (options->help || options->version) {
		options->command = options->help ? OPTIONS_HELP : OPTIONS_VERSION;
		return 0;
	}
	if (bit == IN_ALL) {
		errmsg_set(err, "the command comes first: connect, send or bench");
		return -EINVAL;
	}
	r = parse_operands(options, argc - optind, argv + optind, err);
	return r < 0 ? r : check_together(options, err);
}

int
options_parse(struct options *ret, int argc, char **argv, struct errmsg *err)
{
	struct options options = { .timeout_ms = 10000, .connections = 1, .threads = 1, .size_bytes = 64 };
	int r = parse_all(&options, argc, argv, err);

	if (r < 0)
		options_fini(&options);
	else
		*ret = options;
	return r;
}

void
options_fini(struct options *options)
{
	address_fini(&options->address);
	mem_freep(&options->text);
}

int
options_family(const struct options *options)
{
	return options->ipv4 ? AF_INET : options->ipv6 ? AF_INET6 : AF_UNSPEC;
}
